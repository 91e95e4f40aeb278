// The gradient side of a tensor: its node, its accumulated gradient, its hooks, and whose view it is.
#pragma once
#include <mutex>
#include <unordered_map>

#include "autograd/node.h"

namespace nnlib {

enum class ViewOrigin : uint8_t {
  Default,
  NoGrad,       // made under no_grad: an in-place change under grad would be lost
  MultiOutput,  // one of several views that an operator returned
  Inference,
  Custom,  // made in a custom Function
};

struct ViewInfo {
  Tensor base;
  ViewOrigin origin = ViewOrigin::Default;
  uint32_t version = 0;  // version for which grad_fn is right; it is made anew after the base changed
};

using PostAccumulateHook = std::function<void(const Tensor& leaf)>;

struct AutogradMeta {
  Tensor grad;
  Ref<Node> grad_fn;
  uint32_t output_index = 0;
  bool requires_grad = false;  // of a leaf
  bool retains_grad = false;
  std::unique_ptr<ViewInfo> view;
  std::shared_ptr<HookList<TensorHook>> hooks;
  std::unique_ptr<HookList<PostAccumulateHook>> post_accumulate;
  std::unique_ptr<HookList<PostAccumulateHook>> arrival;  // as post_accumulate, also when no gradient came
  // Gives memory for the next gradient (undefined: anywhere), where somebody wants it in a place of his; and
  // the memory that was given, until the gradient arrives. See GradientPlace in function.h.
  std::function<Tensor()> gradient_place;
  Ref<Storage> placed;
  // The leaf's AccumulateGrad while somebody holds it; it holds the leaf, so this is weak.
  Node* accumulator = nullptr;
  std::mutex mutex;
  std::vector<_object*>
      python_refs;  // borrowed: Python hooks that only this tensor holds, for the garbage collector
  std::vector<std::function<void()>> on_death;  // run when the tensor goes

  AutogradMeta() = default;
  ~AutogradMeta() {
    for (auto& f : on_death) f();
  }
};

// The meta, made when there is none.
AutogradMeta& autograd_meta(const Tensor& t);

bool is_leaf(const Tensor& t);
// The node that computed t, made anew for a view whose base was changed in place; null for leaves.
Ref<Node> grad_fn(const Tensor& t);
// Where t's gradient goes; empty when t does not require one.
Edge gradient_edge(const Tensor& t);
void set_gradient_edge(const Tensor& t, Edge e);
Ref<Node> gradient_accumulator(const Tensor& t);

void set_requires_grad(const Tensor& t, bool on);
Tensor grad_of(const Tensor& t);

// Gradients that are collected beside the leaves' .grad: those of a pass that is not this process's alone.
class GradStore {
 public:
  struct Entry {
    Tensor variable, grad;
  };
  Tensor& slot(const Tensor& variable) {
    Entry& entry = entries_[variable.impl()];
    entry.variable = variable;
    return entry.grad;
  }
  const std::unordered_map<TensorImpl*, Entry>& entries() const { return entries_; }

 private:
  std::unordered_map<TensorImpl*, Entry> entries_;
};
// Where gradients that arrive on this thread go; null: into the leaves' .grad.
GradStore* current_grad_store();
// While one lives, they go into its store.
class GradStoreScope {
 public:
  explicit GradStoreScope(GradStore* store);
  ~GradStoreScope();

 private:
  GradStore* before_;
};
// Where gradients of a leaf (or of a tensor that retains its own) are collected now.
Tensor& grad_slot(const Tensor& variable);
// Checks that sizes and dtype fit.
void set_grad(const Tensor& t, const Tensor& g);
// Same storage, no history; shares the version counter.
Tensor detach(const Tensor& t);
// Same storage, no history, versions of its own (`.data`).
Tensor data_alias(const Tensor& t);
// `p.data = t`: p describes t's memory from now on; history and gradient stay.
void set_data(const Tensor& t, const Tensor& from);
bool is_view(const Tensor& t);
int64_t register_hook(const Tensor& t, TensorHook hook);
void remove_hook(const Tensor& t, int64_t id);
void retain_grad(const Tensor& t);
int64_t register_post_accumulate_hook(const Tensor& leaf, PostAccumulateHook hook);
void remove_post_accumulate_hook(const Tensor& leaf, int64_t id);
// Run whenever backward is done with a leaf, after all other hooks, even when its gradient was undefined: who
// counts gradients (data parallelism) counts these.
int64_t register_arrival_hook(const Tensor& leaf, PostAccumulateHook hook);
void remove_arrival_hook(const Tensor& leaf, int64_t id);

// Adds a gradient to the leaf's .grad.
struct AccumulateGrad : Node {
  Tensor variable;
  explicit AccumulateGrad(const Tensor& v);
  ~AccumulateGrad() override;
  std::string name() const override { return "AccumulateGrad"; }
  TensorList apply(TensorList&& grads) override;
};

}  // namespace nnlib
