// The bytes of a log segment: encoding, and a reader that is total over any bytes (it is fuzzed).
// No I/O. docs/formats/log.md describes the same format byte by byte.
//
//   segment = header block, the same again, batch*, foot, zeros to the end of the file
//   batch   = note, batch header, (entry header, payload, zeros to 8 bytes)*, zeros to the block
//   foot    = note, zeros to the next block
//   note    = which entries the batch before held
//
// What makes a batch count: its header's checksum holds and its sequence number is the one
// expected. Each of its entries counts if its header and payload hold their checksums and its index
// is the one that belongs there. Checksums are seeded with cluster, segment and offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/raft/damage.h"
#include "core/raft/types.h"
#include "storage/identity.h"

namespace raftkv::storage {

inline constexpr size_t kSegmentHeaderBytes = 160;
inline constexpr size_t kNoteBytes = 128;
inline constexpr size_t kBatchHeaderBytes = 64;
inline constexpr size_t kBatchHeadBytes = kNoteBytes + kBatchHeaderBytes;
inline constexpr size_t kEntryHeaderBytes = 40;
// A batch is split into several of one write when its body is above this, unless one entry alone is
// larger, or when its entries are of more terms than a note can tell.
inline constexpr size_t kMaxBatchBody = 16u << 20;
inline constexpr size_t kMaxTermRuns = 6;
// Nothing longer is read into memory as a segment.
inline constexpr uint64_t kMaxSegmentBytes = 1u << 30;
// Of sequence numbers, segment ids, terms and indexes; a log that is half as far is not opened, so
// the next one always exists.
inline constexpr uint64_t kMaxNumber = raft::kMaxTermOrIndex;
// What a device tears, and loses, at least.
inline constexpr uint64_t kSectorBytes = 512;

struct SegmentHeader {
  Identity owner;                 // created_ms is not stored
  uint64_t segment = 0;           // id, from 1, never reused
  uint64_t first_sequence = 1;    // of the first batch in it
  raft::Index base_index = 0;     // last entry of the log before that batch
  raft::Term base_term = 0;       // of that entry; 0: not known
  uint64_t previous_segment = 0;  // 0: the log begins here
  // Where the batches of the previous segment end; what is behind does not count.
  uint64_t previous_end = 0;
  uint32_t initial_batches = 0;  // batches that were synced before the segment got its name
  uint32_t block_bytes = 4096;
  uint64_t segment_bytes = 0;  // preallocated size
  raft::Index commit = 0;      // the highest known
  // What the log had lost when the segment was begun, unless it has grown beyond that since.
  std::optional<raft::Suspicion> suspicion;

  uint64_t seed() const;
  uint64_t first_batch() const { return 2 * uint64_t{block_bytes}; }
  // Every batch up to this sequence number was durable when the segment got its name.
  uint64_t durable_sequence() const { return first_sequence - 1 + initial_batches; }
};

// Two blocks long: the header twice, so that one bad block does not hide a segment.
std::string EncodeSegmentHeader(const SegmentHeader& header);
// The same into that many zeros.
void WriteSegmentHeader(const SegmentHeader& header, char* zeros);
// `bytes` begin with the copy that is at `offset` of the file. Unimplemented: intact but of a newer
// version; DataLoss: not a header of segment `segment`.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view bytes, uint64_t segment,
                                                  uint64_t offset = 0);
// The same from whichever copy is intact. `bytes` are the beginning of the file: all of it, or the
// first kSegmentHeaderReach; or less, as long as what it finds begins its batches in front of their
// end.
struct FoundHeader {
  SegmentHeader header;
  bool bad[2] = {false, false};  // which copies are not intact
};
absl::StatusOr<FoundHeader> FindSegmentHeader(absl::string_view bytes, uint64_t segment);
// Both copies and the first note, whatever the block size, and with blocks of 4,096 bytes.
inline constexpr size_t kSegmentHeaderReach = 3 * 65536;
inline constexpr size_t kUsualHeaderReach = 3 * 4096;

struct BatchHeader {
  uint64_t sequence = 0;  // 1, 2, 3, ... over the whole life of the log
  // Every batch up to this one was synced before this one was written.
  uint64_t durable_sequence = 0;
  raft::Index keep_through = 0;  // the log is cut behind this entry, then the entries follow
  raft::Term keep_term = 0;      // of that entry; 0: not known
  raft::Index commit = 0;        // known when the batch was cut; may be above the last entry
  uint32_t count = 0;            // entries
  uint32_t body_bytes = 0;       // behind the header, without the padding to the next block
};

struct TermRun {
  raft::Term term = 0;
  uint64_t count = 0;  // so many entries of it in a row
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

// Which entries a batch held: what is left of it when it cannot be read itself.
struct Note {
  uint64_t sequence = 0;  // 0: there is no batch in front, or nothing is known of it
  raft::Index keep_through = 0;
  absl::InlinedVector<TermRun, 1> runs;  // at most kMaxTermRuns

