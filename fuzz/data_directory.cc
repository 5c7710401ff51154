// A whole data directory in hostile hands: what a start makes of it, and what raftkv-inspect says.
//
// The input chooses one of three directories that the program has written, and edits it: bytes and
// pieces of files, whole files, sectors that cannot be read. Then, if it chose so, all checksums
// are made right, and numbers of its own are in records that are believed.
//
// Always: nothing crashes; inspection writes nothing and foretells the start; a refusal names
// directory and file, is the same every time, and writes nothing that would change it; what was
// recovered is a log, can be used, and is found again; the vote is that of the directory's owner.
// With checksums as they were: everything that comes back was written once; the start is refused
// only if identity, vote or manifest has no good copy, and names the one; and as long as the marks
// are there and no file is an old one, nothing acknowledged is missing without a suspicion or a
// damage that covers it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/raft/check.h"
#include "fuzz/allocations.h"
#include "fuzz/fuzz_input.h"
#include "fuzz/seals.h"
#include "fuzz/slot_oracle.h"
#include "storage/checksum.h"
#include "storage/encoding.h"
#include "storage/inspect.h"
#include "storage/log.h"
#include "storage/log_format.h"
#include "storage/records.h"
#include "storage/reserve.h"
#include "storage/snapshot_store.h"
#include "storage/storage.h"

namespace raftkv::storage {
namespace {

constexpr ClusterId kCluster{0x0123456789abcdef, 0xfedcba9876543210};
constexpr Identity kIdentity{kCluster, 3, 1, 0, 1700};

using Files = std::map<std::string, std::string>;

Options SmallOptions() {
  Options options;
  options.segment_bytes = 8192;
  options.block_bytes = 512;
  options.zero_ahead_bytes = 512;
  options.snapshot_chunk_bytes = 64;
  return options;
}

struct EntryId {
  raft::Index index = 0;
  raft::Term term = 0;
  auto operator<=>(const EntryId&) const = default;
};

// What a disk held, and everything that it ever held.
struct History {
  Files files;
  Files older;        // as they were at some time before, also those that are gone
  raft::Entries log;  // behind the snapshot
  SnapshotInfo snapshot;
  raft::HardState hard_state;
  std::set<std::pair<raft::Term, raft::NodeId>> hard_states;
  std::map<EntryId, raft::Entry> entries;
  std::map<raft::Index, std::string> states;  // of snapshots
  // Where the last batch is, and what it holds.
  std::string last_segment;
  uint64_t last_batch = 0;
  uint64_t last_batch_end = 0;
  raft::Index last_batch_index = 0;

