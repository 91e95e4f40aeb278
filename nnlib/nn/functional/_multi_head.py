"""Multi-head attention as a function of its weights."""

import math
import warnings

from nnlib import _C

from ._attention import attend_masked


def _expect(condition, message):
    if not condition:
        raise AssertionError(message)


def _check_dims(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Whether there is a batch dimension; AssertionError if the tensors disagree about it."""
    ndim = query.dim()
    _expect(
        ndim in (2, 3),
        f"query should be unbatched 2D or batched 3D tensor but received {ndim}-D query tensor",
    )
    kind = "batched (3-D)" if ndim == 3 else "unbatched (2-D)"
    _expect(
        key.dim() == ndim and value.dim() == ndim,
        f"For {kind} `query`, expected `key` and `value` to be {ndim}-D but found {key.dim()}-D and "
        f"{value.dim()}-D tensors respectively",
    )
    if key_padding_mask is not None:
        _expect(
            key_padding_mask.dim() == ndim - 1,
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {ndim - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead",
        )
    if attn_mask is not None:
        _expect(
            attn_mask.dim() in (2, 3),
            f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found "
            f"{attn_mask.dim()}-D tensor instead",
        )
        if ndim == 2 and attn_mask.dim() == 3:
            expected = (num_heads, query.shape[0], key.shape[0])
            _expect(
                tuple(attn_mask.shape) == expected,
                f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}",
            )
    return ndim == 3


def _check_mask(mask, name, other=None, other_name="", stacklevel=3):
    """AssertionError unless a mask's type is right; a warning where that of the `other` mask is not the same."""
    if mask is None:
        return
    _expect(
        mask.dtype == _C.bool or mask.is_floating_point(),
        f"only bool and floating types of {name} are supported",
    )
    if other is not None and mask.dtype != other.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=stacklevel,
        )


def additive_mask(mask, name, dtype, other=None, other_name=""):
    """`mask` in the form that is added to scores: a bool mask becomes 0 and -inf."""
    _check_mask(mask, name, other, other_name, stacklevel=4)
    if mask is not None and mask.dtype == _C.bool:
        return _C.zeros(mask.shape, dtype=dtype).masked_fill(mask, -math.inf)
    return mask


def _project(query, key, value, weight, bias):
    """Query, key and value through the three parts of the packed projection, in as few products as they
    allow.
    """
    size = query.size(-1)
    if key is value:
        if query is key:
            return _C.linear(query, weight, bias).chunk(3, -1)
        biases = (None, None) if bias is None else (bias[:size], bias[size:])
        k, v = _C.linear(key, weight[size:], biases[1]).chunk(2, -1)
        return _C.linear(query, weight[:size], biases[0]), k, v
    biases = (None, None, None) if bias is None else bias.chunk(3)
    inputs = zip((query, key, value), weight.chunk(3), biases, strict=True)
    return tuple(_C.linear(x, w, b) for x, w, b in inputs)


def _project_separately(query, key, value, weights, bias):
    embed = query.size(-1)
    for name, weight, x in zip(("query", "key", "value"), weights, (query, key, value), strict=True):
        _expect(weight is not None, "use_separate_proj_weight is True but a projection weight is None")
        expected = (embed, x.size(-1))
        _expect(
            tuple(weight.shape) == expected,
            f"expecting {name} weights shape of {expected}, but got {weight.shape}",
        )
    biases = (None, None, None) if bias is None else bias.chunk(3)
    inputs = zip((query, key, value), weights, biases, strict=True)
    return tuple(_C.linear(x, w, b) for x, w, b in inputs)


def _check_attn_mask(mask, tgt_len, src_len, heads):
    """The mask with three dimensions; RuntimeError if its shape is wrong."""
    expected = {2: (tgt_len, src_len), 3: (heads, tgt_len, src_len)}.get(mask.dim())
    if expected is None:
        raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
    if tuple(mask.shape) != expected:
        raise RuntimeError(
            f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}."
        )
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def _add_column(mask):
    return None if mask is None else _C.pad(mask, (0, 1), "constant", 0.0)


