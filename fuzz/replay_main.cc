// Runs a fuzz target over its stored seeds, once each and in the order of their names, in builds
// without libFuzzer.
//
//   fuzz_NAME_replay FILE_OR_DIRECTORY...
//
// A directory without a single file is an error: a test that replays nothing must not pass.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// The bytes are handed over in a block of exactly their size, so that AddressSanitizer sees a read
// of one byte too many.
void Run(const std::string& bytes) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), exact.get());
  LLVMFuzzerTestOneInput(exact.get(), bytes.size());
}

bool RunFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  // Said before it runs: a crash then names its seed.
  std::fprintf(stderr, "%s (%zu bytes)\n", path.c_str(), bytes.size());
  Run(bytes);
  return true;
}

bool FilesIn(const std::filesystem::path& directory, std::vector<std::filesystem::path>* files) {
  std::error_code error;
  const size_t before = files->size();
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->is_regular_file()) files->push_back(entry->path());
  }
  if (error) {
    std::fprintf(stderr, "cannot list %s: %s\n", directory.c_str(), error.message().c_str());
    return false;
  }
  if (files->size() == before) {
    std::fprintf(stderr, "no seeds in %s\n", directory.c_str());
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FILE_OR_DIRECTORY...\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      files.emplace_back(argv[i]);
    } else if (!FilesIn(argv[i], &files)) {
      return 1;
    }
  }
  std::sort(files.begin(), files.end());
  Run("");
  for (const std::filesystem::path& file : files) {
    if (!RunFile(file)) return 1;
  }
  std::fprintf(stderr, "%zu seeds replayed\n", files.size());
  return 0;
}
