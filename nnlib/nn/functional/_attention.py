"""Multi-head attention as a function of its weights."""

import math
import threading
import warnings

from nnlib import _C


class _Chosen(threading.local):
    """What nn.attention.sdpa_kernel chose for this thread: None leaves the choice to the operator."""

    algorithm = None


chosen = _Chosen()


def _block_by_block(query, key, value, attn_mask, dropout_p, enable_gqa):
    """Whether the operator computes this without the matrix of scores."""
    dims = query.dim()
    if (
        dropout_p > 0
        or not dims == key.dim() == value.dim()
        or dims not in (3, 4)
        or (dims == 3 and enable_gqa)
    ):
        return False
    if attn_mask is not None and (attn_mask.requires_grad or attn_mask.dim() > dims):
        return False
    outer = dims - 2 - (dims == 4)
    same_batch = query.shape[:outer] == key.shape[:outer] == value.shape[:outer]
    if dims == 3 or not same_batch:
        return same_batch
    heads, shared = query.shape[1], key.shape[1]
    return shared == value.shape[1] and (heads == shared or (enable_gqa and heads % shared == 0))


def _attend(query, key, value, attn_mask, dropout_p, is_causal, scale=None, enable_gqa=False):
    """The operator, by the algorithm that is wanted."""
    how, lead = chosen.algorithm, 0
    if how == "none":
        raise RuntimeError(
            "No viable backend for scaled_dot_product_attention was found. This is likely due to turning off both "
            "the math kernel and the fused kernels."
        )
    if how == "flash" and not _block_by_block(query, key, value, attn_mask, dropout_p, enable_gqa):
        raise RuntimeError(
            "No available kernel. Aborting execution. FLASH_ATTENTION takes query, key and value of 3 or 4 "
            "dimensions and one batch, a mask without gradient, and no dropout"
        )
    if how == "math" and query.dim() == key.dim() == value.dim():
        lead = max(
            5 - query.dim(), 0
        )  # of more than four dimensions the operator computes as the definition says
        query, key, value = (t.reshape((1,) * lead + tuple(t.shape)) for t in (query, key, value))
    result = _C.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )
    return result.reshape(result.shape[lead:]) if lead else result


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None, enable_gqa=False
):
    r"""softmax(scale Q K^T + mask) V, over the last two dimensions.

    Args:
        query, key, value (Tensor): shapes (*, L, E), (*, S, E), (*, S, Ev).
        attn_mask (Tensor, optional): broadcasts to (*, L, S); True lets attend, numbers are added.
        dropout_p (float): of the attention weights, whatever mode a module is in. Default: 0.
        is_causal (bool): position i attends to positions up to i; excludes `attn_mask`. Default: ``False``.
        scale (float, optional): Default: 1 / sqrt(E).
        enable_gqa (bool): fewer heads in key and value than in query, each shared by several.
            Default: ``False``.

    Returns:
        Tensor: shape (*, L, Ev).

    ``nn.attention.sdpa_kernel`` chooses how it is computed.

    Source: Vaswani and others, "Attention is all you need" (2017).
    """
    if chosen.algorithm is not None:
        return _attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    return _C.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )


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


def _additive_mask(mask, name, dtype, other=None, other_name=""):
    """`mask` in the form that is added to scores: a bool mask becomes 0 and -inf."""
    if mask is None:
        return None
    _expect(
        mask.dtype == _C.bool or mask.is_floating_point(),
        f"only bool and floating types of {name} are supported",
    )
    if other is not None and mask.dtype != other.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    if mask.dtype == _C.bool:
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


def _heads(x, static, name, heads, head_dim):
    """(L, N, E) as (N heads, L, E / heads); or the ready one that the caller brought."""
    if static is None:
        return x.reshape(x.size(0), heads, head_dim).transpose(0, 1)
    _expect(static.size(0) == heads, f"expecting {name}.size(0) of {heads}, but got {static.size(0)}")
    _expect(static.size(2) == head_dim, f"expecting {name}.size(2) of {head_dim}, but got {static.size(2)}")
    return static


