// What chance decides in a run, one decision at a time, by name.
//
// Whatever in the world around the nodes may turn out one way or another (is this frame lost? how
// long does this disk job take? which node does this client ask?) is asked here. A run is
//   drawn     every answer comes from the asker's stream of random numbers. Nobody keeps anything:
//             that is what a sweep does, and it costs nothing
//   recorded  the same answers, and each that is not the usual one is kept under its name
//   given     nothing is drawn: an answer is the one that is given under its name, or the usual one
// So a run can be played again from what was unusual about it, and pieces of that can be left out
// to see what matters (sim/shrink).
//
// A name says what the decision is about in words that stay true when other decisions change:
// "append 1>3 term 2 #4" is the fourth append that node 1 sends to node 3 in term 2, whatever else
// happens. The aspect says what of it is decided: "lost", "takes". An answer is an unsigned number:
// microseconds, a node, or 0 and 1.
//
// Not decided here, but by the seed alone: the timeouts that a node draws, its clocks, and details
// of faults that have a number of their own.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace raftkv::sim {

class Decisions {
 public:
  // By name and aspect, "append 1>3 term 2 #4: lost".
  using Answers = std::map<std::string, uint64_t, std::less<>>;

  enum class Source : uint8_t { kDrawn, kRecorded, kGiven };

  explicit Decisions(Source source = Source::kDrawn) : source_(source) {}
  static Decisions Given(Answers answers);

  Source source() const { return source_; }

  // "`what` #n", counted from 1 for each `what`; empty when names are of no use. `what` is a
  // callable that returns a string, because making it costs more than a decision.
  template <typename What>
  std::string Name(const What& what) {
    return source_ == Source::kDrawn ? std::string() : Count(what());
  }

  // `usual` is a matter of the settings and of what the run has come to, never of chance. `draw`
  // returns the answer of a random stream.
  template <typename Draw>
  uint64_t Decide(absl::string_view name, absl::string_view aspect, uint64_t usual,
                  const Draw& draw) {
    if (source_ == Source::kDrawn) return draw();
    return DecideByName(name, aspect, usual, [&draw] { return static_cast<uint64_t>(draw()); });
  }

  // Recorded: what was unusual. Given: what was given.
  const Answers& answers() const { return answers_; }

 private:
  std::string Count(std::string what);
  uint64_t DecideByName(absl::string_view name, absl::string_view aspect, uint64_t usual,
                        absl::FunctionRef<uint64_t()> draw);

  Source source_;
  Answers answers_;
  std::map<std::string, uint64_t, std::less<>> counts_;
};

}  // namespace raftkv::sim
