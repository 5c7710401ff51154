// The rules of the house that a compiler does not know: who may include whom, and what must not
// appear in simulated code.
//
// Everything in core/, storage/ (but its real disk) and sim/ must do the same for the same seed, in
// every process and with every compiler. One stray clock or one loop over a hash table ends that,
// and is found weeks later as a seed that does not replay. So the rules are an ordinary test. The
// first half of this file is the rule engine, the second half shows every rule one text that breaks
// it and one that does not, and the last tests walk the tree.
//
// The engine reads tokens, not C++: it can be fooled by someone who wants to. It is for those who
// forget.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace raftkv {
namespace {

struct Finding {
  std::string path;
  int line;
  std::string rule;
  std::string text;

  friend std::ostream& operator<<(std::ostream& out, const Finding& finding) {
    return out << finding.path << ":" << finding.line << ": [" << finding.rule << "] "
               << finding.text;
  }
};

// A place where a rule does not hold, and why that is right.
struct Exception {
  absl::string_view path;  // a star at the end stands for the rest of the path
  absl::string_view rule;
  absl::string_view reason;
};

// Short on purpose. A file that shows figures to people (never one that decides) may use "float";
// absl::Hash and std::hash, which differ between processes or libraries, may be the hasher of a
// table that is only looked up. A new line here is a design decision: say in the review why the
// rule does not apply.
constexpr Exception kExceptions[] = {
    {"core/wire/flat.h", "pointer-order",
     "asks whether an address is aligned; the answer is the same for the same bytes"},
    {"core/wire/resp*", "float",
     "RESP3 has doubles; they are carried to clients and decide nothing"},
    {"sim/check/sequence_interner.h", "process-hash",
     "the hasher of a table that is only looked up"},
    {"core/raft/block_pool.*", "thread",
     "each thread keeps its own freed blocks, which no run can see (docs/adr/0005)"},
    {"core/wire/append_layouts.h", "flatbuffers",
     "what only core/wire's sources include: bodies by pattern (docs/adr/0008)"},
    {"tests/wire/append_layouts_test.cc", "flatbuffers",
     "compares the patterns with what the library builds and verifies"},
    {"core/raft/check.cc", "io", "the last words before abort(); nothing runs after them"},
    {"fuzz/core_*", "layer",
     "drive the core with the in-memory node of its tests and ask the same oracle"},
    {"fuzz/make_seeds.cc", "layer",
     "writes the seeds of the corpora from the tests' samples of every message; not a fuzz target"},
    {"storage/run_job.h", "layer",
     "reads the jobs of a replica, which are plain values; both drivers need the translation"},
};

// --- Text
// ---------------------------------------------------------------------------------------------------------------------

bool IsIdentifierChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
}

// The same text, same length and same lines, with comments (and, on request, the contents of string
// and character literals) overwritten by spaces.
std::string Blank(absl::string_view source, bool blank_literals) {
  std::string text(source);
  auto wipe = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end && i < text.size(); ++i) {
      if (text[i] != '\n') text[i] = ' ';
    }
  };
  size_t at = 0;
  while (at < source.size()) {
    absl::string_view rest = source.substr(at);
    if (absl::StartsWith(rest, "//")) {
      size_t end = at;
      // A backslash at the end of the line continues a comment.
      while (end < source.size() && (source[end] != '\n' || source[end - 1] == '\\')) ++end;
      wipe(at, end);
      at = end;
    } else if (absl::StartsWith(rest, "/*")) {
      size_t end = source.find("*/", at + 2);
      end = end == absl::string_view::npos ? source.size() : end + 2;
      wipe(at, end);
      at = end;
    } else if (source[at] == '"' && at > 0 && source[at - 1] == 'R') {
      const size_t open = source.find('(', at);
      if (open == absl::string_view::npos) break;
      const std::string close = absl::StrCat(")", source.substr(at + 1, open - at - 1), "\"");
      size_t end = source.find(close, open);
      end = end == absl::string_view::npos ? source.size() : end;
      if (blank_literals) wipe(open + 1, end);
      at = std::min(source.size(), end + close.size());
    } else if (source[at] == '"' ||
               (source[at] == '\'' && (at == 0 || !IsIdentifierChar(source[at - 1])))) {
      // An apostrophe after a digit or a letter separates digits (1'000) or follows a prefix we do
      // not use.
      size_t end = at + 1;
      while (end < source.size() && source[end] != source[at] && source[end] != '\n') {
        end += source[end] == '\\' ? size_t{2} : size_t{1};
      }
      if (blank_literals) wipe(at + 1, end);
      at = end + 1;
    } else {
      ++at;
    }
  }
  return text;
}

struct Token {
  std::string text;  // an identifier, a number, "::", "->", or one character
  int line;
};

std::vector<Token> Tokens(absl::string_view code) {
  std::vector<Token> tokens;
  int line = 1;
  size_t at = 0;
  while (at < code.size()) {
    const char c = code[at];
    if (c == '\n') {
      ++line;
      ++at;
    } else if (absl::ascii_isspace(static_cast<unsigned char>(c))) {
      ++at;
    } else if (IsIdentifierChar(c)) {
      const bool number = absl::ascii_isdigit(static_cast<unsigned char>(c));
      size_t end = at;
      while (end < code.size() &&
             (IsIdentifierChar(code[end]) || (number && (code[end] == '.' || code[end] == '\'')))) {
        ++end;
      }
      tokens.push_back({std::string(code.substr(at, end - at)), line});
      at = end;
    } else {
      const absl::string_view two = code.substr(at, 2);
      const size_t length = two == "::" || two == "->" ? 2 : 1;
      tokens.push_back({std::string(code.substr(at, length)), line});
      at += length;
    }
  }
  return tokens;
}

