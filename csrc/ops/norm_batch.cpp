// Batch normalisation (Ioffe and Szegedy, 2015), a channel at a time: its values are summed, squared and
// scaled while they are in the second-level cache. Where channels come last in memory, rows of channels are
// walked instead.
#include <cmath>

#include "ops/composite.h"
#include "ops/drivers/scratch.h"
#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/norm_common.h"
#include "ops/norm_loops.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// The input as n samples of c channels of s values; or, `by_columns`, as n * s rows of c values.
struct Batch {
  Tensor x;
  int64_t n, c, s;
  bool by_columns;
  int64_t at_once = 1;  // rows of columns
  int64_t rows() const { return n * s; }
  int64_t width() const { return c * at_once; }
  int64_t wide_rows() const { return rows() / at_once; }

  explicit Batch(const Tensor& input) : n(input.size(0)), c(input.size(1)), s(1) {
    for (int64_t d = 2; d < input.dim(); d++) s *= input.size(d);
    const bool last = (input.dim() == 4 && input.is_contiguous(MemoryFormat::ChannelsLast)) ||
                      (input.dim() == 5 && input.is_contiguous(MemoryFormat::ChannelsLast3d));
    by_columns = s == 1 || (last && !input.is_contiguous());
    x = last ? input : contiguous_values(input);
    if (by_columns) at_once = rows_at_once(rows(), c);
  }
};

// Mean and biased variance of one channel of planes.
template <class T>
void channel_statistics(const Batch& in, int64_t c, double* mean, double* var) {
  using C = compute_t<T>;
  const T* x = in.x.data<T>() + c * in.s;
  const int64_t step = in.c * in.s, count = in.rows();
  double total = 0, squares = 0;
  for (int64_t i = 0; i < in.n; i++) total += norm_loops::sum(in.s, x + i * step);
  *mean = total / (double)count;
  for (int64_t i = 0; i < in.n; i++) squares += norm_loops::square_deviation(in.s, x + i * step, (C)*mean);
  *var = squares / (double)count;
}

template <class T>
void column_statistics(const Batch& in, std::vector<double>& mean, std::vector<double>& var) {
  using C = compute_t<T>;
  const T* x = in.x.data<T>();
  const int64_t w = in.width();
  const auto sums =
      sum_over_rows<C>(in.wide_rows(), w, w, [&](int64_t r, C* s) { norm_loops::col_sum(w, x + r * w, s); });
  mean = gathered(sums.data(), in.c, in.at_once);
  for (double& m : mean) m /= (double)in.rows();
  const std::vector<C> once(mean.begin(), mean.end()), center = repeated(once.data(), in.c, in.at_once);
  const auto squares = sum_over_rows<C>(in.wide_rows(), w, w, [&](int64_t r, C* s) {
    norm_loops::col_square_deviation(w, x + r * w, center.data(), s);
  });
  var = gathered(squares.data(), in.c, in.at_once);
  for (double& v : var) v /= (double)in.rows();
}

// y = a[c] x + b[c]
template <class T>
void scale_columns(const Batch& in, const compute_t<T>* a, const compute_t<T>* b, T* y) {
  const T* x = in.x.data<T>();
  const int64_t w = in.width();
  const auto scale = repeated(a, in.c, in.at_once), shift = repeated(b, in.c, in.at_once);
  parallel_for(0, in.wide_rows(), rows_per_chunk(w), [&](int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++)
      norm_loops::col_apply(w, x + r * w, scale.data(), shift.data(), y + r * w);
  });
}
template <class T>
void scale_channel(const Batch& in, int64_t c, compute_t<T> a, compute_t<T> b, T* y) {
  const T* x = in.x.data<T>();
  for (int64_t i = 0; i < in.n; i++) {
    const int64_t at = (i * in.c + c) * in.s;
    norm_loops::apply(in.s, x + at, a, b, y + at);
  }
}

// Elements of channels of 16-bit floats that are made float32 once and stay in the second-level cache.
constexpr int64_t kMostWide = 1 << 16;

