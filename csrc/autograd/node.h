// A step of the backward graph: takes the gradients of an operator's outputs, gives those of its inputs.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "autograd/grad_mode.h"
#include "core/tensor.h"

namespace nnlib {

struct Node;

// Where a gradient goes: input `index` of `node`.
struct Edge {
  Ref<Node> node;
  uint32_t index = 0;
  explicit operator bool() const { return (bool)node; }
};

// What a node knows of the output whose gradient it takes.
struct InputMeta {
  Dims sizes;
  Dtype dtype = Dtype::Float32;
  Device device;
};

using TensorHook = std::function<Tensor(const Tensor&)>;           // undefined: keep the gradient
using NodePreHook = std::function<TensorList(const TensorList&)>;  // empty: keep them
using NodePostHook = std::function<TensorList(const TensorList& grad_inputs, const TensorList& grad_outputs)>;

template <class F>
struct HookList {
  struct Entry {
    int64_t id;
    F f;
  };
  std::vector<Entry> entries;
  int64_t next_id = 0;
  int64_t add(F f, bool front = false) {
    entries.insert(front ? entries.begin() : entries.end(), Entry{next_id, std::move(f)});
    return next_id++;
  }
  void remove(int64_t id) {
    for (size_t i = 0; i < entries.size(); i++)
      if (entries[i].id == id) {
        entries.erase(entries.begin() + (ptrdiff_t)i);
        return;
      }
  }
};

struct NodeHooks {
  std::vector<std::pair<uint32_t, std::shared_ptr<HookList<TensorHook>>>> tensor;  // by input; run first
  HookList<NodePreHook> pre;
  HookList<NodePostHook> post;
};

struct Node : RefCounted {
  uint64_t sequence;              // later nodes run first
  Device device;                  // whose team runs it
  std::vector<Edge> next;         // one edge per input of the operator
  std::vector<InputMeta> inputs;  // one per output of the operator
  std::unique_ptr<NodeHooks> hooks;
  std::string trace;         // where it was made, under anomaly detection
  _object* pyobj = nullptr;  // the Python object of this node while there is one (borrowed)

  Node();
  ~Node() override;
  virtual std::string name() const = 0;
  virtual TensorList apply(TensorList&& grads) = 0;
  // Frees what was saved for backward.
  virtual void release_saved() {}

  NodeHooks& get_hooks() {
    if (!hooks) hooks.reset(new NodeHooks);
    return *hooks;
  }
  bool needs(size_t input) const { return input < next.size() && next[input]; }
  uint32_t add_input(const Tensor& output) {
    inputs.push_back({output.sizes(), output.dtype(), output.device()});
    return (uint32_t)inputs.size() - 1;
  }

 protected:
  void destroy() override;
};

}  // namespace nnlib
