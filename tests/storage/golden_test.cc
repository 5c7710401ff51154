// The formats do not change by accident. tests/golden/storage holds, for each released version of
// the formats, the files of one small directory as hexadecimal text, and what recovery and
// inspection make of them. Version 1 must be written byte for byte as it is there, and read for
// ever.
//
// RAFTKV_UPDATE_GOLDEN=1 writes the files anew: only for a version that was never released.
#include "tests/kv/golden.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "storage/inspect.h"
#include "storage/reserve.h"
#include "tests/storage/storage_fixture.h"

namespace raftkv::storage {
namespace {

const char* const kFolder = RAFTKV_SOURCE_DIR "/tests/golden/storage/v1/";

bool Updating() { return std::getenv("RAFTKV_UPDATE_GOLDEN") != nullptr; }

std::string ReadText(const std::string& name) {
  std::ifstream in(kFolder + name);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void Compare(const std::string& name, const std::string& text) {
  if (Updating()) std::ofstream(kFolder + name) << text;
  EXPECT_EQ(ReadText(name), text) << name << " is not written as it was";
}

// "size 8192", then lines of offset and 32 bytes; lines of zeros are left out.
std::string ToHexText(const std::string& bytes) {
  std::string text = absl::StrCat("size ", bytes.size(), "\n");
  for (size_t at = 0; at < bytes.size(); at += 32) {
    const std::string line = bytes.substr(at, 32);
    if (line.find_first_not_of('\0') == std::string::npos) continue;
    absl::StrAppendFormat(&text, "%08x %s\n", at, absl::BytesToHexString(line));
  }
  return text;
}

std::string FromHexText(const std::string& text) {
  std::string bytes;
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  for (const std::string& line : lines) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "size") {
      uint64_t size = 0;
      EXPECT_TRUE(absl::SimpleAtoi(words[1], &size));
      bytes.resize(size);
      continue;
    }
    uint64_t at = 0;
    EXPECT_TRUE(absl::SimpleHexAtoi(words[0], &at));
    const std::string piece = absl::HexStringToBytes(words[1]);
    bytes.replace(at, piece.size(), piece);
  }
  return bytes;
}

class GoldenTest : public StorageTest {
 protected:
  // A short life that leaves every kind of record behind.
  void Live() {
    const absl::Status status = Storage::Init(
        disk_, TestIdentity(), {{1, 1, {{1, 2, 3}, {}, {}, {}, false}}, "founding state"});
    ASSERT_TRUE(status.ok()) << status;
    Open();
    ASSERT_TRUE(Vote(2, 3).ok());
    raft::PersistJob job;
    job.writes_log = true;
    job.keep_through = 1;
    job.commit = 1;
    job.entries = {MakeEntry(2, 2, ""), MakeEntry(2, 3, "set k v"),
                   MakeEntry(2, 4, "+4", raft::EntryType::kMembership)};
    ASSERT_TRUE(storage_->Persist(job).ok());
    ASSERT_TRUE(Write(2, 3, 1, "instead", 2).ok());
    TakeSnapshot(2, 2, "the state of the store at entry 2");
    Kill();
    Open();
    Append(3, 1, "last words", 3);
    Kill();
  }
  std::string EverythingShown() {
    std::string text;
    for (const absl::StatusOr<Inspection>& part :
         {InspectAll(disk_), InspectLog(disk_, {}), InspectSnapshots(disk_, {})}) {
      EXPECT_TRUE(part.ok()) << part.status();
      EXPECT_FALSE(part->damaged()) << part->Text();
      text += part->Text();
    }
    return text;
  }
};

TEST_F(GoldenTest, EveryFileIsWrittenAsItWas) {
  Live();
  std::string names;
  const std::vector<std::string> listed = *disk_.List();
  for (const std::string& name : listed) {
    if (name == kReserveName) continue;  // holds nothing
    absl::StrAppend(&names, name, "\n");
    Compare(name + ".hex", ToHexText(FileBytes(name)));
  }
  Compare("FILES", names);
  Compare("inspect.txt", EverythingShown());
}

TEST_F(GoldenTest, EveryFileIsStillRead) {
  const std::vector<std::string> names = absl::StrSplit(ReadText("FILES"), '\n', absl::SkipEmpty());
  ASSERT_GE(names.size(), 6u);
  for (const std::string& name : names) {
    ASSERT_TRUE(disk_.Create(name).ok());
    Put(name, 0, FromHexText(ReadText(name + ".hex")));
  }
  EXPECT_EQ(EverythingShown(), ReadText("inspect.txt"));
  Open();
  EXPECT_EQ(recovered_.identity, TestIdentity());
  EXPECT_EQ(recovered_.hard_state, (raft::HardState{2, 3}));
  EXPECT_EQ(recovered_.commit, 3u);
  EXPECT_EQ(recovered_.snapshot.meta.index, 2u);
  EXPECT_EQ(SnapshotBytes(2), "the state of the store at entry 2");
  EXPECT_EQ(Log(), "3@3 4@3");
  EXPECT_EQ(recovered_.entries[0].payload.view(), "instead");
  EXPECT_EQ(recovered_.entries[1].payload.view(), "last words");
  EXPECT_TRUE(recovered_.events.empty());
}

// The worked examples of docs/formats are pieces of the golden files, byte for byte.
TEST(FormatPagesTest, HexdumpsAreTrue) {
  const std::pair<std::string, std::string> examples[] = {
      {"identity.md", "identity"},        {"vote.md", "vote"},
      {"snapshot.md", "manifest"},        {"snapshot.md", "snapshot-00000000000000000002.local"},
      {"log.md", "log-0000000000000002"}, {"log.md", "marks"},
      {"store.md", "snapshot_v1"},        {"store.md", "result_v1"},
  };
  int which_of_page = 0;
  std::string last_page;
  for (const auto& [page, file] : examples) {
    which_of_page = page == last_page ? which_of_page + 1 : 0;
    last_page = page;
    std::ifstream in(absl::StrCat(RAFTKV_SOURCE_DIR "/docs/formats/", page));
    std::stringstream text;
    text << in.rdbuf();
    const std::vector<std::string> fenced = absl::StrSplit(text.str(), "```");
    const size_t block = 1 + 2 * static_cast<size_t>(which_of_page);
    ASSERT_LT(block, fenced.size()) << page;
    const std::string golden =
        page == "store.md" ? kv::ReadGolden(file + ".hex") : FromHexText(ReadText(file + ".hex"));
    int lines = 0;
    const std::vector<std::string> rows = absl::StrSplit(fenced[block], '\n');
    for (const std::string& row : rows) {
      uint64_t offset = 0;
      if (row.size() < 12 || !absl::SimpleHexAtoi(row.substr(0, 8), &offset)) continue;
      const std::string hex = absl::StrReplaceAll(row.substr(8, 52), {{" ", ""}});
      const size_t digits = std::min(hex.find_first_not_of("0123456789abcdef"), hex.size());
      const std::string bytes = absl::HexStringToBytes(hex.substr(0, digits));
      ASSERT_LE(offset, golden.size()) << page << ": " << row;
      EXPECT_EQ(golden.substr(offset, bytes.size()), bytes) << page << ": " << row;
      EXPECT_FALSE(bytes.empty()) << page << ": " << row;
      ++lines;
    }
    EXPECT_GE(lines, 4) << page << " shows nothing of " << file;
  }
}

std::string TextOf(const absl::StatusOr<Inspection>& inspection) {
  EXPECT_TRUE(inspection.ok()) << inspection.status();
  return inspection.ok() ? inspection->Text() : "";
}

TEST_F(GoldenTest, InspectionShowsDamageAndGoesOn) {
  Live();
  Flip("vote", 40);
  Flip("marks", 40);
  Flip("marks", kSlotBytes + 40);
  Flip("manifest", kSlotBytes + 40);
  Flip(NewestSegment(), 1024 + kBatchHeadBytes + 9);
  Flip(Names("log-").front(), 20);
  Flip(Names("snapshot-").back(), 4096 + 32);
  const uint64_t before = disk_.ContentHash();
  absl::StatusOr<Inspection> damaged = InspectAll(disk_);
  ASSERT_TRUE(damaged.ok());
  EXPECT_TRUE(damaged->damaged());
  const std::string text = damaged->Text() + TextOf(InspectLog(disk_, {}));
  for (absl::string_view expected :
       {"vote:0: slot copy 0 BAD unreadable", "vote:0: vote term 2 for 3", "marks:0: mark BAD",
        "manifest:4096: slot copy 1 BAD unreadable", "log-0000000000000003:1024: batch number 3",
        "entry header: checksum mismatch at offset 1216", "entry index 4 term 3 BAD cannot be read",
        "log-0000000000000001:0: header copy 0 BAD", "chunk 0 of the snapshot of entry 2",
        "batch number 1 keep-through 1", "foot of batch 3 behind 3, 1 of term 3",
        "the end of the log may be lost, up to entry 4 of term 3 (spoilt)"}) {
    EXPECT_TRUE(absl::StrContains(text, expected)) << expected << "\n" << text;
  }
  EXPECT_EQ(disk_.ContentHash(), before) << "an inspection has written";
}

TEST_F(GoldenTest, InspectionNamesWhatHasToBeRepaired) {
  Live();
  Put(Names("log-")[1], 1536, std::string(512, 'x'));
  absl::StatusOr<Inspection> damaged = InspectAll(disk_);
  ASSERT_TRUE(damaged.ok());
  EXPECT_TRUE(absl::StrContains(damaged->Text(),
                                "BAD to be repaired from peers: 3 of term 3; the log went up to "
                                "entry 4 of term 3 (proven)"))
      << damaged->Text();
}

TEST_F(GoldenTest, InspectionGoesOnWithoutIdentityAndVote) {
  Live();
  for (const char* file : {"identity", "vote"}) {
    Flip(file, 40);
    Flip(file, kSlotBytes + 40);
  }
  absl::StatusOr<Inspection> damaged = InspectAll(disk_);
  ASSERT_TRUE(damaged.ok()) << damaged.status();
  EXPECT_TRUE(absl::StrContains(
      damaged->Text(),
      "start BAD refused: simulated disk/identity: both copies of the record are unreadable"));
  EXPECT_TRUE(absl::StrContains(
      damaged->Text(),
      "identity:0: identity cluster 0123456789abcdeffedcba9876543210 node 3 incarnation 1 group 0 "
      "as-said-by the log\n"))
      << damaged->Text();
  EXPECT_TRUE(absl::StrContains(TextOf(InspectLog(disk_, {})), "entry index 4 term 3"));
  Shrink("marks", 0);
  Shrink(Names("log-")[1], 0);
  EXPECT_TRUE(absl::StrContains(TextOf(InspectLog(disk_, {})), "segment BAD"));
}

TEST_F(GoldenTest, InspectionFiltersEntriesAndShortensPayloads) {
  Live();
  const std::string log =
      TextOf(InspectLog(disk_, {.first_index = 4, .last_index = 4, .payload_bytes = 4}));
  EXPECT_TRUE(
      absl::StrContains(log, "entry index 4 term 3 type command bytes 10 payload \"last\"..."));
  EXPECT_FALSE(absl::StrContains(log, "index 3 term 2"));
}

TEST_F(GoldenTest, InspectionOfNoDataDirectory) {
  EXPECT_TRUE(absl::IsNotFound(InspectAll(disk_).status()));
  EXPECT_TRUE(absl::IsNotFound(InspectLog(disk_, {}).status()));
}

}  // namespace
}  // namespace raftkv::storage
