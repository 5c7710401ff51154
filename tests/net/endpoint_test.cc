#include "net/endpoint.h"

#include <string>

#include "gtest/gtest.h"
#include "net/runtime.h"

namespace raftkv::net {
namespace {

TEST(Endpoint, WhatIsWrittenIsRead) {
  for (const char* text :
       {"127.0.0.1:7400", "[::1]:7400", "db-1.example.com:1", "host_a:65535", "localhost:0"}) {
    const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(text);
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    EXPECT_EQ(ToString(*endpoint), text);
  }
}

TEST(Endpoint, WhatIsNoAddressIsRefusedWithTheTextAndTheReason) {
  struct {
    const char* text;
    const char* reason;
  } const cases[] = {
      {"", "the port is missing"},
      {"localhost", "the port is missing"},
      {":7400", "the host is missing"},
      {"[]:7400", "the host is missing"},
      {"a b:7400", "the host has a character that no host has"},
      {"a/b:7400", "the host has a character that no host has"},
      {"::1:7400", "an IPv6 host is written in [brackets]"},
      {"[a.b-c]:7400", "the host has a character that no host has"},
      {"host:", "the port is no number from 0 to 65535"},
      {"host:65536", "the port is no number from 0 to 65535"},
      {"host:-1", "the port is no number from 0 to 65535"},
      {"host:+1", "the port is no number from 0 to 65535"},
      {"host: 1", "the port is no number from 0 to 65535"},
      {"host:7400x", "the port is no number from 0 to 65535"},
      {"host:4294974696", "the port is no number from 0 to 65535"},
  };
  for (const auto& c : cases) {
    const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(c.text);
    ASSERT_FALSE(endpoint.ok()) << c.text;
    EXPECT_EQ(endpoint.status().message(),
              std::string("'") + c.text + "' is no address: " + c.reason + " (expected host:port)");
  }
  EXPECT_FALSE(ParseEndpoint(std::string(300, 'a') + ":7400").ok());
}

TEST(FitConnections, TheDiskAndThePeersAlwaysFindADescriptor) {
  for (const uint64_t limit : {300u, 1'024u, 4'096u, 20'000u, 1'048'576u}) {
    const ConnectionLimits fit = FitConnections(limit, 10'000);
    EXPECT_GE(fit.clients, 16u);
    EXPECT_GE(fit.strangers, 16u);
    if (limit >= 1'024) {
      EXPECT_LE(fit.clients + fit.strangers + 256, limit);
    }
  }
  EXPECT_EQ(FitConnections(1'048'576, 10'000).clients, 10'000u);
  EXPECT_EQ(FitConnections(1'048'576, 7).clients, 7u);
}

}  // namespace
}  // namespace raftkv::net
