// Writes the seeds of peer_frame, resp_request and command from the samples that the tests use,
// those of the files of a data directory and of what is in a snapshot, and the programs of
// core_cluster and core_peer:
//
//   fuzz_make_seeds fuzz/corpus
//
// Run it after a format changed or a sample was added, and commit what it wrote.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "core/kv/result.h"
#include "core/kv/snapshot.h"
#include "core/kv/store.h"
#include "core/raft/random.h"
#include "core/wire/command.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "fuzz/core_cluster_program.h"
#include "sim/disk/sim_disk.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/log_format.h"
#include "storage/records.h"
#include "storage/snapshot_store.h"
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

// Short stories that together use every instruction; the fuzzer interrupts and varies them.
std::vector<std::pair<std::string, std::string>> ClusterPrograms() {
  using raftkv::raft::Instruction;
  using enum raftkv::raft::Op;
  struct Header {
    uint8_t shape = 0;  // nodes: 3 + shape % 3
    uint8_t flags = 0;
    uint8_t limits = 0;
    uint8_t times = 0;
    uint8_t start = 0x20;  // with node 1 leading
  };
  const auto program = [](Header header, const std::vector<uint8_t>& instructions) {
    std::string bytes;
    for (const uint8_t byte :
         {header.shape, header.flags, header.limits, header.times, header.start}) {
      bytes.push_back(static_cast<char>(byte));
    }
    for (const uint8_t byte : instructions) bytes.push_back(static_cast<char>(byte));
    return bytes;
  };
  constexpr uint8_t kAddVoter4 = 3 << 3 | 0, kAddLearner4 = 3 << 3 | 2, kRemove3 = 2 << 3 | 3,
                    kLeave = 4, kSwap4For1 = 3 << 3 | 5, kExplicit = 2 << 3 | 6;
  // Of three nodes, the one that is number `node` loses its last entries; 0: its write is torn.
  const auto lose = [](unsigned node, unsigned entries) {
    return static_cast<uint8_t>((node + 3 * entries) << 3 | 5);
  };
  return {
      {"replicate",
       program({}, {Instruction(kPropose, 0), Instruction(kBegin, 0), Instruction(kDeliverTo, 1),
                    Instruction(kBegin, 1), Instruction(kFinish, 1), Instruction(kFinish, 0),
                    Instruction(kDeliverOldest, 0), Instruction(kDrive, 0),
                    Instruction(kDeliverNewest, 2), Instruction(kDriveAll, 1)})},
      {"election_by_hand",
       program({.start = 0},
               {Instruction(kTickToElection, 1), Instruction(kDrive, 1),
                Instruction(kDeliverFrom, 1), Instruction(kDriveAll, 0), Instruction(kDeliverTo, 1),
                Instruction(kRun, 2), Instruction(kTick, 5), Instruction(kCampaign, 2)})},
      {"cut_leader", program({.shape = 2}, {Instruction(kCut, 5), Instruction(kProposeMany, 3),
                                            Instruction(kDrive, 5), Instruction(kElect, 2),
                                            Instruction(kProposeMany, 1), Instruction(kRun, 1),
                                            Instruction(kCut, 6), Instruction(kRun, 3)})},
      {"stale_read",
       program({}, {Instruction(kCut, 5), Instruction(kElect, 1), Instruction(kRead, 6),
                    Instruction(kPropose, 5), Instruction(kRun, 1), Instruction(kRead, 6),
                    Instruction(kCut, 6), Instruction(kRead, 2), Instruction(kRun, 1)})},
      {"lease", program({.flags = 0x40},
                        {Instruction(kRead, 5), Instruction(kTickAll, 0), Instruction(kRun, 1),
                         Instruction(kRead, 5), Instruction(kTransfer, 1), Instruction(kRead, 5),
                         Instruction(kRun, 2), Instruction(kCrash, 2), Instruction(kRestart, 2),
                         Instruction(kElect, 2)})},
      {"lease_late_offer",
       program({.flags = 0x40},
               {Instruction(kRun, 3), Instruction(kTransfer, 1), Instruction(kDrive, 0),
                Instruction(kDrop, 4), Instruction(kTickAll, 0), Instruction(kRun, 1),
                Instruction(kTickAll, 0), Instruction(kRun, 1), Instruction(kTickAll, 0),
                Instruction(kRun, 1), Instruction(kTickAll, 0), Instruction(kRun, 1),
                Instruction(kLate, 0), Instruction(kCut, 0), Instruction(kRun, 3),
                Instruction(kRead, 0), Instruction(kDrive, 0)})},
      {"lease_fresh_node", program({.shape = 12, .flags = 0x40}, {Instruction(kRun, 3),
                                                                  Instruction(kMembership, 0),
                                                                  2 << 3,
                                                                  Instruction(kDrive, 0),
                                                                  Instruction(kDeliverTo, 1),
                                                                  Instruction(kDrive, 1),
                                                                  Instruction(kDeliverTo, 0),
                                                                  Instruction(kDrive, 0),
                                                                  Instruction(kDeliverTo, 1),
                                                                  Instruction(kDrive, 1),
                                                                  Instruction(kDropTo, 2),
                                                                  Instruction(kTickAll, 0),
                                                                  Instruction(kDrive, 0),
                                                                  Instruction(kDropTo, 1),
                                                                  Instruction(kDeliverTo, 2),
                                                                  Instruction(kBegin, 2),
                                                                  Instruction(kDeliverTo, 0),
                                                                  Instruction(kDrive, 0),
                                                                  Instruction(kCrash, 2),
                                                                  Instruction(kRestart, 2),
                                                                  Instruction(kCut, 0),
                                                                  Instruction(kTickToElection, 1),
                                                                  Instruction(kRun, 7),
                                                                  Instruction(kRead, 0),
                                                                  Instruction(kDrive, 0)})},
      {"snapshot",
       program({.limits = 5},
               {Instruction(kCut, 2), Instruction(kProposeMany, 7), Instruction(kRun, 3),
                Instruction(kCompact, 0), Instruction(kCut, 2), Instruction(kTickAll, 1),
                Instruction(kRun, 3), Instruction(kCrashWritten, 2), Instruction(kRestart, 2)})},
      {"slow_disks", program({.start = 0x27}, {Instruction(kProposeMany, 3), Instruction(kRun, 1),
                                               Instruction(kCrash, 5), Instruction(kElect, 1),
                                               Instruction(kRestart, 0), Instruction(kRun, 4)})},
      {"membership",
       program({.shape = 10}, {Instruction(kMembership, 5), kAddLearner4, Instruction(kRun, 2),
                               Instruction(kMembership, 5), kAddVoter4, Instruction(kRun, 2),
                               Instruction(kMembership, 5), kRemove3, Instruction(kRun, 2)})},
      {"joint",
       program({.shape = 10},
               {Instruction(kMembership, 5), kSwap4For1, Instruction(kRun, 4),
                Instruction(kElect, 3), Instruction(kMembership, 5), kExplicit,
                Instruction(kRun, 3), Instruction(kMembership, 5), kLeave, Instruction(kRun, 2)})},
      {"late_messages",
       program({}, {Instruction(kPropose, 5), Instruction(kDriveAll, 0), Instruction(kRepeat, 0),
                    Instruction(kRepeat, 5), Instruction(kPropose, 5), Instruction(kDriveAll, 1),
                    Instruction(kDrop, 4), Instruction(kLate, 0), Instruction(kDrop, 1),
                    Instruction(kDropTo, 2), Instruction(kDeliverFront, 2)})},
      {"partition",
       program({.shape = 2, .flags = 2 | 32},
               {Instruction(kPartition, 3), Instruction(kProposeMany, 2), Instruction(kElect, 3),
                Instruction(kProposeMany, 2), Instruction(kDriveAll, 0), Instruction(kPartition, 0),
                Instruction(kPropose, 4), Instruction(kRun, 2)})},
      {"lost_end", program({}, {Instruction(kProposeMany, 2), Instruction(kRun, 2),
                                Instruction(kOther, 0), lose(1, 1), Instruction(kRun, 2),
                                Instruction(kPropose, 5), Instruction(kOther, 0), lose(2, 2),
                                Instruction(kElect, 2), Instruction(kRun, 3)})},
      {"lost_late_acknowledgement",
       program({}, {Instruction(kPropose, 0), Instruction(kBegin, 0), Instruction(kDeliverTo, 1),
                    Instruction(kDrive, 1), Instruction(kOther, 0), lose(1, 1),
                    Instruction(kDeliverTo, 0), Instruction(kDrive, 0), Instruction(kCrash, 0),
                    Instruction(kElect, 2), Instruction(kRestart, 0), Instruction(kRun, 3)})},
      {"torn_everywhere",
       program({.start = 0x27},
               {Instruction(kPropose, 0), Instruction(kBegin, 0), Instruction(kDeliverTo, 1),
                Instruction(kDeliverTo, 2), Instruction(kBegin, 1), Instruction(kBegin, 2),
                Instruction(kOther, 0), lose(0, 0), Instruction(kOther, 0), lose(1, 0),
                Instruction(kOther, 0), lose(2, 0), Instruction(kRun, 3)})},
      {"lies", program({.flags = 0xc0},
                       {Instruction(kPropose, 0), Instruction(kDriveAll, 0), Instruction(kLie, 0),
                        7, Instruction(kLie, 0), 0x08, Instruction(kDriveAll, 1),
                        Instruction(kLie, 1), 0x3f, Instruction(kRun, 2)})},
      {"other", program({}, {Instruction(kOther, 0), 1 << 3, Instruction(kOther, 0), 1 << 3 | 1,
                             Instruction(kOther, 0), 17 << 3 | 2, Instruction(kOther, 0), 3,
                             Instruction(kOther, 0), 3 << 3 | 4, Instruction(kOther, 0), 5,
                             Instruction(kOther, 0), 7 << 3 | 6, Instruction(kOther, 0), 7,
                             Instruction(kOther, 0), 1 << 3 | 7, Instruction(kRun, 1)})},
  };
}

