// raftkv: one node of the cluster, and `raftkv init`, which gives a data directory its identity.
#include <unistd.h>
#include <uv.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "cmd/cluster_flags.h"
#include "cmd/exit_codes.h"
#include "cmd/parse_error.h"
#include "cmd/standard_files.h"
#include "core/replica/replica.h"
#include "net/endpoint.h"
#include "net/log.h"
#include "net/runtime.h"
#include "storage/posix_disk.h"
#include "storage/run_job.h"
#include "storage/storage.h"

namespace raftkv {
namespace {

constexpr char kDescription[] =
    "A node of a linearizable, replicated key-value store that speaks the Redis protocol.\n\n"
    "  raftkv init --data DIR --node-id N --members LIST    once, on each founding node\n"
    "  raftkv --data DIR                                    runs the node until SIGTERM or SIGINT";

constexpr char kFooter[] =
    "Every option can also be given in the environment (--max-clients: RAFTKV_MAX_CLIENTS) or in\n"
    "the file named by --config (max-clients = 100); the command line wins, then the environment.\n"
    "Sizes are numbers of B, KiB, MiB or GiB.\n\n"
    "Exit codes:\n"
    "   0  stopped as asked\n"
    "   1  anything not listed here\n"
    "   2  wrong command line, environment or configuration file\n"
    "   3  the data directory is missing, empty or was never initialised\n"
    "   4  the data directory belongs to another node or another cluster\n"
    "   5  another process has the data directory open\n"
    "   6  no right to write the data directory, or no space\n"
    "   7  the data directory holds something else, or its identity, term or vote has rotted\n"
    "   8  a newer version wrote the data, or the log needs one\n"
    "   9  cannot listen on an address\n"
    "  10  the disk failed while running; nothing was acknowledged after that\n"
    "  11  init: the directory is a data directory already\n"
    "  12  durable log or snapshot has rotted, and no other member has a copy\n";

// One line on stderr for whoever typed the command.
int Complain(int code, absl::string_view text) {
  std::fprintf(stderr, "raftkv: %s\n",
               absl::StrReplaceAll(absl::StripAsciiWhitespace(text), {{"\n", "; "}}).c_str());
  return code;
}

uint64_t RandomNumber() {
  uint64_t number = 0;
  while (number == 0) {
    if (uv_random(nullptr, nullptr, &number, sizeof(number), 0, nullptr) != 0) std::abort();
  }
  return number;
}

// Options with their environment variables: "--max-clients" is RAFTKV_MAX_CLIENTS.
template <typename Value>
CLI::Option* Add(CLI::App& app, const std::string& name, Value& value, const std::string& help) {
  const std::string variable = absl::StrCat(
      "RAFTKV_", absl::AsciiStrToUpper(absl::StrReplaceAll(name.substr(2), {{"-", "_"}})));
  CLI::Option* option = app.add_option(name, value, help)->envname(variable);
  if constexpr (std::is_integral_v<Value>) {
    // The library takes the largest number there is for one that is larger still.
    option->check(CLI::Validator(
        [](const std::string& text) {
          Value number = 0;
          return absl::SimpleAtoi(text, &number)
                     ? std::string()
                     : absl::StrCat("'", text, "' is no number from 0 to ",
                                    std::numeric_limits<Value>::max());
        },
        ""));
  }
  return option->capture_default_str();
}

template <typename Value>
CLI::Option* AddMs(CLI::App& app, const std::string& name, Value& value, const std::string& help) {
  constexpr Value kLongest = 24 * 60 * 60 * 1'000;
  return Add(app, name, value, help)->check(CLI::Range(Value{1}, kLongest).description(""));
}

std::string HumanSize(uint64_t bytes) {
  for (const auto& [shift, unit] : {std::pair{30, "GiB"}, {20, "MiB"}, {10, "KiB"}}) {
    if (bytes != 0 && bytes % (uint64_t{1} << shift) == 0) {
      return absl::StrCat(bytes >> shift, unit);
    }
  }
  return absl::StrCat(bytes, "B");
}

template <typename Value>
CLI::Option* AddSize(CLI::App& app, const std::string& name, Value& value,
                     const std::string& help) {
  return Add(app, name, value, help)
      ->default_str(HumanSize(value))
      ->type_name("SIZE")
      ->transform(CLI::Validator(
          [](std::string& text) {
            const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
            const std::string unit = absl::AsciiStrToLower(
                absl::StripAsciiWhitespace(absl::string_view(text).substr(digits)));
            static const std::map<std::string, int> kShifts = {
                {"", 0}, {"b", 0}, {"kib", 10}, {"mib", 20}, {"gib", 30}};
            const auto shift = kShifts.find(unit);
            if (digits == 0 || shift == kShifts.end()) {
              return absl::StrCat("'", text, "' is no size (a number of B, KiB, MiB or GiB)");
            }
            uint64_t number = 0;
            if (!absl::SimpleAtoi(text.substr(0, digits), &number) ||
                number > std::numeric_limits<Value>::max() >> shift->second) {
              return absl::StrCat("'", text, "' is too large");
            }
            text = absl::StrCat(number << shift->second);
            return std::string();
          },
          ""));
}

// ---- raftkv init

struct InitFlags {
  std::string data;
  raft::NodeId node = raft::kNoNode;
  std::string cluster;
  std::string members;
  bool join = false;
  std::string address = "127.0.0.1:7401";
  uint64_t incarnation = 0;
};

void DefineInit(CLI::App& app, InitFlags& flags) {
  Add(app, "--data", flags.data, "directory to initialise; made if missing")->required();
  Add(app, "--node-id", flags.node, "number of this node, from 1")->required();
  CLI::Option* members =
      Add(app, "--members", flags.members,
          "all founding members, the same list on each: ID=HOST:PEER_PORT[/HOST:CLIENT_PORT],... "
          "(client port: one below the peer port)");
  CLI::Option* cluster =
      Add(app, "--cluster-id", flags.cluster,
          "up to 32 hexadecimal digits, the same on each node; drawn and printed when left out");
  CLI::Option* join =
      app.add_flag("--join", flags.join,
                   "the cluster runs already: this node votes for nobody until it is a member")
          ->envname("RAFTKV_JOIN");
  Add(app, "--address", flags.address, "where members will reach this node: HOST:PEER_PORT[/...]")
      ->needs(join);
  Add(app, "--incarnation", flags.incarnation, "name of this life of the disk; 0: drawn")
      ->needs(join);
  join->needs(cluster)->excludes(members);
}

int InitExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAlreadyExists:
      return kExitInitialised;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kDataLoss:
      return kExitDamaged;
    case absl::StatusCode::kUnavailable:
      return kExitInUse;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kNotFound:  // the parent of the directory
      return kExitNotWritable;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    default:
      return kExitUnexpected;
  }
}

