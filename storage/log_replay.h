// What a chain of segments says the log is, as far as it can be read: no I/O, no decisions about
// files. docs/formats/log.md, "Recovery", has the rules and their reasons.
//
// Segments are entered oldest first. Entries that cannot be read keep their place in the log as
// bad ones until a later batch cuts them away. Where bytes are lost of which not even the ids are
// known, the log in front of them is only certain as far as something proves that the lost bytes
// have not cut it: the commit index, or an entry of the same term behind them (log matching).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/raft/damage.h"
#include "core/raft/types.h"
#include "storage/disk.h"
#include "storage/log_format.h"

namespace raftkv::storage {

// A whole segment in memory. Sectors that the device cannot read are filled with kNotRead.
struct LoadedSegment {
  SegmentHeader header;
  bool bad_header[2] = {false, false};  // which copies are not intact
  Bytes bytes;                          // no more than the file has, whatever its header claims
  uint64_t size = 0;  // with what is missing at the end of a file that is too short; not of a start
  bool whole = false;  // all that the file has, and could be read: only a start says so
  struct Range {
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };
  std::vector<Range> unreadable;  // and missing
};
inline constexpr char kNotRead = '\xee';

// What covers both, with the evidence that gives up less. Index and term are bounds of their own:
// of (119, term 6), which a mark has seen, and (115, term 9), which no more bytes are left of, the
// second refuses the same votes, but a snapshot of 115 would end it (raft::Redeems).
void Merge(const raft::Suspicion& other, std::optional<raft::Suspicion>* suspicion);

class LogReplay {
 public:
  // A place where the log can be sealed, and what it is there.
  struct Place {
    uint64_t segment = 0;
    uint64_t offset = 0;
    uint64_t sequence = 1;  // of the batch that begins here
    raft::Index base_index = 0;
    raft::Term base_term = 0;  // 0: not known
    Note note;                 // of the batch in front, if it is known
  };
  // A batch, or bytes that cannot be told apart.
  struct Piece {
    Place place;
    bool newest = false;   // in the last segment, where not everything was durable
    bool hurt = false;     // something of it is bad
    bool blank = false;    // SegmentReader::blank
    raft::Index keep = 0;  // what it leaves of the log in front of it
    uint64_t bytes = 0;    // of it
    uint64_t problem = 0;  // where something is wrong
    std::string text;      // what
    uint64_t gap_end = 0;  // where the gap in its segment ends, if its header is lost
    // What the log misses of it, by Finish.
    bool blamed = false;
    bool hole = false;  // readable entries are behind
    raft::Suspicion::Evidence evidence = raft::Suspicion::Evidence::kProven;
  };
  struct Bad {
    raft::Term term = 0;  // 0: not known
    size_t piece = 0;
  };
  struct Result {
    Place seal;             // what is behind does not count any more
    raft::Index cut = 0;    // the log is cut here and goes on with the entries behind it
    raft::Entries entries;  // from the first one known on, in front of the first bad one
    raft::Index commit = 0;
    std::optional<raft::Suspicion> suspicion;
    std::optional<raft::LogDamage> damage;
    uint64_t rewritten = 0;  // intact batches that nothing vouches for
    uint64_t rewritten_bytes = 0;
  };
  // What is known from elsewhere.
  struct Knowledge {
    uint64_t durable_sequence = 0;  // of the newest segment, by the marks
    raft::Suspicion marked;         // last entry by the marks; index 0: nothing
    raft::Term term = 0;            // no entry is newer, unless another one or the marks say so
    uint64_t lost_segment = 0;      // behind the last one; 0: none
    raft::Index lost_entries = 0;   // so many may have been in it
  };

  LogReplay(raft::Index snapshot_index, raft::Term snapshot_term);

  // `segment` is the next one. `lost` is a segment in front of it that is missing, or 0. `end`: as
  // SegmentReader; `behind`: the note at the beginning of the next segment.
  void Add(const LoadedSegment& segment, uint64_t lost, bool newest, uint64_t end,
           std::optional<Note> behind);

  // DataLoss: impossible values.
  const absl::Status& status() const { return status_; }
  // After the last segment; once.
  Result Finish(Knowledge knowledge);
  // All that is hurt, also what the log does not need, and the whole batches of the newest segment;
  // after Finish.
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  void Enter(const SegmentHeader& header, uint64_t lost);
  void ReadGap(const SegmentReader& reader, bool newest);
  void ReadBatch(const SegmentReader& reader, bool newest);
  void MoveTo(uint64_t segment, uint64_t offset, uint64_t sequence, Note note);
  raft::Term TermAt(raft::Index index) const;
  void Cut(raft::Index keep);
  void AddBad(raft::Index index, raft::Term term, size_t piece);
  // Lost bytes (piece `piece`) end where the log ends with (index, term).
  void Pass(raft::Index index, raft::Term term, size_t piece);
  void FillInTerms();
  void DropCovered();
  // `piece` is missed, and with it what may have been the last entry.
  void Blame(size_t piece, raft::Index index, raft::Term term, raft::Suspicion::Evidence evidence);
  size_t LoseEnd(uint64_t bytes, std::string text);
  void JudgeEnd(uint64_t durable, const Knowledge& knowledge);
  void JudgeUnderWay(uint64_t durable, const Knowledge& knowledge);
  void ChooseSeal(uint64_t durable, Result* result) const;
  raft::LogDamage TakeDamage();
  raft::Suspicion::Evidence EvidenceOf(const Piece& piece, uint64_t durable) const;
  raft::Term LastTerm(raft::Term unknown) const;

  raft::Index snapshot_index_;
  raft::Term snapshot_term_;
  absl::Status status_;
  bool entered_ = false;
  raft::Entries entries_;  // contiguous; bad ones have no payload
  std::map<raft::Index, Bad> bad_;
  raft::Index last_index_ = 0;
  raft::Index base_index_ = 0;  // of the first segment
  raft::Term base_term_ = 0;
  raft::Index commit_ = 0;
  uint64_t durable_ = 0;  // as batches and headers of the last segment say
  std::vector<Piece> pieces_;
  std::optional<size_t> gap_;   // passed, and nothing behind it was read yet
  uint64_t lost_bytes_ = 0;     // by that
  uint64_t unaccounted_ = 0;    // entries that must be lost, and no bytes are where they were
  uint64_t segment_end_ = 0;    // of the last one added
  std::optional<size_t> tail_;  // a gap to the end of the newest segment
  bool foot_missing_ = false;
  Place end_;
  std::optional<raft::Suspicion> inherited_;
  std::optional<raft::Suspicion> lost_;
};

}  // namespace raftkv::storage
