// The kernels of one instruction set as a struct of function pointers and block sizes, made from kernels.def.
// Declarations only: table.cpp includes this under every instruction set's flags.
#pragma once
#include <stdint.h>

#include "cross_entropy.h"
#include "grid.h"
#include "integers.h"

namespace nnlib::kernels {

struct Table {
#define NNLIB_KERNEL(name, ret, args) ret(*name) args;
#define NNLIB_BLOCK(name) int64_t name;
#include "kernels.def"
};

}  // namespace nnlib::kernels
