#include "storage/snapshot_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/raft/check.h"
#include "storage/encoding.h"

namespace raftkv::storage {
namespace {

constexpr absl::string_view kManifestMagic("RKVMANI\n", 8);
constexpr absl::string_view kSnapshotMagic("RKVSNAP\n", 8);
constexpr uint32_t kSnapshotVersion = 1;
constexpr uint64_t kChunkHeaderBytes = 32;
constexpr uint64_t kTrailerBytes = 48;
constexpr uint64_t kPageBytes = 4096;
constexpr uint32_t kChunkMagic = 0x4b4e4843;    // "CHNK"
constexpr uint32_t kTrailerMagic = 0x52544e53;  // "SNTR"
constexpr absl::string_view kPrefix = "snapshot-";
constexpr absl::string_view kTemporary = ".tmp";
// Of one list of a configuration; bounds what a decoder allocates.
constexpr uint32_t kMaxMembers = 256;

absl::string_view Suffix(SnapshotSource source) {
  return source == SnapshotSource::kLocal ? ".local" : ".received";
}

void PutNodes(std::string& out, const std::vector<raft::NodeId>& nodes) {
  PutU32(out, static_cast<uint32_t>(nodes.size()));
  for (raft::NodeId node : nodes) PutU64(out, node);
}

bool TakeNodes(Reader& reader, std::vector<raft::NodeId>* nodes) {
  const uint32_t count = reader.U32();
  if (!reader.ok() || count > kMaxMembers) return false;
  for (uint32_t i = 0; i < count && reader.ok(); ++i) nodes->push_back(reader.U64());
  return reader.ok();
}

// Whether what PutMeta writes is what TakeMeta takes.
bool Fits(const raft::ConfState& conf) {
  return std::max({conf.voters.size(), conf.voters_outgoing.size(), conf.learners.size(),
                   conf.learners_next.size()}) <= kMaxMembers;
}

void PutMeta(std::string& out, const raft::SnapshotMeta& meta) {
  PutU64(out, meta.index);
  PutU64(out, meta.term);
  PutU32(out, meta.conf.auto_leave ? 1 : 0);
  PutNodes(out, meta.conf.voters);
  PutNodes(out, meta.conf.voters_outgoing);
  PutNodes(out, meta.conf.learners);
  PutNodes(out, meta.conf.learners_next);
}

bool TakeMeta(Reader& reader, raft::SnapshotMeta* meta) {
  meta->index = reader.U64();
  meta->term = reader.U64();
  const uint32_t auto_leave = reader.U32();
  meta->conf.auto_leave = auto_leave == 1;
  return auto_leave <= 1 && std::max(meta->index, meta->term) <= raft::kMaxTermOrIndex &&
         TakeNodes(reader, &meta->conf.voters) && TakeNodes(reader, &meta->conf.voters_outgoing) &&
         TakeNodes(reader, &meta->conf.learners) && TakeNodes(reader, &meta->conf.learners_next);
}

bool TakeSource(Reader& reader, SnapshotSource* source) {
  const uint32_t value = reader.U32();
  *source = static_cast<SnapshotSource>(value);
  return value == static_cast<uint32_t>(SnapshotSource::kLocal) ||
         value == static_cast<uint32_t>(SnapshotSource::kReceived);
}

uint64_t ChunkPosition(uint32_t chunk_bytes, uint64_t number) {
  return kSnapshotHeaderBytes + number * (kChunkHeaderBytes + chunk_bytes);
}

std::string EncodeChunkHeader(uint64_t seed, uint64_t position, uint64_t number,
                              absl::string_view payload) {
  std::string bytes;
  PutU32(bytes, kChunkMagic);
  PutU32(bytes, static_cast<uint32_t>(payload.size()));
  PutU64(bytes, number);
  PutU64(bytes, Checksum(payload, seed + position + kChunkHeaderBytes));
  PutU64(bytes, Checksum(bytes, seed + position));
  return bytes;
}

std::string EncodeTrailer(uint64_t seed, uint64_t position, const SnapshotInfo& info,
                          uint64_t chunks) {
  std::string bytes;
  PutU32(bytes, kTrailerMagic);
  PutU32(bytes, 0);
  PutU64(bytes, info.size);
  PutU64(bytes, info.digest);
  PutU64(bytes, chunks);
  PutU64(bytes, info.meta.index);
  PutU64(bytes, Checksum(bytes, seed + position));
  RAFTKV_CHECK(bytes.size() == kTrailerBytes);
  return bytes;
}

// 4,096 bytes; nullopt when the configuration does not fit.
std::optional<std::string> EncodeHeader(const SnapshotHeader& header) {
  if (!Fits(header.meta.conf)) return std::nullopt;
  std::string body;
  PutU64(body, header.owner.cluster.high);
  PutU64(body, header.owner.cluster.low);
  PutU64(body, header.owner.node);
  PutU64(body, header.owner.incarnation);
  PutU64(body, header.owner.group);
  PutU32(body, static_cast<uint32_t>(header.source));
  PutU32(body, header.chunk_bytes);
  PutMeta(body, header.meta);
  std::string bytes(kSnapshotMagic);
  PutU32(bytes, kSnapshotVersion);
  PutU32(bytes, 0);  // features
  PutU32(bytes, static_cast<uint32_t>(body.size()));
  PutU32(bytes, 0);
  bytes.append(body);
  if (bytes.size() + 8 > kSnapshotHeaderBytes) return std::nullopt;
  PutU64(bytes, Checksum(bytes, header.seed()));
  bytes.resize(kSnapshotHeaderBytes, '\0');
  return bytes;
}

absl::StatusOr<SnapshotHeader> DecodeHeader(absl::string_view bytes) {
  constexpr uint64_t kFixed = 24;
  Reader fixed(bytes.substr(0, kFixed));
  const absl::string_view magic = fixed.Bytes(8);
  const uint32_t version = fixed.U32();
  const uint32_t features = fixed.U32();
  const uint32_t length = fixed.U32();
  const uint32_t reserved = fixed.U32();
  if (!fixed.ok() || magic != kSnapshotMagic) return absl::DataLossError("not a snapshot");
  if (bytes.size() < kFixed + 8 || length > bytes.size() - kFixed - 8) {
    return absl::DataLossError("snapshot header: impossible length");
  }
  Reader reader(bytes.substr(kFixed, length));
  SnapshotHeader header;
  header.owner.cluster.high = reader.U64();
  header.owner.cluster.low = reader.U64();
  header.owner.node = reader.U64();
  header.owner.incarnation = reader.U64();
  header.owner.group = reader.U64();
  const bool source_ok = TakeSource(reader, &header.source);
  header.chunk_bytes = reader.U32();
  const bool meta_ok = TakeMeta(reader, &header.meta);
  Reader sum(bytes.substr(kFixed + length, 8));
  // The seed needs values from inside; whatever they are, bytes that were not written here as they
  // stand do not match it.
  if (sum.U64() != Checksum(bytes.substr(0, kFixed + length), header.seed())) {
    return absl::DataLossError("snapshot header: checksum mismatch");
  }
  if (version != kSnapshotVersion || features != 0) {
    return absl::UnimplementedError(absl::StrCat("format version ", version, " with features ",
                                                 features, " is newer than this program"));
  }
  if (!source_ok || !meta_ok || !reader.done() || reserved != 0 || header.chunk_bytes == 0 ||
      header.chunk_bytes > kMaxSnapshotChunk) {
    return absl::DataLossError("snapshot header: impossible values");
  }
  return header;
}

// Reads exactly `length` bytes.
absl::StatusOr<Bytes> ReadExactly(File& file, uint64_t offset, size_t length) {
  absl::StatusOr<Bytes> bytes = file.ReadBytes(offset, length);
  if (bytes.ok() && bytes->size() != length) {
    return absl::DataLossError(absl::StrCat("file ends at ", offset + bytes->size()));
  }
  return bytes;
}

// The payload of a chunk of so many bytes. Aborted as the disk says it, else DataLoss that names
// the place.
absl::StatusOr<std::string> ReadChunkAt(File& file, const SnapshotHeader& header, uint64_t position,
                                        uint64_t number, uint64_t length) {
  const absl::StatusOr<Bytes> read = ReadExactly(file, position, kChunkHeaderBytes + length);
  if (absl::IsAborted(read.status())) return read.status();
  auto bad = [&](absl::string_view text) {
    return absl::DataLossError(absl::StrCat("offset ", position, ": chunk ", number,
                                            " of the snapshot of entry ", header.meta.index, ": ",
                                            text));
  };
  if (!read.ok()) return bad(read.status().message());
  const absl::string_view record = *read;
  const absl::string_view payload = record.substr(kChunkHeaderBytes);
  if (record.substr(0, kChunkHeaderBytes) !=
      EncodeChunkHeader(header.seed(), position, number, payload)) {
    return bad("checksum mismatch");
  }
  return std::string(payload);
}

}  // namespace

SlotFile ManifestFile(const ClusterId& cluster) {
  return {"manifest", kManifestMagic, FileSeed(cluster, FileKind::kManifest, 0)};
}

std::optional<std::string> EncodeManifest(const Manifest& manifest) {
  if (!Fits(manifest.snapshot.meta.conf)) return std::nullopt;
  std::string payload;
  PutU64(payload, manifest.first_segment);
  PutU64(payload, manifest.snapshot.size);
  PutU64(payload, manifest.snapshot.digest);
  PutU32(payload, static_cast<uint32_t>(manifest.snapshot.source));
  PutMeta(payload, manifest.snapshot.meta);
  if (payload.size() > kMaxSlotPayload) return std::nullopt;
  return payload;
}

std::optional<Manifest> DecodeManifest(absl::string_view payload) {
  Reader reader(payload);
  Manifest manifest;
  manifest.first_segment = reader.U64();
  manifest.snapshot.size = reader.U64();
  manifest.snapshot.digest = reader.U64();
  if (!TakeSource(reader, &manifest.snapshot.source)) return std::nullopt;
  if (!TakeMeta(reader, &manifest.snapshot.meta)) return std::nullopt;
  if (!reader.done() || manifest.first_segment == 0 ||
      manifest.first_segment > raft::kMaxTermOrIndex) {
    return std::nullopt;
  }
  return manifest;
}

std::string SnapshotName(raft::Index index, SnapshotSource source) {
  return absl::StrCat(kPrefix, absl::StrFormat("%020d", index), Suffix(source));
}

bool IsSnapshotName(absl::string_view name) {
  absl::string_view rest = absl::StripSuffix(name, kTemporary);
  for (SnapshotSource source : {SnapshotSource::kLocal, SnapshotSource::kReceived}) {
    absl::string_view digits = rest;
    if (!absl::ConsumePrefix(&digits, kPrefix)) continue;
    if (!absl::ConsumeSuffix(&digits, Suffix(source))) continue;
    uint64_t index = 0;
    if (digits.size() == 20 && absl::SimpleAtoi(digits, &index)) return true;
  }
  return false;
}

uint64_t SnapshotHeader::seed() const {
  return FileSeed(owner.cluster, FileKind::kSnapshot,
                  2 * meta.index + static_cast<uint64_t>(source) - 1);
}

absl::StatusOr<SnapshotFile> SnapshotFile::Open(Disk& disk, const std::string& name,
                                                const ClusterId& cluster, bool from_device) {
  SnapshotFile snapshot;
  snapshot.from_device_ = from_device;
  snapshot.path_ = absl::StrCat(disk.Describe(), "/", name);
  auto bad = [&](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(snapshot.path_, ": ", status.message()));
  };
  absl::StatusOr<std::unique_ptr<File>> file = disk.Open(name, Disk::Mode::kRead);
  if (!file.ok()) return file.status();
  snapshot.file_ = *std::move(file);
  absl::StatusOr<uint64_t> size = snapshot.file_->Size();
  if (!size.ok()) return size.status();
  if (*size < kSnapshotHeaderBytes + kTrailerBytes) {
    return bad(absl::DataLossError(absl::StrCat(*size, " bytes are too few for a snapshot")));
  }
  if (from_device) {
    snapshot.file_->Forget(0, kSnapshotHeaderBytes);
    snapshot.file_->Forget(*size - kTrailerBytes, kTrailerBytes);
  }
  const absl::StatusOr<Bytes> head = ReadExactly(*snapshot.file_, 0, kSnapshotHeaderBytes);
  if (!head.ok()) return bad(head.status());
  absl::StatusOr<SnapshotHeader> header = DecodeHeader(*head);
  if (!header.ok()) return bad(header.status());
  if (header->owner.cluster != cluster) {
    return bad(
        absl::DataLossError(absl::StrCat("belongs to cluster ", ToHex(header->owner.cluster))));
  }
  snapshot.header_ = *std::move(header);

