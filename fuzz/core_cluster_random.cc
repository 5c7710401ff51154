// Random programs over a cluster of consensus cores, from a seed and without libFuzzer: fast, and
// the same in every build.
//
//   core_cluster_random [--seed S] [--programs N] [--seconds T]
//
// Program i of seed S is program 0 of seed S + i. Prints what the programs did; a finding prints
// its program as text and aborts. With RAFTKV_FUZZ_PRINT in the environment all are printed.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/raft/random.h"
#include "fuzz/core_cluster_program.h"

namespace raftkv::raft {
namespace {

// Beginnings of trouble, to be interrupted and varied: uniform bytes hardly ever write one.
std::string Story(Random& random) {
  using enum Op;
  const auto any = [&] { return static_cast<unsigned>(random.Below(8)); };
  std::string story;
  const auto add = [&](Op op, unsigned argument) {
    story.push_back(static_cast<char>(Instruction(op, argument)));
  };
  const unsigned who = static_cast<unsigned>(random.Below(5));
  switch (random.Below(12)) {
    case 0:  // a leader that is cut off goes on appending, and comes back
      add(kCut, 5);
      add(kProposeMany, any());
      add(random.Chance(1, 2) ? kDrive : kBegin, 5);
      add(kElect, who);
      add(kProposeMany, any());
      if (random.Chance(1, 2)) add(kRun, 1);
      add(kCut, 6);
      add(random.Chance(1, 2) ? kRun : kDriveAll, any());
      break;
    case 1:  // a read at a leader that is deposed meanwhile
      add(kCut, 5);
      add(kElect, who);
      add(kRead, 6);
      add(kPropose, 5);
      add(kRun, 1);
      add(kRead, 6);
      add(kCut, 6);
      add(kDriveAll, any());
      break;
    case 2:  // one falls behind a compaction
      add(kCut, who);
      add(kProposeMany, any());
      add(kRun, 3);
      add(kCompact, 5);
      add(kCut, who);
      add(kTickAll, 1);
      add(random.Chance(1, 2) ? kRun : kDriveAll, any());
      break;
    case 3:  // the leader crashes over what it has just sent
      add(kProposeMany, any());
      add(kBegin, 5);
      add(kDeliverTo, who);
      add(random.Chance(1, 2) ? kCrash : kCrashWritten, 5);
      add(kElect, any());
      add(kRestart, any());
      break;
    case 4:  // a membership change, and the leader is gone
    case 5:
      add(kMembership, 5);
      story.push_back(static_cast<char>(random.Next()));
      add(kRun, any() & 3);
      if (random.Chance(1, 2)) add(random.Chance(1, 2) ? kCut : kCrash, 5);
      add(kElect, who);
      break;
    case 6:  // old messages come late
      add(random.Chance(1, 2) ? kTickAll : kPropose, random.Chance(1, 2) ? 0 : 5);
      add(kDrive, 5);
      if (random.Chance(2, 3)) add(kDeliverFrom, 5), add(kDriveAll, any());
      add(random.Chance(2, 3) ? kDrop : kRepeat, 4 + any() % 4);
      add(random.Chance(2, 3) ? kDrop : kRepeat, 4 + any() % 4);
      if (random.Chance(1, 2)) add(kRun, any() & 1);
      if (random.Chance(1, 2)) add(kCut, 5), add(kTickAll, any() & 3);
      if (random.Chance(1, 3)) add(kLate, any());
      add(kElect, who);
      add(kPropose, 5);
      add(kRun, 1);
      add(kRead, 6);
      add(kLate, any());
      add(kLate, any());
      add(kBegin, 6);
      break;
    case 7:  // leadership is handed over, or not quite
      add(kRun, 3);
      add(kTransfer, who);
      add(kDrive, 5);
      if (random.Chance(1, 2)) {
        add(kDrop, 4);
        for (unsigned i = any(); i > 0; --i) add(kTickAll, 0), add(kRun, 1);
        add(kLate, 0);
        if (random.Chance(1, 2)) add(kCut, 5), add(kRun, 3), add(kRead, 6), add(kBegin, 6);
      }
      add(kDeliverTo, who);
      add(kRun, any() & 3);
      add(kRead, any());
      add(kDriveAll, any());
      break;
    case 8:  // a new leader beside one that holds a lease
      add(kCut, who);
      for (unsigned i = any(); i > 0; --i) add(kTickAll, 0), add(kRun, 1);
      add(kCut, who);
      if (random.Chance(1, 2)) add(kCrash, any() % 5), add(kRestart, any() % 5);
      add(kCut, 5);
      add(random.Chance(1, 2) ? kCampaign : kTickToElection, any() % 5);
      add(kRun, 3);
      add(kRead, 6);
      add(kBegin, 6);
      break;
    case 9:  // who has acknowledged loses it
    case 10: {
      const auto lose = [&](unsigned node) {
        add(kOther, 0);
        story.push_back(static_cast<char>(random.Below(8) << 5 | node << 3 | 5));
      };
      if (random.Chance(1, 2)) add(kCut, who);
      add(kProposeMany, any() & 3);
      add(random.Chance(1, 2) ? kRun : kDriveAll, any() & 1);
      if (random.Chance(1, 3)) add(kDrop, 4 + any() % 4);
      lose(any() & 3);
      if (random.Chance(1, 3)) lose(any() & 3);
      if (random.Chance(1, 2)) add(random.Chance(1, 2) ? kCut : kCrash, 5);
      if (random.Chance(1, 2)) add(kCut, who), add(kElect, who);
      add(random.Chance(1, 2) ? kPropose : kTickAll, 5);
      if (random.Chance(1, 3)) add(kLate, any());
      for (unsigned i = any() & 3; i > 0; --i) {  // and takes it from others
        add(kOther, 0);
        story.push_back(static_cast<char>(random.Between(5, 31) << 3 | 3));
        if (random.Chance(1, 2)) add(kDriveAll, any());
      }
      add(kRun, any() & 3);
      break;
    }
    default:  // two leaders append on both sides of a partition
      add(kPartition, 1 + any() % 6);
      add(kProposeMany, any());
      add(kElect, who);
      add(kProposeMany, any());
      add(kDriveAll, any());
      add(kPartition, 0);
      add(kElect, any());
      break;
  }
  return story;
}

// How often an instruction is drawn beside the others: crashes and cuts are rarer than the work
// that they disturb.
uint64_t Odds(Op op, bool coarse) {
  switch (op) {
    case Op::kRun:
      return coarse ? 8 : 1;
    case Op::kDeliverOldest:
    case Op::kDeliverFront:
    case Op::kBegin:
    case Op::kFinish:
      return coarse ? 1 : 6;
    case Op::kElect:
    case Op::kDeliverTo:
    case Op::kDrive:
    case Op::kDriveAll:
    case Op::kProposeMany:
    case Op::kMembership:
    case Op::kRead:
      return 4;
    case Op::kCrash:
    case Op::kCrashWritten:
    case Op::kCut:
    case Op::kPartition:
    case Op::kDrop:
    case Op::kDropTo:
    case Op::kOther:
      return 1;
    default:
      return 2;
  }
}

// What is always there hides what its absence would show: each program has its own odds, and some
// instructions not at all (swarm testing, Groce et al. 2012).
std::string RandomProgram(Random& random) {
  std::string program;
  for (size_t i = 0; i < kHeaderBytes; ++i) program.push_back(static_cast<char>(random.Next()));
  if (random.Chance(1, 2)) program[1] = static_cast<char>(program[1] & 0x7f);  // no liars
  if (random.Chance(1, 2)) program[2] = 0;                                     // no limits
  if (random.Chance(1, 2)) program[4] = static_cast<char>(program[4] & 0xe0);  // no slow disks
  if (random.Chance(3, 4)) program[4] = static_cast<char>(program[4] | 0x20);  // with a leader
  const bool coarse = random.Chance(1, 2);
  const uint64_t stories = random.Below(4);  // in twenty
  uint64_t weights[kOps];
  uint64_t total = 0;
  for (unsigned op = 0; op < kOps; ++op) {
    const bool used = static_cast<Op>(op) == Op::kRun || random.Chance(2, 3);
    weights[op] = used ? Odds(static_cast<Op>(op), coarse) * random.Between(1, 6) : 0;
    total += weights[op];
  }
  const uint64_t length = random.Between(20, 240);
  while (program.size() < length) {
    if (random.Below(20) < stories) {
      program += Story(random);
      continue;
    }
    uint64_t draw = random.Below(total);
    unsigned op = 0;
    while (draw >= weights[op]) draw -= weights[op++];
    program.push_back(static_cast<char>(Instruction(static_cast<Op>(op), random.Next() & 7)));
    if (static_cast<Op>(op) == Op::kLie || static_cast<Op>(op) == Op::kMembership ||
        static_cast<Op>(op) == Op::kOther) {
      program.push_back(static_cast<char>(random.Next()));
    }
  }
  return program;
}

int Main(int argc, char** argv) {
  uint64_t seed = 1;
  uint64_t programs = 100000;
  uint64_t seconds = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--seed") == 0) seed = value;
    if (std::strcmp(argv[i], "--programs") == 0) programs = value;
    if (std::strcmp(argv[i], "--seconds") == 0) seconds = value;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  ClusterCounts counts;
  for (uint64_t number = 0; number < programs; ++number) {
    if (seconds != 0 && number % 256 == 0 && elapsed() > static_cast<double>(seconds)) break;
    Random random = Random::Stream(seed + number, "program");
    const std::string program = RandomProgram(random);
    RunClusterProgram(program, &counts);
  }
  std::printf("%s%.1f s, %.0f programs a second\n", counts.Describe().c_str(), elapsed(),
              static_cast<double>(counts.programs) / elapsed());
  return 0;
}

}  // namespace
}  // namespace raftkv::raft

int main(int argc, char** argv) { return raftkv::raft::Main(argc, argv); }