struct Include {
  std::string path;
  bool quoted;
  int line;
};

std::vector<Include> Includes(absl::string_view source) {
  std::vector<Include> includes;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(Blank(source, false), '\n')) {
    ++number;
    line = absl::StripLeadingAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, "#")) continue;
    line = absl::StripLeadingAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, "include")) continue;
    line = absl::StripAsciiWhitespace(line);
    if (line.size() < 2) continue;
    const size_t end = line.find(line[0] == '<' ? '>' : '"', 1);
    if (end == absl::string_view::npos) continue;
    includes.push_back({std::string(line.substr(1, end - 1)), line[0] == '"', number});
  }
  return includes;
}

// --- Rooms
// --------------------------------------------------------------------------------------------------------------------

bool IsHeader(absl::string_view path) { return absl::EndsWith(path, ".h"); }
bool IsSource(absl::string_view path) { return IsHeader(path) || absl::EndsWith(path, ".cc"); }

bool InFolder(absl::string_view path, absl::string_view folder) {
  return path.size() > folder.size() && absl::StartsWith(path, folder) &&
         path[folder.size()] == '/';
}

// Files and folders of ours that the room may include; a room may always include itself.
struct Room {
  absl::string_view folder;
  std::vector<absl::string_view> may_include;
};

const std::vector<Room>& Rooms() {
  static const std::vector<Room>* rooms = new std::vector<Room>{
      {"core/raft", {}},
      {"core/kv", {"core/raft"}},
      {"core/wire", {"core/raft", "core/kv/command.h", "core/kv/limits.h", "core/kv/result.h"}},
      {"core/replica", {"core/raft", "core/kv", "core/wire"}},
      {"storage", {"core/raft"}},
      {"sim", {"core", "storage"}},
      {"net", {"core", "storage"}},
      {"cmd", {"core", "storage", "sim", "net"}},
      {"fuzz", {"core", "storage", "sim"}},
      {"bench", {"core", "storage", "sim", "net"}},
      {"tests", {"core", "storage", "sim", "net", "cmd", "fuzz"}},
  };
  return *rooms;
}

const Room* RoomOf(absl::string_view path) {
  for (const Room& room : Rooms()) {
    if (InFolder(path, room.folder)) return &room;
  }
  return nullptr;
}

// Everything that runs inside a simulation. The real disk is the one part of storage that does not.
bool IsSimulated(absl::string_view path) {
  if (InFolder(path, "storage")) {
    const absl::string_view name = path.substr(path.rfind('/') + 1);
    return !absl::StartsWith(name, "posix_");
  }
  return InFolder(path, "core") || InFolder(path, "sim");
}

// The folders where code may talk to the operating system's event loop, to TLS and to a log.
bool MayUseTheOutside(absl::string_view path) {
  for (absl::string_view folder : {"net", "cmd", "tests/net", "tests/cmd", "tests/e2e"}) {
    if (InFolder(path, folder)) return true;
  }
  return false;
}

// --- Rules
// --------------------------------------------------------------------------------------------------------------------

class Checker {
 public:
  // `read` gives the text of another file of the tree (for the containers that a header declares),
  // or nothing.
  using Read = std::optional<std::string> (*)(absl::string_view path);

  Checker(absl::string_view path, absl::string_view source, Read read)
      : path_(path), source_(source), read_(read) {}

  std::vector<Finding> Run() {
    FileName();
    Marks();
    Tabs();
    if (IsSource(path_)) {
      includes_ = Includes(source_);
      tokens_ = Tokens(Blank(source_, true));
      Layers();
      Outside();
      FlatBuffers();
      StringView();
      if (IsHeader(path_)) Once();
      if (IsSimulated(path_)) {
        SimulatedIncludes();
        SimulatedNames();
        Floats();
        PointerOrder();
        HashIteration();
      }
    }
    return findings_;
  }

 private:
  void Report(int line, absl::string_view rule, absl::string_view text) {
    findings_.push_back({path_, line, std::string(rule), std::string(text)});
  }

  const std::string& At(size_t index) const {
    static const std::string* nothing = new std::string;
    return index < tokens_.size() ? tokens_[index].text : *nothing;
  }

  void FileName() {
    for (absl::string_view word : absl::StrSplit(path_, absl::ByAnyChar("/_-."))) {
      for (absl::string_view vague : {"util", "utils", "common", "manager", "managers"}) {
        if (absl::EqualsIgnoreCase(word, vague)) {
          Report(1, "name", absl::StrCat("'", word, "' says nothing about what is inside"));
        }
      }
    }
  }

  void Marks() {
    int number = 0;
    for (absl::string_view line : absl::StrSplit(source_, '\n')) {
      ++number;
      // In two pieces each, so that this file obeys its own rule.
      for (absl::string_view mark : {"TO"
                                     "DO",
                                     "FIX"
                                     "ME",
                                     "XX"
                                     "X:",
                                     "HA"
                                     "CK:"}) {
        if (absl::StrContains(line, mark))
          Report(number, "mark", "finish it, or write it down where plans are kept");
      }
    }
  }

  void Tabs() {
    int number = 0;
    for (absl::string_view line : absl::StrSplit(source_, '\n')) {
      ++number;
      if (absl::StrContains(line, '\t'))
        Report(number, "tab", "a tab; write spaces, or \\t in a string");
    }
  }

