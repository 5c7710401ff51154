#include "storage/inspect.h"

#include <map>
#include <optional>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "storage/log.h"
#include "storage/records.h"
#include "storage/slots.h"
#include "storage/snapshot_store.h"

namespace raftkv::storage {
namespace {

void Bad(Inspection* out, absl::string_view name, absl::string_view text) {
  out->damaged = true;
  absl::StrAppend(&out->text, name, ": BAD ", text, "\n");
}

absl::StatusOr<Identity> TheIdentity(Disk& disk) {
  absl::StatusOr<SlotsRead> read = ReadSlots(disk, IdentityFile());
  if (absl::IsNotFound(read.status())) {
    return absl::NotFoundError(
        absl::StrCat(disk.Describe(), ": no identity, not an initialised data directory"));
  }
  if (!read.ok()) return read.status();
  const std::optional<Identity> identity = DecodeIdentity(read->slot.payload);
  if (!identity) {
    return absl::DataLossError(absl::StrCat(disk.Describe(), "/identity: impossible values"));
  }
  return *identity;
}

// The payload that counts; notes a copy that is not as it should be.
std::optional<Slot> TheSlot(Disk& disk, const SlotFile& file, Inspection* out) {
  absl::StatusOr<SlotsRead> read = ReadSlots(disk, file);
  if (!read.ok()) {
    Bad(out, file.name, read.status().message());
    return std::nullopt;
  }
  for (int number : {0, 1}) {
    if (read->bad[number]) Bad(out, file.name, absl::StrCat("copy ", number, " is unreadable"));
  }
  if (!read->equal && !read->bad[0] && !read->bad[1]) {
    absl::StrAppend(&out->text, file.name,
                    ": the copies are of different generations, the newer counts\n");
  }
  return read->slot;
}

std::string ConfText(const raft::ConfState& conf) {
  std::string text = absl::StrCat("voters ", absl::StrJoin(conf.voters, ","));
  auto add = [&text](absl::string_view what, const std::vector<raft::NodeId>& nodes) {
    if (!nodes.empty()) absl::StrAppend(&text, " ", what, " ", absl::StrJoin(nodes, ","));
  };
  add("outgoing", conf.voters_outgoing);
  add("learners", conf.learners);
  add("learners-next", conf.learners_next);
  if (conf.auto_leave) absl::StrAppend(&text, " auto-leave");
  return text;
}

std::string SnapshotText(const SnapshotInfo& info) {
  return absl::StrFormat("index %d term %d bytes %d digest %016x %s %s", info.meta.index,
                         info.meta.term, info.size, info.digest,
                         info.source == SnapshotSource::kLocal ? "local" : "received",
                         ConfText(info.meta.conf));
}

void SegmentText(const LoadedSegment& loaded, const InspectOptions& options, Inspection* out) {
  const SegmentHeader& header = loaded.header;
  const std::string name = SegmentName(header.segment);
  absl::StrAppend(&out->text, name, ": bytes ", loaded.bytes.size(), " block ", header.block_bytes,
                  " first-batch ", header.first_sequence, " after-entry ", header.base_index);
  if (header.previous_segment == 0) {
    absl::StrAppend(&out->text, " the log begins here\n");
  } else {
    absl::StrAppend(&out->text, " seals ", SegmentName(header.previous_segment), " at ",
                    header.previous_end, "\n");
  }
  for (const uint64_t copy : {uint64_t{0}, uint64_t{1}}) {
    if (loaded.bad_header[copy]) Bad(out, name, absl::StrCat("copy ", copy, " of the header"));
  }
  SegmentReader reader(loaded.bytes, header, loaded.bytes.size());
  uint64_t offset = reader.offset();
  SegmentReader::Step step = reader.Next();
  for (; step != SegmentReader::Step::kEnd; step = reader.Next()) {
    const BatchHeader& batch = reader.batch();
    if (reader.hurt()) {
      out->damaged = true;
      absl::StrAppend(&out->text, "  ", reader.begin(), ": BAD ", reader.problem().text,
                      " (offset ", reader.problem().offset, ", entry ", reader.problem().index,
                      ")\n");
    }
    if (step == SegmentReader::Step::kGap) continue;
    absl::StrAppend(&out->text, "  ", reader.begin(), ": batch ", batch.sequence, " keep-through ",
                    batch.keep_through, " commit ", batch.commit, " entries ", batch.count,
                    " durable-before ", batch.durable_sequence, "\n");
    for (const EntryView& entry : reader.entries()) {
      if (entry.index < options.first_index || entry.index > options.last_index) continue;
      absl::StrAppend(&out->text, "    ", entry.index, " term ", entry.term,
                      entry.type == raft::EntryType::kMembership ? " membership" : " command",
                      " bytes ", entry.payload.size());
      const absl::string_view shown = entry.payload.substr(0, options.payload_bytes);
      if (!shown.empty()) {
        absl::StrAppend(&out->text, " \"", absl::CHexEscape(shown), "\"",
                        shown.size() < entry.payload.size() ? "..." : "");
      }
      absl::StrAppend(&out->text, "\n");
    }
    offset = reader.offset();
  }
  absl::StrAppend(&out->text, "  ", offset, ": end\n");
}

}  // namespace

absl::StatusOr<Inspection> InspectIdentity(Disk& disk) {
  absl::StatusOr<Identity> identity = TheIdentity(disk);
  if (!identity.ok()) return identity.status();
  Inspection out;
  (void)TheSlot(disk, IdentityFile(), &out);
  absl::StrAppend(&out.text, "identity: cluster ", ToHex(identity->cluster), " node ",
                  identity->node, " incarnation ", identity->incarnation, " group ",
                  identity->group, " created-ms ", identity->created_ms, "\n");
  return out;
}

absl::StatusOr<Inspection> InspectVote(Disk& disk) {
  absl::StatusOr<Identity> identity = TheIdentity(disk);
  if (!identity.ok()) return identity.status();
  Inspection out;
  const std::optional<Slot> slot = TheSlot(disk, VoteFile(identity->cluster), &out);
  if (!slot) return out;
  const std::optional<VoteRecord> vote = DecodeVote(slot->payload);
  if (!vote) {
    Bad(&out, "vote", "impossible values");
    return out;
  }
  absl::StrAppend(&out.text, "vote: term ", vote->hard_state.term, " vote ", vote->hard_state.vote,
                  " node ", vote->node, " incarnation ", vote->incarnation, " generation ",
                  slot->generation, "\n");
  return out;
}

absl::StatusOr<Inspection> InspectLog(Disk& disk, const InspectOptions& options) {
  absl::StatusOr<Identity> identity = TheIdentity(disk);
  if (!identity.ok()) return identity.status();
  absl::StatusOr<std::vector<std::string>> names = disk.List();
  if (!names.ok()) return names.status();
  Inspection out;
  absl::StatusOr<Marks::Found> found = Marks::Read(disk, identity->cluster);
  if (!found.ok() || found->generation == 0) {
    Bad(&out, "marks", found.ok() ? "unreadable" : found.status().message());
  } else if (found->newest.segment == 0) {
    absl::StrAppend(&out.text, "marks: none yet\n");
  } else {
    const Mark& mark = found->newest;
    absl::StrAppend(&out.text, "marks: durable through batch ", mark.sequence, " entry ",
                    mark.last_index, " at ", SegmentName(mark.segment), ":", mark.end, "\n");
  }
  // Where each segment is sealed is in the header of the next one.
  std::map<uint64_t, uint64_t> sealed;
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id || name != SegmentName(*id)) continue;
    absl::StatusOr<LoadedSegment> loaded = LoadSegment(disk, *id, true);
    if (loaded.ok()) sealed[loaded->header.previous_segment] = loaded->header.previous_end;
  }
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id) continue;
    if (name != SegmentName(*id)) {
      absl::StrAppend(&out.text, name, ": unfinished\n");
      continue;
    }
    const auto seal = sealed.find(*id);
    absl::StatusOr<LoadedSegment> loaded =
        LoadSegment(disk, *id, false, seal == sealed.end() ? UINT64_MAX : seal->second);
    if (loaded.ok()) {
      SegmentText(*loaded, options, &out);
    } else {
      Bad(&out, name, loaded.status().message());
    }
  }
  return out;
}

