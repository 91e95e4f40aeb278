// Random numbers. The default generator is the 32-bit Mersenne Twister of Matsumoto and Nishimura (1998),
// drawn from as PyTorch does on a CPU, so that a seed gives the same numbers in both.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>

#include "core/refcount.h"

namespace nnlib {

class Mt19937 {
 public:
  explicit Mt19937(uint32_t seed = 5489);
  uint32_t operator()() {
    if (next_ == kN) refill();
    return tempered_[next_++];
  }
  static constexpr int kN = 624;
  uint32_t* state() { return state_; }
  int position() const { return next_; }
  // After the state was written.
  void set_position(int p) {
    next_ = p;
    temper();
  }

 private:
  void refill();
  void temper();
  uint32_t state_[kN], tempered_[kN];
  int next_ = kN;
};

class Generator : public RefCounted {
 public:
  static constexpr uint64_t kDefaultSeed = 67280421310721ull;
  explicit Generator(uint64_t seed = kDefaultSeed) { set_seed(seed); }

  std::mutex mutex;  // held by whoever draws
  uint64_t seed() const { return seed_; }
  uint64_t seedings() const { return seedings_; }  // how often it was started from a seed
  void set_seed(uint64_t seed);

  uint32_t random() { return engine_(); }
  uint64_t random64() {
    uint32_t hi = engine_(), lo = engine_();
    return ((uint64_t)hi << 32) | lo;
  }
  // Uniform in [0, 1): 24 bits of one draw, or 53 of two.
  float uniform_float() { return (float)(engine_() & 0xffffffu) * 5.9604644775390625e-8f; }
  double uniform_double() { return (double)(random64() & ((1ull << 53) - 1)) * 1.1102230246251565e-16; }
  // Start of a block of `n` counters of the counter-based stream (dropout); the block is never given twice.
  uint64_t reserve_counters(uint64_t n) {
    uint64_t c = counter_;
    counter_ += n;
    return c;
  }

  Mt19937& engine() { return engine_; }
  std::optional<double> cached_normal;  // the second value of a Box-Muller pair
  std::optional<float> cached_normal_float;
  uint64_t counter() const { return counter_; }
  void set_counter(uint64_t c) { counter_ = c; }
  void set_seed_value(uint64_t s) { seed_ = s; }

 private:
  uint64_t seed_ = 0, counter_ = 0, seedings_ = 0;
  Mt19937 engine_;
};

// The process's generator; on the threads of a device past the first, that device's own, which starts anew
// whenever the process's is given a seed.
const Ref<Generator>& default_generator();

}  // namespace nnlib
