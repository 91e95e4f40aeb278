#include "ops/autocast.h"

#include <mutex>
#include <unordered_map>

#include "autograd/engine.h"
#include "ops/elementwise.h"

namespace nnlib {

thread_local AutocastState t_autocast;

namespace {

// Threads that help in a backward pass cast as its own thread does. A byte each.
struct Switches {
  Switches() {
    thread_switches = [] {
      uint64_t bits = t_autocast.cache_enabled;
      for (const auto& d : t_autocast.device)
        bits = bits << 16 | uint64_t(d.enabled) << 8 | uint64_t(d.dtype);
      return bits;
    };
    set_thread_switches = [](uint64_t bits) {
      for (int i = 1; i >= 0; --i, bits >>= 16)
        t_autocast.device[i] = {bool(bits >> 8 & 0xff), Dtype(bits & 0xff)};
      t_autocast.cache_enabled = bits & 1;
    };
  }
} g_switches;

// The cast of a weight. `weight` keeps its address from being given to another tensor.
struct CachedCast {
  Tensor weight, cast;
  uint32_t version;
  bool recorded;  // with history: made where gradients were recorded
};

// One cache for all threads, so that replicas that share weights share casts. Tensors may take the GIL when
// they go: none goes while the lock is held. Never destroyed, for the same reason.
struct CastCache {
  std::mutex mutex;
  std::unordered_map<const TensorImpl*, CachedCast> casts;
  size_t sweep_at = 64;
};
CastCache& cache() {
  static CastCache* const c = new CastCache;
  return *c;
}

bool cacheable(const Tensor& t, Dtype to) {
  return t_autocast.cache_enabled && to == autocast_dtype() && t.dtype() == Dtype::Float32 &&
         t.requires_grad() && is_leaf(t) && !is_view(t);
}

Tensor find(const Tensor& t, Dtype to) {
  CastCache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  const auto it = c.casts.find(t.impl());
  if (it == c.casts.end()) return Tensor();
  const CachedCast& e = it->second;
  const bool usable =
      e.version == t.version() && e.cast.dtype() == to && (e.recorded || !GradMode::enabled());
  return usable ? e.cast : Tensor();
}

// Weights that only the cache still holds are let go now and then: a region may last as long as the program.
void keep(const Tensor& t, const Tensor& cast) {
  CastCache& c = cache();
  std::vector<CachedCast> dropped;
  std::lock_guard<std::mutex> lock(c.mutex);
  CachedCast& e = c.casts[t.impl()];
  dropped.push_back(std::move(e));
  e = {t, cast, t.version(), GradMode::enabled()};
  if (c.casts.size() < c.sweep_at) return;
  for (auto it = c.casts.begin(); it != c.casts.end();) {
    if (it->second.weight.ref()->use_count() <= 2) {  // ours and that of the cast's history
      dropped.push_back(std::move(it->second));
      it = c.casts.erase(it);
    } else {
      ++it;
    }
  }
  c.sweep_at = 2 * c.casts.size() + 64;
}

}  // namespace

bool autocast_eligible(const Tensor& t) {
  return t.defined() && is_floating(t.dtype()) && t.dtype() != Dtype::Float64 && !t.is_sparse() &&
         !t.is_wrapped_number();
}

Tensor autocast_to(const Tensor& t, Dtype to) {
  if (!autocast_eligible(t) || t.dtype() == to) return t;
  if (!cacheable(t, to)) return ops::cast(t, to);
  Tensor cast = find(t, to);
  if (!cast.defined()) {
    cast = ops::cast(t, to);
    keep(t, cast);
  }
  return cast;
}

void clear_autocast_cache() {
  CastCache& c = cache();
  std::unordered_map<const TensorImpl*, CachedCast> dropped;
  std::lock_guard<std::mutex> lock(c.mutex);
  dropped.swap(c.casts);
}

}  // namespace nnlib