// A segment with three batches, and what faults leave of it.
std::vector<std::pair<std::string, std::string>> Segments() {
  using namespace raftkv::storage;
  SegmentHeader header;
  header.owner = {{0x0123456789abcdef, 0xfedcba9876543210}, 3, 1, 0, 0};
  header.segment = 2;
  header.first_sequence = 5;
  header.base_index = 10;
  header.base_term = 2;
  header.previous_segment = 1;
  header.previous_end = 2048;
  header.block_bytes = 512;
  header.segment_bytes = 8192;
  header.commit = 9;
  header.suspicion = raftkv::raft::Suspicion{12, 3, raftkv::raft::Suspicion::Evidence::kBlank};
  std::string whole = EncodeSegmentHeader(header);
  const auto entry = [](raftkv::raft::Term term, raftkv::raft::Index index, size_t bytes) {
    return raftkv::raft::Entry{term, index, raftkv::raft::Payload::Copy(std::string(bytes, 'p')),
                               raftkv::raft::EntryType::kCommand};
  };
  Note before{4, 10, {}};
  const auto add = [&](BatchHeader batch, const std::vector<raftkv::raft::Entry>& entries) {
    AppendBatch(whole, header.seed(), whole.size(), 512, before, batch, entries.data(),
                entries.data() + entries.size());
    before = NoteOf(batch, entries.data(), entries.data() + entries.size());
  };
  add({5, 4, 10, 2, 9, 0, 0}, {entry(2, 11, 3), entry(3, 12, 40)});
  add({6, 5, 12, 3, 11, 0, 0}, {entry(3, 13, 700), entry(3, 14, 0)});
  add({7, 6, 13, 3, 12, 0, 0}, {entry(4, 14, 8)});
  AppendFoot(whole, header.seed(), whole.size(), 512, before);
  const auto with = [&whole](size_t from, size_t bytes, char filling) {
    std::string changed = whole;
    changed.replace(from, bytes, bytes, filling);
    return changed;
  };
  return {{"whole", whole},
          {"no_foot", whole.substr(0, whole.size() - 512)},
          {"first_header_bad", with(40, 1, 'x')},
          {"note_bad", with(1536 + 20, 1, 'x')},
          {"batch_header_bad", with(1536 + kNoteBytes + 8, 1, 'x')},
          {"entry_header_bad", with(1536 + kBatchHeadBytes + 8, 1, 'x')},
          {"payload_bad", with(1536 + kBatchHeadBytes + 300, 1, 'x')},
          {"block_garbage", with(1536, 512, 'x')},
          {"two_blocks_garbage", with(1024, 1024, 'x')},
          {"last_batch_zero", with(2560, 512, '\0')},
          {"last_batch_and_foot_garbage", with(2560, 1024, 'x')},
          {"cut_in_payload", whole.substr(0, 1536 + kBatchHeadBytes + 200)}};
}

