// The network between nodes: it loses, doubles, delays and reorders frames, and it can be cut.
//
// The fault model
//
// A frame is one datagram. Each one is delivered never, once or twice, after a delay drawn for each
// copy, so frames overtake each other; `in_order` makes a link behave like one TCP connection
// instead (no loss of single frames, no overtaking). Bytes are never changed: frames carry
// checksums, and what a node does with hostile bytes is the business of the fuzzers.
//
// Faults act on directed links and can be combined; each is taken back by whoever made it:
//   - a cut link delivers nothing: neither what is sent while it is cut nor what is under way. A
//     partition cuts all links between two groups, a one-way partition those in one direction;
//   - a clogged link holds everything back until it is unclogged, and then delivers it at once: the
//     way by which messages of long-gone terms arrive.
// A process that ends takes its connections along: what is under way to it is gone (Reset), what it
// has sent still arrives.
//
// What chance decides about a frame (lost, doubled, how long it takes) has the name of its kind,
// its link and its term (sim/decisions).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/types.h"
#include "sim/decisions/decisions.h"
#include "sim/network/delay.h"
#include "sim/scheduler/scheduler.h"

namespace raftkv::sim {

struct NetworkOptions {
  Delay delay;
  bool in_order = false;
  uint32_t loss_per_mille = 0;
  uint32_t duplicate_per_mille = 0;
  // Of frames lost: so often the sender is told that its peer could not be reached.
  uint32_t loss_noticed_per_mille = 0;
};

class Network {
 public:
  using Deliver = std::function<void(raft::NodeId from, raft::NodeId to, const std::string& frame)>;
  using Lost = std::function<void(raft::NodeId from, raft::NodeId to)>;
  // What the decisions about a frame are called, without its number: "append 1>3 term 2".
  using NameFrame =
      std::function<std::string(raft::NodeId from, raft::NodeId to, const std::string& frame)>;

  // What became of a frame, or of one copy of it.
  enum class Fate : uint8_t {
    kArrived,  // is delivered next
    kLost,     // by chance
    kCut,      // stopped by a cut link, or taken off the wire
    kHeld,     // by a clogged link: it will arrive later, and is told of again then
    kReset,    // the receiving process ended
  };
  // Follows frames on their way. It is told and not asked: nothing depends on it.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // Frames are numbered 1, 2, 3, ... as they are sent; copies share the number.
    virtual void FrameSent(uint64_t number, raft::NodeId from, raft::NodeId to,
                           const std::string& frame) = 0;
    virtual void FrameDoubled(uint64_t number) = 0;  // two copies are under way
    virtual void FrameMet(uint64_t number, Fate fate) = 0;
  };

  struct Counters {
    uint64_t sent = 0;
    uint64_t delivered = 0;
    uint64_t lost = 0;     // by chance
    uint64_t doubled = 0;  // by chance
    uint64_t cut = 0;      // stopped by a cut link
    uint64_t clogged = 0;  // held back by a clogged link
    uint64_t tapped = 0;   // taken off the wire
  };

  Network(Scheduler* scheduler, Decisions* decisions, const NetworkOptions& options, Random random,
          NameFrame name_frame, Deliver deliver, Lost lost);

  // Takes one whole frame.
  void Send(raft::NodeId from, raft::NodeId to, std::string frame);

  // Each Cut needs its Mend, each Clog its Unclog: a link that is cut twice is whole after two.
  void Cut(raft::NodeId from, raft::NodeId to) { ++LinkOf(from, to).cuts; }
  void Mend(raft::NodeId from, raft::NodeId to) { --LinkOf(from, to).cuts; }
  void Clog(raft::NodeId from, raft::NodeId to) { ++LinkOf(from, to).clogs; }
  void Unclog(raft::NodeId from, raft::NodeId to);
  bool IsWhole(raft::NodeId from, raft::NodeId to) {
    const Link& link = LinkOf(from, to);
    return link.cuts == 0 && link.clogs == 0;
  }

