#include "sim/clients/client.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "core/raft/check.h"

namespace raftkv::sim {

Client::Client(const ClientSettings& settings, const World& world, Random random)
    : settings_(settings), world_(world), random_(random) {
  world_.decisions->Own(&random_);
}

std::string Client::Name() const {
  return absl::StrCat(settings_.in_session ? "s" : "c", settings_.number);
}

std::string Client::Describe() const {
  return absl::StrCat("client ", Name(), " waits for ",
                      absl::StrJoin(asked_, "; ", [](std::string* out, const Asked& asked) {
                        absl::StrAppend(out, absl::StrJoin(asked.operation.words, " "), " (",
                                        asked.tries, " tries)");
                      }));
}

void Client::Start() { Think(); }

void Client::Think() {
  if (!prompted_.empty()) return AskPrompted();
  Time when = 0;
  if (settings_.script.has_value()) {
    const std::vector<AskedGroup>& script = *settings_.script;
    while (next_group_ < script.size() && script[next_group_].cue.when.has_value()) ++next_group_;
    if (next_group_ == script.size()) return;
    when = script[next_group_].cue.at;
  } else {
    when = world_.scheduler->now() + Draw(settings_.think, random_);
  }
  world_.scheduler->At(when, Actor::kClient, [this, thought = ++thoughts_] {
    if (!stopping_ && thought == thoughts_) Ask();
  });
}

void Client::Prompt(const AskedGroup& group) {
  if (stopping_) return;
  prompted_.push_back(group);
  if (asked_.empty()) AskPrompted();
}

void Client::AskPrompted() {
  ++thoughts_;  // what it was about to ask has to wait
  const AskedGroup group = std::move(prompted_.front());
  prompted_.pop_front();
  if (!stopping_ && PlanGroup(group)) return Attempt();
  Think();
}

void Client::Ask() {
  const bool asks =
      settings_.script.has_value() ? PlanGroup((*settings_.script)[next_group_++]) : DrawGroup();
  if (!asks) return Think();
  Attempt();
}

bool Client::DrawGroup() {
  const uint64_t count = random_.Between(1, settings_.most_at_once);
  for (uint64_t i = 0; i < count; ++i) {
    Take(world_.workload->Draw(settings_.in_session, session_));
  }
  if (world_.decisions->source() == Decisions::Source::kRecorded) {
    AskedGroup& group = record_.emplace_back();
    group.cue.at = world_.scheduler->now();
    for (const Asked& asked : asked_) {
      group.operations.push_back(asked.operation.words);
      if (asked.operation.counts_once) group.operations.back()[1] = std::string(kSessionCounter);
    }
  }
  return true;
}

// False when there is nothing to ask: the session whose counter is meant has ended.
bool Client::PlanGroup(const AskedGroup& group) {
  for (std::vector<std::string> words : group.operations) {
    const bool counts = words.size() > 1 && words[1] == kSessionCounter;
    if (counts && session_ == 0) continue;
    if (counts) words[1] = SessionCounter(session_);
    absl::StatusOr<PlannedOperation> operation = PlanOperation(std::move(words));
    RAFTKV_CHECK(operation.ok());  // whoever wrote the script has asked before
    operation->counts_once = counts;
    Take(*std::move(operation));
  }
  return !asked_.empty();
}

void Client::Take(PlannedOperation operation) {
  Asked asked;
  asked.operation = std::move(operation);
  asked.record = world_.recorder->Invoke(Name(), ++last_number_, asked.operation);
  if (asked.operation.counts_once) ++count_.started;
  asked_.push_back(std::move(asked));
}

// Asks everything that has no answer yet.
void Client::Attempt() {
  ++attempt_;
  if (!connection_.has_value()) {
    const std::vector<raft::NodeId> nodes = world_.nodes();
    const raft::NodeId next = nodes[(settings_.number + connects_++) % nodes.size()];
    const std::string name =
        world_.decisions->Name([this] { return absl::StrCat(Name(), " connects"); });
    node_ = world_.decisions->Decide(name, "to node", next, [&] {
      return InVain() ? next : nodes[random_.Below(nodes.size())];
    });
    if (std::find(nodes.begin(), nodes.end(), node_) == nodes.end()) node_ = next;
    connection_ = world_.ports->Connect(this, node_);
    reader_ = wire::RespReplyReader();
  }
  expected_.clear();
  if (settings_.in_session && session_ == 0) {
    std::string bytes;
    wire::WriteRespRequest({"KV.SESSION", "OPEN"}, &bytes);
    expected_.push_back(nullptr);
    world_.ports->Send(*connection_, std::move(bytes));
  } else {
    WriteRequests();
  }
  world_.scheduler->After(settings_.patience, Actor::kClient, [this, attempt = attempt_] {
    if (attempt == attempt_) NoAnswer("no answer in time");
  });
}

void Client::WriteRequests() {
  std::string bytes;
  for (Asked& asked : asked_) {
    ++asked.tries;
    std::vector<absl::string_view> words;
    std::string numbers[3];
    if (settings_.in_session) {
      if (asked.sequence == 0) asked.sequence = ++last_sequence_;
      numbers[0] = absl::StrCat(session_);
      numbers[1] = absl::StrCat(asked.sequence);
      numbers[2] = absl::StrCat(acknowledged_);
      words = {"KV.SESSION", "RUN", numbers[0], numbers[1]};
      if (acknowledged_ > 0) words.insert(words.end(), {"ACK", numbers[2]});
    }
    words.insert(words.end(), asked.operation.words.begin(), asked.operation.words.end());
    wire::WriteRespRequest(words, &bytes);
    expected_.push_back(&asked);
    if (!asked.answer.has_value()) world_.recorder->Asks(asked.record, node_);
  }
  world_.ports->Send(*connection_, std::move(bytes));
}

void Client::OnBytes(replica::ClientId connection, const std::string& bytes) {
  if (connection_ != connection) return;
  reader_.Feed(bytes);
  wire::RespValue reply;
  // An answer may end the connection.
  while (connection_ == connection) {
    switch (reader_.Next(&reply)) {
      case wire::RespReplyReader::Outcome::kReply:
        OnReply(reply);
        break;
      case wire::RespReplyReader::Outcome::kNeedMore:
        return;
      case wire::RespReplyReader::Outcome::kError:
        world_.judge->Fail(
            Oracle::kLinearizability,
            absl::StrCat("client ", Name(), " got bytes that are no replies: ", reader_.error()));
        return;
    }
  }
}

void Client::OnReply(const wire::RespValue& reply) {
  if (expected_.empty()) {
    world_.judge->Fail(Oracle::kLinearizability,
                       absl::StrCat("client ", Name(), " got a reply to nothing"));
    return;
  }
  Asked* asked = expected_.front();
  expected_.pop_front();
  if (asked == nullptr) return OnSessionOpened(reply);
  if (asked->finished) {
    // Nothing it says matters any more.
  } else if (asked->answer.has_value()) {
    OnSecondAnswer(*asked, reply);
  } else {
    OnAnswer(*asked, reply);
  }
  if (expected_.empty()) Settle();
}

void Client::OnSessionOpened(const wire::RespValue& reply) {
  if (reply.type != wire::RespValue::Type::kInteger) return Retry();
  session_ = static_cast<uint64_t>(reply.integer);
  last_sequence_ = acknowledged_ = 0;
  count_ = Count();
  Attempt();
}

void Client::OnAnswer(Asked& asked, const wire::RespValue& reply) {
  Understood understood = Understand(asked.operation, reply);
  if (world_.trace->reading()) {
    world_.trace->Say(absl::StrCat("client ", Name(), " #", last_number_, " ",
                                   absl::StrJoin(asked.operation.words, " "), " -> ",
                                   understood.text.empty() ? "answered" : understood.text));
  }
  if (const std::string fault = PairFault(asked.operation, understood); !fault.empty()) {
    world_.judge->Fail(Oracle::kAtomicity,
                       absl::StrCat("client ", Name(), " asked ",
                                    absl::StrJoin(asked.operation.words, " "), ": ", fault));
  }
  switch (understood.kind) {
    case Understood::Kind::kDone:
      CheckCount(asked.operation, understood);
      world_.workload->Learn(asked.operation, understood);
      world_.recorder->Done(asked.record, understood);
      asked.finished = true;
      // Unless its session ended meanwhile: in another one it would be another command.
      if (asked.sequence != 0 && AsksTwice()) {
        asked.finished = false;
        asked.answer = reply;
      }
      return;
    case Understood::Kind::kNotApplied:
      asked.in_lost_session = false;
      return;  // asked again, unless too often
    case Understood::Kind::kUnknown:
      asked.maybe_applied = true;
      return;
    case Understood::Kind::kSessionUnknown:
      return LoseSession();
    case Understood::Kind::kUnintelligible:
      world_.judge->Fail(
          Oracle::kLinearizability,
          absl::StrCat("client ", Name(), " asked ", absl::StrJoin(asked.operation.words, " "),
                       " and was told what no correct node answers: ", understood.text));
      asked.finished = true;
      return;
  }
}

void Client::OnSecondAnswer(Asked& asked, const wire::RespValue& reply) {
  if (reply.is_error()) {
    // The session may have been evicted meanwhile; and nobody owes an answer twice.
    asked.finished = true;
    return;
  }
  if (!(reply == *asked.answer)) {
    world_.judge->Fail(Oracle::kExactlyOnce,
                       absl::StrCat("client ", Name(), " repeated ",
                                    absl::StrJoin(asked.operation.words, " "), " under sequence ",
                                    asked.sequence, " and got another reply than the first time"));
  }
  asked.finished = true;
}

void Client::CheckCount(const PlannedOperation& operation, const Understood& understood) {
  if (!operation.counts_once || understood.replies.empty() ||
      understood.replies[0].kind != Reply::Kind::kNumber) {
    return;
  }
  const int64_t number = understood.replies[0].number;
  if (number <= count_.started && count_.seen.insert(number).second) return;
  world_.judge->Fail(Oracle::kExactlyOnce,
                     absl::StrCat("session ", session_, " of client ", Name(), " added 1 for the ",
                                  count_.started, ". time at most and was told ", number,
                                  count_.seen.contains(number) ? " again" : ""));
}

// The session has ended. What an earlier try may have done is not known any more; the rest is asked
// in a new one.
void Client::LoseSession() {
  session_ = 0;
  for (Asked& asked : asked_) {
    asked.sequence = 0;
    asked.in_lost_session =
        std::find(expected_.begin(), expected_.end(), &asked) != expected_.end();
    if (asked.finished || asked.answer.has_value()) {
      asked.finished = true;
    } else if (asked.maybe_applied || (asked.in_lost_session && asked.operation.counts_once)) {
      // One behind the answer that says so may have overtaken the one that it is about.
      GiveUp(asked, "the session was lost");
      asked.finished = true;
    } else if (asked.operation.counts_once) {
      world_.recorder->Failed(asked.record, "the session was lost");
      asked.finished = true;
    }
  }
}

void Client::GiveUp(const Asked& asked, absl::string_view why) {
  world_.recorder->Unknown(asked.record, why);
  world_.workload->LoseTrack(asked.operation);
}

void Client::Disconnect() {
  if (!connection_.has_value()) return;
  const replica::ClientId connection = *std::exchange(connection_, std::nullopt);
  world_.ports->Close(connection);
}

void Client::OnClosed(replica::ClientId connection) {
  if (connection_ != connection) return;
  connection_.reset();
  NoAnswer("the connection broke");
}

void Client::NoAnswer(absl::string_view why) {
  ++attempt_;
  Disconnect();
  if (asked_.empty()) return;
  for (Asked* asked : std::exchange(expected_, {})) {
    if (asked == nullptr) continue;  // a session that nobody will use
    if (!asked->operation.read_only) asked->maybe_applied = true;
  }
  if (world_.trace->reading()) world_.trace->Say(absl::StrCat("client ", Name(), ": ", why));
  Settle();
}

// Everything asked has its answer or will get none from this connection.
void Client::Settle() {
  ++attempt_;
  expected_.clear();
  for (Asked& asked : asked_) {
    if (asked.finished) continue;
    if (asked.answer.has_value()) {
      asked.finished = asked.tries >= 5;  // asked again for the sake of the test only
    } else if (asked.maybe_applied && (!settings_.in_session || asked.in_lost_session)) {
      GiveUp(asked, "no answer");
      asked.finished = true;
    } else if (asked.tries >= settings_.tries) {
      if (asked.maybe_applied) {
        GiveUp(asked, "given up");
      } else {
        world_.recorder->Failed(asked.record, "given up");
      }
      asked.finished = true;
    }
  }
  std::erase_if(asked_, [](const Asked& asked) { return asked.finished; });
  if (!asked_.empty()) return Retry();
  acknowledged_ = last_sequence_;
  retries_ = 0;
  const std::string name =
      world_.decisions->Name([this] { return absl::StrCat(Name(), " is done"); });
  if (world_.decisions->Decide(name, "disconnects", 0, [this] { return random_.Chance(1, 16); })) {
    Disconnect();
  }
  Think();
}

bool Client::AsksTwice() {
  const std::string name =
      world_.decisions->Name([this] { return absl::StrCat(Name(), " is answered in a session"); });
  return world_.decisions->Decide(
      name, "asks again", 0, [this] { return random_.PerMille(settings_.ask_twice_per_mille); });
}

void Client::Retry() {
  ++attempt_;
  ++retries_;
  const std::string name =
      world_.decisions->Name([this] { return absl::StrCat(Name(), " retries"); });
  if (world_.decisions->Decide(name, "elsewhere", 1,
                               [this] { return InVain() || random_.Chance(1, 2); })) {
    Disconnect();
  }
  const Time after = world_.decisions->Decide(name, "after", Usual(settings_.before_retry), [this] {
    return Draw(settings_.before_retry, random_);
  });
  world_.scheduler->After(after, Actor::kClient, [this, attempt = attempt_] {
    if (attempt == attempt_) Attempt();
  });
}

}  // namespace raftkv::sim