  EntryId last() const {
    if (log.empty()) return {snapshot.meta.index, snapshot.meta.term};
    return {log.back().index, log.back().term};
  }
};

Files FilesOf(sim::SimDisk& disk) {
  Files files;
  const std::vector<std::string> names = *disk.List();
  for (const std::string& name : names) {
    if (name == kReserveName) continue;
    std::unique_ptr<File> file = *disk.Open(name, Disk::Mode::kRead);
    std::string bytes(*file->Size(), '\0');
    RAFTKV_CHECK(*file->Read(0, bytes.data(), bytes.size()) == bytes.size());
    files[name] = std::move(bytes);
  }
  return files;
}

// One life of a node's disk, written down as it goes.
class Life {
 public:
  Life() {
    const Founding founding{{1, 1, {{1, 2, 3}, {}, {}, {}, false}}, "founding state"};
    RAFTKV_CHECK(Storage::Init(disk_, kIdentity, founding).ok());
    history_.states[1] = founding.state;
    Wrote({1, raft::kNoNode});
    Restart();
    history_.snapshot = storage_->current_snapshot();
  }
  void Restart() {
    storage_.reset();
    disk_.ProcessCrash();
    absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(disk_, SmallOptions());
    RAFTKV_CHECK(opened.ok());
    storage_ = *std::move(opened);
    (void)storage_->TakeRecovered();
  }
  void Vote(raft::Term term, raft::NodeId vote) {
    raft::PersistJob job;
    job.hard_state = raft::HardState{term, vote};
    RAFTKV_CHECK(storage_->Persist(job).ok());
    Wrote(*job.hard_state);
  }
  // Entries of the current term with payloads of these lengths, behind `keep`.
  void Append(raft::Index keep, const std::vector<size_t>& lengths, raft::Index commit) {
    raft::PersistJob job;
    job.writes_log = true;
    job.keep_through = keep;
    job.commit = commit;
    std::erase_if(history_.log, [keep](const raft::Entry& entry) { return entry.index > keep; });
    for (const size_t length : lengths) {
      job.entries.push_back(Make(++keep, length));
      history_.log.push_back(job.entries.back());
    }
    RAFTKV_CHECK(storage_->Persist(job).ok());
  }
  void TakeSnapshot(raft::Index index, raft::Term term, const std::string& state) {
    const raft::SnapshotMeta meta{index, term, {{1, 2, 3}, {}, {4}, {}, false}};
    WriteSnapshot(SnapshotSource::kLocal, meta, state);
    RAFTKV_CHECK(storage_->SwitchSnapshot(meta).ok());
    std::erase_if(history_.log, [&](const raft::Entry& entry) { return entry.index <= index; });
    history_.snapshot = storage_->current_snapshot();
  }
  void Install(raft::Index index, const std::string& state, size_t length) {
    const raft::SnapshotMeta meta{index, history_.hard_state.term, {{1, 2, 3}, {}, {}, {}, false}};
    WriteSnapshot(SnapshotSource::kReceived, meta, state);
    raft::PersistJob job;
    job.snapshot = meta;
    job.commit = job.keep_through = index;
    job.writes_log = true;
    job.entries = {Make(index + 1, length)};
    RAFTKV_CHECK(storage_->Persist(job).ok());
    history_.log = job.entries;
    history_.snapshot = storage_->current_snapshot();
  }
  void Remember() { history_.older = FilesOf(disk_); }
  History End() {
    storage_.reset();
    history_.files = FilesOf(disk_);
    for (const auto& [name, bytes] : history_.files) {
      const std::optional<uint64_t> id = ParseSegmentName(name);
      if (!id) continue;
      const absl::StatusOr<FoundHeader> found = FindSegmentHeader(bytes, *id);
      RAFTKV_CHECK(found.ok());
      SegmentReader reader(bytes, found->header, bytes.size());
      while (reader.Next() == SegmentReader::Step::kBatch) {
        history_.last_segment = name;
        history_.last_batch = reader.begin();
        history_.last_batch_end = reader.offset();
        history_.last_batch_index = reader.batch().keep_through + 1;
      }
    }
    return std::move(history_);
  }

 private:
  void Wrote(const raft::HardState& hard_state) {
    history_.hard_state = hard_state;
    history_.hard_states.insert({hard_state.term, hard_state.vote});
  }
  raft::Entry Make(raft::Index index, size_t length) {
    const raft::Term term = history_.hard_state.term;
    std::string payload(length, static_cast<char>('a' + index % 26));
    if (!payload.empty()) payload[0] = static_cast<char>(term);
    raft::Entry entry{term, index, raft::Payload::Copy(payload), raft::EntryType::kCommand};
    // Two entries of one index and one term are the same.
    RAFTKV_CHECK(history_.entries.insert({{index, term}, entry}).second);
    return entry;
  }
  void WriteSnapshot(SnapshotSource source, const raft::SnapshotMeta& meta,
                     const std::string& state) {
    RAFTKV_CHECK(storage_->BeginSnapshot(source, meta).ok());
    RAFTKV_CHECK(storage_->AppendSnapshot(source, 0, state).ok());
    while (!(*storage_->FinishSnapshot(source)).has_value()) {
    }
    history_.states[meta.index] = state;
  }

