// What one node's disk must give back after a crash: I16, and the ground truth for everything that
// is said to be durable.
//
// The model hears of writes, not of disks. A write that completed is certain. A write that was
// handed out and did not complete may have left nothing, everything, or a part: term and vote come
// first, entries in order, a snapshot switch last. Whatever a recovery then finds becomes certain,
// because the node acts on it.
//
// A damaged disk gives back less. What is missing is then one of two things
// (docs/adr/0007-a-lost-entry-is-still-promised.md): lost and promised, as long as a suspicion
// covers it, so an acknowledgement of it still counts; or given up, by proof that it is not
// committed, which the caller has to check, because only somebody who sees all nodes can.
//
// A disk that lies loses what nobody knows to be lost. The model is told before (Watch) and after:
// what was certain when the watch began still is, all that came since may be there as it was at any
// time since (Lied), or nothing of it is (RolledBack). What a node has forgotten in this way counts
// as given up, without any proof: that it was not needed is for the caller to check.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/raft/damage.h"
#include "core/raft/raft.h"
#include "core/raft/ready.h"
#include "core/raft/types.h"

namespace raftkv::sim {

class DiskModel {
 public:
  void PersistHandedOut(const raft::PersistJob& job);
  // The same for a caller who knows HashEntry of the first entries already.
  void PersistHandedOut(const raft::PersistJob& job, const std::vector<uint64_t>& hashes);
  void PersistDone();
  void PersistFoundNoSpace();  // only term and vote are there
  void SwitchHandedOut(const raft::SnapshotMeta& meta) { switch_ = meta; }
  void SwitchDone();
  void SwitchRefused() { switch_.reset(); }

  // The disk has holes, and is repaired before its next recovery: only `commit` entries, which the
  // node knew to be committed, must still be there, or what was behind is suspected to be lost.
  void Damage(raft::Index commit) { damaged_from_ = commit + 1; }

  // The members have found out that nothing of the suspicion above `rest` is on any disk; nullopt:
  // nothing of it at all.
  void SuspicionDropped(const std::optional<raft::Suspicion>& rest);

  // --- Disks that lie ---
  // From now on, what is written may turn out not to be. Again: a new beginning. Not InDoubt().
  void Watch();
  // A lie has come to light that the next recovery is about.
  bool InDoubt() const { return lie_ != Lie::kNone; }
  // The next recovery tells what of it is forgotten.
  bool RollbackOpen() const { return rolled_back_; }
  // It was written. Without effect while InDoubt().
  void EndWatch();
  // The next recovery may find, of each thing written since Watch, what was there before or
  // between. `elsewhere`: what was written has landed on something else, whenever that was written;
  // behind the end of the log, and if the recovery knows of a loss, it may have been anything.
  // `lost_from`: entries from there on may be gone without a word. The lie has taken the word that
  // they are lost, or has made the log look as if it ended there.
  void Lied(bool elsewhere = false, std::optional<raft::Index> lost_from = std::nullopt);
  // Everything is as it was at Watch.
  void RolledBack();
  // The next recovery may take entries for missing, whenever they were written; nothing else.
  void Misread();
  // What has been forgotten since the last call: entries by index, with the term that they had, and
  // everything up to `through`, of which nothing but the snapshot is known.
  struct Forgotten {
    raft::Index through = 0;
    raft::Term through_term = 0;  // of the last of these
    std::map<raft::Index, raft::Term> entries;
  };
  Forgotten TakeForgotten();

  // Compares what a recovery found with what it may have found, and takes it over. Returns what is
  // wrong in one sentence, or nothing. The first recovery tells what the node was founded with.
  std::string Recover(const raft::Recovered& found);

  // Certain to be there.
  const raft::HardState& hard_state() const { return is_.hard; }
  raft::Index last() const { return is_.last(); }
  raft::Index snapshot() const { return is_.snapshot; }
  // The entry at `index` is there and of this term, or is covered by the snapshot.
  bool Holds(raft::Index index, raft::Term term) const;
  // As Holds, or a write was under way that would have made it so: whether it did, the next
  // recovery tells.
  bool MayHold(raft::Index index, raft::Term term) const;
  // What the node has to go on promising although its disk has lost it.
  const std::optional<raft::Suspicion>& suspicion() const { return is_.suspicion; }
  // The entry was there, the disk has lost it, and a suspicion covers it: to elections it is as if
  // it were still there.
  bool Promises(raft::Index index, raft::Term term) const;
  // The entry was there, and was given up.
  bool GaveUp(raft::Index index, raft::Term term) const;
  // What has been given up since the last call, by index; of the term that it had.
  std::map<raft::Index, raft::Term> TakeGivenUp();
  bool has_given_up() const { return !newly_given_up_.empty(); }
  std::optional<raft::Term> TermAt(raft::Index index) const { return is_.TermAt(index); }
  // Whom this node has voted for in `term`; kNoNode: nobody.
  raft::NodeId VoteIn(raft::Term term) const;
  // A write is handed out and not done.
  bool writing() const { return job_.has_value(); }

