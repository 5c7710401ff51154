#include "sim/check/store_model.h"

#include <algorithm>
#include <compare>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/raft/check.h"
#include "sim/check/sequence_interner.h"

namespace raftkv::sim {
namespace {

using Key = uint32_t;  // position among the part's keys

bool IsWrite(Verb verb) { return verb >= Verb::kSet; }

// Redis' notion of an integer: what printing an int64 can give.
std::optional<int64_t> ParseInteger(absl::string_view text) {
  int64_t number;
  if (!absl::SimpleAtoi(text, &number) || absl::StrCat(number) != text) return std::nullopt;
  return number;
}

// True if nothing that the operation can have done or seen tells anything.
bool SaysNothing(const Operation& operation) {
  if (operation.outcome == Outcome::kFailed) return true;
  for (const Command& command : operation.commands) {
    if (IsWrite(command.verb)) return false;
  }
  if (operation.outcome == Outcome::kUnknown) return true;
  return operation.guards.empty() &&
         std::all_of(operation.replies.begin(), operation.replies.end(),
                     [](const Reply& reply) { return reply.kind == Reply::Kind::kUnobserved; });
}

// Whether a write on a version happened depends on a version that the model may not know. If the
// client was not told, both must stay possible, so it is treated as one that may not have happened.
bool IsRequired(const Operation& operation) {
  if (operation.outcome != Outcome::kOk) return false;
  for (size_t i = 0; i < operation.replies.size(); ++i) {
    if (IsWrite(operation.commands[i].verb) &&
        operation.commands[i].condition.kind == Condition::Kind::kVersionIs &&
        operation.replies[i].kind == Reply::Kind::kUnobserved) {
      return false;
    }
  }
  return true;
}

// --- Values

using ValueId = uint32_t;
constexpr ValueId kAbsent = 0;
constexpr ValueId kPresent = std::numeric_limits<ValueId>::max();  // in needs: any value

// What the operations of a part can find out about the values of one key.
struct KeyProfile {
  bool appended = false;
  bool incremented = false;
  bool length_seen = false;
  bool replaced = false;  // by a set or a delete
  bool decremented = false;
  bool presence_seen = false;      // somebody learnt that it held something
  bool looked_at_vaguely = false;  // somebody learnt or used something else but its value
  std::set<std::string> seen;      // read, or compared with
  std::vector<std::string> ends;   // those of `seen` that are no prefix of another

  // All who can tell its values apart ask for them (Model::Asks).
  bool OnlyAskedFor() const { return !looked_at_vaguely && !appended && !incremented; }
  // The value at one time begins the value at any later time.
  bool OnlyGrows() const { return appended && !replaced && !incremented; }
  // The number at one time is no larger than at any later time.
  bool OnlyCounts() const { return incremented && !decremented && !replaced && !appended; }

  void Finish() {
    for (auto value = seen.begin(); value != seen.end(); ++value) {
      const auto next = std::next(value);
      if (next == seen.end() || !absl::StartsWith(*next, *value)) ends.push_back(*value);
    }
  }

  // Could anybody tell this value from another one of the same length?
  bool Matters(const std::string& value) const {
    if (incremented && (appended || ParseInteger(value).has_value())) return true;
    if (!appended) return seen.contains(value);
    // All values seen that start with `value` are together in the order.
    const auto next = seen.lower_bound(value);
    return next != seen.end() && absl::StartsWith(*next, value);
  }

  // Could a value that ends with this appendix be one that matters, or become one?
  bool AppendixMatters(const std::string& appendix) const {
    if (incremented) return true;
    return std::any_of(ends.begin(), ends.end(), [&](const std::string& value) {
      return absl::StrContains(value, appendix);
    });
  }
};

// Values by number. Those that do not matter are kept as their length, or not even that.
class ValueTable {
 public:
  ValueTable() { values_.push_back({}); }

  ValueId Of(const std::string& text, const KeyProfile& profile) {
    return profile.Matters(text) ? Exact(text) : Indifferent(Length(text), profile);
  }
  ValueId OfAppendix(const std::string& text, const KeyProfile& profile) {
    return profile.AppendixMatters(text) ? Exact(text) : Indifferent(Length(text), profile);
  }
  ValueId Appended(ValueId value, ValueId appendix, const KeyProfile& profile) {
    const Entry& left = values_[value];
    const Entry& right = values_[appendix];
    if (!left.exact || !right.exact) return Indifferent(left.length + right.length, profile);
    return Of(left.text + right.text, profile);
  }

  // A value of no particular length.
  ValueId NobodySees() { return Indifferent(0, KeyProfile()); }

  int64_t LengthOf(ValueId value) const { return values_[value].length; }
  std::optional<int64_t> IntegerOf(ValueId value) const {
    return values_[value].exact ? ParseInteger(values_[value].text) : std::nullopt;
  }
  bool EndsWith(ValueId value, ValueId appendix) const {
    return values_[appendix].exact && absl::EndsWith(values_[value].text, values_[appendix].text);
  }
  bool Matters(ValueId value) const { return values_[value].exact; }
  const std::string& TextOf(ValueId value) const { return values_[value].text; }
  std::string Describe(ValueId value) const {
    if (value == kAbsent) return "nil";
    if (!values_[value].exact) return "(never seen)";
    return absl::StrCat("\"", absl::CEscape(values_[value].text), "\"");
  }

  uint64_t MemoryBytes() const { return bytes_; }

 private:
  struct Entry {
    std::string text;
    bool exact = true;
    int64_t length = 0;
  };

  static int64_t Length(const std::string& text) { return static_cast<int64_t>(text.size()); }

