// Many seeds: which are left, who runs them, what came of them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cmd/sim/seed_result.h"
#include "cmd/sim/worker.h"

namespace raftkv::sim {

// "17" or "1..5000", both ends included.
struct SeedRange {
  uint64_t first = 1;
  uint64_t last = 1;
  uint64_t count() const { return last - first + 1; }
};
std::optional<SeedRange> ParseSeedRange(const std::string& text);

// "2/4": of four parts of a range the second, which has every fourth seed.
struct Shard {
  uint64_t part = 1;  // from 1
  uint64_t of = 1;
  bool whole() const { return of == 1; }
};
std::optional<Shard> ParseShard(const std::string& text);

// The seeds of a range that are in a shard, in order.
class ShardSeeds {
 public:
  ShardSeeds(SeedRange range, Shard shard) : range_(range), shard_(shard) {}
  uint64_t count() const;
  uint64_t At(uint64_t number) const { return range_.first + shard_.part - 1 + number * shard_.of; }
  bool Contains(uint64_t seed) const;

 private:
  SeedRange range_;
  Shard shard_;
};

struct SweepOptions {
  SeedRange seeds;
  Shard shard;
  Profile profile = Profile::kEverything;
  uint32_t jobs = 1;        // processes that run at once
  bool keep_going = false;  // after a violation
  bool progress = false;    // a line that is rewritten, on stdout

  // Each seed is run by two processes, and must be the same run.
  bool twice = false;
  Worker::Kind first, second;

  // What there is already, and is not run again: of the shard, and run twice if that is asked for.
  const std::map<uint64_t, SeedResult>* recorded = nullptr;
  // Gets each new result as soon as there is one. An error ends the sweep.
  std::function<absl::Status(const SeedResult&)> finished;
};

struct SweepResult {
  std::vector<SeedResult> seeds;  // ascending; those that were run or recorded
  uint64_t recorded = 0;          // so many of them were there before
  double seconds = 0;             // of wall clock
  bool interrupted = false;       // by the user: there would have been more
  absl::Status status;            // not OK: the system could not run it, or `finished` said so
};

SweepResult Sweep(const SweepOptions& options);

// The table that a sweep ends with.
std::string FormatSummary(const SweepOptions& options, const SweepResult& result);

// The same without its first line, for results from anywhere.
std::string FormatFigures(const std::vector<SeedResult>& seeds);

std::string Grouped(uint64_t number);  // 12,345
std::string Span(double seconds);      // "01:05", "2 h 13 m", "41 d 06 h"

}  // namespace raftkv::sim
