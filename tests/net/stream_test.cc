#include "net/stream.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace raftkv::net {
namespace {

// One listener and one dialed connection on one loop; ids 1 (dialed) and 2, 3, ... (accepted).
class StreamTest : public testing::Test, public StreamOwner, public Listener::Owner {
 protected:
  void SetUp() override {
    ASSERT_EQ(uv_loop_init(&loop_), 0);
    absl::StatusOr<std::unique_ptr<Listener>> listener =
        Listener::Open(&loop_, Endpoint{"127.0.0.1", 0}, this);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    ASSERT_NE(listener_->endpoint().port, 0);
  }

  void TearDown() override {
    listener_.reset();
    for (auto& [id, stream] : streams_) stream->Close();
    // Every handle must be closed, whatever was outstanding.
    uv_run(&loop_, UV_RUN_DEFAULT);
    EXPECT_EQ(uv_loop_close(&loop_), 0);
  }

  Stream* Dial(uint64_t id) {
    Stream* stream = Stream::Create(&loop_, id, this);
    streams_[id] = stream;
    const absl::StatusOr<sockaddr_storage> address = ResolveNow(&loop_, listener_->endpoint());
    EXPECT_TRUE(address.ok());
    EXPECT_TRUE(stream->Connect(reinterpret_cast<const sockaddr*>(&*address)).ok());
    return stream;
  }

  void ConnectionWaiting(uv_tcp_t* listener) override {
    const uint64_t id = next_++;
    Stream* stream = Stream::Create(&loop_, id, this);
    ASSERT_TRUE(stream->Accept(listener).ok());
    streams_[id] = stream;
    if (read_accepted_) stream->Read();
  }
  void AcceptFailed(absl::string_view reason) override { FAIL() << reason; }
  void StreamConnected(uint64_t id) override { connected_ = id; }
  void StreamBytes(uint64_t id, absl::string_view bytes) override {
    received_[id].append(bytes.data(), bytes.size());
  }
  void StreamWritten(uint64_t id, size_t bytes) override { written_[id] += bytes; }
  void StreamFinished(uint64_t id) override { finished_[id] = true; }
  void StreamEnded(uint64_t id, absl::string_view reason) override {
    ended_[id] = std::string(reason);
    streams_.erase(id);
  }

  template <typename Condition>
  void RunUntil(Condition condition) {
    while (!condition()) uv_run(&loop_, UV_RUN_ONCE);
  }

  uv_loop_t loop_;
  std::unique_ptr<Listener> listener_;
  uint64_t next_ = 2;
  bool read_accepted_ = true;
  uint64_t connected_ = 0;
  std::map<uint64_t, Stream*> streams_;
  std::map<uint64_t, std::string> received_;
  std::map<uint64_t, size_t> written_;
  std::map<uint64_t, bool> finished_;
  std::map<uint64_t, std::string> ended_;
};

TEST_F(StreamTest, BytesArriveInOrderWhateverTheirSizes) {
  Stream* dialed = Dial(1);
  RunUntil([&] { return connected_ == 1; });
  std::string all;
  for (size_t i = 0; i < 200; ++i) {
    const std::string piece(i * i % 70'000 + 1, static_cast<char>('a' + i % 26));
    all += piece;
    dialed->Write(piece);
  }
  RunUntil([&] { return received_[2].size() == all.size(); });
  EXPECT_TRUE(received_[2] == all);
  EXPECT_EQ(written_[1], all.size());
  EXPECT_EQ(dialed->unwritten(), 0u);
}

TEST_F(StreamTest, WhatTheOtherSideDoesNotTakeWaitsAndIsSaidToWait) {
  read_accepted_ = false;
  Stream* dialed = Dial(1);
  RunUntil([&] { return connected_ == 1 && streams_.contains(2); });
  const std::string large(32 << 20, 'x');
  dialed->Write(large);
  uv_run(&loop_, UV_RUN_NOWAIT);
  EXPECT_LT(written_[1], large.size());
  EXPECT_EQ(written_[1] + dialed->unwritten(), large.size());
  // Closing when written waits for it.
  dialed->CloseWhenWritten();
  EXPECT_TRUE(ended_.empty());
  streams_[2]->Read();
  RunUntil([&] { return finished_[2]; });
  EXPECT_EQ(received_[2].size(), large.size());
  EXPECT_EQ(ended_[1], "done");
}

TEST_F(StreamTest, AfterCloseNothingIsCalled) {
  read_accepted_ = false;
  Stream* dialed = Dial(1);
  RunUntil([&] { return connected_ == 1 && streams_.contains(2); });
  dialed->Write(std::string(32 << 20, 'x'));
  const size_t written = written_[1];
  // With a write outstanding.
  dialed->Close();
  streams_.erase(1);
  streams_[2]->Read();
  RunUntil([&] { return finished_[2] || ended_.contains(2); });
  EXPECT_EQ(written_[1], written);
  EXPECT_FALSE(ended_.contains(1));
}

TEST_F(StreamTest, ADialThatNobodyAnswersEndsWithTheReason) {
  const Endpoint nobody = listener_->endpoint();
  Stream* stream = Stream::Create(&loop_, 1, this);
  streams_[1] = stream;
  const absl::StatusOr<sockaddr_storage> address = ResolveNow(&loop_, nobody);
  ASSERT_TRUE(address.ok());
  listener_.reset();
  uv_run(&loop_, UV_RUN_NOWAIT);
  ASSERT_TRUE(stream->Connect(reinterpret_cast<const sockaddr*>(&*address)).ok());
  RunUntil([&] { return ended_.contains(1); });
  EXPECT_EQ(ended_[1], "connection refused");
  listener_ = *Listener::Open(&loop_, Endpoint{"127.0.0.1", 0}, this);
}

TEST_F(StreamTest, AHalfClosedStreamStillTakesBytes) {
  Stream* dialed = Dial(1);
  RunUntil([&] { return connected_ == 1 && streams_.contains(2); });
  streams_[2]->Write("half");
  streams_[2]->CloseWhenWritten();
  RunUntil([&] { return finished_[1]; });
  EXPECT_EQ(received_[1], "half");
  EXPECT_TRUE(streams_.contains(1));
  dialed->Write("late");
  EXPECT_EQ(written_[1], 4u);
}

TEST_F(StreamTest, AnAddressThatIsTakenIsNamed) {
  const absl::StatusOr<std::unique_ptr<Listener>> second =
      Listener::Open(&loop_, listener_->endpoint(), this);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            "cannot listen on " + ToString(listener_->endpoint()) + ": address already in use");
}

}  // namespace
}  // namespace raftkv::net
