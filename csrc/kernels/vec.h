// Vectors of floats for one instruction set, chosen by the flags this file is compiled with.
//
// Vec (floats), IVec (int32 lanes), Mask (one truth value a lane) and VecD (doubles) have the same operations
// on every instruction set, so a kernel is written once. Only table.cpp includes this header: everything
// lives in an unnamed namespace inside the namespace of the instruction set, so the linker can never replace
// one set's code by another's.
//
//   load(p) load_n(p, n) store(p, v) store_n(p, v, n)   n lanes, 0 <= n; lanes past n read as 0, are not
//   written stream(p, v) fence()                                 store past the caches; p aligned to
//   kVecBytes
//   + - * / fma(a, b, c)=a*b+c fnma(a, b, c)=c-a*b sqrt abs neg copysign
//   min max                                              the second operand when one is NaN
//   min_nan max_nan                                      NaN when one is NaN
//   lt le gt ge eq ne is_nan -> Mask; & | ~ andnot(a, b)=a&~b, select(m, a, b)=m?a:b, any all bits
//   round_even floor ceil trunc; to_int (nearest even) trunc_int to_float; as_int as_float
//   reduce_add reduce_max reduce_min                     across lanes, always in the same order
//   transpose(r)                                         r[i] lane j <-> r[j] lane i, r an array of kWidth
//   gather(p, i)                                         p[i[lane]]
//   load_bf16 load_f16 store_bf16 store_f16 and _n       16-bit floats, rounded to nearest even
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#define NNLIB_INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__)
#include "vec_avx512.h"
#elif defined(__AVX2__)
#include "vec_avx2.h"
#else
#include "vec_gnu.h"
#endif
#include "vec_common.h"
