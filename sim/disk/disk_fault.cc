#include "sim/disk/disk_fault.h"

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

std::string Describe(const DiskPlace& place) {
  const std::string end =
      place.length == kToTheEnd ? "end" : absl::StrCat(place.offset + place.length);
  return absl::StrCat(place.file, " at ", place.offset, "..", end);
}

struct InWords {
  std::string operator()(const ReadError& fault) const {
    return absl::StrCat("unreadable sectors in ", Describe(fault.at));
  }
  std::string operator()(const BitRot& fault) const {
    return absl::StrCat("bit rot, ", fault.bits, fault.bits == 1 ? " bit in " : " bits in ",
                        Describe(fault.at));
  }
  std::string operator()(const Garbage& fault) const {
    return absl::StrCat("garbage in ", Describe(fault.at));
  }
  std::string operator()(const Zeros& fault) const {
    return absl::StrCat("zeros in ", Describe(fault.at));
  }
  std::string operator()(const MissingFile& fault) const {
    return absl::StrCat("missing file ", fault.file);
  }
  std::string operator()(const TruncatedFile& fault) const {
    return absl::StrCat("file ", fault.file, " cut to ", fault.size, " bytes");
  }
  std::string operator()(const ExtendedFile& fault) const {
    return absl::StrCat(fault.bytes, fault.garbage ? " bytes of garbage" : " zeros",
                        " behind the end of ", fault.file);
  }
  std::string operator()(const StaleFile& fault) const {
    return absl::StrCat("file ", fault.file, " as it was once");
  }
  std::string operator()(const Amnesia&) const { return "the whole disk as it was once"; }
  std::string operator()(const LostWrite& fault) const {
    return absl::StrCat("a lost write to ", fault.file, "*, after ", fault.after, " good ones");
  }
  std::string operator()(const MisdirectedWrite& fault) const {
    return absl::StrCat("a write to ", fault.file, "*, after ", fault.after,
                        " good ones, that lands in ", fault.to_file, " at ", fault.to_offset);
  }
  std::string operator()(const MisdirectedRead& fault) const {
    return absl::StrCat("a read of ", fault.file, "*, after ", fault.after,
                        " good ones, that returns ", fault.from_file, " at ", fault.from_offset);
  }
};

}  // namespace

std::string Describe(const DiskFault& fault) { return std::visit(InWords(), fault); }

absl::string_view NameOfKind(size_t kind) {
  static constexpr std::array<absl::string_view, kDiskFaultKinds> kNames = {
      "read errors",        "bit rot",          "garbage",     "zeros",   "missing files",
      "truncated files",    "extended files",   "stale files", "amnesia", "lost writes",
      "misdirected writes", "misdirected reads"};
  RAFTKV_CHECK(kind < kNames.size());
  return kNames[kind];
}

}  // namespace raftkv::sim
