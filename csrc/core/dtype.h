// Element types, their promotion lattice, and dispatch from a run-time dtype to a C++ type.
// https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/error.h"
#include "core/half.h"

namespace nnlib {

enum class Dtype : uint8_t { Bool, UInt8, Int8, Int16, Int32, Int64, Float16, BFloat16, Float32, Float64 };
constexpr int kNumDtypes = 10;

size_t itemsize(Dtype d);
const char* dtype_name(Dtype d);         // "float32"
const char* dtype_legacy_name(Dtype d);  // "Float", as PyTorch's messages say it
inline bool is_floating(Dtype d) { return d >= Dtype::Float16; }
inline bool is_integral(Dtype d, bool include_bool) {
  return d <= Dtype::Int64 && (include_bool || d != Dtype::Bool);
}
inline bool is_reduced_float(Dtype d) { return d == Dtype::Float16 || d == Dtype::BFloat16; }
Dtype promote(Dtype a, Dtype b);
// Whether a result of type `from` may be stored in `to` in place (float never into integers, nothing but bool
// into bool).
bool can_cast(Dtype from, Dtype to);

Dtype default_dtype();
void set_default_dtype(Dtype d);

template <class T>
struct DtypeOf;
#define NNLIB_DTYPE_OF(T, D)                 \
  template <>                                \
  struct DtypeOf<T> {                        \
    static constexpr Dtype value = Dtype::D; \
  };
NNLIB_DTYPE_OF(bool, Bool)
NNLIB_DTYPE_OF(uint8_t, UInt8)
NNLIB_DTYPE_OF(int8_t, Int8)
NNLIB_DTYPE_OF(int16_t, Int16)
NNLIB_DTYPE_OF(int32_t, Int32)
NNLIB_DTYPE_OF(int64_t, Int64)
NNLIB_DTYPE_OF(Half, Float16)
NNLIB_DTYPE_OF(BFloat16, BFloat16)
NNLIB_DTYPE_OF(float, Float32)
NNLIB_DTYPE_OF(double, Float64)
#undef NNLIB_DTYPE_OF

// The type in which values of T are computed: float for the 16-bit floats, T itself otherwise.
template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<Half> {
  using type = float;
};
template <>
struct ComputeType<BFloat16> {
  using type = float;
};
template <class T>
using compute_t = typename ComputeType<T>::type;

template <class T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) with the C++ type of d. `name` is the operator for the error message.
template <class F>
decltype(auto) dispatch_all(Dtype d, F&& f) {
  switch (d) {
    case Dtype::Bool:
      return f(TypeTag<bool>{});
    case Dtype::UInt8:
      return f(TypeTag<uint8_t>{});
    case Dtype::Int8:
      return f(TypeTag<int8_t>{});
    case Dtype::Int16:
      return f(TypeTag<int16_t>{});
    case Dtype::Int32:
      return f(TypeTag<int32_t>{});
    case Dtype::Int64:
      return f(TypeTag<int64_t>{});
    case Dtype::Float16:
      return f(TypeTag<Half>{});
    case Dtype::BFloat16:
      return f(TypeTag<BFloat16>{});
    case Dtype::Float32:
      return f(TypeTag<float>{});
    default:
      return f(TypeTag<double>{});
  }
}
template <class F>
decltype(auto) dispatch_floating(Dtype d, const char* name, F&& f) {
  switch (d) {
    case Dtype::Float16:
      return f(TypeTag<Half>{});
    case Dtype::BFloat16:
      return f(TypeTag<BFloat16>{});
    case Dtype::Float32:
      return f(TypeTag<float>{});
    case Dtype::Float64:
      return f(TypeTag<double>{});
    default:
      throw_message<NotImplementedError>("\"", name, "\" not implemented for '", dtype_legacy_name(d), "'");
  }
}
template <class F>
decltype(auto) dispatch_integral(Dtype d, const char* name, F&& f) {
  switch (d) {
    case Dtype::UInt8:
      return f(TypeTag<uint8_t>{});
    case Dtype::Int8:
      return f(TypeTag<int8_t>{});
    case Dtype::Int16:
      return f(TypeTag<int16_t>{});
    case Dtype::Int32:
      return f(TypeTag<int32_t>{});
    case Dtype::Int64:
      return f(TypeTag<int64_t>{});
    default:
      throw_message<NotImplementedError>("\"", name, "\" not implemented for '", dtype_legacy_name(d), "'");
  }
}

}  // namespace nnlib
