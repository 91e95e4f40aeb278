// Group normalisation (Wu and He, 2018) and instance normalisation (Ulyanov, Vedaldi and Lempitsky, 2016),
// which is group normalisation with one channel a group.
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

// n samples of c channels of s values, the channels in `groups` groups; or, `last`, of s rows of c values.
struct Groups {
  int64_t n, c, s, groups;
  bool last;
  Groups(const Tensor& input, int64_t groups)
      : n(input.size(0)),
        c(input.size(1)),
        s(1),
        groups(groups),
        last(!input.is_contiguous() &&
             ((input.dim() == 4 && input.is_contiguous(MemoryFormat::ChannelsLast)) ||
              (input.dim() == 5 && input.is_contiguous(MemoryFormat::ChannelsLast3d)))) {
    for (int64_t d = 2; d < input.dim(); d++) s *= input.size(d);
  }
  // t in the layout that is walked here.
  Tensor laid_out(const Tensor& t, const Tensor& input) const {
    return last ? laid_out_as(t, input) : contiguous_values(t);
  }
  int64_t per_group() const { return groups ? c / groups : 0; }
  int64_t group_size() const { return per_group() * s; }
  // A loop over one channel would be too short to pay for its call.
  bool short_channels() const { return !last && s < 64 && per_group() > 1; }
};

// What each channel has, for each of its values.
template <class C>
class Spread {
 public:
  Spread(const Param<C>& p, const Groups& in) : values_(p.data()) {
    if (!values_ || in.s == 1) return;
    all_.reserve((size_t)(in.c * in.s));
    for (int64_t c = 0; c < in.c; c++) all_.insert(all_.end(), (size_t)in.s, values_[c]);
    values_ = all_.data();
  }
  const C* from(int64_t i) const { return norm_loops::from(values_, i); }

 private:
  std::vector<C> all_;
  const C* values_;
};

struct GroupStats {
  Tensor mean, rstd;        // (n * groups), in the compute type
  std::vector<double> var;  // biased
};

// Calls f(sample) on any thread; a single large sample's own loops are shared instead.
template <class F>
void each_sample(const Groups& in, const F& f) {
  parallel_for(0, in.n, rows_per_chunk(in.c * in.s), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) f(i);
  });
}

// Calls f(channel, its group): without a division for each.
template <class F>
void each_channel(const Groups& in, const F& f) {
  for (size_t g = 0, c = 0; g < (size_t)in.groups; g++)
    for (int64_t k = 0; k < in.per_group(); k++) f(c++, g);
}

// The sum over each group's channels, of one sample.
std::vector<double> over_groups(const Groups& in, const double* of_channel) {
  std::vector<double> total((size_t)in.groups, 0.0);
  each_channel(in, [&](size_t c, size_t g) { total[g] += of_channel[c]; });
  return total;
}

// Sample i, whose channels lie beside each other: columns are summed, then the columns of a group.
template <class T, class C = compute_t<T>>
void forward_of_rows(const Groups& in, const T* x, const Param<C>& w, const Param<C>& b, double eps,
                     int64_t i, GroupStats& stats, T* y) {
  const T* from = x + i * in.c * in.s;
  T* to = y + i * in.c * in.s;
  C *mean = stats.mean.data<C>() + i * in.groups, *rstd = stats.rstd.data<C>() + i * in.groups;
  const int64_t at_once = rows_at_once(in.s, in.c), wide = at_once * in.c, rows = in.s / at_once;
  const auto sums = sum_over_rows<C>(rows, wide, wide,
                                     [&](int64_t r, C* t) { norm_loops::col_sum(wide, from + r * wide, t); });
  const std::vector<double> total = over_groups(in, gathered(sums.data(), in.c, at_once).data());
  std::vector<C> center((size_t)in.c), scale((size_t)in.c), shift((size_t)in.c);
  for (int64_t g = 0; g < in.groups; g++) mean[g] = (C)(total[(size_t)g] / (double)in.group_size());
  each_channel(in, [&](size_t c, size_t g) { center[c] = mean[g]; });
  const std::vector<C> centers = repeated(center.data(), in.c, at_once);
  const auto squares = sum_over_rows<C>(rows, wide, wide, [&](int64_t r, C* t) {
    norm_loops::col_square_deviation(wide, from + r * wide, centers.data(), t);
  });
  const std::vector<double> deviation = over_groups(in, gathered(squares.data(), in.c, at_once).data());
  for (int64_t g = 0; g < in.groups; g++) {
    const double var = deviation[(size_t)g] / (double)in.group_size();
    stats.var[(size_t)(i * in.groups + g)] = var;
    rstd[g] = (C)(1 / std::sqrt(var + eps));
  }
  each_channel(in, [&](size_t c, size_t g) {
    scale[c] = w.get((int64_t)c, 1) * rstd[g];
    shift[c] = b.get((int64_t)c, 0) - center[c] * scale[c];
  });
  const std::vector<C> scales = repeated(scale.data(), in.c, at_once),
                       shifts = repeated(shift.data(), in.c, at_once);
  parallel_for(0, rows, rows_per_chunk(wide), [&](int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++)
      norm_loops::col_apply(wide, from + r * wide, scales.data(), shifts.data(), to + r * wide);
  });
}

