// The gates of LSTM (Hochreiter and Schmidhuber, 1997) and GRU (Cho et al., 2014), all of a step in one pass.
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/activation.h"
#include "ops/composite.h"
#include "ops/elementwise.h"
#include "ops/rnn.h"
#include "ops/rnn_sequence.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

inline void sigmoid_row(int64_t n, float* x) { kernels::table().sigmoid_f32(n, x, x); }
inline void sigmoid_row(int64_t n, double* x) {
  for (int64_t i = 0; i < n; i++) x[i] = 1 / (1 + std::exp(-x[i]));
}
inline void tanh_row(int64_t n, float* x) { kernels::table().tanh_f32(n, x, x); }
inline void tanh_row(int64_t n, double* x) {
  for (int64_t i = 0; i < n; i++) x[i] = std::tanh(x[i]);
}

constexpr int64_t kValues = 8192;  // a chunk of rows has
int64_t rows_of(int64_t width) { return std::max<int64_t>(1, kValues / std::max<int64_t>(1, width)); }

template <class T>
T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}
Tensor contiguous_or_undefined(const Tensor& t) { return t.defined() ? contiguous_values(t) : t; }

}  // namespace

Tensor gate_memory(Dtype d, const Dims& sizes) {
  return empty(sizes, d == Dtype::Float64 ? d : Dtype::Float32);
}

void check_gates(const Tensor& a, const Tensor& b, const Tensor& state, int64_t count, const char* name) {
  NNLIB_CHECK(a.dim() == 2 && a.sizes() == b.sizes() && state.dim() == 2 && a.size(0) == state.size(0) &&
                  a.size(1) == count * state.size(1),
              name, ": expected gates of sizes (N, ", count, " * H) and a hidden state of (N, H), got ",
              a.sizes(), ", ", b.sizes(), " and ", state.sizes());
  NNLIB_CHECK(a.dtype() == b.dtype() && a.dtype() == state.dtype(), name,
              ": expected input, weights and hidden state of one type, got ", dtype_name(a.dtype()), ", ",
              dtype_name(b.dtype()), " and ", dtype_name(state.dtype()));
}

// ---- LSTM

namespace {

// acts (N, 5H) keeps i, f, g, o and tanh(c').
template <class T>
void lstm_forward(int64_t n, int64_t h, const T* a, const T* b, const T* c, compute_t<T>* acts, T* h_out,
                  T* c_out) {
  using C = compute_t<T>;
  parallel_for(0, n, rows_of(4 * h), [&](int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++) {
      C *x = acts + r * 5 * h, *tanh_c = x + 4 * h;
      for (int64_t j = 0; j < 4 * h; j++) x[j] = (C)a[r * 4 * h + j] + (C)b[r * 4 * h + j];
      sigmoid_row(2 * h, x);
      tanh_row(h, x + 2 * h);
      sigmoid_row(h, x + 3 * h);
      for (int64_t j = 0; j < h; j++) {
        tanh_c[j] = x[h + j] * (C)c[r * h + j] + x[j] * x[2 * h + j];
        c_out[r * h + j] = (T)tanh_c[j];
      }
      tanh_row(h, tanh_c);
      for (int64_t j = 0; j < h; j++) h_out[r * h + j] = (T)(x[3 * h + j] * tanh_c[j]);
    }
  });
}

template <class T>
void lstm_backward(int64_t n, int64_t h, const compute_t<T>* acts, const T* c, const T* grad_h,
                   const T* grad_c, T* grad, T* grad_c_in) {
  using C = compute_t<T>;
  parallel_for(0, n, rows_of(4 * h), [&](int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++) {
      const C* x = acts + r * 5 * h;
      T* out = grad + r * 4 * h;
      for (int64_t j = 0; j < h; j++) {
        const C i = x[j], f = x[h + j], g = x[2 * h + j], o = x[3 * h + j], t = x[4 * h + j];
        const C gh = grad_h ? (C)grad_h[r * h + j] : C(0);
        const C gc = (grad_c ? (C)grad_c[r * h + j] : C(0)) + gh * o * (1 - t * t);
        out[j] = (T)(gc * g * i * (1 - i));
        out[h + j] = (T)(gc * (C)c[r * h + j] * f * (1 - f));
        out[2 * h + j] = (T)(gc * i * (1 - g * g));
        out[3 * h + j] = (T)(gh * t * o * (1 - o));
        grad_c_in[r * h + j] = (T)(gc * f);
      }
    }
  });
}

