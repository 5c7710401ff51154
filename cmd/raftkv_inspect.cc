// raftkv-inspect: a data directory as text. Reads only; safe beside a running node.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "storage/inspect.h"
#include "storage/posix_disk.h"

namespace {

constexpr int kDamaged = 1;
constexpr int kFailed = 2;

using raftkv::storage::Disk;
using raftkv::storage::Inspection;
using raftkv::storage::InspectOptions;

absl::StatusOr<Inspection> Inspect(Disk& disk, const std::string& part,
                                   const InspectOptions& options) {
  if (part == "identity") return raftkv::storage::InspectIdentity(disk);
  if (part == "vote") return raftkv::storage::InspectVote(disk);
  if (part == "log") return raftkv::storage::InspectLog(disk, options);
  if (part == "snapshot") return raftkv::storage::InspectSnapshots(disk, options);
  return raftkv::storage::InspectAll(disk, options);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Shows a raftkv data directory as text. Reads only, takes no lock."};
  app.footer(
      "Exit codes: 0 nothing is damaged, 1 damage is shown as BAD, 2 cannot be inspected or wrong "
      "usage.");
  std::string directory;
  std::string part = "all";
  InspectOptions options;
  app.add_option("directory", directory, "Data directory of a node")->required();
  app.add_option("part", part, "What to show")
      ->check(CLI::IsMember({"all", "identity", "vote", "log", "snapshot"}))
      ->capture_default_str();
  app.add_option("--from", options.first_index, "log: first entry to show");
  app.add_option("--to", options.last_index, "log: last entry to show");
  app.add_option("--payload", options.payload_bytes, "log: bytes of each payload to show")
      ->capture_default_str();
  app.add_flag("--verify", options.verify_snapshots, "snapshot: read and verify every byte");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kFailed;
  }

  using raftkv::storage::PosixDisk;
  absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
      PosixDisk::Open(directory, PosixDisk::IfMissing::kFail);
  absl::StatusOr<Inspection> inspection =
      disk.ok() ? Inspect(**disk, part, options) : absl::StatusOr<Inspection>(disk.status());
  if (!inspection.ok()) {
    std::fprintf(stderr, "raftkv-inspect: %s\n",
                 std::string(inspection.status().message()).c_str());
    return kFailed;
  }
  if (std::fwrite(inspection->text.data(), 1, inspection->text.size(), stdout) !=
          inspection->text.size() ||
      std::fflush(stdout) != 0) {
    std::perror("raftkv-inspect: standard output");
    return kFailed;
  }
  return inspection->damaged ? kDamaged : 0;
}
