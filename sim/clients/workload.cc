#include "sim/clients/workload.h"

#include <charconv>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/raft/check.h"

namespace raftkv::sim {
namespace {

std::string AccountKey(uint64_t pair, int account) {
  return absl::StrCat("p", pair, account == 0 ? "a" : "b");
}
constexpr char kFirstAccount = 'a';
constexpr char kSecondAccount = 'b';
// Every key that starts with "p" is one of an account.
constexpr absl::string_view kAccountsBegin = "p";
constexpr absl::string_view kAccountsEnd = "q";

PlannedOperation Plan(std::vector<std::string> words) {
  absl::StatusOr<PlannedOperation> plan = PlanOperation(std::move(words));
  RAFTKV_CHECK(plan.ok());
  return *std::move(plan);
}

}  // namespace

Workload::Workload(const WorkloadOptions& options, Random random)
    : options_(options),
      random_(random),
      registers_(MakeLines("r", options.registers)),
      counters_(MakeLines("n", options.counters)) {}

std::vector<Workload::Line> Workload::MakeLines(absl::string_view prefix, uint32_t count) {
  std::vector<Line> lines(count);
  for (uint32_t i = 0; i < count; ++i) lines[i].first = absl::StrCat(prefix, i);
  return lines;
}

std::string Workload::Line::Key(uint64_t number) const {
  return number == 0 ? first : absl::StrCat(first, ".", number);
}

std::string Workload::DrawKey(const std::vector<Line>& lines, bool write) {
  const Line& line = lines[random_.Below(lines.size())];
  if (!write && line.retired > 0 && random_.Chance(1, 5)) {
    return line.Key(random_.Below(line.retired));
  }
  return line.Key(line.retired);
}

// Values tell who wrote them: every write of a run writes another one.
std::string Workload::FreshValue() {
  std::string value = absl::StrCat("v", ++last_value_);
  if (random_.PerMille(options_.large_value_per_mille)) {
    value.resize(random_.Between(value.size(), options_.large_value_bytes), '.');
  }
  return value;
}

PlannedOperation Workload::Draw(bool writes_only, uint64_t session) {
  if (session != 0 && random_.Chance(1, 4)) {
    PlannedOperation plan = Plan({"INCR", SessionCounter(session)});
    plan.counts_once = true;
    return plan;
  }
  const bool write = writes_only || !random_.Chance(options_.read_percent, 100);
  const uint32_t shares = options_.register_share + options_.counter_share + options_.pair_share;
  const uint64_t share = random_.Below(shares);
  if (share < options_.register_share) return DrawRegister(write);
  if (share < options_.register_share + options_.counter_share) return DrawCounter(write);
  return DrawPairs(write);
}

PlannedOperation Workload::DrawRegister(bool write) {
  const std::string key = DrawKey(registers_, write);
  const uint64_t choice = random_.Below(100);
  if (!write) {
    if (choice < 55) return Plan({"GET", key});
    if (choice < 80) return Plan({"KV.GET", key});
    if (choice < 90) return Plan({"STRLEN", key});
    return Plan({"EXISTS", key});
  }
  const std::string value = FreshValue();
  if (choice < 30) return Plan({"SET", key, value});
  if (choice < 50) {
    const auto known = versions_.find(key);
    const int64_t version = known == versions_.end() ? 0 : known->second;
    return Plan({"KV.CAS", key, absl::StrCat(version), value});
  }
  if (choice < 62) return Plan({"APPEND", key, absl::StrCat("+", value)});
  if (choice < 70) return Plan({"SET", key, value, "NX"});
  if (choice < 76) return Plan({"SET", key, value, "XX"});
  if (choice < 82) return Plan({"SETNX", key, value});
  if (choice < 88) return Plan({"GETSET", key, value});
  if (choice < 92) return Plan({"GETDEL", key});
  return Plan({"DEL", key});
}

PlannedOperation Workload::DrawCounter(bool write) {
  const std::string key = DrawKey(counters_, write);
  if (!write) return Plan({"GET", key});
  const uint64_t choice = random_.Below(100);
  if (choice < 5) return Plan({"DEL", key});
  // Not a number: increments fail until somebody deletes it or sets one.
  if (choice < 10) return Plan({"SET", key, absl::StrCat("x", ++last_value_)});
  if (choice < 20) return Plan({"SET", key, absl::StrCat(++last_value_ * 1'000)});
  // From a handful of amounts: increments with unknown outcome that are alike are one to the
  // checker, where different ones would double what it has to look at.
  constexpr int64_t kAmounts[] = {1, 1, 10, -1};
  return Plan({"INCRBY", key, absl::StrCat(kAmounts[random_.Below(std::size(kAmounts))])});
}

PlannedOperation Workload::DrawPairs(bool write) {
  const uint64_t choice = random_.Below(100);
  const uint64_t pair = random_.Below(options_.pairs);
  const std::string a = AccountKey(pair, 0);
  const std::string b = AccountKey(pair, 1);
  if (!write) {
    if (choice < 40) return Plan({"MGET", a, b});
    if (choice < 50) return Plan({"EXISTS", a, b});
    const std::string begin(kAccountsBegin);
    if (choice < 75) return Plan({"KV.PREFIX", begin});
    // An even number of entries: pairs come whole.
    const uint64_t limit = 2 * random_.Between(1, options_.pairs);
    return Plan({"KV.RANGE", begin, std::string(kAccountsEnd), "LIMIT", absl::StrCat(limit)});
  }
  if (choice < 6) return Plan({"DEL", a, b});
  const auto amount = static_cast<int64_t>(++last_value_);
  const std::string in_a = absl::StrCat(amount);
  const std::string in_b = absl::StrCat(kPairSum - amount);
  return Plan({choice < 14 ? "MSETNX" : "MSET", a, in_a, b, in_b});
}

void Workload::Learn(const PlannedOperation& operation, const Understood& understood) {
  if (operation.commands.size() != 1 || understood.replies.size() != 1) return;
  if (const auto& version = understood.replies[0].version; version.has_value()) {
    versions_[operation.commands[0].key] = *version;
  }
}

void Workload::LoseTrack(const PlannedOperation& operation) {
  if (operation.read_only || operation.commands.empty()) return;
  for (std::vector<Line>* lines : {&registers_, &counters_}) {
    for (Line& line : *lines) {
      if (operation.commands[0].key != line.Key(line.retired)) continue;
      if (++line.unknown_writes < options_.most_unknown_writes) return;
      ++line.retired;
      line.unknown_writes = 0;
      return;
    }
  }
}

std::string SessionCounter(uint64_t session) { return absl::StrCat("o", session); }

namespace {

std::string SumFault(const std::string& key_a, const Value& a, const Value& b) {
  if (!a.has_value() && !b.has_value()) return {};
  int64_t in_a = 0, in_b = 0;
  const bool whole = a.has_value() && b.has_value() && absl::SimpleAtoi(*a, &in_a) &&
                     absl::SimpleAtoi(*b, &in_b) && in_a + in_b == kPairSum;
  if (whole) return {};
  return absl::StrCat("the accounts that begin with ", key_a, " hold ", a.value_or("nothing"),
                      " and ", b.value_or("nothing"), ", which is not ", kPairSum);
}

// As DrawPairs writes it, and faster than SimpleAtoi, which takes signs and spaces, too.
bool ReadAmount(absl::string_view text, int64_t* amount) {
  const char* const end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, *amount);
  return result.ec == std::errc() && result.ptr == end;
}

}  // namespace

std::string PairFault(const PlannedOperation& operation, const Understood& understood) {
  if (operation.form == ReplyForm::kEach && understood.kind == Understood::Kind::kUnintelligible) {
    return understood.text;
  }
  if (understood.kind != Understood::Kind::kDone || understood.replies.empty()) return {};
  if (operation.form == ReplyForm::kValues && understood.replies.size() == 2) {
    return SumFault(operation.commands[0].key, understood.replies[0].value,
                    understood.replies[1].value);
  }
  if (operation.form != ReplyForm::kPage) return {};
  const std::vector<RangeEntry>& entries = understood.replies[0].entries;
  for (size_t i = 0; i < entries.size(); i += 2) {
    const bool paired =
        i + 1 < entries.size() && absl::EndsWith(entries[i].key, "a") &&
        entries[i + 1].key ==
            absl::StrCat(absl::string_view(entries[i].key).substr(0, entries[i].key.size() - 1),
                         "b");
    if (!paired) return absl::StrCat("a scan found ", entries[i].key, " without its other half");
    if (std::string fault = SumFault(entries[i].key, entries[i].value, entries[i + 1].value);
        !fault.empty()) {
      return fault;
    }
  }
  return {};
}

std::string PairFault(const kv::Store& store) {
  // Asked after each entry that a node applies: one walk over all accounts, of which the two of a
  // pair lie beside each other. Nothing is copied while nothing is wrong.
  kv::TreeCursor at = store.data().Seek(kAccountsBegin);
  while (at.valid()) {
    const kv::TreeEntry first = at.entry();
    if (first.key >= kAccountsEnd) break;
    const absl::string_view pair = first.key.substr(0, first.key.size() - 1);
    at.Next();
    std::optional<kv::TreeEntry> second;
    if (at.valid()) second = at.entry();
    const bool both = first.key.back() == kFirstAccount && second.has_value() &&
                      second->key.size() == first.key.size() &&
                      second->key.back() == kSecondAccount && absl::StartsWith(second->key, pair);
    const auto text = [](const kv::TreeEntry& entry) { return entry.value->view(); };
    int64_t amounts[2] = {0, 0};
    const bool whole = both && ReadAmount(text(first), &amounts[0]) &&
                       ReadAmount(text(*second), &amounts[1]) &&
                       amounts[0] + amounts[1] == kPairSum;
    if (!whole) {
      return absl::StrCat("the accounts that begin with ", first.key, " hold ", text(first),
                          " and ", both ? text(*second) : "nothing", ", which is not ", kPairSum);
    }
    if (first.version != second->version) {
      return absl::StrCat("the accounts that begin with ", first.key, " were written at ",
                          first.version, " and ", second->version, ", not at one index");
    }
    at.Next();
  }
  return {};
}

}  // namespace raftkv::sim
