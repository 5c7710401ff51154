// Files of results: a line of JSON for each seed (seed_result.h), appended as it finishes. A sweep
// that was stopped, in whatever way, goes on where it was; files of several machines are one when
// they are put together.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cmd/sim/seed_result.h"

namespace raftkv::sim {

// Results from files, and what is wrong with them as a whole.
class ResultSet {
 public:
  // `where` is said when the seed comes again with another result: "results.jsonl:17".
  void Add(const std::string& where, const ResultLine& line);

  // By seed. A seed that is there several times with the same result counts once, as run twice if
  // one of them was.
  using Seeds = std::map<uint64_t, SeedResult>;
  const std::map<ResultOrigin, Seeds>& origins() const { return origins_; }
  uint64_t repeated() const { return repeated_; }
  // A seed was not the same run everywhere: a sentence for each.
  const std::vector<std::string>& disagreements() const { return disagreements_; }

 private:
  std::map<ResultOrigin, Seeds> origins_;
  std::map<ResultOrigin, std::map<uint64_t, std::string>> where_;
  uint64_t repeated_ = 0;
  std::vector<std::string> disagreements_;
};

// What is in the text of a file. The error names file, line and reason.
struct ResultsText {
  std::vector<ResultLine> lines;
  uint64_t whole_bytes = 0;  // what is behind them is the beginning of a line, cut off
};
absl::StatusOr<ResultsText> ParseResults(const std::string& name, absl::string_view text);

// NotFoundError when there is no such file. No more than a gigabyte is read: a device has no end.
absl::StatusOr<std::string> ReadWholeFile(const std::string& name);
// Whether the file can be made, or written to when it is there; nothing is changed. An empty name
// is no file, and fine. To be asked before long work, not after it.
absl::Status CheckWritable(const std::string& name);
absl::Status WriteWholeFile(const std::string& name, absl::string_view bytes);
// InvalidArgument if two of the names that something is to be written to are of one file, or one is
// of a file that is read. Empty names are no files, and devices may be written to twice.
absl::Status CheckDistinct(const std::vector<std::string>& written,
                           const std::vector<std::string>& read);

// A file that a sweep adds to.
class ResultsFile {
 public:
  // Makes the file, or reads what is there: it must be results of `origin`, or nothing is done. A
  // last line that was cut off is taken away. One sweep at a time: the file is locked.
  static absl::StatusOr<std::unique_ptr<ResultsFile>> Open(const std::string& name,
                                                           const ResultOrigin& origin);
  ~ResultsFile();
  ResultsFile(const ResultsFile&) = delete;
  ResultsFile& operator=(const ResultsFile&) = delete;

  const ResultSet::Seeds& recorded() const { return recorded_; }
  const std::vector<std::string>& disagreements() const { return disagreements_; }
  // Something that the user should know, or nothing.
  const std::string& remark() const { return remark_; }

  // Given to the system before it returns.
  absl::Status Append(const SeedResult& result);

 private:
  ResultsFile(std::string name, int fd, ResultOrigin origin)
      : name_(std::move(name)), fd_(fd), origin_(std::move(origin)) {}
  absl::Status Load();

  std::string name_;
  int fd_;
  ResultOrigin origin_;
  ResultSet::Seeds recorded_;
  std::vector<std::string> disagreements_;
  std::string remark_;
};

}  // namespace raftkv::sim