  void Once() {
    for (absl::string_view line : absl::StrSplit(Blank(source_, true), '\n')) {
      if (absl::StripAsciiWhitespace(line) == "#pragma once") return;
    }
    Report(1, "once", "a header begins with #pragma once");
  }

  void Layers() {
    const Room* room = RoomOf(path_);
    if (room == nullptr) return;
    for (const Include& include : includes_) {
      const Room* other = RoomOf(include.path);
      if (other == nullptr) {
        if (include.quoted && !IsThirdParty(include.path)) {
          Report(include.line, "layer",
                 absl::StrCat("\"", include.path,
                              "\": includes are written from the root of the repository"));
        }
        continue;
      }
      if (other == room) continue;
      bool allowed = false;
      for (absl::string_view may : room->may_include) {
        allowed |= include.path == may || InFolder(include.path, may);
      }
      if (!allowed) {
        Report(include.line, "layer", absl::StrCat(room->folder, " must not know ", include.path));
      }
    }
  }

  static bool IsThirdParty(absl::string_view include) {
    for (absl::string_view prefix : {"absl/", "gtest/", "gmock/", "benchmark/", "flatbuffers/",
                                     "nlohmann/", "spdlog/", "CLI/", "openssl/"}) {
      if (absl::StartsWith(include, prefix)) return true;
    }
    return include == "uv.h" || include == "xxhash.h" || absl::EndsWith(include, "_generated.h");
  }

  void Outside() {
    if (MayUseTheOutside(path_)) return;
    for (const Include& include : includes_) {
      if (include.path == "uv.h" || absl::StartsWith(include.path, "uv/") ||
          absl::StartsWith(include.path, "openssl/") || absl::StartsWith(include.path, "spdlog/") ||
          absl::StartsWith(include.path, "fmt/")) {
        Report(include.line, "outside", absl::StrCat(include.path, " belongs to net and cmd"));
      }
    }
  }

  // The format on the wire is known to the .cc files of core/wire only. They may share a header
  // that uses the library; then nobody else includes that header, and no header does.
  void FlatBuffers() {
    const bool in_wire = InFolder(path_, "core/wire");
    if (in_wire && !IsHeader(path_)) return;
    for (const Include& include : includes_) {
      const bool generated = absl::EndsWith(include.path, "_generated.h");
      if (generated || (UsesFlatBuffers(include) && !in_wire)) {
        Report(include.line, "flatbuffers",
               absl::StrCat(include.path, " is for .cc files of core/wire"));
      } else if (InFolder(include.path, "core/wire") && read_ != nullptr) {
        for (const Include& inner : Includes(read_(include.path).value_or(""))) {
          if (UsesFlatBuffers(inner)) {
            Report(include.line, "flatbuffers",
                   absl::StrCat(include.path, " brings in ", inner.path));
          }
        }
      }
    }
  }

  static bool UsesFlatBuffers(const Include& include) {
    return absl::StartsWith(include.path, "flatbuffers/") ||
           absl::EndsWith(include.path, "_generated.h");
  }