  ValueId Exact(const std::string& text) {
    const auto [found, added] = exact_.try_emplace(text, static_cast<ValueId>(values_.size()));
    if (added) {
      values_.push_back({text, true, Length(text)});
      bytes_ += 2 * text.size() + 2 * sizeof(Entry);
    }
    return found->second;
  }
  ValueId Indifferent(int64_t length, const KeyProfile& profile) {
    if (!profile.length_seen) length = 0;
    const auto [found, added] =
        indifferent_.try_emplace(length, static_cast<ValueId>(values_.size()));
    if (added) {
      values_.push_back({"", false, length});
      bytes_ += 2 * sizeof(Entry);
    }
    return found->second;
  }

  std::vector<Entry> values_;  // [kAbsent] is a place holder of length 0
  absl::flat_hash_map<std::string, ValueId> exact_;
  absl::flat_hash_map<int64_t, ValueId> indifferent_;
  uint64_t bytes_ = 0;
};

// --- Operations as the model keeps them: keys and values are numbers, equal ones are one action

struct Test {
  Key key = 0;
  Condition::Kind kind = Condition::Kind::kAlways;
  ValueId value = kAbsent;
  int64_t version = 0;

  auto operator<=>(const Test&) const = default;
};

struct Entry {
  Key key = 0;
  std::optional<ValueId> value;
  std::optional<int64_t> version;

  auto operator<=>(const Entry&) const = default;
};

struct Deed {
  Verb verb = Verb::kGet;
  Test test;  // writes; test.key is the key of every verb that has one
  ValueId value = kAbsent;
  int64_t delta = 0;
  Key range_begin = 0;
  Key range_end = 0;

  Reply::Kind reply = Reply::Kind::kUnobserved;
  ValueId reply_value = kAbsent;
  int64_t reply_number = 0;
  ValueId before = kAbsent;  // kIncrBy: what the key held, if the reply tells and it is not 0
  std::optional<int64_t> reply_version;
  std::vector<Entry> entries;
  bool more = false;

  auto operator<=>(const Deed&) const = default;
};

struct Transaction {
  std::vector<Test> guards;
  std::vector<Deed> deeds;
  bool required = true;
  bool aborted = false;
  std::optional<size_t> guard;

  auto operator<=>(const Transaction&) const = default;
};

struct Observation {
  enum class Kind { kValue, kPresence, kVaguely };
  Key key;
  Kind kind;
  ValueId value;  // kValue
};

// What a key holds. If not `exact`, the version is some number above `version`, which nobody told.
// An absent key keeps the version of its last value as a lower bound for the next.
struct Cell {
  ValueId value = kAbsent;
  int64_t version = 0;
  bool exact = true;
};

class Store final : public StoreModel {
 public:
  explicit Store(std::vector<std::string> keys, const Value& initial,
                 const std::vector<const Operation*>& operations);

  // The actions of the operations given to the constructor, in their order.
  const std::vector<Action>& actions() const { return actions_; }

  State Initial() override;
  State Step(State state, Action action) override;
  bool OnlyLooks(Action action) const override { return table_[action].only_looks; }
  bool NeverHelps(Action action) const override { return table_[action].never_helps; }
  absl::Span<const Need> Asks(Action action) const override { return table_[action].asks; }
  bool Holds(State state, Need need) const override;
  absl::Span<const Action> Providers(Need need) override;
  bool Commute(Action a, Action b) const override;
  void Losses(State before, State after, std::vector<Loss>* losses) override;
  State Forget(State state, absl::FunctionRef<bool(Need)> asked) override;
  uint64_t MemoryBytes() const override { return states_.MemoryBytes() + values_.MemoryBytes(); }
  std::string Describe(State state) const override;

 private:
  enum class Truth { kNo, kMaybe, kYes };

  struct ActionEntry {
    const Transaction* transaction;  // in numbers_
    bool only_looks;
    bool never_helps;
    std::vector<Need> asks;
    // One bit for each key, used again from the 65th on.
    uint64_t looks_at;
    uint64_t writes;
  };
  struct NeedEntry {
    Key key;
    ValueId value;
    std::optional<std::vector<Action>> providers;
  };

  void Study(const Operation& operation);
  Transaction Translate(const Operation& operation);
  Deed Translate(const Command& command);
  Test Translate(const std::string& key, const Condition& condition);
  void AddReply(const Reply& reply, Deed* deed);
  Action Number(Transaction transaction);
  bool NobodyNotices(const Transaction& transaction) const;
  std::vector<Observation> ObservationsOf(const Transaction& transaction) const;
  void ObserveRange(const Deed& deed, const std::set<Key>& written,
                    std::vector<Observation>* seen) const;
  void Observe(const Transaction& transaction);
  std::vector<Need> NeedsOf(const Transaction& transaction);
  Need NeedFor(Key key, ValueId value);
  Key KeyOf(const std::string& key) const;
  ValueId ValueOf(Key key, const Value& value);

  Cell Load(absl::Span<const uint32_t> words, Key key) const;
  void Put(Key key, const Cell& cell);
  static Truth Evaluate(const Cell& cell, const Test& test);
  static bool SawVersion(const std::optional<int64_t>& version, Cell* cell);
  bool PassTest(const Test& test);
  bool RunGuards(const Transaction& transaction, bool* go_on);
  bool Look(const Deed& deed);
  bool LookAtRange(const Deed& deed);
  bool Write(const Deed& deed);
  bool MayProvide(const Deed& deed, ValueId value) const;
  void AddSkipped(Key key, ValueId old_value, ValueId new_value, std::vector<Loss>* losses);
  std::optional<int64_t> NumberOf(ValueId value) const {
    return value == kAbsent ? std::optional<int64_t>(0) : values_.IntegerOf(value);
  }

