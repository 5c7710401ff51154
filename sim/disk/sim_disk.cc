#include "sim/disk/sim_disk.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

constexpr size_t kMaxVersions = 3;  // unsynced older versions remembered per sector

absl::Status PowerLost() { return absl::AbortedError("simulated power loss"); }

}  // namespace

bool IsCrash(const absl::Status& status) { return absl::IsAborted(status); }

// A sector that reads differently from the platter, or may.
struct Sector {
  std::string platter;                // what is certain to be there
  std::vector<std::string> versions;  // written since and overwritten again before a sync
  bool lost = false;                  // a sync failed: clean in the cache, old on the platter
};

struct SimDisk::Inode {
  std::string cache;
  std::map<uint64_t, Sector> dirty;  // by sector number
  uint64_t platter_size = 0;
  std::vector<uint64_t> sizes;  // unsynced sizes before the present one
  uint64_t visited = 0;         // crash that decided about this file

  bool SizeDirty() const { return platter_size != cache.size() || !sizes.empty(); }
};

// An undecided change, and where it is.
struct SimDisk::Item {
  Undecided what;
  size_t at = 0;  // position of its file in Files(), or of the change of names in `pending`
};

struct SimDisk::Platter {
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  // One atomic change of the directory: names and what they become (null: gone).
  using Change = std::vector<std::pair<std::string, std::shared_ptr<Inode>>>;
  enum class Gate { kGo, kInFlight, kDead };

  Options options;
  Random random{0};
  Names names;
  Names synced_names;
  std::vector<Change> pending;
  Counters counters;
  std::map<Operation, std::vector<uint64_t>> injected;
  std::optional<uint64_t> budget;
  bool off = false;
  bool locked = false;
  uint64_t epoch = 1;  // handles of an older epoch are dead

  Gate Enter() {
    if (off) return Gate::kDead;
    ++counters.operations;
    if (!budget) return Gate::kGo;
    if (*budget == 0) {
      off = true;
      return Gate::kInFlight;
    }
    --*budget;
    return Gate::kGo;
  }

  // True when a fault was ordered for this very operation.
  bool Strikes(Operation operation) {
    auto found = injected.find(operation);
    if (found == injected.end()) return false;
    bool strikes = false;
    std::vector<uint64_t> left;
    for (uint64_t nth : found->second) {
      if (nth == 0) {
        strikes = true;
      } else {
        left.push_back(nth - 1);
      }
    }
    if (left.empty()) {
      injected.erase(found);
    } else {
      found->second = std::move(left);
    }
    return strikes;
  }

  void Apply(Change change) {
    Enact(change, names);
    pending.push_back(std::move(change));
  }

  static void Enact(const Change& change, Names& names) {
    for (const auto& [name, inode] : change) {
      if (inode == nullptr) {
        names.erase(name);
      } else {
        names[name] = inode;
      }
    }
  }

  bool Full(uint64_t more) {
    if (options.capacity_bytes == UINT64_MAX) return false;
    for (const auto& [name, inode] : names) more += inode->cache.size();
    if (more <= options.capacity_bytes) return false;
    ++counters.full_errors;
    return true;
  }

  // The sector as reads see it, padded with zeros behind the end of the file.
  std::string CachedSector(const Inode& inode, uint64_t number) const {
    std::string bytes;
    const uint64_t begin = number * options.sector_bytes;
    if (begin < inode.cache.size()) bytes = inode.cache.substr(begin, options.sector_bytes);
    bytes.resize(options.sector_bytes, '\0');
    return bytes;
  }

  // Call before the bytes [begin, end) change.
  void Touch(Inode& inode, uint64_t begin, uint64_t end) {
    if (begin >= end) return;
    const uint64_t last = (end - 1) / options.sector_bytes;
    for (uint64_t number = begin / options.sector_bytes; number <= last; ++number) {
      auto [at, fresh] = inode.dirty.try_emplace(number);
      Sector& sector = at->second;
      if (fresh) {
        sector.platter = CachedSector(inode, number);
      } else if (!sector.lost && sector.versions.size() < kMaxVersions) {
        sector.versions.push_back(CachedSector(inode, number));
      }
      sector.lost = false;
    }
  }

