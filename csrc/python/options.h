// The keywords that every function making a new tensor takes.
#pragma once
#include <optional>

#include "autograd/variable.h"
#include "python/devices.h"
#include "python/types.h"

namespace nnlib::python {

#define NNLIB_OPTIONS                                                                        \
  "dtype? dtype=None, object layout=None, device? device=None, bool? pin_memory=None, bool " \
  "requires_grad=False"
#define NNLIB_OPTION_PARAMS                                                   \
  std::optional<Dtype> dtype, PyObject *layout, std::optional<Device> device, \
      std::optional<bool> pin_memory, bool requires_grad
#define NNLIB_OPTION_ARGS dtype, layout, device, pin_memory, requires_grad

inline bool layout_given(PyObject* layout) {
  NNLIB_CHECK_TYPE(layout == Py_None || is_layout(layout), "argument 'layout' must be torch.layout, not ",
                   Py_TYPE(layout)->tp_name);
  return layout != Py_None;
}
inline bool wants_sparse(PyObject* layout) { return layout_given(layout) && is_sparse_layout(layout); }
inline void check_strided(PyObject* layout) {
  NNLIB_CHECK(!wants_sparse(layout), "this function makes strided tensors only, got layout torch.sparse_coo");
}

// The new tensor on its device, marked as a leaf that wants gradients where asked.
inline Tensor finish(Tensor t, std::optional<Device> device, std::optional<bool> pin_memory,
                     bool requires_grad) {
  NNLIB_CHECK(!pin_memory.value_or(false),
              "Cannot access accelerator device when none is available: pin_memory=True needs one.");
  if (device) put_on(t, *device);
  if (requires_grad) set_requires_grad(t, true);
  return t;
}

}  // namespace nnlib::python
