#include "storage/log_replay.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace raftkv::storage {
namespace {

using Evidence = raft::Suspicion::Evidence;

// More cannot have been in a lost segment.
constexpr uint64_t kMaxLost = kMaxSegmentBytes / kEntryHeaderBytes;
// So many entries of a whole log may be said to be missing although no bytes are: the memory that
// records can make up.
constexpr uint64_t kMaxUnaccounted = 65'536;

}  // namespace

void Merge(const raft::Suspicion& other, std::optional<raft::Suspicion>* suspicion) {
  if (!*suspicion) {
    *suspicion = other;
    return;
  }
  raft::Suspicion& both = **suspicion;
  both.index = std::max(both.index, other.index);
  both.term = std::max(both.term, other.term);
  both.evidence = std::max(both.evidence, other.evidence);
}

LogReplay::LogReplay(raft::Index snapshot_index, raft::Term snapshot_term)
    : snapshot_index_(snapshot_index), snapshot_term_(snapshot_term) {}

raft::Term LogReplay::TermAt(raft::Index index) const {
  if (!entries_.empty() && index >= entries_.front().index && index <= entries_.back().index) {
    return entries_[index - entries_.front().index].term;
  }
  if (index == base_index_) return base_term_;
  return index == snapshot_index_ ? snapshot_term_ : 0;
}

void LogReplay::Cut(raft::Index keep) {
  while (!entries_.empty() && entries_.back().index > keep) entries_.pop_back();
  bad_.erase(bad_.upper_bound(keep), bad_.end());
  last_index_ = std::min(last_index_, keep);
}

void LogReplay::AddBad(raft::Index index, raft::Term term, size_t piece) {
  entries_.push_back({term, index, {}, raft::EntryType::kCommand});
  bad_[index] = {term, piece};
  last_index_ = index;
}

void LogReplay::Pass(raft::Index index, raft::Term term, size_t piece) {
  const raft::Index floor = std::min(std::max(commit_, snapshot_index_), last_index_);
  raft::Index certain = std::min(floor, index);
  if (term != 0) {
    for (raft::Index i = std::min(last_index_, index); i > certain; --i) {
      const raft::Term here = TermAt(i);
      if (here == term) {
        certain = i;
        break;
      }
      if (here != 0 && here < term) break;
    }
  }
  pieces_[piece].keep = std::min(pieces_[piece].keep, certain);
  Cut(certain);
  // Each of them has been somewhere.
  const uint64_t claimed = index - last_index_;
  const uint64_t room = lost_bytes_ / kEntryHeaderBytes;
  lost_bytes_ = 0;
  if (claimed > room) unaccounted_ += claimed - room;
  if (claimed > kMaxLost || unaccounted_ > kMaxUnaccounted) {
    status_ = absl::DataLossError(absl::StrCat("entries ", last_index_ + 1, " to ", index,
                                               " are said to be between two records, which is "
                                               "impossible"));
    return;
  }
  while (last_index_ < index) {
    AddBad(last_index_ + 1, last_index_ + 1 == index ? term : 0, piece);
  }
}

void LogReplay::MoveTo(uint64_t segment, uint64_t offset, uint64_t sequence, Note note) {
  end_ = {segment, offset, sequence, last_index_, TermAt(last_index_), std::move(note)};
}

