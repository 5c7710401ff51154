// What the exit codes of raftkv mean. Scripts and supervisors depend on them: never reuse one.
#pragma once

namespace raftkv {

enum ExitCode : int {
  kExitOk = 0,              // stopped as asked
  kExitUnexpected = 1,      // anything not listed below
  kExitUsage = 2,           // the command line, the environment or the configuration file is wrong
  kExitNotInitialised = 3,  // the data directory is missing, empty or was never initialised
  kExitNotOurs = 4,         // the data directory belongs to another node or another cluster
  kExitInUse = 5,           // another process has the data directory open
  kExitNotWritable = 6,     // no right to write the data directory, or no space
  kExitDamaged = 7,       // the data directory holds something else, or its identity, term or vote
                          // has rotted
  kExitNewerFormat = 8,   // a newer version wrote the data, or the log needs one
  kExitCannotListen = 9,  // an address is taken or not ours
  kExitDiskFailed = 10,   // the disk failed while running: nothing was acknowledged after that
  kExitInitialised = 11,  // init: the directory is a data directory already
  kExitLost = 12,         // durable log or snapshot has rotted, and no other member has a copy
};

}  // namespace raftkv