absl::StatusOr<Inspection> InspectSnapshots(Disk& disk, const InspectOptions& options) {
  absl::StatusOr<Identity> identity = TheIdentity(disk);
  if (!identity.ok()) return identity.status();
  absl::StatusOr<std::vector<std::string>> names = disk.List();
  if (!names.ok()) return names.status();
  Inspection out;
  const std::optional<Slot> slot = TheSlot(disk, ManifestFile(identity->cluster), &out);
  if (slot) {
    const std::optional<Manifest> manifest = DecodeManifest(slot->payload);
    if (manifest) {
      absl::StrAppend(&out.text, "manifest: log from ", SegmentName(manifest->first_segment),
                      " snapshot ", SnapshotText(manifest->snapshot), "\n");
    } else {
      Bad(&out, "manifest", "impossible values");
    }
  }
  for (const std::string& name : *names) {
    if (!IsSnapshotName(name)) continue;
    if (absl::EndsWith(name, ".tmp")) {
      absl::StrAppend(&out.text, name, ": unfinished\n");
      continue;
    }
    absl::StatusOr<SnapshotFile> file = SnapshotFile::Open(disk, name, identity->cluster);
    if (!file.ok()) {
      Bad(&out, name, file.status().message());
      continue;
    }
    absl::StrAppend(&out.text, name, ": ", SnapshotText(file->info()), " chunks ", file->chunks(),
                    " of ", file->header().chunk_bytes, "\n");
    if (!options.verify_snapshots) continue;
    Digest digest;
    bool intact = true;
    for (uint64_t number = 0; number < file->chunks(); ++number) {
      absl::StatusOr<std::string> chunk = file->ReadChunk(number);
      if (chunk.ok()) {
        digest.Add(*chunk);
      } else {
        intact = false;
        Bad(&out, name, chunk.status().message());
      }
    }
    if (intact && digest.value() != file->info().digest) {
      Bad(&out, name, "the bytes do not have the digest of the trailer");
    } else if (intact) {
      absl::StrAppend(&out.text, name, ": verified\n");
    }
  }
  return out;
}

absl::StatusOr<Inspection> InspectAll(Disk& disk, const InspectOptions& options) {
  Inspection all;
  auto add = [&all](absl::StatusOr<Inspection> part) {
    if (!part.ok()) return part.status();
    all.text += part->text;
    all.damaged |= part->damaged;
    return absl::OkStatus();
  };
  absl::Status status = add(InspectIdentity(disk));
  if (status.ok()) status = add(InspectVote(disk));
  if (status.ok()) status = add(InspectSnapshots(disk, options));
  if (status.ok()) status = add(InspectLog(disk, options));
  if (!status.ok()) return status;
  return all;
}

}  // namespace raftkv::storage