  uint64_t count() const;
  raft::Index last_index() const { return keep_through + count(); }
  friend bool operator==(const Note&, const Note&) = default;
};

// Of the batch with entries [begin, end).
Note NoteOf(const BatchHeader& header, const raft::Entry* begin, const raft::Entry* end);

// Bytes that `entry` takes in a batch body.
size_t EncodedEntryBytes(const raft::Entry& entry);
uint64_t RoundUp(uint64_t bytes, uint64_t block);
// Position behind the last byte of `bytes` that is not zero: 0 if all of them are.
size_t DirtyEnd(absl::string_view bytes);

// Appends one whole, padded batch with `entries` [begin, end) to `out`. `offset` is where it will
// be in the file, `before` tells of the batch in front of it; count and body_bytes of `header` are
// filled in.
void AppendBatch(std::string& out, uint64_t seed, uint64_t offset, uint32_t block_bytes,
                 const Note& before, BatchHeader header, const raft::Entry* begin,
                 const raft::Entry* end);
// Appends the block that ends a write.
void AppendFoot(std::string& out, uint64_t seed, uint64_t offset, uint32_t block_bytes,
                const Note& before);

// nullopt when there is no intact one at `offset` of the segment.
std::optional<Note> DecodeNote(absl::string_view segment, uint64_t seed, uint64_t offset);
// The header of the batch that begins at `offset` of the segment.
std::optional<BatchHeader> DecodeBatchHeader(absl::string_view segment, uint64_t seed,
                                             uint64_t offset);

struct EntryHeader {
  raft::Index index = 0;
  raft::Term term = 0;
  raft::EntryType type = raft::EntryType::kCommand;
  uint32_t payload_bytes = 0;
  uint64_t payload_sum = 0;  // its checksum, seeded with the place of the payload

  uint64_t padded_bytes() const;  // of the payload in the batch
};
// `bytes` are those at `place` of the segment. nullopt: no intact header.
std::optional<EntryHeader> DecodeEntryHeader(absl::string_view bytes, uint64_t seed,
                                             uint64_t place);

struct EntryView {
  raft::Term term = 0;  // of a bad entry: 0 when not known
  raft::Index index = 0;
  raft::EntryType type = raft::EntryType::kCommand;
  absl::string_view payload;
  bool intact = true;  // else there is no payload
};

// Walks the batches of a segment, and goes on behind what it cannot read. `segment` is the whole
// file, or what there is of it, and outlives the reader and its views.
class SegmentReader {
 public:
  enum class Step {
    kBatch,  // batch() and entries() are valid; some entries may be bad
    kGap,  // bytes that nothing tells enough of; what they held ends with lost(), if that is known
    kEnd,  // only zeros, or nothing, from offset() on
  };

  // `end` bounds the batches: the previous_end of the next segment, or the size that the file was
  // made with. If it has become shorter, what is missing is as bad as garbage.
  // `behind` is the note at the beginning of the next segment.
  SegmentReader(absl::string_view segment, const SegmentHeader& header, uint64_t end,
                std::optional<Note> behind = std::nullopt);

  Step Next();

  uint64_t begin() const { return begin_; }    // of this batch or gap
  uint64_t offset() const { return offset_; }  // behind it
  uint64_t next_sequence() const { return next_sequence_; }

  // kBatch. When the header is lost, only sequence, keep_through and count are known.
  const BatchHeader& batch() const { return batch_; }
  bool head_lost() const { return head_lost_; }
  // Every entry of the batch in order.
  const std::vector<EntryView>& entries() const { return entries_; }
  // What the batch held, as a note would say it. Terms that are not known are 0.
  Note note() const;
  // The note in front of the header is not intact. Nothing is lost with it.
  bool note_lost() const;

  // kBatch with bad entries or a lost header, kGap.
  bool hurt() const { return hurt_; }
  struct Problem {
    uint64_t offset = 0;    // of the first record that fails
    raft::Index index = 0;  // the first entry that is hurt, as far as the bytes tell; 0: none
    std::string text;
  };
  const Problem& problem() const { return problem_; }
  // Some sector that the write of what is hurt would have changed still holds what was there
  // before, so the write was not complete. Sectors of zeros in the payload of a bad entry count.
  bool blank() const { return blank_; }

  // kGap. No batch follows in this segment.
  bool to_end() const { return to_end_; }
  const std::optional<Note>& lost() const { return lost_; }
  uint64_t dirty_bytes() const { return dirty_bytes_; }  // to the last one that is not zero
  // kEnd: a foot is there (or the end is that of the segment).
  bool has_foot() const { return has_foot_; }

 private:
  std::optional<BatchHeader> HeaderAt(uint64_t at) const;
  std::optional<Note> NoteAt(uint64_t at) const;
  std::optional<EntryView> EntryAt(uint64_t place, uint64_t end, raft::Index low, raft::Index high,
                                   uint64_t* next) const;
  uint64_t Dirty(uint64_t begin, uint64_t end) const;
  bool Zero(uint64_t begin, uint64_t end) const;
  bool HasZeroSector(uint64_t begin, uint64_t end) const;
  void Hurt(uint64_t offset, raft::Index index, std::string text);
  void ReadBatch(const BatchHeader& header, uint64_t body_end, uint64_t next);
  Step ReadLost(uint64_t found);

  absl::string_view segment_;
  uint64_t size_;  // at least that of segment_
  uint64_t seed_;
  uint32_t block_bytes_;
  std::optional<Note> behind_;
  uint64_t begin_;
  uint64_t offset_;
  uint64_t next_sequence_;
  raft::Index last_index_;
  BatchHeader batch_;
  std::vector<EntryView> entries_;
  bool head_lost_ = false;
  bool hurt_ = false;
  bool blank_ = false;
  bool to_end_ = false;
  bool has_foot_ = true;
  uint64_t dirty_bytes_ = 0;
  std::optional<Note> lost_;
  Problem problem_;
};

}  // namespace raftkv::storage
