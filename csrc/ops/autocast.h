// Autocast: within a region, matrix products and convolutions take their arguments in a 16-bit type, some
// other operators in float32. Here are the switches, one set a thread, and the casts; which operator does
// what stands in csrc/python/autocast.cpp, where calls come in.
#pragma once
#include "autograd/function.h"

namespace nnlib {

// The device types that a region may be opened for. There is no CUDA device: its switches are kept for
// programs that ask, and cast nothing.
enum class AutocastDevice : uint8_t { Cpu, Cuda };

struct AutocastState {
  struct {
    bool enabled;
    Dtype dtype;
  } device[2] = {{false, Dtype::BFloat16}, {false, Dtype::Float16}};
  bool cache_enabled = true;
  int64_t nesting = 0;  // regions that this thread is in
};
extern thread_local AutocastState t_autocast;

inline bool autocast_enabled() { return t_autocast.device[int(AutocastDevice::Cpu)].enabled; }
inline Dtype autocast_dtype() { return t_autocast.device[int(AutocastDevice::Cpu)].dtype; }

// Whether a region would cast this tensor: floating, but not float64.
bool autocast_eligible(const Tensor& t);
// t in the type `to`, with history; t itself where it is not eligible or has the type. The cast of a float32
// leaf that requires grad, a weight that is, is kept until the outermost region ends or the weight changes.
Tensor autocast_to(const Tensor& t, Dtype to);
// Forgets the casts that are kept.
void clear_autocast_cache();

}  // namespace nnlib
