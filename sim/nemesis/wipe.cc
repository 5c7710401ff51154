// Nodes that lose all they had, and the operator who sees to it.
//
// A node id is used once, and so is an incarnation. A machine whose disk was replaced must come
// back as a new node; until somebody has removed the one that it was, all others count with that,
// and it is silent. What people do instead is tried here: the process is started with nothing, the
// directory is made anew under the old id, or is made anew although it is in use.
//
// A careful operator removes the id, looks whether all members know, adds a new node under an id of
// its own, and gives it a vote if the old one had one. From the loss until all know of it nothing
// else is lost that needs everybody to answer: a batch that is torn on one disk is given up when
// enough of the others have said that they never had it, and who is gone says nothing for ever.
#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/raft/configuration.h"
#include "sim/nemesis/nemesis.h"

namespace raftkv::sim {
namespace {

// Of each node's second life; cluster.cc has that of the first.
constexpr uint64_t kSecondIncarnation = 2;
// From the start of the process until the operator has understood that the node is lost.
constexpr Time kUnderstandsAfter = kSecond;
constexpr Time kReplaceEvery = 100 * kMillisecond;

constexpr absl::string_view kForms[] = {"empty", "joiner", "founder", "no-identity", "in-use"};
static_assert(std::size(kForms) == kWipeForms);

}  // namespace

absl::string_view Name(WipeForm form) { return kForms[static_cast<size_t>(form)]; }

bool Nemesis::Bereaved() const {
  return std::any_of(wiped_.begin(), wiped_.end(),
                     [](const auto& wiped) { return !wiped.second.settled; });
}

bool Nemesis::Replacing() const {
  return std::any_of(wiped_.begin(), wiped_.end(),
                     [](const auto& wiped) { return !wiped.second.replaced; });
}

// OK if the cluster goes on without the node, whatever else happens that it survives: a majority of
// the voters without it has all it ever promised and knows which configuration is in force, also
// after a power loss, and no other is under way.
absl::Status Nemesis::MayWipe(raft::NodeId node, WipeForm form) {
  const auto refuse = [](absl::string_view why) { return absl::FailedPreconditionError(why); };
  const raft::ConfState& conf = omniscience_->newest_conf();
  if (form == WipeForm::kFounder) {
    // The only voter of its founding configuration would need nobody to lead.
    const ClusterSettings& settings = cluster_->settings();
    if (node > settings.founders) return refuse("it is no founder");
    if (settings.founders - settings.founding_learners < 2) return refuse("it founded it alone");
  }
  for (const auto& [id, wiped] : wiped_) {
    // A node that is asked for again would be added under an id that was used.
    if (wiped.instead == node && !wiped.replaced) return refuse("it replaces another one");
  }
  for (const auto& [id, active] : active_) {
    if (active.fault == Fault::kSyncError) return refuse("some disk is about to fail");
  }
  const std::unique_ptr<FaultAtlas> atlas = AtlasFor(node);
  if (atlas == nullptr) return refuse("the members change");
  const std::vector<raft::NodeId> fit = FitForCore();
  const auto others = std::count_if(fit.begin(), fit.end(), [&](raft::NodeId other) {
    return other != node && atlas->KnownCommitted(other) >= omniscience_->newest_conf_index();
  });
  if (static_cast<size_t>(others) < conf.voters.size() / 2 + 1) {
    return refuse("the others need it");
  }
  return atlas->MayWipe(node);
}

void Nemesis::Wipe(const FaultCommand& command) {
  const raft::NodeId node = command.nodes[0];
  const auto form = static_cast<WipeForm>(command.number);
  if (wiped_.contains(node) || liars_.contains(node)) return;
  // Nothing is lost: it only was down.
  const auto come_back = [&] {
    Hold(Fault::kWipe, {absl::StrCat("node ", node, " is down"), {node}, {}}, command.lasts,
         nullptr, [this, node] { cluster_->Restart(node, 0, /*die_in_recovery=*/false); });
  };
  if (form == WipeForm::kInUse) {
    cluster_->Die(node, Process::Death::kKilled);
    InitialiseOver(node);
    return come_back();
  }
  if (const absl::Status allowed = MayWipe(node, form); !allowed.ok()) {
    return Say(absl::StrCat("node ", node, " is not wiped: ", allowed.message()));
  }
  const raft::ConfState& conf = omniscience_->newest_conf();
  cluster_->Die(node, Process::Death::kKilled);
  if (form != WipeForm::kNoIdentity) {
    cluster_->Wipe(node);
  } else if (!cluster_->LoseIdentity(node)) {
    return come_back();
  }
  omniscience_->DiskWiped(node);
  Count(Fault::kWipe);
  Remark(absl::StrCat("the disk of node ", node,
                      form == WipeForm::kNoIdentity ? " has lost its identity" : " is wiped"));
  Wiped& wiped = wiped_[node];
  wiped.form = form;
  wiped.voted = raft::IsVoter(conf, node);
  wiped.noticed = cluster_->scheduler().now() + command.lasts + kUnderstandsAfter;
  cluster_->set_may_tear(false);
  if (wiped_.size() == 1) {
    cluster_->scheduler().After(kReplaceEvery, Actor::kScript, [this] { ReplaceWiped(); });
  }
  Hold(Fault::kWipe, {absl::StrCat("the disk of node ", node, " is wiped"), {node}, {}},
       command.lasts, nullptr, [this, node, form] { StartWiped(node, form); });
}

// It has been down since, or was started with nothing and has refused.
void Nemesis::StartWiped(raft::NodeId node, WipeForm form) {
  if (cluster_->retired(node)) return;
  const bool founder = form == WipeForm::kFounder;
  if (form == WipeForm::kNoIdentity) {
    InitialiseOver(node);
  } else if (form != WipeForm::kEmpty) {
    if (cluster_->InitialiseAgain(node, founder, kSecondIncarnation).ok()) {
      omniscience_->Initialised(node, kSecondIncarnation, /*alone=*/!founder);
      Remark(absl::StrCat("node ", node, " is initialised again, as a ", Name(form)));
    }
  }
  cluster_->Restart(node, 0, /*die_in_recovery=*/false);
}

void Nemesis::InitialiseOver(raft::NodeId node) {
  const absl::Status status =
      cluster_->InitialiseAgain(node, /*as_founder=*/false, kSecondIncarnation);
  Say(absl::StrCat("node ", node, " is to be initialised over what is there: ", status.ToString()));
  omniscience_->InitialisedOver(node, /*has_identity=*/!wiped_.contains(node), status);
}

// --- The operator

void Nemesis::ReplaceWiped() {
  // A core that is healed alone has other things to ask for.
  if (!stopped_ || healed_) {
    for (auto& [node, wiped] : wiped_) {
      if (!wiped.replaced && Replace(node, wiped)) break;
    }
  }
  cluster_->set_may_tear(!Bereaved());
  cluster_->scheduler().After(kReplaceEvery, Actor::kScript, [this] { ReplaceWiped(); });
}

// True when something was asked for.
bool Nemesis::Replace(raft::NodeId node, Wiped& wiped) {
  if (cluster_->scheduler().now() < wiped.noticed || operator_.busy()) return false;
  const raft::ConfState& conf = omniscience_->newest_conf();
  if (raft::IsMember(conf, node)) {
    // It would go on to campaign, and who has removed it does not know its incarnation any more.
    if (wiped.form == WipeForm::kFounder) cluster_->Retire(node);
    AskAboutWiped({"KV.MEMBER", "REMOVE", absl::StrCat(node)});
    return true;
  }
  if (!wiped.settled) {
    wiped.settled = IsMissedByNobody(node);
    if (!wiped.settled) return false;
  }
  if (wiped.instead == raft::kNoNode) {
    for (const raft::NodeId other : cluster_->InUse()) {
      const bool taken = std::any_of(wiped_.begin(), wiped_.end(), [other](const auto& each) {
        return each.second.instead == other;
      });
      if (!omniscience_->WasEverMember(other) && !taken) wiped.instead = other;
    }
    if (wiped.instead == raft::kNoNode) wiped.instead = cluster_->StartJoiner();
  }
  const raft::NodeId instead = wiped.instead;
  if (!raft::IsMember(conf, instead)) {
    AskAboutWiped({"KV.MEMBER", "ADD", absl::StrCat(instead), PeerAddress(instead),
                   ClientAddress(instead), "1"});
    return true;
  }
  if (wiped.voted && !raft::IsVoter(conf, instead)) {
    AskAboutWiped({"KV.MEMBER", "PROMOTE", absl::StrCat(instead)});
    return true;
  }
  wiped.replaced = true;
  omniscience_->Replaced();
  Remark(absl::StrCat("node ", instead, " is there instead of node ", node));
  return false;
}

void Nemesis::AskAboutWiped(const std::vector<std::string>& words) {
  const Process* leader = cluster_->Leader();
  if (leader == nullptr) return;
  AskOf(leader->id(), words,
        [this](bool /*ok*/, bool in_doubt) { change_in_doubt_ = change_in_doubt_ || in_doubt; });
}

std::string Nemesis::NotReplaced() {
  for (const auto& [node, wiped] : wiped_) {
    const std::string who = absl::StrCat("node ", node, ", whose disk was wiped, ");
    if (wiped.replaced && cluster_->retired(node)) continue;
    if (raft::IsMember(omniscience_->newest_conf(), node)) return who + "is still a member";
    if (!wiped.settled) return who + "may still be missed by some member";
    if (!wiped.replaced) return absl::StrCat(who, "is not replaced by node ", wiped.instead);
    return who + "is not switched off";
  }
  return {};
}

}  // namespace raftkv::sim
