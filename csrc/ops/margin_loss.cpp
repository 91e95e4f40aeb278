// Hinges of classes against each other: max(0, margin - x[y] + x[i]) for each class y that is right and each
// i that is not.
#include <cmath>

#include "core/parallel.h"
#include "ops/composite.h"
#include "ops/elementwise.h"
#include "ops/index.h"
#include "ops/loss.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

// The right classes of one row: counted once each time they are listed.
struct Right {
  const int64_t* classes;
  int64_t count;
};
// The hinges of all rows. right(r) lists row r's right classes, which is_right marks.
struct Hinges {
  Tensor right;     // int64 (N, S), contiguous
  Tensor is_right;  // bool (N, C), contiguous
  Tensor weight;    // (N), what row r's loss is multiplied by; may be undefined
  bool stops;       // right classes end where a number is negative
  bool squared;
  double margin;

  Right of_row(int64_t r) const {
    const int64_t n = right.size(1);
    const int64_t* p = right.data<int64_t>() + r * n;
    int64_t count = 0;
    while (count < n && !(stops && p[count] < 0)) count++;
    return {p, count};
  }
};

template <class F>
void dispatch_hinges(Dtype d, F f) {
  if (d == Dtype::Float32) return f(TypeTag<float>{});
  if (d == Dtype::Float64) return f(TypeTag<double>{});
  throw NotImplementedError(concat("\"margin_loss\" not implemented for '", dtype_legacy_name(d), "'"));
}

// The sum over wrong classes i of f(shift + x[i]), f(z) of those above zero, in chains that make vectors.
template <class C, class F>
C sum_of_hinges(int64_t n, const C* x, const bool* is_right, C shift, F f) {
  constexpr int64_t kChains = 8;
  C part[kChains] = {}, total = 0;
  const auto add = [&](C* to, int64_t i) {
    const C z = shift + x[i];
    const C v = z > 0 || z != z ? f(i, z) : C(0);
    *to += is_right[i] ? C(0) : v;
  };
  int64_t i = 0;
  for (; i + kChains <= n; i += kChains)
    for (int64_t k = 0; k < kChains; k++) add(&part[k], i + k);
  for (; i < n; i++) add(&total, i);
  for (int64_t k = 0; k < kChains; k++) total += part[k];
  return total;
}

// Calls f(row, right classes, x, is_right, scale) for each row.
template <class C, class F>
void each_row(const Hinges& h, const Tensor& x, F f) {
  const int64_t classes = x.size(1);
  parallel_for(0, x.size(0), std::max<int64_t>(1, 8192 / std::max<int64_t>(1, classes)),
               [&](int64_t b, int64_t e) {
                 for (int64_t r = b; r < e; r++) {
                   const C weight = h.weight.defined() ? h.weight.data<C>()[r] : C(1);
                   f(r, h.of_row(r), x.data<C>() + r * classes, h.is_right.data<bool>() + r * classes,
                     weight / (C)classes);
                 }
               });
}

// The same from plain operators.
Formula formula(const Hinges& h) {
  return [h](const TensorList& in) {
    const Tensor& x = in[0];
    Tensor listed = cast(ge(h.right, wrapped_number(Scalar(0))), Dtype::Int64);
    if (h.stops) listed = cumprod(listed, 1, std::nullopt);
    const Tensor right = mul(h.right, listed);
    Tensor z = clamp(unsqueeze(x, 1) - unsqueeze(gather(x, 1, right), 2) + Scalar(h.margin), Scalar(0),
                     std::nullopt);
    if (h.squared) z = z * z;
    const Tensor counts =
        logical_and(unsqueeze(cast(listed, Dtype::Bool), 2), logical_not(unsqueeze(h.is_right, 1)));
    Tensor loss = sum(where(counts, z, wrapped_number(0.0)), Dims{1, 2}, false) / Scalar(x.size(1));
    if (h.weight.defined()) loss = loss * h.weight;
    return TensorList{loss};
  };
}