  void Resize(Inode& inode, uint64_t size) {
    if (size == inode.cache.size()) return;
    inode.sizes.push_back(inode.cache.size());
    inode.cache.resize(size, '\0');
  }

  static void Synced(Inode& inode) {
    for (auto at = inode.dirty.begin(); at != inode.dirty.end();) {
      if (at->second.lost) {
        ++at;
      } else {
        at = inode.dirty.erase(at);
      }
    }
    inode.platter_size = inode.cache.size();
    inode.sizes.clear();
  }

  // Every file that a name leads to, led to or may lead to, once, in the order of their names.
  std::vector<std::pair<std::string, Inode*>> Files() const {
    std::vector<std::pair<std::string, Inode*>> files;
    absl::flat_hash_set<const Inode*> seen;
    const auto add = [&](const std::string& name, const std::shared_ptr<Inode>& inode) {
      if (inode != nullptr && seen.insert(inode.get()).second) {
        files.emplace_back(name, inode.get());
      }
    };
    for (const auto& [name, inode] : names) add(name, inode);
    for (const auto& [name, inode] : synced_names) add(name, inode);
    for (const Change& change : pending) {
      for (const auto& [name, inode] : change) add(name, inode);
    }
    return files;
  }

  std::vector<Item> Items() const {
    std::vector<Item> items;
    const std::vector<std::pair<std::string, Inode*>> files = Files();
    for (size_t i = 0; i < files.size(); ++i) {
      const auto& [name, inode] = files[i];
      for (const auto& [number, sector] : inode->dirty) {
        if (sector.lost || CachedSector(*inode, number) == sector.platter) continue;
        items.push_back({{Undecided::Kind::kSector, name, number}, i});
      }
      if (inode->SizeDirty()) items.push_back({{Undecided::Kind::kSize, name, 0}, i});
    }
    for (size_t i = 0; i < pending.size(); ++i) {
      items.push_back({{Undecided::Kind::kName, pending[i].back().first, 0}, i});
    }
    return items;
  }

  static std::string SectorOf(Fate fate, const std::string& old, const std::string& fresh) {
    switch (fate) {
      case Fate::kOld:
        return old;
      case Fate::kNew:
        return fresh;
      case Fate::kHalf:
        return absl::StrCat(fresh.substr(0, fresh.size() / 2), old.substr(fresh.size() / 2));
      case Fate::kGarbage: {
        std::string garbage = fresh;
        for (size_t i = 0; i < garbage.size(); ++i) {
          garbage[i] = static_cast<char>((i * 151 + 89) & 0xff);
        }
        return garbage;
      }
      case Fate::kZeros:
        return std::string(fresh.size(), '\0');
    }
    return old;
  }

  void CrashFile(Inode& inode, Random& chance);
  std::string TornSector(const std::string& old, const std::string& fresh, Random& chance) const;

  // The bytes that are certain to survive.
  std::string DurableBytes(const Inode& inode) const {
    std::string bytes = inode.cache;
    bytes.resize(std::max<uint64_t>(bytes.size(), inode.platter_size), '\0');
    for (const auto& [number, sector] : inode.dirty) Put(bytes, number, sector.platter);
    bytes.resize(inode.platter_size, '\0');
    return bytes;
  }

  void Put(std::string& bytes, uint64_t number, const std::string& sector) const {
    const uint64_t begin = number * options.sector_bytes;
    if (begin >= bytes.size()) return;
    bytes.replace(begin, std::min<uint64_t>(sector.size(), bytes.size() - begin), sector, 0,
                  std::min<uint64_t>(sector.size(), bytes.size() - begin));
  }

