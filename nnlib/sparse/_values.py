"""Functions of a sparse tensor's values, which are dense and have gradients of the usual kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .. import _C
from .._sparse import sparse_coo_tensor
from ..autograd.function import Function, once_differentiable
from ..autograd.grad_mode import enable_grad


class Sparse(NamedTuple):
    """A sparse result before it is one."""

    indices: _C.TensorBase
    values: _C.TensorBase
    shape: tuple


def _finished(result):
    return sparse_coo_tensor(*result) if isinstance(result, Sparse) else result


class _OnValues(Function):
    @staticmethod
    def forward(ctx, function, tensor, *dense):
        with enable_grad():
            leaves = [t.detach().requires_grad_(True) for t in (tensor._values(), *dense)]
            result = function(*leaves)
        ctx.leaves, ctx.tensor, ctx.sparse = leaves, tensor.detach(), isinstance(result, Sparse)
        ctx.values = result.values if ctx.sparse else result
        ctx.indices = result.indices if ctx.sparse else None
        return _finished(
            Sparse(result.indices, result.values.detach(), result.shape) if ctx.sparse else result.detach()
        )

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        from ..autograd import grad as gradients

        if ctx.sparse:
            whole = grad.to_dense() if grad.is_sparse else grad
            grad = whole[tuple(ctx.indices)]
        results = gradients(
            ctx.values, ctx.leaves, grad, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        first = sparse_coo_tensor(ctx.tensor._indices(), results[0], tuple(ctx.tensor.shape))
        return None, first, *results[1:]


def on_values(function: Callable, tensor, *dense):
    """``function(values, *dense)`` with gradients for the sparse tensor, in its own indices, and the dense ones.

    The function returns a dense tensor or a :class:`Sparse` one.
    """
    if _C.is_grad_enabled() and any(t.requires_grad for t in (tensor, *dense)):
        return _OnValues.apply(function, tensor, *dense)
    return _finished(function(tensor._values(), *dense))
