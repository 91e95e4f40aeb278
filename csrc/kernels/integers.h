// Operations of two integers, as plain data that the kernels and their callers share. Results wrap.
#pragma once
#include <stdint.h>

namespace nnlib::kernels {

enum IntegerOperation : int64_t {
  kIntegerAdd,
  kIntegerSub,
  kIntegerMul,
  kIntegerMax,
  kIntegerMin,
  kIntegerAnd,
  kIntegerOr,
  kIntegerXor,
  kIntegerShiftLeft,   // by a number that is negative or as large as the type: 0
  kIntegerShiftRight,  // likewise: all bits are the sign's
  kIntegerSign,        // x's bits with y's first one: a float's sign
  kIntegerScaledAdd,   // x + c y
  kIntegerDivide       // x / y, c being a sum of what follows; a y of 0 counts as 1
};
// Towards zero, the rest having x's sign; or down, the rest having y's. The rest instead of the quotient.
enum IntegerDivision : int64_t { kTowardsZero = 0, kDown = 1, kRest = 2 };

}  // namespace nnlib::kernels
