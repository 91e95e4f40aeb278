"""Cross-entropy of a linear layer's outputs, without the outputs of the whole batch."""

import math

from nnlib import _C


def rows_of_chunk(options, batch, features, classes):
    """Rows in a chunk of a batch of so many rows, features and classes; None where `options` leave it open."""
    if options.batch_chunk_size is not None:
        return options.batch_chunk_size
    if options.chunking_method in (None, "auto"):
        return None if options.chunking_method else batch
    factor = int(options.chunking_method.partition(":")[2] or 1)
    wanted = -(-batch // max(1, -(-classes // features)))
    return max(1, min((1 << max(0, wanted - 1).bit_length()) // factor, batch))


def _check(input, linear_weight, linear_bias):
    """(number of classes, further output sizes); RuntimeError if the shapes do not fit."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}"
        )
    if input.size(-1) != linear_weight.size(-1):
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.size(-1)} and {linear_weight.size(-1)}, respectively"
        )
    sizes = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != sizes:
        raise RuntimeError(f"expected linear_bias shape {sizes}, got {tuple(linear_bias.shape)}")
    if len(sizes) > 1 and input.dim() == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires "
            f"batched input, (N, {input.size(-1)}), got unbatched input with shape {tuple(input.shape)}"
        )
    return sizes


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)`` in less memory.

    The scores exist only for some rows at a time; where the loss is reduced, the pass that computes it makes the
    gradients too. A loss of more than one dimension, (C, d1, ..., dK, D), takes all rows at once. The same bits come
    out for any number of threads.

    Args:
        input (Tensor): shape (N, D) or (D).
        linear_weight (Tensor): shape (C, D), or (C, d1, ..., dK, D).
        target (Tensor): classes, shape (N), () or (N, d1, ..., dK); or probabilities of the scores' shape.
        linear_bias (Tensor, optional): shape (C) or (C, d1, ..., dK).
        weight, reduction, label_smoothing: as in `cross_entropy`.
        ignore_index (int, optional): a target class that counts for nothing. Default: -100.
        options (LinearCrossEntropyOptions, optional): how the rows are cut into chunks.

    Raises:
        RuntimeError: shapes that do not fit, or `ignore_index` with probabilities.

    Example::

        >>> import nnlib
        >>> x, w, y = nnlib.zeros(2, 3), nnlib.zeros(4, 3), nnlib.tensor([0, 1])
        >>> nnlib.nn.functional.linear_cross_entropy(x, w, y)
        tensor(1.3863)
    """
    sizes = _check(input, linear_weight, linear_bias)
    probabilities = tuple(target.shape) == (*input.shape[:-1], *sizes)
    if probabilities and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignore_index = -100 if ignore_index is None else ignore_index
    if len(sizes) > 1:
        linear_weight = linear_weight.reshape(math.prod(sizes), -1)
        bias = None if linear_bias is None else linear_bias.reshape(-1)
        scores = _C.linear(input, linear_weight, bias).reshape(*input.shape[:-1], *sizes)
        return _C.cross_entropy(scores, target, weight, ignore_index, reduction, label_smoothing)
    rows, acc_dtype = 0, None
    if options is not None:
        rows = rows_of_chunk(options, *(1, *input.shape)[-2:], sizes[0]) or 0
        acc_dtype = options.acc_dtype
    batched = input.dim() == 2
    if not batched:
        input, target = input.unsqueeze(0), target.unsqueeze(0)
    loss = _C.linear_cross_entropy(
        input,
        linear_weight,
        target,
        linear_bias,
        weight,
        reduction,
        ignore_index,
        label_smoothing,
        rows,
        acc_dtype,
    )
    return loss if batched or loss.dim() == 0 else loss.squeeze(0)
