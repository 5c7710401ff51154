// The small pure parts, by table and against naive models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "core/raft/log.h"
#include "core/raft/membership.h"
#include "core/raft/progress.h"
#include "core/raft/quorum.h"
#include "core/raft/random.h"
#include "tests/raft/test_nodes.h"

namespace raftkv::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// ---- Quorums

struct CommitCase {
  std::vector<Index> reached;  // of voters 1, 2, ...
  Index committed;
};

TEST(Quorum, CommitTable) {
  const CommitCase cases[] = {
      {{7}, 7},
      {{7, 9}, 7},
      {{9, 7}, 7},
      {{0, 9}, 0},
      {{1, 2, 3}, 2},
      {{3, 3, 0}, 3},
      {{9, 0, 0}, 0},
      {{1, 2, 3, 4}, 2},
      {{4, 4, 4, 0}, 4},
      {{5, 5, 0, 0}, 0},
      {{5, 4, 3, 2, 1}, 3},
      {{9, 9, 0, 0, 1}, 1},
      {{2, 2, 2, 9, 9, 9}, 2},
  };
  for (const CommitCase& test : cases) {
    std::vector<NodeId> voters;
    for (size_t i = 1; i <= test.reached.size(); ++i) voters.push_back(i);
    EXPECT_EQ(MajorityIndex(voters, [&](NodeId id) { return test.reached[id - 1]; }),
              test.committed)
        << ::testing::PrintToString(test.reached);
  }
  EXPECT_EQ(MajorityIndex({}, [](NodeId) { return Index{1}; }), kEverything);
}

TEST(Quorum, CommitAgreesWithCounting) {
  Random random = Random::Stream(1, "quorum");
  for (int round = 0; round < 3000; ++round) {
    const size_t size = random.Between(1, round % 100 == 0 ? 90 : 9);
    std::vector<NodeId> voters;
    std::vector<Index> reached;
    for (size_t i = 0; i < size; ++i) {
      voters.push_back(i);
      reached.push_back(random.Below(6));
    }
    Index naive = 0;
    for (Index index = 1; index < 6; ++index) {
      const auto has = [index](Index mine) { return mine >= index; };
      const auto count = static_cast<size_t>(std::count_if(reached.begin(), reached.end(), has));
      if (2 * count > size) naive = index;
    }
    ASSERT_EQ(MajorityIndex(voters, [&](NodeId id) { return reached[id]; }), naive);
  }
}

TEST(Quorum, AnyTwoMajoritiesMeet) {
  for (size_t voters = 1; voters <= 64; ++voters) {
    EXPECT_GT(2 * MajoritySize(voters), voters);
    EXPECT_LE(2 * (MajoritySize(voters) - 1), voters) << "not more than needed";
  }
}

struct VoteCase {
  const char* answers;  // of voters 1, 2, ...: y, n, or _ for none
  VoteResult result;
};

TEST(Quorum, VoteTable) {
  const VoteCase cases[] = {
      {"y", VoteResult::kWon},      {"n", VoteResult::kLost},        {"_", VoteResult::kPending},
      {"y_", VoteResult::kPending}, {"yn", VoteResult::kLost},       {"n_", VoteResult::kLost},
      {"yy", VoteResult::kWon},     {"yy_", VoteResult::kWon},       {"yn_", VoteResult::kPending},
      {"nn_", VoteResult::kLost},   {"yynn", VoteResult::kLost},     {"yyn_", VoteResult::kPending},
      {"yyyn", VoteResult::kWon},   {"nny__", VoteResult::kPending}, {"nnn__", VoteResult::kLost},
  };
  for (const VoteCase& test : cases) {
    const std::string answers = test.answers;
    std::vector<NodeId> voters;
    for (size_t i = 1; i <= answers.size(); ++i) voters.push_back(i);
    const auto vote = [&](NodeId id) -> std::optional<bool> {
      if (answers[id - 1] == '_') return std::nullopt;
      return answers[id - 1] == 'y';
    };
    EXPECT_EQ(MajorityVote(voters, vote), test.result) << answers;
  }
}

