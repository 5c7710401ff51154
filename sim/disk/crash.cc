// What a power loss leaves behind.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/raft/check.h"
#include "sim/disk/platter.h"

namespace raftkv::sim {
namespace {

std::string SectorOf(SimDisk::Fate fate, const std::string& old, const std::string& fresh) {
  switch (fate) {
    case SimDisk::Fate::kOld:
      return old;
    case SimDisk::Fate::kNew:
      return fresh;
    case SimDisk::Fate::kHalf:
      return absl::StrCat(fresh.substr(0, fresh.size() / 2), old.substr(fresh.size() / 2));
    case SimDisk::Fate::kGarbage: {
      std::string garbage = fresh;
      for (size_t i = 0; i < garbage.size(); ++i) {
        garbage[i] = static_cast<char>((i * 151 + 89) & 0xff);
      }
      return garbage;
    }
    case SimDisk::Fate::kZeros:
      return std::string(fresh.size(), '\0');
  }
  return old;
}

std::string TornSector(const std::string& old, const std::string& fresh, Random& chance) {
  switch (chance.Below(3)) {
    case 0: {
      const uint64_t cut = chance.Below(fresh.size());
      return absl::StrCat(fresh.substr(0, cut), old.substr(cut));
    }
    case 1:
      return RandomBytes(chance, fresh.size());
    default:
      return std::string(fresh.size(), '\0');
  }
}

}  // namespace

bool IsCrash(const absl::Status& status) { return absl::IsAborted(status); }

std::vector<SimDisk::Item> SimDisk::Platter::Items() const {
  std::vector<Item> items;
  const std::vector<std::pair<std::string, Inode*>> files = Files();
  for (size_t i = 0; i < files.size(); ++i) {
    const auto& [name, inode] = files[i];
    for (const auto& [number, sector] : inode->dirty()) {
      if (sector.lost != Sector::Lost::kNo) continue;
      if (CachedSector(*inode, number) == sector.platter && !sector.unreadable) continue;
      items.push_back({{Undecided::Kind::kSector, name, number}, i});
    }
    if (inode->SizeDirty()) items.push_back({{Undecided::Kind::kSize, name, 0}, i});
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    items.push_back({{Undecided::Kind::kName, pending[i].back().first, 0}, i});
  }
  return items;
}

void SimDisk::Platter::CrashFile(Inode& inode, Random& chance, Tearing tearing) {
  if (inode.clean() && !inode.SizeDirty()) {
    (void)chance.Below(4);  // its mood, that no clean file shifts the others' luck
    return;
  }
  uint64_t size = inode.cache.size();
  if (tearing == Tearing::kNothingKept) {
    size = inode.platter_size;
  } else if (inode.SizeDirty()) {
    const uint64_t choice = chance.Below(inode.sizes.size() + 2);
    if (choice == 0) size = inode.platter_size;
    if (choice >= 2) size = inode.sizes[choice - 2];
  }
  std::string bytes = *inode.cache;
  bytes.resize(std::max({static_cast<uint64_t>(bytes.size()), inode.platter_size, size}), '\0');
  // All, nothing, or each sector as it comes: the extremes are common in life and rare by lot.
  const uint64_t mood = tearing == Tearing::kNothingKept ? 0 : chance.Below(4);
  uint64_t kept = 0;
  uint64_t lost = 0;
  for (auto& dirty : inode.dirty()) {
    const uint64_t number = dirty.first;
    Sector& sector = dirty.second;
    const std::string fresh = CachedSector(inode, number);
    // The new bytes did not get there, or not whole.
    const auto lose = [&](bool torn) {
      ++lost;
      if (torn) {
        const std::string mixture = TornSector(sector.platter, fresh, chance);
        if (tearing == Tearing::kAny) return Put(bytes, number, mixture);
      }
      Put(bytes, number, sector.platter);
      if (sector.unreadable && tearing == Tearing::kAny) inode.unreadable.insert(number);
    };
    if (sector.lost != Sector::Lost::kNo) {
      lose(sector.lost == Sector::Lost::kFailedSync && tearing != Tearing::kNothingKept &&
           chance.Chance(1, 4));
      continue;
    }
    if (fresh == sector.platter && sector.versions.empty() && !sector.unreadable) continue;
    const uint64_t fate = mood == 0 ? 0 : mood == 1 ? 9 : chance.Below(10);
    if (fate < 4) {
      lose(/*torn=*/false);
    } else if (fate < 6) {
      lose(/*torn=*/true);
      if (tearing == Tearing::kAny) ++counters.torn_sectors;
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
  inode.cache = SharedBytes(std::move(bytes));
  inode.dirty().clear();
  inode.sizes.clear();
  inode.platter_size = size;
}

void SimDisk::Platter::DropCache(Inode& inode, uint64_t begin, uint64_t end) const {
  if (inode.clean()) return;
  auto at = inode.dirty().lower_bound(begin / options.sector_bytes);
  while (at != inode.dirty().end() && at->first < end / options.sector_bytes + 1) {
    const auto& [number, sector] = *at;
    if (sector.lost == Sector::Lost::kNo || number * options.sector_bytes >= end) {
      ++at;
      continue;
    }
    Put(inode.cache.Own(), number, sector.platter);
    if (sector.unreadable) inode.unreadable.insert(number);
    at = inode.dirty().erase(at);
  }
}

bool SimDisk::Platter::LiesAbout(const Inode& inode, uint64_t begin, uint64_t end) const {
  if (inode.clean()) return false;
  for (auto at = inode.dirty().lower_bound(begin / options.sector_bytes); at != inode.dirty().end();
       ++at) {
    if (at->first * options.sector_bytes >= end) break;
    if (at->second.lost != Sector::Lost::kLie) continue;
    if (at->second.platter != CachedSector(inode, at->first)) return true;
  }
  return false;
}

void SimDisk::AskBeforeForgetting(MayForget may_forget) {
  platter_->may_forget = std::move(may_forget);
}

bool SimDisk::Lies() const {
  const auto files = platter_->Files();
  return std::any_of(files.begin(), files.end(),
                     [this](const auto& file) { return platter_->LiesAbout(*file.second); });
}

void SimDisk::SetOperationBudget(std::optional<uint64_t> operations) {
  platter_->budget = operations;
}
bool SimDisk::powered_off() const { return platter_->off; }
void SimDisk::PowerOff() { platter_->off = true; }

void SimDisk::Crash(Random& random, Tearing tearing) {
  Platter& platter = *platter_;
  if (platter.may_forget && Lies()) {
    const std::unique_ptr<SimDisk> honest = Clone();
    honest->ComeClean();
    const std::unique_ptr<SimDisk> left = Clone();
    Random same = random;  // so that this is what will be left
    left->Crash(same, tearing);
    if (!platter.may_forget(*honest->DurableImage(), *left)) ComeClean();
  }
  const uint64_t crash = ++platter.counters.crashes;
  // Each file is decided once, in an order that depends on names only.
  std::vector<std::shared_ptr<Inode>> files;
  auto decide = [&](const std::shared_ptr<Inode>& inode) {
    if (inode == nullptr || inode->visited == crash) return;
    inode->visited = crash;
    platter.CrashFile(*inode, random, tearing);
  };
  for (const auto& [name, inode] : platter.names) decide(inode);
  for (const auto& [name, inode] : platter.synced_names) decide(inode);
  for (const Platter::Change& change : platter.pending) {
    for (const auto& [name, inode] : change) decide(inode);
  }

  const uint64_t mood = tearing == Tearing::kNothingKept ? 2 : random.Below(3);
  uint64_t survivors = platter.pending.size();
  if (tearing != Tearing::kNothingKept && (mood == 0 || platter.options.ordered_directory)) {
    survivors = random.Below(platter.pending.size() + 1);
  }
  if (tearing == Tearing::kNothingKept) survivors = 0;
  Names names = platter.synced_names;
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

void SimDisk::DropCache() {
  if (platter_->may_forget && Lies()) {
    const std::unique_ptr<SimDisk> kept = Clone();
    kept->ComeClean();
    const std::unique_ptr<SimDisk> left = Clone();
    left->DropCache();
    if (!platter_->may_forget(*kept, *left)) ComeClean();
  }
  for (const auto& [name, inode] : platter_->Files()) platter_->DropCache(*inode);
}

void SimDisk::ComeClean() {
  for (const auto& [name, inode] : platter_->Files()) {
    std::erase_if(inode->dirty(),
                  [](const auto& at) { return at.second.lost == Sector::Lost::kLie; });
  }
}

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
  std::vector<std::set<uint64_t>> unreadable;
  std::vector<uint64_t> sizes;
  for (const auto& [name, inode] : files) {
    std::string bytes = *inode->cache;
    bytes.resize(std::max<uint64_t>(bytes.size(), inode->platter_size), '\0');
    for (const auto& [number, sector] : inode->dirty()) platter.Put(bytes, number, sector.platter);
    survivors.push_back(std::move(bytes));
    unreadable.push_back(Platter::DurablyUnreadable(*inode));
    sizes.push_back(inode->platter_size);
  }
  Names names = platter.synced_names;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    switch (item.what.kind) {
      case Undecided::Kind::kSector: {
        const Inode& inode = *files[item.at].second;
        platter.Put(survivors[item.at], item.what.sector,
                    SectorOf(fates[i], inode.dirty().at(item.what.sector).platter,
                             platter.CachedSector(inode, item.what.sector)));
        if (fates[i] != Fate::kOld) unreadable[item.at].erase(item.what.sector);
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
    survivors[i].resize(sizes[i], '\0');
    inode.cache = SharedBytes(std::move(survivors[i]));
    inode.platter_size = sizes[i];
    inode.unreadable = std::move(unreadable[i]);
    inode.dirty().clear();
    inode.sizes.clear();
  }
  platter.pending.clear();
  platter.names = names;
  platter.synced_names = std::move(names);
  platter.Restart();
}

}  // namespace raftkv::sim
