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
//
// A run that is drawn can be steered away from what its seed would do (sim/guidance), which costs
// nothing either: from some moment on all streams begin anew (Turn), and single decisions, by their
// number in the run, come out in another way (ChangedDecision).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "core/raft/random.h"

namespace raftkv::sim {

// The decision `number` of a run, from 1, gets another answer than the one that is drawn: yes for
// no, longer or shorter, another node. `how` says which other one.
struct ChangedDecision {
  uint64_t number = 0;
  uint64_t how = 0;
  friend bool operator==(const ChangedDecision&, const ChangedDecision&) = default;
};

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

  // Once for each name and aspect, or the run is not the same when its answers are given. `usual`
  // is a matter of the settings and of what the run has come to, never of chance. `draw` returns
  // the answer of a random stream.
  template <typename Draw>
  uint64_t Decide(absl::string_view name, absl::string_view aspect, uint64_t usual,
                  const Draw& draw) {
    const bool changed = ++made_ == next_changed_;
    if (source_ == Source::kDrawn && !changed) return draw();
    return DecideByName(name, aspect, usual, changed,
                        [&draw] { return static_cast<uint64_t>(draw()); });
  }

  // So many decisions so far.
  uint64_t made() const { return made_; }
  // Ascending; before the first decision. Those of a run whose answers are given are not changed.
  void set_changed(std::vector<ChangedDecision> changed);
  // Whatever draws from a stream of the run's seed has its generator here, or a Turn passes it by.
  // The generator must outlive the last Turn.
  void Own(Random* random) { owned_.push_back(random); }
  // All generators begin anew, each with numbers that follow from its own seed and `salt`.
  void Turn(uint64_t salt);

  // Recorded: what was unusual. Given: what was given.
  const Answers& answers() const { return answers_; }

 private:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  std::string Count(std::string what);
  uint64_t DecideByName(absl::string_view name, absl::string_view aspect, uint64_t usual,
                        bool changed, absl::FunctionRef<uint64_t()> draw);
  uint64_t Changed(absl::string_view aspect, uint64_t answer);

  Source source_;
  uint64_t made_ = 0;
  uint64_t next_changed_ = kNever;  // the number of changed_[at_changed_]
  size_t at_changed_ = 0;
  std::vector<ChangedDecision> changed_;
  std::vector<Random*> owned_;
  Answers answers_;
  std::map<std::string, uint64_t, std::less<>> counts_;
  std::set<std::string> decided_;  // recorded: each name and aspect, once
};

}  // namespace raftkv::sim
