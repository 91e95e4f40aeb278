#include "ops/attention.h"

#include <cmath>
#include <limits>

#include "core/shape.h"
#include "ops/attention_blocks.h"
#include "ops/composite.h"
#include "ops/creation.h"
#include "ops/dropout.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/reduce.h"
#include "ops/shape.h"

namespace nnlib::ops {

namespace {

void check_mask(const Tensor& mask, Dtype dtype) {
  NNLIB_CHECK(
      !mask.defined() || mask.dtype() == Dtype::Bool || mask.dtype() == dtype ||
          mask.dtype() == Dtype::Float32,
      "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: ",
      dtype_name(mask.dtype()), " and  query.dtype: ", dtype_name(dtype), " instead.");
}

// The mask that is added: minus infinity where a bool mask is false.
Tensor additive_mask(const Tensor& mask, Dtype dtype) {
  if (mask.dtype() != Dtype::Bool) return mask;
  return masked_fill(zeros(mask.sizes(), dtype), logical_not(mask),
                     wrapped_number(Scalar(-std::numeric_limits<double>::infinity())));
}

Tensor causal_mask(int64_t L, int64_t S, Dtype dtype) {
  return additive_mask(tril(ones({L, S}, Dtype::Bool)), dtype);
}

// Softmax over the last dimension that gives zeros where everything is masked.
Tensor safe_softmax(const Tensor& scores) {
  if (scores.numel() == 0) return softmax(scores, -1, std::nullopt);
  Tensor all_masked;
  {
    NoGradGuard guard;
    all_masked = isneginf(amax(scores, {-1}, true));
  }
  // Before the softmax too, whose gradient would be NaN there.
  const Tensor zero = wrapped_number(Scalar(0.0));
  return masked_fill(softmax(masked_fill(scores, all_masked, zero), -1, std::nullopt), all_masked, zero);
}

// The definition, from plain operators. `kept`: what dropout multiplies the probabilities by, or undefined.
Tensor plain_attention(const Tensor& q, const Tensor& k, const Tensor& v, const TensorList& masks,
                       bool causal, double scale, const Tensor& kept) {
  const double root = std::sqrt(std::abs(scale)), sign = scale < 0 ? -1 : 1;
  Tensor scores = matmul(q * Scalar(root * sign), transpose(k, -2, -1) * Scalar(root));
  if (causal) scores = scores + causal_mask(q.size(-2), k.size(-2), q.dtype());
  for (const Tensor& mask : masks) scores = scores + additive_mask(mask, q.dtype());
  Tensor p = safe_softmax(scores);
  if (p.dtype() != q.dtype()) p = cast(p, q.dtype());
  return matmul(kept.defined() ? p * kept : p, v);
}

Tensor repeat_heads(const Tensor& t, int64_t group) {
  return group == 1 ? t : repeat_interleave(t, group, -3);
}

// The same for operands of four dimensions, with the dropout that blocks draw.
Tensor by_definition(const Tensor& q, const Tensor& k, const Tensor& v, const TensorList& masks,
                     const AttentionArgs& args) {
  const int64_t group = q.size(1) / k.size(1);
  Tensor kept;
  if (args.dropout) {
    NoGradGuard guard;
    const Dims scores{q.size(0), q.size(1), q.size(2), k.size(2)};
    const Tensor drawn = dropout_rows(*args.dropout, scores[0] * scores[1] * scores[2]);
    kept = cast_values(reshape(drawn, scores), q.dtype()) * Scalar(args.dropout->scale);
  }
  return plain_attention(q, repeat_heads(k, group), repeat_heads(v, group), masks, args.causal, args.scale,
                         kept);
}

// The recorded step: gradients of q, k and v, and of the masks that need one.
struct FusedBackward {
  Saved q, k, v, out;
  Tensor wide, normalizers;  // wide: the result before it was rounded to q's type, where it was
  std::vector<Saved> masks;
  AttentionArgs args;

