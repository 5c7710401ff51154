#include "sim/disk/platter.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"

namespace raftkv::sim {
namespace {

constexpr size_t kMaxVersions = 3;  // unsynced older versions remembered per sector

}  // namespace

absl::Status PowerLost() { return absl::AbortedError("simulated power loss"); }

std::string RandomBytes(Random& random, uint64_t bytes) {
  std::string drawn(bytes, '\0');
  uint64_t word = 0;
  for (size_t i = 0; i < drawn.size(); ++i) {
    if (i % 8 == 0) word = random.Next();
    drawn[i] = static_cast<char>(word >> (8 * (i % 8)) & 0xff);
  }
  return drawn;
}

SimDisk::Platter::Gate SimDisk::Platter::Enter() {
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

bool SimDisk::Platter::Strikes(Operation operation) {
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

void SimDisk::Platter::Restart() {
  ++epoch;
  off = false;
  locked = false;
  budget.reset();
  injected.clear();
  armed.clear();
}

size_t SimDisk::Names::Position(absl::string_view name) const {
  const auto at = std::partition_point(
      entries_.begin(), entries_.end(),
      [name](const Entry& entry) { return absl::string_view(*entry.name) < name; });
  return static_cast<size_t>(at - entries_.begin());
}

std::shared_ptr<SimDisk::Inode> SimDisk::Names::Find(absl::string_view name) const {
  const size_t at = Position(name);
  return at < entries_.size() && *entries_[at].name == name ? entries_[at].inode : nullptr;
}

void SimDisk::Names::Set(absl::string_view name, std::shared_ptr<Inode> inode) {
  const size_t at = Position(name);
  if (at < entries_.size() && *entries_[at].name == name) {
    entries_[at].inode = std::move(inode);
    return;
  }
  entries_.insert(entries_.begin() + static_cast<ptrdiff_t>(at),
                  {std::make_shared<const std::string>(name), std::move(inode)});
}

void SimDisk::Names::Erase(absl::string_view name) {
  const size_t at = Position(name);
  if (at == entries_.size() || *entries_[at].name != name) return;
  entries_.erase(entries_.begin() + static_cast<ptrdiff_t>(at));
}

std::shared_ptr<SimDisk::Inode> SimDisk::Platter::Find(absl::string_view name) const {
  return names.Find(name);
}

void SimDisk::Platter::Apply(Change change) {
  Enact(change, names);
  pending.push_back(std::move(change));
}

void SimDisk::Platter::Enact(const Change& change, Names& names) {
  for (const auto& [name, inode] : change) {
    if (inode == nullptr) {
      names.Erase(name);
    } else {
      names.Set(name, inode);
    }
  }
}

void SimDisk::Platter::SyncNames() {
  // Changes lead to where the names are now. What a name led to is gone, unless another name leads
  // there: then a change says so.
  for (const Change& change : pending) {
    for (const auto& [name, inode] : change) {
      std::shared_ptr<Inode> is = names.Find(name);
      if (const auto was = synced_names.Find(name)) was->gone = true;
      if (is != nullptr) {
        synced_names.Set(name, std::move(is));
      } else {
        synced_names.Erase(name);
      }
    }
  }
  for (const Change& change : pending) {
    for (const auto& [name, inode] : change) {
      if (inode == nullptr || !inode->gone) continue;
      if (const auto is = synced_names.Find(name)) is->gone = false;
    }
  }
  pending.clear();
}

void SimDisk::Platter::Bind(const std::string& name, const std::shared_ptr<Inode>& inode) {
  Enact({{name, inode}}, names);
  Enact({{name, inode}}, synced_names);
  for (auto& change : pending) {
    std::erase_if(change, [&name](const auto& entry) { return entry.first == name; });
  }
  std::erase_if(pending, [](const auto& change) { return change.empty(); });
}

std::vector<std::pair<std::string, SimDisk::Inode*>> SimDisk::Platter::Files() const {
  std::vector<std::pair<std::string, Inode*>> files;
  absl::flat_hash_set<const Inode*> seen;
  const auto add = [&](const std::string& name, const std::shared_ptr<Inode>& inode) {
    if (inode != nullptr && seen.insert(inode.get()).second) {
      files.emplace_back(name, inode.get());
    }
  };
  for (const auto& [name, inode] : names) add(*name, inode);
  for (const auto& [name, inode] : synced_names) add(*name, inode);
  for (const Change& change : pending) {
    for (const auto& [name, inode] : change) add(name, inode);
  }
  return files;
}

uint64_t SimDisk::Platter::UsedBytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, inode] : names) bytes += inode->cache.size();
  // A file whose name has gone goes with it only when that is synced: the node holds large ones
  // open until then (storage/posix_disk.h).
  std::vector<const Inode*> nameless;
  const auto count = [&](const std::shared_ptr<Inode>& inode) {
    const auto named = [&](const Names::Entry& entry) { return entry.inode == inode; };
    if (inode == nullptr || std::any_of(names.begin(), names.end(), named)) return;
    if (std::find(nameless.begin(), nameless.end(), inode.get()) != nameless.end()) return;
    nameless.push_back(inode.get());
    bytes += inode->cache.size();
  };
  for (const auto& [synced, inode] : synced_names) count(inode);
  for (const Change& change : pending) {
    for (const auto& [name, inode] : change) count(inode);
  }
  return bytes;
}

