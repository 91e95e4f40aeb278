"""Batch normalisation over the batches of all processes.

The statistics take two reductions: the sums give the mean, then the squared distances from it give the
variance. One reduction of sums and sums of squares would lose precision where the mean is large.
"""

import sys

from nnlib import _C
from nnlib.autograd import Function, no_grad


def _distributed():
    # Only looked at if the program has imported it: without it there is nothing to share.
    return sys.modules.get("nnlib.distributed")


def world_of(group):
    """The number of processes that share statistics; 1 without an initialised process group."""
    distributed = _distributed()
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size(group)


def _all_sum(values, group):
    _distributed().all_reduce(values, group=group)
    return values


class _SharedNorm(Function):
    """(x - mean) / sqrt(var + eps) with mean and variance over all processes; also returns the statistics."""

    @staticmethod
    def forward(ctx, input, eps, group):
        dims = [d for d in range(input.dim()) if d != 1]
        shape = [1, -1] + [1] * (input.dim() - 2)
        channels = input.size(1)
        count = _C.full((1,), input.numel() // channels, dtype=input.dtype)
        sums = _all_sum(_C.cat([input.sum(dims), count]), group)
        count = sums[channels:]
        mean = sums[:channels] / count
        centred = input - mean.view(shape)
        var = _all_sum((centred * centred).sum(dims), group) / count
        scale = (var + eps).rsqrt().view(shape)
        normalised = centred * scale
        ctx.save_for_backward(normalised, scale, count)
        ctx.dims, ctx.group = dims, group
        ctx.mark_non_differentiable(mean, var, count)
        return normalised, mean, var, count

    @staticmethod
    def backward(ctx, grad, *_):
        normalised, scale, count = ctx.saved_tensors
        channels = grad.size(1)
        sums = _C.cat([grad.sum(ctx.dims), (grad * normalised).sum(ctx.dims)])
        means = _all_sum(sums, ctx.group) / count
        mean, along = means[:channels].view(scale.shape), means[channels:].view(scale.shape)
        return (grad - mean - normalised * along) * scale, None, None


def sync_batch_norm(input, running_mean, running_var, weight, bias, momentum, eps, group):
    """Normalise `input` (N, C, \\*) with the statistics of all processes of `group`, and update the running
    ones.
    """
    normalised, mean, var, count = _SharedNorm.apply(input, eps, group)
    if running_mean is not None:
        with no_grad():
            unbiased = var * (count / (count - 1).clamp_min(1))
            running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
            running_var.mul_(1 - momentum).add_(unbiased, alpha=momentum)
    shape = [1, -1] + [1] * (input.dim() - 2)
    if weight is not None:
        normalised = normalised * weight.view(shape)
    return normalised if bias is None else normalised + bias.view(shape)
