// New tensors of given values: csrc/ops/creation.h.
#include "ops/creation.h"

#include "ops/shape.h"
#include "ops/sparse.h"
#include "python/bind.h"
#include "python/options.h"

namespace nnlib::python {

namespace {

Dtype dtype_of_number(Scalar v) { return v.is_floating() ? default_dtype() : v.kind(); }

Tensor zeros(const Dims& size, NNLIB_OPTION_PARAMS) {
  const Dtype d = dtype.value_or(default_dtype());
  if (wants_sparse(layout)) return finish(ops::sparse_zeros(size, d), device, pin_memory, requires_grad);
  return finish(ops::zeros(size, d), device, pin_memory, requires_grad);
}
Tensor ones(const Dims& size, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::ones(size, dtype.value_or(default_dtype())), device, pin_memory, requires_grad);
}
Tensor full(const Dims& size, Scalar fill_value, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::full(size, fill_value, dtype.value_or(dtype_of_number(fill_value))), device, pin_memory,
                requires_grad);
}
Tensor empty(const Dims& size, NNLIB_OPTION_PARAMS, std::optional<MemoryFormat> format) {
  const Dtype d = dtype.value_or(default_dtype());
  if (wants_sparse(layout)) return finish(ops::sparse_zeros(size, d), device, pin_memory, requires_grad);
  return finish(nnlib::empty(size, d, format.value_or(MemoryFormat::Contiguous)), device, pin_memory,
                requires_grad);
}
Tensor empty_strided(const Dims& size, const Dims& stride, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(nnlib::empty_strided(size, stride, dtype.value_or(default_dtype())), device, pin_memory,
                requires_grad);
}
Tensor scalar_tensor(Scalar s, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(nnlib::scalar_tensor(s, dtype.value_or(default_dtype())), device, pin_memory, requires_grad);
}

Tensor like_of(const Tensor& t, std::optional<Dtype> dtype, std::optional<MemoryFormat> format) {
  const Dtype d = dtype.value_or(t.dtype());
  if (!format || *format == MemoryFormat::Preserve) return nnlib::empty_like(t, d);
  return nnlib::empty(t.sizes(), d, *format);
}
Tensor filled_like(const Tensor& t, Scalar value, NNLIB_OPTION_PARAMS, std::optional<MemoryFormat> format) {
  check_strided(layout);
  Tensor r = like_of(t, dtype, format);
  fill_values(r, value);
  return finish(r, device ? device : std::optional<Device>(t.device()), pin_memory, requires_grad);
}
Tensor zeros_like(const Tensor& t, NNLIB_OPTION_PARAMS, std::optional<MemoryFormat> format) {
  if (t.is_sparse() && !layout_given(layout))
    return finish(ops::sparse_zeros(t.sizes(), dtype.value_or(t.dtype())), device, pin_memory, requires_grad);
  return filled_like(t, 0, NNLIB_OPTION_ARGS, format);
}
Tensor ones_like(const Tensor& t, NNLIB_OPTION_PARAMS, std::optional<MemoryFormat> format) {
  return filled_like(t, 1, NNLIB_OPTION_ARGS, format);
}
Tensor full_like(const Tensor& t, Scalar fill_value, NNLIB_OPTION_PARAMS,
                 std::optional<MemoryFormat> format) {
  return filled_like(t, fill_value, NNLIB_OPTION_ARGS, format);
}
Tensor empty_like(const Tensor& t, NNLIB_OPTION_PARAMS, std::optional<MemoryFormat> format) {
  check_strided(layout);
  return finish(like_of(t, dtype, format), device ? device : std::optional<Device>(t.device()), pin_memory,
                requires_grad);
}

