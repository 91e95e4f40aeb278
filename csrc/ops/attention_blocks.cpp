#include "ops/attention_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/gemm.h"

namespace nnlib::ops {

namespace {

using drivers::Strided;

constexpr int64_t kQueries = 64, kKeys = 256;  // of a block: its scores stay in the second-level cache

// ---- rows of scores: float32 by the kernels' table

inline float softmax_row(int64_t n, float* s, float* state) {
  return kernels::table().attention_softmax_f32(n, s, state);
}
inline double softmax_row(int64_t n, double* s, double* state) {
  double largest = state[0], sum = 0;
  for (int64_t i = 0; i < n; i++) largest = s[i] > largest ? s[i] : largest;
  if (largest == -INFINITY) {
    std::fill(s, s + n, 0.0);
    return 1;
  }
  for (int64_t i = 0; i < n; i++) sum += s[i] = std::exp(s[i] - largest);
  const double factor = std::exp(state[0] - largest);
  state[1] = state[1] * factor + sum;
  state[0] = largest;
  return factor;
}
inline void probability_row(int64_t n, float* s, float log_sum) {
  kernels::table().attention_probability_f32(n, s, log_sum);
}
inline void probability_row(int64_t n, double* s, double log_sum) {
  for (int64_t i = 0; i < n; i++) s[i] = std::exp(s[i] - log_sum);
}
inline void grad_row(int64_t n, const float* p, float dot, float scale, float* g) {
  kernels::table().attention_grad_f32(n, p, dot, scale, g);
}
inline void grad_row(int64_t n, const double* p, double dot, double scale, double* g) {
  for (int64_t i = 0; i < n; i++) g[i] = scale * p[i] * (g[i] - dot);
}

// One head of a (B, H, rows, width) tensor.
template <class T>
struct Head {
  const T* data;
  int64_t rs, cs;
  Head(const Tensor& t, int64_t b, int64_t h)
      : data(t.data<T>() + b * t.stride(0) + h * t.stride(1)), rs(t.stride(2)), cs(t.stride(3)) {}
  Strided<T> rows(int64_t first) const { return {data + first * rs, rs, cs}; }
  Strided<T> columns(int64_t first) const { return {data + first * rs, cs, rs}; }  // transposed
  const T& at(int64_t i, int64_t j) const { return data[i * rs + j * cs]; }
};

template <class T>
struct Problem {
  const Tensor &q, &k, &v;
  const AttentionArgs& args;
  int64_t B, H, L, S, E, Ev;
  Problem(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args)
      : q(q),
        k(k),
        v(v),
        args(args),
        B(q.size(0)),
        H(q.size(1)),
        L(q.size(2)),
        S(k.size(2)),
        E(q.size(3)),
        Ev(v.size(3)) {}

  // Keys that some query of [i, i + rows) may look at.
  int64_t visible(int64_t i, int64_t rows) const { return args.causal ? std::min(S, i + rows) : S; }

  // s (rows x cols, cols apart) = scale q k^T + mask for queries from i and keys from j.
  void scores(int64_t b, int64_t h, int64_t i, int64_t rows, int64_t j, int64_t cols, T* s) const {
    drivers::gemm<T>(rows, cols, E, (T)args.scale, Head<T>(q, b, h).rows(i), Head<T>(k, b, h).columns(j),
                     T(0), s, cols);
    if (args.mask.defined()) {
      const Head<T> mask(args.mask, b, h);
      for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) s[r * cols + c] += mask.at(i + r, j + c);
    }
    if (args.causal) {
      for (int64_t r = 0; r < rows; r++)
        for (int64_t c = std::max<int64_t>(0, i + r + 1 - j); c < cols; c++) s[r * cols + c] = -INFINITY;
    }
  }
};

template <class T>
void forward_block(const Problem<T>& p, int64_t b, int64_t h, int64_t i, int64_t rows, T* out, int64_t ldo,
                   T* log_sum) {
  T* s = drivers::scratch<drivers::Scratch::Rows, T>(kQueries * kKeys);
  T state[kQueries][2];
  for (int64_t r = 0; r < rows; r++) {
    state[r][0] = -std::numeric_limits<T>::infinity();
    state[r][1] = 0;
    std::fill(out + r * ldo, out + r * ldo + p.Ev, T(0));
  }
  for (int64_t j = 0; j < p.visible(i, rows); j += kKeys) {
    const int64_t cols = std::min(kKeys, p.visible(i, rows) - j);
    p.scores(b, h, i, rows, j, cols, s);
    for (int64_t r = 0; r < rows; r++) {
      const T factor = softmax_row(cols, s + r * cols, state[r]);
      if (factor != 1)
        for (int64_t e = 0; e < p.Ev; e++) out[r * ldo + e] *= factor;
    }
    drivers::gemm<T>(rows, p.Ev, cols, T(1), {s, cols, 1}, Head<T>(p.v, b, h).rows(j), T(1), out, ldo);
  }
  for (int64_t r = 0; r < rows; r++) {
    // A query that may look at nothing gets zeros, and its probabilities are zeros in backward too.
    const bool any = state[r][1] != 0;
    const T inverse = any ? 1 / state[r][1] : T(0);
    for (int64_t e = 0; e < p.Ev; e++) out[r * ldo + e] *= inverse;
    log_sum[r] = any ? state[r][0] + std::log(state[r][1]) : std::numeric_limits<T>::infinity();
  }
}

template <class T>
void forward_all(const Problem<T>& p, const Tensor& out, const Tensor& log_sum) {
  const int64_t blocks = (p.L + kQueries - 1) / kQueries;
  parallel_for(0, p.B * p.H * blocks, 1, [&](int64_t first, int64_t end) {
    for (int64_t t = first; t < end; t++) {
      const int64_t head = t / blocks, b = head / p.H, h = head % p.H, i = t % blocks * kQueries;
      T* o = out.data<T>() + b * out.stride(0) + h * out.stride(1) + i * out.stride(2);
      forward_block(p, b, h, i, std::min(kQueries, p.L - i), o, out.stride(2),
                    log_sum.data<T>() + head * p.L + i);
    }
  });
}

// A block of queries against a block of keys of one head; the gradients are added to.
template <class T>
struct BackwardHead {
  const Problem<T>& p;
  int64_t b, h;
  Head<T> q, k, v, grad;
  const T *log_sum, *dot;
  T *gq, *gk, *gv;  // of this head, contiguous

