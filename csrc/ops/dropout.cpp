#include "ops/dropout.h"

#include <algorithm>
#include <cmath>

#include "core/generator.h"
#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/creation.h"
#include "ops/elementwise.h"

namespace nnlib::ops {

namespace {

// A mask is not kept: it is drawn again from its place in the stream, for backward and for the gradient of
// that.
struct Mask {
  uint64_t key, counter;
  uint32_t threshold;
  double scale;
};

constexpr int64_t kChunk = 16384;  // a multiple of the 64 values that 16 counters serve

Mask draw_mask(int64_t n, double p, double scale) {
  const Ref<Generator>& g = default_generator();
  std::lock_guard<std::mutex> lock(g->mutex);
  const uint64_t blocks = ((uint64_t)n + 63) / 64;
  return {g->seed(), g->reserve_counters(blocks * 16), (uint32_t)std::min(std::ldexp(p, 32), 4294967295.0),
          scale};
}
int64_t padded(int64_t width) {
  return (width + DropoutRows::kUnit - 1) / DropoutRows::kUnit * DropoutRows::kUnit;
}

// x times 0 or scale. Values are counted in the order of a contiguous tensor.
Tensor apply(const Tensor& input, const Mask& mask) {
  const Tensor x = contiguous_values(input);
  Tensor y = empty(x.sizes(), x.dtype());
  const auto& k = kernels::table();
  dispatch_floating(x.dtype(), "dropout", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* from = x.data<T>();
    T* to = y.data<T>();
    parallel_for(0, x.numel(), kChunk, [&](int64_t b, int64_t e) {
      const uint64_t counter = mask.counter + (uint64_t)b / 4;
      if constexpr (std::is_same_v<T, float>) {
        k.dropout_f32(e - b, from + b, to + b, mask.threshold, (float)mask.scale, mask.key, counter);
      } else {
        constexpr int64_t kPart = 1024;
        float kept[kPart];
        for (int64_t i = b; i < e; i += kPart) {
          const int64_t n = std::min(kPart, e - i);
          std::fill(kept, kept + n, 1.f);
          k.dropout_f32(n, kept, kept, mask.threshold, 1.f, mask.key, counter + (uint64_t)(i - b) / 4);
          for (int64_t j = 0; j < n; j++)
            to[i + j] = (T)((compute_t<T>)from[i + j] * (compute_t<T>)(kept[j] * mask.scale));
        }
      }
    });
  });
  if (wants_grad(input)) {
    record(y, "MulBackward0", {input},
           [mask](Backward&, const TensorList& g) { return TensorList{apply(g[0], mask)}; });
  }
  return y;
}

void check_p(double p) {
  NNLIB_CHECK(p >= 0 && p <= 1, "dropout probability has to be between 0 and 1, but got ", p);
}
bool idle(const Tensor& input, double p, bool train) { return p == 0 || !train || input.numel() == 0; }

// (N, C, 1, ...): what feature dropout draws its noise for.
Dims feature_sizes(const Tensor& input) {
  NNLIB_CHECK(input.dim() >= 2, "Feature dropout requires at least 2 dimensions in the input");
  Dims sizes((size_t)input.dim(), 1);
  sizes[0] = input.size(0);
  sizes[1] = input.size(1);
  return sizes;
}

// 0 with probability p, else scale.
Tensor noise(const Dims& sizes, Dtype dtype, double p, double scale) {
  NoGradGuard guard;
  const Tensor one = ones(sizes, dtype);
  return apply(one, draw_mask(one.numel(), p, scale));
}

// Kept values times a plus b (1 - p ...): see SELU's paper, section "Alpha dropout".
Tensor alpha_with(const Tensor& input, const Dims& noise_sizes, double p) {
  constexpr double kAlpha = 1.7580993408473766;  // -SELU's limit
  const double a = 1 / std::sqrt((kAlpha * kAlpha * p + 1) * (1 - p));
  const Tensor kept = noise(noise_sizes, input.dtype(), p, 1);
  const Tensor shift = [&] {
    NoGradGuard guard;
    return (kept - Scalar(1)) * Scalar(kAlpha * a) + Scalar(kAlpha * a * p);
  }();
  return input * (kept * Scalar(a)) + shift;
}

Tensor inplace(const Tensor& self, double p, bool train, Tensor (*op)(const Tensor&, double, bool)) {
  check_p(p);
  if (idle(self, p, train)) return self;
  return assign_inplace(self, [&](const Tensor& x) { return op(x, p, train); });
}

}  // namespace

void DropoutRows::draw(int64_t row, int64_t first, int64_t n, float value, float* out) const {
  std::fill(out, out + n, 1.f);
  const uint64_t at = (uint64_t)(row * padded(width) + first);
  kernels::table().dropout_f32(n, out, out, threshold, value, key, counter + at / 4);
}

DropoutRows draw_dropout_rows(int64_t rows, int64_t width, double p) {
  const Mask m = draw_mask(rows * padded(width), p, p < 1 ? 1 / (1 - p) : 0);
  return {m.key, m.counter, m.threshold, m.scale, width};
}

Tensor dropout_rows(const DropoutRows& mask, int64_t rows) {
  const Tensor out = empty({rows, mask.width}, Dtype::Float32);
  parallel_for(0, rows, std::max<int64_t>(1, kChunk / std::max<int64_t>(1, mask.width)),
               [&](int64_t first, int64_t end) {
                 for (int64_t r = first; r < end; r++)
                   mask.draw(r, 0, mask.width, 1, out.data<float>() + r * mask.width);
               });
  return out;
}

Tensor dropout(const Tensor& input, double p, bool train) {
  check_p(p);
  if (idle(input, p, train)) return input;
  if (p == 1) return input * zeros_like(input);
  return apply(input, draw_mask(input.numel(), p, 1 / (1 - p)));
}

Tensor feature_dropout(const Tensor& input, double p, bool train) {
  check_p(p);
  if (idle(input, p, train)) return input;
  const Dims sizes = feature_sizes(input);
  return input * (p == 1 ? zeros(sizes, input.dtype()) : noise(sizes, input.dtype(), p, 1 / (1 - p)));
}

Tensor alpha_dropout(const Tensor& input, double p, bool train) {
  check_p(p);
  if (idle(input, p, train)) return input;
  return p == 1 ? input * zeros_like(input) : alpha_with(input, input.sizes(), p);
}

Tensor feature_alpha_dropout(const Tensor& input, double p, bool train) {
  check_p(p);
  if (idle(input, p, train)) return input;
  const Dims sizes = feature_sizes(input);
  return p == 1 ? input * zeros_like(input) : alpha_with(input, sizes, p);
}

Tensor dropout_(const Tensor& self, double p, bool train) { return inplace(self, p, train, dropout); }
Tensor feature_dropout_(const Tensor& self, double p, bool train) {
  return inplace(self, p, train, feature_dropout);
}
Tensor alpha_dropout_(const Tensor& self, double p, bool train) {
  return inplace(self, p, train, alpha_dropout);
}
Tensor feature_alpha_dropout_(const Tensor& self, double p, bool train) {
  return inplace(self, p, train, feature_alpha_dropout);
}

}  // namespace nnlib::ops
