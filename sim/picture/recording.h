// What a run looked like: typed events in their order, with what each changed on its node.
//
// Only the last events are kept, in a ring, with the state of every node before the first of them:
// a violation is explained by what came shortly before it, and a run has far more events than
// anybody looks at. Whoever goes through the events from the beginning and applies each change has
// the state of every node at every instant.
//
// A recording knows nothing of the system that it is a recording of. The camera (camera.h) fills
// it; page.h, columns.h and chrome_trace.h show it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/raft.h"
#include "core/raft/types.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

using EntryNumber = uint32_t;  // a place in Recording::entries()

// One entry as it was written somewhere. Two entries of the same index and term are one, unless
// something is badly wrong.
struct PictureEntry {
  raft::Index index = 0;
  raft::Term term = 0;
  std::string text;  // SET "k7" "v"
};

enum class RunState : uint8_t {
  kAbsent,     // there is no such node yet
  kDown,       // power or process gone
  kUp,         //
  kPaused,     // frozen; inputs wait
  kRepairing,  // up, with a damaged disk: takes part in nothing
};

// One node as somebody sees it who sees everything. Indexes and terms are the core's.
struct NodeView {
  RunState run = RunState::kAbsent;
  raft::RoleName role = raft::RoleName::kFollower;
  raft::Term term = 0;
  raft::NodeId vote = raft::kNoNode;
  raft::NodeId leader = raft::kNoNode;
  raft::Index commit = 0;
  raft::Index applied = 0;
  raft::Index durable = 0;   // entries up to here are on its disk, says the disk
  raft::Index snapshot = 0;  // the newest it offers
  raft::Index promised =
      0;                 // its disk has lost entries up to here that count as acknowledged; or 0
  raft::Index base = 0;  // the log holds the entries behind this index
  std::vector<EntryNumber> log;
  std::vector<std::pair<raft::NodeId, raft::Index>> match;  // of a leader: what each node has
  std::string conf;                                         // as DescribeConfiguration

  raft::Index last() const { return base + log.size(); }
  friend bool operator==(const NodeView&, const NodeView&) = default;
};

// What is different in a NodeView after an event. Every field but the log is absent or the new
// value.
struct NodeChange {
  // The log begins behind `base`, keeps what it has up to `keep`, and goes on with `appended`.
  struct Log {
    raft::Index base = 0;
    raft::Index keep = 0;
    std::vector<EntryNumber> appended;
    friend bool operator==(const Log&, const Log&) = default;
  };
  std::optional<RunState> run;
  std::optional<raft::RoleName> role;
  std::optional<raft::Term> term;
  std::optional<raft::NodeId> vote;
  std::optional<raft::NodeId> leader;
  std::optional<raft::Index> commit;
  std::optional<raft::Index> applied;
  std::optional<raft::Index> durable;
  std::optional<raft::Index> snapshot;
  std::optional<raft::Index> promised;
  std::optional<Log> log;
  std::optional<std::vector<std::pair<raft::NodeId, raft::Index>>> match;
  std::optional<std::string> conf;

  bool empty() const { return *this == NodeChange(); }
  friend bool operator==(const NodeChange&, const NodeChange&) = default;
};

// Every field but the log, which is for whoever knows how it came about.
NodeChange FieldsThatDiffer(const NodeView& before, const NodeView& after);
void Apply(const NodeChange& change, NodeView* view);

enum class MessageKind : uint8_t {
  kAppend,
  kAppendAnswer,
  kHeartbeat,
  kHeartbeatAnswer,
  kVote,
  kVoteAnswer,
  kPreVote,
  kPreVoteAnswer,
  kSnapshot,
  kRead,
  kForward,
  kTransfer,
  kRepair,
};
inline constexpr size_t kMessageKinds = static_cast<size_t>(MessageKind::kRepair) + 1;
absl::string_view Name(MessageKind kind);  // "append answer"

struct PictureMessage {
  raft::NodeId from = raft::kNoNode;
  raft::NodeId to = raft::kNoNode;
  Time sent = 0;
  MessageKind kind = MessageKind::kAppend;
  raft::Term term = 0;  // 0: not bound to one
  bool refusal = false;
  // The entries it carries, or answers for; `last` 0: none.
  raft::Index first = 0;
  raft::Index last = 0;
  std::string text;  // append (3, term 2)+2 commit 3, term 4
};

struct PictureFault {
  std::string name;  // of its kind: "partitions"
  std::string text;
  std::vector<raft::NodeId> nodes;
  std::vector<std::pair<raft::NodeId, raft::NodeId>> links;  // from, to
  Time begin = 0;
  std::optional<Time> end;
};

