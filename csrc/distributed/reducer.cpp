#include "distributed/reducer.h"

#include <algorithm>
#include <chrono>
#include <unordered_set>

#include "autograd/engine.h"
#include "autograd/variable.h"

namespace nnlib::distributed {
namespace {

void divide(const Tensor& flat, int64_t divisor) {
  dispatch_floating(flat.dtype(), "divide", [&](auto tag) {
    using T = typename decltype(tag)::type;
    using Wide = compute_t<T>;
    T* values = flat.data<T>();
    for (int64_t i = 0; i < flat.numel(); ++i)
      values[i] = static_cast<T>(static_cast<Wide>(values[i]) / static_cast<Wide>(divisor));
  });
}

// Nobody could notice that the tensor's memory is another one.
bool holds_alone(const Tensor& t) {
  const Storage& s = *t.storage();
  return s.use_count() == 1 && (s.counts_writes() || s.is_lent());
}

}  // namespace

std::shared_ptr<Reducer> Reducer::create(TensorList parameters, std::vector<std::string> names,
                                         std::vector<bool> sparse, const Assignment& assignment,
                                         std::shared_ptr<Group> group, ReducerOptions options) {
  std::shared_ptr<Reducer> reducer(
      new Reducer(std::move(parameters), std::move(names), std::move(sparse), std::move(group), options));
  reducer->install(assignment);
  for (size_t p = 0; p < reducer->parameters_.size(); ++p) {
    std::weak_ptr<Reducer> weak = reducer;
    reducer->hook_ids_.push_back(register_arrival_hook(reducer->parameters_[p], [weak, p](const Tensor&) {
      if (auto self = weak.lock()) self->on_gradient(p);
    }));
    autograd_meta(reducer->parameters_[p]).gradient_place = [weak, p] {
      auto self = weak.lock();
      return self ? self->place(p) : Tensor();
    };
  }
  return reducer;
}

Reducer::Reducer(TensorList parameters, std::vector<std::string> names, std::vector<bool> sparse,
                 std::shared_ptr<Group> group, ReducerOptions options)
    : parameters_(std::move(parameters)),
      names_(std::move(names)),
      sparse_(std::move(sparse)),
      group_(std::move(group)),
      options_(options) {
  NNLIB_CHECK(names_.size() == parameters_.size() && sparse_.size() == parameters_.size(),
              "expected a name for each of ", parameters_.size(), " parameters");
  for (size_t p = 0; p < parameters_.size(); ++p) positions_[parameters_[p].impl()] = p;
  const auto n = static_cast<int64_t>(parameters_.size());
  usage_ = empty(Dims{n}, Dtype::Int32);
  ready_.assign(parameters_.size(), 0);
  placed_.assign(parameters_.size(), 0);
  runs_.assign(parameters_.size(), 0);
}

Reducer::~Reducer() {
  for (size_t p = 0; p < hook_ids_.size(); ++p) remove_arrival_hook(parameters_[p], hook_ids_[p]);
}

void Reducer::install(const Assignment& assignment) {
  buckets_ = make_buckets(parameters_, sparse_, assignment, *group_);
  places_.assign(parameters_.size(), Place{SIZE_MAX, 0});
  for (const Bucket& bucket : buckets_)
    for (size_t s = 0; s < bucket.slots.size(); ++s) places_[bucket.slots[s].parameter] = {bucket.index, s};
  for (size_t p = 0; p < places_.size(); ++p)
    NNLIB_CHECK(places_[p].bucket != SIZE_MAX, "parameter ", names_[p], " is in no bucket");
}

void Reducer::rebuild(const Assignment& assignment, std::shared_ptr<Group> group) {
  check_finished();
  expecting_ = false;
  group_ = std::move(group);
  install(assignment);
}

std::string Reducer::names_of(const std::vector<size_t>& which) const {
  std::string text;
  for (size_t i = 0; i < which.size() && i < 20; ++i) text += (i ? ", " : "") + names_[which[i]];
  return which.size() > 20 ? text + ", ..." : text;
}

void Reducer::check_finished() const {
  if (!expecting_ || !any_came_) return;
  std::vector<size_t> missing;
  for (size_t p = 0; p < ready_.size(); ++p)
    if (!ready_[p]) missing.push_back(p);
  NNLIB_CHECK(
      false,
      "Expected to have finished reduction in the prior iteration before starting a new one. This error "
      "indicates that "
      "your module has parameters that were not used in producing loss. Parameters that got no gradient: ",
      names_of(missing),
      ". You can enable unused parameter detection by passing find_unused_parameters=True to "
      "DistributedDataParallel, and by making sure all forward function outputs participate in calculating "
      "loss.");
}

void Reducer::reset_pass() {
  any_came_ = false;
  next_ = 0;
  usage_job_ = nullptr;
  unused_.clear();
  copied_ = 0;
  std::fill(ready_.begin(), ready_.end(), 0);
  std::fill(placed_.begin(), placed_.end(), 0);
  std::fill(runs_.begin(), runs_.end(), 0);
  fill_values(usage_, Scalar(0));
  if (!arrivals_complete_) arrivals_.clear();
  for (Bucket& bucket : buckets_) {
    bucket.pending = bucket.slots.size();
    bucket.job = nullptr;
  }
}

void Reducer::prepare_for_backward(const TensorList& outputs, int64_t forwards) {
  check_finished();
  reset_pass();
  forwards_ = forwards;
  expecting_ = true;
  if (options_.static_graph) {
    for (size_t p = 0; graph_known_ && p < parameters_.size(); ++p)
      if (expected_runs_[p] == 0) unused_.push_back(p);
  } else if (options_.find_unused) {
    mark_unreachable(outputs);
  }
}

// Parameters that the graph of the outputs does not lead to will get no gradient in this pass.
void Reducer::mark_unreachable(const TensorList& outputs) {
  std::vector<char> reached(parameters_.size(), 0);
  std::vector<Node*> stack;
  std::unordered_set<Node*> seen;
  std::vector<Edge> roots;  // keeps the nodes alive meanwhile
  for (const Tensor& output : outputs) {
    Edge edge = gradient_edge(output);
    if (!edge) continue;
    if (seen.insert(edge.node.get()).second) stack.push_back(edge.node.get());
    roots.push_back(std::move(edge));
  }
  while (!stack.empty()) {
    Node* node = stack.back();
    stack.pop_back();
    if (auto* leaf = dynamic_cast<AccumulateGrad*>(node)) {
      auto found = positions_.find(leaf->variable.impl());
      if (found != positions_.end()) reached[found->second] = 1;
    }
    for (const Edge& edge : node->next)
      if (edge && seen.insert(edge.node.get()).second) stack.push_back(edge.node.get());
  }
  for (size_t p = 0; p < reached.size(); ++p)
    if (!reached[p]) unused_.push_back(p);
}

void Reducer::on_gradient(size_t p) {
  if (!expecting_) return;
  if (!any_came_) {
    any_came_ = true;
    if (options_.static_graph && !graph_known_) at_end_of_backward(&Reducer::learn_static_graph);
    for (size_t q : unused_) mark_ready(q);
  }
  ++runs_[p];
  if (options_.static_graph) {
    if (!graph_known_) {
      if (runs_[p] == 1) arrivals_.push_back(p);
      return;  // nothing is reduced before it is known how often each hook runs
    }
    if (runs_[p] < expected_runs_[p]) return;
  }
  usage_.data<int32_t>()[p] = grad_slot(parameters_[p]).defined();  // may have come undefined
  if (!arrivals_complete_ && !options_.find_unused) arrivals_.push_back(p);
  mark_ready(p);
}

void Reducer::mark_ready(size_t p) {
  NNLIB_CHECK(
      !ready_[p], "Expected to mark a variable ready only once. Parameter ", names_[p],
      " got its gradient a second time in one iteration. That happens when a parameter is used outside of "
      "forward(), is shared by several checkpointed parts, or when several backward passes run over parts "
      "that share it; static_graph=True allows the last two when the graph does not change.");
  ready_[p] = 1;
  Bucket& bucket = buckets_[places_[p].bucket];
  fill_slot(bucket, bucket.slots[places_[p].slot]);
  if (--bucket.pending == 0) start_ready_buckets();
}

// Where the gradient is to be made: in its bucket, once in a pass.
Tensor Reducer::place(size_t p) {
  if (!expecting_ || ready_[p] || placed_[p]) return {};
  Bucket& bucket = buckets_[places_[p].bucket];
  Slot& slot = bucket.slots[places_[p].slot];
  if (!slot.view.defined() || !may_lend(slot)) return {};
  placed_[p] = 1;
  return lend(bucket, slot);
}

// A hook that sees the gradient before it is averaged must not see it change.
bool Reducer::may_lend(const Slot& slot) const {
  const auto& hooks = autograd_meta(parameters_[slot.parameter]).post_accumulate;
  return options_.bucket_view || !hooks || hooks->entries.empty();
}

// A tensor on the slot's memory, with a storage of its own.
Tensor Reducer::lend(const Bucket& bucket, Slot& slot) {
  reclaim(slot);
  const Tensor& view = slot.view;
  slot.lent = Ref<Storage>(
      new Storage(view.raw(), static_cast<size_t>(view.nbytes()), [memory = bucket.flat.storage()] {}));
  if (!options_.bucket_view) slot.lent->lend();
  const Tensor t = from_storage(slot.lent, view.dtype(), view.sizes(), view.strides(), 0);
  t.impl()->device = parameters_[slot.parameter].device();
  return t;
}

// Before the slot's memory is written: whoever still holds what was there takes it elsewhere.
void Reducer::reclaim(Slot& slot) {
  if (slot.lent && slot.lent->is_lent() && slot.lent->use_count() > 1) slot.lent->move_out();
  slot.lent = nullptr;
}

void Reducer::fill_slot(const Bucket& bucket, Slot& slot) {
  if (!slot.view.defined()) return;  // sparse: taken from .grad at the end
  const Tensor& parameter = parameters_[slot.parameter];
  Tensor& grad = grad_slot(parameter);
  if (!grad.defined()) {
    reclaim(slot);
    fill_values(slot.view, Scalar(0.0));
    return;
  }
  NNLIB_CHECK(
      !grad.is_sparse(), "parameter ", names_[slot.parameter],
      " got a sparse gradient, but was not declared to have one when DistributedDataParallel was made");
  if (grad.raw() == slot.view.raw() && grad.strides() == slot.view.strides()) return;
  reclaim(slot);
  copy_values(slot.view, grad);
  copied_ += slot.view.nbytes();
  if (!options_.bucket_view &&
      !(may_lend(slot) && holds_alone(grad) && grad.strides() == slot.view.strides()))
    return;
  const Tensor there = lend(bucket, slot);
  if (options_.bucket_view)
    grad = there;
  else
    set_data(grad, there);  // it stays the tensor that it is, in other memory
}

void Reducer::start_ready_buckets() {
  while (next_ < buckets_.size() && buckets_[next_].pending == 0) {
    start(buckets_[next_]);
    ++next_;
  }
  if (next_ < buckets_.size()) return;
  start_usage();
  at_end_of_backward(&Reducer::finish);
}

// Buckets may fill up in several backward passes after one forward: the pass that fills the last one ends it
// all.
void Reducer::at_end_of_backward(void (Reducer::*what)()) {
  std::weak_ptr<Reducer> weak = weak_from_this();
  queue_callback([weak, what] {
    if (auto self = weak.lock()) (self.get()->*what)();
  });
}

// A gradient stays as it is when no rank has used the parameter.
void Reducer::start_usage() {
  const bool ask = options_.find_unused || (options_.static_graph && !graph_known_);
  if (ask && group_->size() > 1) usage_job_ = group_->all_reduce(usage_, ReduceOp::Sum, 0);
}

void Reducer::shadow_pass() {
  reset_pass();
  forwards_ = 0;
  for (Bucket& bucket : buckets_) {
    for (Slot& slot : bucket.slots) reclaim(slot);
    if (!bucket.sparse) fill_values(bucket.flat, Scalar(0.0));
    start(bucket);
  }
  start_usage();
  wait_for_usage();
  for (Bucket& bucket : buckets_) {
    wait_for(bucket);
    const size_t first = bucket.slots[0].parameter;
    if (bucket.sparse && used_somewhere(first) && sparse_average_)
      sparse_average_(Tensor(), parameters_[first]);
  }
  if (expected_runs_.empty()) expected_runs_ = runs_;
}

// The ranks agree on it only where they use the same parameters: that is what skip_unused says of them.
bool Reducer::all_unused(const Bucket& bucket) const {
  return std::all_of(bucket.slots.begin(), bucket.slots.end(), [this](const Slot& slot) {
    return std::find(unused_.begin(), unused_.end(), slot.parameter) != unused_.end();
  });
}

void Reducer::start(Bucket& bucket) {
  if (bucket.sparse || (options_.skip_unused && all_unused(bucket))) return;
  if (comm_hook_) {
    bucket.job = comm_hook_(bucket, bucket.index + 1 == buckets_.size());
  } else if (group_->size() > 1) {
    bucket.job = group_->all_reduce(bucket.flat, divisor_ ? ReduceOp::Sum : ReduceOp::Avg, forwards_);
  }
}

void Reducer::learn_static_graph() {
  expected_runs_ = runs_;
  for (size_t p = 0; p < runs_.size(); ++p) {
    usage_.data<int32_t>()[p] = grad_slot(parameters_[p]).defined();
    mark_ready(p);
  }
}

void Reducer::wait(Job& job) {
  while (!job.wait(0.1))
    if (check_interrupt) check_interrupt();
  NNLIB_CHECK(!job.has_failed(), job.error());
}

void Reducer::wait_for(Bucket& bucket) {
  if (!bucket.job) return;
  const auto began = std::chrono::steady_clock::now();
  wait(*bucket.job);
  stats_.waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  stats_.communicating += bucket.job->seconds();
  stats_.bytes += bucket.flat.nbytes();
  ++stats_.buckets;
  if (divisor_ && !comm_hook_) divide(bucket.flat, divisor_);
}

void Reducer::wait_for_usage() {
  const bool learning = options_.static_graph && !graph_known_;
  if (!options_.find_unused && !learning) return;
  if (usage_job_) wait(*usage_job_);
  used_somewhere_.resize(parameters_.size());
  for (size_t p = 0; p < parameters_.size(); ++p) used_somewhere_[p] = usage_.data<int32_t>()[p] > 0;
  graph_known_ = learning || graph_known_;
}

// A bucket is copied back while later ones are still on their way.
void Reducer::finish() {
  expecting_ = false;
  stats_ = PassStats();
  wait_for_usage();
  for (Bucket& bucket : buckets_) {
    wait_for(bucket);
    for (Slot& slot : bucket.slots)
      if (used_somewhere(slot.parameter)) take_back(bucket, slot);
  }
  stats_.copied = copied_;
  if (!options_.find_unused) arrivals_complete_ = true;
}

void Reducer::take_back(const Bucket& bucket, Slot& slot) {
  const Tensor& parameter = parameters_[slot.parameter];
  Tensor& grad = grad_slot(parameter);
  if (bucket.sparse) {
    if (sparse_average_) grad = sparse_average_(grad, parameter);
    return;
  }
  if (grad.defined() && grad.raw() == slot.view.raw()) return;
  if (options_.bucket_view || !grad.defined()) {
    grad = lend(bucket, slot);
    return;
  }
  copy_values(grad, slot.view);
  copied_ += slot.view.nbytes();
  grad.bump_version();
}

}  // namespace nnlib::distributed
