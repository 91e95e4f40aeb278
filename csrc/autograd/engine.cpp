#include "autograd/engine.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "autograd/task.h"
#include "core/shape.h"

namespace nnlib {

void (*check_interrupt)() = nullptr;
uint64_t (*thread_switches)() = nullptr;
void (*set_thread_switches)(uint64_t) = nullptr;
std::string (*current_trace)() = nullptr;
void (*report_anomaly)(const std::string&) = nullptr;

namespace {

bool has_nan(const Tensor& t) {
  if (!t.defined() || !is_floating(t.dtype())) return false;
  const Tensor d = contiguous_values(t.is_sparse() ? t.sparse().values : t);
  return dispatch_floating(d.dtype(), "has_nan", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = (const T*)d.raw();
    for (int64_t i = 0; i < d.numel(); i++)
      if (std::isnan((compute_t<T>)p[i])) return true;
    return false;
  });
}

// Whether nothing else can see the tensor's memory, so that a sum may be made in place.
bool exclusive(const Tensor& t) {
  return t.ref()->use_count() == 1 && t.storage()->use_count() == 1 && t.storage()->owned() &&
         !t.is_sparse() && !has_internal_overlap(t.sizes(), t.strides());
}

// The gradient as one of the device's: devices share the memory.
Tensor on_device(const Tensor& g, Device device) {
  if (GradMode::enabled() && g.requires_grad()) return basic_ops().to_device(g, device);
  Tensor r = alias(g);
  r.impl()->device = device;
  return r;
}

}  // namespace

thread_local Task* t_task = nullptr;

void Task::add(Tensor& into, Tensor&& g) {
  if (!into.defined()) {
    into = std::move(g);
  } else if (!GradMode::enabled() && !g.is_sparse() && exclusive(into) && into.dtype() == g.dtype()) {
    basic_ops().add_into(into, g);
  } else {
    into = basic_ops().add(into, g);
  }
}

void Task::count_dependencies(const std::vector<Edge>& roots, std::unordered_set<Node*>& seen,
                              std::vector<Ref<Node>>* reached) {
  std::vector<Node*> stack;
  for (const Edge& e : roots)
    if (e && seen.insert(e.node.get()).second) stack.push_back(e.node.get());
  while (!stack.empty()) {
    Node* n = stack.back();
    stack.pop_back();
    if (n->device.index >= 0) devices |= uint64_t(1) << n->device.index;
    if (reached) reached->push_back(Ref<Node>(n));
    if (seen.size() % 1024 == 0) poll();
    for (const Edge& e : n->next)
      if (e) {
        dependencies[e.node.get()]++;
        if (seen.insert(e.node.get()).second) stack.push_back(e.node.get());
      }
  }
}

void Task::mark_needed(const std::vector<Edge>& roots, const std::vector<Edge>& inputs) {
  all_needed = false;
  std::unordered_set<Node*> targets;
  for (const Edge& e : inputs) targets.insert(e.node.get());
  std::unordered_set<Node*> seen;
  std::vector<std::pair<Node*, size_t>> stack;
  for (const Edge& root : roots) {
    if (!root || !seen.insert(root.node.get()).second) continue;
    stack.push_back({root.node.get(), 0});
    while (!stack.empty()) {
      auto& [n, i] = stack.back();
      if (i < n->next.size()) {
        Node* child = n->next[i++].node.get();
        if (child && seen.insert(child).second) stack.push_back({child, 0});
        continue;
      }
      bool leads = false;
      for (const Edge& e : n->next)
        if (e && (needed.count(e.node.get()) || targets.count(e.node.get()))) leads = true;
      if (leads) needed.insert(n);
      stack.pop_back();
      if (seen.size() % 1024 == 0) poll();
    }
  }
  for (size_t k = 0; k < inputs.size(); k++) {
    Node* n = inputs[k].node.get();
    const bool leaf = dynamic_cast<AccumulateGrad*>(n) != nullptr;
    if (options.accumulate && leaf)
      needed.insert(n);
    else
      captures[n].push_back({inputs[k].index, k});
  }
}

