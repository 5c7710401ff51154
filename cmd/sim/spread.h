// Many small tasks over a few child processes. One that aborts takes its child along; the parent
// knows which it was.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace raftkv::sim {

// Calls `task` for 0 to count - 1, in child processes, and `done` here with each result (one line,
// no line feeds), in no order. A task whose process ends instead gives nullptr, and the tasks that
// process had left are not done. False when the system has no more processes or pipes to give.
using Task = std::function<std::string(uint64_t number)>;
using TaskDone = std::function<void(uint64_t number, const std::string* result)>;
bool Spread(uint64_t count, uint32_t jobs, const Task& task, const TaskDone& done);

}  // namespace raftkv::sim