using Seeds = std::vector<std::pair<std::string, std::string>>;

// Programs of cluster_run: a seed and a profile, then knobs, turns, changed decisions and faults.
Seeds RunPrograms();

std::string Bytes(const std::vector<int>& values) {
  std::string bytes;
  for (const int value : values) bytes.push_back(static_cast<char>(value));
  return bytes;
}

// Modes as in fuzz/slot_oracle.h: bytes of both slots as they are (0) or sealed (1), or the record
// of the target's own program, with edits (2). `prefix` is what the target reads in front.
Seeds SlotSeeds(const raftkv::storage::SlotFile& file, const std::string& payload,
                const std::string& prefix) {
  using raftkv::storage::EncodeSlot;
  using raftkv::storage::kSlotBytes;
  const size_t length = raftkv::storage::kSlotOverhead + payload.size();
  const auto slot = [&](uint64_t number, uint64_t generation) {
    return EncodeSlot(file, number * kSlotBytes, {generation, payload}).substr(0, length);
  };
  const auto both = [&](int mode, const std::string& first, const std::string& second) {
    const int size = static_cast<int>(first.size());
    return prefix + Bytes({mode, size & 0xff, size >> 8}) + first + second;
  };
  std::string newer_program = slot(0, 3);
  newer_program[8] = 2;
  std::string long_payload = slot(0, 3);
  long_payload[25] = 15;
  // Two records of ten bytes of choices each, generation 5 and 6.
  const auto written = [&](int state, const std::vector<int>& edits) {
    return prefix + Bytes({2, 4, state}) + std::string(20, '\x03') + Bytes(edits);
  };
  return {{"whole", both(0, slot(0, 3), slot(1, 3))},
          {"second_older", both(0, slot(0, 4), slot(1, 3))},
          {"second_only", both(0, "", slot(1, 3))},
          {"largest_generation", both(1, slot(0, uint64_t{1} << 62), slot(1, 3))},
          {"newer_program", both(1, newer_program, slot(1, 3))},
          {"long_payload", both(1, long_payload, slot(1, 3))},
          {"written", written(2, {})},
          {"written_between_syncs", written(1, {})},
          {"written_one_flipped", written(0, {1, 40, 0, 3})},
          {"written_cut", written(1, {5, 0, 16, 0})}};
}