void Task::run_hooks(Node* n, TensorList& grads) {
  if (n->hooks) {
    auto tensor = n->hooks->tensor;
    for (auto& [index, list] : tensor) {
      if (!grads[index].defined()) continue;
      for (size_t i = 0; i < list->entries.size(); i++) {
        TensorHook f = list->entries[i].f;
        Tensor r = f(grads[index]);
        if (r.defined()) grads[index] = r;
      }
    }
    auto pre = n->hooks->pre.entries;
    for (auto& e : pre) {
      TensorList r = e.f(grads);
      if (!r.empty()) grads = std::move(r);
    }
  }
}

void Task::validate(Node* n, TensorList& out) {
  NNLIB_CHECK(out.size() <= n->next.size() || n->next.empty(), "Function ", n->name(),
              " returned an invalid number of gradients: got ", out.size(), ", expected ", n->next.size());
  out.resize(n->next.size());
  for (size_t i = 0; i < out.size(); i++) {
    const Edge& e = n->next[i];
    if (!e || !out[i].defined()) continue;
    const InputMeta& meta = e.node->inputs[e.index];
    if (out[i].sizes() != meta.sizes) {
      NNLIB_CHECK(is_expandable_to(meta.sizes, out[i].sizes()), "Function ", n->name(),
                  " returned an invalid gradient at index ", i, " - got ", out[i].sizes(),
                  " but expected shape compatible with ", meta.sizes);
      out[i] = sum_to_size(out[i], meta.sizes);
    }
    if (out[i].dtype() != meta.dtype) out[i] = basic_ops().cast(out[i], meta.dtype);
    if (out[i].device() != meta.device) out[i] = on_device(out[i], meta.device);
  }
}

TensorList Task::take_gradients(Node* n, std::unique_lock<std::mutex>* lock) {
  TensorList grads(n->inputs.size());
  if (!lock) {
    auto found = buffers.find(n);
    if (found == buffers.end()) return grads;
    grads = std::move(found->second);
    buffers.erase(found);
    return grads;
  }
  std::vector<Contribution> parts;
  if (auto found = contributions.find(n); found != contributions.end()) {
    parts = std::move(found->second);
    contributions.erase(found);
  }
  lock->unlock();
  std::sort(parts.begin(), parts.end(), [](const Contribution& a, const Contribution& b) {
    return std::make_tuple(a.device.index, b.sequence, a.position) <
           std::make_tuple(b.device.index, a.sequence, b.position);
  });
  for (Contribution& part : parts) add(grads[part.index], std::move(part.grad));
  return grads;
}

void Task::run_node(const Ref<Node>& node, std::unique_lock<std::mutex>* lock) {
  Node* n = node.get();
  DeviceScope scope(n->device);
  TensorList grads = take_gradients(n, lock);
  run_hooks(n, grads);
  auto capture = captures.find(n);
  if (capture != captures.end()) {
    for (auto& [index, k] : capture->second) {
      Tensor g = grads[index];
      auto* leaf = dynamic_cast<AccumulateGrad*>(n);
      if (leaf && g.defined() && leaf->variable.impl()->autograd->hooks) {
        auto entries = leaf->variable.impl()->autograd->hooks->entries;
        for (auto& e : entries) {
          Tensor r = e.f(g);
          if (r.defined()) g = r;
        }
      }
      captured[k] = g;
    }
  }
  if (!runs(n)) {
    if (lock) lock->lock();
    return;
  }
  TensorList for_post;
  const bool post = n->hooks && !n->hooks->post.entries.empty();
  if (post) for_post = grads;
  TensorList out;
  try {
    out = n->apply(std::move(grads));
    if (AnomalyMode::enabled() && AnomalyMode::check_nan()) {
      for (size_t i = 0; i < out.size(); i++)
        NNLIB_CHECK(!has_nan(out[i]), "Function '", n->name(), "' returned nan values in its ", i,
                    "th output.");
    }
  } catch (...) {
    if (AnomalyMode::enabled() && report_anomaly)
      report_anomaly(
          concat("Error detected in ", n->name(), ". Traceback of forward call that caused the error:\n",
                 n->trace.empty() ? "(no forward pass information: enable detect anomaly during forward pass)"
                                  : n->trace));
    throw;
  }
  if (n->next.empty()) out.clear();
  validate(n, out);
  if (post) {
    auto entries = n->hooks->post.entries;
    for (auto& e : entries) {
      TensorList r = e.f(out, for_post);
      if (!r.empty()) out = std::move(r);
    }
    out.resize(n->next.size());
  }
  if (!options.retain_graph) n->release_saved();
  if (lock) lock->lock();
  for (size_t i = 0; i < n->next.size(); i++) {
    const Edge& e = n->next[i];
    if (!e) continue;
    const bool useful = runs(e.node.get()) || captures.count(e.node.get());
    if (out[i].defined() && useful) collect(e, std::move(out[i]), n, i);
    if (--dependencies[e.node.get()] == 0 && useful) make_ready(e.node);
  }
}