TensorList lstm_formula(const TensorList& in) {
  const TensorList x = chunk(in[0] + in[1], 4, 1);
  const Tensor c = sigmoid(x[1]) * in[2] + sigmoid(x[0]) * tanh(x[2]);
  return {sigmoid(x[3]) * tanh(c), c};
}

}  // namespace

void lstm_step(const Tensor& from_input, const Tensor& from_hidden, const Tensor& c, const Tensor& acts,
               const Tensor& h_out, const Tensor& c_out) {
  dispatch_floating(c.dtype(), "lstm", [&](auto tag) {
    using T = typename decltype(tag)::type;
    lstm_forward<T>(c.size(0), c.size(1), from_input.data<T>(), from_hidden.data<T>(), c.data<T>(),
                    acts.data<compute_t<T>>(), h_out.data<T>(), c_out.data<T>());
  });
}

void lstm_step_backward(const Tensor& acts, const Tensor& c, const Tensor& grad_h, const Tensor& grad_c,
                        const Tensor& grad_gates, const Tensor& grad_c_in) {
  dispatch_floating(c.dtype(), "lstm", [&](auto tag) {
    using T = typename decltype(tag)::type;
    lstm_backward<T>(c.size(0), c.size(1), acts.data<compute_t<T>>(), c.data<T>(), data_or_null<T>(grad_h),
                     data_or_null<T>(grad_c), grad_gates.data<T>(), grad_c_in.data<T>());
  });
}

std::pair<Tensor, Tensor> lstm_gates(const Tensor& from_input, const Tensor& from_hidden, const Tensor& c) {
  check_gates(from_input, from_hidden, c, 4, "lstm");
  const int64_t n = c.size(0), h = c.size(1);
  const Dtype d = from_input.dtype();
  const Tensor acts = gate_memory(d, {n, 5 * h}), h_out = empty({n, h}, d), c_out = empty({n, h}, d);
  lstm_step(contiguous_values(from_input), contiguous_values(from_hidden), contiguous_values(c), acts, h_out,
            c_out);
  if (wants_grad(from_input, from_hidden, c)) {
    record_many({h_out, c_out}, "ThnnFusedLstmCellBackward0", {from_input, from_hidden, c},
                [a = save(from_input), b = save(from_hidden), c = save(c), acts, n, h](Backward& ctx,
                                                                                       const TensorList& g) {
                  const Tensor cv = contiguous_values(c.get(ctx));
                  if (GradMode::enabled())
                    return composite_gradients(ctx, {a.get(ctx), b.get(ctx), c.get(ctx)}, g, lstm_formula);
                  const Tensor grad = empty({n, 4 * h}, cv.dtype()), grad_c = empty({n, h}, cv.dtype());
                  lstm_step_backward(acts, cv, contiguous_or_undefined(g[0]), contiguous_or_undefined(g[1]),
                                     grad, grad_c);
                  return TensorList{grad, grad, grad_c};
                });
  }
  return {h_out, c_out};
}

// ---- GRU

namespace {

// acts (N, 3H) keeps r, z and n.
template <class T>
void gru_forward(int64_t rows, int64_t h, const T* a, const T* b, const T* hidden, compute_t<T>* acts,
                 T* out) {
  using C = compute_t<T>;
  parallel_for(0, rows, rows_of(3 * h), [&](int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++) {
      C* x = acts + r * 3 * h;
      const T *ar = a + r * 3 * h, *br = b + r * 3 * h;
      for (int64_t j = 0; j < 2 * h; j++) x[j] = (C)ar[j] + (C)br[j];
      sigmoid_row(2 * h, x);
      for (int64_t j = 2 * h; j < 3 * h; j++) x[j] = (C)ar[j] + x[j - 2 * h] * (C)br[j];
      tanh_row(h, x + 2 * h);
      for (int64_t j = 0; j < h; j++) {
        const C n = x[2 * h + j];
        out[r * h + j] = (T)(n + x[h + j] * ((C)hidden[r * h + j] - n));
      }
    }
  });
}