  sim::SimDisk disk_{sim::SimDisk::Options{}};
  std::unique_ptr<Storage> storage_;
  History history_;
};

History Fresh() {
  Life life;
  return life.End();
}

// Three segments, entries that replaced others, batches of several blocks.
History Grown() {
  Life life;
  life.Vote(2, 3);
  life.Append(1, {0, 9, 600}, 1);
  life.Vote(3, 2);
  life.Append(3, {700}, 2);
  life.TakeSnapshot(2, 2, std::string(150, 's') + "of entry 2");
  life.Remember();
  life.Restart();
  life.Vote(4, 1);
  life.Append(3, {40, 1100}, 3);
  life.Append(5, {3}, 4);
  life.Restart();
  life.Append(6, {20}, 5);
  life.Append(7, {30, 500}, 7);
  return life.End();
}

// The log began anew behind a snapshot that another node sent.
History Installed() {
  Life life;
  life.Vote(2, 0);
  life.Append(1, {10, 10}, 1);
  life.Remember();
  life.Vote(4, 2);
  life.Install(20, std::string(200, 'r'), 7);
  life.Append(21, {600, 8}, 20);
  life.Vote(5, 1);
  life.Append(22, {9}, 21);
  return life.End();
}

const History& HistoryOf(uint8_t number) {
  static const auto* const histories = new std::vector<History>{Grown(), Installed(), Fresh()};
  return (*histories)[number % histories->size()];
}

// ---- The directory that the input makes of it ----

struct Directory {
  Files files;
  std::vector<sim::ReadError> unreadable;
  bool sealed = false;  // checksums were made right
  bool stale = false;   // a file is one of before

