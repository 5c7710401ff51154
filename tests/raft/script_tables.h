// The two kinds of scripts without a cluster: quorum arithmetic and configuration changes.
#pragma once

#include <string>
#include <vector>

#include "core/raft/membership.h"
#include "core/raft/progress.h"
#include "core/raft/types.h"
#include "tests/raft/script_parser.h"

namespace raftkv::raft {

// committed cfg=(1,2,3) [cfgj=(...)|zero] idx=(100,_,5)
// vote cfg=(1,2,3) [cfgj=(...)|zero] votes=(y,n,_)
std::string RunQuorumCommand(const ScriptCommand& command);

// simple | enter-joint [autoleave=true] | leave-joint, with input like "v1 l2 r3 u4". The leader's
// last index grows by one with each command.
class ConfigurationScript {
 public:
  std::string Run(const ScriptCommand& command);

 private:
  ConfState conf_;
  ProgressTable progress_;
  Index last_index_ = 0;
};

// "v1 l2 r3 u4"; InvalidArgument for anything else.
absl::StatusOr<std::vector<MemberChange>> ParseMemberChanges(absl::string_view text);

}  // namespace raftkv::raft
