#include "net/endpoint.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace raftkv::net {
namespace {

constexpr size_t kMaxHostBytes = 246;  // a member's address is at most 255 bytes, port included

bool IsHostCharacter(char c, bool bracketed) {
  if (bracketed) return absl::ascii_isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.';
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
}

absl::Status Wrong(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is no address: ", why, " (expected host:port)"));
}

}  // namespace

absl::StatusOr<Endpoint> ParseEndpoint(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Wrong(text, "the port is missing");
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return Wrong(text, "the host is missing");
  if (host.size() > kMaxHostBytes) return Wrong(text, "the host is too long");
  for (const char c : host) {
    if (!IsHostCharacter(c, bracketed)) {
      return Wrong(text, c == ':' ? "an IPv6 host is written in [brackets]"
                                  : "the host has a character that no host has");
    }
  }
  uint32_t number = 0;
  bool digits = !port.empty() && port.size() <= 5;
  for (const char c : port) digits = digits && absl::ascii_isdigit(static_cast<unsigned char>(c));
  if (!digits || !absl::SimpleAtoi(port, &number) || number > 65'535) {
    return Wrong(text, "the port is no number from 0 to 65535");
  }
  return Endpoint{std::string(host), static_cast<uint16_t>(number)};
}

std::string ToString(const Endpoint& endpoint) {
  const bool brackets = absl::StrContains(endpoint.host, ':');
  return absl::StrCat(brackets ? "[" : "", endpoint.host, brackets ? "]" : "", ":", endpoint.port);
}

}  // namespace raftkv::net
