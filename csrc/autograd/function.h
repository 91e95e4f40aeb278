// How an operator records its backward step. An operator computes its output without history and then calls
//
//   if (wants_grad(a, b))
//     record(out, "MulBackward0", {a, b}, [a = save(a), b = save(b)](Backward& ctx, const TensorList& g) {
//       return TensorList{ctx.needs(0) ? mul(g[0], b.get(ctx)) : Tensor(), ctx.needs(1) ? mul(g[0],
//       a.get(ctx)) : Tensor()};
//     });
//
// The backward function uses operators, so that with create_graph its own steps are recorded; a fused kernel
// is used where GradMode is off. What the lambda captured is freed when backward is through.
#pragma once
#include <optional>

#include "autograd/variable.h"

namespace nnlib {

struct Backward {
  Node* node;
  bool needs(size_t input) const { return node->needs(input); }
  const InputMeta& output(size_t i) const { return node->inputs[i]; }
};

// While one lives, the gradient of an operator's input is made where it is wanted, if the input is a leaf
// whose gradients somebody collects in memory of his own: the first new tensor that is laid out so gets that
// memory. Stands around the making of that gradient alone, so that nothing else of the same layout stays in
// the place.
class GradientPlace {
 public:
  GradientPlace(const Backward& ctx, size_t input) : destination_(find(ctx, input)) {}

 private:
  static Tensor find(const Backward& ctx, size_t input);
  Destination destination_;
};
// make(), made where the gradient of that input is wanted; undefined where it is not needed.
template <class F>
Tensor make_gradient(const Backward& ctx, size_t input, F&& make) {
  if (!ctx.needs(input)) return {};
  GradientPlace place(ctx, input);
  return make();
}

// A tensor kept for backward. Unpacking it after an in-place change is an error.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& t, bool is_output = false, uint32_t output_index = 0);
  // The tensor; undefined when an undefined one was saved. An error where an unpack hook, or an assignment to
  // a leaf's `.data`, gives another geometry: formulas and kernels go by what was saved.
  Tensor get(const Backward& ctx) const;
  // Whatever is there now, for those who look themselves.
  Tensor get_unchecked(const Backward& ctx) const;

 private:
  struct Hooks;
  Tensor data_;
  Edge edge_;              // history of an input that is not a leaf; an output's is the node itself
  uint64_t geometry_ = 0;  // what sizes, type and layout were, where they can change
  uint32_t version_ = 0, output_index_ = 0;
  bool is_output_ = false, leaf_ = false;
  std::shared_ptr<Hooks> packed_;
};
inline Saved save(const Tensor& t) { return Saved(t); }
// For an output of the operator that is being recorded; `index` counts its outputs.
inline Saved save_output(const Tensor& t, uint32_t index = 0) { return Saved(t, true, index); }

// torch.autograd.graph.saved_tensors_hooks: pack takes the tensor and gives anything that owns it.
struct SavedHooks {
  std::function<std::shared_ptr<void>(const Tensor&)> pack;
  std::function<Tensor(void*)> unpack;
};
void push_saved_hooks(SavedHooks h);
void pop_saved_hooks();

inline bool wants_grad_one(const Tensor& t) { return t.defined() && t.requires_grad(); }
inline bool wants_grad_one(const TensorList& l) {
  for (const Tensor& t : l)
    if (wants_grad_one(t)) return true;
  return false;
}
// Gradients are recorded now and one of the tensors (or lists of them) requires one.
template <class... T>
bool wants_grad(const T&... t) {
  return GradMode::enabled() && (wants_grad_one(t) || ...);
}

// Whether any gradient came; an error where what the node kept was freed.
bool worth_running(bool kept, const TensorList& grads);

template <class F>
struct FunctionNode final : Node {
  const char* label;
  std::optional<F> f;
  FunctionNode(const char* label, F&& f) : label(label), f(std::move(f)) {}
  std::string name() const override { return label; }
  TensorList apply(TensorList&& grads) override {
    if (!worth_running(f.has_value(), grads)) return TensorList(next.size());
    Backward ctx{this};
    return (*f)(ctx, grads);
  }
  // A step that kept nothing but numbers can run again, as in PyTorch.
  void release_saved() override {
    if constexpr (!std::is_trivially_destructible_v<F>) f.reset();
  }
};

// Makes the edges of a node from the operator's inputs.
void collect_edges(Node& node, const TensorList& inputs);

template <class F>
Ref<Node> make_node(const char* name, const TensorList& inputs, F&& f) {
  Ref<Node> node(new FunctionNode<std::decay_t<F>>(name, std::forward<F>(f)));
  collect_edges(*node, inputs);
  return node;
}

