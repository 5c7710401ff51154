// Reading histories: what each format says, and that nothing that is not one goes by unnoticed.
#include "sim/check/formats.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/raft/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/check/check_command.h"
#include "sim/check/edn.h"
#include "sim/check/text_format.h"

namespace raftkv::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::SizeIs;

History Parse(const std::string& text) {
  const absl::StatusOr<ParsedHistory> parsed = ParseHistory("file", text);
  EXPECT_TRUE(parsed.ok()) << parsed.status() << "\n" << text;
  return parsed.ok() ? parsed->history : History();
}

// One line for each operation: what it was and what came of it.
std::vector<std::string> Summary(const History& history) {
  std::vector<std::string> lines;
  for (const Operation& operation : history.operations) {
    lines.push_back(absl::StrCat(DescribeCommands(operation), " -> ", DescribeOutcome(operation)));
  }
  return lines;
}

std::string Error(const std::string& text) {
  const absl::StatusOr<ParsedHistory> parsed = ParseHistory("file", text);
  return parsed.ok() ? "(no error)" : std::string(parsed.status().message());
}

Verdict Judge(const std::string& text) {
  const absl::StatusOr<CheckReport> report = CheckHistoryText("file", text);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? report->verdict : Verdict::kUndecided;
}

// --- EDN

std::string PrintEdn(const std::string& text) {
  const absl::StatusOr<std::vector<Edn>> forms = ReadEdn("file", text);
  if (!forms.ok()) return std::string(forms.status().message());
  std::string printed;
  for (const Edn& form : *forms)
    absl::StrAppend(&printed, printed.empty() ? "" : " ", form.ToString());
  return printed;
}

TEST(EdnTest, ReadsWhatIsWritten) {
  EXPECT_EQ(PrintEdn("nil true 5 -7 +3 12N 1.5 :a/b sym \\space \"x\\ty\""),
            "nil true 5 -7 3 12 1.5 :a/b sym \\space \"x\\ty\"");
  EXPECT_EQ(PrintEdn("[1, 2,,3] (a (b)) {:k [v]} #{1 2} []"), "[1 2 3] (a (b)) {:k [v]} #{1 2} []");
  EXPECT_EQ(PrintEdn("; nothing\n1 ; one\n;; end"), "1");
  EXPECT_EQ(PrintEdn("#inst \"2020-01-01\" #jepsen.history.Op{:process 1} #:n{:a 1}"),
            "\"2020-01-01\" {:process 1} {:a 1}");
  EXPECT_EQ(PrintEdn("[1 #_2 3 #_ #_ 4 5 6] ^:meta [7] #_[8 9]"), "[1 3 6] [7]");
  EXPECT_EQ(PrintEdn("\\( \\newline \"\\u0041\\n\" ##Inf"), "\\( \\newline \"A\\n\" Inf");
  EXPECT_EQ(PrintEdn("99999999999999999999"), "99999999999999999999");
}

TEST(EdnTest, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(PrintEdn("1\n[2\n3"), "file:2: the collection that begins here is not closed by ']'");
  EXPECT_EQ(PrintEdn("[1\n)"), "file:2: ')' where ']' must close what begins in line 1");
  EXPECT_EQ(PrintEdn("\n]"), "file:2: ']' closes nothing");
  EXPECT_EQ(PrintEdn("{:a 1\n :b}"), "file:1: a map needs a value for each key");
  EXPECT_EQ(PrintEdn("\n\"abc"), "file:2: the string that begins here is not closed");
  EXPECT_EQ(PrintEdn("\"\\q\""), "file:1: unknown escape in a string");
  EXPECT_EQ(PrintEdn("\"\\u12\""), "file:1: '\\u' needs four hexadecimal digits");
  EXPECT_EQ(PrintEdn("[#_]"), "file:1: a value must follow before this is closed");
  EXPECT_EQ(PrintEdn("#tag"), "file:1: the text ends where a value must follow");
  EXPECT_EQ(PrintEdn("#"), "file:1: '#' without a tag");
  EXPECT_EQ(PrintEdn("##"), "file:1: '##' without a name");
  EXPECT_EQ(PrintEdn("\\"), "file:1: '\\' without a character");
  EXPECT_EQ(PrintEdn(":"), "file:1: ':' without a name");
  EXPECT_EQ(PrintEdn("@x"), "file:1: unexpected '@'");
}

