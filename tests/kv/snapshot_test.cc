#include "core/kv/snapshot.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/kv/limits.h"
#include "core/raft/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/kv/golden.h"
#include "tests/kv/store_fixture.h"

namespace raftkv::kv {
namespace {

using testing::HasSubstr;

class SnapshotTest : public StoreTest {
 protected:
  // A little of everything a store can hold.
  void Fill() {
    Apply({Set("", "empty key"), Set("apple", "1"), Set("zero", ""),
           Set(absl::string_view("a\0b", 3), "\xff")});
    const uint64_t session = Open(1'700'000'000'000);
    InSession(session, 1, {IncrBy("apple", 41), Get("apple")});
    InSession(session, 3, {Get("nothing")}, 1);
    Open();
  }

  absl::StatusOr<Store> Load(absl::string_view bytes, size_t piece = SIZE_MAX) {
    SnapshotReader reader(store_.options());
    while (!bytes.empty()) {
      const absl::Status status = reader.Add(bytes.substr(0, piece));
      if (!status.ok()) return status;
      bytes.remove_prefix(std::min(piece, bytes.size()));
    }
    return reader.Finish();
  }
};

TEST_F(SnapshotTest, RoundTripKeepsEverything) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  auto loaded = Load(bytes);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Digest(), store_.Digest());
  EXPECT_EQ(loaded->memory_bytes(), store_.memory_bytes());
  EXPECT_EQ(loaded->size(), store_.size());
  EXPECT_EQ(loaded->session_count(), 2u);
  EXPECT_EQ(loaded->log_time_ms(), 1'700'000'000'000u);
  EXPECT_EQ(SnapshotOf(*loaded), bytes);

  // A retry that arrives after the snapshot was installed is still answered, not executed.
  const raft::Index session = 2;
  Command retry = Of({Get("nothing")});
  retry.session = session;
  retry.sequence = 3;
  const Result again = loaded->Apply(100, retry);
  EXPECT_EQ(again.outcome, Outcome::kOk);
  EXPECT_EQ(again.index, 4u);
  retry.sequence = 1;
  EXPECT_EQ(loaded->Apply(101, retry).outcome, Outcome::kStaleSequence);
}

TEST_F(SnapshotTest, AnEmptyStoreRoundTrips) {
  const std::string bytes = SnapshotOf(store_);
  EXPECT_EQ(bytes.size(), 80u + 9u);
  ASSERT_TRUE(Load(bytes).ok());
  EXPECT_EQ(Load(bytes)->Digest(), store_.Digest());
}

TEST_F(SnapshotTest, SlicesAreExactAndDoNotChangeTheBytes) {
  Fill();
  Apply({Set("large", std::string(10'000, 'x'))});
  const std::string bytes = SnapshotOf(store_);
  for (const size_t slice : {1u, 2u, 7u, 80u, 4096u}) {
    SnapshotWriter writer(store_.View());
    std::string out;
    while (!writer.done()) {
      const size_t before = out.size();
      const size_t written = writer.Next(slice, &out);
      ASSERT_EQ(written, out.size() - before);
      ASSERT_EQ(written, std::min(slice, bytes.size() - before));
    }
    EXPECT_EQ(out, bytes);
    EXPECT_EQ(writer.bytes_written(), bytes.size());
    EXPECT_EQ(writer.Next(slice, &out), 0u);
  }
}

TEST_F(SnapshotTest, AnySplitReadsTheSame) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const auto loaded = Load(bytes, piece);
    ASSERT_TRUE(loaded.ok()) << piece << loaded.status();
    ASSERT_EQ(loaded->Digest(), store_.Digest());
  }
}

TEST_F(SnapshotTest, WritingGoesOnWhileTheStoreChanges) {
  for (int i = 0; i < 5000; ++i) Apply({Set(absl::StrCat("k", i), absl::StrCat(i))});
  const uint64_t digest = store_.Digest();
  const std::string bytes = SnapshotOf(store_);
  std::string out;
  {
    SnapshotWriter writer(store_.View());
    for (int i = 0; !writer.done(); ++i) {
      writer.Next(64, &out);
      Apply({Set(absl::StrCat("k", i % 5000), "changed"),
             Delete(absl::StrCat("k", 4999 - i % 5000))});
    }
  }
  EXPECT_EQ(out, bytes);
  EXPECT_NE(store_.Digest(), digest);
  while (store_.ReleaseSome(1000) > 0) {
  }
  EXPECT_EQ(store_.live_entries(), store_.size());
}

TEST_F(SnapshotTest, TheWriterOutlivesTheContentItWrites) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  SnapshotWriter writer(store_.View());
  std::string out;
  writer.Next(100, &out);
  store_.Install(Store(StoreOptions()));
  while (store_.ReleaseSome(1000) > 0) {
  }
  writer.Next(SIZE_MAX, &out);
  EXPECT_EQ(out, bytes);
}

TEST_F(SnapshotTest, DifferentHistoriesOfEqualContentGiveEqualBytes) {
  Store other((StoreOptions()));
  std::vector<Op> ops;
  std::vector<std::string> keys;
  for (int i = 0; i < 3000; ++i) keys.push_back(absl::StrCat("key", i * 7919 % 3000));
  for (const std::string& key : keys) store_.Apply(1, Of({Set(key, "old")}));
  for (const std::string& key : keys) store_.Apply(2, Of({Set(key, "v")}));
  for (int i = 0; i < 3000; ++i)
    other.Apply(2, Of({Set(absl::StrCat("key", i), "v"), Set("passing", "x")}));
  EXPECT_NE(other.Digest(), store_.Digest());
  other.Apply(3, Of({Delete("passing")}));
  EXPECT_EQ(other.Digest(), store_.Digest());
  EXPECT_EQ(SnapshotOf(other), SnapshotOf(store_));
}

TEST_F(SnapshotTest, GoldenBytes) {
  Fill();
  const std::string golden = ReadGolden("snapshot_v1.hex");
  ASSERT_FALSE(golden.empty());
  EXPECT_EQ(absl::BytesToHexString(SnapshotOf(store_)), absl::BytesToHexString(golden));
  const auto loaded = Load(golden);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Digest(), store_.Digest());
}

