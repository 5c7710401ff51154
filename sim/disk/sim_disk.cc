#include "sim/disk/sim_disk.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sim/disk/platter.h"

namespace raftkv::sim {

class SimDisk::OpenFile final : public storage::File {
 public:
  OpenFile(std::shared_ptr<Platter> platter, std::shared_ptr<Inode> inode, std::string name,
           Mode mode)
      : platter_(std::move(platter)),
        inode_(std::move(inode)),
        name_(std::move(name)),
        mode_(mode),
        epoch_(platter_->epoch) {}

  absl::StatusOr<size_t> Read(uint64_t offset, char* buffer, size_t length) override {
    const absl::StatusOr<storage::Bytes> bytes = ReadBytes(offset, length);
    if (!bytes.ok()) return bytes.status();
    return absl::string_view(*bytes).copy(buffer, length);
  }

  absl::StatusOr<storage::Bytes> ReadBytes(uint64_t offset, size_t length) override {
    if (Dead()) return PowerLost();
    ++platter_->counters.reads;
    if (platter_->Strikes(Operation::kRead)) return Injected("read");
    if (const auto lie = platter_->Struck<MisdirectedRead>(name_)) {
      return ReadElsewhere(*lie, offset, length);
    }
    if (inode_->gone) return absl::DataLossError(absl::StrCat(name_, ": removed, and read"));
    if (offset >= inode_->cache.size()) return storage::Bytes();
    const uint64_t end = std::min<uint64_t>(offset + length, inode_->cache.size());
    if (platter_->Unreadable(*inode_, offset, end)) return Unreadable();
    return inode_->cache.Part(offset, end - offset);
  }

  absl::Status Write(uint64_t offset, absl::string_view bytes) override {
    absl::Status status = Begin();
    if (!status.ok() && !in_flight_) return status;
    const uint64_t end = offset + bytes.size();
    if (end > inode_->cache.size() && platter_->Full(name_, end - inode_->cache.size())) {
      return status.ok() ? Full() : status;
    }
    if (platter_->Unwritable(*inode_, offset, end)) return status.ok() ? Unreadable() : status;
    if (platter_->Refuses(name_, offset, end)) {
      ++platter_->counters.injected_write_errors;
      return status.ok() ? Injected("write") : status;
    }
    const bool ordered = platter_->Strikes(Operation::kWrite);
    const bool fails =
        platter_->random.PerMille(platter_->options.write_error_per_mille) || ordered;
    if (fails) {
      ++platter_->counters.injected_write_errors;
      bytes = bytes.substr(0, platter_->random.Below(bytes.size() + 1));
    }
    ++platter_->counters.writes;
    platter_->counters.bytes_written += bytes.size();
    platter_->Touch(*inode_, offset, offset + bytes.size());
    if (offset + bytes.size() > inode_->cache.size()) {
      platter_->Resize(*inode_, offset + bytes.size());
    }
    inode_->cache.Own().replace(offset, bytes.size(), bytes.data(), bytes.size());
    if (status.ok() && !fails) Lie(offset, bytes);
    return !status.ok() ? status : fails ? Injected("write") : absl::OkStatus();
  }

  absl::Status Sync() override {
    absl::Status status = Begin();
    if (!status.ok()) return status;
    ++platter_->counters.syncs;
    const bool ordered = platter_->Strikes(Operation::kSync);
    const bool fails = platter_->random.PerMille(platter_->options.sync_error_per_mille) || ordered;
    if (fails) {
      ++platter_->counters.injected_sync_errors;
      for (auto& [number, sector] : inode_->dirty()) {
        if (sector.lost == Sector::Lost::kNo) sector.lost = Sector::Lost::kFailedSync;
        sector.versions.clear();
      }
      return Injected("sync");
    }
    inode_->Synced();
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    absl::Status status = Begin();
    if (!status.ok() && !in_flight_) return status;
    if (status.ok() && platter_->Strikes(Operation::kTruncate)) return Injected("truncate");
    if (size > inode_->cache.size() && platter_->Full(name_, size - inode_->cache.size()))
      return Full();
    platter_->Touch(*inode_, size, inode_->cache.size());
    platter_->Resize(*inode_, size);
    return status;
  }

