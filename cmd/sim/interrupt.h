// Ctrl-C and SIGTERM in the middle of long work: it ends, and says what it has found so far.
#pragma once

namespace raftkv::sim {

// From now on the first SIGINT or SIGTERM is only noted. The second ends the process, as always.
void CatchInterrupts();
bool Interrupted();
// Ends the process by the signal that was noted, so that whoever started it knows. Returns if none
// was.
void EndIfInterrupted();

// In a child that works for somebody who catches them: a terminal sends Ctrl-C to all of them.
void LeaveInterruptsToParent();

}  // namespace raftkv::sim