// The same of backward; sum_g and sum_gx take the sample's sums of each channel.
template <class T, class C = compute_t<T>>
void backward_of_rows(const Groups& in, const T* g, const T* x, const Param<C>& w, const GroupStats& stats,
                      int64_t i, double* sum_g, double* sum_gx, T* gx) {
  const int64_t at = i * in.c * in.s;
  const C *mean = stats.mean.data<C>() + i * in.groups, *rstd = stats.rstd.data<C>() + i * in.groups;
  std::vector<C> center((size_t)in.c), a((size_t)in.c), b((size_t)in.c), k((size_t)in.c);
  each_channel(in, [&](size_t c, size_t group) { center[c] = mean[group]; });
  const int64_t at_once = rows_at_once(in.s, in.c), wide = at_once * in.c, rows = in.s / at_once;
  const std::vector<C> centers = repeated(center.data(), in.c, at_once);
  const auto wide_sums = sum_over_rows<C>(rows, 2 * wide, wide, [&](int64_t r, C* t) {
    norm_loops::col_grad_sums(wide, g + at + r * wide, x + at + r * wide, centers.data(), t, t + wide);
  });
  std::vector<double> sums = gathered(wide_sums.data(), in.c, at_once);
  const std::vector<double> sums_gx = gathered(wide_sums.data() + wide, in.c, at_once);
  sums.insert(sums.end(), sums_gx.begin(), sums_gx.end());
  std::copy(sums.begin(), sums.begin() + in.c, sum_g);
  std::copy(sums.begin() + in.c, sums.end(), sum_gx);
  if (!gx) return;
  std::vector<double> scaled(sums);
  for (int64_t c = 0; c < in.c; c++) {
    scaled[(size_t)c] *= w.get(c, 1);
    scaled[(size_t)(in.c + c)] *= w.get(c, 1);
  }
  const std::vector<double> total_g = over_groups(in, scaled.data()),
                            total_gx = over_groups(in, scaled.data() + in.c);
  each_channel(in, [&](size_t c, size_t group) {
    const double r = rstd[group], slope = -r * r * r * total_gx[group] / (double)in.group_size();
    a[c] = (C)(r * w.get((int64_t)c, 1));
    b[c] = (C)slope;
    k[c] = (C)(-r * total_g[group] / (double)in.group_size() - slope * mean[group]);
  });
  const std::vector<C> as = repeated(a.data(), in.c, at_once), bs = repeated(b.data(), in.c, at_once),
                       ks = repeated(k.data(), in.c, at_once);
  parallel_for(0, rows, rows_per_chunk(wide), [&](int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++)
      norm_loops::col_grad(wide, g + at + r * wide, x + at + r * wide, as.data(), bs.data(), ks.data(),
                           gx + at + r * wide);
  });
}

