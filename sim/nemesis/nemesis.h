// Causes faults, as the seed says: which kinds exist in this run, when, against whom, how long.
//
// Each seed has its own subset (a swarm): a run in which everything happens at once hides what a
// run with pauses and snapshots only would find. A fault is aimed at the leader half of the time,
// because that is where it hurts. What a disk loses is never more than the cluster promises to
// survive (sim/disk/fault_atlas.h), so that every oracle may demand everything. When the time for
// faults is over, End takes back all of them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/raft/random.h"
#include "sim/clients/operator.h"
#include "sim/cluster/cluster.h"
#include "sim/cues/cue.h"
#include "sim/decisions/decisions.h"
#include "sim/disk/disk_fault.h"
#include "sim/disk/fault_atlas.h"
#include "sim/oracles/omniscience.h"

namespace raftkv::sim {

enum class Fault : uint8_t {
  kPartition,       // two groups that do not hear each other
  kIsolation,       // one node alone
  kOneWay,          // some nodes are not heard by the others, or do not hear them
  kClog,            // links that deliver late, all at once
  kStorm,           // much is lost, doubled and delayed; only delayed if links keep order
  kPowerLoss,       // of one node
  kKill,            // of one process
  kPowerLossOfAll,  // of all nodes at once
  kPause,           // of one process
  kSlowDisk,
  kSyncError,
  kFullDisk,
  kClockJump,  // of one node's wall clock
  kTransfer,   // of leadership
  kMembership,
  kSlowNode,           // its process stands still for a moment, again and again
  kRestartStorms,      // it loses its power again and again
  kRollingRestarts,    // all processes are ended and started, one after the other
  kRot,                // bits, garbage or zeros in a file of a node that is down
  kReadErrors,         // sectors of such a file that cannot be read
  kHungDisk,           // answers nothing for a while
  kLostWrites,         // one that the disk pretends to have done, and the node loses power
  kMisdirectedWrites,  // the same, and the bytes are somewhere else
  kMisdirectedReads,   // one that returns the bytes of another place
  kStaleFiles,         // one that is back as it was a while ago
  kAmnesia,            // the same for the whole disk
  kWipe,               // all that a node had is gone, and its operator does something about it

  // Attacks: they aim at one weakness, and count only if they come to what they are named for.
  kLeaderInMinority,  // the leader is cut off with too few, and goes on taking writes
  kOneWayLeader,      // the leader is heard and hears nobody, and loses its term by that
  kWithheldAnswers,   // entries are on a majority, and their leader does not hear of it
  kFigure8,           // an old leader comes back with entries of its old term, and is lost again
  kSentNotPersisted,  // power fails when messages are under way and what goes with them is not
                      // written
  kPersistedNotSaid,  // power fails when a write is done and nobody has heard of it
  kOutlivedLease,     // a leader is paused until there is another one, and goes on
  kDoubledSnapshots,  // pieces of a snapshot arrive a second time, much later
  kOldMessages,       // messages that were banked in an old term arrive in a later one
  kReusedAddresses,   // what is meant for one node reaches another
  kStuckChanges,      // a voter is left alone in the middle of a snapshot, or of a change of the
                      // members, for as long as it takes to campaign
  kOvertakenAppends,  // a snapshot arrives in front of the appends that it stands for, and its node
                      // is slow to install it
};
inline constexpr size_t kFaultKinds = static_cast<size_t>(Fault::kOvertakenAppends) + 1;
// From here on, attacks: chosen apart from the rest.
inline constexpr size_t kFirstAttack = static_cast<size_t>(Fault::kLeaderInMinority);
// From here on, faults of disks at rest and disks that hang: chosen apart from the others, so that
// they come on top of what the seed has anyway.
inline constexpr size_t kFirstDiskFault = static_cast<size_t>(Fault::kRot);
// From here on, disks that lie: chosen apart from both.
inline constexpr size_t kFirstLie = static_cast<size_t>(Fault::kLostWrites);
// From here on, disks that are wiped: chosen apart from all others.
inline constexpr size_t kFirstWipe = static_cast<size_t>(Fault::kWipe);

// What is left of a data directory, and what its operator does before the process is started.
enum class WipeForm : uint8_t {
  kEmpty,       // nothing; nothing: it must not start
  kJoiner,      // nothing; it is initialised as a new node under its old id: it must take no part
  kFounder,     // nothing; it is initialised as the founder that it may once have been, with other
                // incarnation: nobody may listen to it
  kNoIdentity,  // all but its identity; to initialise it must be refused, and it must not start
  kInUse,       // all of it; to initialise it must be refused, and it goes on
};
inline constexpr size_t kWipeForms = static_cast<size_t>(WipeForm::kInUse) + 1;
absl::string_view Name(WipeForm form);  // as scenarios call it: "no-identity"

// Rot and lies: details of which are drawn when they happen.
bool HasDraw(Fault fault);

absl::string_view Name(Fault fault);  // plural: "partitions"

using Link = std::pair<raft::NodeId, raft::NodeId>;  // from, to
using Links = std::vector<Link>;

// One thing that the nemesis does: what its kind needs of these, the rest is empty. What it does is
// decided by this, the state of the cluster and nothing else.
struct FaultCommand {
  Fault fault = Fault::kPartition;
  std::vector<raft::NodeId> nodes;
  Links links;     // partitions, isolations, one-way partitions, clogs
  Time lasts = 0;  // a node that goes down is started again after this
  // slow nodes, restarts: milliseconds of each; slow disks: so many times; sync errors: after so
  // many syncs; clock jumps: milliseconds, and back in time with `back`; transfers: to this node;
  // storms: so many of 1000 lost; wipes: their form
  uint64_t number = 0;
  bool back = false;
  // power losses, kills, a given damage: it loses power (is killed) once more while it recovers
  bool again = false;
  // storms: so many of 1000 doubled; disks that rot or lie: the seed of the details
  uint64_t draw = 0;
  // rot, read errors: this, and not what `draw` picks. With a draw, what it picks instead is judged
  // all the same; without one (0) nothing is
  std::optional<DiskFault> damage;
  // transfers, membership requests: what the operator asks nodes[0]. An ADD starts the node that it
  // names, unless it is there. JOINT PROMOTE 4 REMOVE 2: what a node forwards to nodes[0]
  std::vector<std::string> words;

