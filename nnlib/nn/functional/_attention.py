"""Scaled dot-product attention, by the algorithm that was chosen."""

import threading

from nnlib import _C


class _Chosen(threading.local):
    """What nn.attention.sdpa_kernel chose for this thread: None leaves the choice to the operator."""

    algorithm = None


chosen = _Chosen()


def _flash_takes(query, key, value, attn_mask, dropout_p, enable_gqa):
    """Whether PyTorch's kernel of that name takes this on a CPU; the blocks here take anything."""
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


def attend_masked(query, key, value, masks, dropout_p, is_causal, scale=None, enable_gqa=False):
    """The operator with any number of masks, by the algorithm that is wanted."""
    how = chosen.algorithm
    if how == "none":
        raise RuntimeError(
            "No viable backend for scaled_dot_product_attention was found. This is likely due to turning off both "
            "the math kernel and the fused kernels."
        )
    if how == "flash" and not all(
        _flash_takes(query, key, value, mask, dropout_p, enable_gqa) for mask in masks or [None]
    ):
        raise RuntimeError(
            "No available kernel. Aborting execution. FLASH_ATTENTION takes query, key and value of 3 or 4 "
            "dimensions and one batch, a mask without gradient, and no dropout"
        )
    return _C._masked_attention(
        query,
        key,
        value,
        masks,
        dropout_p,
        is_causal,
        scale=scale,
        enable_gqa=enable_gqa,
        by_definition=how == "math",
    )


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
        masks = [] if attn_mask is None else [attn_mask]
        return attend_masked(query, key, value, masks, dropout_p, is_causal, scale, enable_gqa)
    return _C.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )
