"""Losses made of tensor operations; arguments and reductions as in the other losses."""

from __future__ import annotations

import math

from nnlib import _C
from nnlib._autocast import in_float32
from nnlib.autograd import no_grad

from ._distance import pairwise_distance
from ._reduction import check, legacy, reduce_loss

Tensor = _C.Tensor


@in_float32
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input=True,
    full=False,
    size_average=None,
    eps=1e-8,
    reduce=None,
    reduction="mean",
):
    """The negative log likelihood of a Poisson distribution. See `nnlib.nn.PoissonNLLLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:  # Stirling's approximation of log(target!)
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(input: Tensor, target: Tensor, var, full=False, eps=1e-6, reduction="mean"):
    """The negative log likelihood of a normal distribution. See `nnlib.nn.GaussianNLLLoss`."""
    if isinstance(var, int | float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = _C.full_like(input, var)
    elif (var < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.shape[:-1] == var.shape:
            var = var.unsqueeze(-1)
        elif var.dim() != input.dim() or [
            v for i, v in zip(input.shape, var.shape, strict=True) if i != v
        ] != [1]:
            raise ValueError("var is of incorrect size")
    check(reduction)
    var = var.clone()
    with no_grad():  # the bound is no part of the gradient
        var.clamp_(min=eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce_loss(loss, reduction)


@in_float32
def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin=0, size_average=None, reduce=None, reduction="mean"
):
    """max(0, -y (x1 - x2) + margin). See `nnlib.nn.MarginRankingLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
            f"{input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return reduce_loss((-target * (input1 - input2) + margin).clamp_min(0), reduction)


@in_float32
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin=1.0, size_average=None, reduce=None, reduction="mean"
):
    """x where y = 1, max(0, margin - x) where y = -1. See `nnlib.nn.HingeEmbeddingLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    zeros = _C.zeros_like(input)
    far = _C.where(target != 1, (margin - input).clamp_min(0), zeros)
    near = _C.where(target != -1, input, zeros)
    return reduce_loss(far + near, reduction)


@in_float32
def soft_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-y x)). See `nnlib.nn.SoftMarginLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    if target.dtype != input.dtype:
        target = target.to(input.dtype)
    return reduce_loss((1 + (-target * input).exp()).log(), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """Binary cross-entropy of logits, averaged over classes. See `nnlib.nn.MultiLabelSoftMarginLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    loss = -(target * _C.logsigmoid(input) + (1 - target) * _C.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduce_loss(loss.sum(-1) / input.size(-1), reduction)


def _check_margin_target(name, input, shape, target):
    if input.dim() > 2 or (input.dim() and 0 in input.shape[1:]):
        raise RuntimeError(
            f"{name}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{input.size()}"
        )
    if tuple(target.shape) != tuple(shape):
        raise RuntimeError(f"{name}: inconsistent target size: expected {list(shape)}, got {target.size()}")


@in_float32
def multilabel_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction="mean"):
    """The hinge of each target class against each other class. See `nnlib.nn.MultiLabelMarginLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    check(reduction)
    _check_margin_target("multilabel_margin_loss", input, input.shape, target)
    x = input.reshape(-1, input.size(-1) if input.dim() else 1)
    loss = _C._multilabel_margin_loss(x, target.reshape(x.shape))  # targets count up to the first -1
    return reduce_loss(loss if input.dim() == 2 else loss.squeeze(0), reduction)


@in_float32
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p=1,
    margin=1.0,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """The hinge of the target class against each other class. See `nnlib.nn.MultiMarginLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    check(reduction)
    if p not in (1, 2):
        raise ValueError(f"only p == 1 and p == 2 supported, got {p}")
    if weight is not None and weight.dim() != 1:
        raise ValueError(f"weight must be one-dimensional, got {weight.dim()} dimensions")
    x = input.reshape(-1, input.size(-1) if input.dim() else 1)
    _check_margin_target("multi_margin_loss", input, (x.size(0),) if target.dim() else (), target)
    if weight is not None and weight.numel() != x.size(1):
        raise RuntimeError(
            f"multi_margin_loss: inconsistent weight size: expected [{x.size(1)}], got {weight.size()}"
        )
    loss = _C._multi_margin_loss(x, target.reshape(-1), int(p), margin, weight)
    return reduce_loss(loss if target.dim() else loss.squeeze(0), reduction)


@in_float32
def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin=0, size_average=None, reduce=None, reduction="mean"
):
    """1 - cos where y = 1, max(0, cos - margin) where y = -1. See `nnlib.nn.CosineEmbeddingLoss`."""
    reduction = legacy(size_average, reduce, reduction)
    if target.dim() not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.dim() not in (1, 2) or input1.dim() != target.dim() + 1 or input2.dim() != input1.dim():
        raise RuntimeError(
            f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs with "
            f"sizes {list(input1.shape)} and {list(input2.shape)}."
        )
    dim = target.dim()
    epsilon = 1e-12
    dot = (input1 * input2).sum(dim)
    norms = ((input1 * input1).sum(dim) + epsilon) * ((input2 * input2).sum(dim) + epsilon)
    cos = dot / norms.sqrt()
    zeros = _C.zeros_like(cos)
    loss = _C.where(target == 1, 1 - cos, zeros) + _C.where(target == -1, (cos - margin).clamp_min(0), zeros)
    return reduce_loss(loss, reduction)


@in_float32
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin=1.0,
    p=2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """max(0, |a - p| - |a - n| + margin). See `nnlib.nn.TripletMarginLoss`."""
    reduction = legacy(size_average, reduce, reduction)

    def distance(x, y):
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=reduction
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function=None,
    margin=1.0,
    swap=False,
    reduction="mean",
):
    """max(0, d(a, p) - d(a, n) + margin). See `nnlib.nn.TripletMarginWithDistanceLoss`."""
    check(reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, "
            f"but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D "
            "inputs"
        )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _C.minimum(far, distance(positive, negative))
    return reduce_loss((margin + near - far).clamp_min(0), reduction)
