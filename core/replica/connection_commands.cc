// Commands about the connection itself; the connection answers them alone.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/replica/command_table.h"
#include "core/wire/resp_number.h"

namespace raftkv::replica {
namespace {

constexpr size_t kMaxNameBytes = 256;  // of a client or its library: kept as long as the connection

// The Redis whose commands these are, for libraries that look at the number before they try.
constexpr absl::string_view kRedisVersion = "7.0.0";

// Printable and without spaces, as names are listed in lines of words. Otherwise refuses.
bool CheckName(Call& call, absl::string_view what, absl::string_view name) {
  if (name.size() > kMaxNameBytes) {
    Refuse(call,
           absl::StrCat("ERR ", what, " is ", name.size(), " bytes, the limit is ", kMaxNameBytes));
    return false;
  }
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '!' && c <= '~'; })) {
    Refuse(call,
           absl::StrCat("ERR ", what, " cannot contain spaces, newlines or special characters."));
    return false;
  }
  return true;
}

bool CheckCredentials(Call& call, absl::string_view user) {
  // As Redis without a password: the default user may come with any, nobody else may.
  if (user == "default") return true;
  Refuse(call, "WRONGPASS invalid username-password pair or user is disabled.");
  return false;
}

}  // namespace

void CallPing(Call& call) {
  if (call.words.size() > 2) {
    return Refuse(call, "ERR wrong number of arguments for 'ping' command");
  }
  if (call.words.size() == 2) {
    Answer(call).Bulk(call.words[1]);
  } else {
    Answer(call).Simple("PONG");
  }
}

void CallEcho(Call& call) { Answer(call).Bulk(call.words[1]); }

void CallQuit(Call& call) {
  Answer(call).Ok();
  std::get<Answered>(*call.request).close = true;
}

void CallReset(Call& call) {
  const uint64_t id = call.connection->id;
  *call.connection = ConnectionState();
  call.connection->id = id;
  Answer(call).Simple("RESET");
}

void CallAuth(Call& call) {
  if (call.words.size() > 3) return RefuseSyntax(call);
  if (call.words.size() == 2) {
    return Refuse(call,
                  "ERR AUTH <password> called without any password configured for the default "
                  "user. Are you sure your configuration is correct?");
  }
  if (CheckCredentials(call, call.words[1])) Answer(call).Ok();
}

void CallHello(Call& call) {
  ConnectionState wanted = *call.connection;
  if (call.words.size() > 1) {
    int64_t version = 0;
    if (!wire::ParseDecimal(call.words[1], &version)) {
      return Refuse(call, "ERR Protocol version is not an integer or out of range");
    }
    if (version != 2 && version != 3) {
      return Refuse(call, "NOPROTO unsupported protocol version");
    }
    wanted.version = version == 2 ? wire::RespVersion::k2 : wire::RespVersion::k3;
  }
  for (size_t i = 2; i < call.words.size();) {
    const absl::string_view option = call.words[i];
    const size_t values = call.words.size() - i - 1;
    if (EqualsIgnoringCase(option, "auth") && values >= 2) {
      if (!CheckCredentials(call, call.words[i + 1])) return;
      i += 3;
    } else if (EqualsIgnoringCase(option, "setname") && values >= 1) {
      if (!CheckName(call, "Client names", call.words[i + 1])) return;
      wanted.name = std::string(call.words[i + 1]);
      i += 2;
    } else {
      return Refuse(call,
                    absl::StrCat("ERR Syntax error in HELLO option '", option.substr(0, 128), "'"));
    }
  }
  *call.connection = std::move(wanted);
  wire::RespWriter reply = Answer(call);
  reply.Map(7);
  reply.Bulk("server");
  reply.Bulk("raftkv");
  reply.Bulk("version");
  reply.Bulk(kRedisVersion);
  reply.Bulk("proto");
  reply.Integer(static_cast<int64_t>(call.connection->version));
  reply.Bulk("id");
  reply.Integer(static_cast<int64_t>(call.connection->id));
  reply.Bulk("mode");
  reply.Bulk("cluster");
  reply.Bulk("role");
  reply.Bulk("master");  // every node takes writes: followers forward them
  reply.Bulk("modules");
  reply.Array(0);
}

