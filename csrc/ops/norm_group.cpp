// Group normalisation (Wu and He, 2018) and instance normalisation (Ulyanov, Vedaldi and Lempitsky, 2016),
// which is group normalisation with one channel a group.
#include <cmath>

#include "ops/composite.h"
#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/norm_common.h"
#include "ops/norm_loops.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// n samples of c channels of s values, the channels in `groups` groups.
struct Groups {
  int64_t n, c, s, groups;
  Groups(const Tensor& input, int64_t groups) : n(input.size(0)), c(input.size(1)), s(1), groups(groups) {
    for (int64_t d = 2; d < input.dim(); d++) s *= input.size(d);
  }
  int64_t per_group() const { return groups ? c / groups : 0; }
  int64_t group_size() const { return per_group() * s; }
};

struct GroupStats {
  Tensor mean, rstd;        // (n * groups), in the compute type
  std::vector<double> var;  // biased
};

template <class T>
GroupStats forward(const Groups& in, const T* x, const Tensor& weight, const Tensor& bias, double eps, T* y) {
  using C = compute_t<T>;
  const Param<C> w(weight), b(bias);
  const int64_t count = in.n * in.groups, size = in.group_size();
  GroupStats stats{empty({count}, DtypeOf<C>::value), empty({count}, DtypeOf<C>::value),
                   std::vector<double>((size_t)count)};
  C *mean = stats.mean.data<C>(), *rstd = stats.rstd.data<C>();
  parallel_for(0, count, rows_per_chunk(size), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      const T* group = x + i * size;
      mean[i] = (C)(norm_loops::sum(size, group) / (double)size);
      stats.var[i] = norm_loops::square_deviation(size, group, mean[i]) / (double)size;
      rstd[i] = (C)(1 / std::sqrt(stats.var[i] + eps));
      for (int64_t k = 0; k < in.per_group(); k++) {
        const int64_t c = i % in.groups * in.per_group() + k;
        const C scale = w.get(c, 1) * rstd[i], shift = b.get(c, 0) - mean[i] * scale;
        norm_loops::apply(in.s, group + k * in.s, scale, shift, y + i * size + k * in.s);
      }
    }
  });
  return stats;
}

template <class T>
void backward(const Groups& in, const T* g, const T* x, const Tensor& weight, const GroupStats& stats, T* gx,
              Tensor* grad_w, Tensor* grad_b) {
  using C = compute_t<T>;
  const Param<C> w(weight);
  const C *mean = stats.mean.data<C>(), *rstd = stats.rstd.data<C>();
  const int64_t size = in.group_size(), per_group = in.per_group();
  std::vector<double> sum_g((size_t)(in.n * in.c)), sum_gx((size_t)(in.n * in.c));
  parallel_for(0, in.n * in.groups, rows_per_chunk(size), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      double total_g = 0, total_gx = 0;
      for (int64_t k = 0; k < per_group; k++) {
        const int64_t at = i * size + k * in.s, c = i % in.groups * per_group + k;
        const norm_loops::GradSums s =
            norm_loops::grad_sums(in.s, g + at, x + at, (const C*)nullptr, mean[i]);
        sum_g[i * per_group + k] = s.g;
        sum_gx[i * per_group + k] = s.gx;
        total_g += s.g * w.get(c, 1);
        total_gx += s.gx * w.get(c, 1);
      }
      if (!gx) continue;
      const double r = rstd[i], slope = -r * r * r * total_gx / (double)size;
      const double shift = -r * total_g / (double)size - slope * mean[i];
      for (int64_t k = 0; k < per_group; k++) {
        const int64_t at = i * size + k * in.s, c = i % in.groups * per_group + k;
        norm_loops::grad(in.s, g + at, x + at, (C)(r * w.get(c, 1)), (C)slope, (C)shift, gx + at);
      }
    }
  });
  for (int64_t c = 0; c < in.c; c++) {
    double total_g = 0, total_gx = 0;
    for (int64_t i = 0; i < in.n; i++) {
      total_g += sum_g[i * in.c + c];
      total_gx += sum_gx[i * in.c + c] * rstd[(i * in.c + c) / per_group];
    }
    if (grad_w) grad_w->data<C>()[c] = (C)total_gx;
    if (grad_b) grad_b->data<C>()[c] = (C)total_g;
  }
}

Formula formula(int64_t groups, double eps) {
  return [=](const TensorList& in) {
    const Tensor& x = in[0];
    const Tensor rows = reshape(x, {x.size(0), groups, x.numel() / std::max<int64_t>(1, x.size(0) * groups)});
    const auto [var, mean] = var_mean(rows, Dims{2}, Scalar(0), true);
    Tensor y = reshape((rows - mean) * rsqrt(var + Scalar(eps)), x.sizes());
    Dims shape((size_t)x.dim(), 1);
    shape[1] = x.size(1);
    if (in[1].defined()) y = y * reshape(in[1], shape);
    if (in[2].defined()) y = y + reshape(in[2], shape);
    return TensorList{cast(y, x.dtype())};
  };
}