int RunInit(const InitFlags& flags) {
  if (flags.node == raft::kNoNode) return Complain(kExitUsage, "--node-id: nodes count from 1");
  if (!flags.join && flags.members.empty()) {
    return Complain(kExitUsage,
                    "--members: the list names nobody (a node of a running cluster takes --join)");
  }

  storage::Identity identity;
  identity.node = flags.node;
  identity.created_ms =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                std::chrono::system_clock::now().time_since_epoch())
                                .count());
  if (flags.cluster.empty()) {
    identity.cluster = {RandomNumber(), RandomNumber()};
  } else {
    const absl::StatusOr<storage::ClusterId> cluster = ParseClusterIdFlag(flags.cluster);
    if (!cluster.ok()) {
      return Complain(kExitUsage, absl::StrCat("--cluster-id: ", cluster.status().message()));
    }
    identity.cluster = *cluster;
  }

  storage::Founding founding;
  MemberAddresses own;
  if (flags.join) {
    identity.incarnation = flags.incarnation != 0 ? flags.incarnation : RandomNumber();
    absl::StatusOr<MemberAddresses> address = ParseMemberAddresses(flags.address);
    if (!address.ok()) {
      return Complain(kExitUsage, absl::StrCat("--address: ", address.status().message()));
    }
    own = *std::move(address);
  } else {
    const absl::StatusOr<std::map<raft::NodeId, MemberAddresses>> list =
        ParseMemberList(flags.members);
    if (!list.ok()) {
      return Complain(kExitUsage, absl::StrCat("--members: ", list.status().message()));
    }
    if (!list->contains(flags.node)) {
      return Complain(kExitUsage, absl::StrCat("--members: node ", flags.node,
                                               " (--node-id) is not in the list"));
    }
    identity.incarnation = FoundingIncarnation(identity.cluster, flags.node);
    founding.meta.index = 1;
    founding.meta.term = 1;
    for (const auto& [id, addresses] : *list) founding.meta.conf.voters.push_back(id);
    founding.state = replica::Replica::FoundingState(FoundingMembers(identity.cluster, *list),
                                                     replica::Options().store);
    own = list->at(flags.node);
  }

  absl::StatusOr<std::unique_ptr<storage::PosixDisk>> disk =
      storage::PosixDisk::Open(flags.data, storage::PosixDisk::IfMissing::kCreate);
  if (!disk.ok()) return Complain(InitExitCode(disk.status()), disk.status().message());
  const absl::Status status = storage::Storage::Init(**disk, identity, founding);
  if (!status.ok()) return Complain(InitExitCode(status), status.message());

  const std::string cluster = storage::ToHex(identity.cluster);
  std::printf("%s: node %llu of cluster %s\n", flags.data.c_str(),
              static_cast<unsigned long long>(identity.node), cluster.c_str());
  if (flags.join) {
    std::printf("start it, then tell the cluster:\n  raftkv-cli member add %llu %s %s %llu\n",
                static_cast<unsigned long long>(identity.node), own.peer.c_str(),
                own.client.c_str(), static_cast<unsigned long long>(identity.incarnation));
  } else if (flags.cluster.empty() && founding.meta.conf.voters.size() > 1) {
    std::printf("initialise the other nodes with --cluster-id %s\n", cluster.c_str());
  }
  return kExitOk;
}

