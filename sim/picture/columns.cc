#include "sim/picture/columns.h"

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sim/picture/wording.h"

namespace raftkv::sim {
namespace {

// Characters of a cell; what is longer goes on in the next row.
constexpr size_t kWidth = 44;

char LetterOf(const NodeView& view) {
  switch (view.run) {
    case RunState::kAbsent:
      return ' ';
    case RunState::kDown:
      return 'x';
    case RunState::kPaused:
      return '=';
    case RunState::kRepairing:
      return 'R';
    case RunState::kUp:
      break;
  }
  constexpr char kLetters[] = {'F', 'P', 'C', 'L'};
  return kLetters[static_cast<size_t>(view.role)];
}

// Cuts off the first line that fits, at a space if there is one.
std::string TakeLine(std::string* text) {
  if (text->size() <= kWidth) return std::exchange(*text, "");
  size_t end = text->rfind(' ', kWidth);
  if (end == std::string::npos || end < kWidth / 2) end = kWidth;
  std::string line = text->substr(0, end);
  text->erase(0, (*text)[end] == ' ' ? end + 1 : end);
  text->insert(0, "  ");
  return line;
}

}  // namespace

std::string WriteColumns(const Recording& recording, const Caption& caption) {
  std::string out = absl::StrFormat("seed %d  profile %s  the last %d of %d events\n", caption.seed,
                                    caption.profile, recording.events().size(), recording.total());
  if (caption.violation.has_value()) {
    absl::StrAppend(&out, FormatViolation(*caption.violation), "\n");
  }
  const std::vector<raft::NodeId> nodes = recording.nodes();
  std::map<raft::NodeId, NodeView> views = recording.start();
  std::string heads = "    time s ";
  for (const raft::NodeId node : nodes) {
    absl::StrAppendFormat(&heads, "|%-*s", kWidth + 2, absl::StrCat("  node ", node));
  }
  absl::StrAppend(&out, heads, "|clients and faults\n");
  for (const PictureEvent& event : recording.events()) {
    const raft::NodeId where = NodeOf(recording, event);
    if (!event.change.empty()) Apply(event.change, &views[event.node]);
    std::string text = DescribeEvent(recording, event);
    if (const std::string change = DescribeChange(recording, event.change); !change.empty()) {
      absl::StrAppend(&text, text.empty() ? "" : ": ", change);
    }
    std::string time = absl::StrFormat("%4d.%06d ", event.time / kSecond, event.time % kSecond);
    // A long cell takes several rows.
    do {
      out += time;
      time.assign(time.size(), ' ');
      const std::string line = where == raft::kNoNode ? "" : TakeLine(&text);
      for (const raft::NodeId node : nodes) {
        absl::StrAppendFormat(&out, "|%c %-*s", LetterOf(views[node]), kWidth,
                              node == where ? line : "");
      }
      absl::StrAppend(&out, "|", where == raft::kNoNode ? std::exchange(text, "") : "", "\n");
    } while (!text.empty());
  }
  return out;
}

}  // namespace raftkv::sim