  const uint64_t position = *size - kTrailerBytes;
  const absl::StatusOr<Bytes> tail = ReadExactly(*snapshot.file_, position, kTrailerBytes);
  if (!tail.ok()) return bad(tail.status());
  Reader reader(*tail);
  const uint32_t magic = reader.U32();
  const uint32_t reserved = reader.U32();
  SnapshotInfo& info = snapshot.info_;
  info.meta = snapshot.header_.meta;
  info.source = snapshot.header_.source;
  info.size = reader.U64();
  info.digest = reader.U64();
  const uint64_t chunks = reader.U64();
  const raft::Index index = reader.U64();
  const uint64_t seed = snapshot.header_.seed();
  const absl::string_view summed = absl::string_view(*tail).substr(0, kTrailerBytes - 8);
  if (magic != kTrailerMagic || reader.U64() != Checksum(summed, seed + position)) {
    return bad(absl::DataLossError(absl::StrCat("offset ", position, ": no valid trailer")));
  }
  if (reserved != 0 || index != info.meta.index || info.size > *size ||
      chunks != snapshot.chunks() ||
      position != kSnapshotHeaderBytes + chunks * kChunkHeaderBytes + info.size) {
    return bad(absl::DataLossError("trailer and size of the file disagree"));
  }
  snapshot.end_ = position;
  return snapshot;
}