// The normalised input; the statistics of each group go to *found.
Tensor normalize_groups(const Tensor& input, int64_t groups, const Tensor& weight, const Tensor& bias,
                        double eps, GroupStats* found) {
  const Groups in(input, groups);
  const Tensor x = contiguous_values(input);
  Tensor out = empty(input.sizes(), input.dtype());
  const GroupStats stats = dispatch_floating(input.dtype(), "GroupNormKernelImpl", [&](auto tag) {
    using T = typename decltype(tag)::type;
    return forward<T>(in, x.data<T>(), weight, bias, eps, out.data<T>());
  });
  if (found) *found = stats;
  out = in_format_of(input, out);
  if (wants_grad(input, weight, bias)) {
    record(out, "NativeGroupNormBackward0", {input, weight, bias},
           [saved_x = save(input), w = save(weight), b = save(bias), stats, in, eps](Backward& ctx,
                                                                                     const TensorList& g) {
             const Tensor input = saved_x.get(ctx), wv = w.get(ctx), bv = b.get(ctx);
             if (GradMode::enabled())
               return composite_gradients(ctx, {input, wv, bv}, g, formula(in.groups, eps));
             const Tensor x = contiguous_values(input), gv = contiguous_values(g[0]);
             TensorList r(3);
             if (ctx.needs(0)) r[0] = empty(x.sizes(), x.dtype());
             for (size_t i : {1, 2})
               if (ctx.needs(i)) r[i] = empty({in.c}, statistics_dtype(x.dtype()));
             dispatch_floating(x.dtype(), "group_norm", [&](auto tag) {
               using T = typename decltype(tag)::type;
               backward<T>(in, gv.data<T>(), x.data<T>(), wv, stats, ctx.needs(0) ? r[0].data<T>() : nullptr,
                           ctx.needs(1) ? &r[1] : nullptr, ctx.needs(2) ? &r[2] : nullptr);
             });
             return r;
           });
  }
  return out;
}

}  // namespace

Tensor group_norm(const Tensor& input, int64_t num_groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  NNLIB_CHECK(num_groups > 0, "Expected num groups to be greater than 0, got ", num_groups);
  NNLIB_CHECK(input.dim() >= 2, "Expected at least 2 dimensions for input tensor but received ", input.dim());
  const int64_t channels = input.size(1);
  NNLIB_CHECK(channels % num_groups == 0,
              "Expected number of channels in input to be divisible by num_groups, but got input of shape ",
              input.sizes(), " and num_groups=", num_groups);
  for (const Tensor* t : {&weight, &bias})
    NNLIB_CHECK(!t->defined() || (t->dim() == 1 && t->numel() == channels), "Expected ",
                t == &weight ? "weight" : "bias",
                " to be a vector of size equal to the number of channels in input, but got ",
                t == &weight ? "weight" : "bias", " of shape ", t->defined() ? t->sizes() : Dims(),
                " and input of shape ", input.sizes());
  return normalize_groups(input, num_groups, weight, bias, eps, nullptr);
}

Tensor instance_norm(const Tensor& input, const Tensor& running_mean, const Tensor& running_var,
                     const Tensor& weight, const Tensor& bias, bool use_input_stats, double momentum,
                     double eps) {
  NNLIB_CHECK(use_input_stats || (running_mean.defined() && running_var.defined()),
              "Expected running_mean and running_var to be defined when use_input_stats is false");
  const int64_t channels = input.size(1);
  check_channels(running_mean, "running_mean", channels);
  check_channels(running_var, "running_var", channels);
  check_channels(weight, "weight", channels);
  check_channels(bias, "bias", channels);
  if (!use_input_stats)
    return batch_norm(input, running_mean, running_var, weight, bias, false, momentum, eps);
  GroupStats stats;
  Tensor out = normalize_groups(input, channels, weight, bias, eps, &stats);
  if (running_mean.defined() || running_var.defined()) {
    const int64_t samples = input.size(0), size = Groups(input, channels).s;
    const Tensor means = cast_values(stats.mean, Dtype::Float64);
    std::vector<double> mean((size_t)channels, 0.0), var((size_t)channels, 0.0);
    for (int64_t i = 0; i < samples * channels; i++) {
      mean[i % channels] += means.data<double>()[i] / (double)samples;
      var[i % channels] += stats.var[i] * (double)size / (double)(size - 1) / (double)samples;
    }
    update_running(running_mean, mean, momentum);
    update_running(running_var, var, momentum);
  }
  return out;
}

}  // namespace nnlib::ops
