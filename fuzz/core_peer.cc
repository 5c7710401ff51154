// One consensus core, with a disk in memory, among peers that lie.
//
// The bytes are a program: one instruction after another says what a peer sends (any message that
// the wire lets through, from any sender), or what time, the disk, the driver and the clients do.
// Every byte string is a program. Numbers in messages are drawn around the node's own term, last
// and committed index, where the interesting ones are, or from the ends of their range.
//
// A liar can make a core believe what is not so. It must not make it crash, break its own
// invariants (core/raft/invariants.h: what is committed stays, nothing goes back), vote twice, say
// what its disk does not hold, or keep and send more than what came in justifies.
//
// RAFTKV_FUZZ_PRINT=1 prints each input as text while it runs.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/wire/frame.h"
#include "core/wire/peer.h"
#include "fuzz/core_runner.h"
#include "tests/raft/cluster_oracle.h"
#include "tests/raft/memory_node.h"
#include "tests/raft/script_text.h"

namespace raftkv::raft {
namespace {

constexpr NodeId kSelf = 1;
constexpr int kMaxInstructions = 400;

class PeerProgram {
 public:
  PeerProgram(absl::string_view bytes, std::ostream* text) : bytes_(bytes), text_(text) {}

  std::string Run() {
    Found();
    for (int i = 0; i < kMaxInstructions && next_ < bytes_.size() && failure_.empty(); ++i) {
      Execute();
      Check();
    }
    return failure_;
  }

 private:
  uint8_t Take() { return next_ < bytes_.size() ? static_cast<uint8_t>(bytes_[next_++]) : 0; }

  void Found() {
    const unsigned flags = Take();
    const unsigned limits = Take();
    options_.id = kSelf;
    options_.election_ticks = 3;
    options_.heartbeat_ticks = 1;
    options_.pre_vote = !(flags & 1);
    options_.check_quorum = !(flags & 2) || (limits & 2);
    options_.step_down_on_removal = !(flags & 4);
    options_.validate_membership = !(flags & 8);
    options_.merge_messages = !(flags & 16);
    options_.forward_proposals = flags & 32;
    if (limits & 1) options_.max_append_bytes = options_.max_committed_bytes = 1;
    if (limits & 2) options_.read_mode = ReadMode::kLease;
    if (limits & 2) options_.lease_drift_ticks = 1;
    options_.max_inflight_messages = limits & 4 ? 1 : 8;
    options_.max_uncommitted_bytes = limits & 8 ? 1 : 1 << 20;
    options_.max_pending_reads = 4;
    MemoryDisk disk;
    if (flags & 64) {
      disk.hard_state.term = 1;
      disk.snapshot.meta = SnapshotMeta{1, 1, {}};
      disk.snapshot.meta.conf.voters = {1, 2, 3};
    }
    if (flags & 128) disk.snapshot.meta.conf.learners = {4};
    Start(std::move(disk));
  }

  void Start(MemoryDisk disk) {
    node_.emplace(options_, std::move(disk), ++lives_);
    allowed_entries_ = node_->raft().log().last() - node_->raft().log().base();
    queued_for_ = 0;
    if (failure_.empty()) failure_ = ClusterOracle::CheckStarted(*node_);
    Say("starts");
  }

  Raft& raft() { return node_->raft(); }

  // ---- What a peer says

