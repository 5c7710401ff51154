#include "sim/nemesis/fault_text.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

const char* const kEveryKind[] = {
    "partition 1>2 2>1 for 300ms",
    "isolate 1>2 2>1 for 1.5s",
    "cut 1>2 for 1us",
    "clog 1>2 3>2 for 300ms",
    "storm lost 300 doubled 200 for 1s",
    "power-loss 2 for 300ms",
    "power-loss 2 for 300ms again",
    "kill 2 for 300ms again",
    "power-loss-of-all 1 2 3 for 1s",
    "pause 2 for 300ms",
    "slow-disk 2 times 50 for 1s",
    "sync-error 2 after 1 for 1s",
    "full-disk 2 for 300ms",
    "clock-jump 2 by 3400",
    "clock-jump 2 by 3400 back",
    "transfer 1 KV.TRANSFER 2",
    "member 1 KV.MEMBER ADD 6 node-6:7401 node-6:7400 1",
    "slow-node 2 each-ms 20 for 1s",
    "restart-storm 2 each-ms 50 for 1s",
    "rolling-restart 1 2 3 each-ms 50 for 300ms",
    "member 1 JOINT PROMOTE 4 PROMOTE 5 REMOVE 2",
    "rot 2 draw 18446744073709551615 for 300ms",
    "read-errors 2 draw 77 for 300ms",
    "rot 2 bits 3 seed 9 in log-0000000000000002 from 1024 to 1536 for 300ms",
    "rot 2 draw 77 bits 1 seed 0 in vote from 0 to end for 300ms again",
    "rot 2 garbage seed 9 in vote from 0 to 1 for 300ms",
    "rot 2 zeros in marks from 4096 to end for 300ms",
    "rot 2 cut in marks from 0 for 300ms again",
    "read-errors 2 in marks from 0 to end for 300ms",
    "read-errors 2 draw 77 in marks from 5 to 6 for 300ms again",
    "hang-disk 2 for 300ms",
    "lost-writes 2 draw 77 for 300ms",
    "misdirected-writes 2 draw 77 for 300ms",
    "misdirected-reads 2 draw 77 for 300ms",
    "stale-files 2 draw 77 for 300ms",
    "amnesia 2 draw 77 for 300ms",
    "wipe 2 empty for 300ms",
    "wipe 2 joiner for 300ms",
    "wipe 2 founder for 300ms",
    "wipe 2 no-identity for 300ms",
    "wipe 2 in-use for 300ms",
    "leader-in-minority 1 1>2 2>1 for 1s",
    "one-way-leader 1 2>1 3>1 for 1s",
    "withheld-answers 1 2 3 for 1s",
    "figure-8 1 2 after-ms 20 for 1s",
    "sent-not-persisted 2 for 1s",
    "persisted-not-said 2 for 1s",
    "outlived-lease 2 for 1s",
    "doubled-snapshots 2 after-ms 300 for 1s",
    "old-messages 2 after-ms 300 for 1s",
    "reused-address 2 3 for 1s",
    "stuck-change 1 2 3 for 1s",
    "overtaken-appends 1 2 times 20 for 1s",
};

TEST(FaultTextTest, EveryKindIsReadAsItIsWritten) {
  std::set<Fault> seen;
  for (const std::string text : kEveryKind) {
    const absl::StatusOr<FaultCommand> command = ParseFault(text);
    ASSERT_TRUE(command.ok()) << command.status();
    EXPECT_EQ(FormatFault(*command), text);
    seen.insert(command->fault);
  }
  EXPECT_EQ(seen.size(), kFaultKinds);
}

