#include "core/wire/resp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/raft/random.h"
#include "tests/wire/samples.h"

namespace raftkv::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Request = std::vector<std::string>;

// What a server makes of a byte stream: its requests, and the error that ends it, if any.
struct Conversation {
  std::vector<Request> requests;
  std::string error;
  friend bool operator==(const Conversation&, const Conversation&) = default;
};

// Feeds `bytes` cut at the given positions.
Conversation Listen(absl::string_view bytes, std::vector<size_t> cuts,
                    const RespRequestLimits& limits = {}) {
  Conversation heard;
  RespRequestReader reader(limits);
  cuts.push_back(bytes.size());
  size_t fed = 0;
  for (const size_t cut : cuts) {
    // An exact copy: reading past the piece would be noticed by AddressSanitizer.
    const std::vector<char> piece(bytes.begin() + static_cast<ptrdiff_t>(fed),
                                  bytes.begin() + static_cast<ptrdiff_t>(cut));
    reader.Feed({piece.data(), piece.size()});
    fed = cut;
    std::vector<absl::string_view> arguments;
    RespRequestReader::Outcome outcome;
    while ((outcome = reader.Next(&arguments)) == RespRequestReader::Outcome::kRequest) {
      heard.requests.emplace_back(arguments.begin(), arguments.end());
    }
    EXPECT_EQ(outcome == RespRequestReader::Outcome::kError, !reader.error().empty());
    heard.error = reader.error();
  }
  return heard;
}

Conversation Listen(absl::string_view bytes) { return Listen(bytes, {}); }

std::vector<size_t> EveryByte(size_t size) {
  std::vector<size_t> cuts;
  for (size_t i = 1; i < size; ++i) cuts.push_back(i);
  return cuts;
}

TEST(RespRequestTest, Requests) {
  const struct {
    const char* name;
    std::string bytes;
    std::vector<Request> requests;
  } kCases[] = {
      {"array", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", {{"GET", "k"}}},
      {"empty argument", "*2\r\n$3\r\nGET\r\n$0\r\n\r\n", {{"GET", ""}}},
      {"line breaks in an argument", "*1\r\n$4\r\n\r\n\r\n\r\n", {{"\r\n\r\n"}}},
      {"zero byte", std::string("*1\r\n$3\r\na\0b\r\n", 13), {{std::string("a\0b", 3)}}},
      {"pipeline",
       "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\nPING\r\n",
       {{"PING"}, {"QUIT"}, {"PING"}}},
      {"empty arrays are skipped", "*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n", {{"PING"}}},
      {"empty lines are skipped", "\r\n\n  \r\nPING\r\n", {{"PING"}}},
      {"inline", "SET key value\r\n", {{"SET", "key", "value"}}},
      {"inline with a bare line feed", "PING\nPING\n", {{"PING"}, {"PING"}}},
      {"inline, white space", " \t SET\t k   v \r\n", {{"SET", "k", "v"}}},
      {"double quotes", "SET k \"a b\"\r\n", {{"SET", "k", "a b"}}},
      {"escapes",
       R"(ECHO "\x41\x4g\n\r\t\b\a\"\\\q")"
       "\r\n",
       {{"ECHO", "Ax4g\n\r\t\b\a\"\\q"}}},
      {"single quotes", "ECHO 'it\\'s \\n \"raw\"'\r\n", {{"ECHO", "it's \\n \"raw\""}}},
      {"empty quotes", "SET k \"\" ''\r\n", {{"SET", "k", "", ""}}},
      {"a quote inside a word", "ECHO ab\"c d\"\r\n", {{"ECHO", "abc d"}}},
      {"half a request", "*2\r\n$3\r\nGET\r\n$5\r\nab", {}},
      {"nothing", "", {}},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    const Conversation expected{c.requests, ""};
    EXPECT_EQ(Listen(c.bytes), expected);
    EXPECT_EQ(Listen(c.bytes, EveryByte(c.bytes.size())), expected);
    for (size_t cut = 0; cut <= c.bytes.size(); ++cut) {
      EXPECT_EQ(Listen(c.bytes, {cut}), expected) << "cut at " << cut;
    }
  }
}

TEST(RespRequestTest, ProtocolErrors) {
  const std::string long_number(40, '1');
  const struct {
    std::string bytes;
    std::string error;
  } kCases[] = {
      {"*x\r\n", "Protocol error: invalid multibulk length"},
      {"*\r\n", "Protocol error: invalid multibulk length"},
      {"*1 \r\n", "Protocol error: invalid multibulk length"},
      {"*01\r\n", "Protocol error: invalid multibulk length"},
      {"*+1\r\n", "Protocol error: invalid multibulk length"},
      {"*1048577\r\n", "Protocol error: invalid multibulk length"},
      {"*4294967296\r\n", "Protocol error: invalid multibulk length"},
      {"*9223372036854775807\r\n", "Protocol error: invalid multibulk length"},
      {"*9223372036854775808\r\n", "Protocol error: invalid multibulk length"},
      {"*18446744073709551617\r\n", "Protocol error: invalid multibulk length"},
      {"*1\rx", "Protocol error: invalid multibulk length"},
      {"*" + long_number, "Protocol error: too big mbulk count string"},
      {"*1\r\n:5\r\n", "Protocol error: expected '$', got ':'"},
      {"*1\r\n\r\n", "Protocol error: expected '$', got '\\r'"},
      {"*1\r\n\xff", "Protocol error: expected '$', got '\\xff'"},
      {"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$-0\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$3x\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$16777217\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$4294967296\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$4294967299\r\nabc\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$99999999999999999999\r\n", "Protocol error: invalid bulk length"},
      {"*1\r\n$16777216\r\n", "Protocol error: too big request"},
      {"*1\r\n$" + long_number, "Protocol error: too big bulk count string"},
      {"*1\r\n$3\r\nabcd\r\n", "Protocol error: expected CRLF after a bulk string"},
      {"*1\r\n$3\r\nabc\n\r", "Protocol error: expected CRLF after a bulk string"},
      {"SET \"a\r\n", "Protocol error: unbalanced quotes in request"},
      {"SET 'a\r\n", "Protocol error: unbalanced quotes in request"},
      {"SET \"a\"b\r\n", "Protocol error: unbalanced quotes in request"},
      {"SET \"a\\\r\n", "Protocol error: unbalanced quotes in request"},
      {std::string(65537, 'x'), "Protocol error: too big inline request"},
      {std::string(65537, 'x') + "\r\n", "Protocol error: too big inline request"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.bytes.substr(0, 40));
    // What came before the error is served, what comes after is not.
    const std::string bytes = "PING\r\n" + c.bytes + "\r\nPING\r\n";
    const Conversation expected{{{"PING"}}, c.error};
    EXPECT_EQ(Listen(bytes), expected);
    if (bytes.size() > 1000) continue;
    EXPECT_EQ(Listen(bytes, EveryByte(bytes.size())), expected);
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      EXPECT_EQ(Listen(bytes, {cut}), expected) << "cut at " << cut;
    }
  }
}

TEST(RespRequestTest, RandomRequestsInRandomPieces) {
  Random random = Random::Stream(1, "resp requests");
  for (int round = 0; round < 200; ++round) {
    std::vector<Request> requests;
    std::string bytes;
    for (uint64_t i = random.Below(20); i > 0; --i) {
      Request request;
      for (uint64_t j = random.Between(1, 6); j > 0; --j) {
        request.push_back(RandomBytes(random.Chance(1, 20) ? 5000 : 20, &random));
      }
      const std::vector<absl::string_view> arguments(request.begin(), request.end());
      WriteRespRequest(arguments, &bytes);
      requests.push_back(std::move(request));
    }
    std::vector<size_t> cuts;
    for (size_t at = 0; at < bytes.size(); at += random.Between(1, 600)) cuts.push_back(at);
    ASSERT_EQ(Listen(bytes, cuts), (Conversation{requests, ""})) << "round " << round;
  }
}

