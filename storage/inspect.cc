#include "storage/inspect.h"

#include <map>
#include <optional>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "storage/log.h"
#include "storage/records.h"
#include "storage/slots.h"
#include "storage/snapshot_store.h"
#include "storage/storage.h"

namespace raftkv::storage {
namespace {

using Fields = std::vector<std::pair<std::string, InspectItem::Value>>;

void Add(Inspection* out, std::string file, uint64_t offset, std::string what, Fields fields,
         std::string problem = "") {
  out->items.push_back(
      {std::move(file), offset, std::move(what), std::move(fields), std::move(problem)});
}

void AddBad(Inspection* out, std::string file, std::string what, absl::string_view problem) {
  Add(out, std::move(file), 0, std::move(what), {}, std::string(problem));
}

// Whose directory it is. When `identity` is bad, any segment of the log says so, too.
absl::StatusOr<Identity> TheIdentity(Disk& disk) {
  absl::StatusOr<SlotsRead> read = ReadSlots(disk, IdentityFile());
  if (read.ok()) {
    const std::optional<Identity> identity = DecodeIdentity(read->slot.payload);
    if (identity) return *identity;
  }
  absl::StatusOr<std::vector<std::string>> names = disk.List();
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id || name != SegmentName(*id)) continue;
    absl::StatusOr<LoadedSegment> loaded = LoadSegmentStart(disk, *id);
    if (loaded.ok()) return loaded->header.owner;
  }
  return absl::NotFoundError(
      absl::StrCat(disk.Describe(), ": no identity, not an initialised data directory"));
}