Seeds RunPrograms() {
  const auto fault = [](int at, int kind, int aim, int lasts) {
    return Bytes({3, 0, at, kind, aim, 0, lasts});
  };
  constexpr int kPartition = 0, kIsolation = 1, kOneWay = 2, kClog = 3, kPowerLoss = 4, kKill = 5,
                kPause = 6, kTransfer = 10, kMembership = 11;
  constexpr int kRemove3 = 7 * 2, kAdd6 = 7 * 5 + 98;
  return {{"membership", Bytes({1, 0, 0})},
          {"network", Bytes({2, 0, 1})},
          {"crashes", Bytes({3, 0, 2})},
          {"five_nodes_and_losses", Bytes({4, 0, 1, 0, 0, 0xb0, 0xaa, 0, 2, 0, 0x80})},
          {"turns", Bytes({5, 0, 0, 1, 0, 64, 7, 0, 1, 0, 128, 8, 0})},
          {"decisions", Bytes({6, 0, 2, 2, 100, 1, 5, 0, 2, 200, 2, 6, 0, 2, 44, 3, 1, 0})},
          {"cut_and_killed", Bytes({7, 0, 1}) + fault(60, kPartition, 0b0110, 64) +
                                 fault(90, kKill, 2, 30) + fault(150, kIsolation, 0, 40)},
          {"deaf_and_held", Bytes({8, 0, 2}) + fault(40, kOneWay, 0b0011, 50) +
                                fault(110, kClog, 0b1000, 60) + fault(200, kPause, 1, 40)},
          {"members_under_fire", Bytes({9, 0, 0}) + fault(50, kMembership, kAdd6, 0) +
                                     fault(80, kMembership, kRemove3, 0) +
                                     fault(85, kPowerLoss, 0, 30) + fault(120, kTransfer, 8, 0)}};
}

