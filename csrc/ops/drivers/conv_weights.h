// The weights of a convolution as the left side of a matrix product, and their packings, which are kept from
// one call to the next where a weight is used again without a change.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "ops/drivers/conv.h"
#include "ops/drivers/packed_cache.h"
#include "ops/drivers/scratch.h"

namespace nnlib::drivers::detail {

// The taps of one dimension in the order of the product: how many, and the elements between two of them.
struct TapLine {
  int64_t count, step;
};

// Element (row, channel * taps + t) of group g is w[g * group + row * rs + channel * cs + tap[t]].
template <class T>
struct Weights {
  Weights() = default;
  // lines: of the three dimensions, the last one's taps side by side.
  Weights(const ConvWeights<T>& whole, int64_t group, int64_t rs, int64_t cs, int64_t first_tap,
          const std::array<TapLine, 3>& lines)
      : w(whole.data), group(group), rs(rs), cs(cs), owner(whole.owner), first_tap(first_tap), lines(lines) {
    for (int64_t a = 0; a < lines[0].count; ++a) {
      for (int64_t b = 0; b < lines[1].count; ++b) {
        for (int64_t c = 0; c < lines[2].count; ++c)
          tap.push_back(first_tap + a * lines[0].step + b * lines[1].step + c * lines[2].step);
      }
    }
  }
  // Of the convolution itself.
  Weights(const ConvShape& s, const ConvWeights<T>& w)
      : Weights(w, s.out_group() * w.out_step, w.out_step, w.in_step, 0,
                {{{s.kernel[0], s.kernel[1] * s.kernel[2] * w.tap_step},
                  {s.kernel[1], s.kernel[2] * w.tap_step},
                  {s.kernel[2], w.tap_step}}}) {
    rows_contiguous = w.tap_step == 1 && w.in_step == s.taps();
  }

  const T* w = nullptr;
  int64_t group = 0, rs = 0, cs = 0;
  std::vector<int64_t> tap;
  bool rows_contiguous = false;
  Storage* owner = nullptr;
  int64_t first_tap = 0;
  std::array<TapLine, 3> lines{};
};

// The packing of `size` elements that make(memory) writes: the one that is kept, or one in this thread's
// scratch. How it is packed follows from `sizes` and from what the weights say of themselves.
template <class T>
class PackedForm {
 public:
  template <class F>
  const T* get(PackedKind kind, const Weights<T>& w, const std::array<int64_t, 6>& sizes, int64_t size,
               T* room, F make) {
    if (w.owner) {
      PackedKey key{kind, {}};
      key.part = {reinterpret_cast<const char*>(w.w) - static_cast<const char*>(w.owner->data()),
                  int64_t(sizeof(T)),
                  w.group,
                  w.rs,
                  w.cs,
                  w.first_tap,
                  w.lines[0].count,
                  w.lines[0].step,
                  w.lines[1].count,
                  w.lines[1].step,
                  w.lines[2].count,
                  w.lines[2].step};
      std::copy(sizes.begin(), sizes.end(), key.part.begin() + 12);
      kept_ = packed_weight(*w.owner, key, size * int64_t(sizeof(T)),
                            [&](void* memory) { make(static_cast<T*>(memory)); });
      if (kept_) return static_cast<const T*>(kept_.get());
    }
    make(room);
    return room;
  }

 private:
  Packed kept_;
};

}  // namespace nnlib::drivers::detail