  friend bool operator==(const FaultCommand&, const FaultCommand&) = default;
};

struct CuedFault {
  Cue cue;
  FaultCommand command;
  friend bool operator==(const CuedFault&, const CuedFault&) = default;
};

struct NemesisSettings {
  std::array<uint32_t, kFaultKinds> shares = {};  // 0: not in this run
  Delay between;                                  // from one fault to the next
  Delay between_disk_faults;                      // the same for kFirstDiskFault to kFirstLie
  Delay between_lies;                             // the same for kFirstLie to kFirstWipe
  Delay between_wipes;                            // the same for kFirstWipe to kFirstAttack
  Delay between_attacks;                          // the same for those from kFirstAttack on
  Delay lasts;
  uint32_t at_leader_percent = 50;
  uint32_t most_members = 7;
  uint32_t least_voters = 2;
  bool joint = false;  // learners are made voters, and voters removed, several at once
  Time operator_patience = 2 * kSecond;
  // Does this instead of what it would draw: what has a time by itself, in this order; what has a
  // condition whoever watches for conditions has to let it Do.
  std::optional<std::vector<CuedFault>> script;
  // From then on it draws, with or without a script.
  std::optional<Time> draws_from;
};

class Nemesis {
 public:
  using Counters = std::array<uint64_t, kFaultKinds>;

  // Whom a fault is aimed at, and in words.
  struct Aim {
    std::string text;
    std::vector<raft::NodeId> nodes;
    Links links;
  };
  // Follows faults while they last. It is told and not asked: nothing depends on it.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void FaultBegan(uint64_t id, Fault fault, const Aim& aim) = 0;
    virtual void FaultOver(uint64_t id) = 0;
    // About what does not last.
    virtual void NemesisSays(absl::string_view text) = 0;
  };

  // `omniscience` is told which disks lie.
  Nemesis(const NemesisSettings& settings, Cluster* cluster, Decisions* decisions,
          Omniscience* omniscience, Random random);

  void set_watcher(Watcher* watcher) { watcher_ = watcher; }  // null: nobody

  void Start();
  // Takes back every fault, starts what is down, and causes no more.
  void End();

