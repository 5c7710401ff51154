#include "cmd/cli/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace raftkv::cli {
namespace {

using wire::RespValue;

std::string ScalarText(const RespValue& value) {
  switch (value.type) {
    case RespValue::Type::kInteger:
      return absl::StrCat(value.integer);
    case RespValue::Type::kBool:
      return value.integer != 0 ? "1" : "0";
    default:
      return value.text;
  }
}

// Numbers by their value, everything else behind them.
bool IdLess(const std::string& a, const std::string& b) {
  uint64_t x = 0, y = 0;
  const bool a_number = absl::SimpleAtoi(a, &x), b_number = absl::SimpleAtoi(b, &y);
  if (a_number != b_number) return a_number;
  return a_number ? x < y : a < b;
}

}  // namespace

Fields ReadFields(const RespValue& reply) {
  Fields fields;
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    fields[reply.items[i].text] = ScalarText(reply.items[i + 1]);
  }
  return fields;
}

absl::StatusOr<Connection> Cluster::Open(const Endpoint& endpoint) const {
  absl::StatusOr<Connection> connection = Connection::Open(endpoint, timeout_ms_);
  if (!connection.ok() || !resp3_) return connection;
  const absl::StatusOr<RespValue> hello = connection->Call({"HELLO", "3"});
  if (!hello.ok()) return hello.status();
  if (hello->is_error()) {
    return absl::FailedPreconditionError(
        absl::StrCat(endpoint.ToString(), " refuses RESP3: ", hello->text));
  }
  return connection;
}

absl::Status Cluster::Connect() {
  std::string errors;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    const size_t n = (first_ + i) % endpoints_.size();
    absl::StatusOr<Connection> connection = Open(endpoints_[n]);
    if (connection.ok()) {
      first_ = n;
      connection_.emplace(*std::move(connection));
      return absl::OkStatus();
    }
    absl::StrAppend(&errors, errors.empty() ? "" : "\n", connection.status().message());
  }
  return absl::UnavailableError(errors);
}

absl::StatusOr<RespValue> Cluster::Call(absl::Span<const absl::string_view> words) {
  if (!connection_.has_value()) {
    if (const absl::Status status = Connect(); !status.ok()) return status;
  }
  absl::StatusOr<RespValue> reply = connection_->Call(words);
  if (!reply.ok()) {
    connection_.reset();
    first_ = (first_ + 1) % endpoints_.size();
  }
  return reply;
}

absl::StatusOr<RespValue> Cluster::CallLeader(absl::Span<const absl::string_view> words) {
  const absl::string_view ask[] = {"KV.STATUS"};
  // A node that was cut off may name yesterday's leader, or none: then the others are asked.
  absl::Status last;
  for (size_t tries = 0; tries < endpoints_.size(); ++tries) {
    const absl::StatusOr<RespValue> status = Call(ask);
    if (!status.ok()) {
      last = status.status();
      continue;
    }
    if (status->is_error()) break;  // not one of ours; let it answer the command itself
    Fields fields = ReadFields(*status);
    if (fields["role"] == "leader") break;
    const absl::StatusOr<Endpoint> leader = ParseEndpoint(fields["leader_address"]);
    if (leader.ok()) {
      absl::StatusOr<Connection> connection = Open(*leader);
      if (connection.ok()) return connection->Call(words);
    }
    if (tries + 1 < endpoints_.size()) {
      connection_.reset();
      first_ = (first_ + 1) % endpoints_.size();
    }
  }
  return Call(words);
}

std::vector<Cluster::Node> Cluster::Survey() {
  std::vector<Node> nodes;
  const auto find = [&nodes](const std::string& id) {
    return std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.id == id; });
  };
  const auto ask = [&](const Endpoint& endpoint, Node* node) {
    node->endpoint = endpoint;
    absl::StatusOr<Connection> connection = Open(endpoint);
    if (!connection.ok()) {
      node->reachable = connection.status();
      return;
    }
    const absl::StatusOr<RespValue> status = connection->Call({"KV.STATUS"});
    node->reachable = status.status();
    if (!status.ok()) return;
    if (status->is_error()) {
      node->reachable = absl::FailedPreconditionError(
          absl::StrCat(endpoint.ToString(), " answers: ", status->text));
      return;
    }
    node->status = ReadFields(*status);
    node->id = node->status["node"];
    const absl::StatusOr<RespValue> members = connection->Call({"KV.MEMBER", "LIST"});
    if (!members.ok()) return;
    for (const RespValue& item : members->items) {
      Fields member = ReadFields(item);
      if (find(member["node"]) != nodes.end() || member["node"] == node->id) continue;
      const absl::StatusOr<Endpoint> address = ParseEndpoint(member["client_address"]);
      Node& known = nodes.emplace_back();
      known.id = member["node"];
      known.reachable = absl::UnknownError("");
      if (address.ok()) known.endpoint = *address;
    }
  };
  std::vector<Node> strangers;  // endpoints that do not say which node they are
  for (const Endpoint& endpoint : endpoints_) {
    Node node;
    node.id = "-";
    ask(endpoint, &node);
    if (node.status.empty()) {
      strangers.push_back(std::move(node));
    } else if (const auto known = find(node.id); known != nodes.end()) {
      *known = std::move(node);
    } else {
      nodes.push_back(std::move(node));
    }
  }
  // Members that none of the endpoints was. Asking one can make more known.
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].status.empty()) continue;
    const auto tried = std::find_if(strangers.begin(), strangers.end(),
                                    [&](const Node& n) { return n.endpoint == nodes[i].endpoint; });
    if (tried != strangers.end()) {
      nodes[i].reachable = tried->reachable;
      strangers.erase(tried);
      continue;
    }
    Node node;
    node.id = nodes[i].id;
    ask(Endpoint(nodes[i].endpoint), &node);
    nodes[i] = std::move(node);
  }
  nodes.insert(nodes.end(), std::make_move_iterator(strangers.begin()),
               std::make_move_iterator(strangers.end()));
  std::sort(nodes.begin(), nodes.end(), [](const Node& a, const Node& b) {
    return a.id == b.id ? a.endpoint.ToString() < b.endpoint.ToString() : IdLess(a.id, b.id);
  });
  return nodes;
}

std::optional<Endpoint> Cluster::connected() const {
  if (!connection_.has_value()) return std::nullopt;
  return connection_->endpoint();
}

}  // namespace raftkv::cli
