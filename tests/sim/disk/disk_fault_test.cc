#include "sim/disk/disk_fault.h"

#include <memory>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "sim/disk/sim_disk.h"

namespace raftkv::sim {
namespace {

using storage::Disk;
using storage::File;

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
  const absl::StatusOr<size_t> count = (*file)->Read(0, bytes.data(), bytes.size());
  return count.ok() ? bytes : std::string("unreadable");
}

absl::Status ReadAt(File& file, uint64_t offset, uint64_t length) {
  std::string bytes(length, '\0');
  return file.Read(offset, bytes.data(), length).status();
}

template <typename Kind>
uint64_t Effects(const SimDisk& disk) {
  return disk.effects()[DiskFault(Kind()).index()];
}

TEST(DiskFaultTest, UnreadableSectorsUntilTheyAreWrittenAgain) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(4096, 'o'));
  EXPECT_TRUE(disk.Inject(ReadError{{"a", 1000, 600}}));  // sectors 1 to 3
  EXPECT_FALSE(disk.Inject(ReadError{{"a", 1024, 1}})) << "they are unreadable already";
  EXPECT_FALSE(disk.Inject(ReadError{{"a", 4096, 1}})) << "behind the end";
  EXPECT_EQ(Effects<ReadError>(disk), 1u);
  EXPECT_TRUE(ReadAt(*file, 0, 512).ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadAt(*file, 0, 513)));
  EXPECT_TRUE(absl::IsDataLoss(ReadAt(*file, 2047, 1)));
  EXPECT_TRUE(ReadAt(*file, 2048, 2048).ok());
  EXPECT_EQ(disk.counters().unreadable, 2u);

  EXPECT_TRUE(absl::IsDataLoss(file->Write(512, "a part"))) << "the rest cannot be read";
  ASSERT_TRUE(file->Write(512, std::string(512, 'n')).ok());
  EXPECT_TRUE(ReadAt(*file, 0, 1024).ok());
  EXPECT_TRUE(absl::IsDataLoss(ReadAt(*file, 1024, 1)));
  EXPECT_EQ(Contents(*disk.DurableImage(), "a"), "unreadable") << "the write is not synced";
  ASSERT_TRUE(file->Write(1024, std::string(1024, 'n')).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(Contents(*disk.DurableImage(), "a"),
            std::string(512, 'o') + std::string(1536, 'n') + std::string(2048, 'o'));
}

TEST(DiskFaultTest, AWriteMakesAnUnsyncedSectorGoodToo) {
  SimDisk disk({});
  const auto file = *disk.Create("a");
  ASSERT_TRUE(file->Write(0, std::string(512, 'x')).ok());
  ASSERT_TRUE(disk.Inject(ReadError{{"a"}}));
  std::string bytes(512, ' ');
  EXPECT_TRUE(absl::IsDataLoss(file->Read(0, bytes.data(), 512).status()));
  ASSERT_TRUE(file->Write(0, std::string(512, 'y')).ok());
  EXPECT_TRUE(file->Read(0, bytes.data(), 512).ok());
  EXPECT_EQ(bytes, std::string(512, 'y'));
}

// All that a power loss may leave of a sector that could not be read and was written, not synced.
std::set<std::string> LeftOfAnUndoneWrite(SimDisk::Tearing tearing) {
  std::set<std::string> left;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'o'));
    EXPECT_TRUE(disk.Inject(ReadError{{"a"}}));
    EXPECT_TRUE(file->Write(0, std::string(512, 'n')).ok());
    Random random(seed);
    disk.Crash(random, tearing);
    left.insert(Contents(disk, "a"));
  }
  return left;
}

TEST(DiskFaultTest, AnUndoneWriteBringsTheReadErrorBackIfItMayTear) {
  const std::string old(512, 'o');
  const std::string fresh(512, 'n');
  const std::set<std::string> any = LeftOfAnUndoneWrite(SimDisk::Tearing::kAny);
  EXPECT_TRUE(any.contains("unreadable") && any.contains(fresh));
  EXPECT_EQ(LeftOfAnUndoneWrite(SimDisk::Tearing::kWhole), (std::set<std::string>{old, fresh}));
  EXPECT_EQ(LeftOfAnUndoneWrite(SimDisk::Tearing::kNothingKept), std::set<std::string>{old});
}

TEST(DiskFaultTest, AShorterFileLosesItsReadErrors) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(1024, 'o'));
  EXPECT_TRUE(disk.Inject(ReadError{{"a", 512, 1}}));
  ASSERT_TRUE(file->Truncate(512).ok());
  ASSERT_TRUE(file->Allocate(1024).ok());
  EXPECT_TRUE(ReadAt(*file, 0, 1024).ok());
}

