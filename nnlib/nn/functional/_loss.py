"""Losses that are one operator each. `reduction` is ``'none'``, ``'mean'`` or ``'sum'``; `size_average` and
`reduce` are the older way to say it, which overrides it and warns."""

import warnings

from nnlib import _C

from ._reduction import check, legacy, reduce_loss


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """Minus the log-softmax of `input` at the target class. See `nnlib.nn.CrossEntropyLoss`.

    Args:
        input (Tensor): unnormalised scores, shape (C), (N, C) or (N, C, d1, ..., dK).
        target (Tensor): class indices, shape (), (N) or (N, d1, ..., dK); or probabilities of the input's
            shape.
        weight (Tensor, optional): a factor for each class, shape (C).
        ignore_index (int): a target that counts for nothing. Default: -100.
        reduction (str): ``'mean'`` divides by the sum of the weights that count. Default: ``'mean'``.
        label_smoothing (float): this share of the target is spread over all classes. Default: 0.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.cross_entropy(nnlib.zeros(1, 2), nnlib.tensor([0]))
        tensor(0.6931)
    """
    if size_average is not None or reduce is not None:
        reduction = legacy(size_average, reduce, reduction)
    return _C.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """Minus `input`, which holds log-probabilities, at the target class. See `nnlib.nn.NLLLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    return _C.nll_loss(input, target, weight, ignore_index, reduction)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target (log target - input), input being log-probabilities. See `nnlib.nn.KLDivLoss`.

    `reduction` may also be ``'batchmean'``: the sum divided by the first size, the divergence by its
    definition.
    """
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    return _C.kl_div(input, target, legacy(size_average, reduce, reduction), log_target)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """-(y log x + (1 - y) log(1 - x)) for probabilities x. See `nnlib.nn.BCELoss`.

    Raises:
        ValueError: target and input differ in shape. RuntimeError: an input outside of [0, 1].
    """
    reduction = legacy(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is "
            "deprecated. Please ensure they have the same size."
        )
    return _C.binary_cross_entropy(input, target, weight, reduction)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """`binary_cross_entropy` of the sigmoid of `input`, in a form that does not overflow.

    See `nnlib.nn.BCEWithLogitsLoss`.
    """
    reduction = legacy(size_average, reduce, reduction)
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    return _C.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def _warn_sizes(input, target):
    if target.shape != input.shape:
        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the "
            "same size.",
            stacklevel=3,
        )


def _weighted(loss, weight, input, reduction, by_weight):
    """Weight the loss of every element; the mean divides by the sum of the weights if `by_weight`."""
    if weight.size() != input.size():
        raise ValueError("Weights and input must have the same size.")
    check(reduction)
    loss = loss * weight
    return loss.sum() / weight.sum() if by_weight and reduction == "mean" else reduce_loss(loss, reduction)


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(x - y)^2, times `weight`; the weighted mean divides by the sum of weights. See `nnlib.nn.MSELoss`."""
    _warn_sizes(input, target)
    reduction = legacy(size_average, reduce, reduction)
    if weight is not None:
        return _weighted(_C.mse_loss(input, target, "none"), weight, input, reduction, True)
    return _C.mse_loss(input, target, reduction)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|x - y|, times `weight`; the weighted mean divides by the sum of weights. See `nnlib.nn.L1Loss`."""
    _warn_sizes(input, target)
    reduction = legacy(size_average, reduce, reduction)
    if weight is not None:
        return _weighted(_C.l1_loss(input, target, "none"), weight, input, reduction, True)
    return _C.l1_loss(input, target, reduction)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """(x - y)^2 / 2 where |x - y| < delta, else delta (|x - y| - delta / 2). See `nnlib.nn.HuberLoss`."""
    _warn_sizes(input, target)
    if weight is not None:
        return _weighted(_C.huber_loss(input, target, "none", delta), weight, input, reduction, False)
    return _C.huber_loss(input, target, reduction, delta)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """(x - y)^2 / (2 beta) where |x - y| < beta, else |x - y| - beta / 2. See `nnlib.nn.SmoothL1Loss`."""
    _warn_sizes(input, target)
    reduction = legacy(size_average, reduce, reduction)
    if beta == 0.0:
        return _C.l1_loss(input, target, reduction)
    return _C.smooth_l1_loss(input, target, reduction, beta)
