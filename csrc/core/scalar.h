// A Python number on its way into an operator.
#pragma once
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"

namespace nnlib {

class Scalar {
 public:
  Scalar() : Scalar((int64_t)0) {}
  Scalar(double v) : kind_(Dtype::Float64), d_(v) {}
  Scalar(float v) : Scalar((double)v) {}
  Scalar(int64_t v) : kind_(Dtype::Int64), i_(v) {}
  Scalar(int v) : Scalar((int64_t)v) {}
  Scalar(bool v) : kind_(Dtype::Bool), i_(v) {}

  // Bool, Int64 or Float64.
  Dtype kind() const { return kind_; }
  bool is_floating() const { return kind_ == Dtype::Float64; }
  bool is_bool() const { return kind_ == Dtype::Bool; }
  double to_double() const { return is_floating() ? d_ : (double)i_; }
  int64_t to_int() const { return is_floating() ? (int64_t)d_ : i_; }
  bool to_bool() const { return is_floating() ? d_ != 0 : i_ != 0; }
  template <class T>
  T to() const {
    if constexpr (std::is_same_v<T, bool>)
      return to_bool();
    else
      return is_floating() ? (T)d_ : (T)i_;
  }

 private:
  Dtype kind_;
  union {
    double d_;
    int64_t i_;
  };
};

}  // namespace nnlib