  TensorList operator()(Backward& ctx, const TensorList& g) const {
    const Tensor qv = q.get(ctx), kv = k.get(ctx), vv = v.get(ctx);
    TensorList inputs{qv, kv, vv};
    for (const Saved& m : masks) inputs.push_back(m.get(ctx));
    if (GradMode::enabled())
      return composite_gradients(ctx, inputs, g, [&](const TensorList& in) { return formula(in); });
    const Dtype type = normalizers.dtype();
    AttentionState state{g[0], qv, kv, vv, wide.defined() ? wide : out.get(ctx), normalizers};
    const bool tiles = attention_takes_tiles(qv, kv, vv, args);
    bool of_masks = false;
    for (size_t i = 3; i < inputs.size(); i++) of_masks = of_masks || ctx.needs(i);
    TensorList grads(inputs.size()), three;
    const bool of_operands = ctx.needs(0) || ctx.needs(1) || ctx.needs(2);
    if (of_operands && tiles) three = attention_backward_tiles(state, args);
    if (!tiles || of_masks) {
      for (Tensor* t : {&state.grad, &state.q, &state.k, &state.v}) *t = cast_values(*t, type);
    }
    if (of_operands && !tiles) three = attention_backward(state, args);
    std::copy(three.begin(), three.end(), grads.begin());
    for (size_t i = 3; i < inputs.size(); i++)
      if (ctx.needs(i)) grads[i] = attention_mask_gradient(state, args, inputs[i].sizes());
    return grads;
  }

