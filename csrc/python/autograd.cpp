#include "python/autograd.h"

#include <unordered_map>

#include "autograd/engine.h"
#include "core/shape.h"
#include "python/bind.h"

namespace nnlib::python {

namespace {

// ---- nodes

struct NodeObject {
  PyObject_HEAD Ref<Node> node;
};

void node_dealloc(PyObject* o) {
  NodeObject* self = (NodeObject*)o;
  if (self->node->pyobj == o) self->node->pyobj = nullptr;
  self->node.~Ref<Node>();
  Py_TYPE(o)->tp_free(o);
}
const Ref<Node>& node_of(PyObject* o) { return ((NodeObject*)o)->node; }

PyObject* node_repr(PyObject* o) {
  return PyUnicode_FromFormat("<%s object at %p>", node_of(o)->name().c_str(), (void*)o);
}
PyObject* node_name(PyObject* o, PyObject*) { return PyUnicode_FromString(node_of(o)->name().c_str()); }
PyObject* next_functions_of(Node* n) {
  return guarded([&] {
    Object t = owned(PyTuple_New((Py_ssize_t)n->next.size()));
    for (size_t i = 0; i < n->next.size(); i++) {
      const Edge& e = n->next[i];
      PyTuple_SET_ITEM(t.get(), (Py_ssize_t)i,
                       checked(Py_BuildValue("(Nk)", checked(node_object(e.node)), (unsigned long)e.index)));
    }
    return t.release();
  });
}
PyObject* node_next(PyObject* o, void*) { return next_functions_of(node_of(o).get()); }
PyObject* node_sequence(PyObject* o, PyObject*) { return PyLong_FromUnsignedLongLong(node_of(o)->sequence); }
PyObject* node_variable(PyObject* o, void*) {
  auto* leaf = dynamic_cast<AccumulateGrad*>(node_of(o).get());
  if (!leaf) {
    PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute 'variable'", node_of(o)->name().c_str());
    return nullptr;
  }
  return wrap(leaf->variable);
}

Object tuple_of(const TensorList& l) {
  Object t = owned(PyTuple_New((Py_ssize_t)l.size()));
  for (size_t i = 0; i < l.size(); i++) PyTuple_SET_ITEM(t.get(), (Py_ssize_t)i, checked(wrap(l[i])));
  return t;
}
const Tensor& tensor_argument(PyObject* o, const char* what) {
  NNLIB_CHECK_TYPE(is_tensor(o), what, " can be Tensors only, but got ", Py_TYPE(o)->tp_name);
  return unpack(o);
}
// What a hook returned: None keeps, a tensor or a tuple of them replaces.
TensorList tensors_of(PyObject* o, const char* what) {
  TensorList l;
  if (o == Py_None) return l;
  if (is_tensor(o)) return {unpack(o)};
  NNLIB_CHECK_TYPE(PyTuple_Check(o) || PyList_Check(o), what,
                   " must return None, a Tensor or a tuple of them, not ", Py_TYPE(o)->tp_name);
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(o); i++) {
    PyObject* item = PySequence_Fast_GET_ITEM(o, i);
    NNLIB_CHECK_TYPE(item == Py_None || is_tensor(item), what, " must return Tensors, got ",
                     Py_TYPE(item)->tp_name);
    l.push_back(item == Py_None ? Tensor() : unpack(item));
  }
  return l;
}

// Calls Python from code that runs without the GIL; a Python exception goes on as a C++ one.
template <class F>
auto with_python(F&& f) {
  GilAcquire gil;
  try {
    return f();
  } catch (const PythonErrorSet&) {
    throw_carried();
  }
}

PyObject* node_register_hook(PyObject* o, PyObject* args) {
  PyObject* f;
  int pre = 0;
  if (!PyArg_ParseTuple(args, "O|p", &f, &pre)) return nullptr;
  auto keep = std::make_shared<SharedObject>(f);
  NodeHooks& hooks = node_of(o)->get_hooks();
  if (pre)
    return PyLong_FromLongLong(hooks.pre.add([keep](const TensorList& g) {
      return with_python([&] {
        Object args = tuple_of(g), r = owned(PyObject_CallFunctionObjArgs(keep->get(), args.get(), nullptr));
        return tensors_of(r.get(), "a pre-hook");
      });
    }));
  return PyLong_FromLongLong(hooks.post.add([keep](const TensorList& in, const TensorList& out) {
    return with_python([&] {
      Object a = tuple_of(in), b = tuple_of(out),
             r = owned(PyObject_CallFunctionObjArgs(keep->get(), a.get(), b.get(), nullptr));
      return tensors_of(r.get(), "a hook");
    });
  }));
}
PyObject* node_remove_hook(PyObject* o, PyObject* args) {
  long long id;
  int pre = 0;
  if (!PyArg_ParseTuple(args, "L|p", &id, &pre)) return nullptr;
  if (node_of(o)->hooks) {
    if (pre)
      node_of(o)->hooks->pre.remove(id);
    else
      node_of(o)->hooks->post.remove(id);
  }
  Py_RETURN_NONE;
}

PyMethodDef node_methods[] = {
    {"name", node_name, METH_NOARGS, "The operator's name with Backward."},
    {"_sequence_nr", node_sequence, METH_NOARGS, "Later nodes have larger numbers."},
    {"_register_hook", node_register_hook, METH_VARARGS, nullptr},
    {"_remove_hook", node_remove_hook, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef node_getset[] = {
    {"next_functions", node_next, nullptr, "the nodes that take this node's results", nullptr},
    {"variable", node_variable, nullptr, "the leaf of an AccumulateGrad", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyTypeObject make_node_type() {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = "nnlib._C.NodeBase";
  t.tp_basicsize = sizeof(NodeObject);
  t.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
  t.tp_doc = "A step of the backward graph.";
  t.tp_dealloc = node_dealloc;
  t.tp_repr = node_repr;
  t.tp_methods = node_methods;
  t.tp_getset = node_getset;
  return t;
}
PyTypeObject NodeType = make_node_type();
PyObject* g_node_class = nullptr;  // nnlib.autograd.graph.Node

PyObject* set_node_class(PyObject*, PyObject* cls) {
  Py_INCREF(cls);
  Py_XSETREF(g_node_class, cls);
  Py_RETURN_NONE;
}

// A class per operator, as programs that draw graphs go by type(tensor.grad_fn).__name__. Made when first
// asked for; there are as many as operators, so they are kept.
PyTypeObject* node_class(const std::string& name) {
  if (!g_node_class) return &NodeType;
  static auto* classes = new std::unordered_map<std::string, PyObject*>;
  PyObject*& cls = (*classes)[name];
  if (!cls)
    cls = checked(PyObject_CallFunction((PyObject*)&PyType_Type, "s(O){s:(),s:s}", name.c_str(), g_node_class,
                                        "__slots__", "__module__", "nnlib.autograd.graph"));
  return (PyTypeObject*)cls;
}

}  // namespace

PyObject* next_functions(Node* n) { return next_functions_of(n); }

PyObject* node_object(const Ref<Node>& node) {
  if (!node) Py_RETURN_NONE;
  if (auto* p = dynamic_cast<PythonNode*>(node.get())) {
    Py_INCREF(p->context);
    return p->context;
  }
  if (node->pyobj) {
    Py_INCREF(node->pyobj);
    return node->pyobj;
  }
  PyTypeObject* type = node_class(node->name());
  NodeObject* o = (NodeObject*)checked(type->tp_alloc(type, 0));
  new (&o->node) Ref<Node>(node);
  node->pyobj = (PyObject*)o;
  return (PyObject*)o;
}

// ---- hooks of tensors

TensorHook python_tensor_hook(PyObject* callable) {
  auto keep = std::make_shared<SharedObject>(callable);
  return [keep](const Tensor& g) {
    return with_python([&]() -> Tensor {
      Object arg = owned(wrap(g)), r = owned(PyObject_CallOneArg(keep->get(), arg.get()));
      if (r.get() == Py_None) return {};
      NNLIB_CHECK_TYPE(is_tensor(r.get()), "expected hook to return None or a Tensor, got ",
                       Py_TYPE(r.get())->tp_name);
      const Tensor& t = unpack(r.get());
      NNLIB_CHECK(t.sizes() == g.sizes(), "hook '", "' has changed the size of value: expected ", g.sizes(),
                  ", got ", t.sizes());
      return t;
    });
  };
}

int traverse_autograd(const Tensor& t, visitproc visit, void* arg) {
  AutogradMeta* m = t.impl()->autograd.get();
  if (!m) return 0;
  for (PyObject* o : m->python_refs) Py_VISIT(o);
  if (m->grad_fn && m->grad_fn->use_count() == 1)
    if (auto* p = dynamic_cast<PythonNode*>(m->grad_fn.get())) Py_VISIT(p->context);
  return 0;
}

void clear_autograd(const Tensor& t) {
  AutogradMeta* m = t.impl()->autograd.get();
  if (!m) return;
  auto hooks = std::move(m->hooks);
  auto post = std::move(m->post_accumulate);
  m->python_refs.clear();
  Ref<Node> f = std::move(m->grad_fn);
}

namespace {

PyObject* register_hook_function(PyObject*, PyObject* args) {
  PyObject *t, *f;
  if (!PyArg_ParseTuple(args, "OO", &t, &f)) return nullptr;
  return guarded([&] {
    const Tensor& x = tensor_argument(t, "what hooks are registered on");
    const int64_t id = register_hook(x, python_tensor_hook(f));
    // The collector may look through hooks that only this tensor holds.
    if (x.impl()->autograd->hooks.use_count() == 1) x.impl()->autograd->python_refs.push_back(f);
    return PyLong_FromLongLong(id);
  });
}
PyObject* remove_hook_function(PyObject*, PyObject* args) {
  PyObject* t;
  long long id;
  if (!PyArg_ParseTuple(args, "OL", &t, &id)) return nullptr;
  return guarded([&]() -> PyObject* {
    const Tensor& x = tensor_argument(t, "what hooks are removed from");
    AutogradMeta* m = x.impl()->autograd.get();
    if (m) m->python_refs.clear();  // no longer known which; the rest is found through its own holders
    remove_hook(x, id);
    Py_RETURN_NONE;
  });
}
PyObject* register_post_hook_function(PyObject*, PyObject* args) {
  PyObject *t, *f;
  if (!PyArg_ParseTuple(args, "OO", &t, &f)) return nullptr;
  return guarded([&] {
    const Tensor& x = tensor_argument(t, "what hooks are registered on");
    auto keep = std::make_shared<SharedObject>(f);
    return PyLong_FromLongLong(register_post_accumulate_hook(x, [keep](const Tensor& leaf) {
      with_python([&] {
        Object arg = owned(wrap(leaf)), r = owned(PyObject_CallOneArg(keep->get(), arg.get()));
        NNLIB_CHECK(r.get() == Py_None, "Tensor post accumulate grad hooks should return None.");
        return 0;
      });
    }));
  });
}
PyObject* remove_post_hook_function(PyObject*, PyObject* args) {
  PyObject* t;
  long long id;
  if (!PyArg_ParseTuple(args, "OL", &t, &id)) return nullptr;
  return guarded([&]() -> PyObject* {
    remove_post_accumulate_hook(tensor_argument(t, "what hooks are removed from"), id);
    Py_RETURN_NONE;
  });
}

// ---- backward

// _run_backward(roots, grads, retain_graph, create_graph, inputs, accumulate, allow_unreachable)
PyObject* run_backward_function(PyObject*, PyObject* args) {
  PyObject *roots, *grads, *inputs;
  int retain, create, accumulate, unreachable = 0;
  if (!PyArg_ParseTuple(args, "O!O!ppO!p|p", &PyTuple_Type, &roots, &PyTuple_Type, &grads, &retain, &create,
                        &PyTuple_Type, &inputs, &accumulate, &unreachable))
    return nullptr;
  return guarded([&]() -> PyObject* {
    std::vector<Edge> root_edges, input_edges;
    TensorList root_grads, leaves;
    const Py_ssize_t n = PyTuple_GET_SIZE(roots);
    NNLIB_CHECK(PyTuple_GET_SIZE(grads) == n, "got ", n, " tensors and ", PyTuple_GET_SIZE(grads),
                " gradients");
    for (Py_ssize_t i = 0; i < n; i++) {
      const Tensor& t = tensor_argument(PyTuple_GET_ITEM(roots, i), "what is differentiated");
      PyObject* g = PyTuple_GET_ITEM(grads, i);
      NNLIB_CHECK(t.requires_grad(), "element ", i,
                  " of tensors does not require grad and does not have a grad_fn");
      DeviceScope scope(t.device());
      if (g == Py_None) {
        NNLIB_CHECK(t.numel() == 1, "grad can be implicitly created only for scalar outputs");
        root_grads.push_back(empty_like(t));
        fill_values(root_grads.back(), 1);
      } else {
        const Tensor& gt = tensor_argument(g, "gradients");
        NNLIB_CHECK(gt.sizes() == t.sizes(), "Mismatch in shape: grad_output[", i, "] has a shape of ",
                    size_text(gt.sizes()), " and output[", i, "] has a shape of ", size_text(t.sizes()), ".");
        NNLIB_CHECK(gt.device().goes_with(t.device()), "invalid gradient at index ", i,
                    " - expected device cpu:", t.device().index, " but got cpu:", gt.device().index);
        root_grads.push_back(gt.dtype() == t.dtype() ? gt : basic_ops().cast(gt, t.dtype()));
      }
      root_edges.push_back(gradient_edge(t));
    }
    const Py_ssize_t k = PyTuple_GET_SIZE(inputs);
    for (Py_ssize_t i = 0; i < k; i++) {
      const Tensor& t = tensor_argument(PyTuple_GET_ITEM(inputs, i), "inputs");
      NNLIB_CHECK(t.requires_grad(), "One of the differentiated Tensors does not require grad");
      input_edges.push_back(gradient_edge(t));
    }
    BackwardOptions options;
    options.retain_graph = retain;
    options.create_graph = create;
    options.accumulate = accumulate;
    TensorList result;
    {
      GilRelease nogil;
      result = run_backward(root_edges, std::move(root_grads), input_edges, options);
    }
    if (accumulate) {
      // Inputs that are no leaves: their gradients were only captured.
      for (Py_ssize_t i = 0; i < k; i++) {
        const Tensor& t = unpack(PyTuple_GET_ITEM(inputs, i));
        if (is_leaf(t) || !result[(size_t)i].defined()) continue;
        const Tensor before = grad_of(t);
        autograd_meta(t).grad =
            before.defined() ? basic_ops().add(before, result[(size_t)i]) : result[(size_t)i];
      }
      Py_RETURN_NONE;
    }
    for (size_t i = 0; i < result.size(); i++)
      NNLIB_CHECK(result[i].defined() || unreachable,
                  "One of the differentiated Tensors appears to not have been used in the graph. Set "
                  "allow_unused=True if "
                  "this is the desired behavior.");
    return tuple_of(result).release();
  });
}

PyObject* queue_callback_function(PyObject*, PyObject* f) {
  return guarded([&]() -> PyObject* {
    auto keep = std::make_shared<SharedObject>(f);
    queue_callback([keep] {
      with_python([&] {
        Object r = owned(PyObject_CallNoArgs(keep->get()));
        return 0;
      });
    });
    Py_RETURN_NONE;
  });
}

// ---- switches

template <bool (*get)()>
PyObject* get_switch(PyObject*, PyObject*) {
  return PyBool_FromLong(get());
}
template <void (*set)(bool)>
PyObject* set_switch(PyObject*, PyObject* on) {
  const int v = PyObject_IsTrue(on);
  if (v < 0) return nullptr;
  set(v);
  Py_RETURN_NONE;
}
PyObject* set_anomaly(PyObject*, PyObject* args) {
  int on, check_nan = 1;
  if (!PyArg_ParseTuple(args, "p|p", &on, &check_nan)) return nullptr;
  AnomalyMode::set(on, check_nan);
  Py_RETURN_NONE;
}

PyObject* push_saved_hooks_function(PyObject*, PyObject* args) {
  PyObject *pack, *unpack_;
  if (!PyArg_ParseTuple(args, "OO", &pack, &unpack_)) return nullptr;
  auto keep_pack = std::make_shared<SharedObject>(pack),
       keep_unpack = std::make_shared<SharedObject>(unpack_);
  SavedHooks h;
  h.pack = [keep_pack](const Tensor& t) -> std::shared_ptr<void> {
    return with_python([&] {
      Object arg = owned(wrap(t)), r = owned(PyObject_CallOneArg(keep_pack->get(), arg.get()));
      return std::static_pointer_cast<void>(std::make_shared<SharedObject>(r.get()));
    });
  };
  h.unpack = [keep_unpack](void* packed) {
    return with_python([&] {
      Object r = owned(PyObject_CallOneArg(keep_unpack->get(), ((SharedObject*)packed)->get()));
      NNLIB_CHECK_TYPE(is_tensor(r.get()),
                       "Output of saved tensor unpack_hook expected to be a Tensor but got result of type ",
                       Py_TYPE(r.get())->tp_name);
      return unpack(r.get());
    });
  };
  push_saved_hooks(std::move(h));
  Py_RETURN_NONE;
}
PyObject* pop_saved_hooks_function(PyObject*, PyObject*) {
  return guarded([&]() -> PyObject* {
    pop_saved_hooks();
    Py_RETURN_NONE;
  });
}

PyMethodDef functions[] = {
    {"_run_backward", run_backward_function, METH_VARARGS, nullptr},
    {"_queue_callback", queue_callback_function, METH_O,
     "Runs a callable when the backward pass under way ends."},
    {"_register_hook", register_hook_function, METH_VARARGS, nullptr},
    {"_remove_hook", remove_hook_function, METH_VARARGS, nullptr},
    {"_register_post_accumulate_hook", register_post_hook_function, METH_VARARGS, nullptr},
    {"_remove_post_accumulate_hook", remove_post_hook_function, METH_VARARGS, nullptr},
    {"is_grad_enabled", get_switch<GradMode::enabled>, METH_NOARGS,
     "Whether operators record their gradients on this thread."},
    {"_set_grad_enabled", set_switch<GradMode::set_enabled>, METH_O, nullptr},
    {"is_inference_mode_enabled", get_switch<GradMode::inference>, METH_NOARGS,
     "Whether inference_mode is on."},
    {"_set_inference_mode", set_switch<GradMode::set_inference>, METH_O, nullptr},
    {"is_anomaly_enabled", get_switch<AnomalyMode::enabled>, METH_NOARGS, "Whether anomaly detection is on."},
    {"is_anomaly_check_nan_enabled", get_switch<AnomalyMode::check_nan>, METH_NOARGS,
     "Whether NaN in backward is an error then."},
    {"_set_anomaly", set_anomaly, METH_VARARGS, nullptr},
    {"_push_saved_tensors_hooks", push_saved_hooks_function, METH_VARARGS, nullptr},
    {"_pop_saved_tensors_hooks", pop_saved_hooks_function, METH_NOARGS, nullptr},
    {"_set_node_class", set_node_class, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr}};

void interrupt() {
  GilAcquire gil;
  if (PyErr_CheckSignals() < 0) throw_carried();
}

std::string trace_now() {
  GilAcquire gil;
  Object module = Object::steal(PyImport_ImportModule("traceback"));
  Object lines =
      module ? Object::steal(PyObject_CallMethod(module.get(), "format_stack", nullptr)) : Object();
  Object empty = Object::steal(PyUnicode_FromString(""));
  Object text = lines ? Object::steal(PyUnicode_Join(empty.get(), lines.get())) : Object();
  std::string s = text ? PyUnicode_AsUTF8(text.get()) : "";
  PyErr_Clear();
  return s;
}
void warn(const std::string& text) {
  GilAcquire gil;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  if (PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 1) < 0) PyErr_Clear();
  PyErr_Restore(type, value, trace);
}

}  // namespace

std::string size_text(const Dims& d) { return concat("torch.Size(", d, ")"); }

void init_autograd(PyObject* module) {
  if (PyType_Ready(&NodeType) < 0) throw PythonErrorSet();
  Py_INCREF(&NodeType);
  PyModule_AddObject(module, "NodeBase", (PyObject*)&NodeType);
  PyModule_AddFunctions(module, functions);
  check_interrupt = interrupt;
  current_trace = trace_now;
  report_anomaly = warn;
  init_function(module);
}

}  // namespace nnlib::python
