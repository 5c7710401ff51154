// Gives equal sequences of small numbers the same id, so that comparing and hashing them costs as
// much as comparing one number.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/types/span.h"
#include "core/raft/check.h"

namespace raftkv::sim {

using SequenceId = uint32_t;

// Ids count up from 0 in the order of first use. Not copyable: the index refers to its owner.
class SequenceInterner {
 public:
  using Sequence = absl::Span<const uint32_t>;

  SequenceInterner() : index_(0, Hash{this}, Equal{this}) {}
  SequenceInterner(const SequenceInterner&) = delete;
  SequenceInterner& operator=(const SequenceInterner&) = delete;

  SequenceId Intern(Sequence sequence) {
    if (const auto found = index_.find(sequence); found != index_.end()) return *found;
    RAFTKV_CHECK(ends_.size() < UINT32_MAX);
    const auto id = static_cast<SequenceId>(ends_.size());
    elements_.insert(elements_.end(), sequence.begin(), sequence.end());
    ends_.push_back(elements_.size());
    index_.insert(id);
    return id;
  }

  // Valid until the next Intern.
  Sequence Get(SequenceId id) const {
    const size_t begin = id == 0 ? 0 : ends_[id - 1];
    return Sequence(elements_.data() + begin, ends_[id] - begin);
  }

  uint64_t MemoryBytes() const {
    return elements_.capacity() * sizeof(uint32_t) + ends_.capacity() * sizeof(size_t) +
           index_.capacity() * (sizeof(SequenceId) + 1);
  }

 private:
  struct Hash {
    using is_transparent = void;
    const SequenceInterner* owner;
    size_t operator()(Sequence sequence) const { return absl::Hash<Sequence>()(sequence); }
    size_t operator()(SequenceId id) const { return (*this)(owner->Get(id)); }
  };
  struct Equal {
    using is_transparent = void;
    const SequenceInterner* owner;
    bool operator()(SequenceId a, SequenceId b) const { return a == b; }
    bool operator()(SequenceId a, Sequence b) const { return owner->Get(a) == b; }
    bool operator()(Sequence a, SequenceId b) const { return (*this)(b, a); }
  };

  std::vector<uint32_t> elements_;  // all sequences, one after the other
  std::vector<size_t> ends_;        // by id
  absl::flat_hash_set<SequenceId, Hash, Equal> index_;
};

}  // namespace raftkv::sim
