#include "core/generator.h"

#include "core/device.h"

namespace nnlib {

Mt19937::Mt19937(uint32_t seed) {
  state_[0] = seed;
  for (int i = 1; i < kN; i++)
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + (uint32_t)i;
}

void Mt19937::refill() {
  constexpr int kM = 397;
  auto twist = [](uint32_t m, uint32_t u, uint32_t v) {
    return m ^ (((u & 0x80000000u) | (v & 0x7fffffffu)) >> 1) ^ ((0u - (v & 1)) & 0x9908b0dfu);
  };
  // In runs whose reads lie ahead of their writes, so that they become vector instructions.
  for (int i = 0; i < kN - kM; i++) state_[i] = twist(state_[i + kM], state_[i], state_[i + 1]);
  for (int i = kN - kM; i < kN - 1; i++) state_[i] = twist(state_[i + kM - kN], state_[i], state_[i + 1]);
  state_[kN - 1] = twist(state_[kM - 1], state_[kN - 1], state_[0]);
  next_ = 0;
  temper();
}

void Mt19937::temper() {
  for (int i = 0; i < kN; i++) {
    uint32_t y = state_[i];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    tempered_[i] = y ^ (y >> 18);
  }
}

void Generator::set_seed(uint64_t seed) {
  seed_ = seed;
  ++seedings_;
  counter_ = 0;
  engine_ = Mt19937((uint32_t)seed);
  cached_normal.reset();
  cached_normal_float.reset();
}

namespace {

struct DeviceGenerator {
  Ref<Generator> generator;
  uint64_t seedings = 0;
};

const Ref<Generator>& device_generator(int device, Generator& process) {
  static std::mutex mutex;
  static auto* all = new DeviceGenerator[kMaxDevices];
  std::lock_guard<std::mutex> lock(mutex);
  DeviceGenerator& d = all[device];
  uint64_t seed, seedings;
  {
    std::lock_guard<std::mutex> process_lock(process.mutex);
    seed = process.seed(), seedings = process.seedings();
  }
  if (!d.generator) d.generator = make_ref<Generator>();
  if (d.seedings != seedings) {
    // Streams of neighbouring seeds have nothing in common: the twister's first state mixes them.
    std::lock_guard<std::mutex> device_lock(d.generator->mutex);
    d.generator->set_seed(seed + 0x9e3779b97f4a7c15ull * (uint64_t)device);
    d.seedings = seedings;
  }
  return d.generator;
}

}  // namespace

const Ref<Generator>& default_generator() {
  static const Ref<Generator>* g = new Ref<Generator>(make_ref<Generator>());
  return t_device.team > 0 ? device_generator(t_device.team, **g) : *g;
}

}  // namespace nnlib
