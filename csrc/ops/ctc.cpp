// Connectionist temporal classification (Graves, Fernandez, Gomez and Schmidhuber, 2006). alpha and beta, the
// log-probabilities of the beginnings and ends of a path through the target with blanks between its labels,
// are made a moment at a time, all places at once. Both hold the probability of their own moment's label.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/loss.h"

namespace nnlib::ops {

namespace {

template <class C>
constexpr C kNever = -std::numeric_limits<C>::infinity();

inline void exp_of(int64_t n, float* x) { kernels::table().exp_f32(n, x, x); }
inline void exp_of(int64_t n, double* x) { kernels::table().exp_f64(n, x, x); }
inline void log_of(int64_t n, float* x) { kernels::table().log_f32(n, x, x); }
inline void log_of(int64_t n, double* x) { kernels::table().log_f64(n, x, x); }

// One sequence of the batch. Its log-probability of class k at moment t is x[t * step + k].
template <class C>
struct Sequence {
  const C* x;
  int64_t step, classes, moments, places;  // places: of labels and blanks
  std::vector<int64_t> label;              // of each place
  std::vector<uint8_t> skips;              // whether a path may come from two places before
  std::vector<C> parts, top;

  Sequence(const C* x, int64_t step, int64_t classes, int64_t moments, const int64_t* target, int64_t length,
           int64_t blank)
      : x(x),
        step(step),
        classes(classes),
        moments(moments),
        places(2 * length + 1),
        label((size_t)places, blank),
        skips((size_t)places, 0),
        parts((size_t)(3 * places)),
        top((size_t)places) {
    for (int64_t i = 0; i < length; i++) label[(size_t)(2 * i + 1)] = target[i];
    for (int64_t i = 2; i < places; i++)
      skips[(size_t)i] = label[(size_t)i] != blank && label[(size_t)i] != label[(size_t)(i - 2)];
  }
  C emits(int64_t t, int64_t i) const { return x[t * step + label[(size_t)i]]; }

  // to[i] = log(e^a(i) + e^b(i) + e^c(i)) + the label's log-probability at moment t; a, b and c give the
  // three places that a path may be at beside this moment.
  template <class A, class B, class D>
  void meet(int64_t t, C* to, A a, B b, D c) {
    const int64_t n = places;
    C *ea = parts.data(), *eb = ea + n, *ec = eb + n;
    for (int64_t i = 0; i < n; i++) {
      const C p = a(i), q = b(i), r = c(i), most = std::max(p, std::max(q, r));
      top[(size_t)i] = most == kNever<C> ? C(0) : most;
      ea[i] = p - top[(size_t)i];
      eb[i] = q - top[(size_t)i];
      ec[i] = r - top[(size_t)i];
    }
    exp_of(3 * n, ea);
    for (int64_t i = 0; i < n; i++) ea[i] += eb[i] + ec[i];
    log_of(n, ea);
    for (int64_t i = 0; i < n; i++) to[i] = ea[i] + top[(size_t)i] + emits(t, i);
  }

  void alphas(C* alpha) {
    const int64_t n = places;
    for (int64_t i = 0; moments > 0 && i < n; i++) alpha[i] = i < 2 ? emits(0, i) : kNever<C>;
    for (int64_t t = 1; t < moments; t++) {
      const C* before = alpha + (t - 1) * n;
      meet(
          t, alpha + t * n, [=](int64_t i) { return before[i]; },
          [=](int64_t i) { return i > 0 ? before[i - 1] : kNever<C>; },
          [=](int64_t i) { return skips[(size_t)i] ? before[i - 2] : kNever<C>; });
    }
  }
  // beta of moment t into `to`, from that of the moment after.
  void beta(int64_t t, const C* after, C* to) {
    const int64_t n = places;
    if (t == moments - 1) {
      for (int64_t i = 0; i < n; i++) to[i] = i >= n - 2 ? emits(t, i) : kNever<C>;
      return;
    }
    meet(
        t, to, [=](int64_t i) { return after[i]; },
        [=](int64_t i) { return i + 1 < n ? after[i + 1] : kNever<C>; },
        [=](int64_t i) { return i + 2 < n && skips[(size_t)(i + 2)] ? after[i + 2] : kNever<C>; });
  }
  C loss(const C* alpha) const {
    if (moments == 0) return places == 1 ? C(0) : -kNever<C>;
    const C* last = alpha + (moments - 1) * places;
    const C a = last[places - 1], b = places > 1 ? last[places - 2] : kNever<C>, most = std::max(a, b);
    return most == kNever<C> ? -most : -(most + std::log(std::exp(a - most) + std::exp(b - most)));
  }