uint64_t SnapshotFile::chunks() const {
  return (info_.size + header_.chunk_bytes - 1) / header_.chunk_bytes;
}

uint64_t SnapshotFile::ChunkOffset(uint64_t number) const {
  return ChunkPosition(header_.chunk_bytes, number);
}

absl::StatusOr<std::string> SnapshotFile::ReadChunk(uint64_t number) const {
  const uint64_t position = ChunkOffset(number);
  const uint64_t begin = number * header_.chunk_bytes;
  const size_t length = std::min<uint64_t>(header_.chunk_bytes, info_.size - begin);
  if (from_device_) file_->Forget(position, kChunkHeaderBytes + length);
  absl::StatusOr<std::string> payload = ReadChunkAt(*file_, header_, position, number, length);
  if (payload.ok() || absl::IsAborted(payload.status())) return payload;
  return absl::DataLossError(absl::StrCat(path_, ": ", payload.status().message()));
}

absl::StatusOr<std::string> SnapshotFile::Read(uint64_t offset, uint64_t length) const {
  if (length > kMaxSnapshotChunk) {
    return absl::InvalidArgumentError(absl::StrCat("asked for ", length, " bytes of a snapshot, ",
                                                   kMaxSnapshotChunk, " are allowed at once"));
  }
  if (offset > info_.size) {
    return absl::OutOfRangeError(
        absl::StrCat("offset ", offset, " in a snapshot of ", info_.size, " bytes"));
  }
  const uint64_t end = offset + std::min(length, info_.size - offset);
  std::string bytes;
  while (offset < end) {
    const uint64_t number = offset / header_.chunk_bytes;
    absl::StatusOr<std::string> chunk = ReadChunk(number);
    if (!chunk.ok()) return chunk.status();
    const uint64_t begin = number * header_.chunk_bytes;
    const uint64_t take = std::min(end, begin + chunk->size()) - offset;
    bytes.append(*chunk, offset - begin, take);
    offset += take;
  }
  return bytes;
}