  std::unique_ptr<sim::SimDisk> Disk() const {
    auto disk = std::make_unique<sim::SimDisk>(sim::SimDisk::Options{});
    for (const auto& [name, bytes] : files) PutFile(*disk, name, bytes);
    for (const sim::ReadError& error : unreadable) (void)disk->Inject(error);
    return disk;
  }
  bool Unreadable(absl::string_view file) const {
    return std::any_of(unreadable.begin(), unreadable.end(),
                       [&](const sim::ReadError& error) { return error.at.file == file; });
  }
};

std::string AnyName(uint8_t which) {
  constexpr absl::string_view kNames[] = {"identity.tmp", "vote.tmp", "manifest.tmp", "marks.tmp",
                                          "vote",         "marks",    "manifest",     "stranger"};
  switch (which % 4) {
    case 0:
      return std::string(kNames[which / 4 % 8]);
    case 1:
      return SnapshotName(which / 4,
                          which % 8 < 4 ? SnapshotSource::kLocal : SnapshotSource::kReceived);
    case 2:
      return absl::StrFormat("log-%016x%s", which / 8, which % 8 < 4 ? "" : ".tmp");
    default:
      return absl::StrFormat("log-%016x", EdgeNumber(which / 4));
  }
}

void EditDirectory(const History& history, FuzzInput& input, Directory* directory) {
  Files& files = directory->files;
  for (int i = 0; i < 64 && !input.empty() && !files.empty(); ++i) {
    const uint8_t what = input.U8();
    auto file = std::next(files.begin(), what / 16 % static_cast<int>(files.size()));
    switch (what % 16) {
      case 0:
        return;
      case 1:
        files.erase(file);
        break;
      case 2: {
        std::string bytes = std::move(file->second);
        files.erase(file);
        files[AnyName(input.U8())] = std::move(bytes);
        break;
      }
      case 3:
        std::next(files.begin(), input.U8() % static_cast<int>(files.size()))->second =
            file->second;
        break;
      case 4: {
        if (history.older.empty()) break;
        const auto older =
            std::next(history.older.begin(), what / 16 % static_cast<int>(history.older.size()));
        directory->stale |= files[older->first] != older->second;
        files[older->first] = older->second;
        break;
      }
      case 5: {
        const uint64_t offset = input.U16();
        directory->unreadable.push_back({{file->first, offset, 1 + uint64_t{input.U8()} * 16}});
        break;
      }
      case 6: {  // a number where one of 8 or 4 bytes is; of no use without checksums
        const uint64_t at = input.U16() / 4 * 4;
        const uint64_t number = EdgeNumber(input.U8());
        if (!directory->sealed) break;
        for (size_t b = 0; b < (what < 128 ? 8 : 4) && at + b < file->second.size(); ++b) {
          file->second[at + b] = static_cast<char>(number >> (8 * b));
        }
        break;
      }
      case 7: {
        const absl::string_view bytes = input.Bytes(input.U8());
        const size_t at = input.U16();
        if (!directory->sealed || at > file->second.size()) break;
        file->second.replace(at, bytes.size(), bytes.data(), bytes.size());
        break;
      }
      default:
        (void)Edit(input, &file->second);
        break;
    }
  }
}

SlotFile MarksFile() {
  return {"marks", absl::string_view("RKVMARK\n", 8), FileSeed(kCluster, FileKind::kMarks, 0)};
}

void SealAll(Files* files) {
  for (auto& [name, bytes] : *files) {
    for (const SlotFile& file :
         {IdentityFile(), VoteFile(kCluster), ManifestFile(kCluster), MarksFile()}) {
      if (name == file.name) SealSlots(file, &bytes);
    }
    if (absl::StartsWith(name, "log-")) SealSegment(&bytes);
    if (absl::StartsWith(name, "snapshot-")) SealSnapshot(&bytes);
  }
}

// ---- What must hold ----

struct Start {
  absl::Status status;
  Recovered found;
  std::unique_ptr<Storage> storage;
};

Start Open(sim::SimDisk& disk) {
  Start start;
  absl::StatusOr<std::unique_ptr<Storage>> opened = Storage::Open(disk, SmallOptions());
  start.status = opened.status();
  if (!opened.ok()) return start;
  start.storage = *std::move(opened);
  start.found = start.storage->TakeRecovered();
  return start;
}

// A suspicion that the log itself meets is none, and the next start does not carry it on.
std::optional<raft::Suspicion> Promise(const Recovered& found) {
  EntryId last{found.snapshot.meta.index, found.snapshot.meta.term};
  if (!found.entries.empty()) last = {found.entries.back().index, found.entries.back().term};
  if (found.suspicion && raft::UpToDate(last.index, last.term, *found.suspicion)) {
    return std::nullopt;
  }
  return found.suspicion;
}

bool SameState(const Recovered& one, const Recovered& other) {
  return one.identity == other.identity && one.hard_state == other.hard_state &&
         one.commit == other.commit && one.snapshot == other.snapshot &&
         one.snapshot_damaged == other.snapshot_damaged && one.entries == other.entries &&
         Promise(one) == Promise(other) && one.damage == other.damage;
}

// The copy that counts, as far as a file alone can say.
std::optional<Slot> GoodCopy(const Directory& directory, const SlotFile& file) {
  const auto found = directory.files.find(file.name);
  if (found == directory.files.end()) return std::nullopt;
  std::optional<Slot> slots[2];
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}}) {
    const uint64_t offset = number * kSlotBytes;
    if (found->second.size() < offset) continue;
    const absl::StatusOr<Slot> slot =
        DecodeSlot(file, offset, absl::string_view(found->second).substr(offset, kSlotBytes));
    if (slot.ok()) slots[number] = *slot;
  }
  if (!slots[0] || !slots[1]) return slots[0] ? slots[0] : slots[1];
  if (slots[0]->generation != slots[1]->generation) {
    return slots[slots[0]->generation > slots[1]->generation ? 0 : 1];
  }
  // Only a stale copy can be of the same generation and differ.
  return *slots[0] == *slots[1] ? slots[0] : std::nullopt;
}

std::vector<SlotFile> Records() {
  return {IdentityFile(), VoteFile(kCluster), ManifestFile(kCluster)};
}