Seeds SnapshotSeeds() {
  using namespace raftkv::storage;
  raftkv::sim::SimDisk disk{raftkv::sim::SimDisk::Options{}};
  Options options;
  options.snapshot_chunk_bytes = 64;
  const Identity owner{{0x0123456789abcdef, 0xfedcba9876543210}, 3, 1, 0, 0};
  auto writer = SnapshotWriter::Create(disk, owner, options, SnapshotSource::kLocal,
                                       {2, 2, {{1, 2, 3}, {}, {4}, {}, false}});
  if (!writer.ok() || !(*writer)->Append(std::string(150, 's')).ok()) return {};
  while (!(*writer)->finished()) {
    if (!(*writer)->FinishStep(std::nullopt).ok()) return {};
  }
  auto file = disk.Open(SnapshotName(2, SnapshotSource::kLocal), Disk::Mode::kRead);
  std::string whole(*(*file)->Size(), '\0');
  if (!(*file)->Read(0, whole.data(), whole.size()).ok()) return {};
  const std::string body = whole.substr(kSnapshotHeaderBytes);
  const auto raw = [&](int mode, const std::string& header, const std::string& rest) {
    const int size = static_cast<int>(header.size());
    return Bytes({mode}) + std::string(12, '\x10') + Bytes({size & 0xff, size >> 8}) + header +
           rest;
  };
  const std::string header = whole.substr(0, 148);
  std::string no_chunks = header;
  no_chunks[68] = 0;
  const auto written = [](const std::vector<int>& edits) {
    return Bytes({2}) + std::string(12, '\x10') + Bytes({20, 0, 1, 2, 150, 0}) + Bytes(edits);
  };
  return {{"whole", raw(0, header, body)},
          {"one_chunk_less", raw(1, header, body.substr(96))},
          {"chunks_of_nothing", raw(1, no_chunks, body)},
          {"header_only", raw(1, header, "")},
          {"written", written({})},
          {"written_chunk_flipped", written({1, 40, 16, 3})},
          {"written_cut", written({5, 100, 16, 0})},
          {"written_longer", written({6, 0, 0, 9})}};
}