def _heads(x, static, name, heads, head_dim, batch_first):
    """(L, N, E) or (N, L, E) as (N, heads, L, E / heads); or the ready one that the caller brought."""
    if static is None:
        x = x.unflatten(-1, (heads, head_dim))
        return x.transpose(1, 2) if batch_first else x.permute(1, 2, 0, 3)
    bsz = x.size(0 if batch_first else 1)
    _expect(
        static.size(0) == bsz * heads, f"expecting {name}.size(0) of {bsz * heads}, but got {static.size(0)}"
    )
    _expect(static.size(2) == head_dim, f"expecting {name}.size(2) of {head_dim}, but got {static.size(2)}")
    return static.unflatten(0, (bsz, heads))


def _four_dims(attn_mask, key_padding_mask, bsz, heads, src_len):
    """The masks that there are, each to be broadcast to (N, heads, L, S)."""
    masks = []
    if attn_mask is not None:
        masks.append(attn_mask if attn_mask.size(0) == 1 else attn_mask.unflatten(0, (bsz, heads)))
    if key_padding_mask is not None:
        for axis, size in enumerate((bsz, src_len)):
            found = key_padding_mask.shape[axis]
            _expect(found == size, f"Expected key_padded_mask.shape[{axis}] to be {size}, but got {found}")
        masks.append(key_padding_mask.view(bsz, 1, 1, src_len))
    return masks


def _attend_with_weights(q, k, v, masks, dropout_p):
    """(output, weights), both of them (N, heads, L, ...)."""
    scores = q * math.sqrt(1.0 / q.size(-1)) @ k.transpose(-2, -1)
    for mask in masks:
        scores = scores + additive_mask(mask, "mask", q.dtype)
    weights = _C.softmax(scores, -1)
    if dropout_p > 0.0:
        weights = _C.dropout(weights, dropout_p, True)
    return weights @ v, weights


def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training=True,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    use_separate_proj_weight=False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
):
    """What `nnlib.nn.MultiheadAttention` computes, from its parameters.

    Args:
        query, key, value (Tensor): shapes (L, N, E), (S, N, E_k), (S, N, E_v), or without N.
        embed_dim_to_check (int): E.
        num_heads (int): it divides E.
        in_proj_weight, in_proj_bias: of the packed projection, shapes (3E, E) and (3E).
        bias_k, bias_v: a key and a value added to every sequence, shape (1, 1, E).
        add_zero_attn (bool): add a key and a value of zeros.
        dropout_p (float): of the attention weights, in training.
        out_proj_weight, out_proj_bias: of the output projection.
        training (bool): whether to drop out. Default: ``True``.
        key_padding_mask (Tensor, optional): shape (N, S); True or -inf leaves a key out.
        need_weights (bool): return the attention weights as well. Default: ``True``.
        attn_mask (Tensor, optional): shape (L, S) or (N num_heads, L, S); True or -inf forbids, numbers are
            added.
        use_separate_proj_weight (bool): take the three projections from the next arguments. Default:
            ``False``.
        q_proj_weight, k_proj_weight, v_proj_weight: shapes (E, E), (E, E_k), (E, E_v).
        static_k, static_v: ready keys and values, shape (N num_heads, S, E / num_heads).
        average_attn_weights (bool): the mean of the weights over the heads. Default: ``True``.
        is_causal (bool): says that `attn_mask` is the causal one. Default: ``False``.

    Returns:
        (output, weights): shapes (L, N, E) and (N, L, S) or (N, num_heads, L, S); weights are None unless
            needed.

    Raises:
        AssertionError, RuntimeError: shapes that do not fit.
    """
    return attend(
        query,
        key,
        value,
        embed_dim_to_check,
        num_heads,
        in_proj_weight,
        in_proj_bias,
        bias_k,
        bias_v,
        add_zero_attn,
        dropout_p,
        out_proj_weight,
        out_proj_bias,
        training,
        key_padding_mask,
        need_weights,
        attn_mask,
        use_separate_proj_weight,
        (q_proj_weight, k_proj_weight, v_proj_weight),
        static_k,
        static_v,
        average_attn_weights,
        is_causal,
    )


