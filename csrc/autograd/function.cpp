#include "autograd/function.h"

#include "autograd/engine.h"
#include "core/shape.h"

namespace nnlib {

// ---- switches

GradMode::State& GradMode::state() {
  static thread_local State s;
  return s;
}

namespace {
std::atomic<bool> g_anomaly{false}, g_check_nan{true};
std::atomic<uint64_t> g_sequence{0};
}  // namespace

bool AnomalyMode::enabled() { return g_anomaly.load(std::memory_order_relaxed); }
bool AnomalyMode::check_nan() { return g_check_nan.load(std::memory_order_relaxed); }
void AnomalyMode::set(bool on, bool check_nan) {
  g_anomaly = on;
  g_check_nan = check_nan;
}

BasicOps& basic_ops() {
  static BasicOps ops;
  return ops;
}

// ---- nodes

Node::Node() : sequence(g_sequence.fetch_add(1, std::memory_order_relaxed)), device{t_device.tensors} {
  if (AnomalyMode::enabled() && current_trace) trace = current_trace();
}
Node::~Node() = default;

void Node::destroy() {
  // A long chain of nodes is freed in a loop: one call inside another would run out of stack.
  static thread_local std::vector<Node*>* pending = nullptr;
  if (pending) {
    pending->push_back(this);
    return;
  }
  std::vector<Node*> list{this};
  pending = &list;
  while (!list.empty()) {
    Node* n = list.back();
    list.pop_back();
    delete n;
  }
  pending = nullptr;
}

Device common_device(const TensorList& tensors) {
  Device common;
  for (const Tensor& t : tensors) {
    if (!t.defined() || t.device().index < 0) continue;
    if (!common.goes_with(t.device())) return Device{};
    common = t.device();
  }
  return common;
}

Tensor GradientPlace::find(const Backward& ctx, size_t input) {
  if (GradMode::enabled() || !ctx.needs(input) || !in_accumulating_backward()) return {};
  auto* leaf = dynamic_cast<AccumulateGrad*>(ctx.node->next[input].node.get());
  if (!leaf || leaf->hooks) return {};
  AutogradMeta& m = *leaf->variable.impl()->autograd;
  if (!m.gradient_place || m.grad.defined() || (m.hooks && !m.hooks->entries.empty())) return {};
  if (&grad_slot(leaf->variable) != &m.grad) return {};
  Tensor place = m.gradient_place();
  if (place.defined()) m.placed = place.storage();
  return place;
}

bool worth_running(bool kept, const TensorList& grads) {
  NNLIB_CHECK(
      kept,
      "Trying to backward through the graph a second time (or directly access saved tensors after they have "
      "already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
      "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or "
      "if you need to access saved tensors after calling backward.");
  for (const Tensor& g : grads)
    if (g.defined()) return true;
  return false;
}

void collect_edges(Node& node, const TensorList& inputs) {
  node.next.reserve(inputs.size());
  for (const Tensor& t : inputs)
    node.next.push_back(t.defined() && t.requires_grad() ? gradient_edge(t) : Edge{});
}

Tensor flat_gradient(const Backward& ctx, size_t input, const Tensor& gradient) {
  if (!GradMode::enabled() || !gradient.defined() || !ctx.needs(input)) return gradient;
  const Edge& to = ctx.node->next[input];
  Ref<Node> node = make_node("FlatGradientBackward0", {gradient},
                             [meta = to.node->inputs[to.index]](Backward&, const TensorList& g) {
                               Tensor zeros = empty(meta.sizes, meta.dtype);
                               fill_values(zeros, 0);
                               return TensorList{g[0], zeros};
                             });
  node->next.push_back(to);
  Tensor out = data_alias(gradient);
  set_gradient_edge(out, {node, node->add_input(out)});
  return out;
}

// ---- saved tensors

struct Saved::Hooks {
  SavedHooks hooks;
  std::shared_ptr<void> packed;
};

namespace {
std::vector<SavedHooks>& saved_hooks() {
  static thread_local std::vector<SavedHooks> stack;
  return stack;
}

// Of sizes, type and layout; never 0.
uint64_t geometry_hash(const Tensor& t) {
  uint64_t h = (uint64_t)t.dtype() * 2 + t.is_sparse();
  for (int64_t size : t.sizes()) h = (h ^ (uint64_t)size) * 0x9E3779B97F4A7C15u + 1;
  return h | 1;
}
}  // namespace

void push_saved_hooks(SavedHooks h) { saved_hooks().push_back(std::move(h)); }
void pop_saved_hooks() {
  NNLIB_CHECK(!saved_hooks().empty(), "no hooks of saved tensors are there to be removed");
  saved_hooks().pop_back();
}

Saved::Saved(const Tensor& t, bool is_output, uint32_t output_index)
    : output_index_(output_index), is_output_(is_output) {
  if (!t.defined()) return;
  NNLIB_CHECK(
      !t.impl()->inference || GradMode::inference(),
      "Inference tensors cannot be saved for backward. To work around you can make a clone to get a normal "
      "tensor and use it in autograd.");
  version_ = t.version();
  if (!saved_hooks().empty()) {
    packed_ = std::make_shared<Hooks>();
    packed_->hooks = saved_hooks().back();
    geometry_ = geometry_hash(t);
    NoGradGuard guard;
    packed_->packed = packed_->hooks.pack(detach(t));
    if (!is_output && t.requires_grad()) edge_ = gradient_edge(t);
    return;
  }
  if (is_output) {
    data_ = detach(t);  // the node must not own its own output
    return;
  }
  // A leaf, or a tensor without gradient, is kept as it is. The history of any other is kept beside its
  // values: an in-place change would put a later history in the tensor itself.
  leaf_ = !t.requires_grad() || is_leaf(t);
  if (leaf_) {
    data_ = t;
    geometry_ = geometry_hash(t);
  } else {
    data_ = detach(t);
    edge_ = gradient_edge(t);
  }
}

Tensor Saved::get(const Backward& ctx) const {
  Tensor t = get_unchecked(ctx);
  NNLIB_CHECK(
      !geometry_ || geometry_hash(t) == geometry_,
      "a variable that was saved for gradient computation has other sizes, another type or layout now: ",
      dtype_legacy_name(t.dtype()), "Tensor ", t.sizes(),
      ". Was its .data assigned, or did an unpack hook of saved tensors give something else?");
  return t;
}

Tensor Saved::get_unchecked(const Backward& ctx) const {
  if (packed_) {
    Tensor t = packed_->hooks.unpack(packed_->packed.get());
    if (is_output_) {
      t = detach(t);
      set_gradient_edge(t, {Ref<Node>(ctx.node), output_index_});
    } else if (edge_) {
      t = detach(t);
      set_gradient_edge(t, edge_);
    }
    return t;
  }
  if (!data_.defined()) return {};
  if (data_.version() != version_) {
    // A custom function's context may outlive its node.
    const std::string node = ctx.node ? ctx.node->name() : "a step of the graph that is gone";
    throw_message<Error>(
        "one of the variables needed for gradient computation has been modified by an inplace operation: [",
        dtype_legacy_name(data_.dtype()), "Tensor ", data_.sizes(), "], which is ",
        is_output_ ? "output of " : "an input of ", node, ", is at version ", data_.version(),
        "; expected version ", version_,
        " instead. Hint: enable anomaly detection to find the operation that failed to compute its "
        "gradient, with autograd.set_detect_anomaly(True).");
  }
  if (leaf_ || !GradMode::enabled()) return data_;
  Tensor t = detach(data_);
  if (is_output_)
    set_gradient_edge(t, {Ref<Node>(ctx.node), output_index_});
  else if (edge_)
    set_gradient_edge(t, edge_);
  return t;
}

// ---- views and in-place changes

Tensor mark_view(const Tensor& base, const Tensor& view, ViewOrigin origin) {
  if (view.impl()->inference) return view;
  AutogradMeta& m = autograd_meta(view);
  m.view.reset(new ViewInfo);
  const AutogradMeta* b = base.impl()->autograd.get();
  const bool of_view = b && b->view;
  m.view->base = of_view ? b->view->base : base;
  if (origin == ViewOrigin::Default && !GradMode::enabled()) origin = ViewOrigin::NoGrad;
  if (origin == ViewOrigin::Default && of_view) origin = b->view->origin;
  m.view->origin = origin;
  m.view->version = view.version();
  if (base.impl()->own_version) {
    // Views of a `.data` alias count with it only as far as its storage does.
    view.impl()->own_version.reset(new std::atomic<uint32_t>(base.version()));
  }
  return view;
}

void check_inplace(const Tensor& self, bool other_wants_grad) {
  NNLIB_CHECK(!self.impl()->inference || GradMode::inference(),
              "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone "
              "to get a "
              "normal tensor before doing inplace update.");
  NNLIB_CHECK(self.numel() == 0 || !has_internal_overlap(self.sizes(), self.strides()),
              "unsupported operation: more than one element of the written-to tensor refers to a single "
              "memory location. "
              "Please clone() the tensor before performing the operation.");
  AutogradMeta* m = self.impl()->autograd.get();
  if (!m || !GradMode::enabled()) return;
  const bool wants = self.requires_grad();
  if (m->view && (wants || other_wants_grad)) {
    NNLIB_CHECK(
        m->view->origin != ViewOrigin::MultiOutput, "Output ", m->output_index, " of ",
        m->grad_fn ? m->grad_fn->name() : std::string("a function"),
        " is a view and is being modified inplace. This view is the output of a function that returns "
        "multiple "
        "views. Such functions do not allow the output views to be modified inplace. You should replace the "
        "inplace operation by an out-of-place one.");
    NNLIB_CHECK(m->view->origin != ViewOrigin::NoGrad,
                "A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
                "Given that this "
                "use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving "
                "both the view "
                "and the inplace either both inside the no_grad block (if you don't want the inplace to be "
                "tracked) or "
                "both outside (if you want the inplace to be tracked).");
    const Tensor& base = m->view->base;
    NNLIB_CHECK(!(base.requires_grad() && is_leaf(base)),
                "a view of a leaf Variable that requires grad is being used in an in-place operation.");
  }
  NNLIB_CHECK(!(wants && is_leaf(self)),
              "a leaf Variable that requires grad is being used in an in-place operation.");
}

namespace {

// The history of a base one of whose views was written: gradients of the written part go through `fn`, those
// of the rest to the base's earlier history. The name and the idea are PyTorch's
// (autograd/functions/tensor.cpp).
struct CopySlices : Node {
  Dims base_sizes, base_strides, sizes, strides;
  int64_t offset;  // of the view from the base's first element
  Ref<Node> fn;

