#include "core/wire/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/raft/random.h"

namespace raftkv::wire {
namespace {

using ::testing::HasSubstr;

std::string Frame(absl::string_view body) {
  std::string frame(kFrameHeaderSize, '\0');
  WriteFrameHeader(body, frame.data());
  frame.append(body.data(), body.size());
  return frame;
}

std::string Body(size_t size, char fill = 'b') { return std::string(size, fill); }

// A header that claims `length`, with a checksum that fits nothing.
std::string Claim(uint32_t length) {
  std::string header = Frame("");
  for (size_t i = 0; i < 4; ++i) header[4 + i] = static_cast<char>(length >> (8 * i));
  return header;
}

// All bodies, after feeding the bytes in pieces of `piece`.
std::vector<std::string> ReadAll(FrameReader* reader, absl::string_view bytes, size_t piece) {
  std::vector<std::string> bodies;
  for (size_t i = 0; i < bytes.size(); i += piece) {
    reader->Feed(bytes.substr(i, piece));
    absl::string_view body;
    while (reader->Next(&body)) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(body.data()) % kFrameAlignment, 0u);
      bodies.emplace_back(body);
    }
  }
  return bodies;
}

std::string ErrorOf(absl::string_view bytes) {
  FrameReader reader;
  EXPECT_TRUE(ReadAll(&reader, bytes, bytes.size()).empty());
  EXPECT_FALSE(reader.status().ok());
  return std::string(reader.status().message());
}

TEST(FrameTest, GoldenHeader) {
  const std::string header = Frame("12345678").substr(0, kFrameHeaderSize);
  EXPECT_EQ(header.substr(0, 8), std::string("RKF\x01\x08\0\0\0", 8));
  EXPECT_EQ(header.substr(8), std::string("i\xec\xc9X\x92\x1aWA", 8));
}

TEST(FrameTest, EverySplitGivesTheSameBodies) {
  const std::vector<std::string> bodies = {Body(8, 'a'), "", Body(64, 'c'), Body(1024, 'd')};
  std::string stream;
  for (const std::string& body : bodies) stream += Frame(body);
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    FrameReader reader;
    ASSERT_EQ(ReadAll(&reader, stream, piece), bodies) << "pieces of " << piece;
    EXPECT_TRUE(reader.status().ok());
    EXPECT_EQ(reader.buffered(), 0u);
  }
}

TEST(FrameTest, EveryPrefixNeedsMore) {
  const std::string frame = Frame(Body(40));
  for (size_t size = 0; size < frame.size(); ++size) {
    FrameReader reader;
    ASSERT_TRUE(ReadAll(&reader, frame.substr(0, size), frame.size()).empty());
    ASSERT_TRUE(reader.status().ok()) << size;
  }
}

TEST(FrameTest, EveryFlippedBitIsNoticed) {
  const std::string frame = Frame(Body(24));
  for (size_t bit = 0; bit < 8 * frame.size(); ++bit) {
    std::string damaged = frame;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    FrameReader reader;
    EXPECT_TRUE(ReadAll(&reader, damaged, damaged.size()).empty()) << "bit " << bit;
    // A longer length may still wait for its bytes; when they come, the checksum refuses them.
    ReadAll(&reader, Body(kMaxFrameBody), kMaxFrameBody);
    EXPECT_FALSE(reader.status().ok()) << "bit " << bit;
  }
}

TEST(FrameTest, LengthAboveTheLimitIsRefusedBeforeItsBytesAreWaitedFor) {
  FrameReader reader;
  absl::string_view body;
  reader.Feed(Claim(0xfffffff8).substr(0, 8));
  EXPECT_FALSE(reader.Next(&body));
  EXPECT_THAT(std::string(reader.status().message()),
              HasSubstr("length 4294967288 is above the limit of 20971520"));
  EXPECT_EQ(reader.capacity(), 0u);
}

TEST(FrameTest, LowerLimitOfAConnectionHolds) {
  FrameReader reader(64);
  EXPECT_EQ(ReadAll(&reader, Frame(Body(64)), 1).size(), 1u);
  EXPECT_TRUE(ReadAll(&reader, Frame(Body(72)), 1).empty());
  EXPECT_THAT(std::string(reader.status().message()), HasSubstr("above the limit of 64"));
}

TEST(FrameTest, LengthThatIsNoMultipleOfEightIsRefused) {
  EXPECT_THAT(ErrorOf(Claim(12)), HasSubstr("length 12 is not a multiple of 8"));
}

TEST(FrameTest, StrangersAreRefusedAtTheirFirstWrongByte) {
  EXPECT_THAT(ErrorOf("GET / HTTP/1.1\r\n"), HasSubstr("got \"GET \""));
  EXPECT_THAT(ErrorOf("RKG"), HasSubstr("expected magic"));
  EXPECT_THAT(ErrorOf(std::string("RKF\x02", 4)), HasSubstr("\\x02"));
}

TEST(FrameTest, ErrorsAreFinal) {
  FrameReader reader;
  ReadAll(&reader, "nonsense", 8);
  const absl::Status first = reader.status();
  EXPECT_TRUE(ReadAll(&reader, Frame(Body(8)), 100).empty());
  EXPECT_EQ(reader.status(), first);
  EXPECT_EQ(reader.buffered(), 0u);
}

TEST(FrameTest, MemoryFollowsTheBytesReceivedAndNotTheLengthClaimed) {
  FrameReader reader;
  absl::string_view body;
  const std::string frame = Frame(Body(kMaxFrameBody));
  size_t fed = 0;
  for (const size_t piece : {16u, 1000u, 65536u, 1000000u}) {
    reader.Feed(absl::string_view(frame).substr(fed, piece));
    fed += piece;
    ASSERT_FALSE(reader.Next(&body));
    EXPECT_LE(reader.capacity(), std::max<size_t>(2 * fed, 512));
  }
  while (fed < frame.size()) {
    reader.Feed(absl::string_view(frame).substr(fed, 65536));
    fed += 65536;
    if (fed < frame.size()) {
      ASSERT_FALSE(reader.Next(&body));
    }
    ASSERT_LE(reader.capacity(), frame.size() + 65536);
  }
  EXPECT_TRUE(reader.Next(&body));
  EXPECT_EQ(body.size(), kMaxFrameBody);
  EXPECT_FALSE(reader.Next(&body));
  EXPECT_EQ(reader.capacity(), 0u) << "an idle connection keeps no large block";
}

TEST(FrameTest, RandomSplitsOfALongStream) {
  Random random = Random::Stream(1, "frame splits");
  std::vector<std::string> bodies;
  std::string stream;
  for (int i = 0; i < 300; ++i) {
    bodies.push_back(Body(8 * random.Below(400), static_cast<char>(random.Next())));
    stream += Frame(bodies.back());
  }
  FrameReader reader;
  std::vector<std::string> got;
  for (size_t at = 0; at < stream.size();) {
    const size_t piece = random.Between(1, 5000);
    for (std::string& body : ReadAll(&reader, absl::string_view(stream).substr(at, piece), piece)) {
      got.push_back(std::move(body));
    }
    at += piece;
  }
  EXPECT_EQ(got, bodies);
}

}  // namespace
}  // namespace raftkv::wire