TEST(EdnTest, IsBounded) {
  EXPECT_THAT(PrintEdn(std::string(1'000'000, '[')), HasSubstr("nested deeper than 64"));
  const absl::StatusOr<std::vector<Edn>> forms =
      ReadEdn("file", "1 2 3 4 5", 1, {.depth = 64, .values = 4});
  EXPECT_THAT(std::string(forms.status().message()), HasSubstr("more than 4 values"));
}

TEST(EdnHistoryTest, Register) {
  const History history = Parse(
      "; a register\n"
      "[{:process 1, :type :invoke, :f :write, :value 3}\n"
      " {:process :nemesis, :type :info, :f :start, :value \"[:isolated]\"}\n"
      " {:type :invoke :f :read :value nil :process 2 :time 1500}\n"
      " {:process 1, :type :ok, :f :write, :value 3, :error [:odd {:a #{1}}]}\n"
      " {:process 2, :type :ok, :f :read, :value 3 :time 2500}\n"
      " {:process 3, :type :invoke, :f :cas, :value [3 -4]}\n"
      " {:process 3, :type :info, :f :cas, :value :timed-out}\n"
      " {:process 4, :type :invoke, :f :cas, :value (3 nil)}\n"
      " {:process 4, :type :fail, :f :cas, :value (3 nil)}\n"
      " {:process 5, :type :invoke, :f :read, :value nil}\n"
      " {:process 5, :type :ok, :f :read, :value nil}\n"
      " {:process 6, :type :invoke, :f :read, :value nil}\n"
      " {:process 7, :type :info, :f :read, :value nil}]\n");
  EXPECT_EQ(history.initial, "0");
  EXPECT_THAT(Summary(history),
              ElementsAre(R"(set "register" "3" -> ok ok)", R"(get "register" -> ok "3")",
                          R"(set "register" "-4" if value "3" -> unknown)",
                          R"(set "register" nil if value "3" -> fail)", R"(get "register" -> ok -)",
                          R"(get "register" -> unknown)"));
  EXPECT_EQ(history.operations[1].invoke_line, 4);
  EXPECT_EQ(history.operations[1].return_line, 6);
  EXPECT_EQ(history.operations[1].process, "2");
  EXPECT_EQ(history.operations[1].return_time_us, 2);
}

TEST(EdnHistoryTest, MapsMayBeBareInAListNestedOrTagged) {
  const std::string a = "{:process 0 :type :invoke :f :write :value 1}";
  const std::string b = "{:process 0\n :type :ok\n :f :write\n :value 1}";
  for (const std::string& text :
       {absl::StrCat(a, "\n", b), absl::StrCat("(", a, b, ")"),
        absl::StrCat("[[", a, "] [", b, "]]"), absl::StrCat("#history [#op ", a, " #op ", b, "]"),
        absl::StrCat("{:history [", a, b, "] :valid? true}")}) {
    EXPECT_THAT(Summary(Parse(text)), ElementsAre(R"(set "register" "1" -> ok ok)")) << text;
  }
  EXPECT_THAT(Summary(Parse("[]")), IsEmpty());
  EXPECT_THAT(Summary(Parse("[{:process :nemesis, :type :info, :f :kill, :value nil}]")),
              IsEmpty());
}

