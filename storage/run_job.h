// A replica's jobs, carried out by Storage. The disk thread of the node and the simulator both call
// this, so what a job does to the disk is the same code in both.
#pragma once

#include "core/replica/jobs.h"
#include "storage/storage.h"

namespace raftkv::storage {

// Carries out one job, or one step of it, and says what came of it under the job's id. Blocks for
// as long as the disk takes. The job is only read and nothing of it is kept: payloads in it belong
// to the thread that made it.
replica::JobResult RunJob(Storage& storage, const replica::Job& job);

}  // namespace raftkv::storage