uint64_t SimDisk::Platter::FreeBytes() const {
  if (options.capacity_bytes == UINT64_MAX) return 0;
  return options.capacity_bytes - std::min(options.capacity_bytes, UsedBytes());
}

bool SimDisk::Platter::Full(absl::string_view file, uint64_t more) {
  if (refusal && refusal->kind == Refusal::Kind::kFull &&
      absl::StartsWith(file, refusal->at.file)) {
    ++counters.full_errors;
    return true;
  }
  if (options.capacity_bytes == UINT64_MAX) return false;
  if (UsedBytes() + more <= options.capacity_bytes) return false;
  ++counters.full_errors;
  return true;
}

bool SimDisk::Platter::Refuses(absl::string_view file, uint64_t begin, uint64_t end) const {
  if (!refusal || refusal->kind != Refusal::Kind::kError) return false;
  const DiskPlace& at = refusal->at;
  const bool before = end <= at.offset;
  const bool behind = begin >= at.offset && begin - at.offset >= at.length;
  return absl::StartsWith(file, at.file) && !before && !behind;
}

std::string SimDisk::Platter::CachedSector(const Inode& inode, uint64_t number) const {
  std::string bytes;
  const uint64_t begin = number * options.sector_bytes;
  if (begin < inode.cache.size()) bytes = inode.cache->substr(begin, options.sector_bytes);
  bytes.resize(options.sector_bytes, '\0');
  return bytes;
}

void SimDisk::Platter::Touch(Inode& inode, uint64_t begin, uint64_t end) const {
  if (begin >= end) return;
  const uint64_t first = begin / options.sector_bytes;
  const uint64_t last = (end - 1) / options.sector_bytes;
  if (inode.NoteFirstWrite(first, last - first + 1, options.sector_bytes)) return;
  for (uint64_t number = first; number <= last; ++number) {
    auto [at, fresh] = inode.dirty().try_emplace(number);
    Sector& sector = at->second;
    const bool bad = inode.unreadable.erase(number) > 0;
    if (fresh) {
      sector.platter = CachedSector(inode, number);
      sector.unreadable = bad;
    } else if (sector.lost == Sector::Lost::kNo && sector.versions.size() < kMaxVersions) {
      sector.versions.push_back(CachedSector(inode, number));
    }
    sector.lost = Sector::Lost::kNo;
  }
}

bool SimDisk::Platter::Lose(Inode& inode, uint64_t begin, uint64_t end) const {
  bool differs = false;
  for (uint64_t number = begin / options.sector_bytes; number * options.sector_bytes < end;
       ++number) {
    const auto at = inode.dirty().find(number);
    if (at == inode.dirty().end()) continue;
    differs |= at->second.platter != CachedSector(inode, number);
    at->second.lost = Sector::Lost::kLie;
    at->second.versions.clear();
  }
  return differs;
}

