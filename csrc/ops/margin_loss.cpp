// Hinges of classes against each other: max(0, margin - x[y] + x[i]) for each class y that is right and each
// i that is not.
#include <limits>
#include <vector>

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
// The hinges of all rows. `right` lists each row's right classes.
struct Hinges {
  Tensor right;   // int64 (N, S), contiguous
  Tensor weight;  // (N), what row r's loss is multiplied by; may be undefined
  bool stops;     // right classes end where a number is negative
  bool squared;
  double margin;

  // The right classes of row r, by calls of what this gives.
  auto of_rows() const {
    return [first = right.data<int64_t>(), n = right.size(1), stops = stops](int64_t r) {
      const int64_t* p = first + r * n;
      int64_t count = 0;
      while (count < n && !(stops && p[count] < 0)) count++;
      return Right{p, count};
    };
  }
};

template <class F>
void dispatch_hinges(Dtype d, F f) {
  if (d == Dtype::Float32) return f(TypeTag<float>{});
  if (d == Dtype::Float64) return f(TypeTag<double>{});
  throw_message<NotImplementedError>("\"margin_loss\" not implemented for '", dtype_legacy_name(d), "'");
}

// Adds up f(i, shift + x[i]) in chains that make vectors, if there are enough values for them.
template <class C, class F>
C add_up(int64_t n, const C* x, C shift, F f) {
  constexpr int64_t kChains = 8;
  if (n < kChains) {
    C sum = 0;
    for (int64_t i = 0; i < n; i++) sum += f(i, shift + x[i]);
    return sum;
  }
  C part[kChains] = {};
  int64_t i = 0;
  for (; i + kChains <= n; i += kChains)
    for (int64_t k = 0; k < kChains; k++) part[k] += f(i + k, shift + x[i + k]);
  for (; i < n; i++) part[0] += f(i, shift + x[i]);
  for (int64_t k = 1; k < kChains; k++) part[0] += part[k];
  return part[0];
}

// Calls f(row, right classes, x, wrong, scale) for each row; `wrong` is x with the right classes at
// -infinity, where no hinge is.
template <class C, class F>
void each_row(const Hinges& h, const Tensor& x, F f) {
  const int64_t classes = x.size(1);
  const C* const weight = h.weight.defined() ? h.weight.data<C>() : nullptr;
  const C* const values = x.data<C>();
  const auto right_of = h.of_rows();
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, classes));
  parallel_for(0, x.size(0), grain, [&](int64_t b, int64_t e) {
    std::vector<C> wrong((size_t)classes);
    for (int64_t r = b; r < e; r++) {
      const C* row = values + r * classes;
      const Right right = right_of(r);
      std::copy(row, row + classes, wrong.begin());
      for (int64_t k = 0; k < right.count; k++)
        wrong[(size_t)right.classes[k]] = -std::numeric_limits<C>::infinity();
      f(r, right, row, (const C*)wrong.data(), (weight ? weight[r] : C(1)) / (C)classes);
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
    Tensor is_right = empty(x.sizes(), Dtype::Int64);
    fill_values(is_right, 0);
    is_right = cast(scatter_add(is_right, 1, right, listed), Dtype::Bool);
    const Tensor counts =
        logical_and(unsqueeze(cast(listed, Dtype::Bool), 2), logical_not(unsqueeze(is_right, 1)));
    Tensor loss = sum(where(counts, z, wrapped_number(0.0)), Dims{1, 2}, false) / Scalar(x.size(1));
    if (h.weight.defined()) loss = loss * h.weight;
    return TensorList{loss};
  };
}

Tensor hinges(const Tensor& input, const Hinges& h, const char* node) {
  const Tensor x = contiguous_values(input);
  const int64_t classes = x.size(1);
  Tensor out = empty({x.size(0)}, x.dtype());
  dispatch_hinges(x.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    C* const losses = out.data<C>();
    each_row<C>(h, x, [&](int64_t r, Right right, const C* row, const C* wrong, C scale) {
      C total = 0;
      for (int64_t k = 0; k < right.count; k++) {
        const C shift = (C)h.margin - row[right.classes[k]];
        // A NaN stays.
        const auto hinge = [](C z) { return z < 0 ? C(0) : z; };
        total += h.squared ? add_up(classes, wrong, shift, [=](int64_t, C z) { return hinge(z) * hinge(z); })
                           : add_up(classes, wrong, shift, [=](int64_t, C z) { return hinge(z); });
      }
      losses[r] = total * scale;
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
      const int64_t classes = x.size(1);
      const C* const factors = up.data<C>();
      C* const grads = grad.data<C>();
      each_row<C>(h, x, [&](int64_t r, Right right, const C* row, const C* wrong, C scale) {
        C* const to = grads + r * classes;
        const C by = scale * factors[r];
        for (int64_t k = 0; k < right.count; k++) {
          const int64_t y = right.classes[k];
          const C shift = (C)h.margin - row[y];
          const auto take = [=](int64_t i, C slope) {
            to[i] += slope;
            return slope;
          };
          to[y] -= h.squared ? add_up(classes, wrong, shift,
                                      [=](int64_t i, C z) { return take(i, z > 0 ? 2 * z * by : C(0)); })
                             : add_up(classes, wrong, shift,
                                      [=](int64_t i, C z) { return take(i, z > 0 ? by : C(0)); });
        }
      });
    });
    return TensorList{grad};
  });
  return out;
}

Hinges checked(Hinges h, const Tensor& x, const char* name) {
  const int64_t classes = x.size(1);
  h.right = contiguous_values(cast_values(detach(h.right), Dtype::Int64));
  const auto right_of = h.of_rows();
  for (int64_t r = 0, rows = x.size(0); r < rows; r++) {
    const Right right = right_of(r);
    for (int64_t k = 0; k < right.count; k++)
      NNLIB_CHECK(right.classes[k] >= 0 && right.classes[k] < classes, name,
                  ": expected classes between 0 and ", classes - 1, ", but got ", right.classes[k]);
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
  return hinges(input, checked({target, {}, true, false, 1}, input, "multilabel_margin_loss"),
                "MultilabelMarginLossBackward0");
}

Tensor multi_margin_loss(const Tensor& input, const Tensor& target, int64_t p, double margin,
                         const Tensor& weight) {
  check_rows(input, target, false, "multi_margin_loss");
  NNLIB_CHECK_VALUE(p == 1 || p == 2, "only p == 1 and p == 2 supported, got ", p);
  Hinges h = checked({unsqueeze(detach(target), 1), {}, false, p == 2, margin}, input, "multi_margin_loss");
  if (weight.defined()) {
    NNLIB_CHECK(weight.dim() == 1 && weight.size(0) == input.size(1),
                "multi_margin_loss: inconsistent weight size: expected [", input.size(1), "], got ",
                weight.sizes());
    h.weight = contiguous_values(cast_values(gather(detach(weight), 0, squeeze(h.right, 1)), input.dtype()));
  }
  return hinges(input, h, "MultiMarginLossBackward0");
}

}  // namespace nnlib::ops