  // grad[t * step + k] = scale (p - the share of the paths that are at class k), which is the gradient as it
  // passes through a log-softmax.
  void gradient(const C* alpha, C loss, C scale, C* grad) {
    const int64_t n = places;
    std::vector<C> after((size_t)n), now((size_t)n), through((size_t)n), share((size_t)classes, C(0));
    for (int64_t t = moments - 1; t >= 0; t--) {
      beta(t, after.data(), now.data());
      C most = kNever<C>;
      for (int64_t i = 0; i < n; i++) {
        through[(size_t)i] = alpha[t * n + i] + now[(size_t)i];
        most = std::max(most, through[(size_t)i]);
      }
      const C shift = most == kNever<C> ? C(0) : most;
      for (int64_t i = 0; i < n; i++) through[(size_t)i] -= shift;
      exp_of(n, through.data());
      for (int64_t i = 0; i < n; i++) share[(size_t)label[(size_t)i]] += through[(size_t)i];
      const C* p = x + t * step;
      C* g = grad + t * step;
      std::copy(p, p + classes, g);
      exp_of(classes, g);
      for (int64_t i = 0; i < n; i++) {
        const int64_t k = label[(size_t)i];
        C& s = share[(size_t)k];
        if (s == 0) continue;  // done, or no path passes
        g[k] -= s * std::exp(shift + loss - p[k]);
        s = 0;
      }
      for (int64_t k = 0; k < classes; k++) g[k] *= scale;
      after.swap(now);
    }
  }
};

// Lengths and classes of one call, checked.
struct Call {
  Tensor targets, moments, lengths;  // int64, contiguous
  int64_t blank;
  bool zero_infinity;

