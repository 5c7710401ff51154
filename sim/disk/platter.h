// The inside of a SimDisk: its files as reads see them and as the platter has them, and its names.
// Only the parts of SimDisk include this.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/disk/sim_disk.h"

namespace raftkv::sim {

absl::Status PowerLost();

// `bytes` of them, from `random`.
std::string RandomBytes(Random& random, uint64_t bytes);

// A sector that reads differently from the platter, or may.
struct Sector {
  std::string platter;                // what is certain to be there
  std::vector<std::string> versions;  // written since and overwritten again before a sync
  bool unreadable = false;            // on the platter, it is
  // The cache believes that the platter has it, and the platter has not: a sync failed, or the
  // device lied.
  enum class Lost : uint8_t { kNo, kFailedSync, kLie };
  Lost lost = Lost::kNo;
};

// The bytes of a file. Copies of a disk share them until one of the two changes them: most files of
// most copies are only read.
class SharedBytes {
 public:
  SharedBytes() : bytes_(std::make_shared<std::string>()) {}
  explicit SharedBytes(std::string bytes)
      : bytes_(std::make_shared<std::string>(std::move(bytes))) {}

  const std::string& operator*() const { return *bytes_; }
  const std::string* operator->() const { return bytes_.get(); }
  size_t size() const { return bytes_->size(); }
  storage::Bytes Part(uint64_t offset, size_t length) const {
    return {bytes_, absl::string_view(*bytes_).substr(offset, length)};
  }
  // To be changed, by nobody else's notice.
  std::string& Own() {
    if (bytes_.use_count() > 1) bytes_ = std::make_shared<std::string>(*bytes_);
    return *bytes_;
  }
  // Nobody has changed either since one was copied from the other. Otherwise they may still be
  // equal.
  bool SharedWith(const SharedBytes& other) const { return bytes_ == other.bytes_; }
  friend bool operator==(const SharedBytes& a, const SharedBytes& b) {
    return a.SharedWith(b) || *a == *b;
  }

 private:
  std::shared_ptr<std::string> bytes_;
};

struct SimDisk::Inode {
  SharedBytes cache;
  std::set<uint64_t> unreadable;  // sectors that reads must not touch
  uint64_t platter_size = 0;
  std::vector<uint64_t> sizes;  // unsynced sizes before the present one
  bool gone = false;            // durably removed: an open file may find that its bytes are, too
  uint64_t visited = 0;         // crash that decided about this file

  bool SizeDirty() const { return platter_size != cache.size() || !sizes.empty(); }

  // By sector number.
  using Sectors = std::map<uint64_t, Sector>;
  Sectors& dirty() {
    Spread();
    return dirty_;
  }
  const Sectors& dirty() const {
    Spread();
    return dirty_;
  }
  bool clean() const { return dirty_.empty() && first_.bytes == 0; }
  // The platter has not what the cache believes it to have.
  bool HasLost() const;

  // Notes that whole sectors from this one on are about to change. False, and nothing noted, unless
  // the file is clean and everything can be read.
  bool NoteFirstWrite(uint64_t sector, uint64_t count, uint32_t sector_bytes);
  // Everything that is not lost is on the platter.
  void Synced();

 private:
  // Almost every write is of a clean file, and synced before anything else happens to it. It is
  // kept as one piece until somebody asks.
  struct FirstWrite {
    uint64_t sector = 0;
    uint32_t sector_bytes = 0;
    uint64_t bytes = 0;  // of whole sectors; 0: there is no such write
    std::string old;     // what was there before; zeros behind its end
  };
  void Spread() const {
    if (first_.bytes > 0) SpreadFirstWrite();
  }
  void SpreadFirstWrite() const;

  mutable Sectors dirty_;
  mutable FirstWrite first_;
};

// An undecided change, and where it is.
struct SimDisk::Item {
  Undecided what;
  size_t at = 0;  // position of its file in Files(), or of the change of names in `pending`
};

// The names of a directory in order, and the files that they lead to. It is copied more often than
// it changes: one piece of memory, and all copies share the text of a name.
class SimDisk::Names {
 public:
  struct Entry {
    std::shared_ptr<const std::string> name;
    std::shared_ptr<Inode> inode;  // never null
  };

  // Null when there is no such name.
  std::shared_ptr<Inode> Find(absl::string_view name) const;
  bool Contains(absl::string_view name) const { return Find(name) != nullptr; }
  void Set(absl::string_view name, std::shared_ptr<Inode> inode);
  void Erase(absl::string_view name);
  // For names in ascending order.
  void Append(Entry entry) { entries_.push_back(std::move(entry)); }
  void Clear() { entries_.clear(); }

  size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  auto begin() { return entries_.begin(); }
  auto end() { return entries_.end(); }

 private:
  size_t Position(absl::string_view name) const;  // of the first that is not in front of it

  std::vector<Entry> entries_;
};

struct SimDisk::Platter {
  // One atomic change of the directory: names and what they become (null: gone).
  using Change = std::vector<std::pair<std::string, std::shared_ptr<Inode>>>;
  enum class Gate { kGo, kInFlight, kDead };