bool SimDisk::Platter::Unreadable(const Inode& inode, uint64_t begin, uint64_t end) const {
  if (begin >= end) return false;
  const auto first = inode.unreadable.lower_bound(begin / options.sector_bytes);
  return first != inode.unreadable.end() && *first <= (end - 1) / options.sector_bytes;
}

bool SimDisk::Platter::Unwritable(const Inode& inode, uint64_t begin, uint64_t end) const {
  if (begin >= end) return false;
  // Only the first and the last sector can be covered in part.
  for (const uint64_t number : {begin / options.sector_bytes, (end - 1) / options.sector_bytes}) {
    const uint64_t from = number * options.sector_bytes;
    const uint64_t to = std::min<uint64_t>(from + options.sector_bytes, inode.cache.size());
    if (inode.unreadable.contains(number) && (begin > from || end < to)) return true;
  }
  return false;
}

void SimDisk::Platter::Resize(Inode& inode, uint64_t size) const {
  if (size == inode.cache.size()) return;
  inode.sizes.push_back(inode.cache.size());
  inode.cache.Own().resize(size, '\0');
  const uint64_t sectors = (size + options.sector_bytes - 1) / options.sector_bytes;
  inode.unreadable.erase(inode.unreadable.lower_bound(sectors), inode.unreadable.end());
}

bool SimDisk::Inode::NoteFirstWrite(uint64_t sector, uint64_t count, uint32_t sector_bytes) {
  if (!clean() || !unreadable.empty()) return false;
  const uint64_t begin = sector * sector_bytes;
  const uint64_t bytes = count * sector_bytes;
  // Of a file that has only been made, and made longer, there is nothing to keep.
  if (platter_size > 0 && begin < cache.size()) first_.old.assign(*cache, begin, bytes);
  first_.bytes = bytes;
  first_.sector = sector;
  first_.sector_bytes = sector_bytes;
  return true;
}

bool SimDisk::Inode::HasLost() const {
  return std::any_of(dirty_.begin(), dirty_.end(),
                     [](const auto& at) { return at.second.lost != Sector::Lost::kNo; });
}

void SimDisk::Inode::SpreadFirstWrite() const {
  first_.old.resize(first_.bytes, '\0');
  for (uint64_t at = 0; at < first_.bytes; at += first_.sector_bytes) {
    dirty_[first_.sector + at / first_.sector_bytes].platter =
        first_.old.substr(at, first_.sector_bytes);
  }
  first_ = {};
}

void SimDisk::Inode::Synced() {
  first_.old.clear();
  first_.bytes = 0;
  std::erase_if(dirty_, [](const auto& at) { return at.second.lost == Sector::Lost::kNo; });
  platter_size = cache.size();
  sizes.clear();
}

std::string SimDisk::Platter::DurableBytes(const Inode& inode) const {
  std::string bytes = *inode.cache;
  bytes.resize(std::max<uint64_t>(bytes.size(), inode.platter_size), '\0');
  for (const auto& [number, sector] : inode.dirty()) Put(bytes, number, sector.platter);
  bytes.resize(inode.platter_size, '\0');
  return bytes;
}

std::set<uint64_t> SimDisk::Platter::DurablyUnreadable(const Inode& inode) {
  std::set<uint64_t> unreadable = inode.unreadable;
  if (inode.clean()) return unreadable;
  for (const auto& [number, sector] : inode.dirty()) {
    if (sector.unreadable) unreadable.insert(number);
  }
  return unreadable;
}

void SimDisk::Platter::Put(std::string& bytes, uint64_t number, const std::string& sector) const {
  const uint64_t begin = number * options.sector_bytes;
  if (begin >= bytes.size()) return;
  bytes.replace(begin, std::min<uint64_t>(sector.size(), bytes.size() - begin), sector, 0,
                std::min<uint64_t>(sector.size(), bytes.size() - begin));
}

// Hash of names and bytes as reads see them.
uint64_t SimDisk::Platter::ContentHashOf(const Names& names) {
  uint64_t hash = 0;
  for (const auto& [name, inode] : names) {
    hash = HashBytes(*name, hash);
    hash = HashBytes(*inode->cache, hash);
  }
  return hash;
}

}  // namespace raftkv::sim