TEST(RespRequestTest, DamagedConversationsAreHarmlessAndSplitIndependent) {
  Random random = Random::Stream(1, "resp damage");
  for (const auto& [name, bytes] : RespSamples()) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int value = 0; value < 256; ++value) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(value);
        const Conversation whole = Listen(damaged);
        ASSERT_EQ(Listen(damaged, {random.Below(damaged.size() + 1)}), whole) << damaged;
      }
    }
  }
}

TEST(RespRequestTest, ViewsPointIntoOneBuffer) {
  RespRequestReader reader;
  reader.Feed("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n");
  std::vector<absl::string_view> arguments;
  ASSERT_EQ(reader.Next(&arguments), RespRequestReader::Outcome::kRequest);
  EXPECT_EQ(arguments[1].data() - arguments[0].data(), 9) << "no argument was copied";
  ASSERT_EQ(reader.Next(&arguments), RespRequestReader::Outcome::kRequest);
  EXPECT_THAT(arguments, ElementsAre("PING"));
}

TEST(RespRequestTest, LimitsCountTheWholeRequest) {
  RespRequestLimits limits;
  limits.max_request = 100;
  limits.max_bulk = 100;
  limits.max_arguments = 3;
  const auto request = [](size_t size) {
    std::string bytes;
    WriteRespRequest({"SET", "k", std::string(size, 'v')}, &bytes);
    return bytes;
  };
  ASSERT_EQ(request(73).size(), 100u);
  EXPECT_EQ(Listen(request(73) + request(73), {}, limits).requests.size(), 2u);
  EXPECT_EQ(Listen(request(74), {}, limits).error, "Protocol error: too big request");
  EXPECT_EQ(Listen("*4\r\n", {}, limits).error, "Protocol error: invalid multibulk length");
  EXPECT_EQ(Listen(std::string(101, 'i'), {}, limits).error, "Protocol error: too big request");
}

TEST(RespRequestTest, MemoryFollowsTheBytesReceived) {
  RespRequestReader reader;
  std::vector<absl::string_view> arguments;
  reader.Feed("*1048576\r\n$16000000\r\n");
  EXPECT_EQ(reader.Next(&arguments), RespRequestReader::Outcome::kNeedMore);
  EXPECT_LE(reader.capacity(), 512u);
  const std::string value(1 << 20, 'v');
  std::string request;
  WriteRespRequest({value}, &request);
  RespRequestReader other;
  for (size_t at = 0; at < request.size(); at += 4096) {
    other.Feed(absl::string_view(request).substr(at, 4096));
    if (at + 4096 < request.size()) {
      ASSERT_EQ(other.Next(&arguments), RespRequestReader::Outcome::kNeedMore);
    }
    ASSERT_LE(other.capacity(), 2 * (at + 4096));
  }
  ASSERT_EQ(other.Next(&arguments), RespRequestReader::Outcome::kRequest);
  EXPECT_THAT(arguments, ElementsAre(value));
  EXPECT_EQ(other.Next(&arguments), RespRequestReader::Outcome::kNeedMore);
  EXPECT_EQ(other.capacity(), 0u) << "an idle connection keeps no large block";
}

// A million arguments in pieces: quadratic work would not end.
TEST(RespRequestTest, ManyArgumentsInManyPieces) {
  const std::vector<absl::string_view> sent(1000000, "x");
  std::string request;
  WriteRespRequest(sent, &request);
  RespRequestReader reader;
  std::vector<absl::string_view> arguments;
  for (size_t at = 0; at < request.size(); at += 100) {
    reader.Feed(absl::string_view(request).substr(at, 100));
    const bool whole = at + 100 >= request.size();
    ASSERT_EQ(reader.Next(&arguments),
              whole ? RespRequestReader::Outcome::kRequest : RespRequestReader::Outcome::kNeedMore);
  }
  EXPECT_EQ(arguments, sent);
}