  Options options;
  Random random{0};
  Names names;  // what is synced, and all that is pending
  Names synced_names;
  std::vector<Change> pending;
  Counters counters;
  DiskFaultCounters effects = {};
  std::map<Operation, std::vector<uint64_t>> injected;
  std::vector<DiskFault> armed;
  MayForget may_forget;  // null: nobody is asked
  std::function<void()> before_names_change;
  std::optional<Refusal> refusal;
  std::shared_ptr<const SimDisk> remembered;  // null: never
  std::optional<uint64_t> budget;
  bool off = false;
  bool locked = false;
  uint64_t epoch = 1;  // handles of an older epoch are dead

  Gate Enter();
  void NamesWillChange() const {
    if (before_names_change) before_names_change();
  }
  // True when a fault was ordered for this very operation.
  bool Strikes(Operation operation);
  // The armed fault of kind `Lie` that strikes this read or write of the file, if one does.
  template <typename Lie>
  std::optional<Lie> Struck(absl::string_view file);
  // Switches on: no budget, nothing ordered or armed, everything that was open is dead.
  void Restart();

  // --- names ---
  std::shared_ptr<Inode> Find(absl::string_view name) const;  // null when there is none
  void Apply(Change change);
  static void Enact(const Change& change, Names& names);
  // All pending changes are on the platter.
  void SyncNames();
  // The name leads to the inode (null: nowhere), whatever happens.
  void Bind(const std::string& name, const std::shared_ptr<Inode>& inode);
  // Every file that a name leads to, led to or may lead to, once, in the order of their names.
  std::vector<std::pair<std::string, Inode*>> Files() const;

  // --- bytes ---
  uint64_t UsedBytes() const;
  uint64_t FreeBytes() const;  // 0 without a capacity
  bool Full(absl::string_view file, uint64_t more);
  // A write to [begin, end) of the file is refused with an error.
  bool Refuses(absl::string_view file, uint64_t begin, uint64_t end) const;
  // The sector as reads see it, padded with zeros behind the end of the file.
  std::string CachedSector(const Inode& inode, uint64_t number) const;
  static uint64_t ContentHashOf(const Names& names);
  // Call before the bytes [begin, end) change.
  void Touch(Inode& inode, uint64_t begin, uint64_t end) const;
  // Marks the sectors of [begin, end), just written, as written by a device that lied. False when
  // the platter has the same bytes.
  bool Lose(Inode& inode, uint64_t begin, uint64_t end) const;
  // True when the read or the partial overwriting of these bytes needs an unreadable sector.
  bool Unreadable(const Inode& inode, uint64_t begin, uint64_t end) const;
  bool Unwritable(const Inode& inode, uint64_t begin, uint64_t end) const;
  void Resize(Inode& inode, uint64_t size) const;
  // The bytes that are certain to survive.
  std::string DurableBytes(const Inode& inode) const;
  static std::set<uint64_t> DurablyUnreadable(const Inode& inode);
  void Put(std::string& bytes, uint64_t number, const std::string& sector) const;

  // --- crash.cc ---
  std::vector<Item> Items() const;
  void CrashFile(Inode& inode, Random& chance, Tearing tearing);
  // Forgets the sectors of the cache that the device lied about, so that reads see the platter:
  // those with a byte of [begin, end).
  void DropCache(Inode& inode, uint64_t begin = 0, uint64_t end = UINT64_MAX) const;
  // True when reads of [begin, end) would show something else from the device, because it lied.
  bool LiesAbout(const Inode& inode, uint64_t begin = 0, uint64_t end = UINT64_MAX) const;

  // --- faults.cc ---
  // The place, cut to what the file has of it; nullopt when that is nothing.
  struct Reach {
    std::shared_ptr<Inode> inode;
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  std::optional<Reach> Within(const DiskPlace& place) const;
  // The bits change in cache and platter.
  void Flip(Inode& inode, uint64_t at, uint8_t mask) const;
  // Cache and platter become these bytes. False when they were.
  bool Overwrite(Inode& inode, uint64_t begin, absl::string_view bytes) const;
  // Each returns whether it changed anything.
  bool Inflict(const ReadError& fault);
  bool Inflict(const BitRot& fault);
  bool Inflict(const Garbage& fault);
  bool Inflict(const Zeros& fault);
  bool Inflict(const MissingFile& fault);
  bool Inflict(const TruncatedFile& fault);
  bool Inflict(const ExtendedFile& fault);
  bool Inflict(const StaleFile& fault);
  bool Inflict(const Amnesia& fault);
  // The bytes land where they do not belong.
  bool Misdirect(const MisdirectedWrite& fault, absl::string_view bytes);
};

template <typename Lie>
std::optional<Lie> SimDisk::Platter::Struck(absl::string_view file) {
  std::optional<Lie> struck;
  for (auto at = armed.begin(); at != armed.end();) {
    Lie* lie = std::get_if<Lie>(&*at);
    const bool meant = lie != nullptr && file.substr(0, lie->file.size()) == lie->file;
    if (meant && lie->after == 0 && !struck.has_value()) {
      struck = *lie;
      at = armed.erase(at);
      continue;
    }
    if (meant && lie->after > 0) --lie->after;
    ++at;
  }
  return struck;
}

}  // namespace raftkv::sim