void CheckRefusal(const Directory& directory, sim::SimDisk& disk, const absl::Status& status) {
  absl::string_view text = status.message();
  RAFTKV_CHECK(absl::StartsWith(text, disk.Describe()));
  const bool identity = directory.files.count("identity") > 0;
  if (absl::IsNotFound(status)) {
    RAFTKV_CHECK(!identity && absl::StrContains(text, "never initialised"));
    return;
  }
  RAFTKV_CHECK(absl::IsDataLoss(status) || (directory.sealed && absl::IsUnimplemented(status)));
  if (!identity) {
    RAFTKV_CHECK(absl::StrContains(text, "no identity") ||
                 absl::StrContains(text, "identity is missing"));
    return;
  }
  RAFTKV_CHECK(absl::ConsumePrefix(&text, absl::StrCat(disk.Describe(), "/")));
  const size_t end = text.find(": ");
  RAFTKV_CHECK(end != absl::string_view::npos && text.size() > end + 2);
  const absl::string_view name = text.substr(0, end);
  bool known = name == "marks" || IsSnapshotName(name) || ParseSegmentName(name).has_value();
  for (const SlotFile& file : Records()) {
    if (name != file.name) continue;
    known = true;
    // Not one that is as it should be.
    const bool as_written =
        !directory.sealed && !directory.stale && !directory.Unreadable(file.name);
    RAFTKV_CHECK(!as_written || !GoodCopy(directory, file));
  }
  RAFTKV_CHECK(known);
}

// What another node promised, or this one in another life, is no promise of this one.
void CheckVoteIsOfTheOwner(const Directory& directory, const Identity& owner) {
  if (directory.Unreadable("vote")) return;
  const std::optional<Slot> vote = GoodCopy(directory, VoteFile(owner.cluster));
  RAFTKV_CHECK(vote && vote->payload.size() == 40);
  constexpr size_t kWhose = 16;  // docs/formats/vote.md
  std::string expected;
  for (const uint64_t number : {owner.node, owner.incarnation, owner.group})
    PutU64(expected, number);
  RAFTKV_CHECK(vote->payload.substr(kWhose) == expected);
}

// It is a log, whoever wrote it.
void CheckShape(const Recovered& found) {
  raft::Index last = found.snapshot.meta.index;
  for (const raft::Entry& entry : found.entries) RAFTKV_CHECK(entry.index == ++last);
  RAFTKV_CHECK(last <= raft::kMaxTermOrIndex);
  RAFTKV_CHECK(found.commit >= found.snapshot.meta.index && found.commit <= last);
  RAFTKV_CHECK(!(found.suspicion && found.damage));
  for (const RecoveryEvent& event : found.events) {
    RAFTKV_CHECK(!event.file.empty() && !event.text.empty());
    const bool of_bytes = event.kind == RecoveryEvent::Kind::kUnreadable ||
                          event.kind == RecoveryEvent::Kind::kSlotRepaired ||
                          event.kind == RecoveryEvent::Kind::kTailRewritten;
    RAFTKV_CHECK(!of_bytes || event.bytes > 0);
  }
  if (!found.damage) return;
  std::set<raft::Index> all;
  for (const raft::DamagedEntry& entry : found.damage->bad) all.insert(entry.index);
  RAFTKV_CHECK(*all.begin() == last + 1);
  for (const raft::Entry& entry : found.damage->intact) all.insert(entry.index);
  RAFTKV_CHECK(all.size() == found.damage->bad.size() + found.damage->intact.size());
  RAFTKV_CHECK(*all.rbegin() == last + all.size());
}

// Nothing comes back that was not written.
void CheckWritten(const History& history, const Recovered& found) {
  RAFTKV_CHECK(found.identity == kIdentity);
  RAFTKV_CHECK(history.hard_states.count({found.hard_state.term, found.hard_state.vote}) > 0);
  RAFTKV_CHECK(history.states.count(found.snapshot.meta.index) > 0);
  RAFTKV_CHECK(found.snapshot.size == history.states.at(found.snapshot.meta.index).size());
  const auto check = [&](const raft::Entry& entry) {
    const auto written = history.entries.find({entry.index, entry.term});
    RAFTKV_CHECK(written != history.entries.end() && written->second == entry);
  };
  for (const raft::Entry& entry : found.entries) check(entry);
  if (!found.damage) return;
  for (const raft::Entry& entry : found.damage->intact) check(entry);
  for (const raft::DamagedEntry& bad : found.damage->bad) {
    RAFTKV_CHECK(bad.term == 0 || history.entries.count({bad.index, bad.term}) > 0 ||
                 bad.index > history.last().index);
  }
}