def _attend_with_weights(q, k, v, mask, dropout_p):
    """(output, weights), both of them (N heads, L, ...)."""
    scores = q * math.sqrt(1.0 / q.size(-1)) @ k.transpose(-2, -1)
    weights = _C.softmax(scores if mask is None else scores + mask, -1)
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
    batched = _check_dims(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        same = key is query, value is key
        query = query.unsqueeze(1)
        key = query if same[0] else key.unsqueeze(1)
        value = key if same[1] else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    tgt_len, bsz, embed_dim = query.shape
    src_len = key.size(0)
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
    key_padding_mask = _additive_mask(
        key_padding_mask, "key_padding_mask", query.dtype, attn_mask, "attn_mask"
    )
    is_causal = is_causal and key_padding_mask is None and not need_weights
    attn_mask = None if is_causal else _additive_mask(attn_mask, "attn_mask", query.dtype)
    if use_separate_proj_weight:
        _expect(
            key.shape[:2] == value.shape[:2],
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}",
        )
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _project_separately(query, key, value, weights, in_proj_bias)
    else:
        _expect(key.shape == value.shape, f"key shape {key.shape} does not match value shape {value.shape}")
        _expect(in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias)
    heads = bsz * num_heads
    if attn_mask is not None:
        attn_mask = _check_attn_mask(attn_mask, tgt_len, src_len, heads)
    _expect((bias_k is None) == (bias_v is None), "bias_k and bias_v have to be set both or none")
    if bias_k is not None:
        _expect(static_k is None, "bias cannot be added to static key.")
        _expect(static_v is None, "bias cannot be added to static value.")
        k, v = _C.cat([k, bias_k.repeat(1, bsz, 1)]), _C.cat([v, bias_v.repeat(1, bsz, 1)])
        attn_mask, key_padding_mask = _add_column(attn_mask), _add_column(key_padding_mask)
    q = _heads(q, None, "query", heads, head_dim)
    k = _heads(k, static_k, "static_k", heads, head_dim)
    v = _heads(v, static_v, "static_v", heads, head_dim)
    if add_zero_attn:
        zeros = _C.zeros((heads, 1, head_dim), dtype=k.dtype)
        k, v = _C.cat([k, zeros], 1), _C.cat([v, zeros], 1)
        attn_mask, key_padding_mask = _add_column(attn_mask), _add_column(key_padding_mask)
    mask = _merge_masks(attn_mask, key_padding_mask, bsz, num_heads, k.size(1))
    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        output, weights = _attend_with_weights(q, k, v, mask, dropout_p)
        weights = weights.reshape(bsz, num_heads, tgt_len, k.size(1))
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        if mask is not None:
            mask = mask.unsqueeze(0) if mask.size(0) == 1 else mask.reshape(bsz, num_heads, -1, k.size(1))
        split = [x.reshape(bsz, num_heads, x.size(1), head_dim) for x in (q, k, v)]
        output = scaled_dot_product_attention(*split, mask, dropout_p, is_causal)
        output = output.reshape(heads, tgt_len, head_dim)
    output = output.transpose(0, 1).reshape(tgt_len, bsz, embed_dim)
    output = _C.linear(output, out_proj_weight, out_proj_bias)
    if batched:
        return output, weights
    return output.squeeze(1), None if weights is None else weights.squeeze(0)


def _merge_masks(attn_mask, key_padding_mask, bsz, num_heads, src_len):
    """One mask of shape (1 or N heads, 1 or L, S), or None."""
    if key_padding_mask is None:
        return attn_mask
    shape = tuple(key_padding_mask.shape)
    for axis, size in enumerate((bsz, src_len)):
        _expect(
            shape[axis] == size, f"Expected key_padded_mask.shape[{axis}] to be {size}, but got {shape[axis]}"
        )
    padding = key_padding_mask.view(bsz, 1, 1, src_len).expand(-1, num_heads, -1, -1)
    padding = padding.reshape(bsz * num_heads, 1, src_len)
    return padding if attn_mask is None else attn_mask + padding