TEST(EdnHistoryTest, Store) {
  const History history = Parse(
      "{:process 0, :type :invoke, :f :append, :key \"a\", :value \"x 0 y\"}\n"
      "{:process 0, :type :ok, :f :append, :key \"a\", :value \"x 0 y\"}\n"
      "{:process 1, :type :invoke, :f :get, :key \"a\", :value nil}\n"
      "{:process 1, :type :ok, :f :get, :key \"a\", :value \"x 0 y\"}\n"
      "{:process 1, :type :invoke, :f :put, :key \"b\", :value \"\"}\n"
      "{:process 2, :type :invoke, :f :get, :key \"c\", :value nil}\n"
      "{:process 2, :type :ok, :f :get, :key \"c\", :value \"\"}\n");
  EXPECT_EQ(history.initial, "");
  EXPECT_THAT(Summary(history),
              ElementsAre(R"(append "a" "x 0 y" -> ok -)", R"(get "a" -> ok "x 0 y")",
                          R"(set "b" "" -> unknown)", R"(get "c" -> ok "")"));
}

TEST(EdnHistoryTest, Transactions) {
  const std::string text =
      "{:process 0 :type :invoke :f :txn :value [[:read :x nil] [:write :y 2]]}\n"
      "{:process 1 :type :invoke :f :txn :value [[:read :x nil] [:read :y nil]]}\n"
      "{:process 0 :type :ok :f :txn :value [[:read :x 0] [:write :y 2]]}\n"
      "{:process 1 :type :ok :f :txn :value [[:read :x nil] [:read :y 2]]}\n";
  EXPECT_THAT(Summary(Parse(text)), ElementsAre(R"(get ":x" ; set ":y" "2" -> ok "0" ; ok)",
                                                R"(get ":x" ; get ":y" -> ok - ; "2")"));
  EXPECT_EQ(Judge(text), Verdict::kLinearizable);
  EXPECT_EQ(Judge(absl::StrReplaceAll(text, {{"[:read :y 2]", "[:read :y 3]"}})),
            Verdict::kNotLinearizable);
}

TEST(EdnHistoryTest, Mutex) {
  const std::string acquired =
      "{:process 0 :type :invoke :f :acquire :value nil}\n"
      "{:process 0 :type :ok :f :acquire :value nil}\n";
  const std::string again = absl::StrReplaceAll(acquired, {{":process 0", ":process 1"}});
  const std::string released = absl::StrReplaceAll(acquired, {{":acquire", ":release"}});
  EXPECT_EQ(Judge(acquired + released + again), Verdict::kLinearizable);
  EXPECT_EQ(Judge(acquired + again), Verdict::kNotLinearizable);
  EXPECT_EQ(Judge(released), Verdict::kNotLinearizable);
  // A release that may have happened frees it.
  EXPECT_EQ(Judge(acquired + absl::StrReplaceAll(released, {{":ok", ":info"}}) + again),
            Verdict::kLinearizable);
}

TEST(EdnHistoryTest, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(Error("[5]"), "file:1: 5 is not an operation");
  EXPECT_EQ(Error("[{:type :ok}]"), "file:1: an operation without :process");
  EXPECT_EQ(Error("[\n{:process 1 :f :read}]"), "file:2: an operation without :type");
  EXPECT_EQ(Error("[\n{:process 1 :type :ok}]"), "file:2: an operation without :f");
  EXPECT_EQ(Error("[{:process 1 :type :done :f :read}]"),
            "file:1: ':done' is none of :invoke, :ok, :fail and :info");
  EXPECT_EQ(Error("[{:process 1 :type :invoke :f :enqueue}]"), "file:1: unknown :f :enqueue");
  EXPECT_EQ(Error("[{:process 1 :type :ok :f :read :value 1}]"),
            "file:1: process 1 completes an operation that it has not invoked");
  EXPECT_EQ(Error("{:process 1 :type :invoke :f :read}\n{:process 1 :type :ok :f :write}"),
            "file:2: process 1 completes :write but invoked :read in line 1");
  EXPECT_EQ(Error("{:process 1 :type :invoke :f :read}\n{:process 2 :type :invoke :f :put}"),
            "file:2: :f :put does not belong to the operations before");
  EXPECT_EQ(Error("{:process 1 :type :invoke :f :cas :value 5}"),
            "file:1: the :value of a :cas is [old new]");
  EXPECT_EQ(Error("{:process 1 :type :invoke :f :get}"), "file:1: :f :get needs a :key");
  EXPECT_EQ(Error("{:process 1 :type :invoke :f :txn :value [[:read :x]]}"),
            "file:1: operation 1 of this :txn is not [:read k v] or [:write k v]");
  EXPECT_EQ(Error("{:process 1 :type :invoke :f :txn :value [[:write :x 1]]}\n"
                  "{:process 1 :type :ok :f :txn :value [[:write :x 2]]}"),
            "file:2: operation 1 of this :txn is not the one that was invoked");
}