  // Nothing that is under way to `node` arrives any more.
  void Reset(raft::NodeId node);

  // Asked about each frame that is sent, before anything else becomes of it; true: it is taken off
  // the wire. A tap may Inject, but not add or remove taps. Taps are numbered from 1.
  using Tap = std::function<bool(raft::NodeId from, raft::NodeId to, const std::string& frame)>;
  uint64_t AddTap(Tap tap);
  void RemoveTap(uint64_t number) { taps_.erase(number); }
  // Puts a frame on the wire that nobody has sent just now. It arrives after `takes`, if its link
  // is whole then.
  void Inject(raft::NodeId from, raft::NodeId to, std::string frame, Time takes);

  // A frame that goes inside of a stream (sim/network/streams.h). It is counted, and shown to taps
  // and watchers; true: a tap has taken it.
  bool Stream(raft::NodeId from, raft::NodeId to, const std::string& frame);
  // Such a frame, without what is in front of its body, has come out at the other end. What was
  // sent before it and has not come out will not.
  void StreamArrived(raft::NodeId to, absl::string_view body);

  // Takes something over the link that is no frame of its own, to be there at `arrival`; `then` is
  // told whether it was, now or when the link is not clogged any more. The order of what is carried
  // is its carrier's business.
  using Carried = std::function<void(bool arrived)>;
  void Carry(raft::NodeId from, raft::NodeId to, Time arrival, Carried then);

  // Null: nobody. Must live as long as frames are under way.
  void set_watcher(Watcher* watcher) { watcher_ = watcher; }

  // From now on: for healing, and for faults that make it worse for a while.
  void set_options(const NetworkOptions& options) { options_ = options; }
  const NetworkOptions& options() const { return options_; }
  const Counters& counters() const { return counters_; }

 private:
  struct Link {
    int cuts = 0;
    int clogs = 0;
    Time last_arrival = 0;
    std::vector<std::pair<uint64_t, std::string>> held;  // with their numbers
    std::vector<Carried> held_carried;
    std::deque<std::pair<uint64_t, std::string>> streaming;  // frames, while somebody watches
  };

  Link& LinkOf(raft::NodeId from, raft::NodeId to) {
    const bool known = from < links_.size() && to < links_[from].size();
    return known ? links_[from][to] : AddLink(from, to);
  }
  Link& AddLink(raft::NodeId from, raft::NodeId to);
  uint64_t& LifeOf(raft::NodeId node) {
    if (node >= lives_.size()) lives_.resize(node + 1);
    return lives_[node];
  }
  // `takes`: how long the decision about that is called.
  void Launch(raft::NodeId from, raft::NodeId to, uint64_t number, absl::string_view name,
              absl::string_view takes, std::string&& frame);
  void Arrive(raft::NodeId from, raft::NodeId to, uint64_t life, uint64_t number,
              std::string&& frame);
  void Tell(uint64_t number, Fate fate) const {
    if (watcher_ != nullptr) watcher_->FrameMet(number, fate);
  }
  bool Taken(raft::NodeId from, raft::NodeId to, const std::string& frame);
  void Pass(raft::NodeId from, raft::NodeId to, const Carried& then);
  void NoticeLoss(raft::NodeId from, raft::NodeId to, absl::string_view name);

  Scheduler* scheduler_;
  Decisions* decisions_;
  NetworkOptions options_;
  Random random_;
  NameFrame name_frame_;
  Deliver deliver_;
  Lost lost_;
  Watcher* watcher_ = nullptr;
  Counters counters_;
  std::map<uint64_t, Tap> taps_;
  uint64_t last_tap_ = 0;
  // By ids, which are small: nodes count from 1.
  std::vector<std::vector<Link>> links_;  // [from][to]
  std::vector<uint64_t> lives_;           // of each node's connections
};

}  // namespace raftkv::sim
