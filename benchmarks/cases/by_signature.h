// Cases of kernels that a signature explains: one size n first, then arrays of n values and plain numbers.
#pragma once
#include <type_traits>
#include <utility>

#include "cases/cases.h"

namespace nnlib::benchmarks {

constexpr int64_t kMapped = 2048;

// What stands for an argument. Arrays of the same kind get different memory by their place.
template <class A>
A argument(int place) {
  if constexpr (std::is_same_v<A, const float*>) {
    return input(place);
  } else if constexpr (std::is_same_v<A, float*>) {
    return output(place);
  } else if constexpr (std::is_same_v<A, const double*>) {
    return input_f64(place);
  } else if constexpr (std::is_same_v<A, double*>) {
    return output_f64(place);
  } else if constexpr (std::is_same_v<A, const uint16_t*>) {
    return input_half();
  } else if constexpr (std::is_same_v<A, uint16_t*>) {
    return output_half();
  } else if constexpr (std::is_same_v<A, const uint8_t*> || std::is_same_v<A, uint8_t*>) {
    return places();
  } else if constexpr (std::is_floating_point_v<A>) {
    return A(0.5);
  } else {
    return A(0);  // flags and counters
  }
}

template <class A>
constexpr bool kExplained =
    std::is_floating_point_v<A> || (std::is_integral_v<A> && !std::is_same_v<A, int64_t>) ||
    (std::is_pointer_v<A> && std::is_arithmetic_v<std::remove_pointer_t<A>> &&
     !std::is_same_v<std::remove_cv_t<std::remove_pointer_t<A>>, int64_t>);
template <class A>
constexpr double kBytes = std::is_pointer_v<A> ? double(sizeof(std::remove_pointer_t<A>)) : 0.0;

template <class R, class... A, size_t... Place>
void call(R (*kernel)(int64_t, A...), std::index_sequence<Place...>) {
  (void)kernel(kMapped, argument<A>(int(Place))...);
}

template <class R, class... A>
bool add_by_signature(Cases& cases, const char* name, R (*kernel)(int64_t, A...)) {
  if constexpr ((kExplained<A> && ...) && (std::is_pointer_v<A> || ...)) {
    cases.add(name, std::to_string(kMapped), {0, kMapped * (kBytes<A> + ...)},
              [kernel] { call(kernel, std::index_sequence_for<A...>()); });
    return true;
  }
  return false;
}
template <class F>
bool add_by_signature(Cases&, const char*, F) {
  return false;
}

}  // namespace nnlib::benchmarks