template <class T>
GroupStats forward(const Groups& in, const T* x, const Tensor& weight, const Tensor& bias, double eps, T* y) {
  using C = compute_t<T>;
  const Param<C> w(weight), b(bias);
  const int64_t count = in.n * in.groups, size = in.group_size();
  GroupStats stats{empty({count}, DtypeOf<C>::value), empty({count}, DtypeOf<C>::value),
                   std::vector<double>((size_t)count)};
  C *mean = stats.mean.data<C>(), *rstd = stats.rstd.data<C>();
  if (in.last) {
    each_sample(in, [&](int64_t i) { forward_of_rows(in, x, w, b, eps, i, stats, y); });
    return stats;
  }
  const bool by_group = in.short_channels();
  const Spread<C> all_w(by_group ? w : Param<C>(Tensor()), in), all_b(by_group ? b : Param<C>(Tensor()), in);
  parallel_for(0, count, rows_per_chunk(size), [&](int64_t first, int64_t end) {
    const auto normalize = [&](int64_t i, const auto* group, auto* to) {
      mean[i] = (C)(norm_loops::sum(size, group) / (double)size);
      stats.var[i] = norm_loops::square_deviation(size, group, mean[i]) / (double)size;
      rstd[i] = (C)(1 / std::sqrt(stats.var[i] + eps));
      const int64_t at = i % in.groups * size;
      if (by_group)
        return norm_loops::affine(size, group, mean[i], rstd[i], all_w.from(at), all_b.from(at), to);
      for (int64_t k = 0; k < in.per_group(); k++) {
        const int64_t c = i % in.groups * in.per_group() + k;
        const C scale = w.get(c, 1) * rstd[i], shift = b.get(c, 0) - mean[i] * scale;
        norm_loops::apply(in.s, group + k * in.s, scale, shift, to + k * in.s);
      }
    };
    norm_loops::each_row(first, end, size, x, y, normalize);
  });
  return stats;
}

// A group at a time, where channels are short. The gradients of weights and biases are those of each value,
// in fixed chunks of samples; then the chunks and the values of a channel are added up, in order.
template <class T, class C = compute_t<T>>
void backward_of_groups(const Groups& in, const T* g, const T* x, const Param<C>& w, const GroupStats& stats,
                        T* gx, Tensor* grad_w, Tensor* grad_b) {
  const C *mean = stats.mean.data<C>(), *rstd = stats.rstd.data<C>();
  const Spread<C> all_w(w, in);
  const int64_t size = in.group_size(), width = in.c * in.s;
  const int64_t grain = std::max(rows_per_chunk(width), (in.n + 63) / 64);
  const int64_t chunks = (in.n + grain - 1) / grain;
  const Tensor partial = empty({2, chunks, width}, DtypeOf<C>::value);
  C* const sums = partial.data<C>();
  const auto of_chunk = [&](const Tensor* wanted, int64_t which, int64_t chunk) {
    return wanted ? sums + (which * chunks + chunk) * width : nullptr;
  };
  parallel_for(0, in.n, grain, [&](int64_t first, int64_t end) {
    C *const gw = of_chunk(grad_w, 0, first / grain), *const gb = of_chunk(grad_b, 1, first / grain);
    if (gw) std::fill(gw, gw + width, C(0));
    if (gb) std::fill(gb, gb + width, C(0));
    const auto differentiate = [&](int64_t i, const auto* gi, const auto* xi, auto* to) {
      const int64_t at = i % in.groups * size;
      norm_loops::row_grad(size, gi, xi, all_w.from(at), mean[i], rstd[i], true, gw ? gw + at : nullptr,
                           gb ? gb + at : nullptr, gx ? to : nullptr);
    };
    norm_loops::each_row(first * in.groups, end * in.groups, size, g, x, gx, differentiate);
  });
  const auto add_up = [&](Tensor* out, int64_t which) {
    if (!out) return;
    std::vector<double> total((size_t)in.c, 0.0);
    for (int64_t k = 0; k < chunks; k++) {
      const C* p = of_chunk(out, which, k);
      for (int64_t c = 0; c < in.c; c++)
        for (int64_t j = 0; j < in.s; j++) total[(size_t)c] += *p++;
    }
    std::transform(total.begin(), total.end(), out->data<C>(), [](double v) { return (C)v; });
  };
  add_up(grad_w, 0);
  add_up(grad_b, 1);
}