SnapshotWriter::SnapshotWriter(Disk& disk, const Options& options, SnapshotHeader header)
    : disk_(disk),
      options_(options),
      header_(std::move(header)),
      name_(SnapshotName(header_.meta.index, header_.source)) {}

absl::StatusOr<std::unique_ptr<SnapshotWriter>> SnapshotWriter::Create(
    Disk& disk, const Identity& owner, const Options& options, SnapshotSource source,
    const raft::SnapshotMeta& meta) {
  SnapshotHeader header{owner, meta, source, options.snapshot_chunk_bytes};
  const std::optional<std::string> bytes = EncodeHeader(header);
  if (!bytes) {
    return absl::InvalidArgumentError("the configuration of the snapshot has too many members");
  }
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(disk, options, std::move(header)));
  const std::string temporary = absl::StrCat(writer->name_, kTemporary);
  absl::Status status = disk.Remove(temporary);
  if (!status.ok() && !absl::IsNotFound(status)) return status;
  absl::StatusOr<std::unique_ptr<File>> file = disk.Create(temporary);
  if (!file.ok()) return file.status();
  writer->file_ = *std::move(file);
  status = writer->file_->Write(0, *bytes);
  if (!status.ok()) return status;
  writer->position_ = bytes->size();
  return writer;
}

