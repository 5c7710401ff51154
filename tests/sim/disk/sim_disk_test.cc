#include "sim/disk/sim_disk.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv::sim {
namespace {

using storage::Disk;
using storage::File;
using ::testing::ElementsAre;

std::unique_ptr<File> CreateSynced(SimDisk& disk, absl::string_view name,
                                   const std::string& bytes) {
  std::unique_ptr<File> file = *disk.Create(name);
  EXPECT_TRUE(file->Write(0, bytes).ok());
  EXPECT_TRUE(file->Sync().ok());
  EXPECT_TRUE(disk.SyncDir().ok());
  return file;
}

std::string Contents(SimDisk& disk, absl::string_view name) {
  absl::StatusOr<std::unique_ptr<File>> file = disk.Open(name, Disk::Mode::kRead);
  if (!file.ok()) return "no file";
  std::string bytes(*(*file)->Size(), '\0');
  EXPECT_EQ(*(*file)->Read(0, bytes.data(), bytes.size()), bytes.size());
  return bytes;
}

TEST(SimDiskTest, SyncedBytesUnderASyncedNameSurviveEveryCrash) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(2000, 'a'));
    ASSERT_TRUE(file->Write(2048, "behind").ok());
    Random random(seed);
    disk.Crash(random);
    EXPECT_EQ(Contents(disk, "a").substr(0, 2000), std::string(2000, 'a'));
  }
}

TEST(SimDiskTest, ACrashThatKeepsNothingLeavesWhatWasSynced) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(1024, 'o'));
    ASSERT_TRUE(file->Write(0, std::string(2048, 'n')).ok());
    ASSERT_TRUE(disk.Create("b").ok());
    Random random(seed);
    disk.Crash(random, SimDisk::Tearing::kNothingKept);
    EXPECT_EQ(*disk.List(), std::vector<std::string>{"a"});
    EXPECT_EQ(Contents(disk, "a"), std::string(1024, 'o'));
  }
}

TEST(SimDiskTest, AnUnsyncedWriteIsLostKeptOrTornSectorBySector) {
  std::set<std::string> firsts;
  bool mixed = false;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(1024, 'o'));
    ASSERT_TRUE(file->Write(0, std::string(1024, 'n')).ok());
    Random random(seed);
    disk.Crash(random);
    const std::string bytes = Contents(disk, "a");
    ASSERT_EQ(bytes.size(), 1024u);
    const std::string first = bytes.substr(0, 512);
    const std::string second = bytes.substr(512);
    if (first == std::string(512, 'o')) {
      firsts.insert("old");
    } else if (first == std::string(512, 'n')) {
      firsts.insert("new");
    } else if (first == std::string(512, '\0')) {
      firsts.insert("zeros");
    } else if (first.find_first_not_of("on") == std::string::npos) {
      firsts.insert("half");
    } else {
      firsts.insert("garbage");
    }
    mixed |= first == std::string(512, 'o') && second == std::string(512, 'n');
  }
  EXPECT_EQ(firsts, (std::set<std::string>{"garbage", "half", "new", "old", "zeros"}));
  EXPECT_TRUE(mixed) << "a later sector never survived an earlier one: no reordering";
}

TEST(SimDiskTest, AnUnsyncedWriteBehindTheEndIsLostKeptOrTorn) {
  std::set<std::string> firsts;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", "");
    ASSERT_TRUE(file->Write(0, std::string(700, 'n')).ok());
    EXPECT_EQ(disk.UnsyncedSectors("a"), 3u) << "two, and the size";
    Random random(seed);
    disk.Crash(random);
    const std::string bytes = Contents(disk, "a");
    if (bytes.empty()) continue;
    ASSERT_EQ(bytes.size(), 700u);
    const std::string first = bytes.substr(0, 512);
    firsts.insert(first == std::string(512, 'n')    ? "new"
                  : first == std::string(512, '\0') ? "never written"
                                                    : "torn");
  }
  EXPECT_EQ(firsts, (std::set<std::string>{"new", "never written", "torn"}));
}