// x.new_*: the type and device of x where none is given.
Tensor new_zeros(const Tensor& t, const Dims& size, NNLIB_OPTION_PARAMS) {
  return zeros(size, dtype.value_or(t.dtype()), layout, device, pin_memory, requires_grad);
}
Tensor new_ones(const Tensor& t, const Dims& size, NNLIB_OPTION_PARAMS) {
  return ones(size, dtype.value_or(t.dtype()), layout, device, pin_memory, requires_grad);
}
Tensor new_empty(const Tensor& t, const Dims& size, NNLIB_OPTION_PARAMS) {
  return empty(size, dtype.value_or(t.dtype()), layout, device, pin_memory, requires_grad, std::nullopt);
}
Tensor new_full(const Tensor& t, const Dims& size, Scalar fill_value, NNLIB_OPTION_PARAMS) {
  return full(size, fill_value, dtype.value_or(t.dtype()), layout, device, pin_memory, requires_grad);
}
Tensor new_empty_strided(const Tensor& t, const Dims& size, const Dims& stride, NNLIB_OPTION_PARAMS) {
  return empty_strided(size, stride, dtype.value_or(t.dtype()), layout, device, pin_memory, requires_grad);
}

Tensor arange(Scalar start, Scalar end, Scalar step, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  const bool integers = !start.is_floating() && !end.is_floating() && !step.is_floating();
  return finish(ops::arange(start, end, step, dtype.value_or(integers ? Dtype::Int64 : default_dtype())),
                device, pin_memory, requires_grad);
}
Tensor arange_end(Scalar end, NNLIB_OPTION_PARAMS) { return arange(0, end, 1, NNLIB_OPTION_ARGS); }
Tensor range(Scalar start, Scalar end, Scalar step, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::range(start, end, step, dtype.value_or(default_dtype())), device, pin_memory,
                requires_grad);
}
Tensor linspace(Scalar start, Scalar end, int64_t steps, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::linspace(start, end, steps, dtype.value_or(default_dtype())), device, pin_memory,
                requires_grad);
}
Tensor logspace(Scalar start, Scalar end, int64_t steps, double base, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::logspace(start, end, steps, base, dtype.value_or(default_dtype())), device, pin_memory,
                requires_grad);
}
Tensor eye(int64_t n, std::optional<int64_t> m, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::eye(n, m.value_or(n), dtype.value_or(default_dtype())), device, pin_memory,
                requires_grad);
}
Tensor tril_indices(int64_t row, int64_t col, int64_t offset, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::tril_indices(row, col, offset, dtype.value_or(Dtype::Int64)), device, pin_memory,
                requires_grad);
}
Tensor triu_indices(int64_t row, int64_t col, int64_t offset, NNLIB_OPTION_PARAMS) {
  check_strided(layout);
  return finish(ops::triu_indices(row, col, offset, dtype.value_or(Dtype::Int64)), device, pin_memory,
                requires_grad);
}

}  // namespace