// ---- bad input ----

TEST_F(SnapshotTest, EveryCutIsAnErrorThatSaysWhere) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto loaded = Load(absl::string_view(bytes).substr(0, size));
    ASSERT_FALSE(loaded.ok());
    ASSERT_EQ(loaded.status().message(),
              absl::StrCat("snapshot: ends early, after ", size, " bytes"));
  }
  EXPECT_THAT(Load(bytes + "x").status().message(),
              HasSubstr(absl::StrCat("at byte ", bytes.size(), ": bytes after")));
}

TEST_F(SnapshotTest, EveryDamagedByteIsFound) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      ASSERT_FALSE(Load(damaged, 50).ok()) << at << " bit " << bit;
    }
  }
}

TEST_F(SnapshotTest, RandomDamageNeverCrashes) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (uint64_t i = random.Between(1, 5); i > 0; --i) {
      const size_t at = random.Below(damaged.size());
      switch (random.Below(3)) {
        case 0:
          damaged[at] = static_cast<char>(random.Below(256));
          break;
        case 1:
          damaged.insert(at, 1, static_cast<char>(random.Below(256)));
          break;
        default:
          damaged.erase(at, 1);
      }
    }
    if (damaged == bytes) continue;
    ASSERT_FALSE(Load(damaged, random.Between(1, 100)).ok());
  }
}

TEST_F(SnapshotTest, TheFirstErrorIsFinal) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  SnapshotReader reader(store_.options());
  const absl::Status first = reader.Add(
      "garbage that is long enough to be a header, or so one would think; it is not, though");
  EXPECT_EQ(first.message(), "snapshot: at byte 0: not a snapshot (bad magic)");
  EXPECT_EQ(reader.Add(bytes), first);
  EXPECT_EQ(reader.Finish().status(), first);
}

TEST_F(SnapshotTest, HeadersOfOtherWorldsAreRefused) {
  Fill();
  const std::string bytes = SnapshotOf(store_);
  const auto load_with = [&](size_t at, char value) {
    std::string changed = bytes;
    changed[at] = value;
    return Load(changed).status();
  };
  EXPECT_THAT(load_with(8, 2).message(), HasSubstr("format 2, this program reads format 1"));
  EXPECT_THAT(load_with(12, 1).message(), HasSubstr("unknown feature bits 1"));
  EXPECT_EQ(load_with(24, 2).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(load_with(24, 2).message(), HasSubstr("feature level 2"));
  EXPECT_THAT(load_with(40, 65).message(),
              HasSubstr("made with results_kept = 65, this replica has 64"));
  EXPECT_EQ(load_with(bytes.size() - 1, static_cast<char>(~bytes.back())).code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotTest, KeysMustAscendAndSizesKeepTheirLimits) {
  Apply({Set("a", "1"), Set("b", "2")});
  const std::string bytes = SnapshotOf(store_);
  std::string swapped = bytes;
  swapped[82] = 'b';  // 80 of header, tag, length, key
  EXPECT_THAT(Load(swapped).status().message(), HasSubstr("at byte 86: keys do not ascend"));
  std::string long_key = bytes.substr(0, 81) + "\x81\x80\x04" + std::string(kMaxKeyBytes + 1, 'k');
  EXPECT_THAT(Load(long_key).status().message(),
              HasSubstr("at byte 80: a key, version or value is not well formed"));
  std::string long_value = bytes.substr(0, 84) + "\x81\x80\x80\x04";
  EXPECT_THAT(Load(long_value).status().message(), HasSubstr("not well formed or too large"));
  std::string version_zero = bytes;
  version_zero[83] = 0;
  EXPECT_THAT(Load(version_zero).status().message(), HasSubstr("version 0"));
  // The index of the next command would be smaller.
  std::string last_version = bytes;
  last_version.replace(83, 1, std::string(9, '\xff') + '\x01');
  EXPECT_THAT(Load(last_version).status().message(), HasSubstr("a version that no log gets to"));
}

TEST_F(SnapshotTest, TheLargestEntryRoundTripsInChunks) {
  Apply({Set(std::string(kMaxKeyBytes, 'k'), std::string(kMaxValueBytes, 'v')), Set("a", "b")});
  const auto loaded = Load(SnapshotOf(store_, 256 << 10), 256 << 10);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->Digest(), store_.Digest());
}

}  // namespace
}  // namespace raftkv::kv