TEST(Quorum, AJointConfigurationDecidesWhatBothHalvesDecide) {
  ConfState conf;
  conf.voters = {1, 2, 3};
  conf.voters_outgoing = {3, 4, 5};
  const std::map<NodeId, Index> reached = {{1, 9}, {2, 9}, {3, 5}, {4, 4}, {5, 1}};
  EXPECT_EQ(JointIndex(conf, [&](NodeId id) { return reached.at(id); }), 4u);
  const auto only = [](std::vector<NodeId> granting) {
    return [granting](NodeId id) -> std::optional<bool> {
      if (std::count(granting.begin(), granting.end(), id) > 0) return true;
      return std::nullopt;
    };
  };
  EXPECT_EQ(JointVote(conf, only({1, 2})), VoteResult::kPending);
  EXPECT_EQ(JointVote(conf, only({4, 5})), VoteResult::kPending);
  EXPECT_EQ(JointVote(conf, only({1, 3, 4})), VoteResult::kWon);
}

// ---- Terms of a log

// The obvious way to do what TermRuns does.
struct NaiveTerms {
  Index base = 0;
  std::vector<Term> terms{0};  // of base, base + 1, ...

  Index last() const { return base + terms.size() - 1; }
  std::optional<Term> At(Index index) const {
    if (index < base || index > last()) return std::nullopt;
    return terms[index - base];
  }
  Index LastAtMost(Index from, Term term) const {
    while (At(from).has_value() && *At(from) > term) {
      if (from == 0) return 0;
      --from;
    }
    return from;
  }
  static Index CommonPrefix(const NaiveTerms& a, const NaiveTerms& b) {
    Index index = std::max(a.base, b.base);
    const Index last = std::min(a.last(), b.last());
    if (last < index) return last;
    while (index < last && a.At(index + 1) == b.At(index + 1)) ++index;
    return index;
  }
};

TEST(TermRuns, AgreesWithAVectorOfTerms) {
  Random random = Random::Stream(1, "term runs");
  for (int round = 0; round < 300; ++round) {
    TermRuns runs;
    NaiveTerms naive;
    TermRuns other;
    NaiveTerms naive_other;
    for (int step = 0; step < 60; ++step) {
      switch (random.Below(10)) {
        case 0: {
          const Index index = random.Between(naive.base, naive.last());
          runs.TruncateAfter(index);
          naive.terms.resize(index - naive.base + 1);
          break;
        }
        case 1: {
          const Index index = random.Between(naive.base, std::min(naive.last(), naive.base + 3));
          runs.DropBefore(index);
          naive.terms.erase(naive.terms.begin(),
                            naive.terms.begin() + static_cast<std::ptrdiff_t>(index - naive.base));
          naive.base = index;
          break;
        }
        case 2:
          if (random.Chance(1, 4)) {
            other = runs;  // two logs that share a beginning
            naive_other = naive;
          }
          break;
        default: {
          const Term term = naive.terms.back() + (random.Chance(1, 3) ? random.Between(1, 2) : 0);
          runs.Append(term);
          naive.terms.push_back(term);
        }
      }
      ASSERT_EQ(runs.base(), naive.base);
      ASSERT_EQ(runs.last(), naive.last());
      ASSERT_EQ(runs.last_term(), naive.terms.back());
      for (Index index = 0; index <= naive.last() + 2; ++index) {
        ASSERT_EQ(runs.At(index), naive.At(index)) << index;
      }
      const Index from = random.Between(naive.base, naive.last());
      const Term term = random.Below(naive.terms.back() + 2);
      ASSERT_EQ(runs.LastAtMost(from, term), naive.LastAtMost(from, term))
          << "from " << from << " at most " << term;
      // Two logs of one cluster agree up to where one of them was compacted.
      const Index base = std::max(naive.base, naive_other.base);
      if (naive.At(base) == naive_other.At(base)) {
        ASSERT_EQ(TermRuns::CommonPrefix(runs, other),
                  NaiveTerms::CommonPrefix(naive, naive_other));
        ASSERT_EQ(TermRuns::CommonPrefix(other, runs),
                  NaiveTerms::CommonPrefix(naive, naive_other));
      }
    }
  }
}

