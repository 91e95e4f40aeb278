"""Cross-entropy of a linear layer's outputs, without the outputs of the whole batch.

With many classes the scores are far larger than what they are made of. For class targets the rows are taken
in
chunks: forward keeps the losses alone, backward computes each chunk's scores again and turns them into
    gradients.
"""

import math

from nnlib import _C
from nnlib.autograd import Function
from nnlib.autograd.function import once_differentiable

_SCORES_PER_CHUNK = 1 << 20  # some megabytes, of the order of a processor's last cache


def _chunks(input, target, classes, rows):
    rows = rows or max(1, _SCORES_PER_CHUNK // max(1, classes))
    return [(i, input[i : i + rows], target[i : i + rows]) for i in range(0, input.size(0), rows)]


class _Chunked(Function):
    """The loss of each row: minus the log-softmax at its class, times the class's weight; 0 where ignored."""

    @staticmethod
    def forward(ctx, input, linear_weight, linear_bias, target, class_weight, ignore_index, rows, acc_dtype):
        ctx.save_for_backward(input, linear_weight, linear_bias, target, class_weight)
        ctx.ignore_index, ctx.rows, ctx.acc_dtype = ignore_index, rows, acc_dtype
        losses = [
            _C.cross_entropy(
                _C.linear(x, linear_weight, linear_bias), t, class_weight, ignore_index, "none", 0.0
            )
            for _, x, t in _chunks(input, target, linear_weight.size(0), rows)
        ]
        return _C.cat(losses) if losses else input.sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        input, linear_weight, linear_bias, target, class_weight = ctx.saved_tensors
        classes = target.masked_fill(target == ctx.ignore_index, 0)
        factor = grad if class_weight is None else grad * class_weight[classes]
        factor = factor.masked_fill(target == ctx.ignore_index, 0.0).unsqueeze(1)
        to_input, to_weight, to_bias = ctx.needs_input_grad[:3]
        grad_input = _C.empty_like(input) if to_input else None
        # Sums over chunks: in a wider type than half precision, rounded once at the end.
        half = input.dtype in (_C.float16, _C.bfloat16)
        acc = ctx.acc_dtype or (_C.float32 if half else input.dtype)
        grad_weight = _C.zeros(linear_weight.shape, dtype=acc) if to_weight else None
        grad_bias = _C.zeros(linear_bias.shape, dtype=acc) if to_bias else None
        for i, x, t in _chunks(input, classes, linear_weight.size(0), ctx.rows):
            rows = slice(i, i + x.size(0))
            scores = _C.softmax(_C.linear(x, linear_weight, linear_bias), 1)
            minus_one = _C.full((x.size(0), 1), -1.0, dtype=scores.dtype)
            scores = scores.scatter_add(1, t.unsqueeze(1), minus_one).mul_(factor[rows])
            if to_input:
                grad_input[rows] = scores @ linear_weight
            if to_weight:
                grad_weight.add_(scores.t() @ x)
            if to_bias:
                grad_bias.add_(scores.sum(0))
        if to_weight:
            grad_weight = grad_weight.to(linear_weight.dtype)
        if to_bias:
            grad_bias = grad_bias.to(linear_bias.dtype)
        return grad_input, grad_weight, grad_bias, None, None, None, None, None


def _reduced(losses, target, weight, ignore_index, reduction):
    if reduction != "mean":
        return losses.sum() if reduction == "sum" else losses
    counts = (target != ignore_index).to(losses.dtype)
    if weight is not None:
        counts = counts * weight[target.masked_fill(target == ignore_index, 0)]
    return losses.sum() / counts.sum()


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

    For class targets without smoothing, the scores exist only for some rows at a time, in forward and in
    backward.

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
    by_chunks = (
        len(sizes) == 1
        and input.dim() == 2
        and target.dtype == _C.int64
        and tuple(target.shape) == (input.size(0),)
    )
    if by_chunks and label_smoothing == 0.0 and reduction in ("none", "mean", "sum"):
        rows = acc_dtype = None
        if options is not None:
            rows, acc_dtype = options.rows(*input.shape, sizes[0]), options.acc_dtype
        arguments = (input, linear_weight, linear_bias, target, weight, ignore_index, rows, acc_dtype)
        losses = _Chunked.apply(*arguments)
        return _reduced(losses, target, weight, ignore_index, reduction)
    if len(sizes) > 1:
        linear_weight = linear_weight.reshape(math.prod(sizes), -1)
        linear_bias = None if linear_bias is None else linear_bias.reshape(-1)
    scores = _C.linear(input, linear_weight, linear_bias).reshape(*input.shape[:-1], *sizes)
    return _C.cross_entropy(scores, target, weight, ignore_index, reduction, label_smoothing)