  // Instead of that, in three steps, for a core of the nodes (core.cc):
  // Causes no more. Attacks, storms and lies are over; what else there is stays, for ever.
  void Stop();
  // Voters without whom the rest of a majority of them can do: each of them has all that it has
  // ever promised. Empty when it is a matter of opinion who is a voter, or may become one. After
  // Stop.
  std::vector<raft::NodeId> FitForCore();
  // Whether one of these can be elected by the others alone. Who does not know that the last change
  // of the configuration is committed asks the voters of the one before.
  bool CanElectAlone(const std::vector<raft::NodeId>& core);
  // Takes back what there is on and between the nodes of the core, which are all of FitForCore and
  // a majority, and starts those that are down. The others stay as they are, or become worse. None
  // of them can lead, unless all of the core hears it and is heard.
  void HealCore(const std::vector<raft::NodeId>& core);
  // What becomes of a node outside of a core.
  enum class Left : uint8_t {
    kThere,    // with what its disk and its process have
    kDown,     // without power
    kCutOff,   // from all of the core
    kDeaf,     // hears nothing of the core, which hears it
    kMute,     // the other way round
    kHanging,  // its disk does not answer
    kPaused,
  };
  // What the operator has not done yet about a node that was wiped, in words; empty: nothing. Each
  // is removed and switched off, and a new node has come instead.
  std::string NotReplaced();
  // For those who tell of it, by node.
  const std::map<raft::NodeId, Left>& left() const { return left_; }
  // Now, unless it has ended. What is not possible (a node that is not there, or in no state for
  // it) is not done.
  void Do(const FaultCommand& command);
  // Has a joint change forwarded to the leader, as a node with a newer client port would. False:
  // nobody else is there who could, or it does not lead.
  bool ForwardJoint(raft::NodeId leader, std::vector<raft::MemberChange> changes);
  // What it has drawn and done so far, and what its script had a time for.
  const std::vector<CuedFault>& done() const { return record_; }
  // The rot and the read errors of those that it came to, as commands with the damage that it was:
  // a draw picks something else as soon as there are other files.
  const std::vector<FaultCommand>& spoilt() const { return spoilt_; }

  // Faults that took effect: a partition that stopped a frame, a disk that was slow while somebody
  // wrote, a write that was lost and that somebody has missed, ...
  const Counters& counters() const { return counters_; }
  uint64_t total() const;

 private:
  // A fault that lasts.
  struct Active {
    Fault fault;
    Aim aim;
    std::function<void()> take_back;
    // Grows while the fault has an effect; compared with its value at the beginning.
    std::function<uint64_t()> effect;
    uint64_t effect_before;
  };

  // Faults that are chosen together, out of a stream of their own.
  struct Course {
    size_t begin;
    size_t end;
    Delay between;
    Random* random;
  };
  void DrawAll();
  void Next(Course& course);
  void NextOfScript(size_t number);
  // A command of that kind for the cluster as it is; nullopt when there is nobody for it.
  std::optional<FaultCommand> Draw(Fault fault, Random& random);
  bool DrawMembership(Random& random, FaultCommand* command);
  void DrawJointChange(Random& random, FaultCommand* command);
  void Hold(Fault fault, const Aim& aim, Time lasts, std::function<uint64_t()> effect,
            std::function<void()> take_back);
  void TakeBack(uint64_t id);
  void Count(Fault fault) { ++counters_[static_cast<size_t>(fault)]; }
  void Say(absl::string_view text);
  void Remark(absl::string_view text);  // said to the watcher, too

  raft::NodeId PickUp(Random& random);  // a running node; kNoNode when there is none
  static Links DrawPartition(const std::vector<raft::NodeId>& nodes, Random& random);
  static std::vector<raft::NodeId> PickGroup(const std::vector<raft::NodeId>& nodes,
                                             Random& random);
  void CutLinks(const FaultCommand& command);
  void ClogLinks(const FaultCommand& command);
  void Down(const FaultCommand& command, raft::NodeId node, Process::Death death);
  void Storm(const FaultCommand& command);
  void Pause(const FaultCommand& command, Process* process);
  void SlowDown(const FaultCommand& command, Process* process);
  void Restarts(const FaultCommand& command);
  void Disk(const FaultCommand& command, Process* process);
  void Spoil(FaultCommand command, raft::NodeId node);
  void Foresee(raft::NodeId node, const DiskFault& damage);
  void Hang(raft::NodeId node, Time lasts);
  const SimDisk* DiskOf(raft::NodeId node) const;  // null when it is wiped and not replaced yet
  // Null while it is a matter of opinion which majority is to survive, or what is on all disks, or
  // if the node is no member.
  std::unique_ptr<FaultAtlas> AtlasFor(raft::NodeId node);
  // A recovery of the node has misread its disk, and what it believes to be bad will be written
  // over when the others have told what they know. Until then the disk has more than the node.
  bool Misled(raft::NodeId node);
  // A node of which only one thing at a time is a lie.
  struct Liar {
    Fault fault;
    std::vector<std::string> remembered;  // names of files
    Random random;
    bool on_a_header = false;  // its write lands on a header of the log
  };
  void Lie(const FaultCommand& command);
  void LieAboutWrites(Fault fault, raft::NodeId node, Time lasts);
  bool MayComeOut(raft::NodeId node, SimDisk& kept, SimDisk& left);
  void BringToLight(raft::NodeId node, Time down);
  void LieToARunningNode(raft::NodeId node, Time lasts);
  void LieToARecovery(raft::NodeId node, Time down);
  void Remember(Fault fault, raft::NodeId node, Time lasts);
  void BringBack(raft::NodeId node, uint32_t tries);
  void EndLie(raft::NodeId node);
  // wipe.cc
  // A node whose disk was wiped, and what is done about it.
  struct Wiped {
    WipeForm form = WipeForm::kEmpty;
    bool voted = false;  // so will who comes instead
    Time noticed = 0;
    bool settled = false;                  // all members know that it is none
    raft::NodeId instead = raft::kNoNode;  // when it is there
    bool replaced = false;
  };
  void Wipe(const FaultCommand& command);
  absl::Status MayWipe(raft::NodeId node, WipeForm form);
  void StartWiped(raft::NodeId node, WipeForm form);
  void InitialiseOver(raft::NodeId node);
  // Some member may still need to hear that a wiped one is gone: until then no more than that is
  // lost for good, and nothing that only all of them could tell about.
  bool Bereaved() const;
  bool Replacing() const;
  void ReplaceWiped();
  // Some node that is still to be replaced goes on.
  bool Replace(raft::NodeId node, Wiped& wiped);
  void AskAboutWiped(const std::vector<std::string>& words);

