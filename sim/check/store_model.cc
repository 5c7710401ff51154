#include "sim/check/store_model.h"

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
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

// What the operations of a part can find out about the values of one key.
struct KeyProfile {
  bool appended = false;
  bool incremented = false;
  bool length_seen = false;
  std::set<std::string> seen;     // read, or compared with
  std::vector<std::string> ends;  // those of `seen` that are no prefix of another

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

  int64_t LengthOf(ValueId value) const { return values_[value].length; }
  std::optional<int64_t> IntegerOf(ValueId value) const {
    return values_[value].exact ? ParseInteger(values_[value].text) : std::nullopt;
  }
  bool EndsWith(ValueId value, ValueId appendix) const {
    return values_[appendix].exact && absl::EndsWith(values_[value].text, values_[appendix].text);
  }
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
  void Needs(State state, Action action, std::vector<Need>* needs) override;
  absl::Span<const Action> Providers(Need need) override;
  uint64_t MemoryBytes() const override { return states_.MemoryBytes() + values_.MemoryBytes(); }
  std::string Describe(State state) const override;

 private:
  enum class Truth { kNo, kMaybe, kYes };

  struct ActionEntry {
    const Transaction* transaction;  // in numbers_
    bool only_looks;
    std::vector<Need> asks;  // for what keys hold before the action
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
  std::vector<Need> Asks(const Transaction& transaction);
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

  const std::vector<std::string> keys_;
  const Value initial_;
  std::vector<KeyProfile> profiles_;
  bool versions_seen_ = false;
  ValueTable values_;
  std::map<Transaction, Action> numbers_;
  std::vector<ActionEntry> table_;
  std::vector<Action> actions_;
  std::map<std::pair<Key, ValueId>, Need> need_numbers_;
  std::vector<NeedEntry> needs_;
  SequenceInterner states_;  // the words of each key's cell, key after key

  std::vector<uint32_t> words_;  // the state that is being made
  struct Written {
    Key key;
    std::optional<int64_t> version;  // if the client was told
  };
  std::vector<Written> written_;  // by the action that is being run
};

Store::Store(std::vector<std::string> keys, const Value& initial,
             const std::vector<const Operation*>& operations)
    : keys_(std::move(keys)), initial_(initial), profiles_(keys_.size()) {
  for (const Operation* operation : operations) Study(*operation);
  for (KeyProfile& profile : profiles_) profile.Finish();
  for (const Operation* operation : operations) actions_.push_back(Number(Translate(*operation)));
}

Key Store::KeyOf(const std::string& key) const {
  return static_cast<Key>(std::lower_bound(keys_.begin(), keys_.end(), key) - keys_.begin());
}

ValueId Store::ValueOf(Key key, const Value& value) {
  return value.has_value() ? values_.Of(*value, profiles_[key]) : kAbsent;
}

// Fills the profiles.
void Store::Study(const Operation& operation) {
  const auto study_condition = [&](const std::string& key, const Condition& condition) {
    if (condition.kind == Condition::Kind::kVersionIs) versions_seen_ = true;
    if (condition.kind == Condition::Kind::kValueIs && condition.value.has_value()) {
      profiles_[KeyOf(key)].seen.insert(*condition.value);
    }
  };
  for (const Guard& guard : operation.guards) study_condition(guard.key, guard.condition);
  for (const Command& command : operation.commands) {
    study_condition(command.key, command.condition);
    if (command.verb == Verb::kAppend) profiles_[KeyOf(command.key)].appended = true;
    if (command.verb == Verb::kIncrBy) profiles_[KeyOf(command.key)].incremented = true;
  }
  for (size_t i = 0; i < operation.replies.size(); ++i) {
    const Reply& reply = operation.replies[i];
    const Command& command = operation.commands[i];
    if (reply.version.has_value()) versions_seen_ = true;
    if (reply.kind == Reply::Kind::kValue && reply.value.has_value()) {
      profiles_[KeyOf(command.key)].seen.insert(*reply.value);
    }
    if (reply.kind == Reply::Kind::kNumber &&
        (command.verb == Verb::kAppend || command.verb == Verb::kStrlen)) {
      profiles_[KeyOf(command.key)].length_seen = true;
    }
    for (const RangeEntry& entry : reply.entries) {
      if (entry.version.has_value()) versions_seen_ = true;
      if (entry.value.has_value()) profiles_[KeyOf(entry.key)].seen.insert(*entry.value);
    }
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
    table_.push_back({&found->first, CanOnlyLook(found->first), Asks(found->first)});
  }
  return found->second;
}

std::vector<Need> Store::Asks(const Transaction& transaction) {
  std::vector<Need> asks;
  if (!transaction.required || transaction.aborted) return asks;
  const auto ask = [&](Key key, ValueId value) {
    const auto [found, added] =
        need_numbers_.try_emplace({key, value}, static_cast<Need>(needs_.size()));
    if (added) needs_.push_back({key, value, std::nullopt});
    asks.push_back(found->second);
  };
  const auto ask_test = [&](const Test& test) {
    if (test.kind == Condition::Kind::kValueIs) ask(test.key, test.value);
    if (test.kind == Condition::Kind::kAbsent) ask(test.key, kAbsent);
  };
  for (const Test& guard : transaction.guards) ask_test(guard);
  // Only what is seen before the first write is what the keys held before the action.
  for (const Deed& deed : transaction.deeds) {
    if (deed.reply == Reply::Kind::kValue) ask(deed.test.key, deed.reply_value);
    for (const Entry& entry : deed.entries) {
      if (entry.value.has_value()) ask(entry.key, *entry.value);
    }
    if (IsWrite(deed.verb)) {
      if (deed.reply != Reply::Kind::kUnobserved && deed.reply != Reply::Kind::kConditionNotMet) {
        ask_test(deed.test);
      }
      break;
    }
  }
  return asks;
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
      const std::optional<int64_t> old =
          cell.value == kAbsent ? std::optional<int64_t>(0) : values_.IntegerOf(cell.value);
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

void Store::Needs(State state, Action action, std::vector<Need>* needs) {
  const absl::Span<const uint32_t> words = states_.Get(state);
  for (const Need need : table_[action].asks) {
    if (Load(words, needs_[need].key).value != needs_[need].value) needs->push_back(need);
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
  switch (deed.verb) {
    case Verb::kSet:
      return deed.value == value;
    case Verb::kDelete:
      return value == kAbsent;
    case Verb::kAppend:
      return value != kAbsent && values_.EndsWith(value, deed.value);
    case Verb::kIncrBy:
      return value != kAbsent && values_.IntegerOf(value).has_value();
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
  const auto touch = [&](size_t begin, size_t end) {
    if (begin < end) touched.emplace_back(begin, end);
  };
  for (const Guard& guard : operation.guards) {
    touch(position(guard.key), position(guard.key) + 1);
  }
  for (const Command& command : operation.commands) {
    if (command.verb == Verb::kSize) {
      touch(0, keys.size());
    } else if (command.verb == Verb::kRange) {
      touch(position(command.key), command.end.empty() ? keys.size() : position(command.end));
    } else {
      touch(position(command.key), position(command.key) + 1);
    }
  }
  for (const Reply& reply : operation.replies) {
    for (const RangeEntry& entry : reply.entries) {
      touch(position(entry.key), position(entry.key) + 1);
    }
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
