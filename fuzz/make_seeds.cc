// Writes the seeds of peer_frame, resp_request and command from the samples that the tests use,
// those of log_segment, and the programs of core_cluster and core_peer:
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

#include "core/raft/random.h"
#include "core/wire/command.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "fuzz/core_cluster_program.h"
#include "storage/log_format.h"
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
  for (const auto& [name, bytes] : Segments()) {
    written &= Write(corpus / "log_segment", name, bytes);
  }
  for (const auto& [name, bytes] : ClusterPrograms()) {
    written &= Write(corpus / "core_cluster", name, bytes);
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
