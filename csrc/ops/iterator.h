// Element by element over any number of strided operands.
//
// An operator hands over one row function that works on contiguous values of a compute type (float, double,
// int64 or bool). Operands that lie contiguously in that type are passed as they are; others (another type,
// broadcast, transposed) are brought into a small buffer first, and results are written back the same way. So
// an operator needs one loop a compute type, whatever comes in, and a float32 kernel of the table serves
// every layout.
#pragma once
#include <initializer_list>
#include <type_traits>
#include <utility>

#include "core/tensor.h"

namespace nnlib::ops {

// A reference to a callable; the callable must outlive the call.
template <class Sig>
class FunctionRef;
template <class R, class... A>
class FunctionRef<R(A...)> {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, FunctionRef>>>
  FunctionRef(F&& f)
      : object_((void*)&f),
        call_([](void* o, A... a) -> R { return (*(std::remove_reference_t<F>*)o)(a...); }) {}
  R operator()(A... a) const { return call_(object_, a...); }

 private:
  void* object_;
  R (*call_)(void*, A...);
};

// ---- types

// PyTorch's rule: tensors with dimensions, then those without, then Python numbers decide in turn.
Dtype result_type(const Tensor& a);
Dtype result_type(const Tensor& a, const Tensor& b);
Dtype result_type(const Tensor& a, const Tensor& b, const Tensor& c);
Dtype result_type(const TensorList& tensors);
// The default float type where d is integral.
Dtype to_floating(Dtype d);
// The type in which values of d are computed here: Float32, Float64 or Int64.
Dtype compute_dtype(Dtype d);

// Calls f with TypeTag<float>, <double> or <int64_t>: the compute type of d.
template <class F>
decltype(auto) dispatch_compute(Dtype d, F&& f) {
  switch (compute_dtype(d)) {
    case Dtype::Float32:
      return f(TypeTag<float>{});
    case Dtype::Float64:
      return f(TypeTag<double>{});
    default:
      return f(TypeTag<int64_t>{});
  }
}

// Whether t is a single integer or bool that d can hold.
bool single_value_fits(const Tensor& t, Dtype d);
// Calls f with the tag of the type in which integers and bools are worked on: `common` itself where every
// operand has it (single values are converted), so that nothing is brought into a wider type; the compute
// type otherwise.
template <class F, class... T>
void dispatch_own(Dtype common, F&& f, T&... operands) {
  const bool own = ((operands.dtype() == common || single_value_fits(operands, common)) && ...);
  if (!own || is_floating(common) || common == Dtype::Int64)
    return dispatch_compute(common, [&](auto tag) { f(tag); });
  ((operands = cast_values(operands, common)), ...);
  switch (common) {
    case Dtype::Int32:
      return f(TypeTag<int32_t>{});
    case Dtype::Int16:
      return f(TypeTag<int16_t>{});
    case Dtype::Int8:
      return f(TypeTag<int8_t>{});
    case Dtype::UInt8:
      return f(TypeTag<uint8_t>{});
    default:
      return f(TypeTag<bool>{});
  }
}

// ---- outputs

Dims broadcast_sizes(const TensorList& inputs);
// New memory for a result of these operands, in the layout of the first full-sized operand that is dense.
Tensor make_output(const Dims& sizes, Dtype dtype, std::initializer_list<const Tensor*> inputs);
// An error where a written tensor shares only a part of its memory with one that is read.
void check_no_partial_overlap(const Tensor& out, const Tensor& in);

// ---- conversion of rows; strides in bytes

using LoadRow = void (*)(int64_t n, const char* src, int64_t stride, void* dst);
using StoreRow = void (*)(int64_t n, const void* src, char* dst, int64_t stride);
LoadRow load_row(Dtype from, Dtype compute);
StoreRow store_row(Dtype compute, Dtype to);

// Steps through the indices of a strided block in order.
struct Cursor {
  const Dims* sizes;
  Dims index;
  explicit Cursor(const Dims& sizes) : sizes(&sizes), index(sizes.size(), 0) {}
  void seek(int64_t position);
  void advance(int64_t by);  // by at most what is left of the inner row
  int64_t left() const { return sizes->back() - index.back(); }
  // Whole inner rows until the dimension outside them ends; 0 within a row.
  int64_t rows_left() const {
    const size_t n = index.size();
    return n < 2 || index[n - 1] ? 0 : (*sizes)[n - 2] - index[n - 2];
  }
  void advance_rows(int64_t rows) {
    int i = sizes->ssize() - 2;
    index[(size_t)i] += rows;
    for (; i > 0 && index[(size_t)i] == (*sizes)[(size_t)i]; index[(size_t)--i]++) index[(size_t)i] = 0;
  }
  int64_t offset(const Dims& strides) const {
    int64_t o = 0;
    for (size_t i = 0; i < index.size(); i++) o += index[i] * strides[i];
    return o;
  }
};

// ---- the loop

struct Operand {
  const Tensor* tensor;
  Dtype compute;
};
// n values of each operand, contiguous, in its compute type.
using Row = FunctionRef<void(int64_t n, const void* const* in, void* out)>;
// Elements that a chunk of work has. Short enough that the team stays awake between the products of a small
// network: an operator that runs on one thread lets the others fall asleep.
constexpr int64_t kCheap = 8192;   // additions
constexpr int64_t kCostly = 4096;  // functions such as exp or pow

// Inputs are broadcast to out's sizes. No history; out may be one of the inputs.
void for_each_row(const Tensor& out, Dtype out_compute, std::initializer_list<Operand> inputs, Row row,
                  int64_t grain = kCheap);

// A kernel of two operands of one type over rows (rows.inl).
using Rows2 = void (*)(int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step, const void* y,
                       int64_t y_row, int64_t y_step, void* z, int64_t z_row);
// And of a number.
using NumberRows2 = void (*)(double c, int64_t rows, int64_t n, const void* x, int64_t x_row, int64_t x_step,
                             const void* y, int64_t y_row, int64_t y_step, void* z, int64_t z_row);
// out = kernel(a, b) where a and b have `type` or are single values, which the kernel reads where they lie.
// False, and nothing done, where they do not, or out's values do not lie together.
bool for_each_rows2(const Tensor& out, const Tensor& a, const Tensor& b, Dtype type,
                    FunctionRef<std::remove_pointer_t<Rows2>> kernel, int64_t grain);

namespace detail {
template <class C, class O, class F, size_t... I>
inline void map_row(const F& f, int64_t n, const void* const* in, O* out, std::index_sequence<I...>) {
  // Copies of what the loop needs, and a word that out is at most an operand itself: vectors can be made of
  // it.
  const F g = f;
  const C* const x[] = {(const C*)in[I]...};
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) out[i] = (O)g(x[I][i]...);
}
}  // namespace detail

// out = f(in...) with every operand in compute type C and the result in O.
template <class C, class O = C, class F, class... T>
void map_values(const Tensor& out, int64_t grain, const F& f, const T&... in) {
  for_each_row(
      out, DtypeOf<O>::value, {Operand{&in, DtypeOf<C>::value}...},
      [&](int64_t n, const void* const* p, void* o) {
        detail::map_row<C, O>(f, n, p, (O*)o, std::index_sequence_for<T...>{});
      },
      grain);
}

}  // namespace nnlib::ops
