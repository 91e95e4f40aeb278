// One step of a recurrent network from the products with the weights, all of its gates in one pass: LSTM
// (Hochreiter and Schmidhuber, 1997), GRU (Cho et al., 2014), plain (Elman, 1990).
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "kernels/dispatch.h"
#include "ops/drivers/scratch.h"
#include "ops/rnn_sequence.h"

namespace nnlib::ops {

namespace {

constexpr int64_t kValues = 8192;  // a chunk of rows has

template <class F>
void for_each_state(int64_t n, int64_t width, F f) {
  parallel_for(0, n, std::max<int64_t>(1, kValues / std::max<int64_t>(1, width)),
               [&](int64_t first, int64_t end) {
                 for (int64_t r = first; r < end; r++) f(r);
               });
}

template <class C>
C sigmoid_of(C x) {
  return 1 / (1 + std::exp(-x));
}

// ---- a row: float32 by the kernels' table, other types one value at a time

void lstm_row(int64_t n, const float* a, const float* b, const float* c, float* acts, float* h_out,
              float* c_out) {
  const auto& k = kernels::table();
  float* x = acts ? acts : drivers::scratch<drivers::Scratch::Rows, float>(5 * n);
  float* t = x + 4 * n;
  k.add_f32(4 * n, a, b, x);
  k.sigmoid_f32(2 * n, x, x);
  k.tanh_f32(n, x + 2 * n, x + 2 * n);
  k.sigmoid_f32(n, x + 3 * n, x + 3 * n);
  k.mul_f32(n, x + n, c, t);
  k.addcmul_f32(n, t, x, x + 2 * n, 1, t);
  std::copy(t, t + n, c_out);
  k.tanh_f32(n, t, t);
  k.mul_f32(n, x + 3 * n, t, h_out);
}
template <class T>
void lstm_row(int64_t n, const T* a, const T* b, const T* c, compute_t<T>* acts, T* h_out, T* c_out) {
  using C = compute_t<T>;
  const auto sum = [=](int64_t j) { return (C)a[j] + (C)b[j]; };
  for (int64_t j = 0; j < n; j++) {
    const C i = sigmoid_of(sum(j)), f = sigmoid_of(sum(n + j)), g = std::tanh(sum(2 * n + j)),
            o = sigmoid_of(sum(3 * n + j)), next = f * (C)c[j] + i * g, t = std::tanh(next);
    if (acts) {
      const C kept[] = {i, f, g, o, t};
      for (int k = 0; k < 5; k++) acts[k * n + j] = kept[k];
    }
    c_out[j] = (T)next;
    h_out[j] = (T)(o * t);
  }
}

template <class T>
void lstm_row_backward(int64_t n, const compute_t<T>* acts, const T* c, const T* grad_h, T* grad_c, T* grad) {
  using C = compute_t<T>;
  for (int64_t j = 0; j < n; j++) {
    const C i = acts[j], f = acts[n + j], g = acts[2 * n + j], o = acts[3 * n + j], t = acts[4 * n + j];
    const C gh = (C)grad_h[j], gc = (C)grad_c[j] + gh * o * (1 - t * t);
    grad[j] = (T)(gc * g * i * (1 - i));
    grad[n + j] = (T)(gc * (C)c[j] * f * (1 - f));
    grad[2 * n + j] = (T)(gc * i * (1 - g * g));
    grad[3 * n + j] = (T)(gh * t * o * (1 - o));
    grad_c[j] = (T)(gc * f);
  }
}

void gru_row(int64_t n, const float* a, const float* b, const float* h, float* acts, float* out) {
  const auto& k = kernels::table();
  float* x = acts ? acts : drivers::scratch<drivers::Scratch::Rows, float>(3 * n);
  float* m = x + 2 * n;
  k.add_f32(2 * n, a, b, x);
  k.sigmoid_f32(2 * n, x, x);
  k.addcmul_f32(n, a + 2 * n, x, b + 2 * n, 1, m);
  k.tanh_f32(n, m, m);
  k.sub_f32(n, h, m, out);
  k.addcmul_f32(n, m, x + n, out, 1, out);
}
template <class T>
void gru_row(int64_t n, const T* a, const T* b, const T* h, compute_t<T>* acts, T* out) {
  using C = compute_t<T>;
  for (int64_t j = 0; j < n; j++) {
    const C r = sigmoid_of((C)a[j] + (C)b[j]), z = sigmoid_of((C)a[n + j] + (C)b[n + j]);
    const C m = std::tanh((C)a[2 * n + j] + r * (C)b[2 * n + j]);
    if (acts) {
      acts[j] = r;
      acts[n + j] = z;
      acts[2 * n + j] = m;
    }
    out[j] = (T)(m + z * ((C)h[j] - m));
  }
}

template <class T>
void gru_row_backward(int64_t n, const compute_t<T>* acts, const T* b, const T* h, T* grad_h, T* ga, T* gb) {
  using C = compute_t<T>;
  for (int64_t j = 0; j < n; j++) {
    const C r = acts[j], z = acts[n + j], m = acts[2 * n + j], g = (C)grad_h[j];
    const C gm = g * (1 - z) * (1 - m * m), gz = g * ((C)h[j] - m) * z * (1 - z);
    const C gr = gm * (C)b[2 * n + j] * r * (1 - r);
    ga[j] = gb[j] = (T)gr;
    ga[n + j] = gb[n + j] = (T)gz;
    ga[2 * n + j] = (T)gm;
    gb[2 * n + j] = (T)(gm * r);
    grad_h[j] = (T)(g * z);
  }
}

}  // namespace

template <class T>
void lstm_step(int64_t n, int64_t width, const T* a, const T* b, const T* c, compute_t<T>* acts, T* h_out,
               T* c_out) {
  for_each_state(n, 4 * width, [&](int64_t r) {
    lstm_row(width, a + r * 4 * width, b + r * 4 * width, c + r * width,
             acts ? acts + r * 5 * width : nullptr, h_out + r * width, c_out + r * width);
  });
}

template <class T>
void lstm_step_backward(int64_t n, int64_t width, const compute_t<T>* acts, const T* c, const T* grad_h,
                        T* grad_c, T* grad_gates) {
  for_each_state(n, 4 * width, [&](int64_t r) {
    lstm_row_backward(width, acts + r * 5 * width, c + r * width, grad_h + r * width, grad_c + r * width,
                      grad_gates + r * 4 * width);
  });
}

template <class T>
void gru_step(int64_t n, int64_t width, const T* a, const T* b, const T* h, compute_t<T>* acts, T* out) {
  for_each_state(n, 3 * width, [&](int64_t r) {
    gru_row(width, a + r * 3 * width, b + r * 3 * width, h + r * width, acts ? acts + r * 3 * width : nullptr,
            out + r * width);
  });
}

template <class T>
void gru_step_backward(int64_t n, int64_t width, const compute_t<T>* acts, const T* from_hidden, const T* h,
                       T* grad_h, T* grad_input, T* grad_hidden) {
  for_each_state(n, 3 * width, [&](int64_t r) {
    gru_row_backward(width, acts + r * 3 * width, from_hidden + r * 3 * width, h + r * width,
                     grad_h + r * width, grad_input + r * 3 * width, grad_hidden + r * 3 * width);
  });
}

template <class T>
void plain_step(RnnKind kind, int64_t n, const T* a, const T* b, T* h) {
  using C = compute_t<T>;
  parallel_for(0, n, kValues, [&](int64_t first, int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      const auto& k = kernels::table();
      k.add_f32(end - first, a + first, b + first, h + first);
      if (kind == RnnKind::Tanh)
        k.tanh_f32(end - first, h + first, h + first);
      else
        k.relu_act_f32(end - first, h + first, 0, 0, 0, h + first);
    } else {
      for (int64_t j = first; j < end; j++) {
        const C x = (C)a[j] + (C)b[j];
        h[j] = (T)(kind == RnnKind::Tanh ? std::tanh(x) : x < 0 ? C(0) : x);
      }
    }
  });
}