// The n planes of a channel one after the other in float32, and back.
template <class T>
void widen_channel(const Batch& in, int64_t c, const T* x, float* wide) {
  for (int64_t i = 0; i < in.n; i++) norm_loops::widen(in.s, x + (i * in.c + c) * in.s, wide + i * in.s);
}
template <class T>
void narrow_channel(const Batch& in, int64_t c, const float* wide, T* y) {
  for (int64_t i = 0; i < in.n; i++) norm_loops::narrow(in.s, wide + i * in.s, y + (i * in.c + c) * in.s);
}
inline float* wide_values(int64_t n) { return drivers::scratch<drivers::Scratch::Rows, float>(n); }

// What backward needs of the forward pass, in the compute type.
struct Saved1d {
  Tensor mean, invstd;
};

template <class T>
Saved1d forward(const Batch& in, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                const Tensor& running_var, bool training, double eps, T* y, std::vector<double>& mean,
                std::vector<double>& var) {
  using C = compute_t<T>;
  const Param<C> w(weight), b(bias);
  Saved1d saved{empty({in.c}, DtypeOf<C>::value), empty({in.c}, DtypeOf<C>::value)};
  C *m = saved.mean.data<C>(), *r = saved.invstd.data<C>();
  std::vector<C> scale((size_t)in.c), shift((size_t)in.c);
  auto finish = [&](int64_t c) {
    m[c] = (C)mean[c];
    r[c] = (C)(1 / std::sqrt(var[c] + eps));
    scale[c] = w.get(c, 1) * r[c];
    shift[c] = b.get(c, 0) - m[c] * scale[c];
  };
  if (training) {
    mean.resize((size_t)in.c);
    var.resize((size_t)in.c);
  } else {
    const Tensor rm = contiguous_values(cast_values(running_mean, Dtype::Float64));
    const Tensor rv = contiguous_values(cast_values(running_var, Dtype::Float64));
    mean.assign(rm.data<double>(), rm.data<double>() + in.c);
    var.assign(rv.data<double>(), rv.data<double>() + in.c);
  }
  if (in.by_columns) {
    if (training) column_statistics<T>(in, mean, var);
    for (int64_t c = 0; c < in.c; c++) finish(c);
    scale_columns<T>(in, scale.data(), shift.data(), y);
  } else {
    parallel_for(0, in.c, rows_per_chunk(in.rows()), [&](int64_t first, int64_t end) {
      for (int64_t c = first; c < end; c++) {
        if constexpr (norm_loops::kHalf<T>) {
          if (training && in.rows() <= kMostWide) {
            float* wide = wide_values(in.rows());
            widen_channel(in, c, in.x.data<T>(), wide);
            double total = 0, squares = 0;
            for (int64_t i = 0; i < in.n; i++) total += norm_loops::sum(in.s, wide + i * in.s);
            mean[c] = total / (double)in.rows();
            for (int64_t i = 0; i < in.n; i++)
              squares += norm_loops::square_deviation(in.s, wide + i * in.s, (float)mean[c]);
            var[c] = squares / (double)in.rows();
            finish(c);
            norm_loops::apply(in.rows(), wide, scale[c], shift[c], wide);
            narrow_channel(in, c, wide, y);
            continue;
          }
        }
        if (training) channel_statistics<T>(in, c, &mean[c], &var[c]);
        finish(c);
        scale_channel<T>(in, c, scale[c], shift[c], y);
      }
    });
  }
  return saved;
}

// gx = a g + b x + c for a channel, from the sums of g and of g (x - mean).
template <class C>
struct Coefficients {
  std::vector<C> a, b, c;
  Coefficients(int64_t n) : a((size_t)n), b((size_t)n), c((size_t)n) {}
  void set(int64_t i, double w, double mean, double invstd, double sum_g, double sum_gx, double count,
           bool training) {
    const double scale = w * invstd, slope = training ? -scale * invstd * invstd * sum_gx / count : 0;
    a[i] = (C)scale;
    b[i] = (C)slope;
    c[i] = (C)(training ? -scale * sum_g / count - slope * mean : 0);
  }
};