void LogReplay::Enter(const SegmentHeader& header, uint64_t lost) {
  // Whole batches of sealed segments are of no interest any more.
  if (bad_.empty() && !gap_) {
    std::erase_if(pieces_, [](const Piece& piece) { return !piece.hurt; });
  }
  if (!entered_ && lost == 0) {
    last_index_ = base_index_ = header.base_index;
    base_term_ = header.base_term;
  } else {
    if (!entered_) {
      last_index_ = base_index_ = snapshot_index_;
      base_term_ = snapshot_term_;
      MoveTo(lost, 0, 1, {0, snapshot_index_, {}});
    }
    lost_bytes_ += segment_end_ - std::min(segment_end_, end_.offset);
    if (lost != 0) lost_bytes_ = kMaxSegmentBytes;
    const raft::Term here = TermAt(last_index_);
    const bool differs = end_.sequence != header.first_sequence ||
                         last_index_ != header.base_index ||
                         (here != 0 && header.base_term != 0 && here != header.base_term);
    if (lost != 0 || gap_ || differs) {
      if (!gap_) {
        gap_ = pieces_.size();
        pieces_.push_back(
            {end_, false, true, false, last_index_, 0, end_.offset,
             lost != 0 ? absl::StrCat("segment ", lost, " is lost") : "zeros where a batch was",
             segment_end_});
      }
      Pass(header.base_index, header.base_term, *gap_);
    } else if (const auto bad = bad_.find(last_index_); bad != bad_.end() && here == 0) {
      bad->second.term = entries_.back().term = header.base_term;
    }
  }
  entered_ = true;
  gap_.reset();
  lost_bytes_ = 0;
  commit_ = std::max(commit_, header.commit);
  durable_ = header.durable_sequence();
  inherited_ = header.suspicion;
  // What is known of the batch in front: the note at the beginning of this segment may be lost, and
  // the batch, too.
  Note note{0, header.base_index, {}};
  if (end_.note.sequence + 1 == header.first_sequence &&
      end_.note.last_index() == header.base_index) {
    note = std::move(end_.note);
  }
  MoveTo(header.segment, header.first_batch(), header.first_sequence, std::move(note));
}

void LogReplay::Add(const LoadedSegment& segment, uint64_t lost, bool newest, uint64_t end,
                    std::optional<Note> behind) {
  const SegmentHeader& header = segment.header;
  Enter(header, lost);
  const std::optional<Note> first = DecodeNote(segment.bytes, header.seed(), header.first_batch());
  if (first && first->sequence + 1 == header.first_sequence) end_.note = *first;
  segment_end_ = end;
  SegmentReader reader(segment.bytes, header, end, std::move(behind));
  while (status_.ok()) {
    const SegmentReader::Step step = reader.Next();
    if (step == SegmentReader::Step::kEnd) {
      foot_missing_ = !reader.has_foot();
      return;
    }
    if (step == SegmentReader::Step::kGap) {
      ReadGap(reader, newest);
    } else {
      ReadBatch(reader, newest);
    }
  }
}

void LogReplay::ReadGap(const SegmentReader& reader, bool newest) {
  const size_t piece = pieces_.size();
  pieces_.push_back({end_, newest, true, reader.blank(), last_index_, reader.dirty_bytes(),
                     reader.problem().offset, reader.problem().text, reader.offset()});
  gap_ = piece;
  if (reader.to_end()) {
    if (newest) tail_ = piece;
    return;
  }
  lost_bytes_ += reader.offset() - reader.begin();
  Note note{0, last_index_, {}};
  if (reader.lost()) {
    note = *reader.lost();
    // The ids of the last lost batch are known.
    const bool any = !note.runs.empty();
    Pass(note.keep_through + (any ? 1 : 0), any ? note.runs.front().term : 0, piece);
    raft::Index index = note.keep_through;
    for (const TermRun& run : note.runs) {
      for (uint64_t i = 0; i < run.count && status_.ok(); ++i) {
        if (++index > last_index_) AddBad(index, run.term, piece);
      }
    }
    gap_.reset();
  }
  MoveTo(end_.segment, reader.offset(), reader.next_sequence(), std::move(note));
}

void LogReplay::ReadBatch(const SegmentReader& reader, bool newest) {
  const BatchHeader& batch = reader.batch();
  const size_t piece = pieces_.size();
  pieces_.push_back({end_, newest, reader.hurt(), reader.blank(), batch.keep_through,
                     reader.offset() - reader.begin(), reader.problem().offset,
                     reader.problem().text, reader.head_lost() ? reader.offset() : 0});
  if (gap_ || batch.keep_through > last_index_) {
    Pass(batch.keep_through, batch.keep_term, gap_.value_or(piece));
    if (!status_.ok()) return;
  }
  gap_.reset();
  lost_bytes_ = 0;
  Cut(batch.keep_through);
  commit_ = std::max(commit_, batch.commit);
  durable_ = std::max(durable_, batch.durable_sequence);
  for (const EntryView& view : reader.entries()) {
    if (view.intact) {
      entries_.push_back({view.term, view.index, raft::Payload::Copy(view.payload), view.type});
      last_index_ = view.index;
    } else {
      AddBad(view.index, view.term, piece);
    }
  }
  if (inherited_ && (bad_.empty() || bad_.rbegin()->first != last_index_) &&
      raft::UpToDate(last_index_, TermAt(last_index_), *inherited_)) {
    inherited_.reset();
  }
  MoveTo(end_.segment, reader.offset(), reader.next_sequence(), reader.note());
}