void Task::run() {
  while (!ready.empty()) {
    Ref<Node> node = ready.top();
    ready.pop();
    run_node(node);
    poll();
  }
}

namespace {

struct TaskScope {
  explicit TaskScope(Task* t) {
    t->outer = t_task;
    t_task = t;
  }
  ~TaskScope() { t_task = t_task->outer; }
};

}  // namespace

bool in_backward() { return t_task != nullptr; }
bool in_accumulating_backward() { return t_task && t_task->options.accumulate; }

void queue_callback(std::function<void()> f) {
  NNLIB_CHECK(t_task, "Final callbacks can only be installed during backward pass.");
  Task* t = t_task;
  while (t->outer) t = t->outer;
  std::lock_guard<std::mutex> lock(t->mutex);
  t->callbacks.push_back(std::move(f));
}

TensorList run_backward(const std::vector<Edge>& roots, TensorList grads, const std::vector<Edge>& inputs,
                        const BackwardOptions& options) {
  Task task(options);
  TaskScope scope(&task);
  GradGuard mode(options.create_graph);
  std::unordered_set<Node*> seen;
  task.count_dependencies(roots, seen);
  task.captured.resize(inputs.size());
  if (!inputs.empty()) task.mark_needed(roots, inputs);
  // Devices compute at once, each on its own team.
  task.at_once = (task.devices & (task.devices - 1)) != 0;
  std::unordered_set<Node*> queued;
  for (size_t i = 0; i < roots.size(); i++)
    if (roots[i]) task.collect(roots[i], std::move(grads[i]), nullptr, i);
  for (const Edge& e : roots)
    if (e && !task.dependencies.count(e.node.get()) && queued.insert(e.node.get()).second)
      task.make_ready(e.node);
  task.at_once ? task.run_at_once() : task.run();
  task.run_callbacks();
  return std::move(task.captured);
}

struct PartialPass::Impl {
  BackwardOptions options;
  Task task{options};
  std::unordered_set<Node*> seen;
  std::vector<Ref<Node>> alive;  // what `seen` and the counts point to
};

PartialPass::PartialPass(bool retain_graph) : impl_(new Impl) { impl_->options.retain_graph = retain_graph; }
PartialPass::~PartialPass() = default;

std::vector<Ref<Node>> PartialPass::announce(const std::vector<Edge>& edges) {
  std::vector<Ref<Node>> reached;
  impl_->task.count_dependencies(edges, impl_->seen, &reached);
  for (const Edge& e : edges)
    if (e) impl_->task.dependencies[e.node.get()]++;
  impl_->alive.insert(impl_->alive.end(), reached.begin(), reached.end());
  return reached;
}

void PartialPass::feed(const std::vector<Edge>& edges, TensorList grads) {
  Task& task = impl_->task;
  TaskScope scope(&task);
  NoGradGuard mode;
  for (size_t i = 0; i < edges.size(); i++) {
    const Edge& e = edges[i];
    if (!e) continue;
    if (grads[i].defined()) task.collect(e, std::move(grads[i]));
    if (--task.dependencies[e.node.get()] == 0) task.make_ready(e.node);
  }
  task.run();
  task.run_callbacks();
}

}  // namespace nnlib