// out was computed from inputs; f gives the gradients of the inputs, in their order.
template <class F>
void record(const Tensor& out, const char* name, const TensorList& inputs, F&& f) {
  Ref<Node> node = make_node(name, inputs, std::forward<F>(f));
  set_gradient_edge(out, {node, node->add_input(out)});
}
// Several outputs; undefined outputs take a place too. Outputs in `no_grad` (by position) get no history.
template <class F>
void record_many(const TensorList& outs, const char* name, const TensorList& inputs, F&& f) {
  Ref<Node> node = make_node(name, inputs, std::forward<F>(f));
  for (const Tensor& out : outs) {
    if (!out.defined()) {
      node->inputs.push_back({});
      continue;
    }
    uint32_t i = node->add_input(out);
    if (is_floating(out.dtype())) set_gradient_edge(out, {node, i});
  }
}

// A gradient that does not change with that input of the operator, as of functions made of straight pieces.
// Where a graph of gradients is made it is recorded as a function of the input all the same: differentiated
// again such functions give zeros, as in PyTorch, where a gradient without history would be an error.
Tensor flat_gradient(const Backward& ctx, size_t input, const Tensor& gradient);

// ---- views. The operator makes the view with alias(); this marks it and returns it.
Tensor mark_view(const Tensor& base, const Tensor& view, ViewOrigin origin = ViewOrigin::Default);
// A view whose backward is f.
template <class F>
Tensor make_view(const Tensor& base, const Dims& sizes, const Dims& strides, int64_t offset, const char* name,
                 F&& f, ViewOrigin origin = ViewOrigin::Default) {
  Tensor v = mark_view(base, alias(base, sizes, strides, offset), origin);
  if (wants_grad(base)) record(v, name, {base}, std::forward<F>(f));
  return v;
}

// ---- in place. Before memory is written: an error where autograd forbids the change.
void check_inplace(const Tensor& self, bool other_wants_grad = false);
// After memory was written: counts the change. Call it for every in-place operator.
inline void mark_changed(const Tensor& self) { self.bump_version(); }
// After mark_changed: self's history is from now on `node`, whose output self is.
void rebase_history(const Tensor& self, const Ref<Node>& node);
template <class F>
void record_inplace(const Tensor& self, const char* name, const TensorList& inputs, F&& f) {
  Ref<Node> node = make_node(name, inputs, std::forward<F>(f));
  node->add_input(self);
  rebase_history(self, node);
}
// An alias with self's values and history as they are now: what an in-place operator works from when its
// backward needs the old values (a copy then).
Tensor before_change(const Tensor& self, bool copy);
// self becomes what op(self) computes: values are copied in, history goes on. op gets before_change(self)
// where a graph is recorded, self otherwise. Checks that the result's sizes equal self's and that its type
// may be stored in self's.
Tensor assign_inplace(const Tensor& self, const std::function<Tensor(const Tensor&)>& op, bool wants = false);
// What an operator changes in place of x: a contiguous copy, or x itself where assign_inplace called the
// operator for it, nothing is recorded, and none of the tensors that are read meanwhile shares its memory.
// Checks come before: what has been changed cannot be taken back.
Tensor copy_to_change(const Tensor& x, std::initializer_list<const Tensor*> read);

// A gradient of a broadcast operand, summed down to the operand's sizes. Differentiable.
Tensor sum_to_size(const Tensor& grad, const Dims& sizes);

// The device of all tensors that have one; none where they differ.
Device common_device(const TensorList& tensors);

// Operators that autograd itself needs; csrc/ops fills them in when the library is loaded. All are
// differentiable.
struct BasicOps {
  Tensor (*add)(const Tensor&, const Tensor&) = nullptr;
  Tensor (*copy_)(const Tensor& self, const Tensor& src) = nullptr;     // in place, broadcasts src
  void (*add_into)(const Tensor& self, const Tensor& other) = nullptr;  // in place, no history
  Tensor (*sum)(const Tensor&, const Dims& dims, bool keepdim) = nullptr;
  Tensor (*view)(const Tensor&, const Dims& sizes) = nullptr;  // reshape
  Tensor (*clone)(const Tensor&) = nullptr;
  Tensor (*cast)(const Tensor&, Dtype) = nullptr;
  Tensor (*to_device)(const Tensor&, Device) = nullptr;  // a copy
  Tensor (*as_strided)(const Tensor&, const Dims& sizes, const Dims& strides, int64_t offset) = nullptr;
  // The gradient of as_strided: a tensor of base's geometry with g scattered into it.
  Tensor (*as_strided_backward)(const Tensor& g, const Dims& base_sizes, const Dims& base_strides,
                                int64_t base_offset, const Dims& sizes, const Dims& strides,
                                int64_t offset) = nullptr;
};
BasicOps& basic_ops();

}  // namespace nnlib