TEST(FaultTextTest, ADamageIsAPlaceInAFile) {
  const absl::StatusOr<FaultCommand> bits =
      ParseFault("rot 2 to 1536 seed 9 again in log-1 for 3ms from 1024 bits 3");
  ASSERT_TRUE(bits.ok()) << bits.status();
  EXPECT_EQ(bits->damage, DiskFault(BitRot{{"log-1", 1'024, 512}, 3, 9}));
  EXPECT_TRUE(bits->again);
  EXPECT_EQ(bits->draw, 0u);
  EXPECT_EQ(ParseFault("rot 2 zeros in a from 7 to end for 3ms")->damage,
            DiskFault(Zeros{{"a", 7, kToTheEnd}}));
  EXPECT_EQ(ParseFault("rot 2 garbage seed 1 in a from 7 to 8 for 3ms")->damage,
            DiskFault(Garbage{{"a", 7, 1}, 1}));
  EXPECT_EQ(ParseFault("rot 2 cut in a from 7 for 3ms")->damage, DiskFault(TruncatedFile{"a", 7}));
  EXPECT_EQ(ParseFault("read-errors 2 in a from 7 to 8 for 3ms")->damage,
            DiskFault(ReadError{{"a", 7, 1}}));
}

TEST(FaultTextTest, WhatIsNoFaultIsSaid) {
  for (const std::string text : {"",
                                 "explode 2",
                                 "partition for 300ms",
                                 "partition 1>2",
                                 "partition 1-2 for 3ms",
                                 "power-loss for 3ms",
                                 "power-loss 2",
                                 "power-loss 2 for",
                                 "power-loss 2 for 3",
                                 "power-loss 2 for 3ms for 4ms",
                                 "pause 2 for 3ms again",
                                 "slow-disk 2 for 3ms",
                                 "slow-disk 2 times x for 3ms",
                                 "clock-jump 2",
                                 "clock-jump 2 by 3 for 3ms",
                                 "rot 2 for 300ms",
                                 "rot 2 draw -1 for 3ms",
                                 "rot 2 draw 77 for 3ms again",
                                 "rot 2 again for 3ms",
                                 "rot 2 in vote from 0 to 8 for 3ms",
                                 "rot 2 bits 1 in vote from 0 to 8 for 3ms",
                                 "rot 2 bits 0 seed 1 in vote from 0 to 8 for 3ms",
                                 "rot 2 bits 1 bits 2 seed 1 in vote from 0 to 8 for 3ms",
                                 "rot 2 bits 1 zeros seed 1 in vote from 0 to 8 for 3ms",
                                 "rot 2 bits x seed 1 in vote from 0 to 8 for 3ms",
                                 "rot 2 bits end seed 1 in vote from 0 to 8 for 3ms",
                                 "rot 2 garbage in vote from 0 to 8 for 3ms",
                                 "rot 2 zeros seed 1 in vote from 0 to 8 for 3ms",
                                 "rot 2 zeros zeros in vote from 0 to 8 for 3ms",
                                 "rot 2 zeros from 0 to 8 for 3ms",
                                 "rot 2 zeros in vote to 8 for 3ms",
                                 "rot 2 zeros in vote from 0 for 3ms",
                                 "rot 2 zeros in vote from 8 to 8 for 3ms",
                                 "rot 2 zeros in vote from end to 8 for 3ms",
                                 "rot 2 zeros in vote in marks from 0 to 8 for 3ms",
                                 "rot 2 cut in vote from 0 to 8 for 3ms",
                                 "rot 2 zeros in vote from 0 to 8",
                                 "read-errors 2 zeros in vote from 0 to 8 for 3ms",
                                 "lost-writes 2 zeros in vote from 0 to 8 for 3ms",
                                 "kill 2 in vote from 0 to 8 for 3ms",
                                 "wipe 2 for 300ms",
                                 "wipe 2",
                                 "wipe 2 clean for 300ms",
                                 "wipe 2 empty",
                                 "transfer KV.TRANSFER 2",
                                 "transfer 1",
                                 "storm lost 3 for 1s",
                                 "kill x for 1s",
                                 "one-way-leader 2>1 for 1s",
                                 "leader-in-minority 1 for 1s",
                                 "old-messages 2 for 1s"}) {
    EXPECT_FALSE(ParseFault(text).ok()) << text;
  }
}

}  // namespace
}  // namespace raftkv::sim