// fuzz/data_directory.cc: which directory, and edits.
Seeds DirectorySeeds() {
  return {{"grown", Bytes({0})},
          {"installed", Bytes({1})},
          {"fresh", Bytes({2})},
          {"sealed", Bytes({128})},
          {"segment_gone", Bytes({0, 0x21})},
          {"newest_gone", Bytes({0, 0x41})},
          {"payload_flipped", Bytes({0, 0x28, 1, 240, 4, 3})},
          {"two_blocks_garbage", Bytes({0, 0x28, 132, 0, 6, 2})},
          {"last_batch_zero", Bytes({0, 0x48, 131, 0, 4, 1})},
          {"both_votes_bad", Bytes({0, 0x88, 1, 40, 0, 1, 0x88, 1, 40, 16, 1})},
          {"old_vote", Bytes({0, 0x74})},
          {"marks_gone_and_tail_cut", Bytes({0, 0x61, 0x48, 5, 0, 8, 0})},
          {"unreadable", Bytes({0, 0x25, 0, 4, 20})},
          {"stray_segment", Bytes({0, 0x22, 0x7f})},
          {"far_sequence", Bytes({128, 0x36, 64, 0, 27})},
          {"long_segment", Bytes({128, 0x46, 112, 0, 16})},
          {"far_base", Bytes({128, 0x46, 72, 0, 13})},
          {"vote_gone", Bytes({0, 0x81})},
          {"manifest_gone", Bytes({0, 0x51})},
          // A number in both copies of a record.
          {"identity_of_no_node", Bytes({129, 0x06, 48, 0, 0, 0x06, 48, 16, 0})},
          {"manifest_without_a_log", Bytes({129, 0x56, 32, 0, 0, 0x56, 32, 16, 0})},
          {"vote_of_another_node", Bytes({129, 0x86, 48, 0, 1, 0x86, 48, 16, 1})},
          {"vote_of_another_life", Bytes({129, 0x86, 56, 0, 2, 0x86, 56, 16, 2})},
          {"snapshot_of_a_newer_program", Bytes({129, 0x76, 8, 0, 2})}};
}

std::string StoreBytes(raftkv::kv::Store* store) {
  std::string bytes;
  raftkv::kv::SnapshotWriter writer(store->View());
  while (!writer.done()) writer.Next(1 << 20, &bytes);
  return bytes;
}

// fuzz/kv_snapshot.cc.
Seeds StoreSeeds() {
  using namespace raftkv::kv;
  StoreOptions options;
  options.sessions.max_sessions = 3;
  options.sessions.results_kept = 2;
  options.sessions.kept_result_bytes = 64;
  options.sessions.idle_ms = 50;
  Store store(options);
  const std::string start(1 + 1 + 16, '\x05');
  const auto raw = [&](char mode, const std::string& bytes) {
    std::string seed = start + bytes;
    seed[0] = mode;
    return seed;
  };
  const std::string empty = StoreBytes(&store);
  const auto apply = [&](raftkv::raft::Index index, OpKind kind, uint64_t session,
                         uint64_t sequence, absl::string_view key) {
    Command command;
    command.session = session;
    command.sequence = sequence;
    Op op;
    op.kind = kind;
    op.key = key;
    op.value = kind == OpKind::kSet ? "value" : "";
    command.ops = {op};
    store.Apply(index, command);
  };
  apply(1, OpKind::kSet, 0, 0, "a");
  apply(2, OpKind::kOpenSession, 0, 0, "");
  apply(3, OpKind::kSet, 2, 1, "b");
  apply(4, OpKind::kGet, 2, 2, "b");
  apply(5, OpKind::kOpenSession, 0, 0, "");
  const std::string whole = StoreBytes(&store);
  std::string many = whole;
  many.replace(64, 8, std::string(7, '\xff') + '\x7f');
  // The first session has forgotten a result that is there. Its value is behind tag, key, version.
  std::string forgotten = whole;
  const size_t session = forgotten.find(std::string("\x02\x08\0\0", 4));
  if (session == std::string::npos) return {};
  forgotten[session + 12 + 16] = 1;
  // A program of five commands, then edits.
  const std::string program =
      std::string(1, 2) + start.substr(1) + Bytes({12, 0, 0x29, 'v', 'w', 3, 1, 1, 4, 1, 2, 5, 1});
  return {{"empty", raw(0, empty)},
          {"whole", raw(0, whole)},
          {"sealed", raw(1, whole)},
          {"endless_counts", raw(1, many)},
          {"result_below_floor", raw(1, forgotten)},
          {"cut", raw(0, whole.substr(0, whole.size() - 20))},
          {"written", program},
          {"written_flipped", program + Bytes({1, 90, 0, 2})}};
}

