// Space kept back for bad times: a file as large as a log segment that holds nothing.
//
// When the disk has no space for another segment, the reserve becomes one. So a node whose disk is
// full can go on for a while: with what was accepted before it noticed, with the entries by which
// leaders begin their terms, with a restart. Whoever accepts new commands looks at held() first.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/disk.h"

namespace raftkv::storage {

inline constexpr char kReserveName[] = "reserve";

class Reserve {
 public:
  // `disk` must outlive it.
  Reserve(Disk& disk, uint64_t bytes) : disk_(disk), bytes_(bytes) {}

  // Takes the space, if it is not held. ResourceExhausted when there is none.
  absl::Status Fill();
  bool held() const { return held_; }

  // A new file for writing with `bytes` reserved: new space, or else the reserve. ResourceExhausted
  // when neither will do: nothing has changed then.
  absl::StatusOr<std::unique_ptr<File>> CreateFile(const std::string& name, uint64_t bytes);

 private:
  // A crash must not take it away: the start after it may find the disk full.
  absl::Status Hold(File& file);

  Disk& disk_;
  uint64_t bytes_;
  bool held_ = false;
};

}  // namespace raftkv::storage