// --- Jepsen logs

TEST(JepsenLogTest, Reads) {
  const std::string text =
      "INFO  jepsen.core - Worker 0 starting\n"
      "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"
      "INFO  jepsen.util - 1\t:invoke\t:write\t4\n"
      "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n"
      "INFO  jepsen.util - 0   :ok     :read   nil\n"
      "INFO  jepsen.util - 1\t:info\t:write\t:timed-out\n"
      "INFO  jepsen.util - 2\t:invoke\t:cas\t[4 2]\n"
      "INFO  jepsen.util - 2\t:fail\t:cas\t[4 2]\n"
      "INFO  jepsen.util - 3\t:invoke\t:read\tnil\n"
      "INFO  jepsen.util - 3\t:fail\t:read\t:timed-out\n";
  const History history = Parse(text);
  EXPECT_EQ(history.initial, std::nullopt);
  EXPECT_THAT(
      Summary(history),
      ElementsAre(R"(get "register" -> ok nil)", R"(set "register" "4" -> unknown)",
                  R"(set "register" "2" if value "4" -> ok unmet)", R"(get "register" -> fail)"));
  EXPECT_EQ(Judge(text), Verdict::kLinearizable);
  // Without the logger's part as well.
  EXPECT_EQ(Summary(Parse(absl::StrReplaceAll(text, {{"INFO  jepsen.util - ", ""}}))),
            Summary(history));
}

TEST(JepsenLogTest, AFailedCasSawAnotherValue) {
  const std::string log =
      "0 :invoke :write 4\n0 :ok :write 4\n1 :invoke :cas [4 2]\n1 :fail :cas [4 2]\n";
  EXPECT_EQ(Judge(log), Verdict::kNotLinearizable);
  EXPECT_EQ(Judge(absl::StrReplaceAll(log, {{"[4 2]", "[3 2]"}})), Verdict::kLinearizable);
}

TEST(JepsenLogTest, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(Error(""), "file:1: no history in any known format");
  EXPECT_EQ(Error("what\nis this\n"), "file:3: no history in any known format");
  EXPECT_EQ(Error("0 :invoke :read nil\n0 :done :read nil\n"),
            "file:2: ':done' is none of :invoke, :ok, :fail and :info");
  EXPECT_EQ(Error("0 :invoke :read nil\n1x :ok :read nil\n"),
            "file:2: process '1x' is not a number");
  EXPECT_EQ(Error("0 :invoke :read nil\n0 :ok :read [1\n"),
            "file:2: the collection that begins here is not closed by ']'");
}

// --- Our own format

constexpr char kOwn[] =
    "raftkv-history 1\n"
    "initial \"0\"\n"
    "# a comment\n"
    "1200 s7 1 invoke set \"k\\001\" \"v w\"\n"
    "1250 s8 1 invoke check \"a\" value \"10\" ; set \"a\" \"5\" ; incrby \"b\" -5\n"
    "1900 s7 1 ok ok @41\n"
    "1999 s8 1 ok aborted 0\n"
    "2000 s7 2 invoke get \"k\"\n"
    "2100 s7 2 ok \"v\" @41\n"
    "2200 s8 2 invoke append \"k\" \"w\" if version 41 ; del \"k\" if present ; size\n"
    "2300 s9 1 invoke range \"a\" \"\"\n"
    "2300 s9 1 ok [ \"a\" - @3 \"b\" \"2\" ] more\n"
    "2400 s9 2 invoke set \"k\" nil if absent ; exists \"k\" ; strlen \"k\"\n"
    "2500 s9 2 ok unmet @4 ; - ; 7\n"
    "2600 s9 3 invoke incrby \"k\" 1\n"
    "2700 s9 3 ok error\n"
    "9000 s8 2 unknown connection lost\n"
    "9001 s7 3 invoke set \"k\" \"2\" if value nil\n"
    "9002 s7 3 fail not the leader\n"
    "9003 s7 4 invoke get \"k\"\n";

