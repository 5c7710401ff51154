#include "sim/run/core_duties.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/configuration.h"
#include "sim/picture/wording.h"

namespace raftkv::sim {
namespace {

// Nobody else uses it.
constexpr absl::string_view kKey = "core";

}  // namespace

CoreDuties::CoreDuties(std::vector<raft::NodeId> core, Cluster* cluster, const Nemesis* nemesis,
                       const Omniscience* omniscience, Time election_timeout, RunUntil run_until)
    : core_(std::move(core)),
      cluster_(cluster),
      nemesis_(nemesis),
      omniscience_(omniscience),
      election_timeout_(election_timeout),
      run_until_(std::move(run_until)),
      operator_(&cluster->scheduler(), &cluster->ports(), 4 * election_timeout),
      began_(cluster->scheduler().now()) {}

std::optional<std::string> CoreDuties::Do() {
  const auto ok = [this](const std::string& what, Words words) {
    return Ask(what, [words] { return words; });
  };
  const bool done = Wait("a leader", [this] { return Leader() != nullptr; }) &&
                    ok("a write", {"SET", std::string(kKey), "written"}) &&
                    ok("a read", {"GET", std::string(kKey)}) && TakeIn() && HandOver();
  if (done || waits_for_.empty()) return std::nullopt;
  return absl::StrCat("nodes ", absl::StrJoin(core_, " "), ", healed at ", began_ / kMillisecond,
                      " ms, have done: ", done_.empty() ? "nothing" : absl::StrJoin(done_, ", "),
                      "; wait ", patience_ / kMillisecond, " ms for ", waits_for_, "\n",
                      WhereEverybodyIs());
}

Process* CoreDuties::Leader() const {
  Process* leader = cluster_->Leader();
  if (leader == nullptr || !leader->replica()->raft().committed_in_term()) return nullptr;
  size_t followers = 0;
  for (const raft::NodeId node : core_) {
    const Process* process = cluster_->Find(node);
    if (process->state() != Process::State::kUp) continue;
    const raft::Raft& raft = process->replica()->raft();
    followers += raft.leader() == leader->id() && raft.term() == leader->replica()->raft().term();
  }
  return 2 * followers > core_.size() ? leader : nullptr;
}

bool CoreDuties::Wait(const std::string& what, const std::function<bool()>& goal,
                      uint64_t messages) {
  const Time from = cluster_->scheduler().now();
  waits_for_ = what;
  // Without pre-vote two may campaign in turns, each in a term that the other has been in already,
  // until their timers happen to overtake each other.
  const uint64_t timeouts = cluster_->settings().replica.raft.pre_vote ? kTimeouts : 3 * kTimeouts;
  patience_ = timeouts * election_timeout_ + kForDisks + messages * kForMessage;
  // Who was dialled when nobody answered is not dialled again before that has been given up.
  const Time dialled_until = began_ + cluster_->settings().links.hello_timeout_us;
  if (cluster_->settings().streams && from < dialled_until) patience_ += dialled_until - from;
  if (!run_until_(patience_, goal)) return false;
  waits_for_.clear();
  done_.push_back(
      absl::StrCat(what, " (", (cluster_->scheduler().now() - from) / kMillisecond, " ms)"));
  return true;
}

bool CoreDuties::Ask(const std::string& what, const std::function<Words()>& words,
                     const std::function<bool()>& goal, uint64_t messages) {
  struct Asking {  // an answer may come when the goal is reached already
    bool ok = false;
    Time next = 0;
  };
  const auto asking = std::make_shared<Asking>();
  last_answer_ = "nobody";
  const auto ask_again = [&] {
    if (goal ? goal() : asking->ok) return true;
    if (operator_.busy() || cluster_->scheduler().now() < asking->next) return false;
    const raft::NodeId node = core_[asked_++ % core_.size()];
    operator_.Ask(node, words(), [this, asking, node](bool done, const std::string& text) {
      asking->ok = done;
      asking->next = cluster_->scheduler().now() + election_timeout_ / 4;
      last_answer_ = absl::StrCat("node ", node, ": ", done ? "done" : text);
    });
    return false;
  };
  return Wait(what, ask_again, messages);
}

bool CoreDuties::TakeIn() {
  const raft::NodeId joiner = cluster_->StartJoiner();
  const std::string name = absl::StrCat(joiner);
  const auto is_member = [this, joiner] {
    return raft::IsMember(omniscience_->newest_conf(), joiner);
  };
  const auto is_voter = [this, joiner] {
    const std::vector<raft::NodeId>& voters = omniscience_->newest_conf().voters;
    return std::find(voters.begin(), voters.end(), joiner) != voters.end();
  };
  const Words add = {"KV.MEMBER", "ADD", name, PeerAddress(joiner), ClientAddress(joiner), "1"};
  if (!Ask(
          absl::StrCat("node ", joiner, " as a learner"), [add] { return add; }, is_member)) {
    return false;
  }
  raft::Index to = 0;
  // With the smallest windows each entry, and each piece of a snapshot, waits for the one before.
  uint64_t messages = 0;
  for (const raft::NodeId node : core_) {
    const Process* process = cluster_->Find(node);
    if (process->state() != Process::State::kUp) continue;
    const replica::Replica& replica = *process->replica();
    to = std::max(to, replica.raft().commit());
    messages = std::max(
        messages, replica.raft().log().last() - replica.raft().log().base() +
                      replica.snapshot_bytes() / cluster_->settings().replica.snapshot_chunk_bytes);
  }
  const auto is_up_to_date = [&] {
    const Process* process = cluster_->Find(joiner);
    return process->state() == Process::State::kUp && process->replica()->raft().applied() >= to;
  };
  if (!Wait(absl::StrCat("node ", joiner, " to be up to date"), is_up_to_date, messages)) {
    return false;
  }
  std::vector<Looked> looks;
  const auto promote = [&] {
    if (const Process* leader = cluster_->Leader()) {
      const raft::Raft& raft = leader->replica()->raft();
      const raft::Progress* peer = raft.progress()->Find(joiner);
      looks.push_back({cluster_->scheduler().now(), raft.log().last(), peer ? peer->match : 0});
    }
    return Words{"KV.MEMBER", "PROMOTE", name};
  };
  if (Ask(absl::StrCat("a vote for node ", joiner), promote, is_voter)) return true;
  if (!IsTooSlow(joiner, to, looks)) return false;
  waits_for_.clear();
  done_.push_back(absl::StrCat("no vote for node ", joiner, ", to which clients are too fast"));
  return true;
}

// With the smallest windows clients may write faster than a distant node learns, and who is behind
// by more than an election timeout, the shortest there is, is no help as a voter (thesis, section
// 4.2.1). It must have been so when it was asked for last, or one of the times before.
bool CoreDuties::IsTooSlow(raft::NodeId joiner, raft::Index had,
                           const std::vector<Looked>& looks) const {
  const Process* process = cluster_->Find(joiner);
  if (process->state() != Process::State::kUp || process->replica()->raft().applied() <= had ||
      !absl::StrContains(last_answer_, "keep up")) {
    return false;
  }
  return std::any_of(looks.begin(), looks.end(), [&](const Looked& asked) {
    return asked.at + election_timeout_ > looks.back().at &&
           std::any_of(looks.begin(), looks.end(), [&](const Looked& before) {
             return before.at + election_timeout_ / 2 <= asked.at && before.last > asked.match;
           });
  });
}

// A voter of the core, and one that needs no snapshot for it if there is one: clients that write
// faster than it gets it may leave it behind for ever. 0: there is nobody.
raft::NodeId CoreDuties::Successor(const Process& leader) const {
  const std::vector<raft::NodeId>& voters = omniscience_->newest_conf().voters;
  raft::NodeId successor = 0;
  for (const raft::NodeId node : core_) {
    if (node == leader.id() || std::find(voters.begin(), voters.end(), node) == voters.end()) {
      continue;
    }
    if (successor == 0) successor = node;
    const Process* process = cluster_->Find(node);
    if (process->state() == Process::State::kUp &&
        process->replica()->raft().log().last() >= leader.replica()->raft().log().base()) {
      return node;
    }
  }
  return successor;
}

bool CoreDuties::HandOver() {
  const Process* leader = nullptr;
  if (!Wait("a leader to hand over", [&] { return (leader = Leader()) != nullptr; })) return false;
  // Who leads has committed something, and may need a voter for it that was just let in, and that
  // clients were faster than.
  uint64_t messages = 0;
  const raft::Index last = leader->replica()->raft().log().last();
  for (const raft::NodeId node : omniscience_->newest_conf().voters) {
    const Process* process = cluster_->Find(node);
    if (process == nullptr || process->state() != Process::State::kUp) continue;
    const raft::Index has = process->replica()->raft().log().last();
    messages = std::max(messages, last - std::min(last, has));
  }
  raft::NodeId to = Successor(*leader);
  if (to == 0) return true;
  const auto transfer = [this, &to] {
    // The first who was asked for may have fallen behind since.
    if (const Process* now = Leader(); now != nullptr && now->id() != to) to = Successor(*now);
    return Words{"KV.TRANSFER", absl::StrCat(to)};
  };
  const auto leads = [this, &to] {
    const Process* now = Leader();
    return now != nullptr && now->id() == to;
  };
  return Ask("another node of the core to lead", transfer, leads, messages);
}

std::string CoreDuties::WhereEverybodyIs() const {
  std::string text = absl::StrCat("  the last answer of ", last_answer_, "\n");
  for (const raft::NodeId node : cluster_->InUse()) {
    const Process* process = cluster_->Find(node);
    absl::StrAppend(&text, "  node ", node);
    const auto left = nemesis_->left().find(node);
    if (left != nemesis_->left().end()) absl::StrAppend(&text, ", left ", Name(left->second));
    if (process->state() == Process::State::kDown) {
      absl::StrAppend(&text, ": down\n");
      continue;
    }
    const raft::Raft& raft = process->replica()->raft();
    absl::StrAppend(&text, process->state() == Process::State::kPaused ? " (paused)" : "", ": ",
                    Name(raft.role()), " in term ", raft.term(), ", leader ", raft.leader(),
                    ", log ", raft.log().first(), " to ", raft.log().last(), ", committed ",
                    raft.commit(), ", applied ", raft.applied(),
                    process->replica()->repairing() ? ", repairing" : "", "\n");
  }
  return text;
}

}  // namespace raftkv::sim