  bool IsLastVoter(raft::NodeId node) const;
  bool CanDoWithout(raft::NodeId removed);
  bool ChangeIsNoted();
  bool MayVote(const std::vector<raft::NodeId>& promoted, const std::vector<raft::NodeId>& leaving);
  void HandOverTo(const std::string& voter);
  void Ask(const FaultCommand& command);
  // `told` hears whether it is done, and whether nobody knows.
  void AskOf(raft::NodeId node, const std::vector<std::string>& words,
             const std::function<void(bool ok, bool in_doubt)>& told);
  void AskForJoint(const FaultCommand& command);

  // Attacks (attacks.cc).
  bool DrawAttack(Random& random, FaultCommand* command);
  void Attack(const FaultCommand& command);
  void CutOffLeader(const FaultCommand& command);
  void WithholdAnswers(const FaultCommand& command);
  void DieAtMoment(const FaultCommand& command, Process* process);
  void OutliveLease(const FaultCommand& command, Process* process);
  void DoubleSnapshots(const FaultCommand& command);
  void BankMessages(const FaultCommand& command);
  void ReuseAddress(const FaultCommand& command);
  struct Stuck;
  void StickChange(const FaultCommand& command);
  struct Overtaken;
  void OvertakeAppends(const FaultCommand& command);
  bool Overtake(const std::string& frame, Overtaken* overtaken);
  void LookForChange(const std::vector<raft::NodeId>& nodes, Stuck* stuck);
  struct Figure8;
  void PlayFigure8(const FaultCommand& command);
  void GoOn(const std::shared_ptr<Figure8>& play);
  // Of the process if it runs, 0 otherwise.
  raft::Term TermLedBy(raft::NodeId node);
  Time ElectionTimeout() const;

  // core.cc
  Left DecideLeft(raft::NodeId node, bool hurt_link);
  bool MayLead(raft::NodeId node, Left left) const;
  void Leave(raft::NodeId node, Left left, const std::vector<raft::NodeId>& core);
  void SweepUp();
  bool IsMissedByNobody(raft::NodeId node);

  NemesisSettings settings_;
  Cluster* cluster_;
  Decisions* decisions_;
  Omniscience* omniscience_;
  Watcher* watcher_ = nullptr;
  Random random_;
  Random disk_random_;
  Random lie_random_;
  Random wipe_random_;
  Random attack_random_;
  Course faults_;
  Course disk_faults_;
  Course lies_;
  Course wipes_;
  Course attacks_;
  Operator operator_;
  NetworkOptions calm_network_;
  bool ended_ = false;
  uint64_t last_active_ = 0;
  std::map<uint64_t, Active> active_;
  std::map<raft::NodeId, Time> removed_;  // seen outside the configuration since
  std::map<raft::NodeId, Liar> liars_;
  std::map<raft::NodeId, uint64_t> misled_;  // lives that begin with a misread disk
  Counters counters_ = {};
  std::vector<CuedFault> record_;
  std::vector<FaultCommand> spoilt_;
  // A change of the members was asked for, and the operator does not know what became of it.
  bool change_in_doubt_ = false;
  std::set<raft::NodeId> leaving_;    // asked to be removed, and not refused
  std::set<raft::NodeId> returning_;  // removed, asked to be added again, and not refused
  std::set<raft::NodeId> told_done_;  // of their removal
  uint64_t forwarded_ = 0;            // joint changes
  bool stopped_ = false;
  bool healed_ = false;
  std::map<raft::NodeId, Wiped> wiped_;
  Random core_random_;
  Random hand_over_random_;
  std::map<raft::NodeId, Left> left_;
};

absl::string_view Name(Nemesis::Left left);  // "cut off"

}  // namespace raftkv::sim
