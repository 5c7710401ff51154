// A disk in memory that forgets like a real one.
//
// The fault model
//
// Every file has what reads see (the page cache) and what the platter holds. A write changes the
// cache; its sectors are dirty until the file is synced. Directory entries work the same way: a
// created, renamed or removed name is pending until SyncDir. Nothing reaches the platter on its own
// account, and anything may: that is decided at the crash.
//
// At a crash (power loss, Crash())
//   - each dirty sector independently keeps its old bytes, gets any one of the versions written
//     since the last sync, or is torn: a prefix of the new bytes followed by the old ones, garbage,
//     or zeros. Sectors are 512 or 4096 bytes (Options::sector_bytes);
//   - a file's size is data of its own: old or new, whatever its sectors became. Sectors inside the
//     size that never were written read as zeros;
//   - pending directory changes survive each on its own (the default), or as a prefix of their
//     order, as a journal gives. A name whose creation is lost takes the file's synced bytes with
//     it. A rename is atomic;
//   - what was synced, name and bytes, is there.
//
// When the process dies but the machine does not (ProcessCrash()) nothing is lost: the cache lives
// on, dirty as it was.
//
// A budget of operations (SetOperationBudget) puts a crash between, or in the middle of, any two
// operations: the mutating operation that finds the budget empty is in flight when the power fails,
// so its effect is pending like that of any unsynced one, and it and every later call fail with a
// status for which IsCrash() holds, until Crash() or ProcessCrash().
//
// Injected errors (InjectFault, or at random with Options)
//   - write: DataLoss, a prefix of the bytes is in the cache;
//   - sync: DataLoss. As on ext4 the dirty sectors are then *clean*: reads show the new bytes, the
//     platter has the old ones or, sometimes, torn ones, the next sync returns OK and changes
//     nothing about it. Only writing the sectors again helps;
//   - full: ResourceExhausted from Create, Allocate and writes that make the file longer.
//
// Everything else (read errors, rot, lost and misdirected writes, files that vanish or return) is
// in disk_fault.h.
//
// Deterministic: the only chance is the Random handed to Crash() and, for random errors, to the
// constructor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/raft/random.h"
#include "sim/disk/disk_fault.h"
#include "storage/disk.h"

namespace raftkv::sim {

// True for the error every call returns once the power is off.
bool IsCrash(const absl::Status& status);

class SimDisk final : public storage::Disk {
 public:
  struct Options {
    uint32_t sector_bytes = 512;  // unit of tearing: 512 or 4096
    // Pending directory changes survive as a prefix instead of each on its own.
    bool ordered_directory = false;
    uint32_t write_error_per_mille = 0;    // random DataLoss on File::Write
    uint32_t sync_error_per_mille = 0;     // random DataLoss on File::Sync
    uint64_t capacity_bytes = UINT64_MAX;  // sum of file sizes above this: ResourceExhausted
  };

  enum class Operation : uint8_t {
    kWrite,
    kSync,
    kAllocate,
    kCreate,
    kRename,
    kRemove,
    kSyncDir,
    kTruncate,
    kRead
  };

  // Effects that took place, for the summary of a run.
  struct Counters {
    uint64_t operations = 0;  // mutating ones
    uint64_t writes = 0;
    uint64_t bytes_written = 0;
    uint64_t syncs = 0;
    uint64_t dir_syncs = 0;
    uint64_t reads = 0;
    uint64_t crashes = 0;       // power losses
    uint64_t lost_sectors = 0;  // dirty sectors that kept old bytes at a crash
    uint64_t kept_sectors = 0;  // dirty sectors that survived although unsynced
    uint64_t torn_sectors = 0;  // dirty sectors that became a mixture, garbage or zeros
    uint64_t torn_writes = 0;   // files of which a crash kept some unsynced sectors and lost others
    uint64_t lost_names = 0;    // directory changes undone by a crash
    uint64_t injected_write_errors = 0;
    uint64_t injected_sync_errors = 0;
    uint64_t full_errors = 0;
    uint64_t unreadable = 0;  // reads and writes that failed at unreadable sectors
  };

  explicit SimDisk(const Options& options, Random random = Random(0));
  ~SimDisk() override;

  // --- storage::Disk ---
  absl::StatusOr<std::unique_ptr<storage::File>> Open(absl::string_view name, Mode mode) override;
  absl::StatusOr<std::unique_ptr<storage::File>> Create(absl::string_view name) override;
  absl::Status Rename(absl::string_view from, absl::string_view to) override;
  absl::Status Remove(absl::string_view name) override;
  absl::Status SyncDir() override;
  absl::StatusOr<std::vector<std::string>> List() override;
  absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> Lock() override;
  std::string Describe() const override;