// Terms never fall along a log: between two entries of the same term there is no other.
void LogReplay::FillInTerms() {
  auto run = bad_.begin();
  while (run != bad_.end()) {
    auto stop = run;
    raft::Index index = run->first;
    while (stop != bad_.end() && stop->first == index && stop->second.term == 0) ++stop, ++index;
    if (stop == run) {
      ++run;
      continue;
    }
    const raft::Term before = TermAt(run->first - 1);
    if (before != 0 && index <= last_index_ && TermAt(index) == before) {
      for (; run != stop; ++run) {
        run->second.term = before;
        entries_[run->first - entries_.front().index].term = before;
      }
    }
    run = stop;
  }
}

// What is at or below the snapshot is not needed.
void LogReplay::DropCovered() {
  const auto kept = std::find_if(entries_.begin(), entries_.end(), [&](const raft::Entry& entry) {
    return entry.index > snapshot_index_;
  });
  if (kept != entries_.begin()) {
    base_index_ = snapshot_index_;
    base_term_ = snapshot_term_;
    entries_.erase(entries_.begin(), kept);
  }
  bad_.erase(bad_.begin(), bad_.upper_bound(snapshot_index_));
}

void LogReplay::Blame(size_t piece, raft::Index index, raft::Term term, Evidence evidence) {
  Piece& blamed = pieces_[piece];
  blamed.evidence = blamed.blamed ? std::max(blamed.evidence, evidence) : evidence;
  blamed.blamed = true;
  Merge({std::min(index, kMaxNumber), term, evidence}, &lost_);
}

// Something is missing where the next batch would begin.
size_t LogReplay::LoseEnd(uint64_t bytes, std::string text) {
  pieces_.push_back({end_, true, true, false, last_index_, bytes, end_.offset, std::move(text)});
  return pieces_.size() - 1;
}

Evidence LogReplay::EvidenceOf(const Piece& piece, uint64_t durable) const {
  if (!piece.newest || piece.place.sequence <= durable) return Evidence::kProven;
  return piece.blank ? Evidence::kBlank : Evidence::kSpoilt;
}

raft::Term LogReplay::LastTerm(raft::Term unknown) const {
  const raft::Term term = TermAt(last_index_);
  return term == 0 ? unknown : term;
}

// The last write, if it was visibly not complete: nobody was told of any of it.
void LogReplay::JudgeUnderWay(uint64_t durable, const Knowledge& knowledge) {
  size_t first = 0;
  while (first < pieces_.size() && !(pieces_[first].newest && pieces_[first].hurt &&
                                     pieces_[first].place.sequence > durable)) {
    ++first;
  }
  if (first == pieces_.size() || !pieces_[first].blank) return;
  const auto bad = std::find_if(bad_.begin(), bad_.end(),
                                [&](const auto& entry) { return entry.second.piece >= first; });
  if (bad == bad_.end()) return;
  for (auto later = bad; later != bad_.end(); ++later) {
    Blame(later->second.piece, last_index_, LastTerm(knowledge.term), Evidence::kBlank);
  }
  Cut(bad->first - 1);
}

// Whether something may be missing behind the last entry.
void LogReplay::JudgeEnd(uint64_t durable, const Knowledge& knowledge) {
  if (tail_) {
    const Piece& piece = pieces_[*tail_];
    const uint64_t more = std::max<uint64_t>(1, piece.bytes / kEntryHeaderBytes);
    Blame(*tail_, last_index_ + more, knowledge.term, EvidenceOf(piece, durable));
  } else if (foot_missing_ && durable + 1 == end_.sequence) {
    // The batch in front is durable, and so was its foot: a write was begun in its place.
    Blame(LoseEnd(0, "zeros where a foot was"), last_index_ + 1, knowledge.term, Evidence::kBlank);
  }
  if (durable >= end_.sequence) {
    raft::Suspicion proven{last_index_ + 1, knowledge.term, Evidence::kProven};
    if (knowledge.marked.index != 0) proven = knowledge.marked;
    Blame(tail_ ? *tail_ : LoseEnd(0, "zeros where a batch was"), proven.index, proven.term,
          Evidence::kProven);
  }
  if (knowledge.lost_segment != 0) {
    Blame(LoseEnd(0, absl::StrCat("segment ", knowledge.lost_segment, " is lost")),
          std::max(last_index_, knowledge.marked.index) + knowledge.lost_entries, knowledge.term,
          knowledge.marked.index != 0 ? Evidence::kProven : Evidence::kSpoilt);
  }
  if (last_index_ < snapshot_index_) {
    // The log was durable as far as the snapshot when that became the current one.
    Blame(LoseEnd(0, absl::StrCat("the log ends before the snapshot of entry ", snapshot_index_)),
          snapshot_index_ + 1, knowledge.term, Evidence::kProven);
    last_index_ = snapshot_index_;
  }
}