TEST(SimDiskTest, AnOlderUnsyncedVersionMaySurvive) {
  bool older = false;
  for (uint64_t seed = 0; seed < 400 && !older; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, '0'));
    ASSERT_TRUE(file->Write(0, std::string(512, '1')).ok());
    ASSERT_TRUE(file->Write(0, std::string(512, '2')).ok());
    Random random(seed);
    disk.Crash(random);
    older = Contents(disk, "a") == std::string(512, '1');
  }
  EXPECT_TRUE(older);
}

TEST(SimDiskTest, SizeIsLostOrKeptApartFromData) {
  std::set<uint64_t> sizes;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", "abc");
    ASSERT_TRUE(file->Allocate(4096).ok());
    Random random(seed);
    disk.Crash(random);
    sizes.insert(Contents(disk, "a").size());
  }
  EXPECT_EQ(sizes, (std::set<uint64_t>{3, 4096}));
}

TEST(SimDiskTest, AnUnsyncedTruncationMayBeUndone) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(1024, 'x'));
    ASSERT_TRUE(file->Truncate(512).ok());
    Random random(seed);
    disk.Crash(random);
    const std::string bytes = Contents(disk, "a");
    EXPECT_EQ(bytes.substr(0, 512), std::string(512, 'x'));
    seen.insert(bytes.size() == 512 ? "cut" : "whole");
  }
  EXPECT_EQ(seen, (std::set<std::string>{"cut", "whole"}));
}

TEST(SimDiskTest, NamesAreLostWithoutSyncDir) {
  bool created_lost = false;
  bool rename_lost = false;
  bool remove_lost = false;
  bool later_survived_earlier = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimDisk disk({});
    CreateSynced(disk, "old", "old");
    CreateSynced(disk, "gone", "gone");
    std::unique_ptr<File> fresh = *disk.Create("fresh");
    ASSERT_TRUE(fresh->Write(0, "fresh").ok());
    ASSERT_TRUE(fresh->Sync().ok());
    ASSERT_TRUE(disk.Rename("old", "new").ok());
    ASSERT_TRUE(disk.Remove("gone").ok());
    Random random(seed);
    disk.Crash(random);
    const bool no_fresh = Contents(disk, "fresh") == "no file";
    created_lost |= no_fresh;
    rename_lost |= Contents(disk, "old") == "old";
    remove_lost |= Contents(disk, "gone") == "gone";
    later_survived_earlier |= no_fresh && Contents(disk, "new") == "old";
    EXPECT_NE(Contents(disk, "old") == "no file", Contents(disk, "new") == "no file")
        << "a rename is atomic";
  }
  EXPECT_TRUE(created_lost && rename_lost && remove_lost && later_survived_earlier);
}

TEST(SimDiskTest, AnOrderedDirectoryKeepsAPrefix) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimDisk disk({.ordered_directory = true});
    for (absl::string_view name : {"a", "b", "c"}) ASSERT_TRUE(disk.Create(name).ok());
    Random random(seed);
    disk.Crash(random);
    const std::vector<std::string> names = *disk.List();
    const std::vector<std::string> all = {"a", "b", "c"};
    EXPECT_EQ(names, std::vector<std::string>(all.begin(),
                                              all.begin() + static_cast<ptrdiff_t>(names.size())));
  }
}

TEST(SimDiskTest, AProcessCrashLosesNothingAndKillsHandles) {
  SimDisk disk({});
  std::unique_ptr<File> file = *disk.Create("a");
  ASSERT_TRUE(file->Write(0, "abc").ok());
  auto lock = disk.Lock();
  ASSERT_TRUE(lock.ok());
  EXPECT_TRUE(absl::IsUnavailable(disk.Lock().status()));
  disk.ProcessCrash();
  EXPECT_TRUE(IsCrash(file->Write(0, "x")));
  EXPECT_EQ(Contents(disk, "a"), "abc");
  EXPECT_TRUE(disk.Lock().ok());
  EXPECT_GT(disk.UnsyncedSectors("a"), 0u) << "the cache is as dirty as before";
}

