// Pooling by lines: neighbouring windows of a row, or the channels of one window, whose values lie beside
// each other.
#pragma once
#include "ops/iterator.h"
#include "ops/pool_windows.h"

namespace nnlib::ops {

// True where input has its channels last and lines of channels serve: floats, (N, C, ...) of 4 or 5
// dimensions.
bool pools_channels(const Tensor& input, const Windows& w);
inline MemoryFormat channels_format(const Tensor& input) {
  return input.dim() == 4 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d;
}
// True of one-dimensional pooling where (N, C, L) has its channels last, as what is transposed after a
// transformer has: it is pooled as an image of height 1, without a copy.
bool is_flat_image(const Tensor& input, const Windows& w);
// The windows of that image.
SharedWindows flat_image(const Windows& w);
// y = the maximum of each window, in input's format; `places` (int32, y's format) where it is defined.
void max_of_channels(const Tensor& input, const Windows& w, const Tensor& y, const Tensor& places);
// Whether the gradient of a maximum is better gathered for each place from the windows that hold it than
// scattered over them: few windows hold a place, and all have their channels last.
bool gathers_max_grad(const Tensor& g, const Tensor& places, const Windows& w);
void max_grad_of_channels(const Tensor& g, const Windows& w, const Tensor& places, const Tensor& gx);
// y = the mean of each window.
void mean_of_channels(const Tensor& input, const Windows& w, const Tensor& y);
// gx = the means' gradients given back: each window's g over its divisor, added to its values.
void spread_over_channels(const Tensor& g, const Windows& w, const Tensor& gx);

// True where planes are so small, and so many, that turning them into lines of planes pays. x, y and places
// are contiguous.
bool pools_turned(const Tensor& input, const Windows& w);
void max_turned(const Tensor& x, const Windows& w, const Tensor& y, const Tensor& places);
void mean_turned(const Tensor& x, const Windows& w, const Tensor& y);

// The windows [first, first + count) of a row are whole and `stride` apart.
struct PoolRow {
  int64_t first = 0, count = 0, stride = 1;
  explicit PoolRow(const Axis& width);
  // Whether lines are long enough to pay.
  bool pays() const { return count >= 8; }
};

// Planes of one set of windows, of float or double. A thread makes its own.
template <class T>
class PlaneLines {
 public:
  // row: of w's windows, which takes a while to find.
  PlaneLines(const Windows& w, const PoolRow& row);
  const PoolRow& row() const { return row_; }
  // Before the rows of plane x, which so many planes follow, itself included, one after the other: they may
  // be read ahead, and stay as they are until the last of them was begun.
  void begin(const T* x, int64_t planes = 1);
  // The windows row().first + i of row (od, oh); at may be null.
  void max_row(int64_t od, int64_t oh, T* y, int32_t* at);
  void sum_row(int64_t od, int64_t oh, T* y);

 private:
  static constexpr int64_t kNear = 4096;  // values that are taken apart at a time
  void take_apart(const T* x, int64_t rows, int64_t width);
  void list_taps(int64_t od, int64_t oh);
  template <class F>
  void each_piece(F f);
  const Windows& w_;
  PoolRow row_;
  int64_t ld_;                               // of a phase of a row
  int64_t piece_ = 0;                        // windows at a time of a plane that is one long row
  std::vector<T> phases_;                    // every stride-th value of each row, for each start
  const T *x_ = nullptr, *first_ = nullptr;  // first_ of the turned_ planes whose phases are here
  int64_t turned_ = 0, listed_[2] = {-1, -1};
  std::vector<int64_t> offset_;
  std::vector<int32_t> place_;
};

// Types whose planes are pooled by lines, of their compute type.
template <class T>
constexpr bool kLines = std::is_floating_point_v<compute_t<T>>;

// A plane of T in its compute type, and what becomes a plane of results.
template <class T>
class WidePlanes {
  using C = compute_t<T>;

 public:
  explicit WidePlanes(const Windows& w) : n_(w.in_plane()), m_(w.out_plane()) {}
  const C* in(const T* x) {
    if constexpr (std::is_same_v<T, C>) return x;
    in_.resize((size_t)n_);
    load_row(DtypeOf<T>::value, DtypeOf<C>::value)(n_, (const char*)x, (int64_t)sizeof(T), in_.data());
    return in_.data();
  }
  C* out(T* y) {
    if constexpr (std::is_same_v<T, C>) return y;
    out_.resize((size_t)m_);
    return out_.data();
  }
  // After `out` was filled.
  void write(T* y) const {
    if constexpr (!std::is_same_v<T, C>)
      store_row(DtypeOf<C>::value, DtypeOf<T>::value)(m_, out_.data(), (char*)y, (int64_t)sizeof(T));
  }

 private:
  int64_t n_, m_;
  std::vector<C> in_, out_;
};

}  // namespace nnlib::ops
