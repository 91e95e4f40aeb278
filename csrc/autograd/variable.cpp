#include "autograd/variable.h"

#include "autograd/function.h"
#include "core/shape.h"

namespace nnlib {

void AutogradMetaDeleter::operator()(AutogradMeta* m) const { delete m; }

AutogradMeta& autograd_meta(const Tensor& t) {
  if (!t.impl()->autograd) t.impl()->autograd.reset(new AutogradMeta);
  return *t.impl()->autograd;
}

bool Tensor::requires_grad() const {
  const AutogradMeta* m = p_->autograd.get();
  if (!m) return false;
  if (m->requires_grad || m->grad_fn) return true;
  // A view requires grad as soon as its base does, also when the base was changed in place later.
  return m->view && is_floating(p_->dtype) && m->view->base.requires_grad();
}

bool is_leaf(const Tensor& t) { return !t.impl()->autograd || !grad_fn(t); }

bool is_view(const Tensor& t) { return t.impl()->autograd && t.impl()->autograd->view; }

Ref<Node> grad_fn(const Tensor& t) {
  AutogradMeta* m = t.impl()->autograd.get();
  if (!m) return nullptr;
  if (m->view && m->view->version != t.version()) {
    std::lock_guard<std::mutex> lock(m->mutex);
    if (m->view->version == t.version()) return m->grad_fn;
    const Tensor base = m->view->base;
    if (base.requires_grad() && is_floating(t.dtype())) {
      NNLIB_CHECK(
          m->view->origin != ViewOrigin::NoGrad || m->grad_fn,
          "A view was created in no_grad mode and its base or another view of its base has been modified "
          "inplace with grad mode enabled. Given that this use case is ambiguous and error-prone, it is "
          "forbidden.");
      const Dims bs = base.sizes(), bst = base.strides(), s = t.sizes(), st = t.strides();
      const int64_t bo = base.storage_offset(), o = t.storage_offset();
      m->grad_fn = make_node("AsStridedBackward0", {base}, [=](Backward&, const TensorList& g) {
        return TensorList{basic_ops().as_strided_backward(g[0], bs, bst, bo, s, st, o)};
      });
      m->output_index = m->grad_fn->add_input(t);
    }
    m->view->version = t.version();
  }
  return m->grad_fn;
}

Ref<Node> gradient_accumulator(const Tensor& t) {
  AutogradMeta& m = autograd_meta(t);
  if (m.grad_fn) throw Error("gradient_accumulator: called on a tensor that is not a leaf");
  if (!t.requires_grad()) return nullptr;
  std::lock_guard<std::mutex> lock(m.mutex);
  if (m.accumulator && m.accumulator->try_retain()) return Ref<Node>::adopt(m.accumulator);
  Ref<Node> node(new AccumulateGrad(t));
  m.accumulator = node.get();
  return node;
}

Edge gradient_edge(const Tensor& t) {
  if (Ref<Node> f = grad_fn(t)) return {f, t.impl()->autograd->output_index};
  if (!t.requires_grad()) return {};
  return {gradient_accumulator(t), 0};
}

void set_gradient_edge(const Tensor& t, Edge e) {
  AutogradMeta& m = autograd_meta(t);
  m.grad_fn = std::move(e.node);
  m.output_index = e.index;
  if (m.view) m.view->version = t.version();
}

void set_requires_grad(const Tensor& t, bool on) {
  NNLIB_CHECK(!on || is_floating(t.dtype()),
              "only Tensors of floating point and complex dtype can require gradients");
  if (!is_leaf(t)) {
    NNLIB_CHECK(
        on,
        "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
        "in a subgraph that doesn't require differentiation use var_no_grad = var.detach().");
    return;
  }
  NNLIB_CHECK(!on || !t.impl()->inference || GradMode::inference(),
              "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
  if (on || t.impl()->autograd) autograd_meta(t).requires_grad = on;
}

thread_local GradStore* t_store = nullptr;

GradStore* current_grad_store() { return t_store; }
GradStoreScope::GradStoreScope(GradStore* store) : before_(t_store) { t_store = store; }
GradStoreScope::~GradStoreScope() { t_store = before_; }

Tensor& grad_slot(const Tensor& variable) {
  return t_store ? t_store->slot(variable) : autograd_meta(variable).grad;
}

Tensor grad_of(const Tensor& t) { return t.impl()->autograd ? t.impl()->autograd->grad : Tensor(); }

void set_grad(const Tensor& t, const Tensor& g) {
  if (g.defined()) {
    NNLIB_CHECK(!g.is_same(t), "can't assign Variable as its own grad");
    NNLIB_CHECK(g.dtype() == t.dtype(), "assigned grad has data of a different type: expected ",
                dtype_name(t.dtype()), ", got ", dtype_name(g.dtype()));
    NNLIB_CHECK(g.sizes() == t.sizes(), "assigned grad has data of a different size: expected ", t.sizes(),
                ", got ", g.sizes());
    NNLIB_CHECK(g.device().goes_with(t.device()),
                "assigned grad has data located on a different device: "
                "expected cpu:",
                t.device().index, ", got cpu:", g.device().index);
  } else if (!t.impl()->autograd) {
    return;
  }
  autograd_meta(t).grad = g;
}

Tensor detach(const Tensor& t) {
  Tensor r = alias(t);
  if (t.impl()->own_version) r.impl()->own_version.reset(new std::atomic<uint32_t>(t.version()));
  return r;
}

Tensor data_alias(const Tensor& t) {
  Tensor r = alias(t);
  r.impl()->own_version.reset(new std::atomic<uint32_t>(0));
  return r;
}

void set_data(const Tensor& t, const Tensor& from) {
  NNLIB_CHECK(!(t.requires_grad() && !is_floating(from.dtype())),
              "data set to a tensor that requires gradients must be floating point or complex dtype");
  TensorImpl* p = t.impl();
  if (p->autograd && p->autograd->accumulator) {
    std::lock_guard<std::mutex> lock(p->autograd->mutex);
    // The accumulator checks gradients against the leaf's sizes and type: it has to learn the new ones.
    if (p->autograd->accumulator && p->autograd->accumulator->try_retain()) {
      Ref<Node> node = Ref<Node>::adopt(p->autograd->accumulator);
      node->inputs.assign(1, {from.sizes(), from.dtype(), from.device()});
      node->device = from.device();
    }
  }
  p->storage = from.storage();
  p->offset = from.storage_offset();
  p->dtype = from.dtype();
  p->device = from.device();
  p->set_geometry(from.sizes(), from.strides());
  p->sparse.reset(from.is_sparse() ? new SparseData(from.sparse()) : nullptr);
}

int64_t register_hook(const Tensor& t, TensorHook hook) {
  NNLIB_CHECK(t.requires_grad(), "cannot register a hook on a tensor that doesn't require gradient");
  AutogradMeta& m = autograd_meta(t);
  if (!m.hooks) {
    m.hooks = std::make_shared<HookList<TensorHook>>();
    if (Ref<Node> f = grad_fn(t)) f->get_hooks().tensor.push_back({m.output_index, m.hooks});
  }
  return m.hooks->add(std::move(hook));
}

void remove_hook(const Tensor& t, int64_t id) {
  if (t.impl()->autograd && t.impl()->autograd->hooks) t.impl()->autograd->hooks->remove(id);
}

void retain_grad(const Tensor& t) {
  NNLIB_CHECK(t.requires_grad(), "can't retain_grad on Tensor that has requires_grad=False");
  AutogradMeta& m = autograd_meta(t);
  Ref<Node> f = grad_fn(t);
  if (!f || m.retains_grad) return;
  m.retains_grad = true;
  // The node must not keep its own output alive, so the hook holds a plain pointer that the engine may use
  // only while the tensor lives: a shared flag tells.
  struct Target {
    std::mutex mutex;
    TensorImpl* impl;
  };
  auto target = std::make_shared<Target>();
  target->impl = t.impl();
  auto list = std::make_shared<HookList<TensorHook>>();
  list->add([target](const Tensor& g) -> Tensor {
    Ref<TensorImpl> keep;
    {
      std::lock_guard<std::mutex> lock(target->mutex);
      if (target->impl && target->impl->try_retain()) keep = Ref<TensorImpl>::adopt(target->impl);
    }
    if (!keep) return {};
    Tensor& grad = grad_slot(Tensor(keep));
    grad = grad.defined() ? basic_ops().add(grad, g) : g;
    return {};
  });
  m.on_death.push_back([target] {
    std::lock_guard<std::mutex> lock(target->mutex);
    target->impl = nullptr;
  });
  f->get_hooks().tensor.push_back({m.output_index, list});
}

int64_t register_post_accumulate_hook(const Tensor& leaf, PostAccumulateHook hook) {
  NNLIB_CHECK(leaf.requires_grad(), "cannot register a hook on a tensor that doesn't require gradient");
  NNLIB_CHECK(is_leaf(leaf), "post accumulate grad hooks cannot be registered on non-leaf tensors");
  AutogradMeta& m = autograd_meta(leaf);
  if (!m.post_accumulate) m.post_accumulate.reset(new HookList<PostAccumulateHook>);
  return m.post_accumulate->add(std::move(hook));
}

void remove_post_accumulate_hook(const Tensor& leaf, int64_t id) {
  if (leaf.impl()->autograd && leaf.impl()->autograd->post_accumulate)
    leaf.impl()->autograd->post_accumulate->remove(id);
}

int64_t register_arrival_hook(const Tensor& leaf, PostAccumulateHook hook) {
  AutogradMeta& m = autograd_meta(leaf);
  if (!m.arrival) m.arrival.reset(new HookList<PostAccumulateHook>);
  return m.arrival->add(std::move(hook));
}

void remove_arrival_hook(const Tensor& leaf, int64_t id) {
  if (leaf.impl()->autograd && leaf.impl()->autograd->arrival) leaf.impl()->autograd->arrival->remove(id);
}

static void run_leaf_hooks(const std::unique_ptr<HookList<PostAccumulateHook>>& hooks, const Tensor& leaf) {
  for (size_t i = 0; hooks && i < hooks->entries.size(); i++) {
    auto f = hooks->entries[i].f;
    f(leaf);
  }
}

AccumulateGrad::AccumulateGrad(const Tensor& v) : variable(v) {
  sequence = UINT64_MAX;  // as soon as the gradient is complete
  device = v.device();
  add_input(v);
}

AccumulateGrad::~AccumulateGrad() {
  AutogradMeta& m = *variable.impl()->autograd;
  std::lock_guard<std::mutex> lock(m.mutex);
  if (m.accumulator == this) m.accumulator = nullptr;
}

TensorList AccumulateGrad::apply(TensorList&& grads) {
  Tensor g = std::move(grads[0]);
  grads.clear();
  AutogradMeta& m = autograd_meta(variable);
  const Ref<Storage> placed = std::move(m.placed);
  if (!g.defined()) {
    run_leaf_hooks(m.arrival, variable);
    return {};
  }
  if (m.hooks) {
    auto hooks = m.hooks;
    for (size_t i = 0; i < hooks->entries.size(); i++) {
      Tensor r = hooks->entries[i].f(g);
      if (r.defined()) g = r;
    }
  }
  Tensor& grad = grad_slot(variable);
  if (grad.defined()) {
    if (GradMode::enabled() || grad.is_sparse() != g.is_sparse() || g.is_sparse()) {
      grad = basic_ops().add(grad, g);
    } else {
      basic_ops().add_into(grad, g);
    }
  } else if (!GradMode::enabled()) {
    // A gradient that nobody else holds, laid out as the variable is, is taken over; else it is copied.
    const bool own = g.ref()->use_count() <= 1 && g.storage()->use_count() <= 1 && g.storage()->owned();
    if (placed && g.ref()->use_count() <= 1 && g.storage() == placed)
      grad = g;
    else if (g.is_sparse())
      grad = own ? detach(g) : detach(basic_ops().clone(g));
    else if (own && is_non_overlapping_and_dense(g.sizes(), g.strides()) &&
             (g.strides() == variable.strides() || (g.is_contiguous() && variable.is_contiguous())))
      grad = g.requires_grad() ? detach(g) : g;
    else {
      Tensor copy = empty_like(variable, g.dtype());
      copy_values(copy, g);
      grad = copy;
    }
  } else {
    grad = basic_ops().clone(g);
  }
  run_leaf_hooks(m.post_accumulate, variable);
  run_leaf_hooks(m.arrival, variable);
  return {};
}

}  // namespace nnlib