Seeds ResultSeeds() {
  using namespace raftkv::kv;
  using raftkv::raft::Payload;
  Result all;
  all.index = 300;
  all.ops = {Nil{},
             Done{},
             int64_t{-3},
             VersionedValue{7, Payload::Copy("value")},
             Page{{{"a", 1, Payload::Copy("x")}, {"", 2, Payload()}}, true, "b"},
             ConditionNotMet{UINT64_MAX},
             OpError::kReplyTooLarge};
  Result guard;
  guard.outcome = Outcome::kGuardFailed;
  guard.failed_guard = kMaxGuards - 1;
  guard.observed_version = 12;
  // A count of operations that are not there.
  return {{"every_kind", EncodeResult(all)},
          {"guard_failed", EncodeResult(guard)},
          {"many_operations", Bytes({1, 0, 1, 0, 0, 0xff, 0xff, 3, 0})},
          {"many_entries", Bytes({1, 0, 1, 0, 0, 1, 4, 0x90, 0x4e, 0})}};
}

Seeds MarksSeeds() {
  using namespace raftkv::storage;
  const SlotFile file{"marks", absl::string_view("RKVMARK\n", 8),
                      FileSeed({0x0123456789abcdef, 0xfedcba9876543210}, FileKind::kMarks, 0)};
  std::string payload;
  for (const int value : {6, 9, 3, 4, 2560}) PutU64(payload, static_cast<uint64_t>(value));
  return SlotSeeds(file, payload, "");
}

// Every format of a data directory: seeds by target.
std::vector<std::pair<std::string, Seeds>> StorageSeeds() {
  using namespace raftkv::storage;
  const ClusterId cluster{0x0123456789abcdef, 0xfedcba9876543210};
  Manifest manifest;
  manifest.snapshot = {{2, 2, {{1, 2, 3}, {}, {4}, {}, false}}, 33, 7, SnapshotSource::kLocal};
  Manifest large = manifest;
  large.snapshot.meta.conf = {std::vector<raftkv::raft::NodeId>(256, 1), {}, {}, {}, false};
  std::string too_many = *EncodeManifest(large);
  constexpr size_t kVoters = 48;
  too_many[kVoters] = 1;  // 257
  too_many.insert(kVoters + 4, std::string(8, '\x01'));
  Seeds manifests = SlotSeeds(ManifestFile(cluster), *EncodeManifest(manifest), "");
  manifests.push_back(
      {"too_many_members", SlotSeeds(ManifestFile(cluster), too_many, "").front().second});
  return {{"log_segment", Segments()},
          {"identity", SlotSeeds(IdentityFile(), EncodeIdentity({cluster, 3, 1, 0, 1700}),
                                 std::string(1, '\0'))},
          {"vote_slots", SlotSeeds(VoteFile(cluster), EncodeVote({{2, 3}, 3, 1, 0}), "")},
          {"manifest", std::move(manifests)},
          {"durable_marks", MarksSeeds()},
          {"snapshot_file", SnapshotSeeds()},
          {"data_directory", DirectorySeeds()},
          {"kv_snapshot", StoreSeeds()},
          {"kv_result", ResultSeeds()}};
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
  for (const auto& [target, seeds] : StorageSeeds()) {
    written &= !seeds.empty();
    for (const auto& [name, bytes] : seeds) written &= Write(corpus / target, name, bytes);
  }
  for (const auto& [name, bytes] : ClusterPrograms()) {
    written &= Write(corpus / "core_cluster", name, bytes);
  }
  for (const auto& [name, bytes] : RunPrograms()) {
    written &= Write(corpus / "cluster_run", name, bytes);
  }
  // Bytes of core_peer have no form to speak of: a few hundred instructions use each kind.
  for (uint64_t number = 1; number <= 16; ++number) {
    raftkv::Random random = raftkv::Random::Stream(number, "core_peer");
    std::string bytes;
    const uint64_t size = random.Between(40, 160);
    while (bytes.size() < size) bytes.push_back(static_cast<char>(random.Next()));
    bytes[0] = static_cast<char>((bytes[0] & 0x3f) | 0x40);  // founded, with three voters
    written &= Write(corpus / "core_peer", "random" + std::to_string(number), bytes);
  }
  return written ? 0 : 1;
}