  void Restart() {
    ++epoch;
    off = false;
    locked = false;
    budget.reset();
    injected.clear();
  }
};

std::string SimDisk::Platter::TornSector(const std::string& old, const std::string& fresh,
                                         Random& chance) const {
  switch (chance.Below(3)) {
    case 0: {
      const uint64_t cut = chance.Below(fresh.size());
      return absl::StrCat(fresh.substr(0, cut), old.substr(cut));
    }
    case 1: {
      std::string garbage(fresh.size(), '\0');
      uint64_t word = 0;
      for (size_t i = 0; i < garbage.size(); ++i) {
        if (i % 8 == 0) word = chance.Next();
        garbage[i] = static_cast<char>(word >> (8 * (i % 8)) & 0xff);
      }
      return garbage;
    }
    default:
      return std::string(fresh.size(), '\0');
  }
}

void SimDisk::Platter::CrashFile(Inode& inode, Random& chance) {
  uint64_t size = inode.cache.size();
  if (inode.SizeDirty()) {
    const uint64_t choice = chance.Below(inode.sizes.size() + 2);
    if (choice == 0) size = inode.platter_size;
    if (choice >= 2) size = inode.sizes[choice - 2];
  }
  std::string bytes = inode.cache;
  bytes.resize(std::max({static_cast<uint64_t>(bytes.size()), inode.platter_size, size}), '\0');
  // All, nothing, or each sector as it comes: the extremes are common in life and rare by lot.
  const uint64_t mood = chance.Below(4);
  uint64_t kept = 0;
  uint64_t lost = 0;
  for (auto& [number, sector] : inode.dirty) {
    std::string fresh = CachedSector(inode, number);
    if (sector.lost) {
      const bool torn = chance.Chance(1, 4);
      Put(bytes, number,
          torn ? TornSector(sector.platter, fresh, chance) : std::string(sector.platter));
      ++lost;
      continue;
    }
    if (fresh == sector.platter && sector.versions.empty()) continue;
    const uint64_t fate = mood == 0 ? 0 : mood == 1 ? 9 : chance.Below(10);
    if (fate < 4) {
      Put(bytes, number, sector.platter);
      ++lost;
    } else if (fate < 6) {
      Put(bytes, number, TornSector(sector.platter, fresh, chance));
      ++counters.torn_sectors;
      ++lost;
    } else if (fate == 6 && !sector.versions.empty()) {
      Put(bytes, number, sector.versions[chance.Below(sector.versions.size())]);
      ++kept;
    } else {
      Put(bytes, number, fresh);
      ++kept;
    }
  }
  counters.lost_sectors += lost;
  counters.kept_sectors += kept;
  if (lost > 0 && kept > 0) ++counters.torn_writes;
  bytes.resize(size, '\0');
  inode.cache = std::move(bytes);
  inode.dirty.clear();
  inode.sizes.clear();
  inode.platter_size = size;
}

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
    if (Dead()) return PowerLost();
    ++platter_->counters.reads;
    if (platter_->Strikes(Operation::kRead)) return Injected("read");
    if (offset >= inode_->cache.size()) return size_t{0};
    return inode_->cache.copy(buffer, length, offset);
  }

  absl::Status Write(uint64_t offset, absl::string_view bytes) override {
    absl::Status status = Begin();
    if (!status.ok() && !in_flight_) return status;
    const uint64_t end = offset + bytes.size();
    if (end > inode_->cache.size() && platter_->Full(end - inode_->cache.size())) {
      return status.ok() ? Full() : status;
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
    inode_->cache.replace(offset, bytes.size(), bytes.data(), bytes.size());
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
      for (auto& [number, sector] : inode_->dirty) {
        sector.lost = true;
        sector.versions.clear();
      }
      return Injected("sync");
    }
    Platter::Synced(*inode_);
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    absl::Status status = Begin();
    if (!status.ok() && !in_flight_) return status;
    if (status.ok() && platter_->Strikes(Operation::kTruncate)) return Injected("truncate");
    if (size > inode_->cache.size() && platter_->Full(size - inode_->cache.size())) return Full();
    platter_->Touch(*inode_, size, inode_->cache.size());
    platter_->Resize(*inode_, size);
    return status;
  }

  absl::Status Allocate(uint64_t size) override {
    absl::Status status = Begin();
    if (!status.ok() && !in_flight_) return status;
    if (status.ok() && platter_->Strikes(Operation::kAllocate)) return Full();
    if (size > inode_->cache.size()) {
      if (platter_->Full(size - inode_->cache.size())) return status.ok() ? Full() : status;
      platter_->Resize(*inode_, size);
    }
    return status;
  }

  absl::StatusOr<uint64_t> Size() override {
    if (Dead()) return PowerLost();
    return inode_->cache.size();
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
SimDisk::~SimDisk() = default;

absl::StatusOr<std::unique_ptr<storage::File>> SimDisk::Open(absl::string_view name, Mode mode) {
  if (platter_->off) return PowerLost();
  auto found = platter_->names.find(std::string(name));
  if (found == platter_->names.end()) return absl::NotFoundError(absl::StrCat(name, ": no file"));
  return std::make_unique<OpenFile>(platter_, found->second, std::string(name), mode);
}

absl::StatusOr<std::unique_ptr<storage::File>> SimDisk::Create(absl::string_view name) {
  const Platter::Gate gate = platter_->Enter();
  if (gate == Platter::Gate::kDead) return PowerLost();
  if (platter_->names.contains(std::string(name))) {
    return absl::AlreadyExistsError(absl::StrCat(name, ": exists"));
  }
  if (platter_->Strikes(Operation::kCreate)) {
    return absl::ResourceExhaustedError(absl::StrCat(name, ": no space left on simulated disk"));
  }
  auto inode = std::make_shared<Inode>();
  platter_->Apply({{std::string(name), inode}});
  if (gate == Platter::Gate::kInFlight) return PowerLost();
  return std::make_unique<OpenFile>(platter_, std::move(inode), std::string(name),
                                    Mode::kReadWrite);
}

absl::Status SimDisk::Rename(absl::string_view from, absl::string_view to) {
  const Platter::Gate gate = platter_->Enter();
  if (gate == Platter::Gate::kDead) return PowerLost();
  auto found = platter_->names.find(std::string(from));
  if (found == platter_->names.end()) return absl::NotFoundError(absl::StrCat(from, ": no file"));
  if (platter_->Strikes(Operation::kRename)) {
    return absl::DataLossError(absl::StrCat(from, ": injected rename error"));
  }
  platter_->Apply({{std::string(from), nullptr}, {std::string(to), found->second}});
  return gate == Platter::Gate::kInFlight ? PowerLost() : absl::OkStatus();
}

absl::Status SimDisk::Remove(absl::string_view name) {
  const Platter::Gate gate = platter_->Enter();
  if (gate == Platter::Gate::kDead) return PowerLost();
  if (!platter_->names.contains(std::string(name))) {
    return absl::NotFoundError(absl::StrCat(name, ": no file"));
  }
  if (platter_->Strikes(Operation::kRemove)) {
    return absl::DataLossError(absl::StrCat(name, ": injected remove error"));
  }
  platter_->Apply({{std::string(name), nullptr}});
  return gate == Platter::Gate::kInFlight ? PowerLost() : absl::OkStatus();
}

absl::Status SimDisk::SyncDir() {
  if (platter_->Enter() != Platter::Gate::kGo) return PowerLost();
  if (platter_->Strikes(Operation::kSyncDir)) {
    return absl::DataLossError("directory: injected sync error");
  }
  ++platter_->counters.dir_syncs;
  platter_->synced_names = platter_->names;
  platter_->pending.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> SimDisk::List() {
  if (platter_->off) return PowerLost();
  std::vector<std::string> names;
  for (const auto& [name, inode] : platter_->names) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> SimDisk::Lock() {
  if (platter_->off) return PowerLost();
  if (platter_->locked) return absl::UnavailableError("simulated disk: already locked");
  return std::make_unique<Held>(platter_);
}

std::string SimDisk::Describe() const { return "simulated disk"; }

void SimDisk::SetOperationBudget(std::optional<uint64_t> operations) {
  platter_->budget = operations;
}
bool SimDisk::powered_off() const { return platter_->off; }
void SimDisk::PowerOff() { platter_->off = true; }

void SimDisk::Crash(Random& random) {
  Platter& platter = *platter_;
  const uint64_t crash = ++platter.counters.crashes;
  // Each file is decided once, in an order that depends on names only.
  std::vector<std::shared_ptr<Inode>> files;
  auto decide = [&](const std::shared_ptr<Inode>& inode) {
    if (inode == nullptr || inode->visited == crash) return;
    inode->visited = crash;
    platter.CrashFile(*inode, random);
  };
  for (const auto& [name, inode] : platter.names) decide(inode);
  for (const auto& [name, inode] : platter.synced_names) decide(inode);
  for (const Platter::Change& change : platter.pending) {
    for (const auto& [name, inode] : change) decide(inode);
  }

  const uint64_t mood = random.Below(3);
  uint64_t survivors = platter.pending.size();
  if (mood == 0 || platter.options.ordered_directory) {
    survivors = random.Below(platter.pending.size() + 1);
  }
  Platter::Names names = platter.synced_names;
  for (size_t i = 0; i < platter.pending.size(); ++i) {
    const bool kept =
        i < survivors && (mood != 1 || platter.options.ordered_directory || random.Chance(1, 2));
    if (!kept) {
      ++platter.counters.lost_names;
      continue;
    }
    Platter::Enact(platter.pending[i], names);
  }
  platter.pending.clear();
  platter.names = names;
  platter.synced_names = std::move(names);
  platter.Restart();
}

void SimDisk::ProcessCrash() { platter_->Restart(); }

std::vector<SimDisk::Undecided> SimDisk::WhatIsUndecided() const {
  std::vector<Undecided> undecided;
  for (Item& item : platter_->Items()) undecided.push_back(std::move(item.what));
  return undecided;
}

void SimDisk::CrashAs(const std::vector<Fate>& fates) {
  Platter& platter = *platter_;
  ++platter.counters.crashes;
  const std::vector<Item> items = platter.Items();
  RAFTKV_CHECK(fates.size() == items.size());
  const std::vector<std::pair<std::string, Inode*>> files = platter.Files();
  std::vector<std::string> survivors;
  std::vector<uint64_t> sizes;
  for (const auto& [name, inode] : files) {
    std::string bytes = inode->cache;
    bytes.resize(std::max<uint64_t>(bytes.size(), inode->platter_size), '\0');
    for (const auto& [number, sector] : inode->dirty) platter.Put(bytes, number, sector.platter);
    survivors.push_back(std::move(bytes));
    sizes.push_back(inode->platter_size);
  }
  Platter::Names names = platter.synced_names;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    switch (item.what.kind) {
      case Undecided::Kind::kSector: {
        const Inode& inode = *files[item.at].second;
        platter.Put(survivors[item.at], item.what.sector,
                    platter.SectorOf(fates[i], inode.dirty.at(item.what.sector).platter,
                                     platter.CachedSector(inode, item.what.sector)));
        break;
      }
      case Undecided::Kind::kSize:
        if (fates[i] != Fate::kOld) sizes[item.at] = files[item.at].second->cache.size();
        break;
      case Undecided::Kind::kName:
        if (fates[i] != Fate::kOld) Platter::Enact(platter.pending[item.at], names);
        break;
    }
  }
  for (size_t i = 0; i < files.size(); ++i) {
    Inode& inode = *files[i].second;
    inode.cache = std::move(survivors[i]);
    inode.cache.resize(sizes[i], '\0');
    inode.platter_size = sizes[i];
    inode.dirty.clear();
    inode.sizes.clear();
  }
  platter.pending.clear();
  platter.names = names;
  platter.synced_names = std::move(names);
  platter.Restart();
}

void SimDisk::InjectFault(Operation operation, uint64_t nth) {
  platter_->injected[operation].push_back(nth);
}
void SimDisk::set_options(const Options& options) { platter_->options = options; }
const SimDisk::Options& SimDisk::options() const { return platter_->options; }

bool SimDisk::Corrupt(absl::string_view name, uint64_t offset, uint8_t mask) {
  auto found = platter_->names.find(std::string(name));
  if (found == platter_->names.end() || offset >= found->second->cache.size()) return false;
  Inode& inode = *found->second;
  auto flip = [mask](char& byte) {
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ mask);
  };
  flip(inode.cache[offset]);
  auto dirty = inode.dirty.find(offset / platter_->options.sector_bytes);
  if (dirty != inode.dirty.end()) {
    flip(dirty->second.platter[offset % platter_->options.sector_bytes]);
  }
  ++platter_->counters.flipped_bytes;
  return true;
}

void SimDisk::Wipe() {
  platter_->names.clear();
  platter_->synced_names.clear();
  platter_->pending.clear();
  platter_->Restart();
}

const SimDisk::Counters& SimDisk::counters() const { return platter_->counters; }

std::unique_ptr<SimDisk> SimDisk::DurableImage() const {
  auto image = std::make_unique<SimDisk>(Options{.sector_bytes = platter_->options.sector_bytes});
  for (const auto& [name, inode] : platter_->synced_names) {
    auto copy = std::make_shared<Inode>();
    copy->cache = platter_->DurableBytes(*inode);
    copy->platter_size = copy->cache.size();
    image->platter_->names[name] = std::move(copy);
  }
  image->platter_->synced_names = image->platter_->names;
  image->platter_->Restart();
  return image;
}

std::unique_ptr<SimDisk> SimDisk::Clone() const {
  auto clone = std::make_unique<SimDisk>(Options{.sector_bytes = platter_->options.sector_bytes});
  clone->platter_->options = platter_->options;
  // Copies of one inode stay one inode, whatever names lead to it.
  absl::flat_hash_map<const Inode*, std::shared_ptr<Inode>> copies;
  auto copy = [&copies](const std::shared_ptr<Inode>& inode) -> std::shared_ptr<Inode> {
    if (inode == nullptr) return nullptr;
    std::shared_ptr<Inode>& made = copies[inode.get()];
    if (made == nullptr) {
      made = std::make_shared<Inode>(*inode);
      made->visited = 0;
    }
    return made;
  };
  for (const auto& [name, inode] : platter_->names) clone->platter_->names[name] = copy(inode);
  for (const auto& [name, inode] : platter_->synced_names) {
    clone->platter_->synced_names[name] = copy(inode);
  }
  for (const Platter::Change& change : platter_->pending) {
    Platter::Change copied;
    for (const auto& [name, inode] : change) copied.emplace_back(name, copy(inode));
    clone->platter_->pending.push_back(std::move(copied));
  }
  clone->platter_->Restart();
  return clone;
}

uint64_t SimDisk::UnsyncedSectors(absl::string_view prefix) const {
  uint64_t count = 0;
  for (const auto& [name, inode] : platter_->names) {
    if (!absl::StartsWith(name, prefix)) continue;
    count += inode->dirty.size() + (inode->SizeDirty() ? 1 : 0);
  }
  return count;
}

bool SimDisk::DirectoryDirty() const { return !platter_->pending.empty(); }

uint64_t SimDisk::ContentHash() const {
  uint64_t hash = 0;
  for (const auto& [name, inode] : platter_->names) {
    hash = HashBytes(name, hash);
    hash = HashBytes(inode->cache, hash);
  }
  return hash;
}

}  // namespace raftkv::sim