  // Where the two types differ (they do on Debian 12) a mixture costs conversions, where they are
  // one it hides mistakes.
  void StringView() {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (At(i) == "std" && At(i + 1) == "::" && At(i + 2) == "string_view") {
        Report(tokens_[i].line, "string-view",
               "absl::string_view is the view type of this project");
      }
      if (At(i) == "using" && At(i + 1) == "namespace" && At(i + 2) == "std") {
        Report(tokens_[i].line, "string-view", "using namespace std hides which type is meant");
      }
    }
  }

  void SimulatedIncludes() {
    struct Ban {
      absl::string_view rule;
      std::vector<absl::string_view> headers;  // a trailing slash means the folder
    };
    static const std::vector<Ban>* bans = new std::vector<Ban>{
        {"clock", {"chrono", "ctime", "time.h", "sys/time.h", "sys/times.h", "absl/time/clock.h"}},
        {"thread",
         {"thread", "mutex", "shared_mutex", "condition_variable", "atomic", "future", "semaphore",
          "latch", "barrier", "stop_token", "pthread.h", "threads.h", "stdatomic.h",
          "absl/synchronization/", "absl/base/thread_annotations.h"}},
        {"random", {"random", "absl/random/", "sys/random.h"}},
        {"unordered", {"unordered_map", "unordered_set"}},
        {"io",
         {"iostream", "fstream", "filesystem", "print", "cstdio", "stdio.h", "unistd.h", "fcntl.h",
          "sys/", "dirent.h", "poll.h", "netdb.h", "netinet/", "arpa/"}},
        {"exception", {"exception", "stdexcept"}},
    };
    for (const Include& include : includes_) {
      for (const Ban& ban : *bans) {
        for (absl::string_view header : ban.headers) {
          if (include.path == header ||
              (absl::EndsWith(header, "/") && absl::StartsWith(include.path, header))) {
            Report(include.line, ban.rule,
                   absl::StrCat("<", include.path, "> has no place in simulated code"));
          }
        }
      }
    }
  }

  void SimulatedNames() {
    // Names that mean the same wherever they come from.
    static const std::map<absl::string_view, std::set<absl::string_view>>* words =
        new std::map<absl::string_view, std::set<absl::string_view>>{
            {"clock",
             {"system_clock", "steady_clock", "high_resolution_clock", "utc_clock", "tai_clock",
              "gps_clock", "file_clock", "GetCurrentTimeNanos", "clock_gettime", "gettimeofday",
              "localtime", "sleep_for", "sleep_until", "SleepFor", "usleep", "nanosleep"}},
            {"thread",
             {"thread_local", "jthread", "pthread_create", "pthread_self", "this_thread",
              "sched_yield"}},
            {"random",
             {"random_device", "mt19937", "mt19937_64", "minstd_rand", "minstd_rand0",
              "default_random_engine", "random_shuffle", "srand", "drand48", "lrand48",
              "arc4random", "getrandom", "getentropy", "BitGen", "InsecureBitGen"}},
            {"process-hash", {"HashOf"}},
            {"environment",
             {"getenv", "secure_getenv", "setenv", "putenv", "environ", "gethostname", "getpid"}},
            {"exception", {"try", "catch", "throw"}},
            {"unordered",
             {"unordered_map", "unordered_set", "unordered_multimap", "unordered_multiset"}},
            {"pointer-order", {"uintptr_t", "intptr_t"}},
            {"io", {"fopen", "fwrite", "fread", "fprintf", "printf", "puts", "fputs", "popen"}},
        };
    // Names that are harmless words elsewhere and banned in these namespaces.
    static const std::map<absl::string_view, std::set<absl::string_view>>* standard =
        new std::map<absl::string_view, std::set<absl::string_view>>{
            {"clock", {"time", "clock"}},
            {"thread",
             {"thread",
              "mutex",
              "recursive_mutex",
              "shared_mutex",
              "timed_mutex",
              "lock_guard",
              "unique_lock",
              "scoped_lock",
              "condition_variable",
              "condition_variable_any",
              "atomic",
              "atomic_flag",
              "atomic_ref",
              "atomic_bool",
              "atomic_int",
              "future",
              "promise",
              "async",
              "packaged_task",
              "counting_semaphore",
              "binary_semaphore",
              "latch",
              "barrier",
              "call_once",
              "once_flag"}},
            {"random", {"rand", "shuffle", "sample"}},
            {"process-hash", {"hash"}},
            {"io",
             {"cout", "cerr", "clog", "cin", "ifstream", "ofstream", "fstream", "filesystem"}},
        };
    static const std::map<absl::string_view, std::set<absl::string_view>>* abseil =
        new std::map<absl::string_view, std::set<absl::string_view>>{
            {"clock", {"Now"}},
            {"thread",
             {"Mutex", "MutexLock", "CondVar", "Notification", "Barrier", "once_flag",
              "call_once"}},
            {"random", {"Uniform", "Bernoulli", "Exponential", "Gaussian", "Poisson", "Zipf"}},
            {"process-hash", {"Hash"}},
        };
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const std::string& word = tokens_[i].text;
      for (const auto& [rule, names] : *words) {
        if (names.contains(word))
          Report(tokens_[i].line, rule, absl::StrCat("'", word, "' in simulated code"));
      }
      if (absl::EndsWith(word, "_distribution")) {
        Report(tokens_[i].line, "random",
               absl::StrCat("'", word, "' gives other numbers in other libraries"));
      }
      if (At(i + 1) != "::" || (word != "std" && word != "absl")) continue;
      for (const auto& [rule, names] : word == "std" ? *standard : *abseil) {
        if (names.contains(At(i + 2))) {
          Report(tokens_[i].line, rule,
                 absl::StrCat("'", word, "::", At(i + 2), "' in simulated code"));
        }
      }
    }
  }

  void Floats() {
    for (const Token& token : tokens_) {
      const bool number = absl::ascii_isdigit(static_cast<unsigned char>(token.text[0]));
      const bool hex = absl::StartsWith(token.text, "0x") || absl::StartsWith(token.text, "0X");
      const bool decimal = number && !hex && token.text.find_first_of(".eE") != std::string::npos;
      if (token.text == "float" || token.text == "double" || decimal) {
        Report(token.line, "float",
               absl::StrCat("'", token.text, "': decisions are made with integers"));
      }
    }
  }

  // An ordered container of pointers is ordered by where the allocator put things.
  void PointerOrder() {
    static const std::set<absl::string_view>* ordered = new std::set<absl::string_view>{
        "map",       "set",       "multimap",       "multiset",
        "btree_map", "btree_set", "btree_multimap", "btree_multiset"};
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (!ordered->contains(At(i)) || At(i + 1) != "<") continue;
      int depth = 0;
      for (size_t j = i + 1; j < tokens_.size(); ++j) {
        if (At(j) == "<" || At(j) == "(") ++depth;
        if (At(j) == ";" || At(j) == "{") break;
        const bool end_of_key = depth == 1 && (At(j) == "," || At(j) == ">");
        if (end_of_key) {
          if (At(j - 1) == "*")
            Report(tokens_[i].line, "pointer-order", absl::StrCat(At(i), " ordered by address"));
          break;
        }
        if (At(j) == ">" || At(j) == ")") --depth;
      }
    }
  }

  // Names of variables, members, functions and aliases declared with a hash table's type in
  // `tokens`.
  static void CollectHashNames(const std::vector<Token>& tokens, std::set<std::string>* names) {
    std::set<std::string> types = {"flat_hash_map", "flat_hash_set", "node_hash_map",
                                   "node_hash_set"};
    auto at = [&](size_t i) { return i < tokens.size() ? tokens[i].text : std::string(); };
    // Twice, so that what is declared with an alias is found whatever the order.
    for (int pass = 0; pass < 2; ++pass) {
      for (size_t i = 0; i < tokens.size(); ++i) {
        if (!types.contains(at(i))) continue;
        size_t j = i + 1;
        if (at(j) == "<") {
          int depth = 0;
          for (; j < tokens.size(); ++j) {
            if (at(j) == "<") ++depth;
            if (at(j) == ">" && --depth == 0) break;
          }
          ++j;
        }
        size_t begin = i;
        while (begin > 1 && at(begin - 1) == "::") begin -= 2;
        if (begin > 2 && at(begin - 1) == "=" && at(begin - 3) == "using")
          types.insert(at(begin - 2));
        while (at(j) == "&" || at(j) == "*" || at(j) == "const") ++j;
        if (!at(j).empty() && IsIdentifierChar(at(j)[0])) names->insert(at(j));
      }
    }
  }

  void HashIteration() {
    std::set<std::string> names;
    CollectHashNames(tokens_, &names);
    for (const Include& include : includes_) {
      if (RoomOf(include.path) == nullptr || read_ == nullptr) continue;
      if (const std::optional<std::string> text = read_(include.path)) {
        CollectHashNames(Tokens(Blank(*text, true)), &names);
      }
    }
    constexpr absl::string_view kWhy =
        "has another order in every process; look up in it, never walk it";
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (names.contains(At(i)) && (At(i + 1) == "." || At(i + 1) == "->") &&
          (At(i + 2) == "begin" || At(i + 2) == "cbegin")) {
        Report(tokens_[i].line, "hash-order", absl::StrCat("'", At(i), "' ", kWhy));
      }
      if (At(i) != "for" || At(i + 1) != "(") continue;
      int depth = 0;
      bool ranged = false;
      size_t j = i + 1;
      for (; j < tokens_.size(); ++j) {
        if (At(j) == "(") ++depth;
        if (At(j) == ")" && --depth == 0) break;
        if (At(j) == ":" && depth == 1) ranged = true;
      }
      if (!ranged) continue;
      // What is walked is the last name before the closing parenthesis: table, node.table,
      // node->table().
      size_t last = j - 1;
      if (At(last) == ")" && At(last - 1) == "(") last -= 2;
      if (names.contains(At(last))) {
        Report(tokens_[last].line, "hash-order", absl::StrCat("'", At(last), "' ", kWhy));
      }
    }
  }

  std::string path_;
  std::string source_;
  Read read_;
  std::vector<Include> includes_;
  std::vector<Token> tokens_;
  std::vector<Finding> findings_;
};

