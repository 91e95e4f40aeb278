// What masks and dropout do to a panel of scores: a row for each of n keys, `ld` apart, and nr columns, of
// which the first w are queries.
#pragma once
#include <cstring>
#include <limits>
#include <numeric>

#include "ops/attention_panels.h"

namespace nnlib::ops {

// Element (i, j) of a mask's part for a panel lies at data[i * rs + j * cs].
struct PanelPlace {
  int64_t n, w, nr, ld;
};

namespace detail {

constexpr int64_t kGroup = 4;  // values in loops of a known length, which the compiler turns into vectors

template <class C>
void add_row(int64_t n, const C* x, C* y) {
  int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup)
    for (int64_t k = 0; k < kGroup; k++) y[i + k] += x[i + k];
  for (; i < n; i++) y[i] += x[i];
}
template <class C>
void add_constant(int64_t n, C v, C* y) {
  int64_t i = 0;
  for (; i + kGroup <= n; i += kGroup)
    for (int64_t k = 0; k < kGroup; k++) y[i + k] += v;
  for (; i < n; i++) y[i] += v;
}

template <class C, class T>
C mask_value(T m) {
  if constexpr (std::is_same_v<T, bool>)
    return m ? C(0) : -std::numeric_limits<C>::infinity();
  else
    return (C)(compute_t<T>)m;
}

// What n neighbouring elements add.
template <class T, class C>
void mask_row(int64_t n, const T* m, C* out) {
  for (int64_t i = 0; i < n; i++) out[i] = mask_value<C>(m[i]);
}
template <class C>
void mask_row(int64_t n, const C* m, C* out) {
  std::memcpy(out, m, size_t(n) * sizeof(C));
}
inline void mask_row(int64_t n, const bool* m, float* out) {
  constexpr uint32_t kMinusInfinity = 0xff800000;
  constexpr int64_t kBytes = 16;
  const auto* bytes = reinterpret_cast<const uint8_t*>(m);
  int64_t i = 0;
  for (; i + kBytes <= n; i += kBytes) {
    uint32_t bits[kBytes];
    for (int64_t k = 0; k < kBytes; k++) bits[k] = (uint32_t(bytes[i + k]) - 1) & kMinusInfinity;
    std::memcpy(out + i, bits, sizeof bits);
  }
  for (; i < n; i++) out[i] = mask_value<float>(m[i]);
}
inline void mask_row(int64_t n, const BFloat16* m, float* out) {
  kernels::table().bf16_to_f32(n, reinterpret_cast<const uint16_t*>(m), out);
}
inline void mask_row(int64_t n, const Half* m, float* out) {
  kernels::table().f16_to_f32(n, reinterpret_cast<const uint16_t*>(m), out);
}
// False where nothing would be added.
template <class T>
bool adds(int64_t n, const T* m) {
  if constexpr (std::is_same_v<T, bool>) return n > 0 && std::memchr(m, 0, (size_t)n) != nullptr;
  return true;
}

template <class T, class C>
constexpr bool kPacks = std::is_same_v<T, C> || (std::is_same_v<C, float> &&
                                                 (std::is_same_v<T, BFloat16> || std::is_same_v<T, Half>));

// Rows of the panel that lie together in the mask.
template <class T, class C>
void add_mask_rows(const T* m, int64_t rs, PanelPlace p, C* s) {
  if constexpr (std::is_same_v<T, C>) {
    for (int64_t i = 0; i < p.n; i++) add_row(p.w, m + i * rs, s + i * p.ld);
  } else {
    C* row = drivers::scratch<drivers::Scratch::Columns, C>(p.nr);
    const bool same = rs == 0;  // for all rows
    for (int64_t i = 0; i < p.n; i++) {
      const T* from = m + i * rs;
      if (!adds(p.w, from)) {
        if (same) return;
        continue;
      }
      if (i == 0 || !same) mask_row(p.w, from, row);
      add_row(p.w, row, s + i * p.ld);
    }
  }
}

template <class T, class C>
void add_mask_part(const T* m, int64_t rs, int64_t cs, PanelPlace p, C* s) {
  if (cs == 0) {  // the same for a whole row, as of a padded key
    for (int64_t i = 0; i < p.n; i++) {
      const C v = mask_value<C>(m[i * rs]);
      if (v != 0) add_constant(p.nr, v, s + i * p.ld);
    }
    return;
  }
  if (cs == 1) return add_mask_rows(m, rs, p, s);
  if constexpr (std::is_same_v<T, bool> && std::is_same_v<C, float>) {
    if (rs == 1)
      return kernels::table().attention_mask_f32(p.n, p.w, reinterpret_cast<const uint8_t*>(m), cs, s, p.ld);
  }
  C* packed = drivers::scratch<drivers::Scratch::Columns, C>(2 * p.n * p.nr);
  if constexpr (kPacks<T, C>) {
    drivers::pack_panel(p.nr, p.w, p.n, m, cs, rs, C(1), packed);
  } else {
    C* wide = packed + p.n * p.nr;
    bool any = false;
    for (int64_t j = 0; j < p.w; j++) {
      const T* from = m + j * cs;
      if (rs != 1) {
        any = true;
        for (int64_t i = 0; i < p.n; i++) wide[j * p.n + i] = mask_value<C>(from[i * rs]);
      } else if (adds(p.n, from)) {
        any = true;
        mask_row(p.n, from, wide + j * p.n);
      } else {
        std::fill_n(wide + j * p.n, p.n, C(0));
      }
    }
    if (!any) return;
    drivers::pack_panel(p.nr, p.w, p.n, wide, p.n, 1, C(1), packed);
  }
  if (p.ld == p.nr) return add_values(p.n * p.nr, packed, s);
  for (int64_t i = 0; i < p.n; i++) add_row(p.nr, packed + i * p.nr, s + i * p.ld);
}

// f(pointer to the element of query i and key j, stride of queries, stride of keys).
template <class F>
void with_mask(const Tensor& mask, int64_t b, int64_t h, int64_t i, int64_t j, F f) {
  const auto call = [&](auto tag) {
    const Head<typename decltype(tag)::type> from(mask, b, h);
    f(from.row(i) + j * from.cs, from.rs, from.cs);
  };
  if (mask.dtype() == Dtype::Bool)
    call(TypeTag<bool>{});
  else
    dispatch_floating(mask.dtype(), "scaled_dot_product_attention", call);
}

}  // namespace detail

