// Writes the seeds of peer_frame, resp_request and command from the samples that the tests use:
//
//   fuzz_make_seeds fuzz/corpus
//
// Run it after a format changed or a sample was added, and commit what it wrote.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/wire/command.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "tests/wire/samples.h"

namespace {

bool Write(const std::filesystem::path& directory, const std::string& name,
           absl::string_view bytes) {
  std::filesystem::create_directories(directory);
  std::ofstream file(directory / name, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) std::fprintf(stderr, "cannot write %s\n", (directory / name).c_str());
  return static_cast<bool>(file);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
    return 2;
  }
  const std::filesystem::path corpus = argv[1];
  bool written = true;
  raftkv::wire::PeerEncoder peer_encoder;
  std::string stream;
  for (const auto& [name, message] : raftkv::wire::PeerSamples()) {
    const absl::string_view frame = peer_encoder.Encode(message);
    written &= Write(corpus / "peer_frame", name, frame.substr(raftkv::wire::kFrameHeaderSize));
    if (stream.size() < 1024) stream.append(frame.data(), frame.size());
  }
  written &= Write(corpus / "peer_frame", "stream", stream);
  raftkv::wire::CommandEncoder command_encoder;
  for (const auto& [name, command] : raftkv::wire::CommandSamples()) {
    written &= Write(corpus / "command", name, command_encoder.Encode(command));
  }
  for (const auto& [name, bytes] : raftkv::wire::RespSamples()) {
    written &= Write(corpus / "resp_request", name, bytes);
  }
  return written ? 0 : 1;
}