// --- The rules, each broken and kept
// --------------------------------------------------------------------------------------------

std::optional<std::string> OtherFile(absl::string_view path) {
  if (path == "core/kv/peers.h") return "struct Peers { absl::flat_hash_set<int> known; };\n";
  if (path == "core/wire/flat.h") return "#include \"flatbuffers/flatbuffers.h\"\n";
  return std::nullopt;
}

// The rules that a text breaks, without repetition, in alphabetical order.
std::string Broken(absl::string_view path, absl::string_view text) {
  std::set<std::string> rules;
  for (const Finding& finding : Checker(path, text, OtherFile).Run()) rules.insert(finding.rule);
  return absl::StrJoin(rules, " ");
}

struct Snippet {
  absl::string_view name;
  absl::string_view path;
  absl::string_view text;
  absl::string_view broken;  // the rules it breaks; empty: none
};

std::ostream& operator<<(std::ostream& out, const Snippet& snippet) { return out << snippet.name; }

class Rules : public testing::TestWithParam<Snippet> {};

TEST_P(Rules, FindWhatBreaksThemAndNothingElse) {
  EXPECT_EQ(Broken(GetParam().path, GetParam().text), GetParam().broken) << GetParam().text;
}

constexpr Snippet kLayers[] = {
    {"RaftAlone", "core/raft/a.cc", "#include \"core/raft/b.h\"\n", ""},
    {"RaftKnowsKv", "core/raft/a.cc", "#include \"core/kv/b.h\"\n", "layer"},
    {"RaftKnowsStorage", "core/raft/a.cc", "#include \"storage/log.h\"\n", "layer"},
    {"KvKnowsRaft", "core/kv/a.cc", "#include \"core/raft/b.h\"\n", ""},
    {"KvKnowsWire", "core/kv/a.cc", "#include \"core/wire/b.h\"\n", "layer"},
    {"WireKnowsCommands", "core/wire/a.cc",
     "#include \"core/kv/command.h\"\n#include \"core/kv/result.h\"\n", ""},
    {"WireKnowsStore", "core/wire/a.cc", "#include \"core/kv/store.h\"\n", "layer"},
    {"ReplicaKnowsCore", "core/replica/a.cc",
     "#include \"core/kv/store.h\"\n#include \"core/wire/resp.h\"\n", ""},
    {"ReplicaKnowsStorage", "core/replica/a.cc", "#include \"storage/log.h\"\n", "layer"},
    {"StorageKnowsRaft", "storage/a.cc", "#include \"core/raft/types.h\"\n", ""},
    {"StorageKnowsReplica", "storage/a.cc", "#include \"core/replica/replica.h\"\n", "layer"},
    {"SimKnowsStorage", "sim/a.cc",
     "#include \"storage/log.h\"\n#include \"core/replica/replica.h\"\n", ""},
    {"SimKnowsNet", "sim/a.cc", "#include \"net/loop.h\"\n", "layer"},
    {"NetKnowsSim", "net/a.cc", "#include \"sim/network.h\"\n", "layer"},
    {"CmdKnowsAll", "cmd/a.cc", "#include \"sim/run.h\"\n#include \"net/node.h\"\n", ""},
    {"ProductKnowsTests", "cmd/a.cc", "#include \"tests/fixture.h\"\n", "layer"},
    {"CommentedOut", "core/raft/a.cc",
     "// #include \"core/kv/b.h\"\n/*\n#include \"core/kv/b.h\"\n*/\n", ""},
    {"SpacedDirective", "core/raft/a.cc", "#  include   \"core/kv/b.h\"\n", "layer"},
    {"NotFromTheRoot", "core/raft/a.cc", "#include \"types.h\"\n", "layer"},
    {"ThirdParty", "core/raft/a.cc", "#include \"absl/status/status.h\"\n#include <vector>\n", ""},
    {"NameThatOnlyStartsLikeARoom", "core/raft/a.cc", "#include <network/x.h>\n", ""},
};