  CopySlices(const Tensor& base, const Tensor& view, Ref<Node> f)
      : base_sizes(base.sizes()),
        base_strides(base.strides()),
        sizes(view.sizes()),
        strides(view.strides()),
        offset(view.storage_offset() - base.storage_offset()),
        fn(std::move(f)) {
    add_input(base);
    next.push_back(gradient_edge(base));
    for (size_t i = 1; i < fn->next.size(); i++) next.push_back(fn->next[i]);
  }
  std::string name() const override { return "CopySlices"; }
  void release_saved() override {
    if (fn) fn->release_saved();
  }
  TensorList apply(TensorList&& grads) override {
    TensorList out(next.size());
    if (!grads[0].defined()) return out;
    const BasicOps& ops = basic_ops();
    Tensor result = empty_strided(base_sizes, base_strides, grads[0].dtype());
    ops.copy_(result, grads[0]);
    Tensor slice = ops.as_strided(result, sizes, strides, offset);
    TensorList inner = fn->apply({ops.clone(slice)});
    for (size_t i = 1; i < inner.size() && i < out.size(); i++) out[i] = inner[i];
    if (!needs(0)) return out;
    Tensor own = !inner.empty() && inner[0].defined() ? inner[0] : scalar_tensor(0, result.dtype());
    ops.copy_(slice, own);
    out[0] = result;
    return out;
  }
};

}  // namespace

void rebase_history(const Tensor& self, const Ref<Node>& node) {
  AutogradMeta& m = autograd_meta(self);
  if (m.view) {
    const Tensor base = m.view->base;
    Ref<Node> slices(new CopySlices(base, self, node));
    set_gradient_edge(base, {slices, 0});
    m.hooks = nullptr;
    m.retains_grad = false;
    m.view->version = self.version() - 1;  // the next look makes a new grad_fn
    grad_fn(self);
    return;
  }
  m.hooks = nullptr;
  m.retains_grad = false;
  set_gradient_edge(self, {node, 0});
}

Tensor before_change(const Tensor& self, bool copy) {
  Tensor r;
  if (copy) {
    r = empty_like(self);
    copy_values(r, self);
  } else {
    r = detach(self);
  }
  if (self.requires_grad()) set_gradient_edge(r, gradient_edge(self));
  return r;
}

namespace {

// The tensor that assign_inplace's operator is computed for, until a copy of it was asked for.
thread_local TensorImpl* t_target = nullptr;

struct TargetGuard {
  TensorImpl* before = t_target;
  explicit TargetGuard(TensorImpl* target) { t_target = target; }
  ~TargetGuard() { t_target = before; }
};

}  // namespace

Tensor copy_to_change(const Tensor& x, std::initializer_list<const Tensor*> read) {
  bool direct = x.impl() == t_target && x.is_contiguous();
  for (const Tensor* t : read) direct = direct && t->storage() != x.storage();
  if (direct) {
    t_target = nullptr;
    return x;
  }
  Tensor r = empty(x.sizes(), x.dtype());
  copy_values(r, x);
  return r;
}

Tensor assign_inplace(const Tensor& self, const std::function<Tensor(const Tensor&)>& op, bool wants) {
  check_inplace(self, wants);
  const bool recording = GradMode::enabled() && (wants || self.requires_grad());
  Tensor r;
  {
    const TargetGuard target(recording ? nullptr : self.impl());
    r = op(recording ? before_change(self, true) : self);
  }
  NNLIB_CHECK(r.sizes() == self.sizes(), "output with shape ", self.sizes(),
              " doesn't match the broadcast shape ", r.sizes());
  NNLIB_CHECK(can_cast(r.dtype(), self.dtype()), "result type ", dtype_legacy_name(r.dtype()),
              " can't be cast to the desired output type ", dtype_legacy_name(self.dtype()));
  if (r.dtype() != self.dtype())
    r = recording ? basic_ops().cast(r, self.dtype()) : cast_values(r, self.dtype());
  copy_values(self, r);
  mark_changed(self);
  if (!recording) return self;
  if (!is_view(self)) {
    AutogradMeta& m = autograd_meta(self);
    m.hooks = nullptr;
    m.retains_grad = false;
    set_gradient_edge(self, r.requires_grad() ? gradient_edge(r) : Edge{});
    return self;
  }
  record_inplace(self, "CopyBackwards", {self, r},
                 [](Backward&, const TensorList& g) { return TensorList{Tensor(), g[0]}; });
  return self;
}

Tensor sum_to_size(const Tensor& grad, const Dims& sizes) {
  if (grad.sizes() == sizes) return grad;
  NNLIB_CHECK(is_expandable_to(sizes, grad.sizes()), "size ", sizes, " is not expandable to size ",
              grad.sizes());
  Dims dims;
  const int64_t lead = grad.dim() - sizes.ssize();
  for (int64_t i = 0; i < grad.dim(); i++)
    if (i < lead || (sizes[(size_t)(i - lead)] == 1 && grad.sizes()[(size_t)i] != 1)) dims.push_back(i);
  Tensor r = dims.empty() ? grad : basic_ops().sum(grad, dims, true);
  return lead > 0 ? basic_ops().view(r, sizes) : r;
}

}  // namespace nnlib