// What was acknowledged is there, or is named.
void CheckNothingIsLostInSilence(const History& history, const Recovered& found) {
  RAFTKV_CHECK(found.hard_state == history.hard_state && found.snapshot == history.snapshot);
  if (!found.damage && found.entries == history.log) return;
  const EntryId last = history.last();
  std::optional<raft::Suspicion> promised = found.suspicion;
  if (found.damage) promised = found.damage->last;
  RAFTKV_CHECK(promised.has_value());
  RAFTKV_CHECK(raft::UpToDate(promised->index, promised->term,
                              {last.index, last.term, raft::Suspicion::Evidence::kProven}));
}

// "First bad checksum: truncate" promises what it has cut off, and loses what others could have had
// from here: what is intact behind something bad is kept.
void CheckReadableIsKept(const History& history, const Directory& directory,
                         const Recovered& found) {
  const auto file = directory.files.find(history.last_segment);
  if (file == directory.files.end() || directory.Unreadable(file->first)) return;
  const std::string& before = history.files.at(file->first);
  const auto same = [&](uint64_t from, uint64_t to) {
    return file->second.size() >= to &&
           file->second.compare(from, to - from, before, from, to - from) == 0;
  };
  if (!same(0, 1024) || !same(history.last_batch, history.last_batch_end)) return;
  std::set<EntryId> kept;
  for (const raft::Entry& entry : found.entries) kept.insert({entry.index, entry.term});
  if (found.damage) {
    for (const raft::Entry& entry : found.damage->intact) kept.insert({entry.index, entry.term});
  }
  for (const raft::Entry& entry : history.log) {
    if (entry.index < history.last_batch_index) continue;
    RAFTKV_CHECK(kept.count({entry.index, entry.term}) > 0);
  }
}

void CheckInspection(const Inspection& all, const Start& start) {
  const InspectItem& verdict = all.items.back();
  RAFTKV_CHECK(verdict.what == "start");
  const bool refused = absl::StartsWith(verdict.problem, "refused");
  RAFTKV_CHECK(refused == !start.status.ok());
  for (const InspectItem& item : all.items) {
    RAFTKV_CHECK(!item.what.empty() && (!item.file.empty() || item.what == "start"));
  }
  if (refused) return;
  const Recovered& found = start.found;
  RAFTKV_CHECK(verdict.problem.empty() == (!found.suspicion && !found.damage));
  std::vector<std::tuple<std::string, uint64_t, std::string>> said;
  for (const InspectItem& item : all.items) {
    if (item.what != "event") continue;
    said.emplace_back(item.file, item.offset, std::get<std::string>(item.fields.back().second));
  }
  std::vector<std::tuple<std::string, uint64_t, std::string>> done;
  for (const RecoveryEvent& event : found.events) {
    using Kind = RecoveryEvent::Kind;
    if (event.kind == Kind::kSlotRepaired || event.kind == Kind::kMarksLost ||
        event.kind == Kind::kLeftoverRemoved) {
      continue;
    }
    done.emplace_back(event.file, event.offset, event.text);
  }
  RAFTKV_CHECK(said == done);
}

// Everything that raftkv-inspect shows of it.
absl::StatusOr<Inspection> Inspect(sim::SimDisk& disk) {
  const uint64_t content = disk.ContentHash();
  absl::StatusOr<Inspection> all = InspectAll(disk);
  InspectOptions options;
  options.verify_snapshots = true;
  for (const absl::StatusOr<Inspection>& part :
       {InspectIdentity(disk), InspectVote(disk), InspectSnapshots(disk, options),
        InspectLog(disk, options)}) {
    RAFTKV_CHECK(part.ok() == all.ok());
    RAFTKV_CHECK(!part.ok() || !part->Text().empty());
  }
  RAFTKV_CHECK(all.ok() || absl::IsNotFound(all.status()));
  RAFTKV_CHECK(disk.ContentHash() == content);
  return all;
}