constexpr Snippet kOutside[] = {
    {"LoopInNet", "net/a.cc",
     "#include <uv.h>\n#include <spdlog/spdlog.h>\n#include <openssl/ssl.h>\n", ""},
    {"LoopInSim", "sim/a.cc", "#include <uv.h>\n", "outside"},
    {"TlsInStorage", "storage/posix_disk.cc", "#include <openssl/ssl.h>\n", "outside"},
    {"LogInCore", "core/replica/a.cc", "#include \"spdlog/spdlog.h\"\n", "outside"},
    {"GeneratedInWireSource", "core/wire/a.cc",
     "#include \"core/wire/peer_generated.h\"\n#include <flatbuffers/verifier.h>\n", ""},
    {"GeneratedInWireHeader", "core/wire/a.h",
     "#pragma once\n#include \"core/wire/peer_generated.h\"\n", "flatbuffers"},
    {"SharedInsideWire", "core/wire/flat.h",
     "#pragma once\n#include \"flatbuffers/flatbuffers.h\"\n", ""},
    {"SharedUsedInWire", "core/wire/a.cc", "#include \"core/wire/flat.h\"\n", ""},
    {"SharedLeaksThroughAHeader", "core/wire/a.h", "#pragma once\n#include \"core/wire/flat.h\"\n",
     "flatbuffers"},
    {"SharedUsedOutside", "core/replica/a.cc", "#include \"core/wire/flat.h\"\n", "flatbuffers"},
    {"FlatBuffersInReplica", "core/replica/a.cc", "#include \"flatbuffers/flatbuffers.h\"\n",
     "flatbuffers"},
    {"GeneratedInFuzz", "fuzz/a.cc", "#include \"peer_generated.h\"\n", "flatbuffers"},
};

constexpr Snippet kDeterminism[] = {
    {"Clock", "core/raft/a.cc", "auto t = std::chrono::steady_clock::now();", "clock"},
    {"AbslNow", "sim/a.cc", "auto t = absl::Now();", "clock"},
    {"OwnNow", "sim/a.cc", "auto t = scheduler.Now(); int time = 1; Advance(time);", ""},
    {"CTime", "core/kv/a.cc", "auto t = std::time(nullptr);", "clock"},
    {"ClockHeader", "core/kv/a.h", "#pragma once\n#include <chrono>\n", "clock"},
    {"ClockInNet", "net/a.cc", "#include <chrono>\nauto t = std::chrono::steady_clock::now();", ""},
    {"Thread", "storage/a.cc", "std::thread worker;", "thread"},
    {"ThreadInPosixDisk", "storage/posix_disk.cc",
     "#include <fcntl.h>\n#include <mutex>\nstd::mutex m;", ""},
    {"Atomic", "core/replica/a.cc", "std::atomic<int> count;", "thread"},
    {"ThreadLocal", "sim/a.cc", "thread_local int depth;", "thread"},
    {"AbslMutex", "sim/a.cc", "#include \"absl/synchronization/mutex.h\"\nabsl::Mutex m;",
     "thread"},
    {"RandomDevice", "sim/a.cc", "std::random_device d;", "random"},
    {"Mersenne", "sim/a.cc", "std::mt19937 g(1);", "random"},
    {"Distribution", "sim/a.cc", "std::uniform_int_distribution<int> d(1, 6);", "random"},
    {"BitGen", "sim/a.cc", "absl::BitGen gen;", "random"},
    {"Shuffle", "sim/a.cc", "std::shuffle(v.begin(), v.end(), random);", "random"},
    {"ProcessSeededHash", "sim/a.cc", "return absl::HashOf(key);", "process-hash"},
    {"OwnRandom", "sim/a.cc", "Random random(7); random.Shuffle(&v); uint64_t hash = MixHash(2);",
     ""},
    {"Environment", "core/raft/a.cc", "const char* v = getenv(\"HOME\");", "environment"},
    {"Exception", "core/raft/a.cc", "void F() { throw 1; }", "exception"},
    {"TryCatch", "storage/a.cc", "void F() { try { G(); } catch (...) {} }", "exception"},
    {"TryAsPartOfAName", "storage/a.cc", "void Retry() { TryAgain(); bool rethrow = false; }", ""},
    {"Float", "core/raft/a.cc", "float x = 1;", "float"},
    {"DoubleLiteral", "sim/a.cc", "int64_t x = y * 0.5;", "float"},
    {"ScientificLiteral", "sim/a.cc", "int64_t nanos = 1e9;", "float"},
    {"HexadecimalE", "sim/a.cc", "int64_t x = 0x1e9;", ""},
    {"DigitSeparators", "sim/a.cc", "int64_t x = 1'000'000; char quote = '\\''; int z = 0xffu;",
     ""},
    {"Unordered", "core/kv/a.cc", "#include <unordered_map>\nstd::unordered_map<int, int> m;",
     "unordered"},
    {"Printing", "sim/a.cc", "#include <iostream>\nvoid F() { std::cout << 1; }", "io"},
    {"File", "storage/a.cc", "#include <fstream>\nstd::ofstream out;", "io"},
    {"MapByAddress", "sim/a.cc", "std::map<Node*, int> m;", "pointer-order"},
    {"SetByAddress", "sim/a.cc", "absl::btree_set<const Node*> s;", "pointer-order"},
    {"MapToAddress", "sim/a.cc", "std::map<int, Node*> m; std::set<std::pair<int, int>> s;", ""},
    {"AddressAsNumber", "sim/a.cc", "auto n = reinterpret_cast<uintptr_t>(p);", "pointer-order"},
    {"OnlyInAComment", "core/raft/a.cc",
     "// std::thread, getenv, 0.5\n/* throw std::chrono::steady_clock */ int x;\n", ""},
    {"OnlyInAString", "core/raft/a.cc",
     "const char* s = \"throw \\\" getenv 0.5\"; auto r = R\"(catch \" double)\";", ""},
    {"AfterAString", "core/raft/a.cc", "F(\"a\\\\\"); throw 1;", "exception"},
    {"AfterARawString", "core/raft/a.cc", "F(R\"x(\")\" )x\"); throw 1;", "exception"},
    {"AfterAComment", "core/raft/a.cc", "/* \" */ throw 1; // \"\n", "exception"},
    {"TestsMayDoAllThis", "tests/sim/a.cc", "#include <thread>\nstd::thread t; double d = 0.5;",
     ""},
};