  const std::vector<std::string> keys_;
  const Value initial_;
  std::vector<KeyProfile> profiles_;
  bool versions_seen_ = false;
  ValueTable values_;
  std::map<Transaction, Action> numbers_;
  std::vector<ActionEntry> table_;
  std::vector<Action> actions_;
  absl::flat_hash_map<std::pair<Key, ValueId>, Need> need_numbers_;
  std::vector<NeedEntry> needs_;
  ValueId nobody_sees_ = kAbsent;  // set by the constructor
  struct Wanted {
    std::map<std::string, Need> texts;
    std::map<int64_t, Need> numbers;
  };
  std::vector<Wanted> wanted_;  // by key, the values that are needed
  SequenceInterner states_;     // the words of each key's cell, key after key

  std::vector<uint32_t> words_;  // the state that is being made
  struct Written {
    Key key;
    std::optional<int64_t> version;  // if the client was told
  };
  std::vector<Written> written_;  // by the action that is being run
};

Store::Store(std::vector<std::string> keys, const Value& initial,
             const std::vector<const Operation*>& operations)
    : keys_(std::move(keys)), initial_(initial), profiles_(keys_.size()), wanted_(keys_.size()) {
  for (const Operation* operation : operations) Study(*operation);
  for (KeyProfile& profile : profiles_) profile.Finish();
  nobody_sees_ = values_.NobodySees();
  std::vector<Transaction> transactions;
  transactions.reserve(operations.size());
  for (const Operation* operation : operations) transactions.push_back(Translate(*operation));
  for (const Transaction& transaction : transactions) Observe(transaction);
  for (Transaction& transaction : transactions) actions_.push_back(Number(std::move(transaction)));
}

Key Store::KeyOf(const std::string& key) const {
  return static_cast<Key>(std::lower_bound(keys_.begin(), keys_.end(), key) - keys_.begin());
}

ValueId Store::ValueOf(Key key, const Value& value) {
  return value.has_value() ? values_.Of(*value, profiles_[key]) : kAbsent;
}

// Notes which values were seen and how they are made.
void Store::Study(const Operation& operation) {
  const auto study_condition = [&](const std::string& key, const Condition& condition) {
    versions_seen_ |= condition.kind == Condition::Kind::kVersionIs;
    if (condition.value.has_value()) profiles_[KeyOf(key)].seen.insert(*condition.value);
  };
  for (const Guard& guard : operation.guards) study_condition(guard.key, guard.condition);
  for (size_t i = 0; i < operation.commands.size(); ++i) {
    const Command& command = operation.commands[i];
    static const Reply kNobodyLooked;
    const Reply& reply = i < operation.replies.size() ? operation.replies[i] : kNobodyLooked;
    versions_seen_ |= reply.version.has_value();
    for (const RangeEntry& entry : reply.entries) {
      versions_seen_ |= entry.version.has_value();
      if (entry.value.has_value()) profiles_[KeyOf(entry.key)].seen.insert(*entry.value);
    }
    if (command.verb == Verb::kSize || command.verb == Verb::kRange) continue;
    study_condition(command.key, command.condition);
    KeyProfile& profile = profiles_[KeyOf(command.key)];
    if (reply.value.has_value()) profile.seen.insert(*reply.value);
    profile.replaced |= command.verb == Verb::kSet || command.verb == Verb::kDelete;
    profile.appended |= command.verb == Verb::kAppend;
    profile.incremented |= command.verb == Verb::kIncrBy;
    profile.decremented |= command.verb == Verb::kIncrBy && command.delta < 0;
    profile.length_seen |= reply.kind == Reply::Kind::kNumber &&
                           (command.verb == Verb::kAppend || command.verb == Verb::kStrlen);
  }
}

Test Store::Translate(const std::string& key, const Condition& condition) {
  Test test;
  test.key = KeyOf(key);
  test.kind = condition.kind;
  if (condition.kind == Condition::Kind::kVersionIs) test.version = condition.version;
  if (condition.kind == Condition::Kind::kValueIs) test.value = ValueOf(test.key, condition.value);
  // Two ways to ask for absence; one is enough.
  if ((test.kind == Condition::Kind::kVersionIs && test.version == 0) ||
      (test.kind == Condition::Kind::kValueIs && test.value == kAbsent)) {
    test.kind = Condition::Kind::kAbsent;
  }
  return test;
}

Deed Store::Translate(const Command& command) {
  Deed deed;
  deed.verb = command.verb;
  switch (command.verb) {
    case Verb::kRange:
      deed.range_begin = KeyOf(command.key);
      deed.range_end = command.end.empty() ? static_cast<Key>(keys_.size()) : KeyOf(command.end);
      deed.range_end = std::max(deed.range_begin, deed.range_end);
      return deed;
    case Verb::kSize:
      return deed;
    case Verb::kGet:
    case Verb::kExists:
    case Verb::kStrlen:
      deed.test.key = KeyOf(command.key);
      return deed;
    case Verb::kSet:
    case Verb::kDelete:
    case Verb::kAppend:
    case Verb::kIncrBy:
      break;
  }
  deed.test = Translate(command.key, command.condition);
  if (command.verb == Verb::kSet) deed.value = ValueOf(deed.test.key, command.value);
  if (command.verb == Verb::kAppend) {
    deed.value = values_.OfAppendix(command.value.value_or(""), profiles_[deed.test.key]);
  }
  if (command.verb == Verb::kIncrBy) deed.delta = command.delta;
  return deed;
}

void Store::AddReply(const Reply& reply, Deed* deed) {
  deed->reply = reply.kind;
  deed->reply_version = reply.version;
  deed->reply_number = reply.number;
  deed->more = reply.more;
  if (reply.kind == Reply::Kind::kValue) {
    deed->reply_value = ValueOf(deed->test.key, reply.value);
  }
  int64_t before = 0;
  if (deed->verb == Verb::kIncrBy && reply.kind == Reply::Kind::kNumber &&
      !__builtin_sub_overflow(reply.number, deed->delta, &before) && before != 0) {
    deed->before = ValueOf(deed->test.key, absl::StrCat(before));
  }
  deed->entries.reserve(reply.entries.size());
  for (const RangeEntry& entry : reply.entries) {
    Entry translated{KeyOf(entry.key), std::nullopt, entry.version};
    if (entry.value.has_value()) translated.value = ValueOf(translated.key, entry.value);
    deed->entries.push_back(translated);
  }
}

Transaction Store::Translate(const Operation& operation) {
  Transaction transaction;
  transaction.required = IsRequired(operation);
  for (const Guard& guard : operation.guards) {
    transaction.guards.push_back(Translate(guard.key, guard.condition));
  }
  if (operation.outcome == Outcome::kOk && operation.aborted) {
    transaction.aborted = true;
    transaction.guard = operation.guard;
    return transaction;  // no command ran
  }
  transaction.deeds.reserve(operation.commands.size());
  for (const Command& command : operation.commands) {
    transaction.deeds.push_back(Translate(command));
  }
  if (transaction.required) {
    for (size_t i = 0; i < operation.replies.size(); ++i) {
      AddReply(operation.replies[i], &transaction.deeds[i]);
    }
  }
  return transaction;
}

uint64_t BitOf(Key key) { return uint64_t{1} << (key % 64); }

uint64_t KeysWritten(const Transaction& transaction) {
  uint64_t keys = 0;
  for (const Deed& deed : transaction.deeds) {
    if (IsWrite(deed.verb)) keys |= BitOf(deed.test.key);
  }
  return keys;
}

uint64_t KeysLookedAt(const Transaction& transaction) {
  uint64_t keys = 0;
  for (const Test& guard : transaction.guards) keys |= BitOf(guard.key);
  for (const Deed& deed : transaction.deeds) {
    if (deed.verb == Verb::kSize ||
        (deed.verb == Verb::kRange && deed.range_end - deed.range_begin >= 64))
      return ~uint64_t{0};
    for (Key key = deed.range_begin; key < deed.range_end; ++key) keys |= BitOf(key);
    if (deed.verb != Verb::kRange) keys |= BitOf(deed.test.key);
  }
  return keys;
}

// True if the action cannot change a state in which it fits, but for versions it tells.
bool CanOnlyLook(const Transaction& transaction) {
  return transaction.aborted ||
         std::all_of(transaction.deeds.begin(), transaction.deeds.end(), [](const Deed& deed) {
           return !IsWrite(deed.verb) || deed.reply == Reply::Kind::kConditionNotMet ||
                  deed.reply == Reply::Kind::kError ||
                  (deed.verb == Verb::kDelete && deed.reply == Reply::Kind::kNumber &&
                   deed.reply_number == 0);
         });
}

Action Store::Number(Transaction transaction) {
  const auto [found, added] =
      numbers_.try_emplace(std::move(transaction), static_cast<Action>(table_.size()));
  if (added) {
    const Transaction& known = found->first;
    const bool only_looks = CanOnlyLook(known);
    table_.push_back({&known, only_looks, only_looks || NobodyNotices(known), NeedsOf(known),
                      KeysLookedAt(known), KeysWritten(known)});
  }
  return found->second;
}

// True if the action only writes values that nobody saw to keys of which nobody learnt anything but
// values. Then no operation that happened looked at these keys until they were written again.
bool Store::NobodyNotices(const Transaction& transaction) const {
  return std::all_of(transaction.deeds.begin(), transaction.deeds.end(), [&](const Deed& deed) {
    if (!IsWrite(deed.verb)) return true;
    const KeyProfile& profile = profiles_[deed.test.key];
    return (deed.verb == Verb::kSet || deed.verb == Verb::kAppend) &&
           !values_.Matters(deed.value) && !profile.looked_at_vaguely && !profile.presence_seen;
  });
}

// What clients learnt about the state before the action, or what decided what it did.
std::vector<Observation> Store::ObservationsOf(const Transaction& transaction) const {
  std::vector<Observation> seen;
  seen.reserve(transaction.guards.size() + 2 * transaction.deeds.size());
  const auto vaguely = [&](Key key) {
    seen.push_back({key, Observation::Kind::kVaguely, kAbsent});
  };
  const auto exactly = [&](Key key, ValueId value) {
    seen.push_back({key, Observation::Kind::kValue, value});
  };
  const auto present = [&](Key key, bool is) {
    is ? seen.push_back({key, Observation::Kind::kPresence, kAbsent}) : exactly(key, kAbsent);
  };
  const auto test = [&](const Test& asked, bool passed) {
    if (asked.kind == Condition::Kind::kPresent) return present(asked.key, passed);
    if (asked.kind == Condition::Kind::kAbsent) return present(asked.key, !passed);
    if (asked.kind == Condition::Kind::kValueIs && passed) return exactly(asked.key, asked.value);
    if (asked.kind != Condition::Kind::kAlways) vaguely(asked.key);
  };

  const bool ran = transaction.required && !transaction.aborted;
  for (const Test& guard : transaction.guards) ran ? test(guard, true) : vaguely(guard.key);
  // What is seen of a key after the first write to it is that write's work, at least in part.
  std::set<Key> written;
  for (const Deed& deed : transaction.deeds) {
    const Key key = deed.test.key;
    const bool met = deed.reply != Reply::Kind::kConditionNotMet;
    if (deed.verb == Verb::kRange) {
      ObserveRange(deed, written, &seen);
    } else if (deed.verb == Verb::kSize) {
      for (Key any = 0; any < keys_.size(); ++any) vaguely(any);
    } else if (deed.reply == Reply::Kind::kUnobserved) {
      if (deed.test.kind != Condition::Kind::kAlways) vaguely(key);
    } else if (written.contains(key)) {
      if (deed.verb != Verb::kGet) vaguely(key);
    } else {
      test(deed.test, met);
      const bool number = deed.reply == Reply::Kind::kNumber;
      if (deed.verb == Verb::kGet) exactly(key, deed.reply_value);
      if (deed.verb == Verb::kExists) present(key, deed.reply_number != 0);
      if (deed.verb == Verb::kDelete && number) present(key, deed.reply_number != 0);
      if (deed.verb == Verb::kStrlen || (deed.verb == Verb::kAppend && number)) vaguely(key);
      if (deed.verb == Verb::kIncrBy && met) {
        vaguely(key);
        if (number && deed.before != kAbsent) exactly(key, deed.before);
      }
    }
    if (IsWrite(deed.verb) && met) written.insert(key);
  }
  return seen;
}

void Store::ObserveRange(const Deed& deed, const std::set<Key>& written,
                         std::vector<Observation>* seen) const {
  if (deed.reply == Reply::Kind::kUnobserved) return;
  const auto see = [&](Key key, Observation::Kind kind, ValueId value) {
    if (!written.contains(key)) seen->push_back({key, kind, value});
  };
  // A reply whose entries are out of order or out of the range fits no state; what it tells does
  // not matter then.
  Key key = deed.range_begin;
  for (const Entry& entry : deed.entries) {
    for (; key < entry.key; ++key) see(key, Observation::Kind::kValue, kAbsent);
    see(entry.key,
        entry.value.has_value() ? Observation::Kind::kValue : Observation::Kind::kPresence,
        entry.value.value_or(kAbsent));
    key = std::max(key, entry.key + 1);
  }
  // That there are more keys says something about all of them, but about none of them what.
  for (; key < deed.range_end; ++key) {
    see(key, deed.more ? Observation::Kind::kVaguely : Observation::Kind::kValue, kAbsent);
  }
}

// Marks the keys of which clients learnt something else than their values.
void Store::Observe(const Transaction& transaction) {
  for (const Observation& observation : ObservationsOf(transaction)) {
    KeyProfile& profile = profiles_[observation.key];
    profile.looked_at_vaguely |= observation.kind == Observation::Kind::kVaguely;
    profile.presence_seen |= observation.kind == Observation::Kind::kPresence;
  }
}

std::vector<Need> Store::NeedsOf(const Transaction& transaction) {
  std::vector<Need> needs;
  if (!transaction.required) return needs;
  for (const Observation& observation : ObservationsOf(transaction)) {
    if (observation.kind == Observation::Kind::kVaguely) continue;
    const bool presence = observation.kind == Observation::Kind::kPresence;
    needs.push_back(NeedFor(observation.key, presence ? kPresent : observation.value));
  }
  return needs;
}

Need Store::NeedFor(Key key, ValueId value) {
  const auto [found, added] =
      need_numbers_.try_emplace(std::make_pair(key, value), static_cast<Need>(needs_.size()));
  if (added) {
    needs_.push_back({key, value, std::nullopt});
    if (value != kAbsent && value != kPresent) {
      wanted_[key].texts.try_emplace(values_.TextOf(value), found->second);
      const std::optional<int64_t> number = values_.IntegerOf(value);
      if (number.has_value()) wanted_[key].numbers.try_emplace(*number, found->second);
    }
  }
  return found->second;
}

// --- States

// A cell is its value, or, if some operation tells versions, four words.
Cell Store::Load(absl::Span<const uint32_t> words, Key key) const {
  if (!versions_seen_) return {words[key], 0, true};
  const absl::Span<const uint32_t> cell = words.subspan(size_t{key} * 4, 4);
  const auto version = static_cast<int64_t>((uint64_t{cell[2]} << 32) | cell[1]);
  return {cell[0], version, cell[3] != 0};
}

void Store::Put(Key key, const Cell& cell) {
  if (!versions_seen_) {
    words_[key] = cell.value;
    return;
  }
  const auto version = static_cast<uint64_t>(cell.version);
  const absl::Span<uint32_t> words = absl::MakeSpan(words_).subspan(size_t{key} * 4, 4);
  words[0] = cell.value;
  words[1] = static_cast<uint32_t>(version);
  words[2] = static_cast<uint32_t>(version >> 32);
  words[3] = cell.exact ? 1 : 0;
}

State Store::Initial() {
  words_.assign(keys_.size() * (versions_seen_ ? 4 : 1), 0);
  for (Key key = 0; key < keys_.size(); ++key) Put(key, {ValueOf(key, initial_), 0, true});
  return states_.Intern(words_);
}

State Store::Step(State state, Action action) {
  const Transaction& transaction = *table_[action].transaction;
  const absl::Span<const uint32_t> before = states_.Get(state);
  words_.assign(before.begin(), before.end());
  written_.clear();
  bool go_on = true;
  if (!RunGuards(transaction, &go_on)) return kNoState;
  if (go_on) {
    for (const Deed& deed : transaction.deeds) {
      if (!(IsWrite(deed.verb) ? Write(deed) : Look(deed))) return kNoState;
    }
  } else if (!transaction.required) {
    return state;
  }
  return states_.Intern(words_);
}

Store::Truth Store::Evaluate(const Cell& cell, const Test& test) {
  const auto truth = [](bool value) { return value ? Truth::kYes : Truth::kNo; };
  switch (test.kind) {
    case Condition::Kind::kAlways:
      return Truth::kYes;
    case Condition::Kind::kAbsent:
      return truth(cell.value == kAbsent);
    case Condition::Kind::kPresent:
      return truth(cell.value != kAbsent);
    case Condition::Kind::kValueIs:
      return truth(cell.value == test.value);
    case Condition::Kind::kVersionIs:
      if (cell.value == kAbsent) return Truth::kNo;
      if (cell.exact) return truth(cell.version == test.version);
      return test.version > cell.version ? Truth::kMaybe : Truth::kNo;
  }
  return Truth::kNo;
}

// Takes note that somebody saw this version (nothing: nobody looked). False if that cannot be.
bool Store::SawVersion(const std::optional<int64_t>& version, Cell* cell) {
  if (!version.has_value()) return true;
  if (cell->value == kAbsent) return *version == 0;
  if (cell->exact) return cell->version == *version;
  if (*version <= cell->version) return false;
  cell->version = *version;
  cell->exact = true;
  return true;
}

// True if the test can have passed; then what that tells about the version is noted.
bool Store::PassTest(const Test& test) {
  Cell cell = Load(words_, test.key);
  switch (Evaluate(cell, test)) {
    case Truth::kNo:
      return false;
    case Truth::kYes:
      return true;
    case Truth::kMaybe:
      break;
  }
  cell.version = test.version;
  cell.exact = true;
  Put(test.key, cell);
  return true;
}

// False if the guards cannot have come out as the client was told; *go_on says whether to run the
// commands.
bool Store::RunGuards(const Transaction& transaction, bool* go_on) {
  const std::vector<Test>& guards = transaction.guards;
  if (!transaction.aborted) {
    *go_on = std::all_of(guards.begin(), guards.end(),
                         [&](const Test& guard) { return PassTest(guard); });
    return *go_on || !transaction.required;
  }
  *go_on = false;
  if (!transaction.guard.has_value()) {
    return std::any_of(guards.begin(), guards.end(), [&](const Test& guard) {
      return Evaluate(Load(words_, guard.key), guard) != Truth::kYes;
    });
  }
  for (size_t i = 0; i < *transaction.guard; ++i) {
    if (!PassTest(guards[i])) return false;
  }
  const Test& failed = guards[*transaction.guard];
  return Evaluate(Load(words_, failed.key), failed) != Truth::kYes;
}

// False if the reply cannot have been given here; so in the two functions that follow.
bool Store::Look(const Deed& deed) {
  if (deed.reply == Reply::Kind::kUnobserved) return true;
  if (deed.verb == Verb::kRange) return LookAtRange(deed);
  if (deed.verb == Verb::kSize) {
    int64_t present = 0;
    for (Key key = 0; key < keys_.size(); ++key) {
      if (Load(words_, key).value != kAbsent) ++present;
    }
    return deed.reply_number == present;
  }
  Cell cell = Load(words_, deed.test.key);
  bool fits = false;
  if (deed.verb == Verb::kGet) fits = cell.value == deed.reply_value;
  if (deed.verb == Verb::kExists) fits = deed.reply_number == (cell.value != kAbsent ? 1 : 0);
  if (deed.verb == Verb::kStrlen) fits = deed.reply_number == values_.LengthOf(cell.value);
  if (!fits || !SawVersion(deed.reply_version, &cell)) return false;
  Put(deed.test.key, cell);
  return true;
}

bool Store::LookAtRange(const Deed& deed) {
  size_t at = 0;
  for (Key key = deed.range_begin; key < deed.range_end; ++key) {
    Cell cell = Load(words_, key);
    if (cell.value == kAbsent) continue;
    if (at == deed.entries.size()) return deed.more;
    const Entry& entry = deed.entries[at++];
    if (entry.key != key || (entry.value.has_value() && *entry.value != cell.value) ||
        !SawVersion(entry.version, &cell)) {
      return false;
    }
    Put(key, cell);
  }
  return at == deed.entries.size() && !deed.more;
}

bool Store::Write(const Deed& deed) {
  const Key key = deed.test.key;
  if (deed.reply == Reply::Kind::kConditionNotMet) {
    Cell cell = Load(words_, key);
    if (Evaluate(cell, deed.test) == Truth::kYes || !SawVersion(deed.reply_version, &cell)) {
      return false;
    }
    Put(key, cell);
    return true;
  }
  const bool observed = deed.reply != Reply::Kind::kUnobserved;
  if (!PassTest(deed.test)) return !observed;

  Cell cell = Load(words_, key);
  bool changes = true;
  int64_t number = 0;
  switch (deed.verb) {
    case Verb::kSet:
      cell.value = deed.value;
      break;
    case Verb::kDelete:
      changes = cell.value != kAbsent;
      number = changes ? 1 : 0;
      cell.value = kAbsent;
      break;
    case Verb::kAppend:
      cell.value = values_.Appended(cell.value, deed.value, profiles_[key]);
      number = values_.LengthOf(cell.value);
      break;
    case Verb::kIncrBy: {
      const std::optional<int64_t> old = NumberOf(cell.value);
      if (!old.has_value() || __builtin_add_overflow(*old, deed.delta, &number)) {
        return !observed || deed.reply == Reply::Kind::kError;
      }
      cell.value = values_.Of(absl::StrCat(number), profiles_[key]);
      break;
    }
    default:
      return false;
  }
  const Reply::Kind expected = deed.verb == Verb::kSet ? Reply::Kind::kDone : Reply::Kind::kNumber;
  if (observed && (deed.reply != expected || deed.reply_number != number)) return false;
  if (!changes || !versions_seen_) {
    Put(key, cell);
    return true;
  }

  // The commands of one operation share a version; every other write gets a larger one.
  auto written = std::find_if(written_.begin(), written_.end(),
                              [&](const Written& earlier) { return earlier.key == key; });
  if (written == written_.end()) written = written_.insert(written, {key, std::nullopt});
  if (deed.reply_version.has_value()) {
    if (written->version.value_or(*deed.reply_version) != *deed.reply_version) return false;
    if (!written->version.has_value() && *deed.reply_version <= cell.version) return false;
    written->version = deed.reply_version;
  }
  cell.version = written->version.value_or(cell.version);
  cell.exact = written->version.has_value() || cell.value == kAbsent;
  Put(key, cell);
  return true;
}

// --- Needs

bool Store::Holds(State state, Need need) const {
  const ValueId value = Load(states_.Get(state), needs_[need].key).value;
  return needs_[need].value == kPresent ? value != kAbsent : value == needs_[need].value;
}

bool Store::Commute(Action a, Action b) const {
  const ActionEntry& left = table_[a];
  const ActionEntry& right = table_[b];
  return (left.writes & (right.writes | right.looks_at)) == 0 &&
         (right.writes & left.looks_at) == 0;
}

void Store::Losses(State before, State after, std::vector<Loss>* losses) {
  const absl::Span<const uint32_t> old_words = states_.Get(before);
  const absl::Span<const uint32_t> new_words = states_.Get(after);
  for (Key key = 0; key < keys_.size(); ++key) {
    const ValueId old_value = Load(old_words, key).value;
    const ValueId new_value = Load(new_words, key).value;
    if (old_value == new_value) continue;
    const bool for_good = profiles_[key].OnlyGrows() || profiles_[key].OnlyCounts();
    const auto lost = need_numbers_.find({key, old_value});
    if (lost != need_numbers_.end()) losses->push_back({lost->second, for_good});
    if (new_value == kAbsent) {
      const auto present = need_numbers_.find({key, kPresent});
      if (present != need_numbers_.end()) losses->push_back({present->second, false});
    }
    if (for_good) AddSkipped(key, old_value, new_value, losses);
  }
}

// The value of a key becomes one that nobody ever sees, which is one more that nobody will see.
State Store::Forget(State state, absl::FunctionRef<bool(Need)> asked) {
  const absl::Span<const uint32_t> words = states_.Get(state);
  bool forgot = false;
  for (Key key = 0; key < keys_.size(); ++key) {
    if (!profiles_[key].OnlyAskedFor()) continue;
    Cell cell = Load(words, key);
    if (cell.value == nobody_sees_) continue;
    const auto is_asked = [&](ValueId value) {
      const auto need = need_numbers_.find({key, value});
      return need != need_numbers_.end() && asked(need->second);
    };
    if (is_asked(cell.value) || (cell.value == kAbsent && is_asked(kPresent))) continue;
    if (!forgot) words_.assign(words.begin(), words.end());
    forgot = true;
    if (cell.value == kAbsent) cell.exact = false;
    cell.value = nobody_sees_;
    Put(key, cell);
  }
  return forgot ? states_.Intern(words_) : state;
}

// Finds a value that is wanted of a key that only grows or only counts, that was ahead before and
// is not now. One is enough: nobody who wants it can have been placed.
void Store::AddSkipped(Key key, ValueId old_value, ValueId new_value, std::vector<Loss>* losses) {
  if (profiles_[key].OnlyCounts()) {
    const std::optional<int64_t> old_number = NumberOf(old_value);
    const std::optional<int64_t> new_number = NumberOf(new_value);
    if (!old_number.has_value() || !new_number.has_value()) return;
    const auto next = wanted_[key].numbers.upper_bound(*old_number);
    if (next != wanted_[key].numbers.end() && next->first < *new_number) {
      losses->push_back({next->second, true});
    }
    return;
  }
  if (!values_.Matters(old_value)) return;
  const std::string& begin = values_.TextOf(old_value);
  const auto& texts = wanted_[key].texts;
  for (auto next = texts.upper_bound(begin);
       next != texts.end() && absl::StartsWith(next->first, begin); ++next) {
    if (values_.Matters(new_value) && absl::StartsWith(next->first, values_.TextOf(new_value))) {
      continue;
    }
    losses->push_back({next->second, true});
    return;
  }
}

absl::Span<const Action> Store::Providers(Need need) {
  NeedEntry& entry = needs_[need];
  if (!entry.providers.has_value()) {
    entry.providers.emplace();
    for (Action action = 0; action < table_.size(); ++action) {
      const std::vector<Deed>& deeds = table_[action].transaction->deeds;
      if (std::any_of(deeds.begin(), deeds.end(), [&](const Deed& deed) {
            return IsWrite(deed.verb) && deed.test.key == entry.key &&
                   MayProvide(deed, entry.value);
          })) {
        entry.providers->push_back(action);
      }
    }
  }
  return *entry.providers;
}

bool Store::MayProvide(const Deed& deed, ValueId value) const {
  if (deed.reply == Reply::Kind::kConditionNotMet || deed.reply == Reply::Kind::kError)
    return false;
  switch (deed.verb) {
    case Verb::kSet:
      return value == kPresent ? deed.value != kAbsent : deed.value == value;
    case Verb::kDelete:
      return value == kAbsent;
    case Verb::kAppend:
      return value == kPresent || (value != kAbsent && values_.EndsWith(value, deed.value));
    case Verb::kIncrBy:
      return value == kPresent || (value != kAbsent && values_.IntegerOf(value).has_value());
    default:
      return false;
  }
}

std::string Store::Describe(State state) const {
  const absl::Span<const uint32_t> words = states_.Get(state);
  std::vector<std::string> cells;
  for (Key key = 0; key < keys_.size(); ++key) {
    const Cell cell = Load(words, key);
    std::string text =
        absl::StrCat("\"", absl::CEscape(keys_[key]), "\"=", values_.Describe(cell.value));
    if (versions_seen_ && cell.value != kAbsent) {
      absl::StrAppend(&text, cell.exact ? " @" : " @>", cell.version);
    }
    cells.push_back(std::move(text));
  }
  return absl::StrJoin(cells, " ");
}

// --- Parts

// Which keys belong together.
class KeySets {
 public:
  explicit KeySets(size_t keys) : parent_(keys) { std::iota(parent_.begin(), parent_.end(), 0); }