// The payload that counts; notes a copy that is not as it should be.
std::optional<Slot> TheSlot(Disk& disk, const SlotFile& file, Inspection* out) {
  absl::StatusOr<SlotsRead> read = ReadSlots(disk, file);
  if (!read.ok()) {
    AddBad(out, file.name, "slots", read.status().message());
    return std::nullopt;
  }
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}}) {
    if (!read->bad[number]) continue;
    Add(out, file.name, number * kSlotBytes, "slot", {{"copy", number}}, "unreadable");
  }
  if (!read->equal && !read->bad[0] && !read->bad[1]) {
    Add(out, file.name, 0, "slots",
        {{"meaning", std::string("the copies are of different generations, the newer counts")}});
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

Fields SnapshotFields(const SnapshotInfo& info) {
  return {{"index", info.meta.index},
          {"term", info.meta.term},
          {"bytes", info.size},
          {"digest", absl::StrFormat("%016x", info.digest)},
          {"source", info.source == SnapshotSource::kLocal ? "local" : "received"},
          {"members", ConfText(info.meta.conf)}};
}

std::string NoteText(const Note& note) {
  if (note.sequence == 0) return "no batch that is known";
  std::string text = absl::StrCat("batch ", note.sequence, " behind ", note.keep_through);
  for (const TermRun& run : note.runs) {
    absl::StrAppend(&text, ", ", run.count, " of term ", run.term);
  }
  return text;
}

std::string SuspicionText(const raft::Suspicion& suspicion) {
  constexpr const char* kEvidence[] = {"blank", "spoilt", "proven"};
  return absl::StrCat("entry ", suspicion.index, " of term ", suspicion.term, " (",
                      kEvidence[static_cast<size_t>(suspicion.evidence)], ")");
}

void AddEntry(const std::string& name, uint64_t batch, const EntryView& entry,
              const InspectOptions& options, Inspection* out) {
  if (entry.index < options.first_index || entry.index > options.last_index) return;
  Fields fields = {{"index", entry.index}};
  if (entry.intact || entry.term != 0) fields.emplace_back("term", entry.term);
  if (!entry.intact) {
    Add(out, name, batch, "entry", std::move(fields), "cannot be read");
    return;
  }
  if (!options.show_entries) return;
  const absl::string_view shown = entry.payload.substr(0, options.payload_bytes);
  fields.emplace_back("type",
                      entry.type == raft::EntryType::kMembership ? "membership" : "command");
  fields.emplace_back("bytes", uint64_t{entry.payload.size()});
  if (!shown.empty()) {
    fields.emplace_back("payload", absl::StrCat("\"", absl::CHexEscape(shown), "\"",
                                                shown.size() < entry.payload.size() ? "..." : ""));
  }
  Add(out, name, batch, "entry", std::move(fields));
}

void AddSegmentHeader(const LoadedSegment& loaded, const std::string& name, Inspection* out) {
  const SegmentHeader& header = loaded.header;
  Fields fields = {{"bytes", loaded.size},
                   {"block", uint64_t{header.block_bytes}},
                   {"first-batch", header.first_sequence},
                   {"after-entry", header.base_index},
                   {"of-term", header.base_term},
                   {"commit", header.commit}};
  if (header.previous_segment == 0) {
    fields.emplace_back("begins", "the log");
  } else {
    fields.emplace_back("seals", SegmentName(header.previous_segment));
    fields.emplace_back("at", header.previous_end);
  }
  if (header.suspicion) fields.emplace_back("suspicion", SuspicionText(*header.suspicion));
  Add(out, name, 0, "segment", std::move(fields));
  for (const uint64_t copy : {uint64_t{0}, uint64_t{1}}) {
    if (!loaded.bad_header[copy]) continue;
    Add(out, name, copy * header.block_bytes, "header", {{"copy", copy}},
        "not valid, the other copy counts");
  }
  for (const LoadedSegment::Range& range : loaded.unreadable) {
    Add(out, name, range.offset, "bytes", {{"bytes", range.bytes}},
        "cannot be read, or missing at the end of the file");
  }
}

void AddSegment(const LoadedSegment& loaded, const InspectOptions& options, Inspection* out) {
  const std::string name = SegmentName(loaded.header.segment);
  AddSegmentHeader(loaded, name, out);
  SegmentReader reader(loaded.bytes, loaded.header, loaded.size);
  SegmentReader::Step step = reader.Next();
  for (; step != SegmentReader::Step::kEnd; step = reader.Next()) {
    const std::string problem =
        reader.hurt() ? absl::StrCat(reader.problem().text, " at offset ", reader.problem().offset,
                                     reader.blank() ? ", never written to the end" : "")
                      : std::string();
    if (step == SegmentReader::Step::kGap) {
      Fields fields = {{"bytes", reader.dirty_bytes()}};
      if (reader.lost()) fields.emplace_back("last", NoteText(*reader.lost()));
      Add(out, name, reader.begin(), "gap", std::move(fields), problem);
      continue;
    }
    if (reader.note_lost()) {
      Add(out, name, reader.begin(), "note", {}, "not valid, nothing is lost with it");
    }
    const BatchHeader& batch = reader.batch();
    if (options.show_entries || reader.hurt()) {
      Fields fields = {{"number", batch.sequence},
                       {"keep-through", batch.keep_through},
                       {"entries", uint64_t{batch.count}}};
      if (!reader.head_lost()) {
        fields.emplace_back("of-term", batch.keep_term);
        fields.emplace_back("commit", batch.commit);
        fields.emplace_back("durable-before", batch.durable_sequence);
      }
      Add(out, name, reader.begin(), "batch", std::move(fields), problem);
    }
    for (const EntryView& entry : reader.entries()) {
      AddEntry(name, reader.begin(), entry, options, out);
    }
  }
  const std::optional<Note> foot = DecodeNote(loaded.bytes, loaded.header.seed(), reader.offset());
  if (options.show_entries && foot) {
    Add(out, name, reader.offset(), "foot", {{"of", NoteText(*foot)}});
  }
  Add(out, name, reader.offset(), "end", {{"next-batch", reader.next_sequence()}});
}

void AddMarks(Disk& disk, const ClusterId& cluster, Inspection* out) {
  absl::StatusOr<Marks::Found> found = Marks::Read(disk, cluster);
  if (!found.ok() || found->generation == 0) {
    AddBad(out, "marks", "mark", found.ok() ? "unreadable" : found.status().message());
    return;
  }
  const Mark& mark = found->newest;
  if (mark.segment == 0) {
    Add(out, "marks", 0, "mark", {{"meaning", "none yet"}});
    return;
  }
  Add(out, "marks", 0, "mark",
      {{"durable-through", mark.sequence},
       {"entry", mark.last_index},
       {"term", mark.last_term},
       {"segment", SegmentName(mark.segment)},
       {"end", mark.end}});
}

void VerifyChunks(const SnapshotFile& file, const std::string& name, Inspection* out) {
  Digest digest;
  bool intact = true;
  for (uint64_t number = 0; number < file.chunks(); ++number) {
    absl::StatusOr<std::string> chunk = file.ReadChunk(number);
    if (chunk.ok()) {
      digest.Add(*chunk);
    } else {
      intact = false;
      Add(out, name, 0, "chunk", {{"number", number}}, std::string(chunk.status().message()));
    }
  }
  if (!intact) return;
  if (digest.value() != file.info().digest) {
    AddBad(out, name, "snapshot", "the bytes do not have the digest of the trailer");
  } else {
    Add(out, name, 0, "verified", {{"bytes", file.info().size}});
  }
}

std::optional<Manifest> TheManifest(Disk& disk, const ClusterId& cluster, Inspection* out) {
  const std::optional<Slot> slot = TheSlot(disk, ManifestFile(cluster), out);
  if (!slot) return std::nullopt;
  std::optional<Manifest> manifest = DecodeManifest(slot->payload);
  if (!manifest) AddBad(out, "manifest", "manifest", "impossible values");
  return manifest;
}

// What Storage::Open would find, and decide.
void AddDecisions(Disk& disk, Inspection* out) {
  const absl::StatusOr<Recovered> found = Storage::Explain(disk);
  if (!found.ok()) {
    AddBad(out, "", "start", absl::StrCat("refused: ", found.status().message()));
    return;
  }
  for (const RecoveryEvent& event : found->events) {
    Add(out, event.file, event.offset, "event", {{"bytes", event.bytes}, {"meaning", event.text}});
  }
  const raft::Index snapshot = found->snapshot.meta.index;
  const raft::Index last = found->entries.empty() ? snapshot : found->entries.back().index;
  Fields fields = {{"snapshot", snapshot}, {"last-entry", last}};
  std::string problem;
  if (found->suspicion) {
    problem =
        absl::StrCat("the end of the log may be lost, up to ", SuspicionText(*found->suspicion));
  }
  if (found->damage) {
    std::vector<std::string> bad;
    for (const raft::DamagedEntry& entry : found->damage->bad) {
      bad.push_back(entry.term == 0 ? absl::StrCat(entry.index)
                                    : absl::StrCat(entry.index, " of term ", entry.term));
    }
    fields.emplace_back("readable-behind", uint64_t{found->damage->intact.size()});
    problem = absl::StrCat("to be repaired from peers: ", absl::StrJoin(bad, ", "),
                           "; the log went up to ", SuspicionText(found->damage->last));
  }
  Add(out, "", 0, "start", std::move(fields), std::move(problem));
}

}  // namespace