constexpr Snippet kHashOrder[] = {
    {"LookUp", "core/kv/a.cc",
     "absl::flat_hash_map<int, int> m; auto it = m.find(1); bool b = it == m.end();", ""},
    {"RangeFor", "core/kv/a.cc",
     "absl::flat_hash_map<int, int> m; void F() { for (auto& [k, v] : m) G(k); }", "hash-order"},
    {"Member", "core/kv/a.cc",
     "struct S { absl::flat_hash_set<K> seen_; }; void F(S& s) { for (auto k : s.seen_) G(k); }",
     "hash-order"},
    {"Accessor", "core/kv/a.cc",
     "struct S { const absl::flat_hash_set<K>& seen() const; }; void F(S* s) { for (auto k : "
     "s->seen()) G(k); }",
     "hash-order"},
    {"Begin", "core/kv/a.cc", "absl::node_hash_map<int, V> m; auto first = m.begin();",
     "hash-order"},
    {"Nested", "core/kv/a.cc",
     "absl::flat_hash_map<int, std::vector<int>> m; void F() { for (auto& e : m) G(e); }",
     "hash-order"},
    {"Alias", "core/kv/a.cc",
     "using Table = absl::flat_hash_map<int, int>; Table t; void F() { for (auto& e : t) G(e); }",
     "hash-order"},
    {"DeclaredInAHeader", "core/kv/a.cc",
     "#include \"core/kv/peers.h\"\nvoid F(Peers& p) { for (int id : p.known) G(id); }",
     "hash-order"},
    {"Ordered", "core/kv/a.cc", "absl::btree_map<int, int> m; void F() { for (auto& e : m) G(e); }",
     ""},
    {"ValueOfALookUp", "core/kv/a.cc",
     "absl::flat_hash_map<int, std::vector<int>> m; void F() { for (int v : m[1]) G(v); for (int v "
     ": m.at(2)) G(v); }",
     ""},
    {"PlainLoop", "core/kv/a.cc",
     "absl::flat_hash_map<int, int> m; void F() { for (int i = 0; i < 3; ++i) G(m[i]); }", ""},
};

constexpr Snippet kText[] = {
    {"Once", "net/a.h", "// What it is.\n#pragma once\n", ""},
    {"NotOnce", "net/a.h", "// #pragma once\nint x;\n", "once"},
    {"Tab", "docs/a.md", "a\tb\n", "tab"},
    {"EscapedTab", "net/a.cc", "char c = '\\t';\n", ""},
    {"Mark", "net/a.cc",
     "// TO"
     "DO(me): later\n",
     "mark"},
    {"MarkInDocs", "docs/a.md",
     "FIX"
     "ME\n",
     "mark"},
    {"VagueName", "net/string_utils.cc", "", "name"},
    {"VagueFolder", "core/common/a.cc", "", "name"},
    {"PreciseName", "core/raft/uncommon_utility.cc", "", ""},
    {"StdView", "net/a.cc", "void F(std::string_view s);", "string-view"},
    {"AbslView", "net/a.cc", "void F(absl::string_view s); std::string s;", ""},
    {"UsingStd", "tests/a.cc", "using namespace std;", "string-view"},
};

std::string NameOf(const testing::TestParamInfo<Snippet>& info) {
  return std::string(info.param.name);
}

INSTANTIATE_TEST_SUITE_P(Layers, Rules, testing::ValuesIn(kLayers), NameOf);
INSTANTIATE_TEST_SUITE_P(Outside, Rules, testing::ValuesIn(kOutside), NameOf);
INSTANTIATE_TEST_SUITE_P(Determinism, Rules, testing::ValuesIn(kDeterminism), NameOf);
INSTANTIATE_TEST_SUITE_P(HashOrder, Rules, testing::ValuesIn(kHashOrder), NameOf);
INSTANTIATE_TEST_SUITE_P(Text, Rules, testing::ValuesIn(kText), NameOf);

TEST(Finding, SaysWhereAndWhat) {
  const std::vector<Finding> findings =
      Checker("core/raft/a.cc", "/* one\n two */\n  throw 1;\n", nullptr).Run();
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(testing::PrintToString(findings[0]),
            "core/raft/a.cc:3: [exception] 'throw' in simulated code");
}

// --- The tree
// -------------------------------------------------------------------------------------------------------------------