// One step of three for three stretches of the file, none of which takes long: what was asked of
// the device a step ago is compared, what it was told to write a step ago is synced, and the next
// chunk is on its way.
absl::Status SnapshotWriter::WriteChunk() {
  absl::Status status = Verify(ChunksBefore(refetched_ - refetched_ % kPageBytes));
  if (!status.ok()) return status;
  if (unsynced_ >= options_.snapshot_sync_bytes) {
    status = Note(file_->Sync());
    if (!status.ok()) return status;
    unsynced_ = 0;
    Refetch(position_);
  }
  const uint64_t number =
      (position_ - kSnapshotHeaderBytes) / (kChunkHeaderBytes + header_.chunk_bytes);
  std::string record = EncodeChunkHeader(header_.seed(), position_, number, chunk_);
  record.append(chunk_);
  status = Note(file_->Write(position_, record));
  if (!status.ok()) return status;
  file_->StartWriting(position_, record.size());
  position_ += record.size();
  chunk_.clear();
  unsynced_ += record.size();
  return absl::OkStatus();
}

// What the device has of the file up to `end` is going to be read, and not what the cache still has
// of it: the log is given up for this. A page that was written in part stays in the cache until the
// next time.
void SnapshotWriter::Refetch(uint64_t end) {
  const uint64_t begin = refetched_ - refetched_ % kPageBytes;
  file_->Forget(begin, end - begin);
  file_->StartReading(begin, end - begin);
  refetched_ = end;
}

uint64_t SnapshotWriter::ChunksBefore(uint64_t position) const {
  if (position <= kSnapshotHeaderBytes) return 0;
  return (position - kSnapshotHeaderBytes) / (kChunkHeaderBytes + header_.chunk_bytes);
}

