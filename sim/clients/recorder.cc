#include "sim/clients/recorder.h"

namespace raftkv::sim {

Recorder::Id Recorder::Invoke(absl::string_view process, int64_t number,
                              const PlannedOperation& operation) {
  Operation record;
  record.process = std::string(process);
  record.number = number;
  record.invoked = ++position_;
  record.invoke_time_us = static_cast<int64_t>(scheduler_->now());
  record.guards = operation.guards;
  record.commands = operation.commands;
  record.outcome = Outcome::kUnknown;
  history_.operations.push_back(std::move(record));
  ++counters_.invoked;
  const Id id = history_.operations.size() - 1;
  if (watcher_ != nullptr) watcher_->Invoked(id, history_.operations[id]);
  return id;
}

Operation& Recorder::End(Id id, Outcome outcome) {
  Operation& record = history_.operations[id];
  record.outcome = outcome;
  record.returned = ++position_;
  record.return_time_us = static_cast<int64_t>(scheduler_->now());
  return record;
}

void Recorder::Done(Id id, const Understood& understood) {
  Operation& record = End(id, Outcome::kOk);
  record.aborted = understood.aborted;
  record.replies = understood.replies;
  ++counters_.acknowledged;
  Tell(id);
}

void Recorder::Failed(Id id, absl::string_view why) {
  End(id, Outcome::kFailed).note = std::string(why);
  ++counters_.failed;
  Tell(id);
}

void Recorder::Unknown(Id id, absl::string_view why) {
  End(id, Outcome::kUnknown).note = std::string(why);
  ++counters_.unknown;
  Tell(id);
}

}  // namespace raftkv::sim