bool Inspection::damaged() const {
  for (const InspectItem& item : items) {
    if (!item.problem.empty()) return true;
  }
  return false;
}

std::string Inspection::Text() const {
  std::string text;
  for (const InspectItem& item : items) {
    if (!item.file.empty()) absl::StrAppend(&text, item.file, ":", item.offset, ": ");
    absl::StrAppend(&text, item.what);
    for (const auto& [name, value] : item.fields) {
      absl::StrAppend(&text, " ", name, " ");
      if (const auto* number = std::get_if<uint64_t>(&value)) {
        absl::StrAppend(&text, *number);
      } else if (const auto* words = std::get_if<std::string>(&value)) {
        absl::StrAppend(&text, *words);
      } else {
        absl::StrAppend(&text, std::get<bool>(value) ? "yes" : "no");
      }
    }
    if (!item.problem.empty()) absl::StrAppend(&text, " BAD ", item.problem);
    absl::StrAppend(&text, "\n");
  }
  return text;
}

absl::StatusOr<Inspection> InspectIdentity(Disk& disk) {
  absl::StatusOr<Identity> identity = TheIdentity(disk);
  if (!identity.ok()) return identity.status();
  Inspection out;
  const std::optional<Slot> slot = TheSlot(disk, IdentityFile(), &out);
  Fields fields = {{"cluster", ToHex(identity->cluster)},
                   {"node", identity->node},
                   {"incarnation", identity->incarnation},
                   {"group", identity->group}};
  if (slot && DecodeIdentity(slot->payload)) {
    fields.emplace_back("created-ms", identity->created_ms);
  } else {
    fields.emplace_back("as-said-by", std::string("the log"));
  }
  Add(&out, "identity", 0, "identity", std::move(fields));
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
    AddBad(&out, "vote", "vote", "impossible values");
    return out;
  }
  Add(&out, "vote", 0, "vote",
      {{"term", vote->hard_state.term},
       {"for", vote->hard_state.vote},
       {"node", vote->node},
       {"incarnation", vote->incarnation},
       {"generation", slot->generation}});
  if (vote->node != identity->node || vote->incarnation != identity->incarnation) {
    AddBad(&out, "vote", "vote", "of another life of this disk");
  }
  return out;
}