  static uint64_t Extreme(unsigned which) {
    constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
    constexpr uint64_t kExtremes[] = {0,
                                      1,
                                      kMost,
                                      kMost - 1,
                                      kMaxTermOrIndex,
                                      kMaxTermOrIndex - 1,
                                      kMaxTermOrIndex + 1,
                                      kMost / 2,
                                      1 << 30};
    return kExtremes[which % std::size(kExtremes)];
  }
  // Around `a`, around `b`, small, or extreme.
  uint64_t Number(uint64_t a, uint64_t b) {
    const unsigned byte = Take();
    const uint64_t low = byte & 15;
    switch (byte >> 4) {
      case 14:
        return low;
      case 15:
        return Extreme(static_cast<unsigned>(low));
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return a;
      case 5:
      case 6:
        return a + low;
      case 7:
        return a - std::min(low, a);
      case 8:
      case 9:
      case 10:
        return b;
      case 11:
      case 12:
        return b + low;
      default:
        return b - std::min(low, b);
    }
  }
  Term AnyTerm() { return Number(raft().term(), raft().log().last_term()); }
  Index AnyIndex() { return Number(raft().log().last(), raft().commit()); }
  // Mostly the term that this node has there.
  Term AnyTermAt(Index index) {
    if (next_ < bytes_.size() && (bytes_[next_] & 3) != 3) {
      Take();
      return raft().log().TermAt(index).value_or(1);
    }
    return AnyTerm();
  }
  std::vector<NodeId> AnyIds(unsigned mask) {
    std::vector<NodeId> ids;
    for (NodeId id = 1; id <= 4; ++id) {
      if ((mask >> (id - 1)) & 1) ids.push_back(id);
    }
    return ids;
  }
  MembershipChange AnyChange() {
    const unsigned byte = Take();
    MembershipChange change;
    change.transition = static_cast<MembershipChange::Transition>(byte % 3);
    for (unsigned i = 0; i < (byte >> 2) % 3; ++i) {
      const unsigned one = Take();
      change.changes.push_back({static_cast<MemberChange::Kind>(one & 3), (one >> 2) % 6});
    }
    return change;
  }
  Entry AnyEntry(unsigned byte) {
    Entry entry;
    if (byte & 64) {
      entry.type = EntryType::kMembership;
      entry.payload = byte & 32 ? Payload::Copy("not a change")
                                : Payload::Copy(EncodeMembershipChange(AnyChange()));
    } else if (!(byte & 32)) {
      entry.payload = Payload::Copy("lie;");
    }
    return entry;
  }

  MessageBody AnyBody(unsigned kind, Term term) {
    switch (kind) {
      case 0: {
        AppendRequest body;
        body.prev_index = AnyIndex();
        body.prev_term = AnyTermAt(body.prev_index);
        const unsigned byte = Take();
        Term entry_term = body.prev_term;
        for (unsigned i = 0; i < (byte & 7); ++i) {
          Entry entry = AnyEntry(byte);
          if (i == ((byte >> 3) & 3)) entry_term = term;
          entry.term = std::max<Term>(entry_term, 1);
          entry.index = body.prev_index + i + 1;
          body.entries.push_back(std::move(entry));
        }
        body.commit = AnyIndex();
        return body;
      }
      case 1: {
        AppendResponse body;
        body.index = AnyIndex();
        const unsigned byte = Take();
        body.rejected = byte & 1;
        if (body.rejected) {
          body.lost = byte & 2;
          body.hint_index = AnyIndex();
          body.hint_term = AnyTermAt(body.hint_index);
        }
        return body;
      }
      case 2: {
        VoteRequest body;
        const unsigned byte = Take();
        body.pre_vote = byte & 1;
        body.transfer = byte & 2;
        body.last_index = AnyIndex();
        body.last_term = AnyTerm();
        body.commit = AnyIndex();
        body.commit_term = AnyTermAt(body.commit);
        return body;
      }
      case 3: {
        VoteResponse body;
        const unsigned byte = Take();
        body.pre_vote = byte & 1;
        body.rejected = byte & 2;
        if (!body.rejected) return body;
        body.commit = AnyIndex();
        body.commit_term = AnyTermAt(body.commit);
        return body;
      }
      case 4: {
        Heartbeat body;
        body.commit = AnyIndex();
        body.read_round = Take();
        return body;
      }
      case 5:
        return HeartbeatResponse{Number(0, 1)};
      case 6: {
        InstallSnapshot body;
        body.meta.index = AnyIndex();
        body.meta.term = AnyTermAt(body.meta.index);
        const unsigned byte = Take();
        const unsigned more = Take();
        body.meta.conf.voters = AnyIds(byte);
        body.meta.conf.voters_outgoing = AnyIds(byte >> 4);
        body.meta.conf.learners = AnyIds(more);
        body.meta.conf.learners_next = AnyIds(more >> 4);
        body.meta.conf.auto_leave = more & 1;
        return body;
      }
      case 7:
        return TimeoutNow{};
      case 8: {
        ForwardedProposal body;
        const unsigned byte = Take();
        for (unsigned i = 0; i < (byte & 7); ++i) body.entries.push_back(AnyEntry(byte));
        return body;
      }
      case 9:
        return ForwardedTransfer{Number(1, 2)};
      case 10:
        return ReadIndexRequest{Take()};
      default: {
        ReadIndexResponse body;
        body.context = Take();
        body.index = AnyIndex();
        body.rejected = Take() & 1;
        return body;
      }
    }
  }

