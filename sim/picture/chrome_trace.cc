#include "sim/picture/chrome_trace.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "sim/picture/json.h"
#include "sim/picture/wording.h"

namespace raftkv::sim {
namespace {

// "Processes" of the trace.
constexpr uint64_t kNodes = 1;
constexpr uint64_t kClients = 2;

class TraceWriter {
 public:
  TraceWriter(const Recording& recording, const Caption& caption)
      : recording_(recording), caption_(caption), views_(recording.start()) {}

  std::string Write() {
    json_.BeginObject();
    json_.Key("otherData");
    json_.BeginObject();
    Text("seed", absl::StrCat(caption_.seed));
    Text("profile", caption_.profile);
    if (caption_.violation.has_value()) Text("violation", FormatViolation(*caption_.violation));
    json_.EndObject();
    json_.Key("traceEvents");
    json_.BeginArray();
    NameTracks();
    const std::deque<PictureEvent>& events = recording_.events();
    const Time begin = events.empty() ? 0 : events.front().time;
    const Time end = events.empty() ? 0 : events.back().time;
    for (const auto& [node, view] : views_) since_[node] = begin;
    for (const PictureEvent& event : events) Write(event);
    for (const auto& [node, view] : views_) EndRole(node, view, end);
    WriteFaults(begin, end);
    WriteOperations(begin, end);
    json_.EndArray();
    json_.EndObject();
    return json_.Take();
  }

 private:
  void Text(absl::string_view key, absl::string_view value) {
    json_.Key(key);
    json_.String(value);
  }
  void Count(absl::string_view key, uint64_t value) {
    json_.Key(key);
    json_.Unsigned(value);
  }
  // The common beginning of an event of the trace; EndObject ends it.
  void Begin(absl::string_view phase, absl::string_view name, uint64_t process, uint64_t thread,
             Time time) {
    json_.BeginObject();
    Text("ph", phase);
    Text("name", name);
    Count("pid", process);
    Count("tid", thread);
    Count("ts", time);
  }
  void Slice(absl::string_view name, uint64_t process, uint64_t thread, Time begin, Time end) {
    Begin("X", name, process, thread, begin);
    Count("dur", end - begin);
    json_.EndObject();
  }
  void NameTrack(absl::string_view what, uint64_t process, uint64_t thread,
                 absl::string_view name) {
    Begin("M", what, process, thread, 0);
    json_.Key("args");
    json_.BeginObject();
    Text("name", name);
    json_.EndObject();
    json_.EndObject();
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
    Begin(phase, Name(message.kind), kNodes, node, event.time);
    Text("cat", "message");
    Count("id", event.subject);
    if (phase == "f") Text("bp", "e");
    json_.Key("args");
    json_.BeginObject();
    Text("message", message.text);
    json_.EndObject();
    json_.EndObject();
  }

  void Instant(const PictureEvent& event) {
    const raft::NodeId node = NodeOf(recording_, event);
    Begin("i", DescribeEvent(recording_, event), kNodes, node, event.time);
    Text("s", node == raft::kNoNode ? "g" : "t");
    json_.EndObject();
  }

  void Write(const PictureEvent& event) {
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
  void WriteFaults(Time begin, Time end) {
    for (const auto& [number, fault] : recording_.faults()) {
      const Time over = fault.end.value_or(end);
      if (over < begin) continue;
      for (const auto& [phase, when] : {std::pair<absl::string_view, Time>{"b", fault.begin},
                                        std::pair<absl::string_view, Time>{"e", over}}) {
        Begin(phase, fault.text, kNodes, 0, when);
        Text("cat", fault.name);
        Count("id", number);
        json_.EndObject();
      }
    }
  }

  void WriteOperations(Time begin, Time end) {
    for (const auto& [number, operation] : recording_.operations()) {
      const Time over = operation.end.value_or(end);
      if (over < begin) continue;
      // A client may have several at once, which overlap.
      for (const auto& [phase, when] : {std::pair<absl::string_view, Time>{"b", operation.begin},
                                        std::pair<absl::string_view, Time>{"e", over}}) {
        Begin(phase, operation.text, kClients, clients_[operation.client], when);
        Text("cat", operation.client);
        Count("id", number);
        json_.Key("args");
        json_.BeginObject();
        Text("outcome", operation.outcome);
        json_.EndObject();
        json_.EndObject();
      }
    }
  }

  const Recording& recording_;
  const Caption& caption_;
  JsonWriter json_;
  std::map<raft::NodeId, NodeView> views_;
  std::map<raft::NodeId, Time> since_;
  std::map<std::string, uint64_t> clients_;
};

}  // namespace

std::string WriteChromeTrace(const Recording& recording, const Caption& caption) {
  return TraceWriter(recording, caption).Write();
}

}  // namespace raftkv::sim