TEST(OwnFormatTest, ReadsAndWritesTheSame) {
  const History history = Parse(kOwn);
  ASSERT_THAT(history.operations, SizeIs(9));
  EXPECT_EQ(history.initial, "0");
  EXPECT_EQ(history.operations[0].commands[0].key, std::string("k\1"));
  EXPECT_EQ(history.operations[0].invoke_time_us, 1200);
  EXPECT_EQ(history.operations[1].guard, 0u);
  EXPECT_EQ(history.operations[3].note, "connection lost");
  EXPECT_EQ(history.operations[8].outcome, Outcome::kUnknown);
  EXPECT_EQ(history.operations[8].returned, kNever);
  EXPECT_EQ(WriteHistoryText(history), absl::StrReplaceAll(kOwn, {{"# a comment\n", ""}}));
}

TEST(OwnFormatTest, WritesConcurrentEventsInvokesFirst) {
  History history;
  for (const int process : {1, 2}) {
    Operation operation;
    operation.process = absl::StrCat("p", process);
    operation.number = 1;
    operation.invoked = 5;
    operation.returned = 5;
    operation.outcome = Outcome::kFailed;
    operation.note = "two\nlines";
    operation.commands.push_back({});
    history.operations.push_back(operation);
  }
  EXPECT_EQ(WriteHistoryText(history),
            "raftkv-history 1\n"
            "0 p1 1 invoke get \"\"\n"
            "0 p2 1 invoke get \"\"\n"
            "0 p1 1 fail two lines\n"
            "0 p2 1 fail two lines\n");
}

TEST(OwnFormatTest, SaysWhatIsWrongAndWhere) {
  const auto error = [](const std::string& line) {
    return Error(absl::StrCat("raftkv-history 1\n10 a 1 invoke get \"k\"\n", line, "\n"));
  };
  EXPECT_EQ(Error("raftkv-history 2\n"), "file:1: this version reads 'raftkv-history 1' only");
  EXPECT_EQ(error("x"), "file:3: time 'x' is not a number of microseconds");
  EXPECT_EQ(error("9 a 1 ok nil"), "file:3: time 9 after time 10");
  EXPECT_EQ(error("10 a x ok nil"), "file:3: 'x' is not the number of an operation");
  EXPECT_EQ(error("10 a 2 ok nil"), "file:3: operation a 2 was not invoked");
  EXPECT_EQ(error("10 a 1 done"), "file:3: 'done' is none of invoke, ok, fail and unknown");
  EXPECT_EQ(error("10 a 1 invoke get \"k\""), "file:3: operation a 1 was invoked in line 2");
  EXPECT_EQ(error("10 a 1 ok nil\n10 a 1 ok nil"), "file:4: operation a 1 ended in line 3");
  EXPECT_EQ(error("10 a 1 ok"), "file:3: a value (nil or a string) in quotes is missing");
  EXPECT_EQ(error("10 a 1 ok 5"), "file:3: a value (nil or a string) in quotes expected, not '5'");
  EXPECT_EQ(error("10 a 1 ok nil nil"), "file:3: the end of the line expected, not 'nil'");
  EXPECT_EQ(error("10 a 1 ok nil @x"), "file:3: a version such as @41 expected, not '@x'");
  EXPECT_EQ(error("10 a 1 ok aborted"), "file:3: an operation without guards cannot be aborted");
  EXPECT_EQ(error("10 a 1 ok \"x"), "file:3: a string is not closed");
  EXPECT_EQ(error("10 a 1 ok \"x\"y"), "file:3: a space must follow a string");
  EXPECT_EQ(error("10 b 1 invoke"), "file:3: a command is missing");
  EXPECT_EQ(error("10 b 1 invoke fly \"k\""), "file:3: a command expected, not 'fly'");
  EXPECT_EQ(error("10 b 1 invoke get k"), "file:3: a key in quotes expected, not 'k'");
  EXPECT_EQ(error("10 b 1 invoke incrby \"k\" 1.5"), "file:3: a number expected, not '1.5'");
  EXPECT_EQ(error("10 b 1 invoke set \"k\" \"v\" if odd"),
            "file:3: absent, present, version or value expected, not 'odd'");
  EXPECT_EQ(error("10 b 1 invoke get \"k\" get \"l\""),
            "file:3: ; or the end of the line expected, not 'get'");
  EXPECT_EQ(error("10 b 1 invoke check \"k\" present ; get \"l\"\n11 b 1 ok aborted 1"),
            "file:4: there is no guard 1 in this operation");
  EXPECT_EQ(error("initial \"5\""), "file:3: 'initial' comes before all events");
}