  void Hear(unsigned kind, unsigned argument) {
    Message message;
    message.from = 2 + argument % 4;  // the last is in no founding configuration
    message.to = kSelf;
    const bool unbound = kind >= 8 && kind <= 10;
    message.term = unbound && argument < 6 ? 0 : AnyTerm();
    // Pre-votes are about the term to come.
    if ((kind == 2 || kind == 3) && argument >= 4 && message.term != 0) ++message.term;
    message.body = AnyBody(kind, message.term);
    const wire::Envelope envelope{0, message.from, 1, message.to, 1};
    absl::StatusOr<wire::PeerMessage> read =
        wire::DecodePeer(encoder_.Encode(envelope, message).substr(wire::kFrameHeaderSize));
    if (!read.ok()) return;
    Envelope heard{std::get<Message>(std::move(read->body)), "lies;"};
    if (const auto* append = std::get_if<AppendRequest>(&heard.message.body)) {
      allowed_entries_ += append->entries.size();
    } else if (const auto* forwarded = std::get_if<ForwardedProposal>(&heard.message.body)) {
      allowed_entries_ += forwarded->entries.size();
    }
    const Outcome outcome = node_->Step(heard);
    Input();
    if (text_ != nullptr) {
      Say("hears ", DescribeMessage(heard.message), ": ", OutcomeText(outcome));
    }
  }

  // ---- What else happens

  void Execute() {
    const uint8_t byte = Take();
    const unsigned argument = byte & 7;
    const unsigned op = byte >> 3;
    if (op < 12) return Hear(op, argument);
    switch (op) {
      case 12:
      case 13:
        for (unsigned i = 0; i <= argument; ++i) {
          raft().Tick();
          Input();
        }
        Say("ticks ", argument + 1, " times");
        break;
      case 14:
      case 15:
        Begin();
        break;
      case 16:
      case 17:
        Finish();
        break;
      case 18:
      case 19:
      case 20:
        for (int i = 0; i < 8 && failure_.empty(); ++i) {
          Finish();
          Begin();
        }
        break;
      case 21:
        Say("proposes: ", OutcomeText(raft().Propose(Payload::Copy("own;")).outcome));
        Input(1);
        break;
      case 22:
        Say("changes membership: ", OutcomeText(raft().ProposeMembership(AnyChange()).outcome));
        Input(1);
        break;
      case 23:
      case 24:
        Say("campaigns: ", OutcomeText(raft().Campaign()));
        Input();
        break;
      case 25:
        Say("transfers: ", OutcomeText(raft().TransferLeadership(argument)));
        Input();
        break;
      case 26:
        Say("reads: ", OutcomeText(raft().RequestRead(++contexts_)));
        Input();
        break;
      case 27:
        if (node_->writing()) break;
        {
          const Index most = std::min(raft().applied(), raft().offered_snapshot().index);
          if (most > raft().log().base() + argument) node_->Compact(most - argument);
        }
        Say("compacts");
        break;
      case 28:
        Say("unreachable: ", OutcomeText(raft().ReportUnreachable(argument)));
        break;
      case 29:
        Say("snapshot reported: ", OutcomeText(raft().ReportSnapshot(argument & 3, argument & 4)));
        Input();
        break;
      case 30:
        Say("forgets its leader: ", OutcomeText(raft().ForgetLeader()));
        break;
      default: {
        Say("crashes, written ", argument % 4, argument < 4 ? "" : ", and loses entries");
        MemoryDisk disk = node_->Crash(static_cast<MemoryNode::Written>(argument % 4));
        oracle_.Restarted(kSelf);
        if (argument >= 4) {
          MemoryDisk shorter = disk;
          const Index base = shorter.snapshot.meta.index;
          shorter.Lose(std::max(base, shorter.last() - std::min<Index>(argument, shorter.last())),
                       Suspicion::Evidence::kProven);
          // Not as a single voter, which would not start again.
          if (MemoryNode::CanStart(options_, shorter).ok()) disk = std::move(shorter);
        }
        Start(std::move(disk));
        break;
      }
    }
  }

