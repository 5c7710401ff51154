// One seed, from its first event to its verdict.
//
//   1  founders start, clients begin, the nemesis does what the seed says
//   2  perhaps a core of the nodes is healed alone, and does all that a cluster must (I20, I21)
//   3  healing: every fault is taken back, every node is up. Soon there is a leader (I20)
//   4  clients go on for a while, then stop; everything they asked is answered (I20)
//   5  all members come to the same log, state and configuration (I21)
//   6  nobody does anything: the leader stays (I22), and little is sent (I23)
//   7  the history is judged (I17), and what happened counted
//
// The oracles look on from the first event to the last; a run ends with the first violation.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/check/history.h"
#include "sim/check/linearizability.h"
#include "sim/clients/client.h"
#include "sim/coverage/surveyor.h"
#include "sim/decisions/decisions.h"
#include "sim/nemesis/nemesis.h"
#include "sim/oracles/judge.h"
#include "sim/oracles/rare_states.h"
#include "sim/picture/recording.h"
#include "sim/run/prompter.h"
#include "sim/run/settings.h"
#include "sim/scheduler/trace.h"

namespace raftkv::sim {

struct RunCounters {
  uint64_t events = 0;
  uint64_t simulated_us = 0;
  uint64_t operations = 0;
  uint64_t acknowledged = 0;
  uint64_t unknown = 0;
  uint64_t failed = 0;
  uint64_t elections = 0;
  uint64_t committed = 0;
  uint64_t crashes = 0;  // power losses and kills
  uint64_t partitions = 0;
  uint64_t torn_writes = 0;
  uint64_t lost_sectors = 0;
  uint64_t snapshots_taken = 0;
  uint64_t snapshots_installed = 0;
  uint64_t membership_changes = 0;
  uint64_t frames = 0;
  uint64_t frames_lost = 0;
  uint64_t connections = 0;  // between nodes
  uint64_t connections_broken = 0;
  uint64_t cores = 0;      // 1: a core alone was healed before the others
  uint64_t undecided = 0;  // histories that the checker gave up on
  Nemesis::Counters faults = {};
  uint64_t faults_in_effect = 0;
  RareStateCounters rare = {};
};

// Everything that chance decided in a run.
struct RunRecord {
  Decisions::Answers answers;
  std::vector<CuedFault> faults;
  std::vector<std::vector<AskedGroup>> asked;  // by each of the clients
};

struct RunReport {
  uint64_t hash = 0;      // of everything that happened, and of how its history was judged
  uint64_t run_hash = 0;  // the first of these alone: the same without oracles
  RunCounters counters;
  std::optional<Violation> violation;
  History history;
  std::string explanation;           // of a history that is not linearizable
  RunRecord record;                  // empty unless it was asked for
  std::vector<CuedFault> faults;     // what the nemesis did, at times
  std::vector<FaultCommand> spoilt;  // Nemesis::spoilt
  uint64_t decisions = 0;            // that were made
  std::vector<bool> reached;         // RunSettings::reach
};

// Who looks on. The run is the same without them.
struct Audience {
  Trace::Sink sink;                              // gets every event as a line of text
  Recording* recording = nullptr;                // gets typed events, for a picture
  bool record = false;                           // RunReport::record is wanted
  std::vector<Milestone>* milestones = nullptr;  // gets what each node comes to
  Surveyor* surveyor = nullptr;                  // notes the abstract states of the cluster
  // False: nobody judges while the run goes on, nor its history. Clients and the end of the run
  // still complain.
  bool oracles = true;

  // Is told, before each item of the scheduler and once at the end, the time and the hash of
  // everything up to then: where two runs that should be one part ways.
  std::function<void(Time now, uint64_t hash)> step;

  // Is told, before each item of the scheduler, how many have begun: with memory that outlives the
  // process, where a run came to that took its process along.
  uint64_t* begun = nullptr;
  // That place, and what became of the process: the run ends before the item, with a violation of
  // "crash-free" that says so. 0: it does not.
  uint64_t ends_before = 0;
  std::string how_it_ended;
};

RunReport Simulate(const RunSettings& settings, const Audience& audience);
// The settings of the same run without chance: `record` is of a run with `settings`.
RunSettings PlayedAgain(const RunSettings& settings, const RunRecord& record);
RunReport Simulate(const RunSettings& settings, Trace::Sink sink = nullptr);

}  // namespace raftkv::sim