  absl::Status Allocate(uint64_t size) override {
    absl::Status status = Begin();
    if (!status.ok() && !in_flight_) return status;
    if (status.ok() && platter_->Strikes(Operation::kAllocate)) return Full();
    if (size > inode_->cache.size()) {
      if (platter_->Full(name_, size - inode_->cache.size())) {
        // What there was it has, as with fallocate.
        platter_->Resize(*inode_, inode_->cache.size() + platter_->FreeBytes());
        return status.ok() ? Full() : status;
      }
      platter_->Resize(*inode_, size);
    }
    return status;
  }

  absl::StatusOr<uint64_t> Size() override {
    if (Dead()) return PowerLost();
    return inode_->cache.size();
  }

  void Forget(uint64_t offset, uint64_t length) override {
    if (Dead()) return;
    if (platter_->may_forget && platter_->LiesAbout(*inode_, offset, offset + length)) {
      SimDisk(Again(), platter_).DropCache();
    }
    platter_->DropCache(*inode_, offset, offset + length);
  }

 private:
  bool Dead() const { return platter_->off || epoch_ != platter_->epoch; }

  // OK, or the error; in_flight_ tells an operation that the power loss interrupts.
  absl::Status Begin() {
    in_flight_ = false;
    if (epoch_ != platter_->epoch) return PowerLost();
    if (mode_ == Mode::kRead) {
      return absl::PermissionDeniedError(absl::StrCat(name_, ": opened for reading"));
    }
    const Platter::Gate gate = platter_->Enter();
    in_flight_ = gate == Platter::Gate::kInFlight;
    return gate == Platter::Gate::kGo ? absl::OkStatus() : PowerLost();
  }

  // What an armed lie makes of the write that has just been done.
  void Lie(uint64_t offset, absl::string_view bytes) {
    const uint64_t end = offset + bytes.size();
    if (const auto lie = platter_->Struck<LostWrite>(name_)) {
      if (platter_->Lose(*inode_, offset, end)) Count(*lie);
    }
    if (const auto lie = platter_->Struck<MisdirectedWrite>(name_)) {
      const bool lost = platter_->Lose(*inode_, offset, end);
      if (platter_->Misdirect(*lie, bytes) || lost) Count(*lie);
    }
  }

  storage::Bytes ReadElsewhere(const MisdirectedRead& lie, uint64_t offset, size_t length) {
    const std::shared_ptr<Inode> other = platter_->Find(lie.from_file);
    const uint64_t from =
        lie.from_offset / platter_->options.sector_bytes * platter_->options.sector_bytes;
    // As many bytes as the file that was meant has there: the device knows no files.
    const uint64_t size = inode_->cache.size();
    const size_t count = offset >= size ? 0 : std::min<uint64_t>(length, size - offset);
    std::string bytes;
    if (other != nullptr && from < other->cache.size()) bytes = other->cache->substr(from, count);
    bytes.resize(count, '\0');
    if (inode_->cache->compare(std::min(offset, size), count, bytes) != 0) Count(lie);
    return storage::Bytes(std::move(bytes));
  }

  void Count(const DiskFault& fault) { ++platter_->effects[fault.index()]; }

  absl::Status Unreadable() {
    ++platter_->counters.unreadable;
    return absl::DataLossError(absl::StrCat(name_, ": unreadable sector"));
  }
  absl::Status Injected(absl::string_view what) const {
    return absl::DataLossError(absl::StrCat(name_, ": injected ", what, " error"));
  }
  absl::Status Full() const {
    return absl::ResourceExhaustedError(absl::StrCat(name_, ": no space left on simulated disk"));
  }

  std::shared_ptr<Platter> platter_;
  std::shared_ptr<Inode> inode_;
  std::string name_;
  Mode mode_;
  uint64_t epoch_;
  bool in_flight_ = false;
};

class SimDisk::Held final : public storage::DirectoryLock {
 public:
  explicit Held(std::shared_ptr<Platter> platter)
      : platter_(std::move(platter)), epoch_(platter_->epoch) {
    platter_->locked = true;
  }
  ~Held() override {
    if (platter_->epoch == epoch_) platter_->locked = false;
  }

