#include "sim/clients/operation.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "sim/clients/workload.h"

namespace raftkv::sim {
namespace {

wire::RespValue Parse(absl::string_view bytes) {
  wire::RespReplyReader reader;
  reader.Feed(bytes);
  wire::RespValue value;
  EXPECT_EQ(reader.Next(&value), wire::RespReplyReader::Outcome::kReply) << bytes;
  return value;
}

PlannedOperation Plan(ReplyForm form, std::vector<Verb> verbs) {
  PlannedOperation plan;
  plan.form = form;
  for (const Verb verb : verbs) {
    plan.commands.emplace_back();
    plan.commands.back().verb = verb;
    plan.commands.back().key = "k";
  }
  return plan;
}

TEST(UnderstandTest, TheFirstWordOfAnErrorIsAPromise) {
  const PlannedOperation set = Plan(ReplyForm::kDone, {Verb::kSet});
  using Kind = Understood::Kind;
  EXPECT_EQ(Understand(set, Parse("-NOTAPPLIED no leader\r\n")).kind, Kind::kNotApplied);
  EXPECT_EQ(Understand(set, Parse("-UNKNOWN no answer\r\n")).kind, Kind::kUnknown);
  EXPECT_EQ(Understand(set, Parse("-SESSIONUNKNOWN gone\r\n")).kind, Kind::kSessionUnknown);
  EXPECT_EQ(Understand(set, Parse("-ERR what\r\n")).kind, Kind::kUnintelligible);
  const Understood applied = Understand(set, Parse("-APPLIED at index 7\r\n"));
  EXPECT_EQ(applied.kind, Kind::kDone);
  ASSERT_EQ(applied.replies.size(), 1u);
  EXPECT_EQ(applied.replies[0].kind, Reply::Kind::kUnobserved);
}

TEST(UnderstandTest, AnIncrementOfAWordIsAnErrorThatHappened) {
  const Understood understood =
      Understand(Plan(ReplyForm::kNumber, {Verb::kIncrBy}), Parse("-ERR value is not\r\n"));
  EXPECT_EQ(understood.kind, Understood::Kind::kDone);
  EXPECT_EQ(understood.replies[0].kind, Reply::Kind::kError);
}

TEST(UnderstandTest, ValuesAndVersions) {
  const Understood value = Understand(Plan(ReplyForm::kValue, {Verb::kGet}), Parse("$1\r\nv\r\n"));
  EXPECT_EQ(value.replies[0].value, "v");
  const Understood versioned =
      Understand(Plan(ReplyForm::kVersioned, {Verb::kGet}), Parse("*2\r\n:41\r\n$1\r\nv\r\n"));
  EXPECT_EQ(versioned.replies[0].version, 41);
  const Understood refused =
      Understand(Plan(ReplyForm::kSwap, {Verb::kSet}), Parse("*2\r\n:0\r\n:41\r\n"));
  EXPECT_EQ(refused.replies[0].kind, Reply::Kind::kConditionNotMet);
  EXPECT_EQ(refused.replies[0].version, 41);
}

TEST(UnderstandTest, ARefusedMsetnxIsAborted) {
  const Understood understood =
      Understand(Plan(ReplyForm::kAllOrNothing, {Verb::kSet, Verb::kSet}), Parse(":0\r\n"));
  EXPECT_EQ(understood.kind, Understood::Kind::kDone);
  EXPECT_TRUE(understood.aborted);
}

PlannedOperation ReadPair() {
  PlannedOperation plan = Plan(ReplyForm::kValues, {Verb::kGet, Verb::kGet});
  plan.commands[0].key = "p0a";
  plan.commands[1].key = "p0b";
  return plan;
}

TEST(PairFaultTest, BothHalvesOrNone) {
  const auto fault = [](absl::string_view reply) {
    const PlannedOperation plan = ReadPair();
    return PairFault(plan, Understand(plan, Parse(reply)));
  };
  EXPECT_EQ(fault("*2\r\n$-1\r\n$-1\r\n"), "");
  EXPECT_EQ(fault("*2\r\n$1\r\n1\r\n$6\r\n999999\r\n"), "");
  EXPECT_NE(fault("*2\r\n$1\r\n1\r\n$-1\r\n"), "");
  EXPECT_NE(fault("*2\r\n$1\r\n2\r\n$6\r\n999999\r\n"), "");
}

TEST(PairFaultTest, AScanSeesWholePairs) {
  PlannedOperation plan = Plan(ReplyForm::kPage, {Verb::kRange});
  const auto fault = [&](absl::string_view entries) {
    return PairFault(plan,
                     Understand(plan, Parse(std::string("*2\r\n$-1\r\n") + std::string(entries))));
  };
  EXPECT_EQ(fault("*0\r\n"), "");
  EXPECT_EQ(fault("*4\r\n$3\r\np0a\r\n$1\r\n1\r\n$3\r\np0b\r\n$6\r\n999999\r\n"), "");
  EXPECT_NE(fault("*4\r\n$3\r\np0a\r\n$1\r\n2\r\n$3\r\np0b\r\n$6\r\n999999\r\n"), "");
  EXPECT_NE(fault("*2\r\n$3\r\np0a\r\n$1\r\n1\r\n"), "");
  EXPECT_NE(fault("*4\r\n$3\r\np0a\r\n$1\r\n1\r\n$3\r\np1b\r\n$6\r\n999999\r\n"), "");
}

TEST(PairFaultTest, AReplicaHoldsBothHalvesAtOneVersion) {
  kv::Store store{kv::StoreOptions()};
  const auto set = [&](raft::Index index, absl::string_view key, absl::string_view value) {
    kv::Command command;
    command.ops.emplace_back();
    command.ops[0].kind = kv::OpKind::kSet;
    command.ops[0].key = key;
    command.ops[0].value = value;
    store.Apply(index, command);
  };
  EXPECT_EQ(PairFault(store), "");
  set(2, "p0a", "5");
  EXPECT_NE(PairFault(store), "") << "one half";
  set(3, "p0b", "999995");
  EXPECT_NE(PairFault(store), "") << "the sum is right, the versions are not";
}

TEST(WorkloadTest, EveryOperationSaysTheSameInBothLanguages) {
  Workload workload(WorkloadOptions(), Random(3));
  for (int i = 0; i < 2'000; ++i) {
    const PlannedOperation plan = workload.Draw(i % 2 == 0, i % 3 == 0 ? 9 : 0);
    ASSERT_FALSE(plan.words.empty());
    ASSERT_FALSE(plan.commands.empty());
    bool writes = false;
    for (const Command& command : plan.commands) {
      writes = writes || command.verb >= Verb::kSet;
      // Every key of the history is in the words.
      EXPECT_NE(std::find(plan.words.begin(), plan.words.end(), command.key), plan.words.end());
      if (command.value.has_value()) {
        EXPECT_NE(std::find(plan.words.begin(), plan.words.end(), *command.value),
                  plan.words.end());
      }
    }
    EXPECT_EQ(plan.read_only, !writes);
    if (i % 2 == 0) {
      EXPECT_TRUE(writes);
    }
  }
}

TEST(WorkloadTest, AKeyWithManyUnknownWritesIsRetired) {
  WorkloadOptions options;
  options.registers = 1;
  options.counters = 1;
  options.pair_share = 0;
  options.most_unknown_writes = 3;
  Workload workload(options, Random(4));
  std::map<std::string, int> unknown;
  for (int i = 0; i < 400; ++i) {
    const PlannedOperation plan = workload.Draw(false, 0);
    const std::string& key = plan.commands[0].key;
    if (plan.read_only) {
      workload.LoseTrack(plan);  // of no consequence
    } else if (i % 4 == 0) {
      ++unknown[key];
      workload.LoseTrack(plan);
    }
  }
  EXPECT_GT(unknown.size(), 5u);
  for (const auto& [key, count] : unknown) EXPECT_LE(count, 3) << key;
  EXPECT_TRUE(unknown.contains("r0"));
  EXPECT_TRUE(unknown.contains("r0.1"));
  EXPECT_TRUE(unknown.contains("n0.1"));

  // Late writes to a retired key would go unseen if nobody looked.
  std::set<std::string> seen_later;
  for (int i = 0; i < 2'000; ++i) {
    const PlannedOperation plan = workload.Draw(false, 0);
    if (plan.read_only) seen_later.insert(plan.commands[0].key);
  }
  for (const auto& [key, count] : unknown) EXPECT_TRUE(seen_later.contains(key)) << key;
}

TEST(PlanTest, WordsMeanWhatTheNodeMakesOfThem) {
  const auto plan = [](std::vector<std::string> words) { return *PlanOperation(words); };
  EXPECT_TRUE(plan({"GET", "a"}).read_only);
  EXPECT_FALSE(plan({"GETDEL", "a"}).read_only);
  EXPECT_EQ(plan({"GETDEL", "a"}).commands[1].verb, Verb::kDelete);
  EXPECT_EQ(plan({"SET", "a", "v"}).commands[0].condition.kind, Condition::Kind::kAlways);
  EXPECT_EQ(plan({"SET", "a", "v", "NX"}).commands[0].condition.kind, Condition::Kind::kAbsent);
  EXPECT_EQ(plan({"SET", "a", "v", "XX"}).commands[0].condition.kind, Condition::Kind::kPresent);
  EXPECT_EQ(plan({"KV.CAS", "a", "7", "v"}).commands[0].condition.version, 7);
  EXPECT_EQ(plan({"INCR", "a"}).commands[0].delta, 1);
  EXPECT_EQ(plan({"INCRBY", "a", "-3"}).commands[0].delta, -3);
  EXPECT_EQ(plan({"KV.PREFIX", "p"}).commands[0].end, "q");
  EXPECT_EQ(plan({"KV.RANGE", "p", "s", "LIMIT", "2"}).commands[0].end, "s");
  EXPECT_EQ(plan({"DEL", "a"}).form, ReplyForm::kNumber);
  EXPECT_EQ(plan({"DEL", "a", "b"}).form, ReplyForm::kEach);
  EXPECT_TRUE(plan({"MSET", "a", "1", "b", "2"}).guards.empty());
  EXPECT_EQ(plan({"MSETNX", "a", "1", "b", "2"}).guards.size(), 2u);
  EXPECT_EQ(plan({"MSETNX", "a", "1", "b", "2"}).commands[1].value, "2");
}

TEST(PlanTest, WhatNoClientAsksIsSaid) {
  const std::vector<std::string> kWrong[] = {{},
                                             {"FLUSHALL"},
                                             {"GET"},
                                             {"GET", "a", "b"},
                                             {"SET", "a"},
                                             {"SET", "a", "v", "EX"},
                                             {"KV.CAS", "a", "x", "v"},
                                             {"INCRBY", "a", "much"},
                                             {"MSET", "a", "1", "b"},
                                             {"KV.RANGE", "a", "b", "FIRST", "2"}};
  for (const std::vector<std::string>& words : kWrong) {
    EXPECT_EQ(PlanOperation(words).status().code(), absl::StatusCode::kInvalidArgument)
        << (words.empty() ? "" : words[0]);
  }
}

}  // namespace
}  // namespace raftkv::sim
