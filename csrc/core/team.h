// The threads behind parallel.h, and nothing else: team_pool.cpp keeps a pool of our own, team_openmp.cpp
// asks OpenMP. CMake takes one of them (NNLIB_THREADS).
#pragma once
#include <vector>

namespace nnlib {

constexpr int kMaxTeam = 256;

// Calls body(context, 0) on the calling thread and body(context, member), 0 < member < members, on as many
// other threads of the team as are free before the caller's own call returns; then waits for those that have
// begun. The body must be right whichever of the members run. Team -1 is the process's, any other a device's.
void run_team(int team, int members, void (*body)(void* context, int member), void* context);
// The cores that a device's team keeps to; none: any.
void set_team_cores(int team, const std::vector<int>& cores);
// In the child of a fork: the other threads do not exist there.
void forget_team();
// Whether a forked child can have threads again.
bool team_survives_fork();

}  // namespace nnlib