template <class T>
void backward(const Groups& in, const T* g, const T* x, const Tensor& weight, const GroupStats& stats, T* gx,
              Tensor* grad_w, Tensor* grad_b) {
  using C = compute_t<T>;
  const Param<C> w(weight);
  const C *mean = stats.mean.data<C>(), *rstd = stats.rstd.data<C>();
  const int64_t size = in.group_size(), per_group = in.per_group();
  if (in.short_channels()) return backward_of_groups(in, g, x, w, stats, gx, grad_w, grad_b);
  std::vector<double> sum_g((size_t)(in.n * in.c)), sum_gx((size_t)(in.n * in.c));
  if (in.last)
    each_sample(in, [&](int64_t i) {
      backward_of_rows(in, g, x, w, stats, i, sum_g.data() + i * in.c, sum_gx.data() + i * in.c, gx);
    });
  else
    parallel_for(0, in.n * in.groups, rows_per_chunk(size), [&](int64_t first, int64_t end) {
      const auto differentiate = [&](int64_t i, const auto* gi, const auto* xi, auto* to) {
        double total_g = 0, total_gx = 0;
        for (int64_t k = 0; k < per_group; k++) {
          const int64_t at = k * in.s, c = i % in.groups * per_group + k;
          const norm_loops::GradSums s =
              norm_loops::grad_sums(in.s, gi + at, xi + at, (const C*)nullptr, mean[i]);
          sum_g[i * per_group + k] = s.g;
          sum_gx[i * per_group + k] = s.gx;
          total_g += s.g * w.get(c, 1);
          total_gx += s.gx * w.get(c, 1);
        }
        if (!gx) return;
        const double r = rstd[i], slope = -r * r * r * total_gx / (double)size;
        const double shift = -r * total_g / (double)size - slope * mean[i];
        for (int64_t k = 0; k < per_group; k++) {
          const int64_t at = k * in.s, c = i % in.groups * per_group + k;
          norm_loops::grad(in.s, gi + at, xi + at, (C)(r * w.get(c, 1)), (C)slope, (C)shift, to + at);
        }
      };
      norm_loops::each_row(first, end, size, g, x, gx, differentiate);
    });
  std::vector<double> total_g((size_t)in.c, 0.0), total_gx((size_t)in.c, 0.0);
  for (int64_t i = 0, at = 0; i < in.n; i++)
    each_channel(in, [&](size_t c, size_t group) {
      total_g[c] += sum_g[(size_t)at];
      total_gx[c] += sum_gx[(size_t)at++] * rstd[i * in.groups + (int64_t)group];
    });
  for (size_t c = 0; c < (size_t)in.c; c++) {
    if (grad_w) grad_w->data<C>()[c] = (C)total_gx[c];
    if (grad_b) grad_b->data<C>()[c] = (C)total_g[c];
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
  const Tensor x = in.laid_out(input, input);
  Tensor out = in.last ? empty_like(input) : empty(input.sizes(), input.dtype());
  const GroupStats stats = dispatch_floating(input.dtype(), "GroupNormKernelImpl", [&](auto tag) {
    using T = typename decltype(tag)::type;
    return forward<T>(in, x.data<T>(), weight, bias, eps, out.data<T>());
  });
  if (found) *found = stats;
  if (wants_grad(input, weight, bias)) {
    record(out, "NativeGroupNormBackward0", {input, weight, bias},
           [saved_x = save(input), w = save(weight), b = save(bias), stats, in, eps](Backward& ctx,
                                                                                     const TensorList& g) {
             const Tensor input = saved_x.get(ctx), wv = w.get(ctx), bv = b.get(ctx);
             if (GradMode::enabled())
               return composite_gradients(ctx, {input, wv, bv}, g, formula(in.groups, eps));
             const Tensor x = in.laid_out(input, input), gv = in.laid_out(g[0], input);
             TensorList r(3);
             if (ctx.needs(0)) r[0] = in.last ? empty_like(x) : empty(x.sizes(), x.dtype());
             for (size_t i : {1, 2})
               r[i] = make_gradient(ctx, i, [&] { return empty({in.c}, statistics_dtype(x.dtype())); });
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