  void block(int64_t i, int64_t rows, int64_t j, int64_t cols, T* s, T* g) const {
    p.scores(b, h, i, rows, j, cols, s);
    for (int64_t r = 0; r < rows; r++) probability_row(cols, s + r * cols, log_sum[i + r]);
    drivers::gemm<T>(cols, p.Ev, rows, T(1), {s, 1, cols}, grad.rows(i), T(1), gv + j * p.Ev, p.Ev);
    drivers::gemm<T>(rows, cols, p.Ev, T(1), grad.rows(i), v.columns(j), T(0), g, cols);
    for (int64_t r = 0; r < rows; r++)
      grad_row(cols, s + r * cols, dot[i + r], (T)p.args.scale, g + r * cols);
    drivers::gemm<T>(rows, p.E, cols, T(1), {g, cols, 1}, k.rows(j), T(1), gq + i * p.E, p.E);
    drivers::gemm<T>(cols, p.E, rows, T(1), {g, 1, cols}, q.rows(i), T(1), gk + j * p.E, p.E);
  }

  void run() const {
    T* s = drivers::scratch<drivers::Scratch::Rows, T>(2 * kQueries * kKeys);
    for (int64_t i = 0; i < p.L; i += kQueries) {
      const int64_t rows = std::min(kQueries, p.L - i), limit = p.visible(i, rows);
      for (int64_t j = 0; j < limit; j += kKeys)
        block(i, rows, j, std::min(kKeys, limit - j), s, s + kQueries * kKeys);
    }
  }
};

// Sums over the last dimension of grad * out, one for each query.
template <class T>
Tensor row_dots(const Problem<T>& p, const Tensor& grad, const Tensor& out) {
  Tensor dots = empty({p.B, p.H, p.L}, DtypeOf<T>::value);
  T* d = dots.data<T>();
  parallel_for(0, p.B * p.H, 1, [&](int64_t first, int64_t end) {
    for (int64_t t = first; t < end; t++) {
      const Head<T> g(grad, t / p.H, t % p.H), o(out, t / p.H, t % p.H);
      for (int64_t i = 0; i < p.L; i++) {
        T sum = 0;
        for (int64_t e = 0; e < p.Ev; e++) sum += g.at(i, e) * o.at(i, e);
        d[t * p.L + i] = sum;
      }
    }
  });
  return dots;
}

}  // namespace

Tensor attention_forward(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                         Tensor* log_sum) {
  const int64_t B = q.size(0), H = q.size(1), L = q.size(2), Ev = v.size(3);
  Tensor out = empty_strided({B, H, L, Ev}, {L * H * Ev, Ev, H * Ev, 1}, q.dtype());
  *log_sum = empty({B, H, L}, q.dtype());
  if (q.dtype() == Dtype::Float32)
    forward_all(Problem<float>(q, k, v, args), out, *log_sum);
  else
    forward_all(Problem<double>(q, k, v, args), out, *log_sum);
  return out;
}

namespace {

template <class T>
TensorList backward_all(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& out, const Tensor& log_sum, const AttentionArgs& args) {
  const Problem<T> p(q, k, v, args);
  const Tensor dots = row_dots(p, grad, out);
  TensorList grads;
  for (const Tensor* t : {&q, &k, &v}) {
    grads.push_back(empty(t->sizes(), t->dtype()));
    fill_values(grads.back(), 0);
  }
  parallel_for(0, p.B * p.H, 1, [&](int64_t first, int64_t end) {
    for (int64_t t = first; t < end; t++) {
      const int64_t b = t / p.H, h = t % p.H;
      BackwardHead<T>{p,
                      b,
                      h,
                      {q, b, h},
                      {k, b, h},
                      {v, b, h},
                      {grad, b, h},
                      log_sum.data<T>() + t * p.L,
                      dots.data<T>() + t * p.L,
                      grads[0].data<T>() + t * p.L * p.E,
                      grads[1].data<T>() + t * p.S * p.E,
                      grads[2].data<T>() + t * p.S * p.Ev}
          .run();
    }
  });
  return grads;
}

}  // namespace

TensorList attention_backward(const Tensor& grad, const Tensor& q, const Tensor& k, const Tensor& v,
                              const Tensor& out, const Tensor& log_sum, const AttentionArgs& args) {
  return q.dtype() == Dtype::Float32 ? backward_all<float>(grad, q, k, v, out, log_sum, args)
                                     : backward_all<double>(grad, q, k, v, out, log_sum, args);
}

}  // namespace nnlib::ops
