// Our own format of histories: the simulator writes it, the checker reads it.
//
// A line is an event; the first line names the format:
//
//   raftkv-history 1
//   # time process number event; times are microseconds of virtual time and do not decrease
//   1200 s7 1 invoke set "k" "v"
//   1250 s8 1 invoke check "a" value "10" ; set "a" "5" ; incrby "b" 5
//   1900 s7 1 ok ok @41
//   1999 s8 1 ok aborted 0
//   2000 s7 2 invoke get "k"
//   2100 s7 2 ok "v" @41
//   2200 s8 2 invoke append "k" "w" if version 41
//   9000 s8 2 unknown timeout
//   9001 s7 3 invoke range "a" ""
//   9002 s7 3 fail not the leader
//
// An operation is named by its process (a word) and its number there; a process may have several
// open. `ok` happened and saw the replies that follow, `fail` never happened, `unknown` happens
// some time later or never; what follows these two is for people. An operation is a list of
// commands, with ` ; ` between them, that run at one instant, after guards, if it has any:
//
//   check KEY CONDITION
//   get KEY | exists KEY | strlen KEY | range FROM END | size
//   set KEY VALUE | del KEY | append KEY VALUE | incrby KEY NUMBER   then: [if CONDITION]
//   CONDITION: absent | present | version NUMBER | value VALUE
//
// Strings are quoted, with C escapes; a VALUE is a string or nil. The reply to an operation is
// `aborted [NUMBER of the first guard that did not hold, from 0]`, or one reply for each command:
//
//   -                          nobody looked          unmet      the condition did not hold
//   ok                         set                    error      incrby
//   VALUE                      get                    NUMBER     exists strlen size del append
//   incrby [ KEY VALUE ... ] [more]   range; - for a VALUE that was not asked for; `more`: there
//   are more
//   @NUMBER after any of these, and after a VALUE in a range: the version seen, or made
//
// One line may come before the events: `initial VALUE`, what every key holds at first (nil if there
// is no such line). `#` begins a comment line.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/check/history.h"

namespace raftkv::sim {

// What the first line of a text in this format begins with.
inline constexpr absl::string_view kHistoryTextMark = "raftkv-history";

// Total: any bytes give a history or an error that begins with "name:line: ".
absl::StatusOr<History> ReadHistoryText(absl::string_view name, absl::string_view text);

// Reading it back gives the same operations in the same order of events; positions become ranks. No
// two operations may have the same process and number; processes must be words (printable, no
// spaces); lines of text do not fit into notes: control characters there become spaces.
std::string WriteHistoryText(const History& history);

// In the words of the format, for people as well: `set "k" "v" if absent`, and what came of it:
// `ok @41`, `unknown timeout`.
std::string DescribeCommands(const Operation& operation);
std::string DescribeOutcome(const Operation& operation);

}  // namespace raftkv::sim
