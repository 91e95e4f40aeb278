#include "ops/attention.h"

#include <cmath>
#include <limits>

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

// The mask that is added: minus infinity where a bool mask is false.
Tensor additive_mask(const Tensor& mask, Dtype dtype) {
  if (!mask.defined()) return mask;
  if (mask.dtype() != Dtype::Bool) {
    NNLIB_CHECK(
        mask.dtype() == dtype || mask.dtype() == Dtype::Float32,
        "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: ",
        dtype_name(mask.dtype()), " and  query.dtype: ", dtype_name(dtype), " instead.");
    return mask;
  }
  return masked_fill(zeros(mask.sizes(), dtype), logical_not(mask),
                     wrapped_number(Scalar(-std::numeric_limits<double>::infinity())));
}

Tensor causal_mask(int64_t L, int64_t S, Dtype dtype) {
  return additive_mask(tril(ones({L, S}, Dtype::Bool)), dtype);
}

// Softmax over the last dimension that gives zeros where everything is masked.
Tensor safe_softmax(const Tensor& scores) {
  const Tensor p = softmax(scores, -1, std::nullopt);
  Tensor all_masked;
  {
    NoGradGuard guard;
    if (scores.numel() == 0) return p;
    all_masked = isneginf(amax(scores, {-1}, true));
  }
  return masked_fill(p, all_masked, wrapped_number(Scalar(0.0)));
}

// The definition, from plain operators.
Tensor plain_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                       double dropout_p, bool causal, double scale) {
  const double root = std::sqrt(std::abs(scale)), sign = scale < 0 ? -1 : 1;
  Tensor scores = matmul(q * Scalar(root * sign), transpose(k, -2, -1) * Scalar(root));
  if (causal) scores = scores + causal_mask(q.size(-2), k.size(-2), q.dtype());
  if (mask.defined()) scores = scores + mask;
  Tensor p = safe_softmax(scores);
  if (p.dtype() != q.dtype()) p = cast(p, q.dtype());
  if (dropout_p > 0) p = dropout(p, dropout_p, true);
  return matmul(p, v);
}

Tensor repeat_heads(const Tensor& t, int64_t group) {
  return group == 1 ? t : repeat_interleave(t, group, -3);
}

// Whether the heads of keys and values serve the queries' heads, each a group of them where `grouped`.
bool heads_fit(const Tensor& q, const Tensor& k, const Tensor& v, bool grouped) {
  return q.size(0) == k.size(0) && q.size(0) == v.size(0) && k.size(1) == v.size(1) &&
         (grouped ? q.size(1) % k.size(1) == 0 : q.size(1) == k.size(1));
}

// Block by block, with the gradient of the same kind.
Tensor fused_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal,
                       double scale) {
  AttentionArgs args;
  args.causal = causal;
  args.scale = scale;
  const Dtype type = q.dtype() == Dtype::Float64 ? Dtype::Float64 : Dtype::Float32;
  if (mask.defined()) {
    NoGradGuard guard;
    args.mask = expand(cast_values(mask, type), {q.size(0), q.size(1), q.size(2), k.size(2)});
  }
  Tensor log_sum;
  const Tensor wide = attention_forward(q, k, v, args, &log_sum);
  Tensor out = cast_values(wide, q.dtype());
  if (!wants_grad(q, k, v)) return out;
  record(
      out, "ScaledDotProductFlashAttentionForCpuBackward0", {q, k, v},
      [q = save(q), k = save(k), v = save(v), kept = wide.is_same(out) ? Tensor() : wide,
       out = save_output(out), log_sum, args, mask, type](Backward& ctx, const TensorList& g) {
        const Tensor qv = q.get(ctx), kv = k.get(ctx), vv = v.get(ctx);
        if (GradMode::enabled()) {
          return composite_gradients(ctx, {qv, kv, vv}, g, [&](const TensorList& in) {
            const int64_t group = in[0].size(1) / in[1].size(1);
            return TensorList{plain_attention(in[0], repeat_heads(in[1], group), repeat_heads(in[2], group),
                                              mask, 0, args.causal, args.scale)};
          });
        }
        return attention_backward(cast_values(g[0], type), cast_values(qv, type), cast_values(kv, type),
                                  cast_values(vv, type), kept.defined() ? kept : out.get(ctx), log_sum, args);
      });
  return out;
}

void check(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, bool causal,
           double dropout_p) {
  NNLIB_CHECK(
      q.dtype() == k.dtype() && q.dtype() == v.dtype(),
      "Expected query, key, and value to have the same dtype, but got query.dtype: ", dtype_name(q.dtype()),
      " key.dtype: ", dtype_name(k.dtype()), " and value.dtype: ", dtype_name(v.dtype()), " instead.");
  NNLIB_CHECK(q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2,
              "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: ",
              q.dim(), ", key.dim: ", k.dim(), " and value.dim: ", v.dim(), " instead.");
  NNLIB_CHECK(!(mask.defined() && causal),
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

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const Tensor& attn_mask, double dropout_p, bool is_causal,
                                    std::optional<double> scale, bool enable_gqa) {
  check(query, key, value, attn_mask, is_causal, dropout_p);
  const bool grouped = enable_gqa && query.dim() >= 3;
  if (grouped)
    NNLIB_CHECK(query.size(-3) % key.size(-3) == 0 && query.size(-3) % value.size(-3) == 0,
                "Number of heads in key and value must divide the number of heads in query, got ",
                key.size(-3), ", ", value.size(-3), " and ", query.size(-3));
  const Tensor mask = additive_mask(attn_mask, query.dtype());
  const double factor = scale.value_or(1 / std::sqrt((double)query.size(-1)));
  const bool fusable = dropout_p == 0 && query.dim() == key.dim() && query.dim() == value.dim() &&
                       (query.dim() == 3 || query.dim() == 4) && !wants_grad(mask) && query.numel() &&
                       key.numel() && value.numel();
  if (fusable && query.dim() == 4 && heads_fit(query, key, value, grouped) &&
      (!mask.defined() || mask.dim() <= 4))
    return fused_attention(query, key, value, mask, is_causal, factor);
  if (fusable && query.dim() == 3 && !grouped && query.size(0) == key.size(0) &&
      query.size(0) == value.size(0) && (!mask.defined() || mask.dim() <= 3)) {
    const Tensor out =
        fused_attention(unsqueeze(query, 1), unsqueeze(key, 1), unsqueeze(value, 1),
                        mask.defined() && mask.dim() == 3 ? unsqueeze(mask, 1) : mask, is_causal, factor);
    return squeeze(out, 1);
  }
  const Tensor k = grouped ? repeat_heads(key, query.size(-3) / key.size(-3)) : key;
  const Tensor v = grouped ? repeat_heads(value, query.size(-3) / value.size(-3)) : value;
  return plain_attention(query, k, v, mask, dropout_p, is_causal, factor);
}

}  // namespace nnlib::ops