// ---- raftkv

struct NodeFlags {
  std::string data;
  std::optional<raft::NodeId> node;
  std::string cluster;
  std::string listen_client = "127.0.0.1:7400";
  std::string listen_peer = "127.0.0.1:7401";
  std::string advertise_peer;
  std::vector<std::string> peers;
  std::string log_level = "info";
  std::string log_format = "text";
  uint32_t tick_ms = 10;
  uint32_t heartbeat_ms = 50;
  uint32_t election_ms = 300;
  uint32_t lease_drift_ms = 30;
  std::string reads = "quorum";
  uint64_t stop_timeout_ms = 5'000;
  replica::Options replica;
  storage::Options storage;
};

void DefineNode(CLI::App& app, NodeFlags& flags) {
  replica::Options& replica = flags.replica;
  Add(app, "--data", flags.data, "data directory, made by raftkv init");
  Add(app, "--node-id", flags.node, "refuse to start on another node's directory");
  Add(app, "--cluster-id", flags.cluster, "refuse to start on another cluster's directory");
  Add(app, "--listen-client", flags.listen_client, "address for clients, HOST:PORT");
  Add(app, "--listen-peer", flags.listen_peer, "address for the other nodes, HOST:PORT");
  Add(app, "--advertise-peer", flags.advertise_peer,
      "where the other nodes reach this one [its membership entry, else --listen-peer]");
  Add(app, "--peer", flags.peers,
      "ID=HOST:PORT of a member, to find the cluster the first time; may be repeated")
      ->default_str("");

  const std::string logs = "Logs (stderr)", timing = "Timing", limits = "Limits", disk = "Disk";
  Add(app, "--log-level", flags.log_level, "least level that is written")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
      ->group(logs);
  Add(app, "--log-format", flags.log_format, "key=value text, or one JSON object per line")
      ->check(CLI::IsMember({"text", "json"}))
      ->group(logs);

  Add(app, "--tick-ms", flags.tick_ms, "unit of the times below")
      ->check(CLI::Range(1u, 1'000u))
      ->group(timing);
  AddMs(app, "--heartbeat-ms", flags.heartbeat_ms, "a leader is heard at least this often")
      ->group(timing);
  AddMs(app, "--election-ms", flags.election_ms,
        "silence of the leader before an election: between this and its double")
      ->group(timing);
  Add(app, "--election-rank", replica.raft.election_rank,
      "who is to lead: 0 campaigns first, each step waits another --election-ms")
      ->check(CLI::Range(0u, raft::kMaxElectionRank))
      ->group(timing);
  Add(app, "--reads", flags.reads,
      "quorum: every read asks a majority; lease: the leader answers alone, correct only while "
      "clocks differ by less than --lease-drift-ms per election time")
      ->check(CLI::IsMember({"quorum", "lease"}))
      ->group(timing);
  AddMs(app, "--lease-drift-ms", flags.lease_drift_ms, "allowance for clocks, with --reads lease")
      ->group(timing);
  AddMs(app, "--request-timeout-ms", replica.request_timeout_ms,
        "a client waits no longer for its answer")
      ->group(timing);
  AddMs(app, "--stop-timeout-ms", flags.stop_timeout_ms,
        "after SIGTERM, for handing leadership over and answering")
      ->group(timing);

  Add(app, "--max-clients", replica.max_clients, "connections on the client port")->group(limits);
  Add(app, "--max-client-pipeline", replica.max_client_pipeline,
      "unanswered requests of one client; more wait")
      ->group(limits);
  AddSize(app, "--max-client-output-bytes", replica.max_client_output_bytes,
          "unread answers of one client; more wait, and one that does not read is closed")
      ->group(limits);
  AddSize(app, "--max-waiting-bytes", replica.max_waiting_bytes,
          "commands of all clients that are not answered yet; more are refused")
      ->group(limits);
  AddSize(app, "--max-store-bytes", replica.max_store_bytes,
          "memory of the store; commands that may enlarge it are refused above")
      ->group(limits);
  AddSize(app, "--max-append-bytes", replica.raft.max_append_bytes,
          "one append to a follower; a single larger command still fits")
      ->group(limits);
  AddSize(app, "--max-inflight-bytes", replica.raft.max_inflight_bytes,
          "appends sent ahead to one follower")
      ->group(limits);
  Add(app, "--max-inflight-messages", replica.raft.max_inflight_messages,
      "appends sent ahead to one follower")
      ->group(limits);
  AddSize(app, "--max-uncommitted-bytes", replica.raft.max_uncommitted_bytes,
          "log of a leader that is not applied yet; more is refused")
      ->group(limits);

  AddSize(app, "--segment-bytes", flags.storage.segment_bytes, "size of a log segment")
      ->group(disk);
  AddSize(app, "--snapshot-log-bytes", replica.snapshots.minimum_bytes,
          "log between two snapshots, at least; the same on every node")
      ->group(disk);
  AddSize(app, "--trailing-log-bytes", replica.trailing_log_bytes,
          "log kept in memory behind a snapshot, for followers that lag a little")
      ->group(disk);
  AddSize(app, "--snapshot-bytes-per-s", replica.snapshot_bytes_per_s,
          "a snapshot is written, and sent to a follower, at this pace; 0: no limit")
      ->group(disk);
  AddSize(app, "--scrub-bytes-per-s", replica.scrub_bytes_per_s,
          "the data directory is read through for rot at this pace; 0: never")
      ->group(disk);
  AddMs(app, "--scrub-pause-ms", replica.scrub_pause_ms, "before each time that it is read through")
      ->group(disk);
}

net::LogLevel LevelNamed(absl::string_view name) {
  constexpr absl::string_view kNames[] = {"trace", "debug", "info", "warn", "error", "off"};
  for (size_t i = 0; i < 6; ++i) {
    if (name == kNames[i]) return static_cast<net::LogLevel>(i);
  }
  return net::LogLevel::kInfo;
}

// Times are typed in milliseconds and meant in ticks.
absl::Status SetTicks(const char* flag, uint32_t ms, uint32_t tick_ms, uint32_t* ticks) {
  if (ms == 0 || ms % tick_ms != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", ms, " ms is no multiple of --tick-ms (", tick_ms, " ms)"));
  }
  *ticks = ms / tick_ms;
  return absl::OkStatus();
}

absl::Status Prefix(absl::string_view flag, const absl::Status& status) {
  return status.ok() ? status
                     : absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
}

// Everything about the flags that can be wrong without looking at the disk.
absl::Status Translate(NodeFlags& flags, net::RuntimeOptions* runtime,
                       storage::ExpectedIdentity* expected) {
  if (flags.data.empty()) return absl::InvalidArgumentError("--data is required");
  for (const auto& [flag, text, endpoint] :
       {std::tuple{"--listen-client", &flags.listen_client, &runtime->listen_client},
        std::tuple{"--listen-peer", &flags.listen_peer, &runtime->listen_peer}}) {
    absl::StatusOr<net::Endpoint> parsed = net::ParseEndpoint(*text);
    if (!parsed.ok()) return Prefix(flag, parsed.status());
    *endpoint = *std::move(parsed);
  }
  if (runtime->listen_client == runtime->listen_peer && runtime->listen_peer.port != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen-client and --listen-peer: both are ", flags.listen_peer));
  }
  if (!flags.advertise_peer.empty()) {
    const absl::StatusOr<net::Endpoint> address = net::ParseEndpoint(flags.advertise_peer);
    if (!address.ok()) return Prefix("--advertise-peer", address.status());
    runtime->advertise_peer = flags.advertise_peer;
  }
  for (const std::string& peer : flags.peers) {
    const absl::StatusOr<std::map<raft::NodeId, MemberAddresses>> parsed = ParseMemberList(peer);
    if (!parsed.ok()) return Prefix("--peer", parsed.status());
    for (const auto& [id, addresses] : *parsed) {
      if (!runtime->first_contacts.emplace(id, addresses.peer).second) {
        return absl::InvalidArgumentError(absl::StrCat("--peer: node ", id, " is there twice"));
      }
    }
  }
  if (!flags.cluster.empty()) {
    const absl::StatusOr<storage::ClusterId> cluster = ParseClusterIdFlag(flags.cluster);
    if (!cluster.ok()) return Prefix("--cluster-id", cluster.status());
    expected->cluster = *cluster;
  }
  expected->node = flags.node;

  raft::Options& raft = flags.replica.raft;
  flags.replica.tick_us = uint64_t{flags.tick_ms} * 1'000;
  absl::Status status =
      SetTicks("--heartbeat-ms", flags.heartbeat_ms, flags.tick_ms, &raft.heartbeat_ticks);
  status.Update(SetTicks("--election-ms", flags.election_ms, flags.tick_ms, &raft.election_ticks));
  if (flags.reads == "lease") {
    raft.read_mode = raft::ReadMode::kLease;
    status.Update(
        SetTicks("--lease-drift-ms", flags.lease_drift_ms, flags.tick_ms, &raft.lease_drift_ticks));
    if (status.ok() && flags.lease_drift_ms >= flags.election_ms) {
      status = absl::InvalidArgumentError(absl::StrCat("--lease-drift-ms (", flags.lease_drift_ms,
                                                       ") must be less than --election-ms (",
                                                       flags.election_ms, ")"));
    }
  }
  if (!status.ok()) return status;
  if (flags.heartbeat_ms >= flags.election_ms) {
    return absl::InvalidArgumentError(absl::StrCat("--heartbeat-ms (", flags.heartbeat_ms,
                                                   ") must be less than --election-ms (",
                                                   flags.election_ms, ")"));
  }
  runtime->stop_timeout_ms = flags.stop_timeout_ms;
  status = flags.storage.Validate();
  if (!status.ok()) return status;
  // Identity comes from the disk; the rest can be judged now.
  replica::Options named = flags.replica;
  named.raft.id = 1;
  named.incarnation = 1;
  return replica::ValidateOptions(named);
}

int OpenExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return kExitNotInitialised;
    case absl::StatusCode::kFailedPrecondition:
      return kExitNotOurs;
    case absl::StatusCode::kUnavailable:
      return kExitInUse;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:
      return kExitNotWritable;
    case absl::StatusCode::kDataLoss:
      return kExitDamaged;
    case absl::StatusCode::kUnimplemented:
      return kExitNewerFormat;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    default:
      return kExitUnexpected;
  }
}