// The log is written anew from the first batch on that is not as it should be, or that nothing
// vouches for.
void LogReplay::ChooseSeal(uint64_t durable, Result* result) const {
  result->seal = end_;
  bool sealed = false;
  for (const Piece& piece : pieces_) {
    const bool unknown = piece.newest && piece.place.sequence > durable;
    if (!sealed && !unknown && !piece.blamed) continue;
    if (!sealed) {
      result->seal = piece.place;
      result->cut = piece.place.base_index;
    }
    sealed = true;
    result->cut = std::min(result->cut, piece.keep);
    if (unknown && !piece.blamed) {
      ++result->rewritten;
      result->rewritten_bytes += piece.bytes;
    }
  }
  Place& seal = result->seal;
  if (!sealed) result->cut = seal.base_index;
  if (seal.base_index < snapshot_index_) {
    // The log goes on behind the snapshot; what the seal leaves out is covered by it.
    seal.base_index = snapshot_index_;
    seal.base_term = snapshot_term_;
    seal.note = {0, snapshot_index_, {}};
  }
  result->cut = std::max(result->cut, std::min(snapshot_index_, seal.base_index));
}

raft::LogDamage LogReplay::TakeDamage() {
  raft::LogDamage damage;
  for (size_t i = bad_.begin()->first - entries_.front().index; i < entries_.size(); ++i) {
    const auto bad = bad_.find(entries_[i].index);
    if (bad == bad_.end()) {
      damage.intact.push_back(std::move(entries_[i]));
    } else {
      damage.bad.push_back({bad->first, bad->second.term});
      pieces_[bad->second.piece].hole = true;
    }
  }
  damage.last = *lost_;
  return damage;
}

LogReplay::Result LogReplay::Finish(Knowledge knowledge) {
  const uint64_t durable = std::max(durable_, knowledge.durable_sequence);
  if (!entered_) {
    last_index_ = base_index_ = snapshot_index_;
    base_term_ = snapshot_term_;
    MoveTo(knowledge.lost_segment, 0, 1, {0, snapshot_index_, {}});
  }
  DropCovered();
  FillInTerms();
  // An old vote that has come back must not make what is promised less than what is there.
  knowledge.term = std::max({knowledge.term, knowledge.marked.term, snapshot_term_, LastTerm(0)});
  JudgeEnd(durable, knowledge);
  JudgeUnderWay(durable, knowledge);
  for (const auto& [index, bad] : bad_) {
    Blame(bad.piece, last_index_, LastTerm(knowledge.term),
          EvidenceOf(pieces_[bad.piece], durable));
  }
  if (inherited_ && (bad_.empty() || bad_.rbegin()->first != last_index_) &&
      raft::UpToDate(last_index_, TermAt(last_index_), *inherited_)) {
    inherited_.reset();
  }
  if (inherited_) Merge(*inherited_, &lost_);
  if (lost_ && lost_->term == 0) lost_.reset();  // before its first term a node has no entries

  Result result;
  result.commit = commit_;
  ChooseSeal(durable, &result);
  if (!bad_.empty()) {
    const raft::Index first_bad = bad_.begin()->first;
    const size_t behind = entries_.size() - (first_bad - entries_.front().index);
    if (behind > bad_.size()) result.damage = TakeDamage();
    Cut(first_bad - 1);
  }
  if (!result.damage) result.suspicion = lost_;
  result.entries = std::move(entries_);
  return result;
}

}  // namespace raftkv::storage
