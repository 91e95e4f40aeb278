#include "ops/composite.h"

#include "autograd/engine.h"

namespace nnlib::ops {

namespace {

// The same values with a history of one step, which tells this use of the tensor apart from all others: the
// tensor may be an ancestor of another input.
Tensor separate(const Tensor& t) {
  if (!wants_grad(t)) return t;
  Tensor out = alias(t);
  record(out, "AliasBackward0", {t}, [](Backward&, const TensorList& g) { return TensorList{g[0]}; });
  return out;
}

}  // namespace

TensorList composite_gradients(const Backward& ctx, const TensorList& inputs, const TensorList& grads,
                               const Formula& formula) {
  TensorList own;
  for (const Tensor& t : inputs) own.push_back(t.defined() ? separate(t) : t);
  const TensorList outputs = formula(own);
  std::vector<Edge> roots, targets;
  TensorList root_grads;
  for (size_t i = 0; i < outputs.size(); i++) {
    if (!grads[i].defined() || !wants_grad(outputs[i])) continue;
    roots.push_back(gradient_edge(outputs[i]));
    root_grads.push_back(grads[i]);
  }
  std::vector<size_t> places;
  for (size_t i = 0; i < own.size(); i++) {
    if (!ctx.needs(i) || !wants_grad_one(own[i])) continue;
    places.push_back(i);
    targets.push_back(gradient_edge(own[i]));
  }
  TensorList result(inputs.size());
  if (roots.empty() || targets.empty()) return result;
  BackwardOptions options;
  options.retain_graph = options.create_graph = true;
  options.accumulate = false;
  const TensorList found = run_backward(roots, root_grads, targets, options);
  for (size_t k = 0; k < places.size(); k++) result[places[k]] = found[k];
  return result;
}

Tensor in_format_of(const Tensor& like, const Tensor& result) {
  if (like.is_contiguous() || like.dim() != result.dim() || (like.dim() != 4 && like.dim() != 5))
    return result;
  const MemoryFormat format = like.dim() == 4 ? MemoryFormat::ChannelsLast : MemoryFormat::ChannelsLast3d;
  if (!like.is_contiguous(format)) return result;
  Tensor out = empty(result.sizes(), result.dtype(), format);
  copy_values(out, result);
  return out;
}

}  // namespace nnlib::ops