TEST(SimDiskTest, AFailedSyncLooksGoodAndIsNot) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'o'));
  ASSERT_TRUE(file->Write(0, std::string(512, 'n')).ok());
  disk.InjectFault(SimDisk::Operation::kSync, 0);
  EXPECT_TRUE(absl::IsDataLoss(file->Sync()));
  EXPECT_EQ(Contents(disk, "a"), std::string(512, 'n'));
  EXPECT_TRUE(file->Sync().ok()) << "the next sync says all is well";
  EXPECT_EQ(disk.UnsyncedSectors("a"), 1u);
  EXPECT_EQ(Contents(*disk.DurableImage(), "a"), std::string(512, 'o'));
  // Only writing again helps.
  ASSERT_TRUE(file->Write(0, std::string(512, 'n')).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(disk.UnsyncedSectors("a"), 0u);
  EXPECT_EQ(Contents(*disk.DurableImage(), "a"), std::string(512, 'n'));
}

TEST(SimDiskTest, WhatHasNotFailedYetCanBeTakenBack) {
  SimDisk disk({});
  const std::unique_ptr<File> file = *disk.Create("a");
  disk.InjectFault(SimDisk::Operation::kSync, 1);
  ASSERT_TRUE(file->Sync().ok());
  disk.TakeBackFaults();
  EXPECT_TRUE(file->Sync().ok());
}

TEST(SimDiskTest, TheBudgetCutsBetweenAnyTwoOperations) {
  for (uint64_t budget = 0; budget < 5; ++budget) {
    SimDisk disk({});
    disk.SetOperationBudget(budget);
    uint64_t good = 0;
    absl::StatusOr<std::unique_ptr<File>> file = disk.Create("a");
    absl::Status status = file.status();
    auto count = [&] {
      if (status.ok()) ++good;
    };
    count();
    if (status.ok()) status = (*file)->Write(0, "abc"), count();
    if (status.ok()) status = (*file)->Sync(), count();
    if (status.ok()) status = disk.SyncDir(), count();
    EXPECT_EQ(good, std::min<uint64_t>(budget, 4));
    EXPECT_EQ(disk.powered_off(), budget < 4);
    if (disk.powered_off()) {
      EXPECT_TRUE(IsCrash(status));
      EXPECT_TRUE(IsCrash(disk.List().status()));
      EXPECT_TRUE(IsCrash(disk.Open("a", Disk::Mode::kRead).status()));
    }
    Random random(1);
    disk.Crash(random);
    EXPECT_TRUE(disk.List().ok());
    if (budget >= 4) {
      EXPECT_EQ(Contents(disk, "a"), "abc");
    }
  }
}

// The operation in flight may have happened.
TEST(SimDiskTest, TheInterruptedOperationMayHaveHappened) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'o'));
    disk.SetOperationBudget(0);
    EXPECT_TRUE(IsCrash(file->Write(0, std::string(512, 'n'))));
    Random random(seed);
    disk.Crash(random);
    seen.insert(Contents(disk, "a"));
  }
  EXPECT_TRUE(seen.contains(std::string(512, 'o')));
  EXPECT_TRUE(seen.contains(std::string(512, 'n')));
}

TEST(SimDiskTest, WhatIsRemovedForGoodIsNotRead) {
  SimDisk disk({});
  ASSERT_TRUE((*disk.Create("a"))->Write(0, "text").ok());
  ASSERT_TRUE(disk.SyncDir().ok());
  std::unique_ptr<File> file = *disk.Open("a", Disk::Mode::kRead);
  char buffer[4];
  ASSERT_TRUE(disk.Rename("a", "b").ok());
  ASSERT_TRUE(disk.SyncDir().ok());
  EXPECT_TRUE(file->Read(0, buffer, 4).ok()) << "it has another name";
  ASSERT_TRUE(disk.Remove("b").ok());
  EXPECT_TRUE(file->Read(0, buffer, 4).ok()) << "a crash may bring it back";
  ASSERT_TRUE(disk.SyncDir().ok());
  EXPECT_TRUE(absl::IsDataLoss(file->Read(0, buffer, 4).status()));
}