  const int64_t* target(int64_t n) const { return targets.data<int64_t>() + n * targets.size(1); }
  int64_t moments_of(int64_t n) const { return moments.data<int64_t>()[n]; }
  int64_t length_of(int64_t n) const { return lengths.data<int64_t>()[n]; }
  template <class C>
  Sequence<C> sequence(const Tensor& x, int64_t n) const {
    const int64_t classes = x.size(2);
    return {x.data<C>() + n * classes,
            x.size(1) * classes,
            classes,
            moments_of(n),
            target(n),
            length_of(n),
            blank};
  }
};

Tensor as_int64(const Tensor& t, const Dims& sizes, const char* name) {
  NNLIB_CHECK(t.sizes() == sizes && is_integral(t.dtype(), false), "ctc_loss: expected ", name,
              " to be integers of shape ", sizes, ", but got ", dtype_name(t.dtype()), " of shape ",
              t.sizes());
  return contiguous_values(cast_values(detach(t), Dtype::Int64));
}
void check_range(const int64_t* values, int64_t n, int64_t most, const char* name) {
  for (int64_t i = 0; i < n; i++)
    NNLIB_CHECK(values[i] >= 0 && values[i] <= most, "Expected ", name, " to have values between 0 and ",
                most, ", but got ", values[i]);
}
Call checked_call(const Tensor& x, const Tensor& targets, const Tensor& moments, const Tensor& lengths,
                  int64_t blank, bool zero_infinity) {
  NNLIB_CHECK(x.dim() == 3 && targets.dim() == 2,
              "ctc_loss: expected log_probs of shape (T, N, C) and targets of shape (N, S), but got ",
              x.sizes(), " and ", targets.sizes());
  const int64_t batch = x.size(1), classes = x.size(2);
  Call c{as_int64(targets, {batch, targets.size(1)}, "targets"), as_int64(moments, {batch}, "input_lengths"),
         as_int64(lengths, {batch}, "target_lengths"), blank, zero_infinity};
  NNLIB_CHECK(blank >= 0 && blank < classes, "blank must be in label range: got ", blank, " for ", classes,
              " classes");
  check_range(c.moments.data<int64_t>(), batch, x.size(0), "input_lengths");
  check_range(c.lengths.data<int64_t>(), batch, targets.size(1), "target_lengths");
  for (int64_t n = 0; n < batch; n++) check_range(c.target(n), c.length_of(n), classes - 1, "targets");
  return c;
}

template <class F>
void dispatch_ctc(Dtype d, F f) {
  if (d == Dtype::Float32) return f(TypeTag<float>{});
  if (d == Dtype::Float64) return f(TypeTag<double>{});
  throw_message<NotImplementedError>("\"ctc_loss\" not implemented for '", dtype_legacy_name(d), "'");
}

// Sequences are shared among threads; alpha of sequence n begins at first[n].
std::vector<int64_t> first_alphas(const Call& c, int64_t batch) {
  std::vector<int64_t> first{0};
  for (int64_t n = 0; n < batch; n++)
    first.push_back(first.back() + c.moments_of(n) * (2 * c.length_of(n) + 1));
  return first;
}

}  // namespace

Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, int64_t blank, bool zero_infinity) {
  const Call c = checked_call(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity);
  const Tensor x = contiguous_values(log_probs);
  const int64_t batch = x.size(1);
  const std::vector<int64_t> first = first_alphas(c, batch);
  Tensor loss = empty({batch}, x.dtype()), alphas = empty({first.back()}, x.dtype());
  dispatch_ctc(x.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    parallel_for(0, batch, 1, [&](int64_t b, int64_t e) {
      for (int64_t n = b; n < e; n++) {
        Sequence<C> s = c.sequence<C>(x, n);
        C* alpha = alphas.data<C>() + first[(size_t)n];
        s.alphas(alpha);
        loss.data<C>()[n] = s.loss(alpha);
      }
    });
  });
  Tensor out = empty({batch}, x.dtype());
  copy_values(out, loss);
  dispatch_ctc(x.dtype(), [&](auto tag) {
    using C = typename decltype(tag)::type;
    for (int64_t n = 0; zero_infinity && n < batch; n++)
      if (std::isinf(out.data<C>()[n])) out.data<C>()[n] = 0;
  });
  if (wants_grad(log_probs)) {
    record(out, "CtcLossBackward0", {log_probs},
           [saved = save(log_probs), c, alphas, loss, first](Backward& ctx, const TensorList& g) {
             const Tensor input = saved.get(ctx), x = contiguous_values(input);
             Tensor grad = empty(x.sizes(), x.dtype());
             fill_values(grad, 0);
             dispatch_ctc(x.dtype(), [&](auto tag) {
               using C = typename decltype(tag)::type;
               const Tensor up = contiguous_values(cast_values(detach(g[0]), x.dtype()));
               parallel_for(0, x.size(1), 1, [&](int64_t b, int64_t e) {
                 for (int64_t n = b; n < e; n++) {
                   const C value = loss.data<C>()[n];
                   if (std::isinf(value) && c.zero_infinity) continue;
                   Sequence<C> s = c.sequence<C>(x, n);
                   C* to = grad.data<C>() + n * s.classes;
                   if (std::isinf(value))  // no path leads there
                     for (int64_t t = 0; t < s.moments; t++)
                       std::fill(to + t * s.step, to + t * s.step + s.classes, C(NAN));
                   else
                     s.gradient(alphas.data<C>() + first[(size_t)n], value, up.data<C>()[n], to);
                 }
               });
             });
             if (wants_grad(g[0], input))
               record(grad, "NotImplemented", {g[0], input}, [](Backward&, const TensorList&) -> TensorList {
                 throw NotImplementedError("derivative for ctc_loss_backward is not implemented");
               });
             return TensorList{grad};
           });
  }
  return out;
}

}  // namespace nnlib::ops