  TensorList formula(const TensorList& in) const {
    return {by_definition(in[0], in[1], in[2], TensorList(in.begin() + 3, in.end()), args)};
  }
};

// Block by block, with the gradient of the same kind. Masks have four dimensions, 1 where they are broadcast.
Tensor fused_attention(const Tensor& q, const Tensor& k, const Tensor& v, const TensorList& masks,
                       AttentionArgs args) {
  const Dims scores{q.size(0), q.size(1), q.size(2), k.size(2)};
  for (const Tensor& mask : masks) {
    NoGradGuard guard;
    args.masks.push_back(expand(mask, scores));
  }
  args.recorded = wants_grad(q, k, v, masks);
  args.by_rows = attention_takes_rows(q, k, v, args.recorded, wants_grad(masks));
  Tensor normalizers;
  const Tensor wide = attention_forward(q, k, v, args, &normalizers);
  Tensor out = cast_values(wide, q.dtype());
  if (!args.recorded) return out;
  TensorList inputs{q, k, v};
  inputs.insert(inputs.end(), masks.begin(), masks.end());
  std::vector<Saved> saved;
  for (const Tensor& mask : masks) saved.push_back(save(mask));
  record(out, "ScaledDotProductFlashAttentionForCpuBackward0", inputs,
         FusedBackward{save(q), save(k), save(v), save_output(out), wide.is_same(out) ? Tensor() : wide,
                       normalizers, std::move(saved), args});
  return out;
}

// ---- operands of any number of dimensions as (B, H, rows, width)

Dims leading(const Tensor& t) { return Dims(t.sizes().data(), t.sizes().size() - 2); }
Dims with_rows(Dims lead, int64_t rows, int64_t width) {
  lead.push_back(rows);
  lead.push_back(width);
  return lead;
}
// (B, H) of leading sizes.
Dims two_of(const Dims& lead) {
  int64_t batch = 1;
  for (int i = 0; i + 1 < lead.ssize(); i++) batch *= lead[(size_t)i];
  return {batch, lead.empty() ? 1 : lead.back()};
}
Tensor in_four(Tensor t, const Dims& lead) {
  const int64_t rows = t.size(-2), width = t.size(-1);
  const Dims full = with_rows(lead, rows, width), four = with_rows(two_of(lead), rows, width);
  if (t.sizes() != full) t = expand(t, full);
  return t.sizes() == four ? t : reshape(t, four);
}
// Of a mask, sizes of 1 stay where they can: it is not written out for all heads.
Tensor mask_in_four(Tensor mask, const Dims& lead) {
  if (lead.ssize() > 2 && mask.dim() > 2) {
    mask = expand(mask, with_rows(lead, mask.size(-2), mask.size(-1)));
    return reshape(mask, with_rows(two_of(lead), mask.size(-2), mask.size(-1)));
  }
  while (mask.dim() < 4) mask = unsqueeze(mask, 0);
  return mask;
}

void check(const Tensor& q, const Tensor& k, const Tensor& v, const TensorList& masks, bool causal,
           double dropout_p) {
  NNLIB_CHECK(
      q.dtype() == k.dtype() && q.dtype() == v.dtype(),
      "Expected query, key, and value to have the same dtype, but got query.dtype: ", dtype_name(q.dtype()),
      " key.dtype: ", dtype_name(k.dtype()), " and value.dtype: ", dtype_name(v.dtype()), " instead.");
  NNLIB_CHECK(q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2,
              "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: ",
              q.dim(), ", key.dim: ", k.dim(), " and value.dim: ", v.dim(), " instead.");
  for (const Tensor& mask : masks) check_mask(mask, q.dtype());
  NNLIB_CHECK(masks.empty() || !causal,
              "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True");
  NNLIB_CHECK(dropout_p >= 0 && dropout_p <= 1, "dropout probability has to be between 0 and 1, but got ",
              dropout_p);
  NNLIB_CHECK(q.size(-1) == k.size(-1) && k.size(-2) == v.size(-2),
              "scaled_dot_product_attention: expected query (..., L, E), key (..., S, E) and value (..., S, "
              "Ev), got ",
              q.sizes(), ", ", k.sizes(), " and ", v.sizes());
  if (!is_floating(q.dtype()))
    throw NotImplementedError(
        concat("\"scaled_dot_product_attention\" not implemented for '", dtype_legacy_name(q.dtype()), "'"));
}

// Leading sizes that all operands are broadcast to. With groups the heads of keys and values are not among
// what is compared.
Dims common_lead(const Tensor& q, const Tensor& k, const Tensor& v, const TensorList& masks, bool grouped) {
  Dims lead = leading(q);
  for (const Tensor* t : {&k, &v}) {
    Dims other = leading(*t);
    if (grouped) other.back() = lead.back();
    if (other != lead) lead = broadcast_shapes(lead, other);
  }
  for (const Tensor& mask : masks)
    if (mask.dim() > 2 && !is_expandable_to(leading(mask), lead))
      lead = broadcast_shapes(lead, leading(mask));
  return lead;
}

Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const TensorList& masks,
                 double dropout_p, bool is_causal, std::optional<double> scale, bool enable_gqa,
                 bool defined) {
  check(query, key, value, masks, is_causal, dropout_p);
  const bool grouped = enable_gqa && query.dim() >= 3;
  Tensor k = key, v = value;
  if (grouped) {
    NNLIB_CHECK(k.dim() >= 3 && v.dim() >= 3 && k.size(-3) > 0 && v.size(-3) > 0 &&
                    query.size(-3) % k.size(-3) == 0 && query.size(-3) % v.size(-3) == 0,
                "Number of heads in key and value must divide the number of heads in query, got ", k.sizes(),
                ", ", v.sizes(), " and ", query.sizes());
    if (k.size(-3) != v.size(-3)) {
      k = repeat_heads(k, query.size(-3) / k.size(-3));
      v = repeat_heads(v, query.size(-3) / v.size(-3));
    }
  }
  const double factor = scale.value_or(1 / std::sqrt((double)query.size(-1)));
  if (!query.numel() || !key.numel() || !value.numel()) {
    const int64_t group = grouped && k.size(-3) != query.size(-3) ? query.size(-3) / k.size(-3) : 1;
    return plain_attention(query, repeat_heads(k, group), repeat_heads(v, group), masks, is_causal, factor,
                           Tensor());
  }
  const Dims lead = common_lead(query, k, v, masks, grouped);
  Dims key_lead = lead;
  if (grouped) key_lead.back() = k.size(-3);
  TensorList four;
  for (const Tensor& mask : masks) four.push_back(mask_in_four(mask, lead));
  const Tensor q4 = in_four(query, lead), k4 = in_four(k, key_lead), v4 = in_four(v, key_lead);
  AttentionArgs args;
  args.causal = is_causal;
  args.scale = factor;
  if (dropout_p > 0)
    args.dropout = draw_dropout_rows(q4.size(0) * q4.size(1) * q4.size(2), k4.size(2), dropout_p);
  // As queries of (B, H, L, E) that were projected together lie; PyTorch gives that with no dropout alone.
  args.heads_beside = query.dim() == 4 && !args.dropout && q4.stride(1) < q4.stride(2);
  const Tensor out =
      defined ? by_definition(q4, k4, v4, four, args) : fused_attention(q4, k4, v4, four, args);
  const Dims sizes = with_rows(lead, out.size(-2), out.size(-1));
  return out.sizes() == sizes ? out : reshape(out, sizes);
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& attn_mask, double dropout_p, bool is_causal,
                                    std::optional<double> scale, bool enable_gqa) {
  return attention(query, key, value, attn_mask.defined() ? TensorList{attn_mask} : TensorList(), dropout_p,
                   is_causal, scale, enable_gqa, false);
}

Tensor masked_attention(const Tensor& query, const Tensor& key, const Tensor& value, const TensorList& masks,
                        double dropout_p, bool is_causal, std::optional<double> scale, bool enable_gqa,
                        bool by_definition) {
  return attention(query, key, value, masks, dropout_p, is_causal, scale, enable_gqa, by_definition);
}

}  // namespace nnlib::ops