 private:
  struct Slot {
    raft::Term term;
    uint64_t hash;
    friend bool operator==(const Slot&, const Slot&) = default;
  };
  struct Write {
    std::optional<raft::HardState> hard;
    std::optional<raft::SnapshotMeta> snapshot;
    bool log = false;
    raft::Index keep = 0;
    std::vector<Slot> slots;
  };

  // What is certain to be there.
  struct Certain {
    raft::HardState hard;
    raft::Index snapshot = 0;
    raft::Index base = 0;  // slots[0] is the entry behind it
    raft::Term base_term = 0;
    std::vector<Slot> slots;
    std::optional<raft::Suspicion> suspicion;  // until the log makes up for it
    std::map<raft::Index, raft::Term> lost;    // durable once, gone, covered by the suspicion

    raft::Index last() const { return base + slots.size(); }
    const Slot* Find(raft::Index index) const;
    std::optional<raft::Term> TermAt(raft::Index index) const;
  };
  // What there was since Watch.
  struct Watched {
    Certain then;
    std::vector<raft::HardState> hard;
    std::set<raft::Index> snapshots;
    std::map<raft::Index, std::vector<Slot>> slots;
  };
  enum class Lie : uint8_t { kNone, kWrites, kWritesElsewhere, kReads };

  static Slot SlotOf(const raft::Entry& entry);
  void NoteVote();
  std::string CompareCertain(const raft::Recovered& found, const std::vector<Slot>& slots) const;
  std::string CompareLied(const raft::Recovered& found, const std::vector<Slot>& slots) const;
  bool MayHaveHeld(raft::Index index, const Slot& slot) const;
  void NoteForgotten(const raft::Recovered& found, const std::vector<Slot>& slots);
  void ForgetEntry(raft::Index index, raft::Term term);
  void ForgetThrough(raft::Index index, raft::Term term);
  void PromiseAgain(const raft::Suspicion& suspicion);
  void ForgetVotes();
  const Slot* FindUnread(raft::Index index) const;
  bool Raised(const raft::HardState& hard) const;
  bool WasReplaced(raft::Index index, const Slot& slot) const;
  // All from `begin` to `last`; slots[0] is of index `first`.
  bool WereReplaced(raft::Index begin, raft::Index last, const std::vector<Slot>& slots,
                    raft::Index first) const;
  std::string CompareLog(const raft::Recovered& found, const std::vector<Slot>& slots) const;

  bool Covers(const std::optional<raft::Suspicion>& suspicion) const;
  bool MayBeGone(raft::Index index, const raft::Recovered& found) const;
  std::string CompareSuspicion(const raft::Recovered& found) const;
  void NoteLosses(const raft::Recovered& found, const std::vector<Slot>& slots);
  void Lose(raft::Index index, raft::Term term);
  void GiveUp(raft::Index index, raft::Term term);
  void EndSuspicion();

  bool founded_ = false;
  std::optional<raft::Index> damaged_from_;  // since Damage
  std::optional<raft::Index> lost_from_;     // since Lied
  Certain is_;
  std::map<raft::Index, raft::Term> given_up_;
  std::map<raft::Index, raft::Term> newly_given_up_;
  std::map<raft::Term, raft::NodeId> votes_;
  std::optional<Write> job_;
  std::optional<raft::SnapshotMeta> switch_;
  std::optional<Watched> watched_;
  Lie lie_ = Lie::kNone;
  bool rolled_back_ = false;  // since the last recovery
  // Behind the end of the log: a recovery took them for missing by a misread, or because what it
  // had to read before them was damaged. Until something is written over them the next recovery may
  // find them, there or in an older file.
  std::map<raft::Index, Slot> unread_;
  // What later writes have replaced, and older files still hold. Where the later ones are lost, or
  // misread, it is found again, with a suspicion about what is missing.
  std::map<raft::Index, std::vector<Slot>> replaced_;
  raft::Index forgotten_through_ = 0;  // given up, with everything below
  Forgotten newly_forgotten_;
};

}  // namespace raftkv::sim
