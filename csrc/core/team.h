// The threads behind parallel.h, and nothing else: team_pool.cpp keeps a pool of our own, team_openmp.cpp
// asks OpenMP. CMake takes one of them (NNLIB_THREADS).
#pragma once

namespace nnlib {

constexpr int kMaxTeam = 256;

// Calls body(context, 0) on the calling thread and body(context, member), 0 < member < members, on as many
// other threads as are free before the caller's own call returns; then waits for those that have begun. The
// body must be right whichever of the members run.
void run_team(int members, void (*body)(void* context, int member), void* context);
// In the child of a fork: the other threads do not exist there.
void forget_team();
// Whether a forked child can have threads again.
bool team_survives_fork();

}  // namespace nnlib
