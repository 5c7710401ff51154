// Uses the consensus core as another project would: found with find_package, linked as raftkv::raft.
#include <cstdio>

#include "core/raft/random.h"

int main() {
  raftkv::Random first = raftkv::Random::Stream(4711, "elections");
  raftkv::Random second = first;
  const bool same = first.Next() == second.Next() && first == second;
  std::puts(same ? "raftkv::raft works from outside" : "two copies of one generator disagree");
  return same ? 0 : 1;
}