template <class T>
void backward(const Batch& in, const Tensor& grad, const Tensor& weight, const Saved1d& saved, bool training,
              const Tensor& grad_x, const Tensor& grad_w, const Tensor& grad_b) {
  using C = compute_t<T>;
  const Param<C> w(weight);
  const T *g = grad.data<T>(), *x = in.x.data<T>();
  const C *m = saved.mean.data<C>(), *r = saved.invstd.data<C>();
  T* gx = grad_x.defined() ? grad_x.data<T>() : nullptr;
  C *gw = grad_w.defined() ? grad_w.data<C>() : nullptr, *gb = grad_b.defined() ? grad_b.data<C>() : nullptr;
  Coefficients<C> k(in.c);
  auto finish = [&](int64_t c, double sum_g, double sum_gx) {
    if (gw) gw[c] = (C)(sum_gx * r[c]);
    if (gb) gb[c] = (C)sum_g;
    k.set(c, w.get(c, 1), m[c], r[c], sum_g, sum_gx, (double)in.rows(), training);
  };
  if (in.by_columns) {
    const int64_t w = in.width();
    const auto center = repeated(m, in.c, in.at_once);
    const std::vector<double> sums = sum_over_rows<C>(in.wide_rows(), 2 * w, w, [&](int64_t i, C* s) {
      norm_loops::col_grad_sums(w, g + i * w, x + i * w, center.data(), s, s + w);
    });
    const auto sum_g = gathered(sums.data(), in.c, in.at_once),
               sum_gx = gathered(sums.data() + w, in.c, in.at_once);
    for (int64_t c = 0; c < in.c; c++) finish(c, sum_g[c], sum_gx[c]);
    if (!gx) return;
    const auto ka = repeated(k.a.data(), in.c, in.at_once), kb = repeated(k.b.data(), in.c, in.at_once),
               kc = repeated(k.c.data(), in.c, in.at_once);
    parallel_for(0, in.wide_rows(), rows_per_chunk(w), [&](int64_t first, int64_t end) {
      for (int64_t i = first * w; i < end * w; i += w) {
        if (training)
          norm_loops::col_grad(w, g + i, x + i, ka.data(), kb.data(), kc.data(), gx + i);
        else
          norm_loops::col_apply(w, g + i, ka.data(), kc.data(), gx + i);
      }
    });
    return;
  }
  parallel_for(0, in.c, rows_per_chunk(in.rows()), [&](int64_t first, int64_t end) {
    for (int64_t c = first; c < end; c++) {
      double sum_g = 0, sum_gx = 0;
      if constexpr (norm_loops::kHalf<T>) {
        if (2 * in.rows() <= kMostWide) {
          float *wide_g = wide_values(2 * in.rows()), *wide_x = wide_g + in.rows();
          widen_channel(in, c, g, wide_g), widen_channel(in, c, x, wide_x);
          for (int64_t i = 0; i < in.n; i++) {
            const norm_loops::GradSums s = norm_loops::grad_sums(in.s, wide_g + i * in.s, wide_x + i * in.s,
                                                                 (const float*)nullptr, m[c]);
            sum_g += s.g;
            sum_gx += s.gx;
          }
          finish(c, sum_g, sum_gx);
          if (!gx) continue;
          if (training)
            norm_loops::grad(in.rows(), wide_g, wide_x, k.a[c], k.b[c], k.c[c], wide_g);
          else
            norm_loops::apply(in.rows(), wide_g, k.a[c], 0.0f, wide_g);
          narrow_channel(in, c, wide_g, gx);
          continue;
        }
      }
      for (int64_t i = 0; i < in.n; i++) {
        const int64_t at = (i * in.c + c) * in.s;
        const norm_loops::GradSums s = norm_loops::grad_sums(in.s, g + at, x + at, (const C*)nullptr, m[c]);
        sum_g += s.g;
        sum_gx += s.gx;
      }
      finish(c, sum_g, sum_gx);
      for (int64_t i = 0; gx && i < in.n; i++) {
        const int64_t at = (i * in.c + c) * in.s;
        if (training)
          norm_loops::grad(in.s, g + at, x + at, k.a[c], k.b[c], k.c[c], gx + at);
        else
          norm_loops::apply(in.s, g + at, k.a[c], C(0), gx + at);
      }
    }
  });
}

