// Runs of one value.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/dispatch.h"

namespace nnlib {

// Results of more bytes leave the caches before anything reads them.
constexpr int64_t kPastCaches = int64_t(1) << 24;

// n times `value`, an unsigned integer that stands for the bits of any type. Whole cache lines go past the
// caches where that is asked for.
template <class T>
void fill_run(T* p, int64_t n, T value, bool past_caches = false) {
  static_assert(std::is_unsigned_v<T>);
  constexpr int64_t kLine = 64 / sizeof(T);
  int64_t i = 0;
  if (past_caches) {
    const int64_t head = std::min(n, int64_t((0 - reinterpret_cast<uintptr_t>(p)) % 64 / sizeof(T)));
    for (; i < head; ++i) p[i] = value;
    uint64_t bits = value;
    for (int width = 8 * int(sizeof(T)); width < 64; width *= 2) bits |= bits << width;
    const int64_t lines = (n - i) / kLine;
    if (lines > 0) kernels::table().fill_lines(lines, bits, p + i);  // each call waits for its stores
    i += lines * kLine;
  }
  for (; i + kLine <= n; i += kLine)  // groups of a known size become vector instructions
    for (int64_t k = 0; k < kLine; ++k) p[i + k] = value;
  for (; i < n; ++i) p[i] = value;
}

}  // namespace nnlib
