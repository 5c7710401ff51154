// What the consensus core costs by itself: three voters in one thread, logs in memory, every
// message and every persist delivered in the loop. Nothing waits for a disk or a network, so what
// is left is the core.
//
//   raft_bench            proposals one by one, 1, 16 or 256 in each round, messages handed over as
//                         values or as encoded frames
//   raft_bench --store    a replicated store in one process, the table that small Raft stores
//   publish
//
// Allocations are counted by a replaced global operator new, after the first 10,000 proposals.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/kv/store.h"
#include "core/raft/check.h"
#include "core/raft/raft.h"
#include "core/raft/random.h"
#include "core/wire/command.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"

namespace {
uint64_t allocations = 0;

void* Counted(size_t bytes, size_t alignment) {
  ++allocations;
  void* block = alignment > alignof(std::max_align_t)
                    ? std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)
                    : std::malloc(bytes == 0 ? 1 : bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
}  // namespace

void* operator new(size_t bytes) { return Counted(bytes, 0); }
void* operator new[](size_t bytes) { return Counted(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return Counted(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return Counted(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
void operator delete[](void* block, size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { std::free(block); }

namespace raftkv {
namespace {

constexpr size_t kNodes = 3;
constexpr uint64_t kWarmUp = 10'000;
// So many applied entries are behind each compaction of the log.
constexpr raft::Index kCompactEvery = 4'096;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

uint64_t ResidentKiB() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long size = 0, resident = 0;
  const bool read = file != nullptr && std::fscanf(file, "%lu %lu", &size, &resident) == 2;
  if (file != nullptr) std::fclose(file);
  return read ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) / 1024 : 0;
}

// Three nodes and everything between them. `Machine::Apply(index, payload)` is called on each for
// each committed command.
template <typename Machine>
class Trio {
 public:
  explicit Trio(bool encoded, raft::ReadMode read_mode = raft::ReadMode::kQuorum)
      : encoded_(encoded) {
    raft::SnapshotMeta founding{1, 1, {{1, 2, 3}, {}, {}, {}, false}};
    for (size_t i = 0; i < kNodes; ++i) {
      raft::Options options;
      options.id = i + 1;
      options.read_mode = read_mode;
      raft::Recovered recovered;
      recovered.snapshot = founding;
      auto created = raft::Raft::Create(options, std::move(recovered), i + 1);
      RAFTKV_CHECK(created.ok());
      nodes_.push_back(*std::move(created));
      offers_[i] = founding;
    }
    RAFTKV_CHECK(leader().Campaign() == raft::Outcome::kOk);
    Drain();
    RAFTKV_CHECK(leader().committed_in_term());
    if (read_mode == raft::ReadMode::kLease) Beat();
  }

  raft::Raft& leader() { return nodes_[0]; }
  Machine& machine(size_t i) { return machines_[i]; }
  const raft::ReadPoints& reads() const { return reads_; }
  void ClearReads() { reads_.clear(); }

  // One heartbeat: what a real driver's clock does now and then.
  void Beat() {
    for (uint32_t tick = 0; tick < leader().options().heartbeat_ticks; ++tick) leader().Tick();
    Drain();
  }

  void Drain() {
    for (bool busy = true; busy;) {
      busy = false;
      for (size_t i = 0; i < kNodes; ++i) {
        while (nodes_[i].HasReady()) {
          Turn(i);
          busy = true;
        }
      }
    }
  }

 private:
  void Turn(size_t i) {
    raft::Raft& node = nodes_[i];
    raft::Ready ready = node.TakeReady();
    Deliver(ready.send_now);
    if (ready.persist) node.Persisted(ready.persist->ticket);
    Deliver(ready.send_after_persist);
    for (const raft::Entry& entry : ready.committed) {
      if (entry.payload.empty()) continue;
      machines_[i].Apply(entry.index, entry.payload);
    }
    reads_.insert(reads_.end(), ready.reads.begin(), ready.reads.end());
    if (ready.committed.empty()) return;
    node.Applied(ready.committed.back().index);
    if (node.applied() < node.log().base() + kCompactEvery) return;
    offers_[i].index = node.applied();
    offers_[i].term = *node.log().TermAt(node.applied());
    node.SnapshotAvailable(offers_[i]);
    node.Compact(node.applied());
  }

  template <typename Messages>
  void Deliver(Messages& messages) {
    for (raft::Message& message : messages) {
      raft::Raft& to = nodes_[message.to - 1];
      if (!encoded_) {
        to.Step(std::move(message));
        continue;
      }
      const wire::Envelope envelope{0, message.from, message.from + 100, message.to,
                                    message.to + 100};
      const absl::string_view frame = encoder_.Encode(envelope, message);
      RAFTKV_CHECK(wire::DecodePeer(frame.substr(wire::kFrameHeaderSize), &received_).ok());
      to.Step(std::move(std::get<raft::Message>(received_.body)));
    }
  }

  bool encoded_;
  std::vector<raft::Raft> nodes_;
  std::array<raft::SnapshotMeta, kNodes> offers_;
  std::array<Machine, kNodes> machines_;
  raft::ReadPoints reads_;
  wire::PeerEncoder encoder_;
  wire::PeerMessage received_;
};

// ---- The core

struct Counter {
  void Apply(raft::Index, const raft::Payload&) { ++applied; }
  uint64_t applied = 0;
};

void MeasureCore(uint64_t batch, bool encoded, uint64_t proposals, size_t bytes, bool csv) {
  Trio<Counter> trio(encoded);
  const std::string command(bytes, 'c');
  uint64_t proposed = 0;
  double begin = 0;
  uint64_t begin_allocations = 0, begin_resident = 0;
  while (proposed < kWarmUp + proposals) {
    if (proposed >= kWarmUp && begin == 0) {
      begin_allocations = allocations;
      begin_resident = ResidentKiB();
      begin = Seconds();
      proposed = kWarmUp;
    }
    for (uint64_t i = 0; i < batch; ++i) {
      RAFTKV_CHECK(trio.leader().Propose(raft::Payload::Copy(command)).outcome ==
                   raft::Outcome::kOk);
    }
    proposed += batch;
    trio.Drain();
    RAFTKV_CHECK(trio.machine(0).applied >= proposed);
  }
  const double seconds = Seconds() - begin;
  const uint64_t allocated = allocations - begin_allocations;
  const uint64_t resident = ResidentKiB();
  const auto count = static_cast<double>(proposed - kWarmUp);
  for (size_t i = 0; i < kNodes; ++i) RAFTKV_CHECK(trio.machine(i).applied >= proposed);
  std::printf(csv ? "%llu,%s,%.0f,%.1f,%llu,%llu,%llu\n"
                  : "%7llu  %-11s %12.0f %10.1f %12llu %15llu %13llu\n",
              static_cast<unsigned long long>(batch), encoded ? "encoded" : "handed over",
              count / seconds, seconds / count * 1e9, static_cast<unsigned long long>(allocated),
              static_cast<unsigned long long>(begin_resident),
              static_cast<unsigned long long>(resident));
  std::fflush(stdout);
}

// ---- A store

struct StoreMachine {
  void Apply(raft::Index index, const raft::Payload& payload) {
    RAFTKV_CHECK(wire::DecodeCommand(payload.view(), &command, nullptr) ==
                 wire::CommandDecode::kOk);
    store.Apply(index, command);
    ++applied;
  }
  kv::Store store{kv::StoreOptions()};
  kv::Command command;
  uint64_t applied = 0;
};

class StoreBench {
 public:
  explicit StoreBench(raft::ReadMode read_mode) : trio_(false, read_mode) {
    write_.ops.resize(1);
    write_.ops[0].kind = kv::OpKind::kSet;
    write_.ops[0].value = value_;
    read_.ops.resize(1);
    read_.ops[0].kind = kv::OpKind::kGet;
    for (uint64_t i = 0; i < kKeys; ++i) Write(i);
    trio_.Drain();
  }

  // Each of `writers` waits for its answer before it writes again: so many in each round.
  double Writes(uint64_t writers, uint64_t count) {
    return Rate(count, [&](uint64_t) {
      for (uint64_t i = 0; i < writers; ++i) Write(random_.Below(kKeys));
      trio_.Drain();
      return writers;
    });
  }

  // One reader: a read point, confirmed, then the value.
  double Reads(uint64_t count) {
    return Rate(count, [&](uint64_t) {
      Read();
      return uint64_t{1};
    });
  }

  double Mixed(uint64_t count) {
    return Rate(count, [&](uint64_t i) {
      if (i % 5 == 4) {
        Write(random_.Below(kKeys));
        trio_.Drain();
      } else {
        Read();
      }
      return uint64_t{1};
    });
  }

 private:
  static constexpr uint64_t kKeys = 10'000;

  template <typename Step>
  double Rate(uint64_t count, Step step) {
    const double begin = Seconds();
    uint64_t done = 0;
    // A lease wants a heartbeat now and then; ten thousand operations are some milliseconds.
    for (uint64_t next_beat = 10'000; done < count;) {
      done += step(done);
      if (done >= next_beat) {
        trio_.Beat();
        next_beat += 10'000;
      }
    }
    return static_cast<double>(done) / (Seconds() - begin);
  }

  absl::string_view Key(uint64_t number) {
    for (size_t i = key_.size(); i > 4; --i, number /= 10) {
      key_[i - 1] = static_cast<char>('0' + number % 10);
    }
    return key_;
  }

  void Write(uint64_t number) {
    write_.ops[0].key = Key(number);
    const raft::Proposed proposed = trio_.leader().Propose(encoder_.EncodePayload(write_));
    RAFTKV_CHECK(proposed.outcome == raft::Outcome::kOk);
  }

  void Read() {
    trio_.ClearReads();
    RAFTKV_CHECK(trio_.leader().RequestRead(++context_) == raft::Outcome::kOk);
    trio_.Drain();
    RAFTKV_CHECK(trio_.reads().size() == 1 && trio_.reads()[0].context == context_ &&
                 trio_.reads()[0].index <= trio_.leader().applied());
    read_.ops[0].key = Key(random_.Below(kKeys));
    const kv::Result result = trio_.machine(0).store.Read(read_);
    RAFTKV_CHECK(std::get<kv::VersionedValue>(result.ops[0]).value.size() == value_.size());
  }

  Trio<StoreMachine> trio_;
  wire::CommandEncoder encoder_;
  std::string key_ = "key:000000000000";
  std::string value_ = std::string(100, 'v');
  kv::Command write_;
  kv::Command read_;
  uint64_t context_ = 0;
  Random random_{1};
};

void MeasureStore(uint64_t count) {
  std::printf("%-38s %14s\n", "three replicas, nothing synced", "operations/s");
  const auto print = [](const char* what, double rate) {
    std::printf("%-38s %14.0f\n", what, rate);
    std::fflush(stdout);
  };
  StoreBench quorum(raft::ReadMode::kQuorum);
  StoreBench lease(raft::ReadMode::kLease);
  print("1 writer", quorum.Writes(1, count));
  print("4 writers", quorum.Writes(4, count));
  print("1 reader, confirmed by a quorum", quorum.Reads(count));
  print("1 reader, under a lease", lease.Reads(count));
  print("80 % reads, confirmed by a quorum", quorum.Mixed(count));
  print("80 % reads, under a lease", lease.Mixed(count));
}

int Main(int argc, char** argv) {
  CLI::App app("What the consensus core costs by itself: three voters in one thread");
  uint64_t proposals = 1'000'000;
  size_t bytes = 116;
  std::vector<uint64_t> batches = {1, 16, 256};
  std::string transport = "both";
  bool store = false, csv = false;
  app.add_option("--proposals", proposals, "Measured, for each row")->check(CLI::Range(1, 1 << 30));
  app.add_option("--bytes", bytes, "Of each proposal")->check(CLI::Range(1, 1 << 20));
  app.add_option("--batches", batches, "Proposals in each round")->delimiter(',');
  app.add_option("--transport", transport, "How messages travel")
      ->check(CLI::IsMember({"values", "encoded", "both"}));
  app.add_flag("--store", store, "A replicated store instead of the core alone");
  app.add_flag("--csv", csv, "Rows without a head: batch,transport,rate,ns,allocations,KiB,KiB");
  CLI11_PARSE(app, argc, argv);
  if (store) {
    MeasureStore(proposals);
    return 0;
  }
  if (!csv) {
    std::printf("%7s  %-11s %12s %10s %12s %15s %13s\n", "a round", "messages", "proposals/s",
                "ns each", "allocations", "resident before", "after, KiB");
  }
  for (const bool encoded : {false, true}) {
    if (transport == (encoded ? "values" : "encoded")) continue;
    for (const uint64_t batch : batches) MeasureCore(batch, encoded, proposals, bytes, csv);
  }
  return 0;
}

}  // namespace
}  // namespace raftkv

int main(int argc, char** argv) { return raftkv::Main(argc, argv); }