  void Begin() {
    if (!raft().HasReady()) return;
    std::vector<Envelope> sent;
    const Ready ready = node_->Begin(sent);
    if (ready.reads.size() + ready.failed_reads.size() > heard_) Fail("more reads than inputs");
    // Applying a membership change may speak to everybody.
    queued_for_ += ready.committed.size();
    Sent(sent);
    Say("takes a Ready");
  }

  void Finish() {
    if (!node_->writing()) return;
    std::vector<Envelope> sent;
    queued_for_ += 1 + node_->applied().size();
    node_->FinishWrite(sent);
    Sent(sent);
    Say("has written");
  }

  void Sent(const std::vector<Envelope>& sent) {
    sent_ += sent.size();
    for (const Envelope& envelope : sent) {
      if (failure_.empty()) failure_ = oracle_.Check(*node_, envelope.message);
    }
  }

  // An input was given; it may have brought `entries` of this node's own.
  void Input(uint64_t entries = 0) {
    ++heard_;
    ++queued_for_;
    // A no-op for each leadership; leaving a joint configuration for each applied change.
    allowed_entries_ += entries + 2;
  }

  // ---- What is looked at

  void Check() {
    if (!failure_.empty()) return;
    const auto disk_of = [this](NodeId id) { return id == kSelf ? &node_->disk() : nullptr; };
    failure_ = oracle_.Check(*node_, disk_of);
    if (!failure_.empty()) return;
    const Log& log = raft().log();
    if (log.last() - log.base() > allowed_entries_ + heard_) Fail("the log outgrew what came in");
    // Each input, and each thing applied, makes each member at most a windowful of messages.
    const uint64_t most =
        (4 * heard_ + queued_for_) * kMostMembers * (options_.max_inflight_messages + 2);
    if (sent_ > most) Fail("more was sent than what came in justifies");
    if (node_->applied().size() > 1) {
      const Entry& newest = node_->applied().back();
      const Entry& before = node_->applied()[node_->applied().size() - 2];
      if (newest.index <= before.index) Fail("entries are applied in order");
    }
  }

  void Fail(absl::string_view what) {
    if (failure_.empty()) failure_ = std::string(what);
  }

  template <typename... Parts>
  void Say(const Parts&... parts) {
    if (text_ == nullptr) return;
    *text_ << absl::StrCat(parts...) << "\n        " << DescribeRole(raft().role()) << " term "
           << raft().term() << " vote " << raft().vote() << " leader " << raft().leader()
           << " applied " << raft().applied() << " commit " << raft().commit() << " durable "
           << raft().durable() << " last " << raft().log().last() << "/" << raft().log().last_term()
           << " base " << raft().log().base() << " " << DescribeConfiguration(raft().conf())
           << std::endl;
  }

  static constexpr uint64_t kMostMembers = 8;

  absl::string_view bytes_;
  std::ostream* text_;
  size_t next_ = 0;
  Options options_;
  std::optional<MemoryNode> node_;
  wire::PeerEncoder encoder_;
  ClusterOracle oracle_{ClusterOracle::Peers::kLying};
  uint64_t lives_ = 0;
  uint64_t contexts_ = 0;
  uint64_t heard_ = 0;            // inputs
  uint64_t queued_for_ = 0;       // things that may have made messages
  uint64_t sent_ = 0;             // messages
  uint64_t allowed_entries_ = 0;  // that its log may hold
  std::string failure_;
};

}  // namespace
}  // namespace raftkv::raft

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(size == 0 ? "" : reinterpret_cast<const char*>(data), size);
  raftkv::raft::RunProgram(bytes, [](absl::string_view program, std::ostream* text) {
    return raftkv::raft::PeerProgram(program, text).Run();
  });
  return 0;
}