TEST(SimDiskTest, AFullDisk) {
  SimDisk disk({.capacity_bytes = 1000});
  std::unique_ptr<File> file = *disk.Create("a");
  ASSERT_TRUE(file->Allocate(800).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(file->Write(990, std::string(20, 'x'))));
  EXPECT_TRUE(file->Write(0, std::string(800, 'x')).ok()) << "what is there may be overwritten";
  std::unique_ptr<File> other = *disk.Create("b");
  EXPECT_TRUE(absl::IsResourceExhausted(other->Write(0, std::string(300, 'x'))));
  ASSERT_TRUE(disk.Remove("a").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(other->Write(0, std::string(300, 'x')))) << "not yet";
  EXPECT_EQ(disk.used_bytes(), 800u);
  ASSERT_TRUE(disk.SyncDir().ok());
  EXPECT_TRUE(other->Write(0, std::string(300, 'x')).ok());
  EXPECT_EQ(disk.counters().full_errors, 3u);
}

TEST(SimDiskTest, AnAllocationThatDoesNotFitTakesWhatThereIs) {
  SimDisk disk({.capacity_bytes = 1000});
  std::unique_ptr<File> file = *disk.Create("a");
  EXPECT_TRUE(absl::IsResourceExhausted(file->Allocate(1001)));
  EXPECT_EQ(file->Size().value(), 1000u);
  EXPECT_EQ(disk.used_bytes(), 1000u);
}

