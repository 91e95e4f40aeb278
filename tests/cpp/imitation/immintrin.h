// Stands in for the compiler's <immintrin.h> where the tables of AVX-512, AVX512-BF16 and AMX are compiled
// for a processor that has AVX2 alone (NNLIB_IMITATE, `make imitate`): their intrinsics as plain functions,
// written after Intel's manual. What a processor would punish (a misaligned access, tiles without a
// configuration) ends the program, and masked accesses touch nothing else. One that a kernel uses and that is
// missing here does not compile: it is to be added.
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// g++'s own header up to AVX2: it has functions of AVX-512 too, by the names of those below.
// Each line needs those above it.
#define _IMMINTRIN_H_INCLUDED
#include <smmintrin.h>

#include <avxintrin.h>

#include <avx2intrin.h>
#include <f16cintrin.h>
#include <fmaintrin.h>

#define NNLIB_IMITATED static inline __attribute__((always_inline))
// Loops over lanes stay functions: a copy for each of the kernels' thousands of uses would take minutes to
// compile.
#define NNLIB_IMITATED_APART static inline __attribute__((noinline))

namespace imitation {

[[noreturn]] inline void end(const char* what) {
  fprintf(stderr, "imitation: %s\n", what);
  abort();
}

}  // namespace imitation

#include "avx512_lanes.h"

#include "avx512_bf16.h"
#include "avx512_memory.h"
#include "avx512_moves.h"
#if defined(__AMX_BF16__)
#include "amx.h"
#endif
