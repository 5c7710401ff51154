// The bodies of an append and of its answer, written and recognised in one piece.
//
// These two are nearly all that nodes say to each other, and the bodies of one kind differ only in
// a few numbers: what FlatBuffers puts where is the same each time. So one body of each kind is
// built with the library and kept as a pattern. Writing copies it and fills in the numbers. Reading
// compares: a body that equals the pattern wherever the pattern is structure needs no other proof
// that its structure is sound. What fits no pattern goes through the library's builder and verifier
// as every other message does; the bytes are the same either way.
//
// For .cc files of core/wire and their tests only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/raft/message.h"
#include "core/wire/peer_generated.h"

namespace raftkv::wire {

class AppendLayouts {
 public:
  AppendLayouts();

  // How long the message's body is, or 0 when it fits no pattern: entries without any payload, or
  // more than kMaxBody bytes of them.
  static constexpr size_t kMaxBody = 1024 * 1024;
  size_t BodySize(const raft::AppendRequest& request) const;
  size_t AnswerSize() const { return answer_.size(); }

  // Writes that many bytes to `out`, 8-byte aligned. Only for messages that fit a pattern.
  void Write(const fb::Envelope& envelope, const raft::AppendRequest& request, uint8_t* out) const;
  void Write(const fb::Envelope& envelope, const fb::LogAnswer& answer, uint8_t* out) const {
    answer_.Write(envelope, answer, out);
  }

  // What a recognised body says, in place.
  struct Append {
    const fb::LogPosition* at;
    const fb::EntryHead* heads;  // `count` of them, 8-byte aligned
    size_t count;
    absl::string_view payloads;
  };
  struct Recognised {
    const fb::Envelope* envelope = nullptr;  // null: not recognised, the verifier must tell
    const fb::LogAnswer* answer = nullptr;   // null: an append
    Append append = {};
  };
  // `body` is 8-byte aligned.
  Recognised Recognise(absl::string_view body) const;

 private:
  class Pattern {
   public:
    // The bytes of `body` but for `free` of them, each an offset and a size.
    struct Range {
      size_t offset;
      size_t size;
    };
    Pattern() = default;
    Pattern(absl::string_view body, const std::vector<Range>& free);

    size_t size() const { return words_.size() * sizeof(uint64_t); }
    void CopyTo(uint8_t* out) const;
    bool BeginsLike(absl::string_view body) const;

   private:
    // A word that is structure, in whole or in part.
    struct Structure {
      size_t offset;
      uint64_t mask;  // ones where it is
      uint64_t word;
    };
    std::vector<uint64_t> words_;  // 0 where it is free
    std::vector<Structure> structure_;
  };

  // What every body has, at the same place in all of a kind.
  struct Kind {
    Pattern pattern;
    size_t envelope = 0;  // offsets of the structs
    size_t numbers = 0;
    size_t size() const { return pattern.size(); }
    template <typename Numbers>
    void Write(const fb::Envelope& envelope_in, const Numbers& numbers_in, uint8_t* out) const {
      pattern.CopyTo(out);
      new (out + envelope) fb::Envelope(envelope_in);
      new (out + numbers) Numbers(numbers_in);
    }
    const fb::Envelope* EnvelopeIn(const char* body) const {
      return reinterpret_cast<const fb::Envelope*>(body + envelope);
    }
    template <typename Numbers>
    const Numbers* NumbersIn(const char* body) const {
      return reinterpret_cast<const Numbers*>(body + numbers);
    }
  };

  Kind answer_;
  Kind empty_;  // an append without entries
  // An append up to its first head. Behind it are the heads, the length of all payloads (four
  // bytes, the end of a word), and the payloads, filled up to a whole word.
  Kind entries_;
  size_t payloads_field_ = 0;  // offset of the offset of the payloads' length
};

}  // namespace raftkv::wire
