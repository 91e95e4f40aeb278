// Layer normalisation (Ba, Kiros and Hinton, 2016) and RMS normalisation (Zhang and Sennrich, 2019): each row
// of the last dimensions on its own.
#include <cmath>
#include <limits>

#include "core/shape.h"
#include "ops/composite.h"
#include "ops/drivers/scratch.h"
#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/norm_common.h"
#include "ops/norm_loops.h"
#include "ops/reduce.h"

namespace nnlib::ops {

namespace {

// Rows of `width` values.
struct Rows {
  int64_t count, width;
  Rows(const Tensor& input, const Dims& shape) : count(1), width(nnlib::count(shape)) {
    for (int64_t d = 0; d < input.dim() - shape.ssize(); d++) count *= input.size(d);
  }
};

void check_shapes(const Tensor& input, const Dims& shape, const Tensor& weight, const Tensor& bias) {
  NNLIB_CHECK(!shape.empty(),
              "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
              "element, but got "
              "normalized_shape = ",
              shape);
  NNLIB_CHECK(!weight.defined() || weight.sizes() == shape,
              "Expected weight to be of same shape as normalized_shape, but got weight of shape ",
              weight.defined() ? weight.sizes() : Dims(), " and normalized_shape = ", shape);
  NNLIB_CHECK(!bias.defined() || bias.sizes() == shape,
              "Expected bias to be of same shape as normalized_shape, but got bias of shape ",
              bias.defined() ? bias.sizes() : Dims(), " and normalized_shape = ", shape);
  const int64_t lead = input.dim() - shape.ssize();
  bool fits = lead >= 0;
  for (int i = 0; fits && i < shape.ssize(); i++) fits = input.size(lead + i) == shape[(size_t)i];
  if (!fits) {
    std::string wanted = "[*";
    for (int64_t s : shape) wanted += ", " + std::to_string(s);
    throw_message<Error>("Given normalized_shape=", shape, ", expected input with shape ", wanted,
                         "], but got input of size", input.sizes());
  }
}

// Mean (zero where rows are not centered) and reciprocal standard deviation of each row.
struct RowStats {
  Tensor mean, rstd;
};

template <class T>
RowStats forward(const Rows& rows, const T* x, const Tensor& weight, const Tensor& bias, bool centered,
                 double eps, T* y) {
  using C = compute_t<T>;
  const Param<C> w(weight), b(bias);
  RowStats stats{empty({rows.count}, DtypeOf<C>::value), empty({rows.count}, DtypeOf<C>::value)};
  C *mean = stats.mean.data<C>(), *rstd = stats.rstd.data<C>();
  const int64_t n = rows.width;
  parallel_for(0, rows.count, rows_per_chunk(n), [&](int64_t first, int64_t end) {
    const auto normalize = [&](int64_t r, const auto* row, auto* to) {
      mean[r] = centered ? (C)(norm_loops::sum(n, row) / (double)n) : C(0);
      const double var = norm_loops::square_deviation(n, row, mean[r]) / (double)n;
      rstd[r] = (C)(1 / std::sqrt(var + eps));
      norm_loops::affine(n, row, mean[r], rstd[r], w.data(), b.data(), to);
    };
    norm_loops::each_row(first, end, n, x, y, normalize);
  });
  return stats;
}

constexpr int64_t kFewRows = 4, kLongRow = 4096, kColumns = 512;

template <class T>
void backward(const Rows& rows, const T* g, const T* x, const Tensor& weight, const RowStats& stats,
              bool centered, T* gx, Tensor* grad_w, Tensor* grad_b) {
  using C = compute_t<T>;
  const Param<C> w(weight);
  const C *mean = stats.mean.data<C>(), *rstd = stats.rstd.data<C>();
  const int64_t n = rows.width;
  // Gradients of weight and bias: sums over fixed chunks of rows, then over the chunks, in order. Chunks of
  // few long rows would write more sums than the rows have values: these are added up afterwards, some
  // columns at a time.
  const int64_t grain = std::max<int64_t>(rows_per_chunk(n), (rows.count + 63) / 64);
  const int64_t chunks = (rows.count + grain - 1) / grain;
  const bool by_columns = grain <= kFewRows && n >= kLongRow && (grad_w || grad_b);
  Tensor partial = by_columns ? Tensor() : empty({2, chunks, n}, DtypeOf<C>::value);
  C* sums = by_columns ? nullptr : partial.data<C>();
  parallel_for(0, rows.count, grain, [&](int64_t first, int64_t end) {
    C* gw = grad_w && sums ? sums + first / grain * n : nullptr;
    C* gb = grad_b && sums ? sums + (chunks + first / grain) * n : nullptr;
    if (gw) std::fill(gw, gw + n, C(0));
    if (gb) std::fill(gb, gb + n, C(0));
    const auto differentiate = [&](int64_t r, const auto* gr, const auto* xr, auto* to) {
      norm_loops::row_grad(n, gr, xr, w.data(), mean[r], rstd[r], centered, gw, gb, gx ? to : nullptr);
    };
    norm_loops::each_row(first, end, n, g, x, gx, differentiate);
  });
  if (by_columns) {
    C *gw = grad_w ? grad_w->data<C>() : nullptr, *gb = grad_b ? grad_b->data<C>() : nullptr;
    return parallel_for(0, n, std::max<int64_t>(kColumns, rows_per_chunk(rows.count)),
                        [&](int64_t first, int64_t end) {
                          for (int64_t j = first; j < end; j += kColumns) {
                            const int64_t m = std::min(kColumns, end - j);
                            if (gw) std::fill_n(gw + j, m, C(0));
                            if (gb) std::fill_n(gb + j, m, C(0));
                            for (int64_t r = 0; r < rows.count; r++)
                              norm_loops::param_grad(m, g + r * n + j, x + r * n + j, mean[r], rstd[r],
                                                     gw ? gw + j : nullptr, gb ? gb + j : nullptr);
                          }
                        });
  }
  auto add_up = [&](Tensor* out, const C* from) {
    if (!out) return;
    C* to = out->data<C>();
    parallel_for(0, n, rows_per_chunk(chunks), [&](int64_t first, int64_t end) {
      for (int64_t j = first; j < end; j++) to[j] = 0;
      for (int64_t k = 0; k < chunks; k++)
        for (int64_t j = first; j < end; j++) to[j] += from[k * n + j];
    });
  };
  add_up(grad_w, sums);
  add_up(grad_b, sums + chunks * n);
}

Formula formula(const Dims& shape, bool centered, double eps) {
  return [=](const TensorList& in) {
    Dims dims;
    for (int i = 0; i < shape.ssize(); i++) dims.push_back(i - shape.ssize());
    Tensor y;
    if (centered) {
      const auto [var, mean] = var_mean(in[0], dims, Scalar(0), true);
      y = (in[0] - mean) * rsqrt(var + Scalar(eps));
    } else {
      y = in[0] * rsqrt(mean(in[0] * in[0], dims, true) + Scalar(eps));
    }
    if (in[1].defined()) y = y * in[1];
    if (in[2].defined()) y = y + in[2];
    return TensorList{cast(y, in[0].dtype())};
  };
}

Tensor normalize_rows(const Tensor& input, const Dims& shape, const Tensor& weight, const Tensor& bias,
                      bool centered, double eps, const char* name) {
  const Rows rows(input, shape);
  const Tensor x = contiguous_values(input);
  Tensor out = empty(input.sizes(), input.dtype());
  const RowStats stats =
      dispatch_floating(input.dtype(), centered ? "LayerNormKernelImpl" : "rms_norm", [&](auto tag) {
        using T = typename decltype(tag)::type;
        return forward<T>(rows, x.data<T>(), weight, bias, centered, eps, out.data<T>());
      });
  if (wants_grad(input, weight, bias)) {
    record(out, name, {input, weight, bias},
           [saved_x = save(input), w = save(weight), b = save(bias), stats, rows, shape, centered, eps](
               Backward& ctx, const TensorList& g) {
             const Tensor input = saved_x.get(ctx), wv = w.get(ctx), bv = b.get(ctx);
             if (GradMode::enabled())
               return composite_gradients(ctx, {input, wv, bv}, g, formula(shape, centered, eps));
             const Tensor x = contiguous_values(input), gv = contiguous_values(g[0]);
             TensorList r(3);
             if (ctx.needs(0)) r[0] = empty(x.sizes(), x.dtype());
             for (size_t i : {1, 2})
               r[i] = make_gradient(ctx, i, [&] { return empty(shape, statistics_dtype(x.dtype())); });
             dispatch_floating(x.dtype(), "layer_norm", [&](auto tag) {
               using T = typename decltype(tag)::type;
               backward<T>(rows, gv.data<T>(), x.data<T>(), wv, stats, centered,
                           ctx.needs(0) ? r[0].data<T>() : nullptr, ctx.needs(1) ? &r[1] : nullptr,
                           ctx.needs(2) ? &r[2] : nullptr);
             });
             return r;
           });
  }
  return out;
}

}  // namespace

Tensor layer_norm(const Tensor& input, const Dims& normalized_shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  check_shapes(input, normalized_shape, weight, bias);
  return normalize_rows(input, normalized_shape, weight, bias, true, eps, "NativeLayerNormBackward0");
}

Tensor rms_norm(const Tensor& input, const Dims& normalized_shape, const Tensor& weight,
                std::optional<double> eps) {
  check_shapes(input, normalized_shape, weight, Tensor());
  const double small = input.dtype() == Dtype::Float64 ? std::numeric_limits<double>::epsilon()
                                                       : (double)std::numeric_limits<float>::epsilon();
  return normalize_rows(input, normalized_shape, weight, Tensor(), false, eps.value_or(small),
                        "FusedRmsNormBackward0");
}

}  // namespace nnlib::ops