void LogStart(const storage::Identity& identity, const storage::Recovered& recovered) {
  net::Log(net::LogLevel::kInfo, "starting",
           {{"version", RAFTKV_VERSION},
            {"node", identity.node},
            {"cluster", storage::ToHex(identity.cluster)},
            {"incarnation", identity.incarnation},
            {"term", recovered.hard_state.term},
            {"snapshot", recovered.snapshot.meta.index},
            {"entries", recovered.entries.size()},
            {"commit", recovered.commit},
            {"bad_entries", recovered.damage ? recovered.damage->bad.size() : 0}});
  for (const storage::RecoveryEvent& event : recovered.events) {
    net::Log(net::LogLevel::kWarn, "recovery",
             {{"file", event.file},
              {"offset", event.offset},
              {"bytes", event.bytes},
              {"what", event.text}});
  }
}

// From opening the data directory to the end, or until it has been repaired and is to be opened
// again: then `restart` is set, and `options` say where it listened.
int RunOnce(NodeFlags& flags, net::RuntimeOptions& options,
            const storage::ExpectedIdentity& expected, bool* restart) {
  options.seed = RandomNumber();
  absl::StatusOr<std::unique_ptr<storage::PosixDisk>> disk =
      storage::PosixDisk::Open(flags.data, storage::PosixDisk::IfMissing::kFail);
  if (!disk.ok()) {
    const bool no_directory = disk.status().code() == absl::StatusCode::kFailedPrecondition;
    return Complain(no_directory ? kExitDamaged : OpenExitCode(disk.status()),
                    disk.status().message());
  }
  absl::StatusOr<std::unique_ptr<storage::Storage>> opened =
      storage::Storage::Open(**disk, flags.storage, expected);
  if (!opened.ok()) return Complain(OpenExitCode(opened.status()), opened.status().message());
  const std::unique_ptr<storage::Storage> storage = *std::move(opened);

  storage::Recovered recovered = storage->TakeRecovered();
  const storage::Identity& identity = storage->identity();
  LogStart(identity, recovered);
  flags.replica.cluster = {identity.cluster.high, identity.cluster.low};
  flags.replica.raft.id = identity.node;
  flags.replica.incarnation = identity.incarnation;
  flags.replica.group = identity.group;

  replica::Boot boot;
  boot.recovered = {recovered.hard_state, recovered.snapshot.meta, std::move(recovered.entries),
                    recovered.commit, recovered.suspicion};
  boot.damage = std::move(recovered.damage);
  boot.snapshot_damaged = recovered.snapshot_damaged;
  boot.snapshot_size = recovered.snapshot.size;
  boot.snapshot_digest = recovered.snapshot.digest;
  boot.read_snapshot = [&](uint64_t offset, uint64_t length) {
    return storage->ReadSnapshot(recovered.snapshot.meta.index, offset, length);
  };
  boot.seed = RandomNumber();
  absl::StatusOr<std::unique_ptr<replica::Replica>> replica =
      replica::Replica::Create(flags.replica, std::move(boot));
  if (!replica.ok()) {
    const bool lost = absl::IsDataLoss(replica.status());
    return Complain(lost ? kExitLost : OpenExitCode(replica.status()),
                    absl::StrCat(flags.data, ": ", replica.status().message()));
  }

  absl::StatusOr<std::unique_ptr<net::Runtime>> runtime =
      net::Runtime::Create(options, *std::move(replica),
                           [&](const replica::Job& job) { return storage::RunJob(*storage, job); });
  if (!runtime.ok()) return Complain(kExitCannotListen, runtime.status().message());
  // Should it be opened again, clients and peers find it where it was.
  options.listen_client.port = (*runtime)->client_endpoint().port;
  options.listen_peer.port = (*runtime)->peer_endpoint().port;

  const absl::Status status = (*runtime)->Run();
  int code = kExitOk;
  if (!status.ok()) {
    code = absl::IsUnimplemented(status) ? kExitNewerFormat : kExitDiskFailed;
  }
  *restart = status.ok() && (*runtime)->wants_restart() && (*runtime)->disk_returned();
  net::Log(net::LogLevel::kInfo, *restart ? "opening the repaired data directory" : "stopped",
           {{"code", code}});
  // A thread that hangs in the disk cannot be waited for.
  if (!(*runtime)->disk_returned()) std::_Exit(code == kExitOk ? kExitDiskFailed : code);
  // One that looks a name up could, for as long as a name server is silent: longer than whoever
  // stops this node has patience.
  if (!*restart && (*runtime)->looking_up()) std::_Exit(code);
  return code;
}

