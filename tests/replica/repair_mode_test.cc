// The order in which a damaged node asks for what it misses.
#include "core/replica/repair_mode.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "core/replica/inquiry.h"

namespace raftkv::replica {
namespace {

raft::Entry EntryAt(raft::Index index) {
  return {1, index, raft::Payload::Copy("entry"), raft::EntryType::kCommand};
}

// Node 1 has the snapshot of entry 1, cannot read entry 2, and has entry 3.
class RepairModeTest : public ::testing::Test {
 protected:
  RepairModeTest() {
    log_.Reset(1, 1);
    RepairMode::Findings findings;
    findings.commit = 1;
    findings.damage = raft::LogDamage{{{2, 1}}, {EntryAt(3)}, {3, 1}};
    findings.snapshot.meta = {1, 1, {{1, 2, 3}, {}, {}, {}, false}};
    RepairMode::Options options;
    options.log.patience_ticks = options.snapshot.patience_ticks = kPatience;
    mode_.emplace(1, log_, std::move(findings), options);
  }

  // What is asked and to be done in so many ticks: "?2" is a question for entries to node 2, "!2"
  // one for a snapshot. Node 2 has compacted its log; node 3 says nothing.
  std::string Go(int ticks) {
    std::string text;
    for (int i = 0; i <= ticks; ++i) {
      if (i > 0) mode_->Tick();
      RepairMode::Output output = mode_->TakeOutput();
      for (const auto& [to, message] : output.messages) {
        const auto* query = std::get_if<wire::EntryQuery>(&message);
        text += (query != nullptr ? "?" : "!") + std::to_string(to);
        if (query == nullptr) continue;
        const std::optional<raft::Log>& log = to == 2 ? compacted_ : whole_;
        if (!log) continue;
        mode_->OnAnswer(to, AnswerQuery({*log, 1, nullptr, {}}, *query, 1000));
      }
      if (output.job) job_ = std::move(output.job);
    }
    return text;
  }

  static constexpr int kPatience = 4;
  raft::Log log_;
  std::optional<raft::Log> compacted_, whole_;
  std::optional<RepairMode> mode_;
  std::optional<JobBody> job_;
};

TEST_F(RepairModeTest, WhoeverHadTheSnapshotMayGoAndTheEntryTurnUp) {
  compacted_.emplace().Reset(7, 1);
  EXPECT_EQ(Go(kPatience + 2), "?2?3?2?3!2") << "node 3 has had its chance";
  EXPECT_TRUE(absl::StartsWith(mode_->WaitsFor(), "a snapshot at 2 or behind"));
  compacted_.reset();
  whole_.emplace().Reset(1, 1);
  whole_->Append(EntryAt(2));
  EXPECT_EQ(Go(10 * kPatience), "!3!2!3?2?3") << "each had two chances";
  ASSERT_TRUE(job_.has_value());
  const auto* settle = std::get_if<SettleLog>(&*job_);
  ASSERT_NE(settle, nullptr);
  EXPECT_EQ(settle->entries, (raft::Entries{EntryAt(2), EntryAt(3)}));
}

}  // namespace
}  // namespace raftkv::replica