TEST(DiskFaultTest, RotGarbageAndZerosAreWhereTheyWereOrdered) {
  const std::string old(2048, 'o');
  for (const DiskFault& fault :
       {DiskFault(BitRot{{"a", 600, 100}, 3, 7}), DiskFault(Garbage{{"a", 600, 100}, 7}),
        DiskFault(Zeros{{"a", 600, 100}})}) {
    SimDisk disk({});
    CreateSynced(disk, "a", old);
    EXPECT_TRUE(disk.Inject(fault)) << Describe(fault);
    const std::string bytes = Contents(disk, "a");
    EXPECT_EQ(Contents(*disk.DurableImage(), "a"), bytes);
    EXPECT_NE(bytes, old);
    EXPECT_EQ(bytes.substr(0, 600), old.substr(0, 600));
    EXPECT_EQ(bytes.substr(700), old.substr(700));
    EXPECT_EQ(disk.effects()[fault.index()], 1u);

    SimDisk again({});
    CreateSynced(again, "a", old);
    EXPECT_TRUE(again.Inject(fault));
    EXPECT_EQ(again.ContentHash(), disk.ContentHash());
  }
  SimDisk disk({});
  CreateSynced(disk, "a", std::string(10, '\0'));
  EXPECT_FALSE(disk.Inject(Zeros{{"a"}})) << "zeros over zeros change nothing";
  EXPECT_FALSE(disk.Inject(Garbage{{"b"}}));
  EXPECT_EQ(disk.effects(), DiskFaultCounters{});
}

TEST(DiskFaultTest, RotOfUnsyncedBytesDoesNotMakeThemDurable) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'o'));
  ASSERT_TRUE(file->Write(0, std::string(512, 'n')).ok());
  EXPECT_TRUE(disk.Inject(BitRot{{"a", 5, 1}}));
  const std::string below = Contents(*disk.DurableImage(), "a");
  EXPECT_EQ(below.substr(0, 5), "ooooo");
  EXPECT_NE(below[5], 'o');
  EXPECT_NE(below[5], 'n');
}

TEST(DiskFaultTest, ALostWriteIsSeenOnlyAfterwards) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "log-1", std::string(1024, 'o'));
  EXPECT_TRUE(disk.Inject(LostWrite{"log-", 1}));
  ASSERT_TRUE(file->Write(0, std::string(512, 'n')).ok());
  EXPECT_EQ(Effects<LostWrite>(disk), 0u) << "it strikes the write after this";
  ASSERT_TRUE(file->Write(512, std::string(512, 'n')).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(Effects<LostWrite>(disk), 1u);
  EXPECT_EQ(Contents(disk, "log-1"), std::string(1024, 'n'));
  EXPECT_EQ(disk.UnsyncedSectors("log-1"), 1u);
  disk.ProcessCrash();
  EXPECT_EQ(Contents(disk, "log-1"), std::string(1024, 'n')) << "the cache is alive";
  const std::string half = std::string(512, 'n') + std::string(512, 'o');
  std::unique_ptr<SimDisk> clone = disk.Clone();
  clone->DropCache();
  EXPECT_EQ(Contents(*clone, "log-1"), half);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    std::unique_ptr<SimDisk> crashed = disk.Clone();
    Random random(seed);
    crashed->Crash(random);
    ASSERT_EQ(Contents(*crashed, "log-1"), half);
  }
}

TEST(DiskFaultTest, ADeviceMayComeClean) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'o'));
  EXPECT_TRUE(disk.Inject(LostWrite{"a"}));
  ASSERT_TRUE(file->Write(0, std::string(512, 'n')).ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(disk.UnsyncedSectors("a"), 1u);
  disk.ComeClean();
  EXPECT_EQ(disk.UnsyncedSectors("a"), 0u);
  EXPECT_EQ(Contents(*disk.DurableImage(), "a"), std::string(512, 'n'));
}

// A synced write of which the disk keeps nothing, beside one that is not synced.
std::unique_ptr<SimDisk> Liar(std::unique_ptr<File>* file) {
  auto disk = std::make_unique<SimDisk>(SimDisk::Options());
  *file = CreateSynced(*disk, "a", std::string(1024, 'o'));
  EXPECT_TRUE(disk->Inject(LostWrite{"a"}));
  EXPECT_TRUE((*file)->Write(0, std::string(512, 'n')).ok());
  EXPECT_TRUE((*file)->Sync().ok());
  EXPECT_TRUE((*file)->Write(512, std::string(512, 'u')).ok());
  return disk;
}
const std::string kKept = std::string(512, 'n') + std::string(512, 'o');

