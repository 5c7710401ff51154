#include "sim/disk_table/scene.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/raft/random.h"
#include "sim/clients/operator.h"

namespace raftkv::sim {
namespace {

// Some thirty election timeouts. What can be repaired is repaired in a few.
constexpr Time kPatience = 1 * kSecond;
constexpr Time kLookEvery = 2 * kMillisecond;
constexpr Time kRestartAfterPowerLoss = 30 * kMillisecond;

// Compares what nodes execute with what was committed before, and keeps what they say about
// themselves.
class Observer final : public Witness {
 public:
  explicit Observer(const Specimen* specimen) : specimen_(specimen) {}

  void Damaged(const replica::Replica& replica) override { Begin(replica.raft().id()); }
  void Recovered(const replica::Replica& replica, const raft::Recovered&) override {
    Begin(replica.raft().id());
  }
  void RecoveryRefused(raft::NodeId node, const absl::Status& reason) override {
    says_[node] = std::string(reason.message());
  }
  void Ended(raft::NodeId node, const absl::Status& reason, bool disk_failed) override {
    says_[node] = std::string(reason.message());
    if (disk_failed || !violation_.empty()) return;
    violation_ = absl::StrCat("node ", node, " ends with a good disk: ", reason.message());
  }
  void BeforeTurn(const replica::Replica&) override {}
  void AfterTurn(const replica::Replica& replica, const replica::Work& work) override {
    const raft::NodeId node = replica.raft().id();
    for (const replica::Event& event : work.events) {
      std::visit([&](const auto& kind) { Hear(node, replica, kind); }, event);
    }
  }
  void JobDone(raft::NodeId, const replica::Job&, const replica::JobResult&) override {}

  const std::string& violation() const { return violation_; }
  const std::string& Says(raft::NodeId node) { return says_[node]; }
  raft::Index Executed(raft::NodeId node) { return executed_[node]; }

 private:
  void Begin(raft::NodeId node) {
    says_[node].clear();
    executed_[node] = 0;
  }

  // An event that says what the node waits for has a member of that name.
  template <typename Event>
  void Hear(raft::NodeId node, const replica::Replica& replica, const Event& event) {
    if constexpr (std::is_same_v<Event, replica::EntryApplied>) {
      executed_[node] = std::max(executed_[node], event.index);
      Compare(node, replica, event.index);
    } else if constexpr (std::is_same_v<Event, replica::SnapshotInstalled>) {
      executed_[node] = std::max(executed_[node], event.index);
    } else if constexpr (requires { event.what; }) {
      says_[node] = event.what;
    }
  }

  void Compare(raft::NodeId node, const replica::Replica& replica, raft::Index index) {
    const raft::Entries& committed = specimen_->committed();
    if (index < committed.front().index || index > committed.back().index) return;
    const raft::Entry& wanted = committed[index - committed.front().index];
    if (replica.raft().log().At(index) == wanted || !violation_.empty()) return;
    violation_ = absl::StrCat("node ", node, " executes another entry at ", index, ", of term ",
                              replica.raft().log().At(index).term);
  }

  const Specimen* specimen_;
  std::string violation_;
  std::map<raft::NodeId, std::string> says_;
  std::map<raft::NodeId, raft::Index> executed_;
};

class Stage {
 public:
  Stage(const Specimen& specimen, Scene scene, const Trace::Sink& told)
      : specimen_(specimen),
        scene_(std::move(scene)),
        trace_(&scheduler_, told),
        observer_(&specimen),
        cluster_(specimen.settings(), &scheduler_, &decisions_, &trace_, &observer_,
                 Random::Stream(scene_.seed, "disk table")),
        writer_(&scheduler_, &cluster_.ports(), kPatience / 4) {}

  SceneVerdict Play() {
    cluster_.MakeFounders();
    for (auto& [node, disk] : scene_.disks) {
      cluster_.Find(node)->disk() = std::move(*disk);
      const auto late = scene_.late.find(node);
      cluster_.Restart(node, late == scene_.late.end() ? 0 : late->second, false);
    }
    for (const auto& loss : scene_.power_loss) {
      scheduler_.At(loss.second, Actor::kScript, [this, node = loss.first] {
        if (cluster_.Find(node)->state() == Process::State::kDown) return;
        cluster_.Die(node, Process::Death::kPowerLoss);
        cluster_.Restart(node, kRestartAfterPowerLoss, false);
      });
    }
    for (Time look = 0; look < kPatience && observer_.violation().empty(); look += kLookEvery) {
      while (scheduler_.RunOne(look)) {
      }
      if (!AllHaveEverything()) continue;
      if (written_) return Conclude(true);
      Write();
    }
    return Conclude(false);
  }

 private:
  bool AllHaveEverything() {
    for (const auto& [node, process] : cluster_.processes()) {
      const bool down = process->state() == Process::State::kDown;
      if (down && scene_.may_refuse.contains(node) && !observer_.Says(node).empty()) continue;
      if (process->state() != Process::State::kUp) return false;
      if (observer_.Executed(node) < specimen_.last()) return false;
    }
    return true;
  }

  std::string Says(const Process& process) {
    if (process.replica() != nullptr) {
      std::string loss = process.replica()->Status().repair;
      if (!loss.empty()) return loss;
    }
    return observer_.Says(process.id());
  }

  void Write() {
    Process* leader = cluster_.Leader();
    if (leader == nullptr || writer_.busy()) return;
    writer_.Ask(leader->id(), {"SET", "new", "write"},
                [this](bool ok, const std::string&) { written_ |= ok; });
  }

  SceneVerdict Conclude(bool recovered) {
    if (!observer_.violation().empty()) return {Ending::kUnsafe, observer_.violation()};
    if (recovered) return {Ending::kRecovered, ""};
    std::string said;
    for (const raft::NodeId node : scene_.damaged) {
      const Process& process = *cluster_.Find(node);
      const bool fine =
          process.state() == Process::State::kUp && observer_.Executed(node) >= specimen_.last();
      if (fine) continue;
      const std::string says = Says(process);
      if (says.empty()) {
        // Whoever has made up for its own loss may still be behind, because of the others.
        if (process.state() == Process::State::kUp) continue;
        return {Ending::kUnsafe, absl::StrCat("node ", node, " is down and does not say why")};
      }
      absl::StrAppend(&said, said.empty() ? "" : "; ", "node ", node, ": ", says);
    }
    if (said.empty()) return {Ending::kUnsafe, "nothing goes on and no node says why"};
    return {Ending::kWaiting, said};
  }

  const Specimen& specimen_;
  Scene scene_;
  Scheduler scheduler_;
  Decisions decisions_;
  Trace trace_;
  Observer observer_;
  Cluster cluster_;
  Operator writer_;
  bool written_ = false;
};

}  // namespace

SceneVerdict Play(const Specimen& specimen, Scene scene, const Trace::Sink& told) {
  return Stage(specimen, std::move(scene), told).Play();
}

}  // namespace raftkv::sim
