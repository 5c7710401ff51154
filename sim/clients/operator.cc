#include "sim/clients/operator.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "core/raft/check.h"

namespace raftkv::sim {

void Operator::Ask(raft::NodeId node, std::vector<std::string> words, Then then) {
  RAFTKV_CHECK(!busy());
  then_ = std::move(then);
  reader_ = wire::RespReplyReader();
  connection_ = ports_->Connect(this, node);
  const std::vector<absl::string_view> views(words.begin(), words.end());
  std::string bytes;
  wire::WriteRespRequest(views, &bytes);
  ports_->Send(*connection_, std::move(bytes));
  scheduler_->After(patience_, Actor::kClient, [this, connection = *connection_] {
    if (connection_ == connection) Finish(false, "no answer in time");
  });
}

void Operator::OnBytes(replica::ClientId connection, const std::string& bytes) {
  if (connection_ != connection) return;
  reader_.Feed(bytes);
  wire::RespValue reply;
  if (reader_.Next(&reply) != wire::RespReplyReader::Outcome::kReply) return;
  Finish(!reply.is_error(), reply.text);
}

void Operator::OnClosed(replica::ClientId connection) {
  if (connection_ != connection) return;
  Finish(false, "the connection broke");
}

void Operator::Finish(bool ok, const std::string& text) {
  ports_->Close(*std::exchange(connection_, std::nullopt));
  std::exchange(then_, nullptr)(ok, text);
}

}  // namespace raftkv::sim