  size_t Find(size_t key) {
    while (parent_[key] != key) key = parent_[key] = parent_[parent_[key]];
    return key;
  }
  // The smallest key stands for its set.
  void Join(size_t a, size_t b) {
    a = Find(a);
    b = Find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<size_t> parent_;
};

std::vector<std::string> KeysOf(const History& history) {
  std::set<std::string> keys;
  for (const Operation& operation : history.operations) {
    if (SaysNothing(operation)) continue;
    for (const Guard& guard : operation.guards) keys.insert(guard.key);
    for (const Command& command : operation.commands) {
      if (command.verb != Verb::kRange && command.verb != Verb::kSize) keys.insert(command.key);
    }
    for (const Reply& reply : operation.replies) {
      for (const RangeEntry& entry : reply.entries) keys.insert(entry.key);
    }
  }
  return {keys.begin(), keys.end()};
}

// The keys that an operation depends on, as [begin, end) positions in `keys`.
std::vector<std::pair<size_t, size_t>> Touched(const Operation& operation,
                                               const std::vector<std::string>& keys) {
  const auto position = [&](const std::string& key) {
    return static_cast<size_t>(std::lower_bound(keys.begin(), keys.end(), key) - keys.begin());
  };
  std::vector<std::pair<size_t, size_t>> touched;
  touched.reserve(operation.guards.size() + operation.commands.size());
  const auto touch = [&](size_t begin, size_t end) {
    if (begin < end) touched.emplace_back(begin, end);
  };
  const auto touch_one = [&](size_t key) { touch(key, key + 1); };
  for (const Guard& guard : operation.guards) touch_one(position(guard.key));
  for (const Command& command : operation.commands) {
    if (command.verb == Verb::kSize) {
      touch(0, keys.size());
    } else if (command.verb == Verb::kRange) {
      touch(position(command.key), command.end.empty() ? keys.size() : position(command.end));
    } else {
      touch_one(position(command.key));
    }
  }
  for (const Reply& reply : operation.replies) {
    for (const RangeEntry& entry : reply.entries) touch_one(position(entry.key));
  }
  return touched;
}

}  // namespace

std::vector<HistoryPart> SplitIntoParts(const History& history) {
  for (const Operation& operation : history.operations) {
    if (operation.outcome != Outcome::kOk) continue;
    RAFTKV_CHECK(operation.replies.size() == (operation.aborted ? 0 : operation.commands.size()));
    RAFTKV_CHECK(!operation.guard.has_value() || *operation.guard < operation.guards.size());
  }
  const std::vector<std::string> keys = KeysOf(history);
  // One more set than keys: operations that depend on no key at all, such as a range without keys.
  const size_t no_key = keys.size();
  KeySets sets(keys.size() + 1);
  std::vector<size_t> first_key(history.operations.size(), no_key);
  for (size_t i = 0; i < history.operations.size(); ++i) {
    if (SaysNothing(history.operations[i])) continue;
    for (const auto& [begin, end] : Touched(history.operations[i], keys)) {
      if (first_key[i] == no_key) first_key[i] = begin;
      for (size_t key = begin; key < end; ++key) sets.Join(first_key[i], key);
    }
  }

  struct Members {
    std::vector<std::string> keys;
    std::vector<size_t> operations;
  };
  std::map<size_t, Members> members;
  for (size_t key = 0; key < keys.size(); ++key) members[sets.Find(key)].keys.push_back(keys[key]);
  for (size_t i = 0; i < history.operations.size(); ++i) {
    if (!SaysNothing(history.operations[i])) {
      members[sets.Find(first_key[i])].operations.push_back(i);
    }
  }

  std::vector<HistoryPart> parts;
  for (auto& [representative, member] : members) {
    std::vector<const Operation*> operations;
    for (const size_t i : member.operations) operations.push_back(&history.operations[i]);
    auto store = std::make_unique<Store>(member.keys, history.initial, operations);
    HistoryPart part;
    for (size_t i = 0; i < operations.size(); ++i) {
      part.operations.push_back({operations[i]->invoked, operations[i]->returned,
                                 store->actions()[i], IsRequired(*operations[i])});
    }
    part.keys = std::move(member.keys);
    part.source = std::move(member.operations);
    part.model = std::move(store);
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace raftkv::sim
