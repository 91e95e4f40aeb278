// The choice between a kernel's types.
#pragma once
#include <cstdint>
#include <type_traits>

namespace nnlib::ops {

// The table's function for float or double.
template <class T, class K32, class K64>
auto pick(K32 of_float, K64 of_double) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  if constexpr (std::is_same_v<T, float>)
    return of_float;
  else
    return of_double;
}

// And for int64.
template <class T, class K32, class K64, class KInt>
auto pick(K32 of_float, K64 of_double, KInt of_int64) {
  if constexpr (std::is_same_v<T, int64_t>)
    return of_int64;
  else
    return pick<T>(of_float, of_double);
}

}  // namespace nnlib::ops
