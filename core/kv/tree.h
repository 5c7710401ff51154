// The ordered map under the store: byte-string keys to (value, version), with constant-time
// snapshots.
//
// It is a B+ tree whose nodes are shared between versions by reference count (copy-on-write): a
// TreeView is one whole version, and copying a view copies one pointer. A write changes nodes in
// place while only the current version refers to them, and copies the path from the root otherwise;
// so without views a write costs what it costs in any B-tree, and with one it copies each node at
// most once.
//
// Dropping the last view of a large version would free millions of nodes at once. Instead nodes
// without an owner wait on a list, and ReleaseSome frees a bounded number of them: whoever owns the
// tree calls it with what time there is. Each node that a write copies frees one of them, too, so
// they do not pile up however fast the tree is written. Nothing is freed behind the owner's back
// except when the last view of a tree goes, together with the tree itself.
//
// Reference counts are not atomic: a tree and all views of it belong to one thread.
//
// Costs: Find, Set, Erase O(log n); a leaf keeps the 8 key bytes after what its keys have in common
// beside each other, so a search inside a node touches one key on average. About 190 bytes of
// memory per entry of a 16-byte key and a 100-byte value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/kv/command.h"
#include "core/raft/payload.h"

namespace raftkv::kv {

namespace tree_internal {
struct Node;
class Pool;
}  // namespace tree_internal

// Borrowed from the tree or view; valid until that is written to or destroyed.
struct TreeEntry {
  absl::string_view key;
  const raft::Payload* value = nullptr;
  Version version = 0;
};

// What one entry adds to TreeView::bytes: its key, its value and this, which is near what nodes and
// allocator spend on it. Computed from content alone, never from the allocator or the tree's shape,
// so that replicas agree on it.
inline constexpr uint64_t kEntryOverheadBytes = 96;

// Walks one version in ascending byte order of keys. Valid while the view it came from lives and
// (for Tree::view) is not written to.
class TreeCursor {
 public:
  bool valid() const { return depth_ > 0; }
  TreeEntry entry() const;  // requires valid()
  void Next();              // requires valid()

 private:
  friend class Tree;
  friend class TreeView;
  static constexpr uint32_t kMaxHeight = 24;
  struct Step {
    const tree_internal::Node* node;
    uint32_t position;
  };

  void SettleOnEntry();

  Step path_[kMaxHeight];
  int depth_ = 0;  // steps in use; the last one is a leaf. 0: past the end
};

class TreeView {
 public:
  TreeView() = default;  // empty
  TreeView(const TreeView& other);
  TreeView(TreeView&& other) noexcept;
  TreeView& operator=(TreeView other) noexcept;
  ~TreeView();

  std::optional<TreeEntry> Find(absl::string_view key) const;
  TreeCursor Seek(absl::string_view key) const;  // at the first entry whose key is not before `key`

  size_t size() const { return size_; }
  uint64_t bytes() const { return bytes_; }  // see kEntryOverheadBytes

  // Sum of a 64-bit hash of each (key, value, version): independent of the order of insertion and
  // of the tree's shape. Two versions with the same digest have the same content, up to accidents
  // of a 64-bit hash; it is no defence against someone who chooses content in order to collide.
  uint64_t digest() const { return digest_; }

 private:
  friend class Tree;

  std::shared_ptr<tree_internal::Pool> pool_;
  tree_internal::Node* root_ = nullptr;
  size_t size_ = 0;
  uint64_t bytes_ = 0;
  uint64_t digest_ = 0;
};

class Tree {
 public:
  Tree();
  Tree(Tree&&) noexcept = default;
  Tree& operator=(Tree&&) = delete;  // would free the old content at once; see Replace

  void Set(absl::string_view key, raft::Payload value, Version version);
  bool Erase(absl::string_view key);  // false: there was no such key

  // The current version. Copy it to keep it: the copy is a snapshot that later writes do not touch.
  const TreeView& view() const { return view_; }

  // Takes over the content of `fresh`; what this tree held is left to ReleaseSome.
  void Replace(Tree fresh);

  // What `other` held is left to ReleaseSome, too.
  void Discard(Tree other);

  // Frees versions that nobody refers to any more: about `budget` entries and nodes, at most a
  // node's worth more. Returns how many; 0 when there is nothing left to free.
  size_t ReleaseSome(size_t budget);

  // For tests and metrics: nodes and entries allocated by this tree's versions, dead ones that wait
  // for ReleaseSome included.
  size_t live_nodes() const;
  size_t live_entries() const;
  size_t live_separators() const;  // keys that inner nodes hold

  // For tests: aborts if the structure breaks one of its own rules (order, bounds, heights, fill,
  // counters). O(n).
  void CheckStructure() const;

 private:
  std::shared_ptr<tree_internal::Pool> pool_;
  TreeView view_;
  std::vector<std::shared_ptr<tree_internal::Pool>>
      retired_;  // of trees replaced, until they are empty
};

}  // namespace raftkv::kv