// s (keys by queries) += the mask (B, H, L, S) of a head, from query i and key j on.
template <class C>
void add_mask(const Tensor& mask, int64_t b, int64_t h, int64_t i, int64_t j, PanelPlace p, C* s) {
  detail::with_mask(mask, b, h, i, j,
                    [&](auto* at, int64_t rs, int64_t cs) { detail::add_mask_part(at, cs, rs, p, s); });
}
// Dropout of the probabilities of some neighbouring queries against a block of keys: 0 or `scale`, a row for
// each query. In double the scale, which float would round, is left to whoever multiplies.
struct DroppedBlock {
  const float* data = nullptr;
  int64_t ld = 0;
  double scale;

  // Rows of the stream from `row` on, `rows` of them; keys [j, j + cols).
  DroppedBlock(const DropoutRows& mask, int64_t row, int64_t rows, int64_t j, int64_t cols, bool doubles)
      : scale(doubles ? mask.scale : 1) {
    const int64_t start = j / DropoutRows::kUnit * DropoutRows::kUnit, n = j - start + cols;
    ld = round_up(n, DropoutRows::kUnit);
    float* to = drivers::scratch<drivers::Scratch::Scores, float>(rows * ld);
    for (int64_t r = 0; r < rows; r++)
      mask.draw(row + r, start, n, doubles ? 1.f : (float)mask.scale, to + r * ld);
    data = to + (j - start);
  }
};
template <class C>
DroppedBlock dropped_block(const DropoutRows& mask, int64_t row, int64_t rows, int64_t j, int64_t cols) {
  return {mask, row, rows, j, cols, std::is_same_v<C, double>};
}

inline void multiply_values(int64_t n, const float* x, float* y) { kernels::table().mul_f32(n, y, x, y); }

// s (keys by queries) times the block: what its rows, the panel's queries, let through.
inline void apply_dropout(const DroppedBlock& d, PanelPlace p, float* s) {
  float* packed = drivers::scratch<drivers::Scratch::Columns, float>(p.n * p.nr);
  drivers::pack_panel(p.nr, p.w, p.n, d.data, d.ld, 1, 1.f, packed);
  if (p.ld == p.nr) return multiply_values(p.n * p.nr, packed, s);
  for (int64_t i = 0; i < p.n; i++) multiply_values(p.nr, packed + i * p.nr, s + i * p.ld);
}
inline void apply_dropout(const DroppedBlock& d, PanelPlace p, double* s) {
  for (int64_t j = 0; j < p.w; j++)
    for (int64_t i = 0; i < p.n; i++) s[i * p.ld + j] *= d.scale * d.data[j * d.ld + i];
}
}  // namespace nnlib::ops
