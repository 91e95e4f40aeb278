// Runs of one value.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
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
  constexpr int64_t kLine = 64 / sizeof(T), kLong = 16 * kLine;
  int64_t i = 0;
  // Values of a foreign buffer may lie at any address: no step of theirs leads to a line's begin.
  past_caches = past_caches && reinterpret_cast<uintptr_t>(p) % sizeof(T) == 0;
  const unsigned char byte = static_cast<unsigned char>(value);
  if (n >= kLong && !past_caches &&
      value == T(T(~T(0)) / 255 * byte)) {  // one byte again and again: zeros most often
    std::memset(p, byte, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  if (n >= kLong || past_caches) {
    const int64_t head = std::min(n, int64_t((0 - reinterpret_cast<uintptr_t>(p)) % 64 / sizeof(T)));
    for (; i < head; ++i) p[i] = value;
    uint64_t bits = value;
    for (int width = 8 * int(sizeof(T)); width < 64; width *= 2) bits |= bits << width;
    const int64_t lines = (n - i) / kLine;
    if (lines > 0) kernels::table().fill_lines(lines, bits, p + i, past_caches);
    i += lines * kLine;
  }
  for (; i + kLine <= n; i += kLine)  // groups of a known size become vector instructions
    for (int64_t k = 0; k < kLine; ++k) p[i + k] = value;
  for (; i < n; ++i) p[i] = value;
}

}  // namespace nnlib