Tensor hinges(const Tensor& input, const Hinges& h, const char* node) {
  const Tensor x = contiguous_values(input);
  Tensor out = empty({x.size(0)}, x.dtype());
  dispatch_hinges(x.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    each_row<C>(h, x, [&](int64_t r, Right right, const C* row, const bool* is_right, C scale) {
      C total = 0;
      for (int64_t k = 0; k < right.count; k++) {
        const C shift = (C)h.margin - row[right.classes[k]];
        total += h.squared
                     ? sum_of_hinges(x.size(1), row, is_right, shift, [](int64_t, C z) { return z * z; })
                     : sum_of_hinges(x.size(1), row, is_right, shift, [](int64_t, C z) { return z; });
      }
      out.data<C>()[r] = total * scale;
    });
  });
  if (!wants_grad(input)) return out;
  record(out, node, {input}, [saved = save(input), h](Backward& ctx, const TensorList& g) {
    const Tensor input = saved.get(ctx);
    if (GradMode::enabled()) return composite_gradients(ctx, {input}, g, formula(h));
    const Tensor x = contiguous_values(input);
    Tensor grad = empty(x.sizes(), x.dtype());
    fill_values(grad, 0);
    dispatch_hinges(x.dtype(), [&](auto tag) {
      using C = typename decltype(tag)::type;
      const Tensor up = contiguous_values(cast_values(g[0], x.dtype()));
      each_row<C>(h, x, [&](int64_t r, Right right, const C* row, const bool* is_right, C scale) {
        C* to = grad.data<C>() + r * x.size(1);
        const C by = scale * up.data<C>()[r];
        for (int64_t k = 0; k < right.count; k++) {
          const int64_t y = right.classes[k];
          const C shift = (C)h.margin - row[y];
          C taken = 0;
          for (int64_t i = 0; i < x.size(1); i++) {
            const C z = shift + row[i], slope = h.squared ? 2 * z : C(1);
            const C d = !is_right[i] && z > 0 ? slope * by : C(0);
            to[i] += d;
            taken += d;
          }
          to[y] -= taken;
        }
      });
    });
    return TensorList{grad};
  });
  return out;
}

// Marks the right classes of each row; an error for one that is none.
Hinges marked(Hinges h, const Tensor& x, const char* name) {
  const int64_t rows = x.size(0), classes = x.size(1);
  h.right = contiguous_values(cast_values(detach(h.right), Dtype::Int64));
  h.is_right = empty({rows, classes}, Dtype::Bool);
  fill_values(h.is_right, 0);
  for (int64_t r = 0; r < rows; r++) {
    const Right right = h.of_row(r);
    for (int64_t k = 0; k < right.count; k++) {
      NNLIB_CHECK(right.classes[k] >= 0 && right.classes[k] < classes, name,
                  ": expected classes between 0 and ", classes - 1, ", but got ", right.classes[k]);
      h.is_right.data<bool>()[r * classes + right.classes[k]] = true;
    }
  }
  return h;
}
void check_rows(const Tensor& x, const Tensor& target, bool matrix, const char* name) {
  NNLIB_CHECK(x.dim() == 2 && target.dim() == (matrix ? 2 : 1) && target.size(0) == x.size(0) &&
                  (!matrix || target.size(1) == x.size(1)) && is_integral(target.dtype(), false),
              name, ": expected integers for each row of a matrix, got input of ", x.sizes(),
              " and target of ", target.sizes(), " (", dtype_name(target.dtype()), ")");
}

}  // namespace

Tensor multilabel_margin_loss(const Tensor& input, const Tensor& target) {
  check_rows(input, target, true, "multilabel_margin_loss");
  return hinges(input, marked({target, {}, {}, true, false, 1}, input, "multilabel_margin_loss"),
                "MultilabelMarginLossBackward0");
}

Tensor multi_margin_loss(const Tensor& input, const Tensor& target, int64_t p, double margin,
                         const Tensor& weight) {
  check_rows(input, target, false, "multi_margin_loss");
  NNLIB_CHECK_VALUE(p == 1 || p == 2, "only p == 1 and p == 2 supported, got ", p);
  Hinges h =
      marked({unsqueeze(detach(target), 1), {}, {}, false, p == 2, margin}, input, "multi_margin_loss");
  if (weight.defined()) {
    NNLIB_CHECK(weight.dim() == 1 && weight.size(0) == input.size(1),
                "multi_margin_loss: inconsistent weight size: expected [", input.size(1), "], got ",
                weight.sizes());
    h.weight = contiguous_values(cast_values(gather(detach(weight), 0, squeeze(h.right, 1)), input.dtype()));
  }
  return hinges(input, h, "MultiMarginLossBackward0");
}

}  // namespace nnlib::ops