struct PictureOperation {
  std::string client;
  std::string text;               // set "k" "v" if absent
  std::vector<std::string> keys;  // that it names
  Time begin = 0;
  std::optional<Time> end;
  bool acknowledged = false;
  std::string outcome;  // ok @41
};

enum class EventKind : uint8_t {
  kSent,       // subject: message
  kDoubled,    // subject: message; two copies are under way
  kArrived,    // subject: message; it is given to the node
  kIgnored,    // subject: message; nobody is there
  kWaits,      // subject: message; the node is paused and will find it later
  kLost,       // subject: message; by chance
  kCut,        // subject: message; by a cut link
  kHeld,       // subject: message; by a clogged link
  kReset,      // subject: message; the connection ended with the receiving process
  kTurn,       // a node did something by itself, at a tick or for a client
  kDisk,       // a job of a node's disk is done
  kStarted,    //
  kKilled,     // the process; what it had written is in the cache of its system
  kPowerLoss,  // what was not synced may be gone
  kPaused,     //
  kResumed,    //
  kSays,       // of a node: something that has no state
  kFault,      // subject: fault; it begins
  kFaultOver,  // subject: fault
  kInvoked,    // subject: operation
  kAsked,      // subject: operation; `node` is asked
  kReturned,   // subject: operation
  kRemark,     // of nobody: phases of the run, requests of the operator
  kViolation,  // what was just done at `node`, if at any, contradicts an oracle
};
inline constexpr size_t kEventKinds = static_cast<size_t>(EventKind::kViolation) + 1;

struct PictureEvent {
  Time time = 0;
  EventKind kind = EventKind::kRemark;
  raft::NodeId node = raft::kNoNode;  // where it happens; kNoNode: at no node
  uint64_t subject = 0;               // its number, see EventKind
  std::string text;
  NodeChange change;  // of `node`
};

class Recording {
 public:
  // Keeps the last `most_events`, at least 1.
  explicit Recording(size_t most_events);

  // --- Filling it, in the order of events.
  void Add(PictureEvent event);
  // Adds `change` to the last event, if that is what caused it: something has just arrived at
  // `node` or its disk has just finished, and that has changed nothing yet. Otherwise false, and
  // nothing done.
  bool ChangeByLast(Time now, raft::NodeId node, NodeChange* change);
  EntryNumber Number(const PictureEntry& entry, uint64_t hash);
  void AddMessage(uint64_t number, PictureMessage message);
  void AddFault(uint64_t number, PictureFault fault) { faults_[number] = std::move(fault); }
  void AddOperation(uint64_t number, PictureOperation operation) {
    operations_[number] = std::move(operation);
  }
  PictureFault& fault(uint64_t number) { return faults_[number]; }
  PictureOperation& operation(uint64_t number) { return operations_[number]; }

  // --- Reading it.
  uint64_t total() const { return total_; }  // events, those that are gone included
  const std::deque<PictureEvent>& events() const { return events_; }
  // The state of each node before events().front(). A node that is not in it is absent.
  const std::map<raft::NodeId, NodeView>& start() const { return start_; }
  const std::vector<PictureEntry>& entries() const { return entries_; }
  // Of all messages that events() speaks of, at least.
  const std::map<uint64_t, PictureMessage>& messages() const { return messages_; }
  const std::map<uint64_t, PictureFault>& faults() const { return faults_; }
  const std::map<uint64_t, PictureOperation>& operations() const { return operations_; }
  std::vector<raft::NodeId> nodes() const;  // ascending, all that there ever were
  // The place in events() of the first kViolation. What comes behind it is what came of it.
  std::optional<size_t> violation() const;

 private:
  void Forget();

  size_t most_events_;
  uint64_t total_ = 0;
  std::deque<PictureEvent> events_;
  std::map<raft::NodeId, NodeView> start_;
  std::set<raft::NodeId> seen_;
  std::vector<PictureEntry> entries_;
  std::map<std::pair<std::pair<raft::Index, raft::Term>, uint64_t>, EntryNumber> numbers_;
  std::map<uint64_t, PictureMessage> messages_;
  std::map<uint64_t, uint64_t> last_mention_;  // of a message: the number of that event
  std::map<uint64_t, PictureFault> faults_;
  std::map<uint64_t, PictureOperation> operations_;
  std::optional<uint64_t> violation_;  // the number of the event, from 0
};

}  // namespace raftkv::sim
