#include "sim/coverage/state.h"

#include <algorithm>
#include <functional>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/raft/random.h"

namespace raftkv::sim {
namespace {

using Node = AbstractNode;

// Where in a code what is.
constexpr uint32_t kRunMask = 3;
constexpr uint32_t kMemberAt = 2;
constexpr uint32_t kMessagesAt = 4;  // seven bits
constexpr uint32_t kRoleAt = 11;
constexpr uint32_t kTermAt = 13;
constexpr uint32_t kLogAt = 15;
constexpr uint32_t kCommitAt = 18;
constexpr uint32_t kPendingAt = 20;
constexpr uint32_t kOutdatedAt = 22;
constexpr uint32_t kSnapshotAt = 23;
constexpr uint32_t kWritingAt = 25;
constexpr uint32_t kSuspicionAt = 26;

constexpr uint32_t kOutlineMask =
    3u << kMemberAt | 3u << kRoleAt | 3u << kTermAt | 3u << kPendingAt | 1u << kOutdatedAt;

// Words for one value of one property; "" is said by saying nothing.
struct Word {
  absl::string_view text;
  std::function<void(Node*)> set;
  std::function<bool(const Node&)> is;
};

template <typename Property, typename Value>
Word WordFor(absl::string_view text, Property Node::*property, Value value) {
  return {text, [property, value](Node* node) { node->*property = value; },
          [property, value](const Node& node) { return node.*property == value; }};
}

Word WordForMessage(absl::string_view text, uint8_t bit) {
  return {text, [bit](Node* node) { node->messages = static_cast<uint8_t>(node->messages | bit); },
          [bit](const Node& node) { return (node.messages & bit) != 0; }};
}

const std::vector<Word>& Words() {
  static const auto* const words = new std::vector<Word>{
      WordFor("down", &Node::run, Node::Run::kDown),
      WordFor("paused", &Node::run, Node::Run::kPaused),
      WordFor("repairing", &Node::run, Node::Run::kRepairing),
      WordFor("follower", &Node::role, Node::Role::kFollower),
      WordFor("pre-candidate", &Node::role, Node::Role::kPreCandidate),
      WordFor("candidate", &Node::role, Node::Role::kCandidate),
      WordFor("leader", &Node::role, Node::Role::kLeader),
      WordFor("term one behind", &Node::term, Node::Term::kOneBehind),
      WordFor("term behind", &Node::term, Node::Term::kBehind),
      WordFor("log shorter", &Node::log, Node::Log::kShorter),
      WordFor("log longer", &Node::log, Node::Log::kLonger),
      WordFor("log older", &Node::log, Node::Log::kOlder),
      WordFor("log older and longer", &Node::log, Node::Log::kOlderLonger),
      WordFor("log newer", &Node::log, Node::Log::kNewer),
      WordFor("log cut off", &Node::log, Node::Log::kCutOff),
      WordFor("commit one behind", &Node::commit, Node::Commit::kOneBehind),
      WordFor("commit behind", &Node::commit, Node::Commit::kBehind),
      WordFor("learner", &Node::member, Node::Member::kLearner),
      WordFor("no member yet", &Node::member, Node::Member::kNotYet),
      WordFor("removed", &Node::member, Node::Member::kRemoved),
      WordFor("change pending", &Node::pending, Node::Pending::kOne),
      WordFor("changes pending", &Node::pending, Node::Pending::kMore),
      WordFor("configuration outdated", &Node::outdated, true),
      WordFor("takes snapshot", &Node::snapshot, Node::Snapshot::kTaking),
      WordFor("sends snapshot", &Node::snapshot, Node::Snapshot::kSending),
      WordFor("installs snapshot", &Node::snapshot, Node::Snapshot::kInstalling),
      WordFor("writing", &Node::writing, true),
      WordFor("suspicion", &Node::suspicion, true),
      WordForMessage("vote on the way", Node::kVote),
      WordForMessage("vote answer on the way", Node::kVoteAnswer),
      WordForMessage("entries on the way", Node::kEntries),
      WordForMessage("append answer on the way", Node::kAppendAnswer),
      WordForMessage("snapshot on the way", Node::kSnapshotPiece),
      WordForMessage("hand-over on the way", Node::kHandOver),
      WordForMessage("old message on the way", Node::kOld),
  };
  return *words;
}

}  // namespace

uint32_t CodeOf(const AbstractNode& node) {
  const auto number = [](auto value) { return static_cast<uint32_t>(value); };
  uint32_t code = number(node.run) | number(node.member) << kMemberAt;
  if (node.run == Node::Run::kDown) return code;
  code |= number(node.messages) << kMessagesAt;
  if (node.run == Node::Run::kRepairing) return code;
  code |= number(node.role) << kRoleAt | number(node.term) << kTermAt | number(node.log) << kLogAt |
          number(node.commit) << kCommitAt | number(node.pending) << kPendingAt |
          number(node.outdated) << kOutdatedAt | number(node.snapshot) << kSnapshotAt |
          number(node.writing) << kWritingAt | number(node.suspicion) << kSuspicionAt;
  return code;
}

uint64_t HashOfCodes(bool joint, const std::vector<uint32_t>& codes) {
  // Entries and their answers are always on their way; that a log is shorter says it better. Of the
  // others it matters that there are any: with every receiver, hardly a state would come twice.
  constexpr uint32_t kCounted =
      Node::kVote | Node::kVoteAnswer | Node::kSnapshotPiece | Node::kHandOver | Node::kOld;
  uint32_t messages = 0;
  absl::InlinedVector<uint32_t, 16> nodes;
  for (const uint32_t code : codes) {
    messages |= code >> kMessagesAt & kCounted;
    nodes.push_back(code & ~(uint32_t{0x7f} << kMessagesAt));
  }
  std::sort(nodes.begin(), nodes.end());
  uint64_t hash = MixHash(uint64_t{messages} << 32 | nodes.size() * 2 | (joint ? 1 : 0));
  for (const uint32_t code : nodes) hash = MixHash(hash ^ code);
  return hash;
}

uint64_t OutlineOfCodes(bool joint, const std::vector<uint32_t>& codes) {
  absl::InlinedVector<uint32_t, 16> nodes;
  for (const uint32_t code : codes) {
    const auto run = static_cast<Node::Run>(code & kRunMask);
    if (run == Node::Run::kDown || run == Node::Run::kRepairing) continue;
    nodes.push_back(code & kOutlineMask);
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  uint64_t hash = MixHash(joint ? 1 : 0);
  for (const uint32_t code : nodes) hash = MixHash(hash ^ code);
  return hash;
}

uint64_t HashOfState(bool joint, const std::vector<AbstractNode>& nodes) {
  std::vector<uint32_t> codes;
  for (const AbstractNode& node : nodes) codes.push_back(CodeOf(node));
  return HashOfCodes(joint, codes);
}

std::string FormatNode(const AbstractNode& node) {
  std::string text;
  for (const Word& word : Words()) {
    if (word.is(node)) absl::StrAppend(&text, text.empty() ? "" : ", ", word.text);
  }
  return text;
}

absl::StatusOr<AbstractNode> ParseNode(absl::string_view text) {
  AbstractNode node;
  for (absl::string_view piece : absl::StrSplit(text, ',')) {
    piece = absl::StripAsciiWhitespace(piece);
    const auto word = std::find_if(Words().begin(), Words().end(),
                                   [&](const Word& each) { return each.text == piece; });
    if (word == Words().end()) {
      return absl::InvalidArgumentError(absl::StrCat("'", piece, "' is said of no node"));
    }
    word->set(&node);
  }
  return node;
}

}  // namespace raftkv::sim
