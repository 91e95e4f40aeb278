// The truth of pool.inl.
#include "half.inl"

namespace nnlib::kernels::reference {
namespace {

void max_pool_2x2_f32(int64_t n, const float* upper, const float* lower, float* y, uint8_t* place) {
  for (int64_t i = 0; i < n; ++i) {
    const float window[4] = {upper[2 * i], upper[2 * i + 1], lower[2 * i], lower[2 * i + 1]};
    int best = 0;
    for (int k = 1; k < 4; ++k) {
      if (window[k] > window[best] || isnan(window[k])) best = k;
    }
    y[i] = window[best];
    place[i] = uint8_t(best);
  }
}

void max_pool_2x2_grad_f32(int64_t n, const float* g, const uint8_t* place, float* upper, float* lower) {
  for (int64_t i = 0; i < n; ++i) {
    upper[2 * i] = place[i] == 0 ? g[i] : 0;
    upper[2 * i + 1] = place[i] == 1 ? g[i] : 0;
    lower[2 * i] = place[i] == 2 ? g[i] : 0;
    lower[2 * i + 1] = place[i] == 3 ? g[i] : 0;
  }
}

// wide(x) is a value in the type that sums are made in.
template <class T, class F>
void pool_max(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place, int64_t step, const T* x,
              T* y, int32_t* at, F wide) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t best = 0;
    for (int64_t t = 1; t < taps; ++t) {
      const auto v = wide(x[offset[t] + i]);
      if (v > wide(x[offset[best] + i]) || v != v) best = t;
    }
    y[i] = x[offset[best] + i];
    if (at) at[i] = int32_t(place[best] + step * i);
  }
}
template <class One, class T, class F, class G>
void pool_max_grad(int64_t n, int64_t windows, const int64_t* offset, int32_t place, const T* g,
                   const int32_t* at, T* y, F wide, G narrow) {
  for (int64_t i = 0; i < n; ++i) {
    One sum = 0;
    for (int64_t t = 0; t < windows; ++t) {
      if (at[offset[t] + i] == place) sum += wide(g[offset[t] + i]);
    }
    y[i] = narrow(sum);
  }
}
template <class T, class One, class F>
void pool_mean(int64_t n, int64_t taps, const int64_t* offset, const T* x, One divisor, One* y, F wide) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = 0;
    for (int64_t t = 0; t < taps; ++t) y[i] += wide(x[offset[t] + i]);
    y[i] /= divisor;
  }
}
#define NNLIB_EACH(suffix, T, One, wide, narrow)                                                             \
  void pool_max_##suffix(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place, int64_t step, \
                         const T* x, T* y, int32_t* at) {                                                    \
    pool_max(n, taps, offset, place, step, x, y, at, [](T v) { return wide; });                              \
  }                                                                                                          \
  void pool_max_grad_##suffix(int64_t n, int64_t windows, const int64_t* offset, int32_t place, const T* g,  \
                              const int32_t* at, T* y) {                                                     \
    pool_max_grad<One>(                                                                                      \
        n, windows, offset, place, g, at, y, [](T v) { return wide; }, [](One v) { return narrow; });        \
  }                                                                                                          \
  void pool_mean_##suffix(int64_t n, int64_t taps, const int64_t* offset, const T* x, One divisor, One* y) { \
    pool_mean(n, taps, offset, x, divisor, y, [](T v) { return wide; });                                     \
  }
NNLIB_EACH(f32, float, float, v, v)
NNLIB_EACH(f64, double, double, v, v)
NNLIB_EACH(bf16, uint16_t, float, from_bf16(v), to_bf16(v))
NNLIB_EACH(f16, uint16_t, float, from_f16(v), to_f16(v))
#undef NNLIB_EACH

}  // namespace
}  // namespace nnlib::kernels::reference
