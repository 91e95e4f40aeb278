// Attention of bfloat16 tensors by the drivers' blocks of bfloat16.
#include "ops/drivers/attention_tiles.h"

#include <limits>

#include "ops/attention_blocks.h"
#include "ops/creation.h"
#include "ops/elementwise.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

drivers::AttentionShape shape_of(const Tensor& q, const Tensor& k, const Tensor& v,
                                 const AttentionArgs& args) {
  return {q.size(0), q.size(1), k.size(1),   q.size(2),        k.size(2),
          q.size(3), v.size(3), args.causal, float(args.scale)};
}
template <class T>
drivers::Heads<T> heads_of(const Tensor& t) {
  if (!t.defined()) return {nullptr, 0, 0, 0, 0};
  return {t.data<std::remove_const_t<T>>(), t.stride(0), t.stride(1), t.stride(2), t.stride(3)};
}

// What is added to the scores, in float32; broadcast as it was.
Tensor added(const TensorList& masks) {
  if (masks.empty() || masks[0].dtype() == Dtype::Float32) return masks.empty() ? Tensor() : masks[0];
  NoGradGuard guard;
  Tensor mask = masks[0];
  const Dims sizes = mask.sizes();
  for (int d = 0; d < 4; ++d)
    if (mask.stride(d) == 0) mask = narrow(mask, d, 0, 1);
  if (mask.dtype() == Dtype::Bool) {
    mask = masked_fill(zeros(mask.sizes(), Dtype::Float32), logical_not(mask),
                       wrapped_number(Scalar(-std::numeric_limits<double>::infinity())));
  }
  return expand(cast_values(mask, Dtype::Float32), sizes);
}

}  // namespace

bool attention_takes_tiles(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args) {
  if (q.dtype() != Dtype::BFloat16 || args.dropout || args.masks.size() > 1) return false;
  // A mask that is no float32 is written out, which should not take as much memory as the scores.
  for (const Tensor& m : args.masks)
    if (m.dtype() != Dtype::Float32 && q.size(1) > 1 && m.stride(1) != 0) return false;
  return drivers::attention_tiles_pay(shape_of(q, k, v, args));
}

void attention_forward_tiles(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionArgs& args,
                             const Tensor& out, const Tensor& normalizers) {
  const Tensor mask = added(args.masks);
  drivers::attention_forward_by_tiles(shape_of(q, k, v, args), heads_of<const BFloat16>(q),
                                      heads_of<const BFloat16>(k), heads_of<const BFloat16>(v),
                                      heads_of<const float>(mask), heads_of<float>(out),
                                      normalizers.data<float>());
}

TensorList attention_backward_tiles(const AttentionState& s, const AttentionArgs& args) {
  const Tensor mask = added(args.masks);
  const TensorList grads = {empty(s.q.sizes(), Dtype::Float32), empty(s.k.sizes(), Dtype::Float32),
                            empty(s.v.sizes(), Dtype::Float32)};
  drivers::attention_backward_by_tiles(
      shape_of(s.q, s.k, s.v, args), heads_of<const BFloat16>(s.grad), heads_of<const BFloat16>(s.q),
      heads_of<const BFloat16>(s.k), heads_of<const BFloat16>(s.v), heads_of<const float>(mask),
      heads_of<const float>(s.out), s.normalizers.data<float>(), grads[0].data<float>(),
      grads[1].data<float>(), grads[2].data<float>());
  return grads;
}

}  // namespace nnlib::ops