void CallClientId(Call& call) { Answer(call).Integer(static_cast<int64_t>(call.connection->id)); }

void CallClientGetName(Call& call) {
  if (call.connection->name.empty()) {
    Answer(call).Null();
  } else {
    Answer(call).Bulk(call.connection->name);
  }
}

void CallClientSetName(Call& call) {
  if (!CheckName(call, "Client names", call.words[2])) return;
  call.connection->name = std::string(call.words[2]);
  Answer(call).Ok();
}

void CallClientSetInfo(Call& call) {
  const absl::string_view attribute = call.words[2];
  const bool name = EqualsIgnoringCase(attribute, "lib-name");
  if (!name && !EqualsIgnoringCase(attribute, "lib-ver")) {
    return Refuse(call, absl::StrCat("ERR Unrecognized option '", attribute.substr(0, 128), "'"));
  }
  if (!CheckName(call, name ? "lib-name" : "lib-ver", call.words[3])) return;
  (name ? call.connection->library_name : call.connection->library_version) =
      std::string(call.words[3]);
  Answer(call).Ok();
}

void CallClientInfo(Call& call) {
  if (call.words.size() > 2) {
    return Refuse(call, "ERR CLIENT LIST takes no filter: it lists this connection only");
  }
  const ConnectionState& connection = *call.connection;
  Answer(call).Verbatim("txt", absl::StrCat("id=", connection.id, " name=", connection.name,
                                            " db=0 resp=", static_cast<int>(connection.version),
                                            " lib-name=", connection.library_name,
                                            " lib-ver=", connection.library_version, "\n"));
}

void CallClientOnOff(Call& call) {
  if (!EqualsIgnoringCase(call.words[2], "on") && !EqualsIgnoringCase(call.words[2], "off")) {
    return RefuseSyntax(call);
  }
  Answer(call).Ok();
}

void CallClientReply(Call& call) {
  if (EqualsIgnoringCase(call.words[2], "on")) return Answer(call).Ok();
  if (EqualsIgnoringCase(call.words[2], "off") || EqualsIgnoringCase(call.words[2], "skip")) {
    return Refuse(call,
                  "ERR CLIENT REPLY OFF and SKIP are not supported: replies are always given");
  }
  RefuseSyntax(call);
}

void CallClientKill(Call& call) {
  Refuse(call, "ERR CLIENT KILL is not supported: a connection is closed by its own client");
}

void CallSelect(Call& call) {
  int64_t database = 0;
  if (!wire::ParseDecimal(call.words[1], &database)) {
    return Refuse(call, "ERR value is not an integer or out of range");
  }
  if (database != 0) return Refuse(call, "ERR SELECT is not allowed in cluster mode");
  Answer(call).Ok();
}

void CallReadOnly(Call& call) {
  Refuse(call, "ERR READONLY is not supported: every node's reads are linearizable");
}

void CallReadWrite(Call& call) { Answer(call).Ok(); }

void CallHelp(Call& call) {
  wire::RespWriter reply = Answer(call);
  const CommandSpec& container = *call.container;
  const std::string name = absl::AsciiStrToUpper(container.name);
  reply.Array(1 + 2 * container.subcommands.size());
  reply.Simple(absl::StrCat(name, " <subcommand> [<arg> ...]. Subcommands are:"));
  for (const CommandSpec& spec : container.subcommands) {
    reply.Simple(absl::StrCat(absl::AsciiStrToUpper(spec.name), spec.syntax.empty() ? "" : " ",
                              spec.syntax));
    reply.Simple(absl::StrCat("    ", spec.summary, "."));
  }
}

}  // namespace raftkv::replica