TEST(DiskFaultTest, SomebodyIsAskedBeforeALieComesToLight) {
  for (const bool answer : {true, false}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      std::unique_ptr<File> file;
      const std::unique_ptr<SimDisk> disk = Liar(&file);
      EXPECT_TRUE(disk->Lies());
      std::string left_over;
      disk->AskBeforeForgetting([&](SimDisk& kept, SimDisk& left) {
        EXPECT_EQ(Contents(kept, "a"), kKept);
        left_over = Contents(left, "a");
        EXPECT_EQ(left_over.substr(0, 512), std::string(512, 'o'));
        return answer;
      });
      Random random(seed);
      disk->Crash(random);
      ASSERT_NE(left_over, "") << "nobody was asked";
      EXPECT_FALSE(disk->Lies());
      if (answer) {
        EXPECT_EQ(Contents(*disk, "a"), left_over) << seed;
      } else {
        EXPECT_EQ(Contents(*disk, "a").substr(0, 512), std::string(512, 'n'));
      }
    }
  }
}

TEST(DiskFaultTest, ALieComesToLightWhenTheCacheIsDropped) {
  for (const bool by_owner : {true, false}) {
    for (const bool answer : {true, false}) {
      std::unique_ptr<File> file;
      const std::unique_ptr<SimDisk> disk = Liar(&file);
      uint64_t asked = 0;
      disk->AskBeforeForgetting([&](SimDisk& kept, SimDisk& left) {
        ++asked;
        EXPECT_EQ(Contents(kept, "a"), std::string(512, 'n') + std::string(512, 'u'));
        EXPECT_EQ(Contents(left, "a"), std::string(512, 'o') + std::string(512, 'u'));
        return answer;
      });
      if (by_owner) {
        file->Forget(512, 512);
        EXPECT_EQ(asked, 0u) << "nothing was lied about there";
        file->Forget(0, 512);
      } else {
        disk->DropCache();
      }
      EXPECT_EQ(asked, 1u);
      EXPECT_EQ(Contents(*disk, "a").substr(0, 512), std::string(512, answer ? 'o' : 'n'));
      file->Forget(0, 512);
      EXPECT_EQ(asked, 1u) << "it is out";
    }
  }
}

TEST(DiskFaultTest, AnArmedLieCanBeTakenBack) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'o'));
  EXPECT_TRUE(disk.Inject(LostWrite{"a"}));
  disk.Disarm();
  ASSERT_TRUE(file->Write(0, std::string(512, 'n')).ok());
  EXPECT_FALSE(disk.Lies());
  EXPECT_EQ(Effects<LostWrite>(disk), 0u);
}

TEST(DiskFaultTest, ALostWriteOfTheSameBytesIsNone) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'o'));
  EXPECT_TRUE(disk.Inject(LostWrite{"a"}));
  ASSERT_TRUE(file->Write(0, std::string(512, 'o')).ok());
  EXPECT_EQ(Effects<LostWrite>(disk), 0u);
}

TEST(DiskFaultTest, AMisdirectedWriteHurtsTwice) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(1024, 'a'));
  std::unique_ptr<File> other = CreateSynced(disk, "b", std::string(1200, 'b'));
  EXPECT_TRUE(disk.Inject(MisdirectedWrite{"a", 0, "b", 1100}));  // sector 2 of b, which is short
  ASSERT_TRUE(file->Write(0, std::string(1024, 'n')).ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(other->Sync().ok());
  EXPECT_EQ(Effects<MisdirectedWrite>(disk), 1u);
  EXPECT_EQ(Contents(disk, "a"), std::string(1024, 'n'));
  EXPECT_EQ(Contents(disk, "b"), std::string(1200, 'b'));
  disk.DropCache();
  EXPECT_EQ(Contents(disk, "a"), std::string(1024, 'a'));
  EXPECT_EQ(Contents(disk, "b"), std::string(1024, 'b') + std::string(176, 'n'));
}

TEST(DiskFaultTest, AMisdirectedReadHappensOnce) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(512, 'a'));
  CreateSynced(disk, "b", std::string(1024, 'b'));
  EXPECT_TRUE(disk.Inject(MisdirectedRead{"a", 0, "b", 600}));
  std::string bytes(1000, '?');
  EXPECT_EQ(*file->Read(0, bytes.data(), bytes.size()), 512u);
  EXPECT_EQ(bytes.substr(0, 512), std::string(512, 'b'));
  EXPECT_EQ(Effects<MisdirectedRead>(disk), 1u);
  EXPECT_EQ(Contents(disk, "a"), std::string(512, 'a'));
}