template <class T>
void plain_step_backward(RnnKind kind, int64_t n, const T* h, const T* grad_h, T* grad_gates) {
  using C = compute_t<T>;
  parallel_for(0, n, kValues, [&](int64_t first, int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      const auto& k = kernels::table();
      (kind == RnnKind::Tanh ? k.tanh_grad_f32 : k.relu_grad_f32)(end - first, grad_h + first, h + first, 0,
                                                                  0, 0, grad_gates + first);
    } else {
      for (int64_t j = first; j < end; j++) {
        const C y = (C)h[j], g = (C)grad_h[j];
        grad_gates[j] = (T)(kind == RnnKind::Tanh ? g * (1 - y) * (1 + y) : y > 0 ? g : C(0));
      }
    }
  });
}

#define NNLIB_INSTANTIATE(T)                                                                                 \
  template void lstm_step<T>(int64_t, int64_t, const T*, const T*, const T*, compute_t<T>*, T*, T*);         \
  template void lstm_step_backward<T>(int64_t, int64_t, const compute_t<T>*, const T*, const T*, T*, T*);    \
  template void gru_step<T>(int64_t, int64_t, const T*, const T*, const T*, compute_t<T>*, T*);              \
  template void gru_step_backward<T>(int64_t, int64_t, const compute_t<T>*, const T*, const T*, T*, T*, T*); \
  template void plain_step<T>(RnnKind, int64_t, const T*, const T*, T*);                                     \
  template void plain_step_backward<T>(RnnKind, int64_t, const T*, const T*, T*);
NNLIB_INSTANTIATE(float)
NNLIB_INSTANTIATE(double)
NNLIB_INSTANTIATE(Half)
NNLIB_INSTANTIATE(BFloat16)
#undef NNLIB_INSTANTIATE

}  // namespace nnlib::ops
