#include "core/generator.h"

namespace nnlib {

Mt19937::Mt19937(uint32_t seed) {
  state_[0] = seed;
  for (int i = 1; i < kN; i++)
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + (uint32_t)i;
}

void Mt19937::refill() {
  constexpr int kM = 397;
  auto twist = [](uint32_t m, uint32_t u, uint32_t v) {
    return m ^ (((u & 0x80000000u) | (v & 0x7fffffffu)) >> 1) ^ ((v & 1) ? 0x9908b0dfu : 0);
  };
  for (int i = 0; i < kN; i++) state_[i] = twist(state_[(i + kM) % kN], state_[i], state_[(i + 1) % kN]);
  next_ = 0;
}

void Generator::set_seed(uint64_t seed) {
  seed_ = seed;
  counter_ = 0;
  engine_ = Mt19937((uint32_t)seed);
  cached_normal.reset();
  cached_normal_float.reset();
}

const Ref<Generator>& default_generator() {
  static const Ref<Generator>* g = new Ref<Generator>(make_ref<Generator>());
  return *g;
}

}  // namespace nnlib