 private:
  std::shared_ptr<Platter> platter_;
  uint64_t epoch_;
};

SimDisk::SimDisk(const Options& options, Random random) : platter_(std::make_shared<Platter>()) {
  platter_->options = options;
  platter_->random = random;
}
SimDisk::SimDisk(Again, std::shared_ptr<Platter> platter) : platter_(std::move(platter)) {}
SimDisk::~SimDisk() = default;

absl::StatusOr<std::unique_ptr<storage::File>> SimDisk::Open(absl::string_view name, Mode mode) {
  if (platter_->off) return PowerLost();
  std::shared_ptr<Inode> found = platter_->Find(name);
  if (found == nullptr) return absl::NotFoundError(absl::StrCat(name, ": no file"));
  return std::make_unique<OpenFile>(platter_, std::move(found), std::string(name), mode);
}

absl::StatusOr<std::unique_ptr<storage::File>> SimDisk::Create(absl::string_view name) {
  const Platter::Gate gate = platter_->Enter();
  if (gate == Platter::Gate::kDead) return PowerLost();
  if (platter_->names.Contains(name)) {
    return absl::AlreadyExistsError(absl::StrCat(name, ": exists"));
  }
  if (platter_->Strikes(Operation::kCreate) ||
      (platter_->refusal && platter_->Full(name, /*more=*/0))) {
    return absl::ResourceExhaustedError(absl::StrCat(name, ": no space left on simulated disk"));
  }
  platter_->NamesWillChange();
  auto inode = std::make_shared<Inode>();
  Platter::Change change;
  change.emplace_back(name, inode);
  platter_->Apply(std::move(change));
  if (gate == Platter::Gate::kInFlight) return PowerLost();
  return std::make_unique<OpenFile>(platter_, std::move(inode), std::string(name),
                                    Mode::kReadWrite);
}

absl::Status SimDisk::Rename(absl::string_view from, absl::string_view to) {
  const Platter::Gate gate = platter_->Enter();
  if (gate == Platter::Gate::kDead) return PowerLost();
  std::shared_ptr<Inode> found = platter_->Find(from);
  if (found == nullptr) return absl::NotFoundError(absl::StrCat(from, ": no file"));
  if (platter_->Strikes(Operation::kRename)) {
    return absl::DataLossError(absl::StrCat(from, ": injected rename error"));
  }
  platter_->NamesWillChange();
  Platter::Change change;
  change.emplace_back(from, nullptr);
  change.emplace_back(to, std::move(found));
  platter_->Apply(std::move(change));
  return gate == Platter::Gate::kInFlight ? PowerLost() : absl::OkStatus();
}

absl::Status SimDisk::Remove(absl::string_view name) {
  const Platter::Gate gate = platter_->Enter();
  if (gate == Platter::Gate::kDead) return PowerLost();
  if (!platter_->names.Contains(name)) {
    return absl::NotFoundError(absl::StrCat(name, ": no file"));
  }
  if (platter_->Strikes(Operation::kRemove)) {
    return absl::DataLossError(absl::StrCat(name, ": injected remove error"));
  }
  platter_->NamesWillChange();
  Platter::Change change;
  change.emplace_back(name, nullptr);
  platter_->Apply(std::move(change));
  return gate == Platter::Gate::kInFlight ? PowerLost() : absl::OkStatus();
}

absl::Status SimDisk::SyncDir() {
  if (platter_->Enter() != Platter::Gate::kGo) return PowerLost();
  if (platter_->Strikes(Operation::kSyncDir)) {
    return absl::DataLossError("directory: injected sync error");
  }
  platter_->NamesWillChange();
  ++platter_->counters.dir_syncs;
  platter_->SyncNames();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SimDisk::List() {
  if (platter_->off) return PowerLost();
  std::vector<std::string> names;
  names.reserve(platter_->names.size());
  for (const auto& [name, inode] : platter_->names) names.push_back(*name);
  return names;
}

absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> SimDisk::Lock() {
  if (platter_->off) return PowerLost();
  if (platter_->locked) return absl::UnavailableError("simulated disk: already locked");
  return std::make_unique<Held>(platter_);
}

std::string SimDisk::Describe() const { return "simulated disk"; }

void SimDisk::InjectFault(Operation operation, uint64_t nth) {
  platter_->injected[operation].push_back(nth);
}
void SimDisk::CallBeforeNamesChange(std::function<void()> look) {
  platter_->before_names_change = std::move(look);
}
void SimDisk::TakeBackFaults() { platter_->injected.clear(); }
void SimDisk::Refuse(std::optional<Refusal> refusal) { platter_->refusal = std::move(refusal); }
void SimDisk::set_options(const Options& options) { platter_->options = options; }
const SimDisk::Options& SimDisk::options() const { return platter_->options; }

void SimDisk::Wipe() {
  platter_->names.Clear();
  platter_->synced_names.Clear();
  platter_->pending.clear();
  platter_->Restart();
}

const SimDisk::Counters& SimDisk::counters() const { return platter_->counters; }
const DiskFaultCounters& SimDisk::effects() const { return platter_->effects; }

bool SimDisk::HasOnlyLostPower() const {
  const Counters& happened = counters();
  return happened.injected_write_errors == 0 && happened.injected_sync_errors == 0 &&
         happened.unreadable == 0 &&
         std::all_of(effects().begin(), effects().end(), [](uint64_t count) { return count == 0; });
}

std::unique_ptr<SimDisk> SimDisk::DurableImage() const {
  auto image = std::make_unique<SimDisk>(Options{.sector_bytes = platter_->options.sector_bytes});
  for (const auto& [name, inode] : platter_->synced_names) {
    auto copy = std::make_shared<Inode>();
    copy->cache = inode->clean() && !inode->SizeDirty()
                      ? inode->cache
                      : SharedBytes(platter_->DurableBytes(*inode));
    copy->platter_size = copy->cache.size();
    copy->unreadable = Platter::DurablyUnreadable(*inode);
    image->platter_->names.Append({name, std::move(copy)});
  }
  image->platter_->synced_names = image->platter_->names;
  image->platter_->Restart();
  return image;
}

std::unique_ptr<SimDisk> SimDisk::Clone() const {
  auto clone = std::make_unique<SimDisk>(Options{.sector_bytes = platter_->options.sector_bytes});
  clone->platter_->options = platter_->options;
  clone->platter_->remembered = platter_->remembered;
  clone->platter_->names = platter_->names;
  clone->platter_->synced_names = platter_->synced_names;
  clone->platter_->pending = platter_->pending;
  // Copies of one inode stay one inode, whatever names lead to it.
  absl::flat_hash_map<const Inode*, std::shared_ptr<Inode>> copies;
  copies.reserve(platter_->names.size());
  const auto own = [&copies](auto& names) {
    for (auto& [name, inode] : names) {
      if (inode == nullptr) continue;
      std::shared_ptr<Inode>& made = copies[inode.get()];
      if (made == nullptr) {
        made = std::make_shared<Inode>(*inode);
        made->visited = 0;
      }
      inode = made;
    }
  };
  own(clone->platter_->names);
  own(clone->platter_->synced_names);
  for (Platter::Change& change : clone->platter_->pending) own(change);
  clone->platter_->Restart();
  return clone;
}

bool SimDisk::ReadsLike(const SimDisk& other) const {
  const Platter& a = *platter_;
  const Platter& b = *other.platter_;
  return a.options.sector_bytes == b.options.sector_bytes && a.names.size() == b.names.size() &&
         std::equal(a.names.begin(), a.names.end(), b.names.begin(),
                    [](const auto& one, const auto& another) {
                      const Inode& x = *one.inode;
                      const Inode& y = *another.inode;
                      return *one.name == *another.name && x.cache == y.cache && !x.HasLost() &&
                             !y.HasLost() && x.gone == y.gone && x.unreadable == y.unreadable;
                    });
}

uint64_t SimDisk::UnsyncedSectors(absl::string_view prefix) const {
  uint64_t count = 0;
  for (const auto& [name, inode] : platter_->names) {
    if (!absl::StartsWith(*name, prefix)) continue;
    count += inode->dirty().size() + (inode->SizeDirty() ? 1 : 0);
  }
  return count;
}

bool SimDisk::DirectoryDirty() const { return !platter_->pending.empty(); }

uint64_t SimDisk::used_bytes() const { return platter_->UsedBytes(); }

uint64_t SimDisk::ContentHash() const { return Platter::ContentHashOf(platter_->names); }

}  // namespace raftkv::sim