void bind_creation(Binder& b) {
#define OPTIONS ", *, " NNLIB_OPTIONS
  b.def<&zeros>("zeros(int[] size" OPTIONS ") -> Tensor", kFunction | kIntoOut, R"(
zeros(*size, dtype=None, requires_grad=False): a tensor of zeros.

>>> nnlib.zeros(2)
tensor([0., 0.]))");
  b.def<&ones>("ones(int[] size" OPTIONS ") -> Tensor", kFunction | kIntoOut,
               "ones(*size, dtype=None): a tensor of ones.");
  b.def<&full>("full(int[1] size, Scalar fill_value" OPTIONS ") -> Tensor", kFunction | kIntoOut, R"(
full(size, fill_value, dtype=None): a tensor of one value; without dtype it has the value's.

>>> nnlib.full((2,), 7)
tensor([7, 7]))");
  b.def<&empty>("empty(int[] size" OPTIONS ", memory_format? memory_format=None) -> Tensor",
                kFunction | kIntoOut, "empty(*size, dtype=None): new memory with whatever values are there.");
  b.def<&empty_strided>("empty_strided(int[] size, int[] stride" OPTIONS ") -> Tensor", kFunction,
                        "empty_strided(size, stride): unset memory with these strides.");
  b.def<&scalar_tensor>("scalar_tensor(Scalar s" OPTIONS ") -> Tensor", kFunction,
                        "scalar_tensor(s): a tensor without dimensions.");
#define LIKE OPTIONS ", memory_format? memory_format=None) -> Tensor"
  b.def<&zeros_like>("zeros_like(Tensor input" LIKE, kFunction,
                     "zeros_like(input): zeros of its shape, dtype and layout.");
  b.def<&ones_like>("ones_like(Tensor input" LIKE, kFunction,
                    "ones_like(input): ones of its shape, dtype and layout.");
  b.def<&full_like>("full_like(Tensor input, Scalar fill_value" LIKE, kFunction,
                    "full_like(input, fill_value): one value in its shape, dtype and layout.");
  b.def<&empty_like>("empty_like(Tensor input" LIKE, kFunction,
                     "empty_like(input): unset memory of its shape, dtype and layout.");
#undef LIKE
  b.def<&new_zeros>("new_zeros(Tensor input, int[] size" OPTIONS ") -> Tensor", kMethod,
                    "new_zeros(*size): zeros of this dtype.");
  b.def<&new_ones>("new_ones(Tensor input, int[] size" OPTIONS ") -> Tensor", kMethod,
                   "new_ones(*size): ones of this dtype.");
  b.def<&new_empty>("new_empty(Tensor input, int[] size" OPTIONS ") -> Tensor", kMethod,
                    "new_empty(*size): unset, of this dtype.");
  b.def<&new_full>("new_full(Tensor input, int[1] size, Scalar fill_value" OPTIONS ") -> Tensor", kMethod,
                   "new_full(size, fill_value): one value, of this dtype.");
  b.def<&new_empty_strided>("new_empty_strided(Tensor input, int[] size, int[] stride" OPTIONS ") -> Tensor",
                            kMethod, "new_empty_strided(size, stride): unset, of this dtype.");
  b.def<&arange_end>("arange(Scalar end" OPTIONS ") -> Tensor", kFunction | kIntoOut, R"(
arange(start=0, end, step=1, dtype=None): start, start + step, ... below end; int64 where all are integers.

>>> nnlib.arange(1, 4)
tensor([1, 2, 3]))");
  b.def<&arange>("arange(Scalar start, Scalar end, Scalar step=1" OPTIONS ") -> Tensor", kFunction | kIntoOut,
                 "");
  b.def<&range>("range(Scalar start, Scalar end, Scalar step=1" OPTIONS ") -> Tensor", kFunction | kIntoOut,
                "range(start, end, step=1): as arange, end included.");
  b.def<&linspace>("linspace(Scalar start, Scalar end, int steps" OPTIONS ") -> Tensor", kFunction | kIntoOut,
                   "linspace(start, end, steps): so many values evenly from start to end, both included.");
  b.def<&logspace>("logspace(Scalar start, Scalar end, int steps, float base=10.0" OPTIONS ") -> Tensor",
                   kFunction | kIntoOut,
                   "logspace(start, end, steps, base=10.0): base to the powers of linspace.");
  b.def<&eye>("eye(int n, int? m=None" OPTIONS ") -> Tensor", kFunction | kIntoOut,
              "eye(n, m=None): an (n, m) matrix with ones on its diagonal.");
  b.def<&tril_indices>("tril_indices(int row, int col, int offset=0" OPTIONS ") -> Tensor", kFunction,
                       "tril_indices(row, col, offset=0): the places of a lower triangle, (2, count).");
  b.def<&triu_indices>("triu_indices(int row, int col, int offset=0" OPTIONS ") -> Tensor", kFunction,
                       "triu_indices(row, col, offset=0): the places of an upper triangle, (2, count).");
#undef OPTIONS
}

}  // namespace nnlib::python