  // --- crashes ---
  // After `operations` more mutating operations the power fails. nullopt: never.
  void SetOperationBudget(std::optional<uint64_t> operations);
  bool powered_off() const;  // the budget ran out, or PowerOff() was called
  void PowerOff();           // at once, between two operations
  // Applies the loss model and powers on again without a budget. Files opened and locks taken
  // before stay dead: their calls fail.
  // kWhole: no sector becomes a mixture, garbage or zeros; each is old or new, and can be read: a
  // bad one has been replaced for good by the write that is undone.
  // kNothingKept: as kWhole, and nothing is left to chance; all that was not synced is lost.
  enum class Tearing : uint8_t { kAny, kWhole, kNothingKept };
  void Crash(Random& random, Tearing tearing = Tearing::kAny);
  // The process is gone, the machine is not: as Crash, but nothing is lost.
  void ProcessCrash();
  // The cache of what is believed to be on the platter is dropped, as for lack of memory: reads see
  // what a failed sync or a lie of the device left there.
  void DropCache();
  // What the device pretended to have written, it has written now.
  void ComeClean();
  // Asked whenever what the device lied about is about to come to light: at a power loss, when the
  // cache is dropped, and when the owner of a file has a part of it dropped (File::Forget) to read
  // from the device. `kept` is what would be left for certain if the device had told the truth,
  // `left` what will be; both are copies, to be used up. If the answer is false, the device comes
  // clean instead. All lies come to light together. Not copied by Clone. Null, as at first: nobody
  // is asked.
  using MayForget = std::function<bool(SimDisk& kept, SimDisk& left)>;
  void AskBeforeForgetting(MayForget may_forget);
  // Called in front of each change of a name and of the directory's sync, if it takes effect: the
  // disk is then as a power loss may find it, and may be looked at. Not copied by Clone. Null, as
  // at first: nobody is called.
  void CallBeforeNamesChange(std::function<void()> look);
  // Something was lied about that has neither come to light nor been written again.
  bool Lies() const;
  // One thing that a crash decides by itself: a sector or a size that is not synced, or a pending
  // change of the directory.
  struct Undecided {
    enum class Kind : uint8_t { kSector, kSize, kName };
    Kind kind;
    std::string file;     // by one of its names; kName: the name that changes
    uint64_t sector = 0;  // kSector: its number
  };
  // All of them, in an order that depends on what was done only. Sectors that a failed sync has
  // lost, and those written with what they held, are not among them.
  std::vector<Undecided> WhatIsUndecided() const;
  // What becomes of a sector. A size or a name is old, or else new.
  enum class Fate : uint8_t { kOld, kNew, kHalf, kGarbage, kZeros };
  // As Crash, but chosen instead of drawn: one fate for each of the above.
  void CrashAs(const std::vector<Fate>& fates);

  // --- faults ---
  // The `nth` (0: the next) operation of that kind from now fails once: DataLoss, or
  // ResourceExhausted for kAllocate and kCreate.
  void InjectFault(Operation operation, uint64_t nth);
  void TakeBackFaults();  // those that have not come yet
  // A part of the device that takes no writes until it is told otherwise, also after crashes.
  // kError: a write that touches the place in a file whose name begins with at.file fails with
  // DataLoss and changes nothing. kFull: such a file is not made, nor made longer.
  struct Refusal {
    enum class Kind : uint8_t { kError, kFull };
    Kind kind = Kind::kError;
    DiskPlace at;
  };
  void Refuse(std::optional<Refusal> refusal);  // instead of the one before; nullopt: none
  void set_options(const Options& options);     // new error rates and capacity from now on
  const Options& options() const;
  // Injects a fault now, or arms a lie. False when it changed nothing.
  bool Inject(const DiskFault& fault);
  // Lies that are armed and have not struck will not.
  void Disarm();
  // What StaleFile and Amnesia return to: what is certain to survive a crash now. Instead of what
  // was remembered before.
  void Remember();
  // XORs the byte with `mask` in cache and platter. False when there is no such byte.
  bool Corrupt(absl::string_view name, uint64_t offset, uint8_t mask);
  // Removes everything, names and bytes: a replaced disk.
  void Wipe();

  // --- for oracles and tests ---
  const Counters& counters() const;
  const DiskFaultCounters& effects() const;  // faults that changed something, by kind
  // Nothing has ever happened to it but that unsynced sectors and names were lost, or became
  // mixtures: no fault, no error.
  bool HasOnlyLostPower() const;
  // A disk that holds what is certain to survive a crash now: synced bytes under synced names.
  std::unique_ptr<SimDisk> DurableImage() const;
  // A disk with the same contents, dirt, pending changes and memory. Armed faults, budget and
  // counters are not copied.
  std::unique_ptr<SimDisk> Clone() const;
  // Reads of both give the same, also from a dropped cache: the names are the same, and lead to
  // files of the same bytes, of which nothing is lost. What is not synced may differ. Costs a
  // comparison of names, and of bytes that one of the disks has changed since it was copied from
  // the other. False proves nothing.
  bool ReadsLike(const SimDisk& other) const;
  // Sectors of the files whose name begins with `prefix` that are dirty, or lost to a failed sync
  // or a lie and not written again. 0 and !DirectoryDirty() mean that those files survive any
  // crash.
  uint64_t UnsyncedSectors(absl::string_view prefix) const;
  bool DirectoryDirty() const;
  uint64_t used_bytes() const;  // what capacity_bytes is compared with
  // Hash of names and bytes as reads see them.
  uint64_t ContentHash() const;

 private:
  struct Inode;
  class Names;
  struct Item;
  struct Platter;
  class OpenFile;
  class Held;
  struct Again {};
  SimDisk(Again, std::shared_ptr<Platter> platter);  // the same disk once more
  std::shared_ptr<Platter> platter_;
};

}  // namespace raftkv::sim
