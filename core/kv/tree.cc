#include "core/kv/tree.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <utility>

#include "core/raft/check.h"
#include "core/raft/random.h"

namespace raftkv::kv {
namespace tree_internal {

// Leaves are small because copying one touches every record in it; inner nodes are read far more
// often than they are copied.
constexpr uint32_t kLeafSlots = 40;
constexpr uint32_t kInnerSlots = 64;

// One key with its value. Shared by every leaf version that holds it; changed in place only by a
// sole owner.
struct Record {
  uint32_t references;
  uint32_t key_size;
  Version version;
  uint64_t hash;  // this entry's part of the digest
  raft::Payload value;

  absl::string_view key() const { return {reinterpret_cast<const char*>(this + 1), key_size}; }
};

// The lower bound of a child: a prefix of the child's first key at the time of the split, just long
// enough to tell it from its left neighbour. Not a Record, so that deleted values are not kept
// alive by the inner nodes.
struct Separator {
  uint32_t references;
  uint32_t size;

  absl::string_view key() const { return {reinterpret_cast<const char*>(this + 1), size}; }
};

// `heads[i]` holds the 8 bytes of key i that follow the `skip` bytes common to all keys of the
// node, as a big-endian number padded with zeros. Heads are therefore ordered as the keys are, and
// only equal heads need the keys themselves.
struct Node {
  uint32_t references;
  uint32_t count;
  uint32_t height;  // 0: leaf
  uint32_t skip;
};

struct Leaf : Node {
  static constexpr uint32_t kSlots = kLeafSlots;
  static constexpr uint32_t kFirstKey = 0;
  uint64_t heads[kLeafSlots];
  Record* records[kLeafSlots];

  absl::string_view Key(uint32_t i) const { return records[i]->key(); }
};

// Child i holds keys in [key i, key i+1). Key 0 is a bound too, but the parent has already checked
// it: searches ignore it, and in the leftmost nodes it is null.
struct Inner : Node {
  static constexpr uint32_t kSlots = kInnerSlots;
  static constexpr uint32_t kFirstKey = 1;
  uint64_t heads[kInnerSlots];
  Separator* separators[kInnerSlots];
  Node* children[kInnerSlots];