absl::StatusOr<Inspection> InspectLog(Disk& disk, const InspectOptions& options) {
  absl::StatusOr<Identity> identity = TheIdentity(disk);
  if (!identity.ok()) return identity.status();
  absl::StatusOr<std::vector<std::string>> names = disk.List();
  if (!names.ok()) return names.status();
  Inspection out;
  AddMarks(disk, identity->cluster, &out);
  // Where each segment is sealed is in the header of the next one.
  std::map<uint64_t, uint64_t> sealed;
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id || name != SegmentName(*id)) continue;
    absl::StatusOr<LoadedSegment> loaded = LoadSegmentStart(disk, *id);
    if (loaded.ok()) sealed[loaded->header.previous_segment] = loaded->header.previous_end;
  }
  for (const std::string& name : *names) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id) continue;
    if (name != SegmentName(*id)) {
      Add(&out, name, 0, "unfinished", {});
      continue;
    }
    const auto seal = sealed.find(*id);
    absl::StatusOr<LoadedSegment> loaded =
        LoadSegment(disk, *id, seal == sealed.end() ? UINT64_MAX : seal->second);
    if (loaded.ok()) {
      AddSegment(*loaded, options, &out);
    } else {
      AddBad(&out, name, "segment", loaded.status().message());
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
  const std::optional<Manifest> manifest = TheManifest(disk, identity->cluster, &out);
  std::string current;
  if (manifest) {
    Fields fields = SnapshotFields(manifest->snapshot);
    fields.emplace_back("log-from", SegmentName(manifest->first_segment));
    Add(&out, "manifest", 0, "manifest", std::move(fields));
    current = SnapshotName(manifest->snapshot.meta.index, manifest->snapshot.source);
    if (std::find(names->begin(), names->end(), current) == names->end()) {
      AddBad(&out, current, "snapshot", "missing, and the manifest names it");
    }
  }
  for (const std::string& name : *names) {
    if (!IsSnapshotName(name)) continue;
    if (absl::EndsWith(name, ".tmp")) {
      Add(&out, name, 0, "unfinished", {});
      continue;
    }
    absl::StatusOr<SnapshotFile> file = SnapshotFile::Open(disk, name, identity->cluster);
    if (!file.ok()) {
      AddBad(&out, name, "snapshot", file.status().message());
      continue;
    }
    Fields fields = SnapshotFields(file->info());
    fields.emplace_back("chunks", file->chunks());
    fields.emplace_back("of", uint64_t{file->header().chunk_bytes});
    const bool other = name == current && file->info() != manifest->snapshot;
    Add(&out, name, 0, "snapshot", std::move(fields),
        other ? "not the snapshot that the manifest names" : "");
    if (options.verify_snapshots) VerifyChunks(*file, name, &out);
  }
  return out;
}

absl::StatusOr<Inspection> InspectAll(Disk& disk) {
  absl::StatusOr<Identity> identity = TheIdentity(disk);
  if (!identity.ok()) return identity.status();
  InspectOptions options;
  options.verify_snapshots = true;
  options.show_entries = false;
  Inspection all;
  auto add = [&all](absl::StatusOr<Inspection> part) {
    if (!part.ok()) return part.status();
    for (InspectItem& item : part->items) all.items.push_back(std::move(item));
    return absl::OkStatus();
  };
  absl::Status status = add(InspectIdentity(disk));
  if (status.ok()) status = add(InspectVote(disk));
  if (status.ok()) status = add(InspectSnapshots(disk, options));
  if (status.ok()) status = add(InspectLog(disk, options));
  if (!status.ok()) return status;
  AddDecisions(disk, &all);
  return all;
}

}  // namespace raftkv::storage
