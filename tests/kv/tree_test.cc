#include "core/kv/tree.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/raft/random.h"
#include "gtest/gtest.h"

namespace raftkv::kv {
namespace {

using raft::Payload;

using Model = std::map<std::string, std::pair<std::string, Version>>;

void Put(Tree& tree, Model* model, const std::string& key, const std::string& value,
         Version version) {
  tree.Set(key, Payload::Copy(value), version);
  if (model != nullptr) (*model)[key] = {value, version};
}

void ExpectEqual(const TreeView& view, const Model& model) {
  ASSERT_EQ(view.size(), model.size());
  TreeCursor cursor = view.Seek("");
  for (const auto& [key, content] : model) {
    ASSERT_TRUE(cursor.valid());
    const TreeEntry entry = cursor.entry();
    ASSERT_EQ(entry.key, key);
    ASSERT_EQ(entry.value->view(), content.first);
    ASSERT_EQ(entry.version, content.second);
    cursor.Next();
  }
  ASSERT_FALSE(cursor.valid());
}

uint64_t ExpectedBytes(const Model& model) {
  uint64_t bytes = 0;
  for (const auto& [key, content] : model)
    bytes += key.size() + content.first.size() + kEntryOverheadBytes;
  return bytes;
}

// Keys of the kinds that trouble prefix tricks: shared prefixes longer than a head, zeros, empty,
// prefixes of each other, high bytes.
std::string RandomKey(Random& random, uint64_t space) {
  const uint64_t number = random.Below(space);
  switch (random.Below(6)) {
    case 0:
      return absl::StrCat("a common prefix longer than eight bytes/", number);
    case 1:
      return absl::StrCat(number);
    case 2:
      return std::string(number % 40, '\0');
    case 3:
      return std::string(number % 40, 'a');
    case 4:
      return absl::StrCat("a common prefix longer than eight bytes/",
                          std::string(number % 12, '\0'), number % 7);
    default: {
      std::string key(random.Below(10), '\0');
      for (char& byte : key) byte = static_cast<char>(random.Below(3) * 127);
      return key;
    }
  }
}

TEST(TreeTest, EmptyTreeHasNothing) {
  Tree tree;
  EXPECT_FALSE(tree.view().Find("").has_value());
  EXPECT_FALSE(tree.view().Seek("").valid());
  EXPECT_FALSE(tree.Erase("a"));
  EXPECT_EQ(tree.view().size(), 0u);
  EXPECT_EQ(tree.view().digest(), 0u);
  EXPECT_EQ(tree.live_nodes(), 0u);
}

TEST(TreeTest, TheEmptyKeyIsAKeyAndComesFirst) {
  Tree tree;
  Put(tree, nullptr, "a", "1", 1);
  Put(tree, nullptr, "", "2", 2);
  ASSERT_TRUE(tree.view().Find("").has_value());
  EXPECT_EQ(tree.view().Find("")->value->view(), "2");
  EXPECT_EQ(tree.view().Seek("").entry().key, "");
  EXPECT_TRUE(tree.Erase(""));
  EXPECT_EQ(tree.view().Seek("").entry().key, "a");
}

TEST(TreeTest, SeekFindsTheFirstKeyNotBefore) {
  Tree tree;
  for (int i = 0; i < 2000; i += 2) Put(tree, nullptr, absl::StrCat("key/", 10000 + i), "v", 1);
  for (int i = 0; i < 1999; ++i) {
    const TreeCursor cursor = tree.view().Seek(absl::StrCat("key/", 10000 + i));
    ASSERT_TRUE(cursor.valid()) << i;
    EXPECT_EQ(cursor.entry().key, absl::StrCat("key/", 10000 + i + i % 2));
  }
  EXPECT_FALSE(tree.view().Seek(absl::StrCat("key/", 11999)).valid());
  EXPECT_FALSE(tree.view().Seek("l").valid());
  EXPECT_EQ(tree.view().Seek("kex").entry().key, "key/10000");
  EXPECT_EQ(tree.view().Seek("key/1").entry().key, "key/10000");
}

struct Snapshot {
  TreeView view;
  Model model;
  uint64_t digest;
};

class TreeModelTest : public testing::TestWithParam<uint64_t> {};

// The tree against std::map, with views taken at random times and looked at long after.
TEST_P(TreeModelTest, AgreesWithAMapAndItsViewsNeverChange) {
  Random random(GetParam());
  const uint64_t space = random.Between(20, 3000);
  const uint64_t erase_per_mille = random.Between(100, 600);
  Tree tree;
  Model model;
  std::vector<Snapshot> snapshots;
  for (Version version = 1; version <= 20'000; ++version) {
    const std::string key = RandomKey(random, space);
    if (random.PerMille(erase_per_mille)) {
      ASSERT_EQ(tree.Erase(key), model.erase(key) == 1);
    } else {
      Put(tree, &model, key, absl::StrCat("value ", random.Below(1000)), version);
    }
    const std::string probe = RandomKey(random, space);
    const auto found = tree.view().Find(probe);
    const auto expected = model.find(probe);
    ASSERT_EQ(found.has_value(), expected != model.end());
    if (found) {
      ASSERT_EQ(found->value->view(), expected->second.first);
      ASSERT_EQ(found->version, expected->second.second);
    }
    const TreeCursor cursor = tree.view().Seek(probe);
    const auto bound = model.lower_bound(probe);
    ASSERT_EQ(cursor.valid(), bound != model.end());
    if (cursor.valid()) {
      ASSERT_EQ(cursor.entry().key, bound->first);
    }
    if (version % 500 == 0) {
      ASSERT_EQ(tree.view().bytes(), ExpectedBytes(model));
    }

    if (random.PerMille(2)) snapshots.push_back({tree.view(), model, tree.view().digest()});
    if (!snapshots.empty() && random.PerMille(2)) {
      const size_t chosen = random.Below(snapshots.size());
      ExpectEqual(snapshots[chosen].view, snapshots[chosen].model);
      ASSERT_EQ(snapshots[chosen].view.digest(), snapshots[chosen].digest);
      snapshots.erase(snapshots.begin() + static_cast<std::ptrdiff_t>(chosen));
    }
    if (random.PerMille(20)) tree.ReleaseSome(random.Below(100));
    if (version % 1000 == 0) tree.CheckStructure();
  }
  ExpectEqual(tree.view(), model);
  for (const Snapshot& snapshot : snapshots) ExpectEqual(snapshot.view, snapshot.model);

  // With no view left, what is alive is what the current version holds.
  snapshots.clear();
  while (tree.ReleaseSome(50) > 0) {
  }
  EXPECT_EQ(tree.live_entries(), model.size());
  while (!model.empty()) {
    const auto victim = random.Chance(1, 2) ? model.begin() : std::prev(model.end());
    ASSERT_TRUE(tree.Erase(victim->first));
    model.erase(victim);
  }
  EXPECT_EQ(tree.live_nodes(), 0u);
  EXPECT_EQ(tree.live_entries(), 0u);
  EXPECT_EQ(tree.live_separators(), 0u);
  EXPECT_EQ(tree.view().digest(), 0u);
  EXPECT_EQ(tree.view().bytes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TreeModelTest, testing::Range<uint64_t>(1, 13));

TEST(TreeTest, AscendingDescendingAndScatteredLoadsGiveTheSameDigest) {
  constexpr uint64_t kKeys = 30'011;  // a prime, so that any stride visits every key
  Tree ascending;
  Tree descending;
  Tree scattered;
  for (uint64_t i = 0; i < kKeys; ++i) {
    const auto put = [](Tree& tree, uint64_t n) {
      Put(tree, nullptr, absl::StrCat("k", n), absl::StrCat(n), n);
    };
    put(ascending, i);
    put(descending, kKeys - 1 - i);
    put(scattered, i * 7919 % kKeys);
    Put(scattered, nullptr, "passing", absl::StrCat(i), i);
  }
  scattered.Erase("passing");
  for (Tree* tree : {&ascending, &descending, &scattered}) {
    tree->CheckStructure();
    EXPECT_EQ(tree->view().digest(), ascending.view().digest());
    EXPECT_EQ(tree->view().bytes(), ascending.view().bytes());
  }
}

TEST(TreeTest, AscendingLoadFillsItsNodes) {
  Tree tree;
  for (uint64_t i = 0; i < 100'000; ++i) Put(tree, nullptr, absl::StrCat(1'000'000 + i), "v", 1);
  EXPECT_LT(tree.live_nodes(), 100'000u / 30);
}

// Four levels high, so that inner nodes are split, evened out and joined below the root as well.
TEST(TreeTest, ATallTreeShrinksInAnyOrderWhileViewsStay) {
  constexpr uint64_t kKeys = 100'003;  // a prime
  for (const uint64_t stride : {uint64_t{1}, kKeys - 1, uint64_t{7919}}) {
    Tree tree;
    for (uint64_t i = 0; i < kKeys; ++i) {
      Put(tree, nullptr, absl::StrCat("tall/", i * 31 % kKeys), "v", i + 1);
    }
    const TreeView full = tree.view();
    const uint64_t digest = full.digest();
    TreeView half;
    for (uint64_t i = 0; i < kKeys; ++i) {
      ASSERT_TRUE(tree.Erase(absl::StrCat("tall/", i * stride % kKeys)));
      if (i == kKeys / 2) half = tree.view();
      if (i % 20'000 == 0) tree.CheckStructure();
    }
    EXPECT_EQ(tree.view().size(), 0u);
    EXPECT_EQ(full.digest(), digest);
    for (const TreeView* view : {&full, static_cast<const TreeView*>(&half)}) {
      size_t count = 0;
      std::string last;
      for (TreeCursor cursor = view->Seek(""); cursor.valid(); cursor.Next(), ++count) {
        ASSERT_LT(last, cursor.entry().key);
        last = std::string(cursor.entry().key);
      }
      EXPECT_EQ(count, view->size());
    }
    half = TreeView();
    while (tree.ReleaseSome(1000) > 0) {
    }
    EXPECT_EQ(tree.live_entries(), kKeys);
  }
}

TEST(TreeTest, DigestSeesKeyValueAndVersion) {
  const auto digest = [](const std::string& key, const std::string& value, Version version) {
    Tree tree;
    Put(tree, nullptr, key, value, version);
    return tree.view().digest();
  };
  const uint64_t base = digest("key", "value", 7);
  EXPECT_NE(base, digest("kez", "value", 7));
  EXPECT_NE(base, digest("key", "valuf", 7));
  EXPECT_NE(base, digest("key", "value", 8));
  EXPECT_NE(base, digest("keyv", "alue", 7));
  EXPECT_NE(digest("", std::string("\0", 1), 1), digest("", "", 1));
  EXPECT_NE(digest("k", std::string(16, 'x'), 1), digest("k", std::string(32, 'x'), 1));
}

TEST(TreeTest, DroppedVersionsAreFreedInSlices) {
  Tree tree;
  for (uint64_t i = 0; i < 20'000; ++i) Put(tree, nullptr, absl::StrCat(i), "old", i + 1);
  const size_t nodes = tree.live_nodes();
  const size_t separators = tree.live_separators();
  TreeView view = tree.view();
  for (uint64_t i = 0; i < 20'000; ++i) Put(tree, nullptr, absl::StrCat(i), "new", i + 1);
  EXPECT_EQ(tree.live_entries(), 40'000u);
  EXPECT_EQ(tree.ReleaseSome(1'000'000), 0u) << "the view still needs them";

  view = TreeView();
  EXPECT_EQ(tree.live_entries(), 40'000u) << "dropping a view frees nothing by itself";
  size_t slices = 0;
  size_t before = tree.live_entries() + tree.live_nodes();
  while (tree.ReleaseSome(100) > 0) {
    const size_t now = tree.live_entries() + tree.live_nodes();
    EXPECT_LE(before - now, 100u + 66u);
    before = now;
    ++slices;
  }
  EXPECT_GE(slices, 20'000u / 166);
  EXPECT_EQ(tree.live_entries(), 20'000u);
  EXPECT_EQ(tree.live_nodes(), nodes);
  EXPECT_EQ(tree.live_separators(), separators);
  tree.CheckStructure();
}

// As a store does that is written faster than its owner calls ReleaseSome, and of which snapshots
// are taken meanwhile.
TEST(TreeTest, DeadVersionsDoNotPileUpUnderWrites) {
  constexpr uint64_t kKeys = 20'000;
  Tree tree;
  for (uint64_t i = 0; i < kKeys; ++i) Put(tree, nullptr, absl::StrCat(i), "old", i + 1);
  const size_t nodes = tree.live_nodes();
  Random random(7);
  size_t most = 0;
  for (int snapshot = 0; snapshot < 30; ++snapshot) {
    TreeView view = tree.view();
    for (uint64_t i = 0; i < kKeys / 4; ++i) {
      if (i == kKeys / 8) view = TreeView();
      Put(tree, nullptr, absl::StrCat(random.Below(kKeys)), "new", i + 1);
    }
    most = std::max(most, tree.live_nodes());
  }
  EXPECT_LT(most, 3 * nodes) << nodes;
  while (tree.ReleaseSome(1'000) > 0) {
  }
  EXPECT_EQ(tree.live_nodes(), nodes);
  EXPECT_EQ(tree.live_entries(), kKeys);
  tree.CheckStructure();
}

TEST(TreeTest, AViewOutlivesItsTree) {
  TreeView view;
  Model model;
  {
    Tree tree;
    for (uint64_t i = 0; i < 1000; ++i) Put(tree, &model, absl::StrCat(i), "v", i + 1);
    view = tree.view();
    Put(tree, nullptr, "later", "v", 2000);
  }
  ExpectEqual(view, model);
}

TEST(TreeTest, ReplaceLeavesTheOldContentToReleaseSome) {
  Tree tree;
  Model old_model;
  for (uint64_t i = 0; i < 5000; ++i) Put(tree, &old_model, absl::StrCat(i), "old", i + 1);
  TreeView view = tree.view();
  Tree fresh;
  Model model;
  Put(fresh, &model, "fresh", "v", 9);
  tree.Replace(std::move(fresh));
  ExpectEqual(tree.view(), model);
  EXPECT_EQ(tree.live_entries(), 5001u);
  EXPECT_EQ(tree.ReleaseSome(100), 0u) << "a view of the old content is still out";
  ExpectEqual(view, old_model);

  view = TreeView();
  EXPECT_LE(tree.ReleaseSome(100), 166u);
  EXPECT_GT(tree.live_entries(), 4000u);
  while (tree.ReleaseSome(100) > 0) {
  }
  EXPECT_EQ(tree.live_entries(), 1u);
  Put(tree, &model, "more", "v", 10);
  ExpectEqual(tree.view(), model);
}

TEST(TreeTest, WhatIsDiscardedIsLeftToReleaseSome) {
  Tree tree;
  Model model;
  Put(tree, &model, "kept", "v", 1);
  {
    Tree other;
    Model gone;
    for (uint64_t i = 0; i < 5000; ++i) Put(other, &gone, absl::StrCat(i), "gone", i + 1);
    tree.Discard(std::move(other));
  }
  ExpectEqual(tree.view(), model);
  EXPECT_GT(tree.live_nodes(), 100u) << "nothing was freed at once";
  while (tree.ReleaseSome(100) > 0) {
  }
  EXPECT_EQ(tree.live_nodes(), 1u);
  ExpectEqual(tree.view(), model);
}

TEST(TreeTest, ValuesAreSharedNotCopied) {
  Tree tree;
  const Payload value = Payload::Copy("shared");
  tree.Set("k", value, 1);
  EXPECT_EQ(tree.view().Find("k")->value->view().data(), value.view().data());
}

}  // namespace
}  // namespace raftkv::kv
