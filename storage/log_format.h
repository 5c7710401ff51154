// The bytes of a log segment: encoding, and a reader that is total over any bytes (it is fuzzed).
// No I/O. docs/formats/log.md describes the same format byte by byte.
//
//   segment = header block, batch*, zeros to the end of the file
//   batch   = batch header, (entry header, payload, zeros to 8 bytes)*, zeros to the next block
//
// What makes a batch count: its header's checksum holds, its sequence number is the one expected,
// every entry header and payload holds its checksum, and the entries are contiguous from
// keep_through + 1. Checksums are seeded with cluster, segment and offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/raft/types.h"
#include "storage/identity.h"

namespace raftkv::storage {

inline constexpr size_t kSegmentHeaderBytes = 120;
inline constexpr size_t kBatchHeaderBytes = 64;
inline constexpr size_t kEntryHeaderBytes = 40;
// A batch body above this is split into several batches of one write, unless one entry alone is
// larger.
inline constexpr size_t kMaxBatchBody = 16u << 20;
// Nothing longer is read into memory as a segment.
inline constexpr uint64_t kMaxSegmentBytes = 1u << 30;

struct SegmentHeader {
  Identity owner;                 // created_ms is not stored
  uint64_t segment = 0;           // id, from 1, never reused
  uint64_t first_sequence = 1;    // of the first batch in it
  raft::Index base_index = 0;     // last entry of the log before that batch
  uint64_t previous_segment = 0;  // 0: the log begins here
  // Where the batches of the previous segment end; what is behind does not count.
  uint64_t previous_end = 0;
  uint32_t initial_batches = 0;  // batches that were synced before the segment got its name
  uint32_t block_bytes = 4096;
  uint64_t segment_bytes = 0;  // preallocated size

  uint64_t seed() const;
  // Every batch up to this sequence number was durable when the segment got its name.
  uint64_t durable_sequence() const { return first_sequence - 1 + initial_batches; }
};

// One block long.
std::string EncodeSegmentHeader(const SegmentHeader& header);
// Unimplemented: intact but of a newer version; DataLoss: not the header of segment `segment`.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view bytes, uint64_t segment);

struct BatchHeader {
  uint64_t sequence = 0;  // 1, 2, 3, ... over the whole life of the log
  // Every batch up to this one was synced before this one was written.
  uint64_t durable_sequence = 0;
  raft::Index durable_index = 0;  // last entry of the log at that time
  raft::Index keep_through = 0;   // the log is cut behind this entry, then the entries follow
  raft::Index commit = 0;         // known when the batch was cut; may be above the last entry
  uint32_t count = 0;             // entries
  uint32_t body_bytes = 0;        // behind the header, without the padding to the next block
};

// Bytes that `entry` takes in a batch body.
size_t EncodedEntryBytes(const raft::Entry& entry);
uint64_t RoundUp(uint64_t bytes, uint64_t block);

// Appends one whole, padded batch with `entries` [begin, end) to `out`. `offset` is where it will
// be in the file; count and body_bytes of `header` are filled in.
void AppendBatch(std::string& out, uint64_t seed, uint64_t offset, uint32_t block_bytes,
                 BatchHeader header, const raft::Entry* begin, const raft::Entry* end);

struct EntryView {
  raft::Term term = 0;
  raft::Index index = 0;
  raft::EntryType type = raft::EntryType::kCommand;
  absl::string_view payload;
};

// nullopt when there is no intact batch header at `offset` of the segment.
std::optional<BatchHeader> DecodeBatchHeader(absl::string_view segment, uint64_t seed,
                                             uint64_t offset);

// Walks the batches of a segment. `segment` is the whole file (or a piece from its start) and
// outlives the reader and its views.
class SegmentReader {
 public:
  enum class Step {
    kBatch,  // batch() and entries() are valid
    kEnd,    // only zeros, or nothing, from offset() on
    kBad,    // the bytes at offset() are neither; problem() says what is wrong
  };

  // `end` bounds the batches: the previous_end of the next segment, or the size of the file.
  SegmentReader(absl::string_view segment, const SegmentHeader& header, uint64_t end);

  Step Next();

  // Where the next batch begins; after kBad, where the bad one does.
  uint64_t offset() const { return offset_; }
  uint64_t next_sequence() const { return next_sequence_; }
  const BatchHeader& batch() const { return batch_; }
  const std::vector<EntryView>& entries() const { return entries_; }

  struct Problem {
    uint64_t offset = 0;    // of the record that fails
    raft::Index index = 0;  // the first entry that is hurt, as far as the bytes tell
    std::string text;
  };
  const Problem& problem() const { return problem_; }
  // After kBad: highest sequence number that an intact batch header behind the bad record says was
  // durable, or 0.
  uint64_t DurableSequenceBehind() const;
  // After kBad: bytes from offset() to the last one that is not zero.
  uint64_t DirtyBytes() const;

 private:
  Step Bad(uint64_t offset, raft::Index index, absl::string_view text);

  absl::string_view segment_;
  uint64_t seed_;
  uint32_t block_bytes_;
  uint64_t offset_;
  uint64_t next_sequence_;
  raft::Index last_index_;
  BatchHeader batch_;
  std::vector<EntryView> entries_;
  Problem problem_;
};

}  // namespace raftkv::storage