absl::Status SnapshotWriter::Verify(uint64_t chunks) {
  for (; verified_ < chunks; ++verified_) {
    const uint64_t position = ChunkPosition(header_.chunk_bytes, verified_);
    absl::StatusOr<std::string> payload =
        ReadChunkAt(*file_, header_, position, verified_, header_.chunk_bytes);
    if (!payload.ok()) {
      return absl::IsAborted(payload.status())
                 ? payload.status()
                 : absl::DataLossError(absl::StrCat(disk_.Describe(), "/", name_, kTemporary, ": ",
                                                    payload.status().message()));
    }
    verified_digest_.Add(*payload);
    // Nobody needs it soon: the memory is for others.
    file_->Forget(position, kChunkHeaderBytes + payload->size());
  }
  return absl::OkStatus();
}

absl::Status SnapshotWriter::Note(absl::Status status) {
  device_failed_ |= !status.ok() && !absl::IsResourceExhausted(status);
  return status;
}

absl::Status SnapshotWriter::Append(absl::string_view bytes) {
  digest_.Add(bytes);
  size_ += bytes.size();
  while (!bytes.empty()) {
    const size_t take = std::min<size_t>(bytes.size(), header_.chunk_bytes - chunk_.size());
    chunk_.append(bytes.data(), take);
    bytes.remove_prefix(take);
    if (chunk_.size() < header_.chunk_bytes) break;
    absl::Status status = WriteChunk();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SnapshotWriter::WriteEnd() {
  if (!chunk_.empty()) {
    absl::Status status = WriteChunk();
    if (!status.ok()) return status;
  }
  const SnapshotInfo info{header_.meta, size_, digest_.value(), header_.source};
  const uint64_t chunks = (size_ + header_.chunk_bytes - 1) / header_.chunk_bytes;
  absl::Status status =
      Note(file_->Write(position_, EncodeTrailer(header_.seed(), position_, info, chunks)));
  return status.ok() ? Note(file_->Sync()) : status;
}

absl::StatusOr<std::optional<SnapshotInfo>> SnapshotWriter::FinishStep(
    std::optional<uint64_t> expected_digest) {
  if (finished_) return finished_;
  const std::string temporary = absl::StrCat(name_, kTemporary);
  if (!reading_) {
    if (expected_digest && *expected_digest != digest_.value()) {
      return absl::DataLossError(
          absl::StrFormat("snapshot of entry %d: the bytes have digest %016x, expected %016x",
                          header_.meta.index, digest_.value(), *expected_digest));
    }
    absl::Status status = WriteEnd();
    if (!status.ok()) return status;
    Refetch((position_ + kTrailerBytes + kPageBytes - 1) / kPageBytes * kPageBytes);
    absl::StatusOr<SnapshotFile> reading =
        SnapshotFile::Open(disk_, temporary, header_.owner.cluster);
    if (!reading.ok()) return reading.status();
    reading_ = *std::move(reading);
  }
  // As many chunks as make up one step.
  for (uint64_t step = 0; step < kMaxSnapshotChunk && verified_ < reading_->chunks(); ++verified_) {
    absl::StatusOr<std::string> chunk = reading_->ReadChunk(verified_);
    if (!chunk.ok()) return chunk.status();
    verified_digest_.Add(*chunk);
    step += header_.chunk_bytes;
  }
  if (verified_ < reading_->chunks()) return std::optional<SnapshotInfo>();
  if (verified_digest_.value() != digest_.value()) {
    return absl::DataLossError(absl::StrCat("snapshot of entry ", header_.meta.index,
                                            ": what was read back is not what was written"));
  }
  absl::Status status = Note(disk_.Rename(temporary, name_));
  if (status.ok()) status = Note(disk_.SyncDir());
  if (!status.ok()) return status;
  finished_ = reading_->info();
  return finished_;
}

absl::Status SnapshotWriter::Discard() {
  absl::Status status = disk_.Remove(finished_ ? name_ : absl::StrCat(name_, kTemporary));
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace raftkv::storage
