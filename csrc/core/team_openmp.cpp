#include <omp.h>

#include "core/team.h"

namespace nnlib {

void run_team(int, int members, void (*body)(void* context, int member), void* context) {
#pragma omp parallel num_threads(members)
  body(context, omp_get_thread_num());
}

void set_team_cores(int, const std::vector<int>&) {}

void forget_team() {}

// libgomp's pool does not exist in a forked child: a region there would wait for threads that are gone.
bool team_survives_fork() { return false; }

}  // namespace nnlib