TEST(DiskFaultTest, FilesVanishShrinkAndGrow) {
  SimDisk disk({});
  for (absl::string_view name : {"a", "b", "c"}) CreateSynced(disk, name, std::string(700, 'x'));
  ASSERT_TRUE(disk.Rename("a", "d").ok());
  EXPECT_TRUE(disk.Inject(MissingFile{"d"}));
  EXPECT_FALSE(disk.Inject(MissingFile{"d"}));
  EXPECT_TRUE(disk.Inject(TruncatedFile{"b", 10}));
  EXPECT_FALSE(disk.Inject(TruncatedFile{"b", 10}));
  EXPECT_TRUE(disk.Inject(ExtendedFile{"c", 5}));
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::unique_ptr<SimDisk> crashed = disk.Clone();
    Random random(seed);
    crashed->Crash(random);
    EXPECT_EQ(Contents(*crashed, "d"), "no file");
    EXPECT_EQ(Contents(*crashed, "b"), std::string(10, 'x'));
    EXPECT_EQ(Contents(*crashed, "c"), std::string(700, 'x') + std::string(5, '\0'));
  }
  EXPECT_TRUE(disk.Inject(ExtendedFile{"c", 5, true, 1}));
  EXPECT_NE(Contents(disk, "c").substr(705), std::string(5, '\0'));
}

TEST(DiskFaultTest, AStaleFileIsBackAgain) {
  SimDisk disk({});
  EXPECT_FALSE(disk.Inject(StaleFile{"a"})) << "nothing was remembered";
  std::unique_ptr<File> file = CreateSynced(disk, "a", "old");
  CreateSynced(disk, "b", "old");
  disk.Remember();
  EXPECT_FALSE(disk.Inject(StaleFile{"a"})) << "nothing has changed";
  ASSERT_TRUE(file->Write(0, "newer").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(disk.Remove("b").ok());
  ASSERT_TRUE(disk.SyncDir().ok());
  EXPECT_TRUE(disk.Inject(StaleFile{"a"}));
  EXPECT_TRUE(disk.Inject(StaleFile{"b"}));
  EXPECT_EQ(Contents(disk, "a"), "old");
  EXPECT_EQ(Contents(*disk.DurableImage(), "b"), "old");
  EXPECT_EQ(*file->Size(), 3u) << "whoever has it open sees it";
  EXPECT_EQ(Effects<StaleFile>(disk), 2u);
}

TEST(DiskFaultTest, AmnesiaIsOfTheWholeDisk) {
  SimDisk disk({});
  std::unique_ptr<File> file = CreateSynced(disk, "a", "old");
  disk.Remember();
  const uint64_t then = disk.ContentHash();
  ASSERT_TRUE(file->Write(0, "newer").ok());
  CreateSynced(disk, "b", "new");
  EXPECT_TRUE(disk.Inject(Amnesia()));
  EXPECT_EQ(disk.ContentHash(), then);
  EXPECT_TRUE(IsCrash(file->Sync()));
  EXPECT_FALSE(disk.Inject(Amnesia()));
  EXPECT_EQ(Effects<Amnesia>(disk), 1u);
  // What was remembered is not changed by what happens to the disk since.
  ASSERT_TRUE((*disk.Open("a", Disk::Mode::kReadWrite))->Write(0, "again").ok());
  EXPECT_TRUE(disk.Inject(Amnesia()));
  EXPECT_EQ(disk.ContentHash(), then);
}

TEST(DiskFaultTest, WholeSectorsWhenNothingMayTear) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimDisk disk({});
    std::unique_ptr<File> file = CreateSynced(disk, "a", std::string(1024, 'o'));
    ASSERT_TRUE(file->Write(0, std::string(1024, 'n')).ok());
    Random random(seed);
    disk.Crash(random, SimDisk::Tearing::kWhole);
    const std::string bytes = Contents(disk, "a");
    for (const uint64_t sector : {0u, 512u}) {
      ASSERT_EQ(bytes.substr(sector, 512), std::string(512, bytes[sector]));
      ASSERT_TRUE(bytes[sector] == 'o' || bytes[sector] == 'n');
    }
    ASSERT_EQ(disk.counters().torn_sectors, 0u);
  }
}

TEST(DiskFaultTest, EveryKindSaysWhatItIs) {
  EXPECT_EQ(Describe(BitRot{{"log-1", 512, 512}, 3}), "bit rot, 3 bits in log-1 at 512..1024");
  EXPECT_EQ(Describe(ReadError{{"log-1"}}), "unreadable sectors in log-1 at 0..end");
  EXPECT_EQ(Describe(ExtendedFile{"log-1", 5, true}), "5 bytes of garbage behind the end of log-1");
  EXPECT_EQ(Describe(MisdirectedWrite{"log-", 2, "vote", 512}),
            "a write to log-*, after 2 good ones, that lands in vote at 512");
  EXPECT_EQ(NameOfKind(DiskFault(Amnesia()).index()), "amnesia");
  std::set<absl::string_view> names;
  for (size_t kind = 0; kind < kDiskFaultKinds; ++kind) names.insert(NameOfKind(kind));
  EXPECT_EQ(names.size(), kDiskFaultKinds);
}

}  // namespace
}  // namespace raftkv::sim
