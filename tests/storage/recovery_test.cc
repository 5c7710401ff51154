// Recovery refinement: whatever a node was told is durable is there after every crash, and nothing
// that was never written ever is. The model and the workload are in recovery_model.h, the crashes
// in sim/disk/sim_disk.h.
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/storage/recovery_model.h"

namespace raftkv::storage {
namespace {

TEST(RecoveryTest, ManyLivesWithRandomCrashes) {
  uint64_t lost = 0;
  uint64_t torn = 0;
  int recoveries = 0;
  for (uint64_t seed = 1; seed <= 1500; ++seed) {
    sim::SimDisk disk(
        {.sector_bytes = seed % 3 == 0 ? 4096u : 512u, .ordered_directory = seed % 2 == 0});
    Life life(disk, disk, seed);
    const std::optional<std::string> problem = life.Run(12);
    ASSERT_FALSE(problem) << "seed " << seed << ": " << *problem;
    lost += disk.counters().lost_sectors + disk.counters().lost_names;
    torn += disk.counters().torn_sectors;
    recoveries += life.recoveries();
  }
  EXPECT_GT(recoveries, 1500 * 12);
  EXPECT_GT(lost, 10000u) << "the crashes took nothing away, so nothing was tested";
  EXPECT_GT(torn, 1000u);
}

// A fixed piece of work, cut off at each of its operations in turn.
TEST(RecoveryTest, CrashAtEveryOperation) {
  uint64_t operations = 0;
  {
    sim::SimDisk disk({});
    Life life(disk, disk, 7);
    ASSERT_FALSE(life.Start());
    const uint64_t before = disk.counters().operations;
    for (int i = 0; i < 40; ++i) ASSERT_FALSE(life.Step());
    operations = disk.counters().operations - before;
  }
  ASSERT_GT(operations, 100u);
  for (uint64_t budget = 0; budget <= operations; ++budget) {
    for (uint64_t outcome = 0; outcome < 12; ++outcome) {
      sim::SimDisk disk({});
      Life life(disk, disk, 7);
      ASSERT_FALSE(life.Start());
      disk.SetOperationBudget(budget);
      for (int i = 0; i < 40 && !disk.powered_off(); ++i) ASSERT_FALSE(life.Step());
      Random fate = Random::Stream(budget, "fate").Split(std::to_string(outcome));
      disk.PowerOff();
      disk.Crash(fate);
      std::optional<std::string> problem = life.Recover();
      ASSERT_FALSE(problem) << "operation " << budget << " outcome " << outcome << ": " << *problem;
      // Recovery has decided; a further crash changes nothing.
      disk.PowerOff();
      disk.Crash(fate);
      problem = life.Recover();
      ASSERT_FALSE(problem) << "second crash: " << *problem;
    }
  }
}

TEST(RecoveryTest, SameSeedSameBytes) {
  for (uint64_t seed : {3u, 4u, 5u}) {
    sim::SimDisk first({});
    sim::SimDisk second({});
    Life a(first, first, seed);
    Life b(second, second, seed);
    ASSERT_FALSE(a.Run(10));
    ASSERT_FALSE(b.Run(10));
    EXPECT_EQ(first.ContentHash(), second.ContentHash());
    EXPECT_EQ(first.counters().operations, second.counters().operations);
  }
}

// --- Is the check able to fail? A disk that lies must be found out.
// ---------------------------------

class LyingFile final : public File {
 public:
  LyingFile(std::unique_ptr<File> file, bool swallow) : file_(std::move(file)), swallow_(swallow) {}
  absl::StatusOr<size_t> Read(uint64_t offset, char* buffer, size_t length) override {
    return file_->Read(offset, buffer, length);
  }
  absl::Status Write(uint64_t offset, absl::string_view bytes) override {
    return file_->Write(offset, bytes);
  }
  absl::Status Sync() override { return swallow_ ? absl::OkStatus() : file_->Sync(); }
  absl::Status Truncate(uint64_t size) override { return file_->Truncate(size); }
  absl::Status Allocate(uint64_t size) override { return file_->Allocate(size); }
  absl::StatusOr<uint64_t> Size() override { return file_->Size(); }

 private:
  std::unique_ptr<File> file_;
  bool swallow_;
};

// Swallows the syncs of files whose name begins with a prefix, or those of the directory.
class LyingDisk final : public Disk {
 public:
  LyingDisk(Disk& disk, absl::string_view prefix, bool directory)
      : disk_(disk), prefix_(prefix), directory_(directory) {}

  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view name, Mode mode) override {
    return Wrap(name, disk_.Open(name, mode));
  }
  absl::StatusOr<std::unique_ptr<File>> Create(absl::string_view name) override {
    return Wrap(name, disk_.Create(name));
  }
  absl::Status Rename(absl::string_view from, absl::string_view to) override {
    return disk_.Rename(from, to);
  }
  absl::Status Remove(absl::string_view name) override { return disk_.Remove(name); }
  absl::Status SyncDir() override { return directory_ ? absl::OkStatus() : disk_.SyncDir(); }
  absl::StatusOr<std::vector<std::string>> List() override { return disk_.List(); }
  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock() override { return disk_.Lock(); }
  std::string Describe() const override { return disk_.Describe(); }

 private:
  absl::StatusOr<std::unique_ptr<File>> Wrap(absl::string_view name,
                                             absl::StatusOr<std::unique_ptr<File>> file) {
    if (!file.ok()) return file.status();
    const bool swallow = !prefix_.empty() && absl::StartsWith(name, prefix_);
    return std::make_unique<LyingFile>(*std::move(file), swallow);
  }

  Disk& disk_;
  std::string prefix_;
  bool directory_;
};

// Number of the first seed in which the lie shows, or nullopt.
std::optional<uint64_t> FoundOutAt(absl::string_view prefix, bool directory) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    sim::SimDisk disk({});
    LyingDisk liar(disk, prefix, directory);
    Life life(liar, disk, seed);
    if (life.Run(12)) return seed;
  }
  return std::nullopt;
}

TEST(RecoverySensitivityTest, AnHonestWrapperPasses) {
  EXPECT_EQ(FoundOutAt("", false), std::nullopt);
}
TEST(RecoverySensitivityTest, LogWithoutSync) {
  EXPECT_NE(FoundOutAt("log-", false), std::nullopt);
}
TEST(RecoverySensitivityTest, VoteWithoutSync) {
  EXPECT_NE(FoundOutAt("vote", false), std::nullopt);
}
TEST(RecoverySensitivityTest, ManifestWithoutSync) {
  EXPECT_NE(FoundOutAt("manifest", false), std::nullopt);
}
TEST(RecoverySensitivityTest, SnapshotWithoutSync) {
  EXPECT_NE(FoundOutAt("snapshot-", false), std::nullopt);
}
TEST(RecoverySensitivityTest, DirectoryWithoutSync) {
  EXPECT_NE(FoundOutAt("", true), std::nullopt);
}

}  // namespace
}  // namespace raftkv::storage
