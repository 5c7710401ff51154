#include "cmd/cli/session.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cmd/cli/format.h"
#include "cmd/cli/table.h"

namespace raftkv::cli {
namespace {

using wire::RespValue;

std::vector<absl::string_view> Views(const std::vector<std::string>& words) {
  return std::vector<absl::string_view>(words.begin(), words.end());
}

Outcome Usage(absl::string_view how) {
  return {kUsageOrNetwork, "", absl::StrCat("usage: ", how, "\n")};
}

Outcome Failed(const absl::Status& status) {
  return {kUsageOrNetwork, "", absl::StrCat(status.message(), "\n")};
}

std::string OrDash(const Fields& fields, const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() || found->second.empty() ? "-" : found->second;
}

// The value behind `name` in a list of names and values; nullptr when there is none.
const RespValue* Find(const RespValue& list, absl::string_view name) {
  for (size_t i = 0; i + 1 < list.items.size(); i += 2) {
    if (list.items[i].text == name) return &list.items[i + 1];
  }
  return nullptr;
}

// "  GET key\n      The value of a key\n" of an entry of COMMAND DOCS.
void AppendHelp(const RespValue& name, const RespValue& docs, std::string* out) {
  std::string spoken = absl::AsciiStrToUpper(name.text);
  for (char& c : spoken) {
    if (c == '|') c = ' ';
  }
  std::string syntax;
  const RespValue* arguments = Find(docs, "arguments");
  if (arguments != nullptr && !arguments->items.empty()) {
    const RespValue* text = Find(arguments->items[0], "display_text");
    if (text != nullptr) syntax = absl::StrCat(" ", text->text);
  }
  const RespValue* summary = Find(docs, "summary");
  const RespValue* subcommands = Find(docs, "subcommands");
  if (subcommands == nullptr) {
    absl::StrAppend(out, "  ", spoken, syntax, "\n      ", summary == nullptr ? "" : summary->text,
                    "\n");
    return;
  }
  for (size_t i = 0; i + 1 < subcommands->items.size(); i += 2) {
    AppendHelp(subcommands->items[i], subcommands->items[i + 1], out);
  }
}

}  // namespace

const char kOwnCommands[] =
    "  status                                   every node: role, term, indexes, digest\n"
    "  member list                              the members and their addresses\n"
    "  member add ID PEER CLIENT INCARNATION    adds a node, as a learner\n"
    "  member promote ID                        makes a learner a voter\n"
    "  member remove ID                         removes a member\n"
    "  transfer [ID]                            hands leadership over\n"
    "  help [COMMAND]                           what the server's commands are for\n";

Outcome Session::Run(const std::vector<std::string>& words) {
  const std::string command = absl::AsciiStrToLower(words[0]);
  if (command == "status") return words.size() == 1 ? Status() : Usage("status");
  if (command == "member") return Member(words);
  if (command == "transfer") return Transfer(words);
  if (command == "help") return Help(words);
  return ToServer(words);
}

Outcome Session::Status() {
  std::vector<std::vector<std::string>> rows = {
      {"NODE", "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "DIGEST", "ADDRESS", "STATE"}};
  std::string errors;
  bool answered = false;
  for (const Cluster::Node& node : cluster_.Survey()) {
    const Fields& fields = node.status;
    std::string state(node.reachable.ok() ? "ok" : node.reachable.message());
    if (OrDash(fields, "stopping") == "1") state = "stopping";
    if (const auto repair = fields.find("repair");
        repair != fields.end() && !repair->second.empty())
      state = repair->second;
    answered = answered || node.reachable.ok();
    if (!node.reachable.ok()) absl::StrAppend(&errors, node.reachable.message(), "\n");
    rows.push_back({node.id, OrDash(fields, "role"), OrDash(fields, "term"),
                    OrDash(fields, "leader"), OrDash(fields, "commit"), OrDash(fields, "applied"),
                    OrDash(fields, "digest"), node.endpoint.ToString(), state});
  }
  if (!answered) return {kUsageOrNetwork, "", errors};
  return {kOk, FormatTable(rows, style_.colours), ""};
}

Outcome Session::Member(const std::vector<std::string>& words) {
  const std::string action = words.size() > 1 ? absl::AsciiStrToLower(words[1]) : "";
  if (action == "list" && words.size() == 2) return MemberList();
  if (action == "add" && words.size() == 6) {
    return ToLeader({"KV.MEMBER", "ADD", words[2], words[3], words[4], words[5]});
  }
  if (action == "promote" && words.size() == 3) {
    return ToLeader({"KV.MEMBER", "PROMOTE", words[2]});
  }
  if (action == "remove" && words.size() == 3) {
    return ToLeader({"KV.MEMBER", "REMOVE", words[2]});
  }
  return Usage("member list | add ID PEER CLIENT INCARNATION | promote ID | remove ID");
}

Outcome Session::MemberList() {
  const absl::string_view ask[] = {"KV.MEMBER", "LIST"};
  const absl::StatusOr<RespValue> reply = cluster_.CallLeader(ask);
  if (!reply.ok()) return Failed(reply.status());
  if (reply->is_error()) return Show(reply);
  std::vector<std::vector<std::string>> rows = {
      {"NODE", "MEMBERSHIP", "PEER", "CLIENT", "INCARNATION", "LEADER"}};
  for (const RespValue& item : reply->items) {
    const Fields member = ReadFields(item);
    rows.push_back({OrDash(member, "node"), OrDash(member, "membership"),
                    OrDash(member, "peer_address"), OrDash(member, "client_address"),
                    OrDash(member, "incarnation"), OrDash(member, "leader") == "1" ? "yes" : ""});
  }
  return {kOk, FormatTable(rows, style_.colours), ""};
}

Outcome Session::Transfer(const std::vector<std::string>& words) {
  if (words.size() == 1) return ToLeader({"KV.TRANSFER"});
  if (words.size() == 2) return ToLeader({"KV.TRANSFER", words[1]});
  return Usage("transfer [ID]");
}

Outcome Session::Help(const std::vector<std::string>& words) {
  std::vector<std::string> ask = {"COMMAND", "DOCS"};
  ask.insert(ask.end(), words.begin() + 1, words.end());
  const absl::StatusOr<RespValue> reply = cluster_.Call(Views(ask));
  std::string text;
  if (words.size() == 1) text = absl::StrCat("Commands of raftkv-cli:\n", kOwnCommands);
  if (!reply.ok()) {
    Outcome failed = Failed(reply.status());
    failed.out = std::move(text);
    return failed;
  }
  if (reply->is_error()) return Show(reply);
  if (reply->items.empty()) {
    return {kServerError, "", absl::StrCat("the server has no command '", words.back(), "'\n")};
  }
  if (words.size() == 1) absl::StrAppend(&text, "Commands of the server:\n");
  for (size_t i = 0; i + 1 < reply->items.size(); i += 2) {
    AppendHelp(reply->items[i], reply->items[i + 1], &text);
  }
  return {kOk, text, ""};
}

Outcome Session::ToLeader(const std::vector<std::string>& words) {
  return Show(cluster_.CallLeader(Views(words)));
}

Outcome Session::ToServer(const std::vector<std::string>& words) {
  return Show(cluster_.Call(Views(words)));
}

Outcome Session::Show(const absl::StatusOr<RespValue>& reply) const {
  if (!reply.ok()) return Failed(reply.status());
  return {reply->is_error() ? kServerError : kOk,
          style_.typed ? FormatTyped(*reply, style_.colours) : FormatRaw(*reply), ""};
}

}  // namespace raftkv::cli
