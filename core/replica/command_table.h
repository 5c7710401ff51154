// Every command that clients know, in one table: names, arity, flags, keys, help and handler.
// Looking a command up, refusing wrong uses of it, COMMAND and its relatives all read from here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/replica/commands.h"
#include "core/wire/resp.h"

namespace raftkv::replica {

using Words = absl::Span<const absl::string_view>;

struct Call;
using Handler = void (*)(Call& call);

// As COMMAND tells them; kData commands are what the store executes and what a session may wrap.
enum CommandFlag : uint32_t {
  kReadOnly = 1 << 0,
  kWrite = 1 << 1,
  kDenyOom = 1 << 2,  // may make the store grow
  kFast = 1 << 3,
  kAdmin = 1 << 4,
  kMovableKeys = 1 << 5,
  kData = 1 << 6,
};

enum class CommandGroup : uint8_t { kGeneric, kString, kConnection, kServer, kCluster };

struct KeyRange {
  int first = 0;  // position of the first key among the words; 0: no keys
  int last = 0;   // negative: counted from the end
  int step = 0;
};

struct CommandSpec {
  absl::string_view name;  // lower case; of a subcommand without its container
  int arity = 0;           // words with the name(s); negative: at least so many
  uint32_t flags = 0;
  KeyRange keys;
  CommandGroup group = CommandGroup::kGeneric;
  Handler handler = nullptr;  // null for containers of subcommands
  absl::string_view syntax;   // of the arguments, for people
  absl::string_view summary;
  absl::Span<const CommandSpec> subcommands = {};  // sorted by name
};

// A command being parsed.
struct Call {
  Words words;
  ConnectionState* connection;
  Request* request;                        // what the handler makes
  const CommandSpec* container = nullptr;  // when `spec` is a subcommand
  const CommandSpec* spec = nullptr;
};

absl::Span<const CommandSpec> CommandTable();  // sorted by name

// nullptr when there is none. Names in any case.
const CommandSpec* FindCommand(absl::string_view name);
const CommandSpec* FindSubcommand(const CommandSpec& container, absl::string_view name);

// "client|setname"
std::string FullName(const CommandSpec* container, const CommandSpec& spec);

// True if `spec` may be used with so many words.
bool ArityFits(const CommandSpec& spec, size_t words);

// Finds the command that the words name and checks their number. False, with the error in
// call->request, when that fails.
bool Resolve(Call* call);

// ---- For handlers ----

// Starts a reply that the connection can give at once; anything made before is dropped.
wire::RespWriter Answer(Call& call);
void Refuse(Call& call, absl::string_view error);  // "ERR ..."
void RefuseSyntax(Call& call);
// Starts a data request.
DataRequest& Data(Call& call, ReplyShape shape);

bool EqualsIgnoringCase(absl::string_view word, absl::string_view lower_or_upper);
// Decimal digits that fit; nothing else.
bool ParseUnsigned(absl::string_view text, uint64_t* value);

// The positions of the keys among the words. False when the words do not fit the command.
bool KeysOf(const Call& call, std::vector<size_t>* positions);

// data_commands.cc
void CallAppend(Call& call);
void CallDbsize(Call& call);
void CallDecr(Call& call);
void CallDecrBy(Call& call);
void CallDel(Call& call);
void CallExists(Call& call);
void CallGet(Call& call);
void CallGetDel(Call& call);
void CallGetSet(Call& call);
void CallIncr(Call& call);
void CallIncrBy(Call& call);
void CallKvCas(Call& call);
void CallKvGet(Call& call);
void CallKvPrefix(Call& call);
void CallKvRange(Call& call);
void CallMget(Call& call);
void CallMset(Call& call);
void CallMsetNx(Call& call);
void CallSessionClose(Call& call);
void CallSessionOpen(Call& call);
void CallSessionRun(Call& call);
void CallSet(Call& call);
void CallSetNx(Call& call);
void CallStrlen(Call& call);

// connection_commands.cc
void CallAuth(Call& call);
void CallClientGetName(Call& call);
void CallClientId(Call& call);
void CallClientInfo(Call& call);
void CallClientKill(Call& call);
void CallClientOnOff(Call& call);
void CallClientReply(Call& call);
void CallClientSetInfo(Call& call);
void CallClientSetName(Call& call);
void CallEcho(Call& call);
void CallHello(Call& call);
void CallHelp(Call& call);
void CallPing(Call& call);
void CallQuit(Call& call);
void CallReadOnly(Call& call);
void CallReadWrite(Call& call);
void CallReset(Call& call);
void CallSelect(Call& call);

// server_commands.cc
void CallClusterCountKeysInSlot(Call& call);
void CallClusterInfo(Call& call);
void CallClusterKeySlot(Call& call);
void CallClusterMyId(Call& call);
void CallClusterNodes(Call& call);
void CallClusterShards(Call& call);
void CallClusterSlots(Call& call);
void CallCommand(Call& call);
void CallCommandCount(Call& call);
void CallCommandDocs(Call& call);
void CallCommandGetKeys(Call& call);
void CallCommandInfo(Call& call);
void CallCommandList(Call& call);
void CallConfigGet(Call& call);
void CallConfigResetStat(Call& call);
void CallConfigSet(Call& call);
void CallInfo(Call& call);
void CallKvStatus(Call& call);
void CallKvTransfer(Call& call);
void CallMemberAdd(Call& call);
void CallMemberList(Call& call);
void CallMemberPromote(Call& call);
void CallMemberRemove(Call& call);

}  // namespace raftkv::replica
