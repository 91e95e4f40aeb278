// Autograd's objects in Python: nodes (grad_fn), hooks, custom functions, switches.
#pragma once
#include "autograd/function.h"
#include "python/object.h"

namespace nnlib::python {

void init_autograd(PyObject* module);
void init_function(PyObject* module);

// The Python object of a node, None for no node. Of a custom function: its context.
PyObject* node_object(const Ref<Node>& node);

PyObject* next_functions(Node* n);
std::string size_text(const Dims& d);

// For the garbage collector: what a tensor that only Python holds keeps alive through autograd.
int traverse_autograd(const Tensor& t, visitproc visit, void* arg);
void clear_autograd(const Tensor& t);

// The node of a custom function written in Python; owns its context object.
struct PythonNode : Node {
  PyObject* context;  // owned
  std::string label;
  explicit PythonNode(PyObject* ctx, std::string name);
  ~PythonNode() override;
  std::string name() const override { return label; }
  TensorList apply(TensorList&& grads) override;
  void release_saved() override;
};

// A hook that is a Python callable: takes and gives tensors.
TensorHook python_tensor_hook(PyObject* callable);

}  // namespace nnlib::python