// Reads the snapshot through: the bytes that were written, or an error.
void CheckSnapshot(const History& history, const Directory& directory, Start* start) {
  const SnapshotInfo& info = start->found.snapshot;
  if (start->found.snapshot_damaged || info.size > 4096) return;
  const absl::StatusOr<std::string> state =
      start->storage->ReadSnapshot(info.meta.index, 0, info.size);
  RAFTKV_CHECK(state.ok() ? state->size() == info.size : absl::IsDataLoss(state.status()));
  if (directory.sealed || !state.ok()) return;
  RAFTKV_CHECK(*state == history.states.at(info.meta.index));
}

// What the node would do next: settle, read everything, write. Returns the log that must be found.
raft::Entries GoOn(Start* start) {
  Storage& storage = *start->storage;
  raft::Entries log = start->found.entries;
  if (start->found.damage) {
    RAFTKV_CHECK(!storage.Persist({}).ok());
    RAFTKV_CHECK(storage.Settle({}, start->found.damage->last).ok());
  }
  const raft::Term term =
      std::max<raft::Term>(1, log.empty() ? start->found.snapshot.meta.term : log.back().term);
  raft::PersistJob job;
  job.writes_log = true;
  job.keep_through = storage.last_index();
  if (job.keep_through < raft::kMaxTermOrIndex) {
    job.entries = {{term, job.keep_through + 1, raft::Payload::Copy("the next one"),
                    raft::EntryType::kCommand}};
    log.push_back(job.entries.front());
  }
  const absl::Status status = storage.Persist(job);
  // A sector that cannot be read may refuse what is written into it.
  RAFTKV_CHECK(status.ok());
  for (int i = 0; i < 1000; ++i) {
    const absl::StatusOr<ScrubStep> step = storage.Scrub();
    RAFTKV_CHECK(step.ok());
    for (const ScrubFinding& finding : step->findings) {
      RAFTKV_CHECK(!finding.file.empty() && !finding.text.empty());
    }
    if (step->finished) return log;
  }
  RAFTKV_CHECK(false);
  return log;
}

// With RAFTKV_FUZZ_PRINT set: what the directory is, and what a start made of it.
void Print(const Directory& directory, const absl::StatusOr<Inspection>& inspection,
           const Start& start) {
  if (std::getenv("RAFTKV_FUZZ_PRINT") == nullptr) return;
  for (const auto& [name, bytes] : directory.files) {
    std::fprintf(stderr, "%s: %zu bytes\n", name.c_str(), bytes.size());
  }
  for (const sim::ReadError& error : directory.unreadable) {
    std::fprintf(stderr, "%s\n", sim::Describe(sim::DiskFault(error)).c_str());
  }
  const std::string text =
      inspection.ok() ? inspection->Text() : inspection.status().ToString() + "\n";
  std::fprintf(stderr, "checksums %s\n%sopen: %s\n", directory.sealed ? "made right" : "as found",
               text.c_str(), start.status.ToString().c_str());
  for (const RecoveryEvent& event : start.found.events) {
    std::fprintf(stderr, "%s:%s: %s bytes: %s\n", event.file.c_str(),
                 absl::StrCat(event.offset).c_str(), absl::StrCat(event.bytes).c_str(),
                 event.text.c_str());
  }
}

