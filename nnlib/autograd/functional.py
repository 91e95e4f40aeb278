"""Jacobians, Hessians and products with them, by repeated backward passes."""

from __future__ import annotations

from collections.abc import Callable

from .. import _C
from .._tensor import Tensor
from ._products import hvp, jvp, vhp

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _as_tuple(value) -> tuple[bool, tuple]:
    return (False, (value,)) if isinstance(value, Tensor) else (True, tuple(value))


def _leaves(inputs: tuple, create_graph: bool) -> tuple:
    if create_graph:
        return tuple(x if x.requires_grad else x.view_as(x).requires_grad_() for x in inputs)
    return tuple(x.detach().requires_grad_() for x in inputs)


def jacobian(func: Callable, inputs, create_graph: bool = False, strict: bool = False):
    """d func(inputs) / d inputs: of shape output.shape + input.shape, in tuples where there are several.

    Args:
        func: takes the inputs, returns a tensor or a tuple.
        inputs: a tensor or a tuple of them.
        create_graph: make the result differentiable.
        strict: an input that an output does not depend on is an error rather than zeros.

    >>> nnlib.autograd.functional.jacobian(lambda x: x * 2, nnlib.ones(2))
    tensor([[2., 0.],
            [0., 2.]])
    """
    from . import grad
    from .grad_mode import enable_grad

    several_in, xs = _as_tuple(inputs)
    with enable_grad():
        xs = _leaves(xs, create_graph)
        several_out, ys = _as_tuple(func(*xs))
        rows = []
        for k, y in enumerate(ys):
            columns: list[list] = [[] for _ in xs]
            for j in range(y.numel()):
                if not y.requires_grad:
                    if strict:
                        raise RuntimeError(
                            f"Output {k} of the user-provided function does not require gradients."
                        )
                    gs = [None] * len(xs)
                else:
                    gs = grad(
                        y.reshape(-1)[j], xs, retain_graph=True, create_graph=create_graph, allow_unused=True
                    )
                for i, (g, x) in enumerate(zip(gs, xs, strict=True)):
                    if g is None and strict:
                        raise RuntimeError(
                            f"Output {k} of the user-provided function is independent of input {i}."
                        )
                    columns[i].append(_C.zeros_like(x) if g is None else g)
            parts = tuple(
                _C.stack(c).reshape(tuple(y.shape) + tuple(x.shape)) if c
                else _C.zeros(tuple(y.shape) + tuple(x.shape), dtype=x.dtype)
                for c, x in zip(columns, xs, strict=True)
            )  # fmt: skip
            rows.append(parts if several_in else parts[0])
    return tuple(rows) if several_out else rows[0]


def hessian(func: Callable, inputs, create_graph: bool = False, strict: bool = False):
    """Second derivatives of a ``func`` with one scalar output: the Jacobian of its gradient.

    >>> nnlib.autograd.functional.hessian(lambda x: (x**3).sum(), nnlib.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    several, _ = _as_tuple(inputs)

    def gradient(*xs):
        y = func(*xs)
        if not isinstance(y, Tensor) or y.numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should contain a single element"
            )
        g = jacobian(
            lambda *z: func(*z).reshape(()), xs if several else xs[0], create_graph=True, strict=strict
        )
        return g

    return jacobian(gradient, inputs, create_graph=create_graph, strict=strict)


def vjp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """``(func(inputs), v^T J)``: the outputs and one backward product.

    Args as in :func:`jacobian`; ``v`` has the outputs' shapes and may be left out for one scalar output.
    """
    from . import grad
    from .grad_mode import enable_grad

    several, xs = _as_tuple(inputs)
    with enable_grad():
        xs = _leaves(xs, create_graph)
        outputs = func(*xs)
        _, ys = _as_tuple(outputs)
        vs = None if v is None else _as_tuple(v)[1]
        gs = grad(
            ys, xs, vs, create_graph=create_graph, allow_unused=not strict, materialize_grads=not strict
        )
    if not create_graph:
        outputs = outputs.detach() if isinstance(outputs, Tensor) else tuple(y.detach() for y in outputs)
    return outputs, (gs if several else gs[0])