const std::filesystem::path& Root() {
  static const std::filesystem::path* root = new std::filesystem::path(RAFTKV_SOURCE_DIR);
  return *root;
}

std::optional<std::string> ReadFile(absl::string_view path) {
  std::ifstream in(Root() / std::string(path), std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Text that people write. Recorded bytes (golden files, corpora) are what they are.
bool IsOurs(absl::string_view path) {
  if (InFolder(path, "tests/golden") || InFolder(path, "fuzz/corpus")) return false;
  for (absl::string_view end : {".h", ".cc", ".fbs", ".cmake", ".txt", ".md", ".json", ".in"}) {
    if (absl::EndsWith(path, end)) return true;
  }
  return InFolder(path, "scripts") || InFolder(path, ".ci");
}

std::vector<std::string> Tree() {
  std::vector<std::string> paths;
  for (const char* folder : {"core", "storage", "sim", "net", "cmd", "tests", "fuzz", "bench",
                             "docs", "cmake", "scripts", ".ci", "deploy"}) {
    if (!std::filesystem::exists(Root() / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Root() / folder)) {
      const std::string path = std::filesystem::relative(entry.path(), Root()).generic_string();
      if (entry.is_regular_file() && IsOurs(path)) paths.push_back(path);
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator(Root())) {
    const std::string path = entry.path().filename().string();
    if (entry.is_regular_file() && IsOurs(path)) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool IsExcepted(const Finding& finding, std::set<const Exception*>* used) {
  for (const Exception& exception : kExceptions) {
    absl::string_view path = exception.path;
    const bool same = absl::ConsumeSuffix(&path, "*") ? absl::StartsWith(finding.path, path)
                                                      : finding.path == path;
    if (same && exception.rule == finding.rule) {
      used->insert(&exception);
      return true;
    }
  }
  return false;
}

TEST(Tree, IsReallyWalked) {
  const std::vector<std::string> tree = Tree();
  for (const char* path : {"core/raft/random.h", "core/raft/random.cc", "tests/tidy_test.cc",
                           "scripts/test", "CMakeLists.txt"}) {
    EXPECT_TRUE(std::binary_search(tree.begin(), tree.end(), path)) << path;
  }
}

TEST(Tree, KeepsTheRules) {
  std::set<const Exception*> used;
  for (const std::string& path : Tree()) {
    const std::optional<std::string> text = ReadFile(path);
    ASSERT_TRUE(text.has_value()) << path;
    for (const Finding& finding : Checker(path, *text, ReadFile).Run()) {
      if (!IsExcepted(finding, &used)) ADD_FAILURE() << finding;
    }
  }
  for (const Exception& exception : kExceptions) {
    EXPECT_TRUE(used.contains(&exception))
        << exception.path << " needs its exception no more: take it away";
  }
}

// Types that a file defines in a namespace with a name: as "raftkv::sim::Trace". House style puts
// each on a line that begins with nothing else.
std::vector<std::string> TypesOf(absl::string_view text) {
  std::vector<std::string> types;
  std::vector<absl::string_view> within;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "}  // namespace")) {
      if (!within.empty()) within.pop_back();
    } else if (absl::ConsumePrefix(&line, "namespace ")) {
      if (absl::ConsumeSuffix(&line, "{")) within.push_back(absl::StripAsciiWhitespace(line));
    } else if (absl::EndsWith(line, "{")) {
      const bool type =
          absl::ConsumePrefix(&line, "struct ") || absl::ConsumePrefix(&line, "class ") ||
          absl::ConsumePrefix(&line, "union ") || absl::ConsumePrefix(&line, "enum class ");
      const absl::string_view name = line.substr(0, line.find_first_of(" :{"));
      const bool inside = absl::StartsWith(line.substr(name.size()), "::");
      const bool hidden =
          within.empty() || std::count(within.begin(), within.end(), absl::string_view()) > 0;
      if (type && !inside && !hidden) {
        types.push_back(absl::StrCat(absl::StrJoin(within, "::"), "::", name));
      }
    }
  }
  return types;
}

TEST(Types, AreFoundWhereTheyAreDefined) {
  EXPECT_THAT(
      TypesOf("namespace raftkv {\n"
              "class Declared;\n"
              "struct One {\n  struct Inner {\n  };\n};\n"
              "namespace sim {\n"
              "class Two final : public One {\n};\n"
              "struct Two::Inner {\n};\n"
              "enum class Three : int { kA };\n"
              "enum class Four : int {\n  kA,\n};\n"
              "namespace {\nstruct Hidden {\n};\n}  // namespace\n"
              "}  // namespace sim\n"
              "template <typename T>\nstruct Five {\n};\n"
              "}  // namespace raftkv\n"),
      testing::ElementsAre("raftkv::One", "raftkv::sim::Two", "raftkv::sim::Four", "raftkv::Five"));
}

// Two types of one name make one program that means either by it, as the linker likes: nothing
// warns of it, and it works until an inline function of the one meets an object of the other.
TEST(Tree, DefinesEveryTypeOnce) {
  std::map<std::string, std::string> first;
  for (const std::string& path : Tree()) {
    if (!IsSource(path) || InFolder(path, "tests") || InFolder(path, "fuzz") ||
        InFolder(path, "bench")) {
      continue;
    }
    for (const std::string& type : TypesOf(*ReadFile(path))) {
      const auto [it, is_new] = first.emplace(type, path);
      EXPECT_TRUE(is_new) << type << " is defined in " << it->second << " and in " << path;
    }
  }
  EXPECT_GT(first.size(), 300u);
}

}  // namespace
}  // namespace raftkv
