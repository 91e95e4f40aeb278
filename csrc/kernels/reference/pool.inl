// The truth of pool.inl.
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

void pool_max_f32(int64_t n, int64_t taps, const int64_t* offset, const int32_t* place, int64_t step,
                  const float* x, float* y, int64_t* at) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t best = 0;
    for (int64_t t = 1; t < taps; ++t) {
      const float v = x[offset[t] + i];
      if (v > x[offset[best] + i] || v != v) best = t;
    }
    y[i] = x[offset[best] + i];
    if (at) at[i] = place[best] + step * i;
  }
}

void pool_sum_f32(int64_t n, int64_t taps, const int64_t* offset, const float* x, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    y[i] = 0;
    for (int64_t t = 0; t < taps; ++t) y[i] += x[offset[t] + i];
  }
}

}  // namespace
}  // namespace nnlib::kernels::reference
