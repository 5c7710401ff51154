#include "sim/oracles/receipts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace raftkv::sim {
namespace {

// What was acknowledged of older snapshots is asked about no more, also if pieces of them come
// late.
constexpr size_t kMostReceipts = 8;

bool Contains(const std::vector<uint64_t>& transfers, uint64_t transfer) {
  return std::find(transfers.begin(), transfers.end(), transfer) != transfers.end();
}

}  // namespace

void Receipts::Hears(const wire::SnapshotChunk& chunk) {
  auto receipt = std::find_if(receipts_.begin(), receipts_.end(), [&chunk](const Receipt& one) {
    return one.index == chunk.meta.index && one.size == chunk.total_size &&
           one.digest == chunk.digest;
  });
  if (receipt == receipts_.end()) {
    if (receipts_.size() == kMostReceipts) {
      const auto oldest =
          std::min_element(receipts_.begin(), receipts_.end(),
                           [](const Receipt& a, const Receipt& b) { return a.index < b.index; });
      receipts_.erase(oldest);
    }
    receipts_.push_back({chunk.meta.index, chunk.total_size, chunk.digest, {}, {}, 0});
    receipt = receipts_.end() - 1;
  }
  if (!Contains(receipt->transfers, chunk.transfer)) {
    receipt->transfers.push_back(chunk.transfer);
  }
  uint64_t& end = receipt->heard[chunk.offset];
  end = std::max(end, chunk.offset + chunk.bytes.size());
}

std::string Receipts::Says(const wire::SnapshotAck& ack) {
  const auto receipt = std::find_if(receipts_.begin(), receipts_.end(), [&ack](const Receipt& one) {
    return Contains(one.transfers, ack.transfer);
  });
  if (receipt == receipts_.end() || ack.status == wire::SnapshotAckStatus::kRefused ||
      ack.status == wire::SnapshotAckStatus::kFailed) {
    return {};
  }
  const uint64_t next = ack.next_offset;
  if (ack.status == wire::SnapshotAckStatus::kDone && next != receipt->size) {
    return absl::StrCat("says that it has the snapshot of entry ", receipt->index, ", and ", next,
                        " of its ", receipt->size, " bytes");
  }
  // It may begin anew at any time.
  const auto follows = [&](uint64_t begin) {
    const auto piece = receipt->heard.find(begin);
    return piece != receipt->heard.end() && piece->second == next;
  };
  if (next != 0 && next != receipt->acknowledged && !follows(receipt->acknowledged) &&
      !follows(0)) {
    return absl::StrCat("acknowledges ", next, " bytes of the snapshot of entry ", receipt->index,
                        " after ", receipt->acknowledged,
                        ", and has not heard the piece in between");
  }
  receipt->acknowledged = next;
  return {};
}

}  // namespace raftkv::sim
