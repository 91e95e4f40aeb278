#include "python/random.h"

#include <cstring>
#include <random>

#include "python/bind.h"

namespace nnlib::python {

namespace {

struct GeneratorObject {
  PyObject_HEAD Ref<Generator> g;
};
extern PyTypeObject GeneratorType;

Generator& generator_of(PyObject* o) { return *((GeneratorObject*)o)->g; }

// The state as bytes: seed, counter, position and words of the twister, then the cached normals.
struct State {
  char magic[8];
  uint64_t seed, counter;
  int32_t position, has_normal, has_float, pad;
  double normal;
  float normal_float;
  uint32_t words[Mt19937::kN];
};
constexpr char kMagic[8] = {'n', 'n', 'l', 'i', 'b', 'r', 'n', 'g'};

Tensor get_state(Generator& g) {
  std::lock_guard<std::mutex> lock(g.mutex);
  State s{};
  std::memcpy(s.magic, kMagic, 8);
  s.seed = g.seed();
  s.counter = g.counter();
  s.position = g.engine().position();
  s.has_normal = g.cached_normal.has_value();
  s.normal = g.cached_normal.value_or(0);
  s.has_float = g.cached_normal_float.has_value();
  s.normal_float = g.cached_normal_float.value_or(0);
  std::memcpy(s.words, g.engine().state(), sizeof s.words);
  Tensor t = empty({(int64_t)sizeof s}, Dtype::UInt8);
  std::memcpy(t.raw(), &s, sizeof s);
  return t;
}
void set_state(Generator& g, const Tensor& t) {
  NNLIB_CHECK_TYPE(t.dtype() == Dtype::UInt8, "RNG state must be a torch.ByteTensor, got ",
                   dtype_name(t.dtype()));
  State s;
  const Tensor bytes = contiguous_values(t);
  NNLIB_CHECK(bytes.numel() == (int64_t)sizeof s, "RNG state is wrong size: expected ", sizeof s,
              " bytes, got ", bytes.numel());
  std::memcpy(&s, bytes.raw(), sizeof s);
  NNLIB_CHECK(!std::memcmp(s.magic, kMagic, 8) && s.position >= 0 && s.position <= Mt19937::kN,
              "Invalid RNG state");
  std::lock_guard<std::mutex> lock(g.mutex);
  g.set_seed_value(s.seed);
  g.set_counter(s.counter);
  std::memcpy(g.engine().state(), s.words, sizeof s.words);
  g.engine().set_position(s.position);
  g.cached_normal = s.has_normal ? std::optional<double>(s.normal) : std::nullopt;
  g.cached_normal_float = s.has_float ? std::optional<float>(s.normal_float) : std::nullopt;
}

// A seed of up to 64 bits; negative ones are taken modulo 2^64.
uint64_t seed_value(PyObject* o) {
  if (is_tensor(o)) return (uint64_t)int_value(o);
  Object i = PyFloat_Check(o) ? owned(PyNumber_Long(o)) : owned(PyNumber_Index(o));
  int overflow;
  const long long v = PyLong_AsLongLongAndOverflow(i.get(), &overflow);
  if (!overflow) return (uint64_t)v;
  const unsigned long long u = PyLong_AsUnsignedLongLong(i.get());
  if (PyErr_Occurred()) {
    PyErr_Clear();
    throw Error("Overflow when unpacking long: a seed has at most 64 bits");
  }
  return u;
}

PyObject* generator_new(PyTypeObject*, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"device", nullptr};
  PyObject* device = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", const_cast<char**>(names), &device)) return nullptr;
  return guarded([&] {
    if (device) to_device(device);
    return generator_object(make_ref<Generator>());
  });
}
void generator_dealloc(PyObject* o) {
  ((GeneratorObject*)o)->g.~Ref<Generator>();
  Py_TYPE(o)->tp_free(o);
}
PyObject* manual_seed(PyObject* o, PyObject* seed) {
  return guarded([&] {
    const uint64_t s = seed_value(seed);
    Generator& g = generator_of(o);
    std::lock_guard<std::mutex> lock(g.mutex);
    g.set_seed(s);
    Py_INCREF(o);
    return o;
  });
}
PyObject* initial_seed(PyObject* o, PyObject*) { return PyLong_FromUnsignedLongLong(generator_of(o).seed()); }
PyObject* seed(PyObject* o, PyObject*) {
  std::random_device device;
  const uint64_t s = ((uint64_t)device() << 32 | device()) & ((1ull << 53) - 1);
  std::lock_guard<std::mutex> lock(generator_of(o).mutex);
  generator_of(o).set_seed(s);
  return PyLong_FromUnsignedLongLong(s);
}
PyObject* get_state_method(PyObject* o, PyObject*) {
  return guarded([&] { return wrap(get_state(generator_of(o))); });
}
PyObject* set_state_method(PyObject* o, PyObject* state) {
  return guarded([&] {
    NNLIB_CHECK_TYPE(is_tensor(state), "expected a torch.ByteTensor, but got ", Py_TYPE(state)->tp_name);
    set_state(generator_of(o), unpack(state));
    Py_INCREF(o);
    return o;
  });
}
PyObject* clone_state(PyObject* o, PyObject*) {
  return guarded([&] {
    Ref<Generator> g = make_ref<Generator>();
    set_state(*g, get_state(generator_of(o)));
    return generator_object(g);
  });
}
PyObject* get_device(PyObject*, void*) { return device_object(Device{}); }

PyMethodDef methods[] = {
    {"manual_seed", manual_seed, METH_O,
     "manual_seed(seed): starts the stream of this seed; returns the generator."},
    {"initial_seed", initial_seed, METH_NOARGS, "The seed of the stream."},
    {"seed", seed, METH_NOARGS, "Takes a seed from the system and returns it."},
    {"get_state", get_state_method, METH_NOARGS, "The state as a uint8 tensor."},
    {"set_state", set_state_method, METH_O, "set_state(state): goes on from a state that get_state gave."},
    {"clone_state", clone_state, METH_NOARGS, "A generator of the same state."},
    {nullptr, nullptr, 0, nullptr}};
PyGetSetDef getset[] = {{"device", get_device, nullptr, "always the CPU", nullptr},
                        {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyTypeObject make_type() {
  PyTypeObject t = {PyVarObject_HEAD_INIT(nullptr, 0)};
  t.tp_name = "nnlib.Generator";
  t.tp_basicsize = sizeof(GeneratorObject);
  t.tp_flags = Py_TPFLAGS_DEFAULT;
  t.tp_doc =
      "Generator(device='cpu'): a stream of random numbers (mt19937), drawn from as PyTorch does on a CPU.";
  t.tp_new = generator_new;
  t.tp_dealloc = generator_dealloc;
  t.tp_methods = methods;
  t.tp_getset = getset;
  return t;
}
PyTypeObject GeneratorType = make_type();

}  // namespace

PyObject* generator_object(const Ref<Generator>& g) {
  GeneratorObject* o = (GeneratorObject*)checked(GeneratorType.tp_alloc(&GeneratorType, 0));
  new (&o->g) Ref<Generator>(g);
  return (PyObject*)o;
}
bool is_generator(PyObject* o) { return Py_TYPE(o) == &GeneratorType; }
Ref<Generator> generator_value(PyObject* o) { return ((GeneratorObject*)o)->g; }

void init_random(PyObject* module) {
  if (PyType_Ready(&GeneratorType) < 0) throw PythonErrorSet();
  Py_INCREF(&GeneratorType);
  PyModule_AddObject(module, "Generator", (PyObject*)&GeneratorType);
  PyModule_AddObject(module, "default_generator", generator_object(default_generator()));
}

}  // namespace nnlib::python