  absl::string_view Key(uint32_t i) const {
    return separators[i] == nullptr ? absl::string_view() : separators[i]->key();
  }
};

// A node at or below this is joined or evened out with a neighbour before an Erase descends into
// it.
template <typename N>
constexpr uint32_t kSparse = N::kSlots / 4;

Leaf* AsLeaf(Node* node) { return static_cast<Leaf*>(node); }
Inner* AsInner(Node* node) { return static_cast<Inner*>(node); }
const Leaf* AsLeaf(const Node* node) { return static_cast<const Leaf*>(node); }
const Inner* AsInner(const Node* node) { return static_cast<const Inner*>(node); }

bool Full(const Node* node) {
  return node->count == (node->height == 0 ? kLeafSlots : kInnerSlots);
}
bool Sparse(const Node* node) {
  return node->count <= (node->height == 0 ? kSparse<Leaf> : kSparse<Inner>);
}

// ---- keys ----

uint32_t CommonPrefix(absl::string_view a, absl::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  return static_cast<uint32_t>(std::mismatch(a.begin(), a.begin() + limit, b.begin()).first -
                               a.begin());
}

uint64_t LoadBigEndian(const char* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  return std::endian::native == std::endian::little ? __builtin_bswap64(word) : word;
}

uint64_t Head(absl::string_view key, uint32_t skip) {
  if (key.size() >= size_t{skip} + 8) return LoadBigEndian(key.data() + skip);
  char padded[8] = {};
  if (key.size() > skip) std::memcpy(padded, key.data() + skip, key.size() - skip);
  return LoadBigEndian(padded);
}

// Before, inside or after the keys that start with the node's common prefix.
template <typename N>
int CompareWithPrefix(const N& node, absl::string_view key) {
  if (node.skip == 0) return 0;
  return key.substr(0, node.skip).compare(node.Key(N::kFirstKey).substr(0, node.skip));
}

template <typename N>
void RebuildHeads(N* node) {
  if (node->count <= N::kFirstKey) {
    node->skip = 0;
    return;
  }
  node->skip = CommonPrefix(node->Key(N::kFirstKey), node->Key(node->count - 1));
  for (uint32_t i = N::kFirstKey; i < node->count; ++i)
    node->heads[i] = Head(node->Key(i), node->skip);
}

// After `key` was put at `position`: fills in its head, shortening the common prefix if the key
// does not share it.
template <typename N>
void AddHead(N* node, uint32_t position) {
  const absl::string_view key = node->Key(position);
  // Any other key will do to see what they have in common.
  const uint32_t other = position == N::kFirstKey ? position + 1 : uint32_t{N::kFirstKey};
  if (other >= node->count ||
      CommonPrefix(key.substr(0, node->skip), node->Key(other)) < node->skip) {
    RebuildHeads(node);
  } else {
    node->heads[position] = Head(key, node->skip);
  }
}

// First position in [first, last) whose head is not below `head` (or, with `above`, is above it).
template <bool kAbove>
uint32_t SearchHeads(const uint64_t* heads, uint32_t first, uint32_t last, uint64_t head) {
  while (first < last) {
    const uint32_t middle = first + (last - first) / 2;
    if (kAbove ? heads[middle] <= head : heads[middle] < head) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

// First position whose key is not before `key` (or, with kAbove, is after it), for a key that
// starts with the node's common prefix.
template <bool kAbove, typename N>
uint32_t SearchKeys(const N& node, absl::string_view key) {
  const uint64_t head = Head(key, node.skip);
  uint32_t first = SearchHeads<false>(node.heads, N::kFirstKey, node.count, head);
  if (first == node.count || node.heads[first] != head) return first;
  uint32_t last = SearchHeads<true>(node.heads, first, node.count, head);
  while (first < last) {
    const uint32_t middle = first + (last - first) / 2;
    const int order = node.Key(middle).compare(key);
    if (kAbove ? order <= 0 : order < 0) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

uint32_t LowerBound(const Leaf& leaf, absl::string_view key) {
  const int order = CompareWithPrefix(leaf, key);
  if (order != 0) return order < 0 ? 0 : leaf.count;
  return SearchKeys<false>(leaf, key);
}

// The child that may hold `key`.
uint32_t Route(const Inner& inner, absl::string_view key) {
  if (inner.count == 1) return 0;
  const int order = CompareWithPrefix(inner, key);
  if (order != 0) return order < 0 ? 0 : inner.count - 1;
  return SearchKeys<true>(inner, key) - 1;
}

// Position of exactly `key`, or count. The common prefix needs no check of its own: a key without
// it differs from the one found.
uint32_t FindInLeaf(const Leaf& leaf, absl::string_view key) {
  const uint32_t position = SearchKeys<false>(leaf, key);
  return position < leaf.count && leaf.Key(position) == key ? position : leaf.count;
}

// ---- digest ----

uint64_t EntryHash(absl::string_view key, absl::string_view value, Version version) {
  return MixHash(HashWords(value, HashWords(key, version)));
}

// ---- memory ----

// Allocates for one tree and all its versions, and holds what none of them refers to any more until
// it is released.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    while (ReleaseSome(SIZE_MAX) > 0) {
    }
  }

  template <typename N>
  N* NewNode(uint32_t height) {
    auto* node = static_cast<N*>(::operator new(sizeof(N)));
    node->references = 1;
    node->count = 0;
    node->height = height;
    node->skip = 0;
    ++nodes_;
    return node;
  }

  Record* NewRecord(absl::string_view key, raft::Payload value, Version version, uint64_t hash) {
    void* memory = ::operator new(sizeof(Record) + key.size());
    auto* record =
        new (memory) Record{1, static_cast<uint32_t>(key.size()), version, hash, std::move(value)};
    if (!key.empty())
      std::memcpy(static_cast<char*>(memory) + sizeof(Record), key.data(), key.size());
    ++records_;
    return record;
  }

  // The shortest key that is after `left` and not after `right`, for left < right.
  Separator* NewSeparator(absl::string_view left, absl::string_view right) {
    const uint32_t size = CommonPrefix(left, right) + 1;
    auto* separator = new (::operator new(sizeof(Separator) + size)) Separator{1, size};
    std::memcpy(separator + 1, right.data(), size);
    ++separators_;
    return separator;
  }

  // Makes `*slot` ours alone, by copying the node if other versions share it.
  template <typename N>
  N* OwnAs(Node** slot) {
    auto* shared = static_cast<N*>(*slot);
    if (shared->references == 1) return shared;
    auto* copy = static_cast<N*>(::operator new(sizeof(N)));
    std::memcpy(static_cast<void*>(copy), shared, sizeof(N));
    copy->references = 1;
    ++nodes_;
    AddReferences(copy);
    --shared->references;
    *slot = copy;
    // A copy makes one node of a dead version, sooner or later, and pays for one.
    ReleaseSome(1);
    return copy;
  }
  Node* Own(Node** slot) {
    return (*slot)->height == 0 ? static_cast<Node*>(OwnAs<Leaf>(slot)) : OwnAs<Inner>(slot);
  }

  // Frees the node alone; its content has been moved elsewhere.
  void FreeNode(Node* node) {
    --nodes_;
    ::operator delete(node);
  }

  void Drop(Record* record) {
    if (--record->references > 0) return;
    --records_;
    record->~Record();
    ::operator delete(record);
  }
  void Drop(Separator* separator) {
    if (separator == nullptr || --separator->references > 0) return;
    --separators_;
    ::operator delete(separator);
  }
  void Drop(Node* node) {
    if (--node->references == 0) garbage_.push_back(node);
  }

  size_t ReleaseSome(size_t budget) {
    size_t released = 0;
    while (released < budget && !garbage_.empty()) {
      Node* node = garbage_.back();
      garbage_.pop_back();
      released += 1 + node->count;
      if (node->height == 0) {
        for (uint32_t i = 0; i < node->count; ++i) Drop(AsLeaf(node)->records[i]);
      } else {
        for (uint32_t i = 0; i < node->count; ++i) {
          Drop(AsInner(node)->separators[i]);
          Drop(AsInner(node)->children[i]);
        }
      }
      FreeNode(node);
    }
    return released;
  }

  size_t nodes() const { return nodes_; }
  size_t records() const { return records_; }
  size_t separators() const { return separators_; }

 private:
  static void AddReferences(Leaf* leaf) {
    for (uint32_t i = 0; i < leaf->count; ++i) ++leaf->records[i]->references;
  }
  static void AddReferences(Inner* inner) {
    for (uint32_t i = 0; i < inner->count; ++i) {
      if (inner->separators[i] != nullptr) ++inner->separators[i]->references;
      ++inner->children[i]->references;
    }
  }

  std::vector<Node*> garbage_;  // roots of dead subtrees
  size_t nodes_ = 0;
  size_t records_ = 0;
  size_t separators_ = 0;
};

// ---- moving slots ----

template <typename T>
void OpenGap(T* slots, uint32_t count, uint32_t position, uint32_t width) {
  std::memmove(slots + position + width, slots + position, (count - position) * sizeof(T));
}
template <typename T>
void CloseGap(T* slots, uint32_t count, uint32_t position, uint32_t width) {
  std::memmove(slots + position, slots + position + width, (count - position - width) * sizeof(T));
}

// Moves `moved` slots from the front of `right` to the end of `left`, or, if negative, the other
// way. Heads are left to the caller.
template <typename T>
void Shift(T* left, uint32_t left_count, T* right, uint32_t right_count, int moved) {
  if (moved > 0) {
    const auto n = static_cast<uint32_t>(moved);
    std::memcpy(left + left_count, right, n * sizeof(T));
    CloseGap(right, right_count, 0, n);
  } else {
    const auto n = static_cast<uint32_t>(-moved);
    OpenGap(right, right_count, 0, n);
    std::memcpy(right, left + left_count - n, n * sizeof(T));
  }
}
void ShiftSlots(Leaf* left, Leaf* right, int moved) {
  Shift(left->records, left->count, right->records, right->count, moved);
}
void ShiftSlots(Inner* left, Inner* right, int moved) {
  Shift(left->separators, left->count, right->separators, right->count, moved);
  Shift(left->children, left->count, right->children, right->count, moved);
}

// What the parent keeps as the lower bound of `right`.
Separator* BoundBetween(Pool& pool, const Leaf& left, const Leaf& right) {
  return pool.NewSeparator(left.Key(left.count - 1), right.Key(0));
}
Separator* BoundBetween(Pool&, const Inner&, const Inner& right) {
  ++right.separators[0]->references;
  return right.separators[0];
}

void InsertChild(Inner* parent, uint32_t position, Separator* bound, Node* child) {
  OpenGap(parent->heads, parent->count, position, 1);
  OpenGap(parent->separators, parent->count, position, 1);
  OpenGap(parent->children, parent->count, position, 1);
  parent->separators[position] = bound;
  parent->children[position] = child;
  ++parent->count;
  AddHead(parent, position);
}

// Splits child `i`, which is full and ours, keeping `keep` slots in it. The new right neighbour is
// ours too.
template <typename N>
void SplitChild(Pool& pool, Inner* parent, uint32_t i, uint32_t keep) {
  auto* left = static_cast<N*>(parent->children[i]);
  const uint32_t moved = left->count - keep;
  RAFTKV_CHECK(moved > 0 && moved <= N::kSlots);
  N* right = pool.NewNode<N>(left->height);
  ShiftSlots(left, right, -static_cast<int>(moved));
  right->count = moved;
  left->count = keep;
  RebuildHeads(left);
  RebuildHeads(right);
  InsertChild(parent, i + 1, BoundBetween(pool, *left, *right), right);
}

// Joins children i and i+1, or evens them out if one node cannot hold both.
template <typename N>
void Balance(Pool& pool, Inner* parent, uint32_t i) {
  N* left = pool.OwnAs<N>(&parent->children[i]);
  N* right = pool.OwnAs<N>(&parent->children[i + 1]);
  const uint32_t total = left->count + right->count;
  const uint32_t target = total <= N::kSlots ? total : total / 2;
  const int moved = static_cast<int>(target) - static_cast<int>(left->count);
  ShiftSlots(left, right, moved);
  left->count = target;
  right->count = total - target;
  RebuildHeads(left);
  pool.Drop(parent->separators[i + 1]);
  if (right->count == 0) {
    pool.FreeNode(right);
    CloseGap(parent->separators, parent->count, i + 1, 1);
    CloseGap(parent->children, parent->count, i + 1, 1);
    --parent->count;
  } else {
    RebuildHeads(right);
    parent->separators[i + 1] = BoundBetween(pool, *left, *right);
  }
  RebuildHeads(parent);
}

// True if `key` belongs behind everything in `node`: ascending loads then leave full nodes behind
// them instead of half-full ones.
bool AtEnd(const Node* node, absl::string_view key) {
  if (node->height > 0) return Route(*AsInner(node), key) == node->count - 1;
  return AsLeaf(node)->Key(node->count - 1) < key;
}

// True if `key` cannot be put into `node` as it is. A full leaf that has the key already is left
// alone.
bool NeedsRoom(const Node* node, absl::string_view key) {
  if (!Full(node)) return false;
  return node->height > 0 || FindInLeaf(*AsLeaf(node), key) == node->count;
}

void SplitFor(Pool& pool, Inner* parent, uint32_t i, absl::string_view key, bool rightmost) {
  const Node* child = parent->children[i];
  const bool append = rightmost && AtEnd(child, key);
  if (child->height == 0) {
    SplitChild<Leaf>(pool, parent, i, append ? kLeafSlots - 1 : kLeafSlots / 2);
  } else {
    SplitChild<Inner>(pool, parent, i, append ? kInnerSlots - 2 : kInnerSlots / 2);
  }
}

uint64_t EntryBytes(size_t key_size, size_t value_size) {
  return key_size + value_size + kEntryOverheadBytes;
}

struct Totals {
  size_t entries = 0;
  uint64_t bytes = 0;
  uint64_t digest = 0;
};

// Every key must lie in [low, high); null bounds are open.
void CheckNode(const Node* node, const absl::string_view* low, const absl::string_view* high,
               Totals* totals);

void CheckLeaf(const Leaf& leaf, const absl::string_view* low, const absl::string_view* high,
               Totals* totals) {
  for (uint32_t i = 0; i < leaf.count; ++i) {
    const Record& record = *leaf.records[i];
    RAFTKV_CHECK(record.references >= 1);
    RAFTKV_CHECK(low == nullptr || *low <= record.key());
    RAFTKV_CHECK(high == nullptr || record.key() < *high);
    RAFTKV_CHECK(i == 0 || leaf.Key(i - 1) < record.key());
    RAFTKV_CHECK(CommonPrefix(record.key(), leaf.Key(0)) >= leaf.skip);
    RAFTKV_CHECK(leaf.heads[i] == Head(record.key(), leaf.skip));
    const uint64_t hash = EntryHash(record.key(), record.value.view(), record.version);
    RAFTKV_CHECK(hash == record.hash);
    ++totals->entries;
    totals->bytes += EntryBytes(record.key_size, record.value.size());
    totals->digest += hash;
  }
}

void CheckInner(const Inner& inner, const absl::string_view* low, const absl::string_view* high,
                Totals* totals) {
  for (uint32_t i = 0; i < inner.count; ++i) {
    const absl::string_view own = inner.Key(i);
    if (i >= Inner::kFirstKey) {
      RAFTKV_CHECK(low == nullptr || *low < own);
      RAFTKV_CHECK(high == nullptr || own < *high);
      RAFTKV_CHECK(CommonPrefix(own, inner.Key(1)) >= inner.skip);
      RAFTKV_CHECK(inner.heads[i] == Head(own, inner.skip));
    }
    if (i > 1) RAFTKV_CHECK(inner.Key(i - 1) < own);
    const absl::string_view next = i + 1 < inner.count ? inner.Key(i + 1) : absl::string_view();
    RAFTKV_CHECK(inner.children[i]->height + 1 == inner.height);
    CheckNode(inner.children[i], i == 0 ? low : &own, i + 1 < inner.count ? &next : high, totals);
  }
}

void CheckNode(const Node* node, const absl::string_view* low, const absl::string_view* high,
               Totals* totals) {
  RAFTKV_CHECK(node->references >= 1 && node->count >= 1);
  if (node->height == 0) {
    RAFTKV_CHECK(node->count <= kLeafSlots);
    CheckLeaf(*AsLeaf(node), low, high, totals);
  } else {
    RAFTKV_CHECK(node->count <= kInnerSlots);
    CheckInner(*AsInner(node), low, high, totals);
  }
}

}  // namespace tree_internal

using tree_internal::AsInner;
using tree_internal::AsLeaf;
using tree_internal::Inner;
using tree_internal::Leaf;
using tree_internal::Node;
using tree_internal::Pool;
using tree_internal::Record;

// ---- TreeCursor ----

TreeEntry TreeCursor::entry() const {
  const Step& step = path_[depth_ - 1];
  const Record& record = *AsLeaf(step.node)->records[step.position];
  return {record.key(), &record.value, record.version};
}

void TreeCursor::Next() {
  ++path_[depth_ - 1].position;
  SettleOnEntry();
}

// If the last step is past its node's end, climbs to the next subtree and down to its first entry.
void TreeCursor::SettleOnEntry() {
  while (depth_ > 0 && path_[depth_ - 1].position >= path_[depth_ - 1].node->count) {
    --depth_;
    if (depth_ > 0) ++path_[depth_ - 1].position;
  }
  if (depth_ == 0) return;
  while (path_[depth_ - 1].node->height > 0) {
    const Step& step = path_[depth_ - 1];
    path_[depth_++] = {AsInner(step.node)->children[step.position], 0};
  }
}

// ---- TreeView ----

TreeView::TreeView(const TreeView& other)
    : pool_(other.pool_),
      root_(other.root_),
      size_(other.size_),
      bytes_(other.bytes_),
      digest_(other.digest_) {
  if (root_ != nullptr) ++root_->references;
}

TreeView::TreeView(TreeView&& other) noexcept
    : pool_(std::move(other.pool_)),
      root_(std::exchange(other.root_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      bytes_(std::exchange(other.bytes_, 0)),
      digest_(std::exchange(other.digest_, 0)) {}

TreeView& TreeView::operator=(TreeView other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(root_, other.root_);
  std::swap(size_, other.size_);
  std::swap(bytes_, other.bytes_);
  std::swap(digest_, other.digest_);
  return *this;
}

TreeView::~TreeView() {
  if (root_ != nullptr) pool_->Drop(root_);
}

std::optional<TreeEntry> TreeView::Find(absl::string_view key) const {
  const Node* node = root_;
  if (node == nullptr) return std::nullopt;
  while (node->height > 0) node = AsInner(node)->children[Route(*AsInner(node), key)];
  const Leaf& leaf = *AsLeaf(node);
  const uint32_t position = FindInLeaf(leaf, key);
  if (position == leaf.count) return std::nullopt;
  const Record& record = *leaf.records[position];
  return TreeEntry{record.key(), &record.value, record.version};
}

TreeCursor TreeView::Seek(absl::string_view key) const {
  TreeCursor cursor;
  const Node* node = root_;
  if (node == nullptr) return cursor;
  while (node->height > 0) {
    const uint32_t position = Route(*AsInner(node), key);
    cursor.path_[cursor.depth_++] = {node, position};
    node = AsInner(node)->children[position];
  }
  cursor.path_[cursor.depth_++] = {node, LowerBound(*AsLeaf(node), key)};
  cursor.SettleOnEntry();
  return cursor;
}

// ---- Tree ----

Tree::Tree() : pool_(std::make_shared<Pool>()) { view_.pool_ = pool_; }

void Tree::Set(absl::string_view key, raft::Payload value, Version version) {
  Pool& pool = *pool_;
  const uint64_t hash = tree_internal::EntryHash(key, value.view(), version);
  if (view_.root_ == nullptr) view_.root_ = pool.NewNode<Leaf>(0);

  // Full nodes are split on the way down, so that a split never has to climb back.
  Node* node = pool.Own(&view_.root_);
  bool rightmost = true;
  if (NeedsRoom(node, key)) {
    RAFTKV_CHECK(node->height + 2 < TreeCursor::kMaxHeight);
    Inner* root = pool.NewNode<Inner>(node->height + 1);
    root->count = 1;
    root->separators[0] = nullptr;
    root->children[0] = node;
    SplitFor(pool, root, 0, key, rightmost);
    view_.root_ = node = root;
  }
  while (node->height > 0) {
    Inner* inner = AsInner(node);
    uint32_t i = Route(*inner, key);
    rightmost = rightmost && i + 1 == inner->count;
    Node* child = pool.Own(&inner->children[i]);
    if (NeedsRoom(child, key)) {
      SplitFor(pool, inner, i, key, rightmost);
      if (inner->Key(i + 1) <= key) ++i;
    }
    node = inner->children[i];
  }

  Leaf* leaf = AsLeaf(node);
  view_.bytes_ += tree_internal::EntryBytes(key.size(), value.size());
  view_.digest_ += hash;
  const uint32_t found = FindInLeaf(*leaf, key);
  if (found < leaf->count) {
    Record* record = leaf->records[found];
    view_.bytes_ -= tree_internal::EntryBytes(key.size(), record->value.size());
    view_.digest_ -= record->hash;
    if (record->references == 1) {
      record->value = std::move(value);
      record->version = version;
      record->hash = hash;
    } else {
      leaf->records[found] = pool.NewRecord(key, std::move(value), version, hash);
      pool.Drop(record);
    }
    return;
  }
  const uint32_t position = LowerBound(*leaf, key);
  tree_internal::OpenGap(leaf->heads, leaf->count, position, 1);
  tree_internal::OpenGap(leaf->records, leaf->count, position, 1);
  leaf->records[position] = pool.NewRecord(key, std::move(value), version, hash);
  ++leaf->count;
  AddHead(leaf, position);
  ++view_.size_;
}

bool Tree::Erase(absl::string_view key) {
  if (!view_.Find(key)) return false;
  Pool& pool = *pool_;
  Node* node = pool.Own(&view_.root_);
  // Sparse nodes are joined with a neighbour on the way down; so a leaf never becomes empty unless
  // it is the whole tree.
  while (node->height > 0) {
    Inner* inner = AsInner(node);
    uint32_t i = Route(*inner, key);
    if (Sparse(inner->children[i]) && inner->count > 1) {
      const uint32_t left = i > 0 ? i - 1 : i;
      if (inner->height == 1) {
        tree_internal::Balance<Leaf>(pool, inner, left);
      } else {
        tree_internal::Balance<Inner>(pool, inner, left);
      }
      i = Route(*inner, key);
    }
    Node* child = pool.Own(&inner->children[i]);
    if (inner == view_.root_ && inner->count == 1) {
      pool.Drop(inner->separators[0]);
      pool.FreeNode(inner);
      view_.root_ = child;
    }
    node = child;
  }

  Leaf* leaf = AsLeaf(node);
  const uint32_t position = FindInLeaf(*leaf, key);
  Record* record = leaf->records[position];
  view_.bytes_ -= tree_internal::EntryBytes(record->key_size, record->value.size());
  view_.digest_ -= record->hash;
  --view_.size_;
  tree_internal::CloseGap(leaf->heads, leaf->count, position, 1);
  tree_internal::CloseGap(leaf->records, leaf->count, position, 1);
  --leaf->count;
  pool.Drop(record);
  if (leaf->count == 0) {
    RAFTKV_CHECK(leaf == view_.root_);
    pool.FreeNode(leaf);
    view_.root_ = nullptr;
  }
  return true;
}

void Tree::Replace(Tree fresh) {
  view_ = std::move(fresh.view_);
  retired_.push_back(std::exchange(pool_, std::move(fresh.pool_)));
  retired_.insert(retired_.end(), fresh.retired_.begin(), fresh.retired_.end());
}

void Tree::Discard(Tree other) {
  other.view_ = TreeView();
  retired_.push_back(std::move(other.pool_));
  retired_.insert(retired_.end(), other.retired_.begin(), other.retired_.end());
}

size_t Tree::ReleaseSome(size_t budget) {
  size_t released = pool_->ReleaseSome(budget);
  for (size_t i = 0; i < retired_.size() && released < budget;) {
    released += retired_[i]->ReleaseSome(budget - released);
    if (retired_[i]->nodes() == 0) {
      retired_.erase(retired_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;  // views of the replaced tree are still out
    }
  }
  return released;
}

size_t Tree::live_nodes() const {
  size_t nodes = pool_->nodes();
  for (const auto& pool : retired_) nodes += pool->nodes();
  return nodes;
}

size_t Tree::live_entries() const {
  size_t records = pool_->records();
  for (const auto& pool : retired_) records += pool->records();
  return records;
}

size_t Tree::live_separators() const {
  size_t separators = pool_->separators();
  for (const auto& pool : retired_) separators += pool->separators();
  return separators;
}

void Tree::CheckStructure() const {
  tree_internal::Totals totals;
  if (view_.root_ != nullptr) tree_internal::CheckNode(view_.root_, nullptr, nullptr, &totals);
  RAFTKV_CHECK(totals.entries == view_.size_);
  RAFTKV_CHECK(totals.bytes == view_.bytes_);
  RAFTKV_CHECK(totals.digest == view_.digest_);
}

}  // namespace raftkv::kv
