// What else can happen to a disk (disk_fault.h).
#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "sim/disk/platter.h"

namespace raftkv::sim {

bool SimDisk::Inject(const DiskFault& fault) {
  return std::visit(
      [this, &fault](const auto& kind) {
        using Kind = std::decay_t<decltype(kind)>;
        if constexpr (std::is_same_v<Kind, LostWrite> || std::is_same_v<Kind, MisdirectedWrite> ||
                      std::is_same_v<Kind, MisdirectedRead>) {
          platter_->armed.push_back(fault);
          return true;
        } else {
          const bool effect = platter_->Inflict(kind);
          if (effect) ++platter_->effects[fault.index()];
          return effect;
        }
      },
      fault);
}

void SimDisk::Disarm() { platter_->armed.clear(); }

bool SimDisk::Corrupt(absl::string_view name, uint64_t offset, uint8_t mask) {
  const std::shared_ptr<Inode> inode = platter_->Find(name);
  if (inode == nullptr || offset >= inode->cache.size()) return false;
  platter_->Flip(*inode, offset, mask);
  return true;
}

void SimDisk::Remember() { platter_->remembered = DurableImage(); }

std::optional<SimDisk::Platter::Reach> SimDisk::Platter::Within(const DiskPlace& place) const {
  Reach reach{Find(place.file), place.offset, 0};
  if (reach.inode == nullptr || place.offset >= reach.inode->cache.size()) return std::nullopt;
  const uint64_t rest = reach.inode->cache.size() - place.offset;
  reach.end = place.offset + std::min(place.length, rest);
  if (reach.begin == reach.end) return std::nullopt;
  return reach;
}

bool SimDisk::Platter::Overwrite(Inode& inode, uint64_t begin, absl::string_view bytes) const {
  bool changed = false;
  std::string& cache = inode.cache.Own();
  for (uint64_t i = 0; i < bytes.size(); ++i) {
    char& cached = cache[begin + i];
    changed |= cached != bytes[i];
    cached = bytes[i];
    const auto dirty = inode.dirty().find((begin + i) / options.sector_bytes);
    if (dirty == inode.dirty().end()) continue;
    char& below = dirty->second.platter[(begin + i) % options.sector_bytes];
    changed |= below != bytes[i];
    below = bytes[i];
  }
  return changed;
}

void SimDisk::Platter::Flip(Inode& inode, uint64_t at, uint8_t mask) const {
  const auto flip = [mask](char& byte) {
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ mask);
  };
  flip(inode.cache.Own()[at]);
  const auto dirty = inode.dirty().find(at / options.sector_bytes);
  if (dirty != inode.dirty().end()) flip(dirty->second.platter[at % options.sector_bytes]);
}

bool SimDisk::Platter::Inflict(const ReadError& fault) {
  const std::optional<Reach> reach = Within(fault.at);
  if (!reach.has_value()) return false;
  bool changed = false;
  for (uint64_t number = reach->begin / options.sector_bytes;
       number * options.sector_bytes < reach->end; ++number) {
    changed |= reach->inode->unreadable.insert(number).second;
    const auto dirty = reach->inode->dirty().find(number);
    if (dirty != reach->inode->dirty().end()) dirty->second.unreadable = true;
  }
  return changed;
}

bool SimDisk::Platter::Inflict(const BitRot& fault) {
  const std::optional<Reach> reach = Within(fault.at);
  if (!reach.has_value()) return false;
  Random which(fault.seed);
  std::set<uint64_t> flipped;  // the same bit twice would be no fault
  for (uint64_t i = 0; i < fault.bits; ++i) {
    flipped.insert(which.Below(8 * (reach->end - reach->begin)));
  }
  for (const uint64_t bit : flipped) {
    Flip(*reach->inode, reach->begin + bit / 8, static_cast<uint8_t>(1u << bit % 8));
  }
  return !flipped.empty();
}

