"""Checkpoints as one node of the graph, whose backward runs the function and a backward pass through it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from .._tensor import Tensor
from ..autograd import backward, is_partial_pass
from ..autograd.function import Function
from ..autograd.grad_mode import enable_grad, no_grad
from ._surroundings import as_before, surroundings

__all__ = ["CheckpointFunction", "check_backward_validity", "detach_variable"]


def detach_variable(inputs: tuple) -> tuple:
    """The inputs with their tensors taken out of the graph; each goes on requiring grad where it did.

    RuntimeError for what is no tuple.
    """
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}"
        )
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs)


def check_backward_validity(inputs: Iterable) -> None:
    """Warn where no input requires grad: a reentrant checkpoint then has no gradient."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class CheckpointFunction(Function):
    """The node: ``apply(function, preserve_rng_state, *args)``."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.surroundings = surroundings(preserve_rng_state)
        ctx.rest = [None if isinstance(x, Tensor) else x for x in args]
        ctx.where = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        ctx.wanted = [args[i].requires_grad for i in ctx.where]
        ctx.save_for_backward(*(args[i] for i in ctx.where))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        if is_partial_pass():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an "
                "`inputs` parameter to .backward(). To resolve this error, you can either set use_reentrant=False, "
                "or call .backward() without passing the `inputs` argument."
            )
        values = list(ctx.rest)
        for i, t, wanted in zip(ctx.where, ctx.saved_tensors, ctx.wanted, strict=True):
            values[i] = t.detach().requires_grad_(wanted)
        inputs = tuple(values)
        with as_before(*ctx.surroundings), enable_grad():
            outputs = ctx.run_function(*inputs)
        outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
        wanted = [
            (y, g) for y, g in zip(outputs, grads, strict=True) if isinstance(y, Tensor) and y.requires_grad
        ]
        if not wanted:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([y for y, _ in wanted], [g for _, g in wanted])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in inputs))