def attend(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training,
    key_padding_mask,
    need_weights,
    attn_mask,
    use_separate_proj_weight,
    proj_weights,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
    batch_first=False,
):
    """`multi_head_attention_forward`, also of tensors whose first dimension is the batch."""
    batched = _check_dims(query, key, value, key_padding_mask, attn_mask, num_heads)
    batch_first = batch_first and batched
    if not batched:
        same = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same[0] else key.unsqueeze(1)
        value = key if same[1] else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length_dim = 1 if batch_first else 0
    tgt_len, bsz, embed_dim = query.size(length_dim), query.size(1 - length_dim), query.size(2)
    src_len = key.size(length_dim)
    _expect(
        embed_dim == embed_dim_to_check,
        f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed_dim}",
    )
    head_dim = embed_dim // num_heads
    _expect(
        head_dim * num_heads == embed_dim, f"embed_dim {embed_dim} not divisible by num_heads {num_heads}"
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    _check_mask(key_padding_mask, "key_padding_mask", attn_mask, "attn_mask")
    is_causal = is_causal and key_padding_mask is None and not need_weights
    attn_mask = None if is_causal else attn_mask
    _check_mask(attn_mask, "attn_mask")
    if use_separate_proj_weight:
        _expect(
            key.shape[:2] == value.shape[:2],
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}",
        )
        q, k, v = _project_separately(query, key, value, proj_weights, in_proj_bias)
    else:
        _expect(key.shape == value.shape, f"key shape {key.shape} does not match value shape {value.shape}")
        _expect(in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        attn_mask = _check_attn_mask(attn_mask, tgt_len, src_len, bsz * num_heads)
    _expect((bias_k is None) == (bias_v is None), "bias_k and bias_v have to be set both or none")
    if bias_k is not None:
        _expect(static_k is None, "bias cannot be added to static key.")
        _expect(static_v is None, "bias cannot be added to static value.")
        shape = (bsz, 1, embed_dim) if batch_first else (1, bsz, embed_dim)
        k, v = (_C.cat([x, b.expand(shape)], length_dim) for x, b in ((k, bias_k), (v, bias_v)))
        attn_mask, key_padding_mask = _add_column(attn_mask), _add_column(key_padding_mask)
    q = _heads(q, None, "query", num_heads, head_dim, batch_first)
    k = _heads(k, static_k, "static_k", num_heads, head_dim, batch_first)
    v = _heads(v, static_v, "static_v", num_heads, head_dim, batch_first)
    if add_zero_attn:
        zeros = _C.zeros((bsz, num_heads, 1, head_dim), dtype=k.dtype)
        k, v = _C.cat([k, zeros], 2), _C.cat([v, zeros], 2)
        attn_mask, key_padding_mask = _add_column(attn_mask), _add_column(key_padding_mask)
    masks = _four_dims(attn_mask, key_padding_mask, bsz, num_heads, k.size(2))
    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        output, weights = _attend_with_weights(q, k, v, masks, dropout_p)
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        # The scores are never held as a whole, so the masks are not put together either.
        masks = [mask.logical_not() if mask.dtype == _C.bool else mask for mask in masks]
        output = attend_masked(q, k, v, masks, dropout_p, is_causal)
    output = output.transpose(1, 2) if batch_first else output.permute(2, 0, 1, 3)
    output = _C.linear(output.flatten(2), out_proj_weight, out_proj_bias)
    if batched:
        return output, weights
    return output.squeeze(1), None if weights is None else weights.squeeze(0)