bool SimDisk::Platter::Inflict(const Garbage& fault) {
  const std::optional<Reach> reach = Within(fault.at);
  if (!reach.has_value()) return false;
  Random what(fault.seed);
  return Overwrite(*reach->inode, reach->begin, RandomBytes(what, reach->end - reach->begin));
}

bool SimDisk::Platter::Inflict(const Zeros& fault) {
  const std::optional<Reach> reach = Within(fault.at);
  if (!reach.has_value()) return false;
  return Overwrite(*reach->inode, reach->begin, std::string(reach->end - reach->begin, '\0'));
}

bool SimDisk::Platter::Inflict(const MissingFile& fault) {
  if (Find(fault.file) == nullptr) return false;
  Bind(fault.file, nullptr);
  return true;
}

bool SimDisk::Platter::Inflict(const TruncatedFile& fault) {
  const std::shared_ptr<Inode> inode = Find(fault.file);
  if (inode == nullptr || inode->cache.size() <= fault.size) return false;
  Resize(*inode, fault.size);
  inode->sizes.clear();
  inode->platter_size = fault.size;
  const uint64_t sectors = (fault.size + options.sector_bytes - 1) / options.sector_bytes;
  inode->dirty().erase(inode->dirty().lower_bound(sectors), inode->dirty().end());
  return true;
}

bool SimDisk::Platter::Inflict(const ExtendedFile& fault) {
  const std::shared_ptr<Inode> inode = Find(fault.file);
  if (inode == nullptr || fault.bytes == 0) return false;
  Random what(fault.seed);
  const uint64_t end = inode->cache.size();
  Resize(*inode, end + fault.bytes);
  inode->sizes.clear();
  inode->platter_size = inode->cache.size();
  if (fault.garbage) Overwrite(*inode, end, RandomBytes(what, fault.bytes));
  return true;
}

bool SimDisk::Platter::Inflict(const StaleFile& fault) {
  if (remembered == nullptr) return false;
  const std::shared_ptr<Inode> then = remembered->platter_->Find(fault.file);
  if (then == nullptr) return false;
  std::shared_ptr<Inode> now = Find(fault.file);
  if (now == nullptr) {
    now = std::make_shared<Inode>();
    Bind(fault.file, now);
  } else if (now->cache == then->cache && now->clean()) {
    return false;
  }
  // In place: who has the file open sees it too.
  const uint64_t visited = now->visited;
  *now = *then;
  now->visited = visited;
  return true;
}

bool SimDisk::Platter::Inflict(const Amnesia&) {
  if (remembered == nullptr) return false;
  const Names before = std::move(names);
  const std::unique_ptr<SimDisk> copy = remembered->Clone();
  names = copy->platter_->names;
  synced_names = names;
  pending.clear();
  Restart();
  return !std::equal(before.begin(), before.end(), names.begin(), names.end(),
                     [](const auto& was, const auto& is) {
                       return *was.name == *is.name && was.inode->cache == is.inode->cache;
                     });
}

bool SimDisk::Platter::Misdirect(const MisdirectedWrite& fault, absl::string_view bytes) {
  const std::shared_ptr<Inode> victim = Find(fault.to_file);
  if (victim == nullptr) return false;
  const uint64_t begin = fault.to_offset / options.sector_bytes * options.sector_bytes;
  bool changed = false;
  for (uint64_t done = 0; done < bytes.size(); done += options.sector_bytes) {
    if (begin + done >= victim->cache.size()) break;
    const uint64_t number = (begin + done) / options.sector_bytes;
    const absl::string_view piece = bytes.substr(done, options.sector_bytes);
    auto [at, fresh] = victim->dirty().try_emplace(number);
    Sector& sector = at->second;
    if (fresh) {
      // The cache shows what was there, as after a write that was lost.
      sector.platter = CachedSector(*victim, number);
      sector.lost = Sector::Lost::kLie;
    }
    std::string landed = sector.platter;
    landed.replace(0, piece.size(), piece.data(), piece.size());
    changed |= landed != sector.platter;
    sector.platter = std::move(landed);
  }
  return changed;
}

}  // namespace raftkv::sim