void Check(const History& history, const Directory& directory, bool edited) {
  const std::unique_ptr<sim::SimDisk> disk = directory.Disk();
  const absl::StatusOr<Inspection> inspection = Inspect(*disk);
  const std::unique_ptr<sim::SimDisk> twin = disk->Clone();

  uint64_t there = 0;
  for (const auto& [name, bytes] : directory.files) there += bytes.size();
  const AllocationWatch watch;
  const absl::StatusOr<Recovered> foretold = Storage::Explain(*disk, SmallOptions());
  Start start = Open(*disk);
  RAFTKV_CHECK(foretold.status() == start.status);
  RAFTKV_CHECK(!foretold.ok() || SameState(*foretold, start.found));
  // Entries that are said to be missing although no bytes are have a limit, and so has a segment
  // that is not there; docs/formats/log.md.
  constexpr uint64_t kNamed = 4 * uint64_t{65'536} * sizeof(raft::Entry);
  const uint64_t largest = watch.largest();
  if (!directory.sealed) RAFTKV_CHECK(largest <= 8 * there + kNamed);

  Print(directory, inspection, start);
  const Start same = Open(*twin);
  RAFTKV_CHECK(start.status == same.status && SameState(start.found, same.found));
  RAFTKV_CHECK(start.found.events == same.found.events);
  RAFTKV_CHECK(disk->ContentHash() == twin->ContentHash());
  if (inspection.ok()) CheckInspection(*inspection, start);

  bool good = true;
  bool slots_readable = true;
  for (const SlotFile& file : Records()) {
    good &= GoodCopy(directory, file).has_value();
    slots_readable &= !directory.Unreadable(file.name);
  }
  // So far no log gets, and so a start does not go on behind it.
  const bool far = directory.files.count(SegmentName(raft::kMaxTermOrIndex)) > 0 ||
                   directory.files.count(SegmentName(raft::kMaxTermOrIndex - 1)) > 0;
  if (!directory.sealed && !directory.stale && slots_readable && !far) {
    RAFTKV_CHECK(start.status.ok() == good);
  }
  if (!start.status.ok()) {
    RAFTKV_CHECK(edited);
    CheckRefusal(directory, *disk, start.status);
    RAFTKV_CHECK(Open(*disk).status == start.status);
    return;
  }
  RAFTKV_CHECK(inspection.ok());
  CheckShape(start.found);
  CheckVoteIsOfTheOwner(directory, start.found.identity);
  if (!directory.sealed) CheckWritten(history, start.found);
  const auto marks = directory.files.find("marks");
  const bool marked = marks != directory.files.end() && !directory.Unreadable("marks") &&
                      marks->second == history.files.at("marks");
  if (!directory.sealed && !directory.stale && marked) {
    CheckNothingIsLostInSilence(history, start.found);
    CheckReadableIsKept(history, directory, start.found);
  }
  if (!edited) {
    RAFTKV_CHECK(start.found.entries == history.log);
    // The snapshot before the current one is kept until a start, for transfers.
    for (const RecoveryEvent& event : start.found.events) {
      RAFTKV_CHECK(event.kind == RecoveryEvent::Kind::kLeftoverRemoved);
    }
  }
  CheckSnapshot(history, directory, &start);

  // A decision is made once: the next start finds the same, and has nothing to decide.
  start.storage.reset();
  disk->ProcessCrash();
  Start again = Open(*disk);
  RAFTKV_CHECK(again.status.ok() && SameState(start.found, again.found));
  for (const RecoveryEvent& event : again.found.events) {
    using Kind = RecoveryEvent::Kind;
    RAFTKV_CHECK(start.found.damage ||
                 (event.kind != Kind::kTornTail && event.kind != Kind::kTailLost &&
                  event.kind != Kind::kTailRewritten));
    RAFTKV_CHECK(event.kind != Kind::kSlotRepaired && event.kind != Kind::kMarksLost);
  }
  const raft::Entries log = GoOn(&again);
  again.storage.reset();
  const std::unique_ptr<sim::SimDisk> durable = disk->DurableImage();
  const Start last = Open(*durable);
  RAFTKV_CHECK(last.status.ok() && last.found.entries == log && !last.found.damage);
}

}  // namespace
}  // namespace raftkv::storage

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raftkv::storage;
  raftkv::FuzzInput input(data, size);
  const uint8_t first = input.U8();
  const History& history = HistoryOf(first);
  Directory directory;
  directory.files = history.files;
  directory.sealed = first >= 128;
  EditDirectory(history, input, &directory);
  if (directory.sealed) SealAll(&directory.files);
  Check(history, directory, directory.files != history.files || !directory.unreadable.empty());
  return 0;
}