// --- Anything at all

TEST(AnyTextTest, GivesAHistoryOrAnErrorWithItsPlace) {
  const std::vector<std::string> seeds = {
      kOwn,
      "[{:process 1, :type :invoke, :f :cas, :value [0 \"a\\n\"]}\n {:process 1, :type :ok, :f "
      ":cas, "
      ":value [0 \"a\\n\"]} #_x ; c\n {:process :nemesis, :type :info, :f :kill, :value #{1}}]",
      "{:process 0 :type :invoke :f :txn :value [[:read :x nil] [:write :y 2]]}\n"
      "{:process 0 :type :ok :f :txn :value [[:read :x 0] [:write :y 2]]}\n",
      "{:process 0, :type :invoke, :f :append, :key \"a\", :value \"x\"}\n"
      "{:process 0, :type :ok, :f :append, :key \"a\", :value \"x\"}\n",
      "INFO  jepsen.util - 0\t:invoke\t:cas\t[4 2]\nINFO  jepsen.util - 0\t:fail\t:cas\t[4 2]\n"};
  const std::string spice = "[](){}#;\"\\ \n\t:,^'@~-_09aNn";
  Random random(7);
  CheckOptions options;
  options.budget = {.steps = 20'000, .memory_bytes = 64u << 20};
  int readable = 0;
  constexpr int kTexts = 30'000;
  for (int i = 0; i < kTexts; ++i) {
    std::string text = seeds[random.Below(seeds.size())];
    for (uint64_t edits = random.Between(1, 6); edits > 0 && !text.empty(); --edits) {
      const size_t at = random.Below(text.size());
      const size_t length = random.Between(1, 12);
      switch (random.Below(5)) {
        case 0:
          text[at] = static_cast<char>(random.Below(256));
          break;
        case 1:
          text.insert(at, 1, spice[random.Below(spice.size())]);
          break;
        case 2:
          text.erase(at, length);
          break;
        case 3:
          text.insert(random.Below(text.size()), text.substr(at, length));
          break;
        case 4:
          text.resize(at);
          break;
      }
    }
    const absl::StatusOr<CheckReport> report = CheckHistoryText("file", text, options);
    if (report.ok()) {
      ++readable;
      EXPECT_THAT(FormatReport(*report, false), HasSubstr("file: "));
    } else {
      ASSERT_THAT(std::string(report.status().message()), MatchesRegex("file:[0-9]+: (.|\n)+"))
          << text;
    }
  }
  EXPECT_GT(readable, kTexts / 50);
  EXPECT_LT(readable, kTexts * 49 / 50);
}

TEST(AnyTextTest, TooLongIsAnError) {
  EXPECT_THAT(Error(std::string(kMaxHistoryBytes + 1, ' ')), HasSubstr("the limit is"));
}

}  // namespace
}  // namespace raftkv::sim