TEST(SimDiskTest, APartThatTakesNoWrites) {
  SimDisk disk({});
  std::unique_ptr<File> file = *disk.Create("log-1");
  ASSERT_TRUE(file->Allocate(4'096).ok());
  using Kind = SimDisk::Refusal::Kind;
  disk.Refuse(SimDisk::Refusal{Kind::kError, {"log-", 512, 512}});
  EXPECT_TRUE(absl::IsDataLoss(file->Write(0, std::string(513, 'x'))));
  EXPECT_TRUE(absl::IsDataLoss(file->Write(1'023, "x")));
  EXPECT_TRUE(file->Write(0, std::string(512, 'x')).ok());
  EXPECT_TRUE(file->Write(1'024, "x").ok());
  EXPECT_TRUE(disk.Create("snapshot").ok());
  disk.ProcessCrash();
  file = *disk.Open("log-1", storage::Disk::Mode::kReadWrite);
  EXPECT_TRUE(absl::IsDataLoss(file->Write(512, "x"))) << "it outlives the process";
  EXPECT_EQ(disk.counters().injected_write_errors, 3u);
  disk.Refuse(SimDisk::Refusal{Kind::kFull, {"log-"}});
  EXPECT_TRUE(file->Write(512, "x").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(file->Allocate(5'000)));
  EXPECT_TRUE(absl::IsResourceExhausted(disk.Create("log-2").status()));
  EXPECT_TRUE(disk.Create("vote").ok());
  disk.Refuse(std::nullopt);
  EXPECT_TRUE(disk.Create("log-2").ok());
}

TEST(SimDiskTest, WhoeverWantsToIsCalledBeforeNamesChange) {
  SimDisk disk({});
  std::vector<std::string> seen;
  std::vector<bool> dirty;
  disk.CallBeforeNamesChange([&] {
    seen.push_back(absl::StrJoin(*disk.List(), " "));
    dirty.push_back(disk.DirectoryDirty());
  });
  std::unique_ptr<File> file = *disk.Create("a");
  ASSERT_TRUE(file->Write(0, "bytes").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(disk.Rename("a", "b").ok());
  ASSERT_TRUE(disk.SyncDir().ok());
  ASSERT_TRUE(disk.Remove("b").ok());
  ASSERT_TRUE(disk.SyncDir().ok());
  EXPECT_THAT(seen, ElementsAre("", "a", "b", "b", ""));
  EXPECT_THAT(dirty, ElementsAre(false, true, true, false, true));
  // What does not happen, and what happens to a copy, is nobody's business.
  EXPECT_FALSE(disk.Remove("b").ok());
  EXPECT_FALSE(disk.Rename("b", "c").ok());
  disk.InjectFault(SimDisk::Operation::kSyncDir, 0);
  EXPECT_FALSE(disk.SyncDir().ok());
  EXPECT_TRUE(disk.Clone()->Create("c").ok());
  EXPECT_EQ(seen.size(), 5u);
  disk.CallBeforeNamesChange(nullptr);
  EXPECT_TRUE(disk.Create("d").ok());
  EXPECT_EQ(seen.size(), 5u);
}

TEST(SimDiskTest, UsedBytesAreWhatFillsADisk) {
  SimDisk disk({});
  CreateSynced(disk, "a", std::string(1000, 'a'));
  CreateSynced(disk, "b", std::string(500, 'b'));
  EXPECT_EQ(disk.used_bytes(), 1500u);
  disk.set_options({.capacity_bytes = disk.used_bytes()});
  std::unique_ptr<File> file = *disk.Open("b", Disk::Mode::kReadWrite);
  EXPECT_TRUE(file->Write(0, std::string(500, 'c')).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(file->Write(500, "c")));
}

TEST(SimDiskTest, CloneKeepsDirt) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(600, 'o'));
  ASSERT_TRUE(file->Write(0, std::string(600, 'n')).ok());
  ASSERT_TRUE(disk.Create("b").ok());
  std::unique_ptr<SimDisk> clone = disk.Clone();
  EXPECT_EQ(clone->UnsyncedSectors("a"), 2u);
  EXPECT_TRUE(clone->DirectoryDirty());
  EXPECT_EQ(clone->ContentHash(), disk.ContentHash());
  ASSERT_TRUE(file->Write(0, "zzz").ok());
  EXPECT_NE(clone->ContentHash(), disk.ContentHash());
  EXPECT_EQ(Contents(*clone->DurableImage(), "a"), std::string(600, 'o'));
}

TEST(SimDiskTest, ACopyAndItsOriginalGoTheirOwnWays) {
  SimDisk disk({});
  const std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(2000, 'a'));
  CreateSynced(disk, "b", "b");
  const std::unique_ptr<SimDisk> copy = disk.Clone();
  const std::unique_ptr<SimDisk> image = disk.DurableImage();
  EXPECT_TRUE(disk.ReadsLike(*copy));
  EXPECT_TRUE(copy->ReadsLike(*image));

  ASSERT_TRUE(file->Write(0, "new").ok());
  EXPECT_FALSE(disk.ReadsLike(*copy));
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_FALSE(disk.ReadsLike(*copy));
  EXPECT_TRUE(copy->ReadsLike(*image));
  EXPECT_EQ(Contents(disk, "a").substr(0, 4), "newa");
  EXPECT_EQ(Contents(*copy, "a").substr(0, 4), "aaaa");

  EXPECT_TRUE(copy->Corrupt("a", 7, 1));
  EXPECT_FALSE(copy->ReadsLike(*image));
  EXPECT_EQ(Contents(*image, "a").substr(0, 8), "aaaaaaaa");
  EXPECT_EQ(Contents(disk, "a").substr(0, 8), "newaaaaa");
}

TEST(SimDiskTest, WhatWasReadStaysAsItWas) {
  SimDisk disk({});
  const std::unique_ptr<File> file = CreateSynced(disk, "a", "0123456789");
  const storage::Bytes end = *file->ReadBytes(6, 100);
  EXPECT_EQ(absl::string_view(end), "6789");
  EXPECT_EQ(absl::string_view(end.First(2)), "67");
  EXPECT_EQ(end.First(5).size(), 4u);
  EXPECT_EQ((*file->ReadBytes(10, 1)).size(), 0u);
  EXPECT_EQ((*file->ReadBytes(11, 1)).size(), 0u);
  const storage::Bytes middle = *file->ReadBytes(3, 4);
  ASSERT_TRUE(file->Write(4, "new").ok());
  EXPECT_EQ(absl::string_view(middle), "3456");
  const storage::Bytes whole = *file->ReadBytes(0, 10);
  EXPECT_TRUE(disk.Corrupt("a", 0, 1));
  ASSERT_TRUE(file->Truncate(3).ok());
  EXPECT_EQ(absl::string_view(whole), "0123new789");
  ASSERT_TRUE(disk.Remove("a").ok());
  ASSERT_TRUE(disk.SyncDir().ok());
  EXPECT_EQ(absl::string_view(whole), "0123new789");
  EXPECT_TRUE(absl::IsDataLoss(file->ReadBytes(0, 1).status()));
}

TEST(SimDiskTest, NamesAreInOrder) {
  SimDisk disk({});
  for (const char* name : {"b", "d", "a", "c", "ab"}) CreateSynced(disk, name, name);
  EXPECT_THAT(*disk.List(), ElementsAre("a", "ab", "b", "c", "d"));
  ASSERT_TRUE(disk.Rename("a", "cc").ok());
  ASSERT_TRUE(disk.Rename("d", "b").ok());
  ASSERT_TRUE(disk.Remove("c").ok());
  const std::unique_ptr<SimDisk> copy = disk.Clone();
  EXPECT_THAT(*disk.List(), ElementsAre("ab", "b", "cc"));
  EXPECT_THAT(*disk.DurableImage()->List(), ElementsAre("a", "ab", "b", "c", "d"));
  ASSERT_TRUE(disk.SyncDir().ok());
  EXPECT_THAT(*disk.DurableImage()->List(), ElementsAre("ab", "b", "cc"));
  EXPECT_EQ(Contents(disk, "b"), "d");
  EXPECT_EQ(Contents(disk, "cc"), "a");
  EXPECT_THAT(*copy->DurableImage()->List(), ElementsAre("a", "ab", "b", "c", "d"));
}

TEST(SimDiskTest, AnythingThatReadsMayShowIsAChange) {
  const auto changed = [](const auto& change) {
    SimDisk disk({});
    CreateSynced(disk, "a", std::string(2000, 'a'));
    const std::unique_ptr<SimDisk> copy = disk.Clone();
    change(disk);
    return !disk.ReadsLike(*copy);
  };
  EXPECT_FALSE(changed([](SimDisk&) {}));
  EXPECT_FALSE(changed([](SimDisk& disk) { disk.ProcessCrash(); }));
  EXPECT_TRUE(changed([](SimDisk& disk) { EXPECT_TRUE(disk.Create("b").ok()); }));
  EXPECT_TRUE(changed([](SimDisk& disk) { EXPECT_TRUE(disk.Remove("a").ok()); }));
  EXPECT_TRUE(changed([](SimDisk& disk) { EXPECT_TRUE(disk.Rename("a", "b").ok()); }));
  EXPECT_TRUE(changed([](SimDisk& disk) { disk.Wipe(); }));
  EXPECT_TRUE(changed([](SimDisk& disk) { EXPECT_TRUE(disk.Inject(ReadError{{"a", 600, 1}})); }));
  EXPECT_TRUE(changed([](SimDisk& disk) { EXPECT_TRUE(disk.Inject(BitRot{{"a"}, 1, 3})); }));
  const auto write = [](SimDisk& disk, absl::string_view bytes) {
    EXPECT_TRUE((*disk.Open("a", Disk::Mode::kReadWrite))->Write(0, bytes).ok());
  };
  EXPECT_TRUE(changed([&](SimDisk& disk) { write(disk, "n"); }));
  EXPECT_FALSE(changed([&](SimDisk& disk) { write(disk, "a"); })) << "not synced, and the same";
  EXPECT_TRUE(changed([](SimDisk& disk) {
    disk.InjectFault(SimDisk::Operation::kSync, 0);
    const auto file = *disk.Open("a", Disk::Mode::kReadWrite);
    EXPECT_TRUE(file->Write(0, "a").ok());
    EXPECT_FALSE(file->Sync().ok());
  })) << "a dropped cache might show something else";
}

TEST(SimDiskTest, ACrashCanBeChosen) {
  const std::string old_bytes(1024, 'o');
  for (const SimDisk::Fate fate :
       {SimDisk::Fate::kOld, SimDisk::Fate::kNew, SimDisk::Fate::kHalf, SimDisk::Fate::kZeros}) {
    SimDisk disk({});
    {
      auto file = *disk.Create("a");
      ASSERT_TRUE(file->Write(0, old_bytes).ok());
      ASSERT_TRUE(file->Sync().ok());
      ASSERT_TRUE(disk.SyncDir().ok());
      EXPECT_TRUE(disk.WhatIsUndecided().empty());
      ASSERT_TRUE(file->Write(512, std::string(512, 'n')).ok());
      ASSERT_TRUE(file->Write(0, std::string(512, 'o')).ok());  // what is there already
      ASSERT_TRUE(file->Write(1024, "longer").ok());
      ASSERT_TRUE(disk.Create("b").ok());
    }
    const std::vector<SimDisk::Undecided> undecided = disk.WhatIsUndecided();
    ASSERT_EQ(undecided.size(), 4u);  // two sectors and the size of a, the name of b
    EXPECT_EQ(undecided[0].sector, 1u);
    EXPECT_EQ(undecided[2].kind, SimDisk::Undecided::Kind::kSize);
    EXPECT_EQ(undecided[3].file, "b");
    disk.PowerOff();
    disk.CrashAs({fate, SimDisk::Fate::kOld, SimDisk::Fate::kOld,
                  fate == SimDisk::Fate::kNew ? SimDisk::Fate::kNew : SimDisk::Fate::kOld});
    const std::string sector = fate == SimDisk::Fate::kOld   ? std::string(512, 'o')
                               : fate == SimDisk::Fate::kNew ? std::string(512, 'n')
                               : fate == SimDisk::Fate::kZeros
                                   ? std::string(512, '\0')
                                   : std::string(256, 'n') + std::string(256, 'o');
    auto file = *disk.Open("a", storage::Disk::Mode::kRead);
    std::string bytes(2048, '?');
    bytes.resize(*file->Read(0, bytes.data(), bytes.size()));
    EXPECT_EQ(bytes, std::string(512, 'o') + sector);
    EXPECT_EQ(disk.List()->size(), fate == SimDisk::Fate::kNew ? 2u : 1u);
    EXPECT_TRUE(disk.WhatIsUndecided().empty());
  }
}

TEST(SimDiskTest, TheSameSeedCrashesTheSameWay) {
  auto run = [](uint64_t seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(8000, 'o'));
    EXPECT_TRUE(file->Write(100, std::string(7000, 'n')).ok());
    for (absl::string_view name : {"x", "y", "z"}) EXPECT_TRUE(disk.Create(name).ok());
    Random random(seed);
    disk.Crash(random);
    return disk.ContentHash();
  };
  std::set<uint64_t> hashes;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(run(seed), run(seed));
    hashes.insert(run(seed));
  }
  EXPECT_GT(hashes.size(), 10u);
  // For ever: a change of this number means that old seeds no longer replay.
  EXPECT_EQ(run(1), 3543354267849286006u);
}

}  // namespace
}  // namespace raftkv::sim