int RunNode(NodeFlags& flags) {
  net::RuntimeOptions options;
  storage::ExpectedIdentity expected;
  if (absl::Status status = Translate(flags, &options, &expected); !status.ok()) {
    return Complain(kExitUsage, status.message());
  }
  net::StartLog(LevelNamed(flags.log_level),
                flags.log_format == "json" ? net::LogFormat::kJson : net::LogFormat::kText);

  const net::ConnectionLimits limits =
      net::FitConnections(net::RaiseFileLimit(), flags.replica.max_clients);
  if (limits.clients < flags.replica.max_clients) {
    net::Log(net::LogLevel::kWarn, "fewer clients than asked for",
             {{"clients", limits.clients}, {"reason", "the limit of open files (ulimit -n)"}});
    flags.replica.max_clients = limits.clients;
  }
  options.links.max_strangers = limits.strangers;

  for (;;) {
    bool restart = false;
    const int code = RunOnce(flags, options, expected, &restart);
    if (!restart) return code;
  }
}

int Main(int argc, char** argv) {
  CLI::App app(kDescription, "raftkv");
  app.footer(kFooter);
  app.set_version_flag("--version", RAFTKV_VERSION);
  app.set_config("--config", "", "file with options (TOML or INI)");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  NodeFlags node;
  DefineNode(app, node);
  InitFlags init;
  CLI::App* init_command = app.add_subcommand("init", "Gives a data directory its identity");
  init_command->footer("Exit codes: raftkv --help");
  DefineInit(*init_command, init);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return Complain(kExitUsage, absl::StrCat(WhatIsWrong(app, error), " (see raftkv --help)"));
  }
  return init_command->parsed() ? RunInit(init) : RunNode(node);
}

}  // namespace
}  // namespace raftkv

int main(int argc, char** argv) {
  raftkv::KeepStandardFiles();
  return raftkv::Main(argc, argv);
}
