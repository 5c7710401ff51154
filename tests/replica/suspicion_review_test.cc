// When a lost end of the log may be given up, and when it may not.
#include "core/replica/suspicion_review.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace raftkv::replica {
namespace {

using raft::Suspicion;
using Evidence = raft::Suspicion::Evidence;

constexpr Suspicion kBlank{7, 3, Evidence::kBlank};
constexpr uint64_t kBefore = 1000;  // rounds of an earlier life

// Node 1 has lost what was behind (5, term 2); nodes 2 and 3 are asked.
class Case {
 public:
  explicit Case(const Suspicion& suspicion = kBlank, uint32_t patience = 4)
      : suspicion_(suspicion), review_(patience, kBefore) {}

  bool Tick(raft::Index last = 5, raft::Term last_term = 2) {
    return review_.Tick(suspicion_, last, last_term, {2, 3});
  }
  Case& Hear(raft::NodeId from, raft::Index last, raft::Term last_term,
             const std::optional<Suspicion>& lost = std::nullopt, uint64_t rounds_ago = 0) {
    wire::EntryAnswer answer;
    answer.round = review_.round() - rounds_ago;
    answer.extent = {1, last, last_term, 1, lost};
    review_.OnAnswer(from, answer);
    return *this;
  }
  Case& Hear(raft::NodeId from, const wire::LogExtent& extent) {
    wire::EntryAnswer answer;
    answer.round = review_.round();
    answer.extent = extent;
    review_.OnAnswer(from, answer);
    return *this;
  }
  // From whoever leads `leads`.
  Case& HearLeader(raft::NodeId from, raft::Index last, raft::Term leads, uint64_t round) {
    wire::EntryAnswer answer;
    answer.round = round;
    answer.extent = {1, last, leads, 1, std::nullopt, leads};
    review_.OnAnswer(from, answer);
    return *this;
  }
  // Entries from node `from`, in answer to the question of this round or of an earlier one.
  bool Brings(raft::NodeId from, raft::Index last = 5, raft::Term last_term = 2,
              uint64_t rounds_ago = 0, bool some = true) {
    wire::EntryAnswer answer;
    answer.round = review_.round() - rounds_ago;
    if (some) answer.entries.push_back({3, 6, raft::Payload::Copy("x"), {}});
    return review_.BringsEnd(from, answer, last, last_term);
  }
  // Who is asked for the end of the log; 0: nobody.
  raft::NodeId Asked() { return review_.NextToAskForEnd().value_or(0); }
  uint64_t round() const { return review_.round(); }
  std::string Bound() const {
    const auto bound = review_.BoundByItsLeader(suspicion_);
    return bound ? absl::StrCat("(", bound->index, ", ", bound->term, ")") : "as it was";
  }
  std::string Verdict() const {
    const SuspicionReview::Verdict verdict = review_.Review();
    EXPECT_EQ(verdict.keep.has_value(), verdict.waits_for.empty());
    if (!verdict.keep) return absl::StrCat("waits for ", verdict.waits_for);
    if (verdict.keep->index == 0) return "dropped";
    return absl::StrCat("keeps (", verdict.keep->index, ", ", verdict.keep->term, ")");
  }

