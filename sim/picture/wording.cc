#include "sim/picture/wording.h"

#include "absl/strings/str_cat.h"

namespace raftkv::sim {
namespace {

constexpr absl::string_view kRoles[] = {"follower", "pre-candidate", "candidate", "leader"};

const PictureMessage* MessageOf(const Recording& recording, const PictureEvent& event) {
  if (event.kind > EventKind::kReset) return nullptr;
  const auto it = recording.messages().find(event.subject);
  return it == recording.messages().end() ? nullptr : &it->second;
}

std::string DescribeLog(const Recording& recording, const NodeChange::Log& log) {
  if (log.appended.empty()) return absl::StrCat("log is now ", log.base + 1, " to ", log.keep);
  const PictureEntry& entry = recording.entries()[log.appended.back()];
  const size_t count = log.appended.size();
  return absl::StrCat(count == 1 ? "appends " : absl::StrCat("appends ", count, " up to "), "(",
                      entry.index, ", term ", entry.term, ") = ", entry.text);
}

}  // namespace

absl::string_view Name(raft::RoleName role) { return kRoles[static_cast<size_t>(role)]; }

std::string DescribeChange(const Recording& recording, const NodeChange& change) {
  std::string text;
  const auto add = [&text](const auto&... pieces) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", pieces...);
  };
  if (change.role.has_value()) add("becomes ", Name(*change.role));
  if (change.term.has_value()) add("term ", *change.term);
  if (change.vote.value_or(raft::kNoNode) != raft::kNoNode) add("votes for ", *change.vote);
  if (change.leader.value_or(raft::kNoNode) != raft::kNoNode) add("follows ", *change.leader);
  if (change.log.has_value()) add(DescribeLog(recording, *change.log));
  if (change.durable.has_value()) add("durable ", *change.durable);
  if (change.commit.has_value()) add("commit ", *change.commit);
  if (change.applied.has_value()) add("applied ", *change.applied);
  if (change.snapshot.has_value()) add("snapshot ", *change.snapshot);
  if (change.promised.value_or(0) != 0) add("lost and promised up to ", *change.promised);
  if (change.conf.has_value()) add("members ", *change.conf);
  return text;
}

raft::NodeId NodeOf(const Recording& recording, const PictureEvent& event) {
  const PictureMessage* message = MessageOf(recording, event);
  if (message == nullptr || event.node != raft::kNoNode) return event.node;
  const bool on_its_way = event.kind == EventKind::kDoubled || event.kind == EventKind::kLost;
  return on_its_way ? message->from : message->to;
}

std::string DescribeEvent(const Recording& recording, const PictureEvent& event) {
  if (event.kind <= EventKind::kReset) {
    const PictureMessage* message = MessageOf(recording, event);
    if (message == nullptr) return "?";
    const auto from = [&](absl::string_view fate) {
      return absl::StrCat(fate, "from ", message->from, ": ", message->text);
    };
    switch (event.kind) {
      case EventKind::kSent:
        return absl::StrCat("to ", message->to, ": ", message->text);
      case EventKind::kDoubled:
        return absl::StrCat("doubled, to ", message->to, ": ", message->text);
      case EventKind::kLost:
        return absl::StrCat("lost, to ", message->to, ": ", message->text);
      case EventKind::kArrived:
        return from("");
      case EventKind::kIgnored:
        return from("finds nobody, ");
      case EventKind::kWaits:
        return from("waits, ");
      case EventKind::kCut:
        return from("cut, ");
      case EventKind::kHeld:
        return from("held back, ");
      default:
        return from("reset, ");
    }
  }
  const auto with_text = [&](absl::string_view what) {
    return event.text.empty() ? std::string(what) : absl::StrCat(what, event.text);
  };
  switch (event.kind) {
    case EventKind::kDisk:
      return with_text("disk: ");
    case EventKind::kKilled:
      return "is killed";
    case EventKind::kPowerLoss:
      return with_text("loses power ");
    case EventKind::kPaused:
      return "is paused";
    case EventKind::kResumed:
      return "goes on";
    case EventKind::kFault:
      return absl::StrCat("fault: ", recording.faults().at(event.subject).text);
    case EventKind::kFaultOver:
      return absl::StrCat("over: ", recording.faults().at(event.subject).text);
    case EventKind::kInvoked: {
      const PictureOperation& operation = recording.operations().at(event.subject);
      return absl::StrCat(operation.client, " calls ", operation.text);
    }
    case EventKind::kAsked: {
      const PictureOperation& operation = recording.operations().at(event.subject);
      return absl::StrCat("is asked by ", operation.client, ": ", operation.text);
    }
    case EventKind::kReturned: {
      const PictureOperation& operation = recording.operations().at(event.subject);
      return absl::StrCat(operation.client, " hears ", operation.outcome, ", of ", operation.text);
    }
    case EventKind::kViolation:
      return absl::StrCat("VIOLATION ", event.text);
    default:
      return event.text;
  }
}

}  // namespace raftkv::sim