// The same from plain operators: inputs are x, weight and bias.
Formula formula(const Saved1d& saved, bool training, double eps) {
  return [=](const TensorList& in) {
    Dims shape((size_t)in[0].dim(), 1), dims;
    shape[1] = in[0].size(1);
    for (int64_t d = 0; d < in[0].dim(); d++)
      if (d != 1) dims.push_back(d);
    Tensor y;
    if (training) {
      const auto [var, mean] = var_mean(in[0], dims, Scalar(0), true);
      y = (in[0] - mean) * rsqrt(var + Scalar(eps));
    } else {
      y = (in[0] - view(saved.mean, shape)) * view(saved.invstd, shape);
    }
    if (in[1].defined()) y = y * reshape(in[1], shape);
    if (in[2].defined()) y = y + reshape(in[2], shape);
    return TensorList{cast(y, in[0].dtype())};
  };
}

}  // namespace

Tensor batch_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var,
                  const Tensor& weight, const Tensor& bias, bool training, double momentum, double eps) {
  if (input.numel() == 0 && input.dim() < 2) return clone(input);
  const int64_t channels = input.size(1);
  NNLIB_CHECK(training || (running_mean.defined() && running_var.defined()),
              "running_mean and running_var must be defined in evaluation mode");
  check_channels(running_mean, "running_mean", channels);
  check_channels(running_var, "running_var", channels);
  check_channels(weight, "weight", channels);
  check_channels(bias, "bias", channels);
  if (input.numel() == 0) {  // no statistics: the running ones stay, and the parameters get gradients of zero
    Dims shape((size_t)input.dim(), 1);
    shape[1] = channels;
    Tensor out = clone(input);
    if (weight.defined()) out = out * reshape(weight, shape);
    if (bias.defined()) out = out + reshape(bias, shape);
    return cast(out, input.dtype());
  }
  const Batch in(input);
  Tensor out = empty_like(in.x);
  std::vector<double> mean, var;
  const Saved1d saved = dispatch_floating(input.dtype(), "batch_norm", [&](auto tag) {
    using T = typename decltype(tag)::type;
    return forward<T>(in, weight, bias, running_mean, running_var, training, eps, out.data<T>(), mean, var);
  });
  if (training) {
    const double count = (double)in.rows();
    update_running(running_mean, mean, momentum);
    for (double& v : var) v *= count / (count - 1);  // unbiased
    update_running(running_var, var, momentum);
  }
  if (wants_grad(input, weight, bias)) {
    record(out, "NativeBatchNormBackward0", {input, weight, bias},
           [x = save(input), w = save(weight), b = save(bias), saved, training, eps](Backward& ctx,
                                                                                     const TensorList& g) {
             const Tensor xv = x.get(ctx), wv = w.get(ctx);
             if (GradMode::enabled())
               return composite_gradients(ctx, {xv, wv, b.get(ctx)}, g, formula(saved, training, eps));
             const Batch in(xv);
             TensorList r(3);
             if (ctx.needs(0)) r[0] = empty_like(in.x);
             for (size_t i : {1, 2})
               r[i] = make_gradient(ctx, i, [&] { return empty({in.c}, statistics_dtype(xv.dtype())); });
             dispatch_floating(xv.dtype(), "batch_norm", [&](auto tag) {
               using T = typename decltype(tag)::type;
               backward<T>(in, laid_out_as(g[0], in.x), wv, saved, training, r[0], r[1], r[2]);
             });
             return r;
           });
  }
  return out;
}

}  // namespace nnlib::ops