 private:
  Suspicion suspicion_;
  SuspicionReview review_;
};

TEST(SuspicionReviewTest, WhatNobodyHasIsDroppedOnceAllHaveAnswered) {
  Case review;
  EXPECT_TRUE(review.Tick());
  EXPECT_EQ(review.Verdict(), "waits for a word about entry (7, term 3) from nodes 2, 3");
  EXPECT_EQ(review.Hear(2, 5, 2).Verdict(), "waits for a word about entry (7, term 3) from node 3");
  EXPECT_EQ(review.Hear(3, 4, 2).Verdict(), "dropped");
}

TEST(SuspicionReviewTest, WhatIsNotBlankIsKept) {
  for (const Evidence evidence : {Evidence::kSpoilt, Evidence::kProven}) {
    Case review({7, 3, evidence});
    review.Tick();
    EXPECT_EQ(review.Hear(2, 5, 2).Hear(3, 5, 2).Verdict(),
              "waits for entry (7, term 3) or a leader behind it: it may have been durable");
  }
}

TEST(SuspicionReviewTest, WhatAPeerHasOrMayHaveLostIsKept) {
  const auto verdict = [](raft::Index last, raft::Term term,
                          const std::optional<Suspicion>& lost = std::nullopt) {
    Case review;
    review.Tick();
    return review.Hear(2, 5, 2).Hear(3, last, term, lost).Verdict();
  };
  EXPECT_EQ(verdict(7, 3), "waits for entry (7, term 3), or more, from node 3 or a leader");
  EXPECT_EQ(verdict(2, 4), "waits for entry (7, term 3), or more, from node 3 or a leader");
  EXPECT_EQ(verdict(6, 3), "keeps (6, 3)");
  EXPECT_EQ(verdict(9, 2), "keeps (9, 2)");
  EXPECT_EQ(verdict(5, 2, Suspicion{9, 3, Evidence::kBlank}), "dropped");
  EXPECT_EQ(verdict(5, 2, Suspicion{6, 3, Evidence::kSpoilt}), "keeps (6, 3)");
  EXPECT_EQ(verdict(5, 2, Suspicion{9, 3, Evidence::kProven}),
            "waits for a leader with entry (7, term 3), which may have been durable on node 3");
}

// A snapshot of entry 6 ends a suspicion of (6, term 4), and node 2 may have had entry 9.
TEST(SuspicionReviewTest, OfTwoLossesBothBoundsAreKept) {
  const auto verdict = [](const Suspicion& two, const Suspicion& three) {
    Case review({12, 5, Evidence::kBlank});
    review.Tick();
    return review.Hear(2, 5, 2, two).Hear(3, 5, 2, three).Verdict();
  };
  const Suspicion far{9, 3, Evidence::kProven}, late{6, 4, Evidence::kSpoilt};
  EXPECT_EQ(verdict(far, late), "keeps (9, 4)");
  EXPECT_EQ(verdict(late, far), "keeps (9, 4)");
}

// 1648 is what the lost segment had room for. Nobody would get this node's vote for a log that ends
// below, and in a cluster of two that is for ever.
TEST(SuspicionReviewTest, WhoLeadsTheTermKnowsHowMuchThereWas) {
  const Suspicion unbounded{1648, 23, Evidence::kProven};
  const auto bound = [&](raft::Index last, raft::Term leads) {
    Case review(unbounded);
    review.Tick();
    return review.HearLeader(2, last, leads, review.round()).Bound();
  };
  EXPECT_EQ(bound(236, 23), "(236, 23)");
  EXPECT_EQ(bound(236, 22), "as it was") << "a leader that is none any more, and may lack some";
  EXPECT_EQ(bound(236, 24), "as it was") << "its first entry ends the suspicion";
  EXPECT_EQ(bound(1648, 23), "as it was");

  Case review(unbounded);
  review.Tick();
  EXPECT_EQ(review.Hear(2, 236, 23).Bound(), "as it was") << "a follower";
  EXPECT_EQ(review.HearLeader(2, 236, 23, kBefore).Bound(), "as it was")
      << "the answer to an earlier life, which has acknowledged more since";
  EXPECT_EQ(review.HearLeader(2, 236, 23, review.round() + 1).Bound(), "as it was");
  EXPECT_EQ(review.HearLeader(9, 236, 23, review.round()).Bound(), "as it was") << "a stranger";
  const uint64_t round = review.round();
  for (raft::Index last = 6; last < 14; ++last) review.Tick(last);
  EXPECT_EQ(review.HearLeader(2, 240, 23, round).Bound(), "(240, 23)")
      << "that the log has grown since changes nothing";
  EXPECT_EQ(review.HearLeader(2, 250, 23, round).Bound(), "(240, 23)") << "the first says enough";
}

TEST(SuspicionReviewTest, AnswersAboutAnEarlierStateAndOfStrangersDoNotCount) {
  Case review;
  ASSERT_TRUE(review.Tick());
  review.Hear(2, 5, 2).Hear(3, 5, 2);
  ASSERT_TRUE(review.Tick(/*last=*/6)) << "the log has grown: all are asked again";
  EXPECT_EQ(review.Hear(2, 5, 2, {}, /*rounds_ago=*/1).Hear(9, 5, 2).Verdict(),
            "waits for a word about entry (7, term 3) from nodes 2, 3");
  EXPECT_EQ(review.Hear(2, 5, 2).Hear(3, 5, 2).Verdict(), "dropped");
}

TEST(SuspicionReviewTest, TheEndIsFetchedFromWhoHasAllOfIt) {
  Case review({7, 3, Evidence::kProven});
  review.Tick();
  EXPECT_EQ(review.Asked(), 0u);
  EXPECT_EQ(review.Hear(2, 6, 3).Asked(), 0u) << "not all of it";
  EXPECT_EQ(review.Hear(2, 9, 2).Asked(), 0u) << "longer, and older";
  EXPECT_FALSE(review.Brings(2));
  EXPECT_EQ(review.Hear(3, 7, 3).Asked(), 3u);
  EXPECT_EQ(review.Asked(), 0u) << "once in a round";
  EXPECT_TRUE(review.Brings(3));
  EXPECT_FALSE(review.Brings(2)) << "was not asked";
  EXPECT_FALSE(review.Brings(3, 5, 2, 0, /*some=*/false));
  EXPECT_FALSE(review.Brings(3, 6)) << "the log has grown since";
  EXPECT_FALSE(review.Brings(3, 5, 3)) << "the log is another one since";
  EXPECT_FALSE(review.Brings(3, 5, 2, /*rounds_ago=*/1));
}

TEST(SuspicionReviewTest, WhoHasTheEndInMemoryOrAnotherLogAsksNobody) {
  const auto asked = [](raft::Index last, raft::Term last_term) {
    Case review;
    review.Tick(last, last_term);
    return review.Hear(2, 7, 3).Asked();
  };
  EXPECT_EQ(asked(6, 3), 2u);
  EXPECT_EQ(asked(7, 3), 0u) << "not on the disk yet";
  EXPECT_EQ(asked(8, 2), 0u) << "longer, and older";
  EXPECT_EQ(asked(6, 4), 0u) << "later, and shorter";
}

TEST(SuspicionReviewTest, IfSeveralHaveTheEndAllAreAskedInTurn) {
  Case review;
  std::set<raft::NodeId> asked;
  for (int round = 0; round < 2; ++round) {
    while (!review.Tick()) {
    }
    asked.insert(review.Hear(2, 1, 4).Hear(3, 7, 3).Asked());
  }
  EXPECT_EQ(asked, (std::set<raft::NodeId>{2, 3}));
}

// Who asks with every tick would never look at the answers.
TEST(SuspicionReviewTest, ThereIsATickForAnswers) {
  for (uint32_t patience = 0; patience < 4; ++patience) {
    Case review(kBlank, patience);
    int asked = 0, looked = 0;
    for (int i = 0; i < 12; ++i) (review.Tick() ? asked : looked) += 1;
    EXPECT_GE(asked, 3) << patience;
    EXPECT_GE(looked, 6) << patience;
  }
}

// Who has all of it may have only a snapshot of the beginning; then another one is asked for what
// is committed. That may tell, for one, that the first is no member any more.
TEST(SuspicionReviewTest, WhoCannotSendTheNextEntryIsNotAsked) {
  const auto asked = [](const wire::LogExtent& two, const wire::LogExtent& three) {
    Case review;
    review.Tick();
    review.Tick();
    return review.Hear(2, two).Hear(3, three).Asked();
  };
  const wire::LogExtent all{5, 7, 3, 6, {}}, all_compacted{6, 7, 3, 6, {}};
  const wire::LogExtent some{1, 6, 3, 6, {}}, nothing_new{1, 6, 3, 5, {}};
  EXPECT_EQ(asked(nothing_new, all), 3u);
  EXPECT_EQ(asked(nothing_new, all_compacted), 0u);
  EXPECT_EQ(asked(some, all), 3u) << "all is better";
  EXPECT_EQ(asked(some, all_compacted), 2u);
  EXPECT_EQ(asked(all_compacted, all_compacted), 0u);
}

}  // namespace
}  // namespace raftkv::replica
