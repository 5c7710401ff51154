// The payload of a log entry. What decodes must encode to something that decodes to the same
// command; and whatever it says, looking it over must be safe.
#include "core/wire/command.h"

#include <cstdint>
#include <string>

#include "core/raft/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using raftkv::wire::CommandDecode;
  using raftkv::wire::DecodeCommand;

  const auto payload = raftkv::raft::Payload::Copy({reinterpret_cast<const char*>(data), size});
  raftkv::kv::Command command;
  std::string problem;
  const CommandDecode verdict = DecodeCommand(payload.view(), &command, &problem);
  if (verdict != CommandDecode::kOk) {
    RAFTKV_CHECK(!problem.empty() && command.ops.empty() && command.guards.empty());
    return 0;
  }
  raftkv::kv::Validate(command);
  raftkv::wire::CommandEncoder encoder;
  const auto encoded = encoder.EncodePayload(command);
  raftkv::kv::Command again;
  RAFTKV_CHECK(DecodeCommand(encoded.view(), &again) == CommandDecode::kOk);
  RAFTKV_CHECK(again == command);
  return 0;
}