TEST(TermRuns, ResetForgets) {
  TermRuns runs(3, 2);
  runs.Append(4);
  runs.Reset(9, 7);
  EXPECT_EQ(runs.base(), 9u);
  EXPECT_EQ(runs.last(), 9u);
  EXPECT_EQ(runs.last_term(), 7u);
  EXPECT_EQ(runs.At(8), std::nullopt);
}

TEST(TermRunsDeathTest, TermsDoNotGoBack) {
  TermRuns runs(3, 2);
  EXPECT_DEATH(runs.Append(1), "check failed");
}

// ---- The log

TEST(Log, AgreesWithAVectorOfEntries) {
  Random random = Random::Stream(1, "log");
  for (int round = 0; round < 100; ++round) {
    Log log;
    std::map<Index, Entry> model;
    Index base = 0;
    Term term = 1;
    // Short logs, and such as fill some blocks.
    const bool is_long = random.Chance(1, 3);
    for (int step = 0; step < (is_long ? 4'000 : 300); ++step) {
      const uint64_t what = random.Below(is_long ? 1'000 : 20);
      if (what == 0) {
        const Index index = random.Between(base, log.last());
        log.TruncateAfter(index);
        model.erase(model.upper_bound(index), model.end());
      } else if (what == 1) {
        base = random.Between(base, std::min(log.last(), base + (is_long ? 800 : 20)));
        log.Compact(base);
        model.erase(model.begin(), model.upper_bound(base));
      } else if (what == 2 && is_long) {
        base = log.last() + random.Below(600);
        log.Reset(base, term);
        model.clear();
      } else {
        term += random.Chance(1, 10);
        const Index index = log.last() + 1;
        const Entry entry = Command(term, index, absl::StrCat("e", step));
        log.Append(entry);
        model[index] = entry;
      }
      ASSERT_EQ(log.base(), base);
      ASSERT_EQ(log.last() - log.base(), model.size());
      if (random.Chance(1, 10)) log.ReleaseSome(random.Below(500));
      if (!random.Chance(1, 20)) continue;
      const Index through = random.Between(base, log.last());
      uint64_t bytes = random.Below(random.Chance(1, 2) ? 300 : 100'000);
      const Index from = log.TailWithin(through, bytes);
      Index expected = through + 1;
      while (expected > base + 1 && EntryBytes(model.at(expected - 1)) <= bytes)
        bytes -= EntryBytes(model.at(--expected));
      ASSERT_EQ(from, expected);
    }
    for (const auto& [index, entry] : model) {
      ASSERT_EQ(log.At(index), entry);
      ASSERT_TRUE(log.Has(index, entry.term));
      ASSERT_FALSE(log.Has(index, entry.term + 1));
    }
    EXPECT_EQ(log.TermAt(log.last() + 1), std::nullopt);
    if (base > 0) {
      EXPECT_EQ(log.TermAt(base - 1), std::nullopt) << "a compacted term is unknown, not 0";
    }
  }
}

TEST(Log, WhatLeavesItIsFreedLittleByLittle) {
  Log log;
  std::vector<Payload> kept;
  for (Index index = 1; index <= 1'000; ++index) {
    kept.push_back(Payload::Copy(absl::StrCat("entry ", index)));
    log.Append(Entry{.term = 1, .index = index, .payload = kept.back()});
  }
  log.Compact(600);
  log.TruncateAfter(900);
  // Blocks are emptied whole, so a little more than what was dropped is gone through.
  size_t released = 0;
  while (const size_t some = log.ReleaseSome(100)) {
    EXPECT_LE(some, 100u);
    released += some;
  }
  EXPECT_GE(released, 512u);
  EXPECT_LE(released, 1'024u);
  EXPECT_EQ(log.ReleaseSome(100), 0u);
  for (Index index = 601; index <= 900; ++index) EXPECT_EQ(log.At(index).payload, kept[index - 1]);
  // What is appended makes room for itself.
  log.Reset(2'000, 1);
  for (Index index = 2'001; index <= 2'600; ++index) log.Append(Command(1, index));
  EXPECT_EQ(log.ReleaseSome(1), 0u);
}

TEST(Log, CopiesWhatFitsAndAlwaysOne) {
  Log log;
  for (Index index = 1; index <= 5; ++index) log.Append(Command(1, index, "12345678"));
  const uint64_t each = EntryBytes(log.At(1));
  const auto copied = [&](Index from, Index through, uint64_t bytes) {
    Entries out;
    log.CopyTo(from, through, bytes, out);
    return out.size();
  };
  EXPECT_EQ(copied(1, 5, kNoLimit), 5u);
  EXPECT_EQ(copied(2, 4, kNoLimit), 3u);
  EXPECT_EQ(copied(1, 5, 3 * each), 3u);
  EXPECT_EQ(copied(1, 5, 3 * each - 1), 2u);
  EXPECT_EQ(copied(1, 5, 0), 1u);
  EXPECT_EQ(copied(6, 5, kNoLimit), 0u);
}

TEST(LogDeathTest, EntriesComeWithoutGaps) {
  Log log;
  log.Append(Command(1, 1));
  EXPECT_DEATH(log.Append(Command(1, 3)), "check failed");
}

// ---- Progress

TEST(Inflights, AgreesWithAList) {
  Random random = Random::Stream(1, "inflights");
  for (int round = 0; round < 200; ++round) {
    const uint64_t max_messages = random.Between(1, 12);
    const uint64_t max_bytes = random.Chance(1, 2) ? 0 : random.Between(1, 50);
    Inflights inflights(max_messages, max_bytes);
    std::vector<std::pair<Index, uint64_t>> model;
    Index next = 1;
    for (int step = 0; step < 200; ++step) {
      uint64_t bytes = 0;
      for (const auto& sent : model) bytes += sent.second;
      const bool full = model.size() >= max_messages || (max_bytes != 0 && bytes >= max_bytes);
      ASSERT_EQ(inflights.Full(), full);
      ASSERT_EQ(inflights.count(), model.size());
      const uint64_t what = random.Below(20);
      if (what == 0) {
        inflights.Clear();
        model.clear();
      } else if (what < 6) {
        const Index index = random.Below(next + 1);
        inflights.FreeThrough(index);
        std::erase_if(model, [index](const auto& sent) { return sent.first <= index; });
      } else if (what < 9 && !model.empty()) {
        const uint64_t more = random.Below(5);
        inflights.ExtendLast(next, more);
        model.back() = {next++, model.back().second + more};
      } else if (!full) {
        const uint64_t size = random.Below(20);
        inflights.Add(next, size);
        model.emplace_back(next++, size);
      }
    }
  }
}

TEST(Inflights, AHugeWindowCostsNothing) {
  Inflights inflights(std::numeric_limits<int32_t>::max());
  for (Index index = 1; index <= 1000; ++index) inflights.Add(index, 1);
  EXPECT_FALSE(inflights.Full());
  inflights.FreeThrough(999);
  EXPECT_EQ(inflights.count(), 1u);
}

Progress ProgressAt(ProgressState state, Index match, Index next) {
  Progress progress;
  progress.inflights = Inflights(2);
  progress.match = match;
  progress.next = next;
  progress.state = state;
  return progress;
}

TEST(ProgressTest, AnOldAcceptanceMovesNothing) {
  Progress progress = ProgressAt(ProgressState::kReplicate, 5, 9);
  EXPECT_FALSE(progress.Accepted(5));
  EXPECT_FALSE(progress.Accepted(3));
  EXPECT_EQ(progress.match, 5u);
  EXPECT_TRUE(progress.Accepted(7));
  EXPECT_EQ(progress.match, 7u);
  EXPECT_EQ(progress.next, 9u) << "what was sent ahead stays sent";
  EXPECT_TRUE(progress.Accepted(12));
  EXPECT_EQ(progress.next, 13u);
}

struct RejectCase {
  ProgressState state;
  Index match, next;
  Index prev, hint;  // refused, and the follower's guess
  bool effect;
  Index new_next;
};

TEST(ProgressTest, RejectionTable) {
  const RejectCase cases[] = {
      // Replicating: back to what is known, unless something newer was accepted since.
      {ProgressState::kReplicate, 5, 10, 5, 5, false, 10},
      {ProgressState::kReplicate, 5, 10, 4, 4, false, 10},
      {ProgressState::kReplicate, 5, 10, 9, 9, true, 6},
      // Probing: only the probe that is out counts.
      {ProgressState::kProbe, 0, 10, 8, 8, false, 10},
      {ProgressState::kProbe, 0, 10, 9, 2, true, 3},
      {ProgressState::kProbe, 0, 10, 9, 9, true, 9},    // at least one back
      {ProgressState::kProbe, 0, 10, 9, 100, true, 9},  // also when the hint is nonsense
      {ProgressState::kProbe, 4, 10, 9, 0, true, 5},    // never to match or below
      // What it has acknowledged is not asked for again at once.
      {ProgressState::kProbe, 4, 5, 4, 2, false, 5},
      {ProgressState::kProbe, 0, 1, 0, 0, false, 1},
  };
  for (const RejectCase& test : cases) {
    Progress progress = ProgressAt(test.state, test.match, test.next);
    progress.flow_paused = true;
    EXPECT_EQ(progress.Rejected(test.prev, test.hint), test.effect);
    EXPECT_EQ(progress.next, test.new_next);
    EXPECT_GT(progress.next, progress.match);
    if (test.effect && test.state == ProgressState::kProbe) {
      EXPECT_FALSE(progress.Paused());
    }
  }
}

TEST(ProgressTest, StatesFlowIntoEachOther) {
  Progress progress = ProgressAt(ProgressState::kReplicate, 5, 6);
  progress.SentAppend(2, 20);
  EXPECT_EQ(progress.next, 8u);
  EXPECT_FALSE(progress.Paused());
  progress.SentAppend(1, 10);
  EXPECT_TRUE(progress.Paused()) << "a window of two messages";
  progress.BecomeProbe();
  EXPECT_EQ(progress.next, 6u);
  EXPECT_FALSE(progress.Paused());
  EXPECT_EQ(progress.inflights.count(), 0u);
  progress.SentAppend(3, 30);
  EXPECT_TRUE(progress.Paused()) << "one probe at a time";
  EXPECT_EQ(progress.next, 6u);
  progress.BecomeSnapshot(20);
  EXPECT_TRUE(progress.Paused());
  EXPECT_EQ(progress.next, 21u);
  progress.BecomeProbe();
  EXPECT_EQ(progress.next, 21u) << "behind the snapshot, not behind match";
  EXPECT_EQ(progress.pending_snapshot, 0u);
  progress.BecomeReplicate();
  EXPECT_EQ(progress.next, 6u);
}

TEST(ProgressTableTest, IsSortedAndHasEachOnce) {
  ProgressTable table;
  for (const NodeId id : {NodeId{5}, NodeId{1}, NodeId{3}, NodeId{5}}) {
    Progress progress;
    progress.id = id;
    table.Insert(progress);
  }
  std::vector<NodeId> ids;
  for (const Progress& progress : table) ids.push_back(progress.id);
  EXPECT_THAT(ids, ElementsAre(1, 3, 5));
  table.Remove(3);
  table.Remove(4);
  EXPECT_EQ(table.Find(3), nullptr);
  EXPECT_EQ(table.Find(4), nullptr);
  EXPECT_NE(table.Find(5), nullptr);
}

// ---- Membership

MembershipChange RandomChange(Random& random) {
  MembershipChange change;
  change.transition = static_cast<MembershipChange::Transition>(random.Below(3));
  const uint64_t count = random.Below(5);
  for (uint64_t i = 0; i < count; ++i) {
    change.changes.push_back({static_cast<MemberChange::Kind>(random.Below(4)),
                              random.Chance(1, 2) ? random.Below(9) : random.Next()});
  }
  const uint64_t length = random.Below(20);
  for (uint64_t i = 0; i < length; ++i) change.context += static_cast<char>(random.Below(256));
  return change;
}

TEST(MembershipCodec, WhatIsEncodedIsDecoded) {
  Random random = Random::Stream(1, "membership codec");
  for (int round = 0; round < 2000; ++round) {
    const MembershipChange change = RandomChange(random);
    ASSERT_EQ(DecodeMembershipChange(EncodeMembershipChange(change)), change);
  }
  MembershipChange largest;
  largest.changes.assign(kMaxMemberChanges, MemberChange{});
  largest.context.assign(kMaxMembershipContext, 'c');
  EXPECT_EQ(DecodeMembershipChange(EncodeMembershipChange(largest)), largest);
  EXPECT_EQ(EncodeMembershipChange(MembershipChange()), "");
}

TEST(MembershipCodec, GoldenBytes) {
  MembershipChange change;
  change.transition = MembershipChange::Transition::kJointExplicit;
  change.changes = {{MemberChange::Kind::kAddVoter, 0x0102}, {MemberChange::Kind::kAddLearner, 7}};
  change.context = "at";
  const std::string golden(
      "\x01\x02\x02"
      "\x00\x02\x01\x00\x00\x00\x00\x00\x00"
      "\x03\x07\x00\x00\x00\x00\x00\x00\x00"
      "\x02\x00\x00\x00"
      "at",
      27);
  EXPECT_EQ(EncodeMembershipChange(change), golden);
}

TEST(MembershipCodec, AnyBytesAreSafeAndOneEncodingIsOneChange) {
  Random random = Random::Stream(2, "membership codec");
  uint64_t decoded = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string bytes;
    if (random.Chance(1, 2)) {
      bytes = EncodeMembershipChange(RandomChange(random));
      const uint64_t damage = random.Below(3);
      for (uint64_t i = 0; i < damage && !bytes.empty(); ++i) {
        const size_t at = random.Below(bytes.size());
        switch (random.Below(3)) {
          case 0:
            bytes[at] = static_cast<char>(random.Below(256));
            break;
          case 1:
            bytes.resize(at);
            break;
          case 2:
            bytes.insert(at, 1, static_cast<char>(random.Below(256)));
            break;
        }
      }
    } else {
      const uint64_t length = random.Below(40);
      for (uint64_t i = 0; i < length; ++i) bytes += static_cast<char>(random.Below(4));
    }
    const std::optional<MembershipChange> change = DecodeMembershipChange(bytes);
    if (!change) continue;
    ++decoded;
    ASSERT_EQ(EncodeMembershipChange(*change), bytes);
  }
  EXPECT_GT(decoded, 1000u);
}

TEST(Configuration, FaultsAreNamed) {
  const ConfState good{{1, 2}, {2, 3}, {4}, {3}, true};
  EXPECT_EQ(ConfStateFault(good), "");
  EXPECT_EQ(ConfStateFault(ConfState()), "");
  const auto spoilt = [&](void (*spoil)(ConfState&)) {
    ConfState conf = good;
    spoil(conf);
    return !ConfStateFault(conf).empty();
  };
  EXPECT_TRUE(spoilt([](ConfState& c) { c.voters = {2, 1}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.voters = {1, 1}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.learners = {0}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.learners = {1}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.learners = {3}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.learners_next = {4}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.learners_next = {2}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.voters = {}; }));
  EXPECT_TRUE(spoilt([](ConfState& c) { c.voters_outgoing = {}; }));
}

TEST(Configuration, WhateverIsAskedTheResultIsWellFormed) {
  Random random = Random::Stream(1, "configuration");
  ConfState conf;
  conf.voters = {1};
  uint64_t applied = 0;
  for (int round = 0; round < 20000; ++round) {
    MembershipChange change = RandomChange(random);
    for (MemberChange& member : change.changes) member.node %= 7;
    if (random.Chance(1, 3)) change = MembershipChange();
    const ConfigurationUpdate update = ApplyChange(conf, change);
    if (update.refused()) continue;
    ++applied;
    ASSERT_EQ(ConfStateFault(update.conf), "") << DescribeConfiguration(update.conf);
    ASSERT_FALSE(update.conf.voters.empty());
    for (const NodeId id : update.fresh) ASSERT_TRUE(IsMember(update.conf, id));
    ASSERT_EQ(MemberCount(update.conf), AllMembers(update.conf).size());
    for (const NodeId id : AllMembers(update.conf)) {
      const bool fresh = std::count(update.fresh.begin(), update.fresh.end(), id) > 0;
      ASSERT_TRUE(fresh || IsMember(conf, id)) << "somebody new of whom nothing is said";
    }
    conf = update.conf;
  }
  EXPECT_GT(applied, 2000u);
}

}  // namespace
}  // namespace raftkv::raft