// ---- Replies ----

std::string Written(RespVersion version, void (*write)(RespWriter*)) {
  std::string out;
  RespWriter writer(&out, version);
  write(&writer);
  return out;
}

TEST(RespWriterTest, EveryTypeInBothVersions) {
  const struct {
    void (*write)(RespWriter*);
    std::string resp2;
    std::string resp3;
  } kCases[] = {
      {[](RespWriter* w) { w->Ok(); }, "+OK\r\n", "+OK\r\n"},
      {[](RespWriter* w) { w->Error("ERR no"); }, "-ERR no\r\n", "-ERR no\r\n"},
      {[](RespWriter* w) { w->Integer(-42); }, ":-42\r\n", ":-42\r\n"},
      {[](RespWriter* w) { w->Integer(std::numeric_limits<int64_t>::min()); },
       ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"},
      {[](RespWriter* w) { w->Bulk("a\r\nb"); }, "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"},
      {[](RespWriter* w) { w->Bulk(""); }, "$0\r\n\r\n", "$0\r\n\r\n"},
      {[](RespWriter* w) { w->Null(); }, "$-1\r\n", "_\r\n"},
      {[](RespWriter* w) { w->NullArray(); }, "*-1\r\n", "_\r\n"},
      {[](RespWriter* w) { w->Bool(true); }, ":1\r\n", "#t\r\n"},
      {[](RespWriter* w) { w->Bool(false); }, ":0\r\n", "#f\r\n"},
      {[](RespWriter* w) { w->Double(3.25); }, "$4\r\n3.25\r\n", ",3.25\r\n"},
      {[](RespWriter* w) { w->Double(-INFINITY); }, "$4\r\n-inf\r\n", ",-inf\r\n"},
      {[](RespWriter* w) { w->Double(NAN); }, "$3\r\nnan\r\n", ",nan\r\n"},
      {[](RespWriter* w) { w->BigNumber("123"); }, "$3\r\n123\r\n", "(123\r\n"},
      {[](RespWriter* w) { w->Verbatim("txt", "hi"); }, "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"},
      {[](RespWriter* w) { w->Array(2); }, "*2\r\n", "*2\r\n"},
      {[](RespWriter* w) { w->Map(2); }, "*4\r\n", "%2\r\n"},
      {[](RespWriter* w) { w->Set(2); }, "*2\r\n", "~2\r\n"},
      {[](RespWriter* w) { w->Push(2); }, "*2\r\n", ">2\r\n"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Written(RespVersion::k2, c.write), c.resp2);
    EXPECT_EQ(Written(RespVersion::k3, c.write), c.resp3);
  }
}

TEST(RespWriterTest, BytesFromElsewhereCannotForgeAReply) {
  const auto forged = [](RespWriter* w) {
    w->Error("ERR unknown command 'x\r\n+OK\r\n'");
    w->Simple("a\nb\rc");
  };
  EXPECT_EQ(Written(RespVersion::k2, forged), "-ERR unknown command 'x  +OK  '\r\n+a b c\r\n");
}

struct Replies {
  std::vector<RespValue> values;
  std::string error;
  friend bool operator==(const Replies&, const Replies&) = default;
};

Replies Hear(absl::string_view bytes, std::vector<size_t> cuts = {},
             const RespReplyLimits& limits = {}) {
  Replies heard;
  RespReplyReader reader(limits);
  cuts.push_back(bytes.size());
  size_t fed = 0;
  for (const size_t cut : cuts) {
    const std::vector<char> piece(bytes.begin() + static_cast<ptrdiff_t>(fed),
                                  bytes.begin() + static_cast<ptrdiff_t>(cut));
    reader.Feed({piece.data(), piece.size()});
    fed = cut;
    RespValue value;
    RespReplyReader::Outcome outcome;
    while ((outcome = reader.Next(&value)) == RespReplyReader::Outcome::kReply) {
      heard.values.push_back(value);
    }
    EXPECT_EQ(outcome == RespReplyReader::Outcome::kError, !reader.error().empty());
    heard.error = reader.error();
  }
  return heard;
}

RespValue Text(RespValue::Type type, std::string text) {
  RespValue value;
  value.type = type;
  value.text = std::move(text);
  return value;
}

RespValue Integer(int64_t number) {
  RespValue value;
  value.type = RespValue::Type::kInteger;
  value.integer = number;
  return value;
}

TEST(RespReplyTest, Resp2) {
  RespValue array;
  array.type = RespValue::Type::kArray;
  array.items = {Integer(1), RespValue()};
  EXPECT_EQ(Hear("+OK\r\n-ERR no\r\n:-42\r\n$3\r\na\r\n\r\n$-1\r\n*2\r\n:1\r\n*-1\r\n"),
            (Replies{{Text(RespValue::Type::kSimple, "OK"), Text(RespValue::Type::kError, "ERR no"),
                      Integer(-42), Text(RespValue::Type::kBulk, "a\r\n"), RespValue(), array},
                     ""}));
}

TEST(RespReplyTest, AttributesAreDroppedWhereverTheyStand) {
  RespValue array;
  array.type = RespValue::Type::kArray;
  array.items = {Integer(1), Integer(2)};
  EXPECT_EQ(Hear("|1\r\n+ttl\r\n*1\r\n:5\r\n*2\r\n:1\r\n|1\r\n+a\r\n+b\r\n:2\r\n|0\r\n:3\r\n"),
            (Replies{{array, Integer(3)}, ""}));
}

TEST(RespReplyTest, ProtocolErrors) {
  const struct {
    std::string bytes;
    std::string error;
  } kCases[] = {
      {"?what\r\n", "unknown type '?'"},
      {"\r\n", "empty line"},
      {"+a\n", "a line must end with CRLF"},
      {"+a\rb\r\n", "a line must end with CRLF"},
      {":1x\r\n", "invalid integer"},
      {":\r\n", "invalid integer"},
      {":9223372036854775808\r\n", "invalid integer"},
      {"#x\r\n", "invalid boolean"},
      {"_x\r\n", "invalid null"},
      {",1.2.3\r\n", "invalid double"},
      {"(12a\r\n", "invalid big number"},
      {"$-2\r\n", "invalid bulk length"},
      {"$?\r\n", "invalid bulk length"},
      {"$4294967296\r\n", "invalid bulk length"},
      {"=-1\r\n", "invalid bulk length"},
      {"$1\r\nabc", "a bulk string must end with CRLF"},
      {"=3\r\ntxt\r\n", "a verbatim string needs its format"},
      {"*-2\r\n", "invalid multibulk length"},
      {"%-1\r\n", "invalid multibulk length"},
      {"*4294967296\r\n", "too many values"},
      {"%9223372036854775807\r\n", "too many values"},
      {std::string(70000, '+'), "too long line"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.bytes.substr(0, 40));
    const std::string bytes = ":7\r\n" + c.bytes;
    const Replies expected{{Integer(7)}, "Protocol error: " + c.error};
    EXPECT_EQ(Hear(bytes), expected);
    if (bytes.size() > 1000) continue;
    EXPECT_EQ(Hear(bytes, EveryByte(bytes.size())), expected);
  }
}

TEST(RespReplyTest, NestingIsBounded) {
  const auto nested = [](size_t depth) {
    std::string bytes;
    for (size_t i = 0; i < depth; ++i) bytes += "*1\r\n";
    return bytes + ":1\r\n";
  };
  EXPECT_EQ(Hear(nested(32)).values.size(), 1u);
  EXPECT_EQ(Hear(nested(33)).error, "Protocol error: nested too deeply");
  RespReplyLimits limits;
  limits.max_elements = 5;
  EXPECT_EQ(Hear("*2\r\n*3\r\n:1\r\n:2\r\n:3\r\n:4\r\n*5\r\n", {}, limits).values.size(), 1u);
  EXPECT_EQ(Hear("*2\r\n*4\r\n", {}, limits).error, "Protocol error: too many values");
}

RespValue RandomValue(Random* random, int depth) {
  using Type = RespValue::Type;
  RespValue value;
  value.type = static_cast<Type>(random->Below(depth > 0 ? 13 : 9));
  const auto line = [&] { return std::string(random->Below(20), 'l'); };
  switch (value.type) {
    case Type::kNull:
      break;
    case Type::kSimple:
    case Type::kError:
      value.text = line();
      break;
    case Type::kInteger:
      value.integer = static_cast<int64_t>(random->Next());
      break;
    case Type::kBulk:
      value.text = RandomBytes(200, random);
      break;
    case Type::kBool:
      value.integer = static_cast<int64_t>(random->Below(2));
      break;
    case Type::kDouble: {
      const double choices[] = {0.1, -0.0, 1e300, 5e-324, NAN, INFINITY, -INFINITY, 1.0 / 3, 42};
      value.number = choices[random->Below(std::size(choices))];
      break;
    }
    case Type::kBigNumber:
      value.text = "-1" + std::string(random->Below(40), '7');
      break;
    case Type::kVerbatim:
      value.format = "mkd";
      value.text = RandomBytes(100, random);
      break;
    case Type::kArray:
    case Type::kMap:
    case Type::kSet:
    case Type::kPush:
      for (uint64_t i = random->Below(5) * 2; i > 0; --i) {
        value.items.push_back(RandomValue(random, depth - 1));
      }
  }
  return value;
}

TEST(RespReplyTest, RandomValuesSurviveResp3InRandomPieces) {
  Random random = Random::Stream(1, "resp values");
  for (int round = 0; round < 500; ++round) {
    std::vector<RespValue> values;
    std::string bytes;
    RespWriter writer(&bytes, RespVersion::k3);
    for (uint64_t i = random.Below(10); i > 0; --i) {
      values.push_back(RandomValue(&random, 4));
      WriteRespValue(values.back(), &writer);
    }
    std::vector<size_t> cuts;
    for (size_t at = 0; at < bytes.size(); at += random.Between(1, 300)) cuts.push_back(at);
    ASSERT_EQ(Hear(bytes, cuts), (Replies{values, ""})) << "round " << round;
  }
}

// RESP2 loses types but not structure: writing what was read back as RESP3 again parses to the same
// as reading the RESP2 bytes.
TEST(RespReplyTest, Resp2ValuesAreStableUnderRewriting) {
  Random random = Random::Stream(1, "resp2 values");
  for (int round = 0; round < 500; ++round) {
    std::string first;
    RespWriter writer(&first, RespVersion::k2);
    WriteRespValue(RandomValue(&random, 3), &writer);
    const Replies heard = Hear(first);
    ASSERT_EQ(heard.values.size(), 1u) << heard.error;
    std::string second;
    RespWriter rewriter(&second, RespVersion::k3);
    WriteRespValue(heard.values[0], &rewriter);
    ASSERT_EQ(Hear(second), heard);
  }
}

TEST(RespReplyTest, DamagedRepliesAreHarmlessAndSplitIndependent) {
  Random random = Random::Stream(1, "reply damage");
  for (const auto& [name, bytes] : RespSamples()) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (int value = 0; value < 256; ++value) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(value);
        ASSERT_EQ(Hear(damaged, {random.Below(damaged.size() + 1)}), Hear(damaged)) << damaged;
      }
    }
  }
}

}  // namespace
}  // namespace raftkv::wire
