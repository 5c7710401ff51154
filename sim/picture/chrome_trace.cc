#include "sim/picture/chrome_trace.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "sim/picture/wording.h"

namespace raftkv::sim {
namespace {

// Keeps the order in which keys were added. It takes a std::string for a text; any other view of
// characters would become an array of numbers.
using Json = nlohmann::ordered_json;

// "Processes" of the trace.
constexpr uint64_t kNodes = 1;
constexpr uint64_t kClients = 2;

class TraceWriter {
 public:
  TraceWriter(const Recording& recording, const Caption& caption)
      : recording_(recording), caption_(caption), views_(recording.start()) {}

  std::string Write() {
    NameTracks();
    const std::deque<PictureEvent>& events = recording_.events();
    const Time begin = events.empty() ? 0 : events.front().time;
    const Time end = events.empty() ? 0 : events.back().time;
    for (const auto& [node, view] : views_) since_[node] = begin;
    for (const PictureEvent& event : events) Add(event);
    for (const auto& [node, view] : views_) EndRole(node, view, end);
    AddFaults(begin, end);
    AddOperations(begin, end);

    Json all = Json::object();
    Json& about = all["otherData"];
    about["seed"] = absl::StrCat(caption_.seed);
    about["profile"] = caption_.profile;
    if (caption_.violation.has_value()) about["violation"] = FormatViolation(*caption_.violation);
    all["traceEvents"] = std::move(trace_);
    return all.dump(/*indent=*/-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  }

 private:
  // An event of the trace, to which the caller may add. The reference holds until the next one.
  Json& Begin(absl::string_view phase, absl::string_view name, uint64_t process, uint64_t thread,
              Time time) {
    trace_.push_back(Json::object());
    Json& event = trace_.back();
    event["ph"] = std::string(phase);
    event["name"] = std::string(name);
    event["pid"] = process;
    event["tid"] = thread;
    event["ts"] = time;
    return event;
  }
  void Slice(absl::string_view name, uint64_t process, uint64_t thread, Time begin, Time end) {
    Begin("X", name, process, thread, begin)["dur"] = end - begin;
  }
  void NameTrack(absl::string_view what, uint64_t process, uint64_t thread,
                 absl::string_view name) {
    Begin("M", what, process, thread, 0)["args"]["name"] = std::string(name);
  }

  void NameTracks() {
    NameTrack("process_name", kNodes, 0, "nodes");
    NameTrack("process_name", kClients, 0, "clients");
    for (const raft::NodeId node : recording_.nodes()) {
      NameTrack("thread_name", kNodes, node, absl::StrCat("node ", node));
    }
    for (const auto& [number, operation] : recording_.operations()) {
      const auto [it, first] =
          clients_.try_emplace(operation.client, static_cast<uint64_t>(clients_.size() + 1));
      if (first) NameTrack("thread_name", kClients, it->second, operation.client);
    }
  }

  // What a node is: a slice ends where this changes.
  static std::string StateOf(const NodeView& view) {
    switch (view.run) {
      case RunState::kAbsent:
        return "";
      case RunState::kDown:
        return "down";
      case RunState::kPaused:
        return "paused";
      case RunState::kRepairing:
        return "repairing";
      case RunState::kUp:
        return absl::StrCat(Name(view.role), ", term ", view.term);
    }
    return "";
  }

  void EndRole(raft::NodeId node, const NodeView& view, Time now) {
    const std::string state = StateOf(view);
    if (!state.empty()) Slice(state, kNodes, node, since_[node], now);
    since_[node] = now;
  }

  // An arrow needs a slice at each of its ends.
  void Arrow(absl::string_view phase, const PictureEvent& event, const PictureMessage& message,
             uint64_t node) {
    Slice(Name(message.kind), kNodes, node, event.time, event.time + 1);
    Json& arrow = Begin(phase, Name(message.kind), kNodes, node, event.time);
    arrow["cat"] = "message";
    arrow["id"] = event.subject;
    if (phase == "f") arrow["bp"] = "e";
    arrow["args"]["message"] = message.text;
  }

  void Instant(const PictureEvent& event) {
    const raft::NodeId node = NodeOf(recording_, event);
    Begin("i", DescribeEvent(recording_, event), kNodes, node, event.time)["s"] =
        node == raft::kNoNode ? "g" : "t";
  }

  void Add(const PictureEvent& event) {
    if (!event.change.empty()) {
      NodeView& view = views_[event.node];
      NodeView after = view;
      Apply(event.change, &after);
      if (StateOf(view) != StateOf(after)) EndRole(event.node, view, event.time);
      view = std::move(after);
    }
    switch (event.kind) {
      case EventKind::kSent:
      case EventKind::kArrived:
        if (const auto it = recording_.messages().find(event.subject);
            it != recording_.messages().end()) {
          Arrow(event.kind == EventKind::kSent ? "s" : "f", event, it->second, event.node);
        }
        return;
      case EventKind::kLost:
      case EventKind::kCut:
      case EventKind::kHeld:
      case EventKind::kReset:
      case EventKind::kKilled:
      case EventKind::kPowerLoss:
      case EventKind::kStarted:
      case EventKind::kSays:
      case EventKind::kRemark:
      case EventKind::kViolation:
        return Instant(event);
      default:
        return;
    }
  }

  // They overlap: each is a track of its own.
  void AddFaults(Time begin, Time end) {
    for (const auto& [number, fault] : recording_.faults()) {
      const Time over = fault.end.value_or(end);
      if (over < begin) continue;
      for (const auto& [phase, when] : {std::pair<absl::string_view, Time>{"b", fault.begin},
                                        std::pair<absl::string_view, Time>{"e", over}}) {
        Json& event = Begin(phase, fault.text, kNodes, 0, when);
        event["cat"] = fault.name;
        event["id"] = number;
      }
    }
  }

  void AddOperations(Time begin, Time end) {
    for (const auto& [number, operation] : recording_.operations()) {
      const Time over = operation.end.value_or(end);
      if (over < begin) continue;
      // A client may have several at once, which overlap.
      for (const auto& [phase, when] : {std::pair<absl::string_view, Time>{"b", operation.begin},
                                        std::pair<absl::string_view, Time>{"e", over}}) {
        Json& event = Begin(phase, operation.text, kClients, clients_[operation.client], when);
        event["cat"] = operation.client;
        event["id"] = number;
        event["args"]["outcome"] = operation.outcome;
      }
    }
  }

  const Recording& recording_;
  const Caption& caption_;
  Json trace_ = Json::array();
  std::map<raft::NodeId, NodeView> views_;
  std::map<raft::NodeId, Time> since_;
  std::map<std::string, uint64_t> clients_;
};

}  // namespace

std::string WriteChromeTrace(const Recording& recording, const Caption& caption) {
  return TraceWriter(recording, caption).Write();
}

}  // namespace raftkv::sim