template <class T>
void gru_backward(int64_t rows, int64_t h, const compute_t<T>* acts, const T* b, const T* hidden,
                  const T* grad, T* ga, T* gb, T* gh) {
  using C = compute_t<T>;
  parallel_for(0, rows, rows_of(3 * h), [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i++) {
      const C* x = acts + i * 3 * h;
      for (int64_t j = 0; j < h; j++) {
        const C r = x[j], z = x[h + j], n = x[2 * h + j], g = (C)grad[i * h + j];
        const C gn = g * (1 - z) * (1 - n * n), gz = g * ((C)hidden[i * h + j] - n) * z * (1 - z);
        const C gr = gn * (C)b[i * 3 * h + 2 * h + j] * r * (1 - r);
        T *pa = ga + i * 3 * h + j, *pb = gb + i * 3 * h + j;
        pa[0] = pb[0] = (T)gr;
        pa[h] = pb[h] = (T)gz;
        pa[2 * h] = (T)gn;
        pb[2 * h] = (T)(gn * r);
        gh[i * h + j] = (T)(g * z);
      }
    }
  });
}

TensorList gru_formula(const TensorList& in) {
  const TensorList a = chunk(in[0], 3, 1), b = chunk(in[1], 3, 1);
  const Tensor r = sigmoid(a[0] + b[0]), z = sigmoid(a[1] + b[1]), n = tanh(a[2] + r * b[2]);
  return {n + z * (in[2] - n)};
}

}  // namespace

void gru_step(const Tensor& from_input, const Tensor& from_hidden, const Tensor& h, const Tensor& acts,
              const Tensor& out) {
  dispatch_floating(h.dtype(), "gru", [&](auto tag) {
    using T = typename decltype(tag)::type;
    gru_forward<T>(h.size(0), h.size(1), from_input.data<T>(), from_hidden.data<T>(), h.data<T>(),
                   acts.data<compute_t<T>>(), out.data<T>());
  });
}

void gru_step_backward(const Tensor& acts, const Tensor& from_hidden, const Tensor& h, const Tensor& grad,
                       const Tensor& grad_input, const Tensor& grad_hidden, const Tensor& grad_h) {
  dispatch_floating(h.dtype(), "gru", [&](auto tag) {
    using T = typename decltype(tag)::type;
    gru_backward<T>(h.size(0), h.size(1), acts.data<compute_t<T>>(), from_hidden.data<T>(), h.data<T>(),
                    grad.data<T>(), grad_input.data<T>(), grad_hidden.data<T>(), grad_h.data<T>());
  });
}

Tensor gru_gates(const Tensor& from_input, const Tensor& from_hidden, const Tensor& h) {
  check_gates(from_input, from_hidden, h, 3, "gru");
  const int64_t rows = h.size(0), width = h.size(1);
  const Dtype d = from_input.dtype();
  const Tensor acts = gate_memory(d, {rows, 3 * width}), out = empty({rows, width}, d);
  gru_step(contiguous_values(from_input), contiguous_values(from_hidden), contiguous_values(h), acts, out);
  if (wants_grad(from_input, from_hidden, h)) {
    record(out, "ThnnFusedGruCellBackward0", {from_input, from_hidden, h},
           [a = save(from_input), b = save(from_hidden), h = save(h), acts, rows, width](
               Backward& ctx, const TensorList& g) {
             if (GradMode::enabled())
               return composite_gradients(ctx, {a.get(ctx), b.get(ctx), h.get(ctx)}, g, gru_formula);
             const Dtype type = g[0].dtype();
             const Tensor ga = empty({rows, 3 * width}, type), gb = empty({rows, 3 * width}, type),
                          gh = empty({rows, width}, type);
             gru_step_backward(acts, contiguous_values(b.get(ctx)), contiguous_values(h.get(ctx)),
                               contiguous_values(g[0]), ga, gb, gh);
             return TensorList{ga, gb, gh};
           });
  }
  return out;
}

}  // namespace nnlib::ops
