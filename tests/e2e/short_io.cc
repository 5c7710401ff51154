// Loaded in front of the C library: what is read or written at an offset is cut in half, as a file
// system that is interrupted, or nearly full, may do at any time.
#include <dlfcn.h>
#include <sys/types.h>

#include <cstddef>

namespace {

size_t Half(size_t bytes) { return (bytes + 1) / 2; }

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

using Read = ssize_t (*)(int, void*, size_t, off_t);
using Write = ssize_t (*)(int, const void*, size_t, off_t);

}  // namespace

extern "C" {

ssize_t pread(int file, void* buffer, size_t bytes, off_t offset) {
  static const auto real = Real<Read>("pread");
  return real(file, buffer, Half(bytes), offset);
}
ssize_t pwrite(int file, const void* buffer, size_t bytes, off_t offset) {
  static const auto real = Real<Write>("pwrite");
  return real(file, buffer, Half(bytes), offset);
}
// Where offsets of 64 bits have names of their own.
ssize_t pread64(int file, void* buffer, size_t bytes, off_t offset) {
  return pread(file, buffer, bytes, offset);
}
ssize_t pwrite64(int file, const void* buffer, size_t bytes, off_t offset) {
  return pwrite(file, buffer, bytes, offset);
}
}
