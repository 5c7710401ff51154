// raftkv-inspect: a data directory as text or JSON. Reads only; safe beside a running node.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cmd/parse_error.h"
#include "cmd/standard_files.h"
#include "storage/inspect.h"
#include "storage/posix_disk.h"

namespace {

constexpr int kDamaged = 1;
constexpr int kFailed = 2;

using raftkv::storage::Disk;
using raftkv::storage::Inspection;
using raftkv::storage::InspectItem;
using raftkv::storage::InspectOptions;

absl::StatusOr<Inspection> Inspect(Disk& disk, const std::string& part,
                                   const InspectOptions& options) {
  if (part == "identity") return raftkv::storage::InspectIdentity(disk);
  if (part == "vote") return raftkv::storage::InspectVote(disk);
  if (part == "log") return raftkv::storage::InspectLog(disk, options);
  if (part == "snapshot") return raftkv::storage::InspectSnapshots(disk, options);
  return raftkv::storage::InspectAll(disk);
}

std::string Json(const Inspection& inspection) {
  nlohmann::ordered_json items = nlohmann::ordered_json::array();
  for (const InspectItem& item : inspection.items) {
    nlohmann::ordered_json object;
    if (!item.file.empty()) {
      object["file"] = item.file;
      object["offset"] = item.offset;
    }
    object["what"] = item.what;
    for (const auto& [name, value] : item.fields) {
      std::visit([&object, &key = name](const auto& plain) { object[key] = plain; }, value);
    }
    if (!item.problem.empty()) object["problem"] = item.problem;
    items.push_back(std::move(object));
  }
  nlohmann::ordered_json all;
  all["damaged"] = inspection.damaged();
  all["items"] = std::move(items);
  return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int Run(const std::string& directory, const std::string& part, const InspectOptions& options,
        bool json) {
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
  const std::string text = json ? Json(*inspection) : inspection->Text();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    std::perror("raftkv-inspect: standard output");
    return kFailed;
  }
  return inspection->damaged() ? kDamaged : 0;
}

}  // namespace

int main(int argc, char** argv) {
  raftkv::KeepStandardFiles();
  CLI::App app{"Takes a raftkv data directory apart. Reads only, takes no lock, repairs nothing."};
  app.footer(
      "Exit codes: 0 nothing is damaged, 1 damage is shown as BAD, 2 cannot be inspected or wrong "
      "usage.");
  app.require_subcommand(1);
  std::string directory;
  bool json = false;
  InspectOptions options;
  const auto part = [&](const char* name, const char* help) {
    CLI::App* command = app.add_subcommand(name, help);
    command->add_option("directory", directory, "Data directory of a node")->required();
    command->add_flag("--json", json, "JSON instead of text");
    return command;
  };
  part("verify", "Read every byte of every file, show what is bad, and what a start makes of it");
  CLI::App* log = part("log", "Every segment, batch, entry and foot, and the durable marks");
  log->add_option("--from", options.first_index, "First entry to show");
  log->add_option("--to", options.last_index, "Last entry to show");
  log->add_option("--payload", options.payload_bytes, "Bytes of each payload to show")
      ->capture_default_str();
  CLI::App* snapshot = part("snapshot", "The manifest and the snapshots");
  snapshot->add_flag("--verify", options.verify_snapshots, "Read and verify every byte");
  part("vote", "Term and vote");
  part("identity", "Whose directory it is");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return raftkv::EndOfParsing(app, error, "raftkv-inspect", kFailed);
  }
  return Run(directory, app.get_subcommands().front()->get_name(), options, json);
}
