"""Gradients checked by central differences.

Method: (f(x + e) - f(x - e)) / 2e for each element, in float64; Nocedal and Wright, "Numerical Optimization",
2006, section 8.1.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import _C
from .._tensor import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """Analytical and numerical gradients differ."""


def _tensors(value) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [t for v in value for t in _tensors(v)]
    return []


def _differentiable(value) -> list[Tensor]:
    return [t for t in _tensors(value) if t.is_floating_point() and t.requires_grad]


def _floating(outputs) -> list[Tensor]:
    return [t for t in _tensors(outputs) if t.is_floating_point()]


def _difference(fn: Callable, inputs: tuple, part: Tensor, step: Tensor | float, eps: float) -> list[Tensor]:
    """(f(x + eps step) - f(x - eps step)) / 2 eps of each output, in one dimension; ``part`` is where x moves."""
    before = part.clone()
    values = []
    for e in (eps, -eps):
        part.copy_(before + e * step)
        try:  # with gradients on: the function may take some itself
            values.append([t.detach().to(_C.float64).reshape(-1).clone() for t in _floating(fn(*inputs))])
        finally:
            part.copy_(before)
    return [(high - low) / (2 * eps) for high, low in zip(*values, strict=True)]


def _numerical(fn: Callable, inputs: tuple, x: Tensor, outputs: list[Tensor], eps: float) -> list[Tensor]:
    """d output / d x of each output, of shape (numel of x, numel of the output)."""
    if not x.data.is_contiguous():
        raise ValueError("gradcheck expects contiguous inputs")
    flat = x.data.view(-1)
    rows = [_difference(fn, inputs, flat[i], 1.0, eps) for i in range(x.numel())]
    if not rows:
        return [_C.zeros((0, o.numel()), dtype=_C.float64) for o in outputs]
    return [_C.stack(column) for column in zip(*rows, strict=True)]


def _pullback(output: Tensor, x: Tensor, seed: Tensor) -> Tensor:
    """The gradient of (output * seed).sum() at x, in one dimension."""
    from . import grad

    if not output.requires_grad:
        return _C.zeros((x.numel(),), dtype=_C.float64)
    (g,) = grad(output, x, seed, retain_graph=True, allow_unused=True)
    g = _C.zeros_like(x) if g is None else (g.to_dense() if g.is_sparse else g)
    return g.detach().to(_C.float64).reshape(-1)


def _analytical(output: Tensor, x: Tensor) -> Tensor:
    rows = []
    for j in range(output.numel()):
        seed = _C.zeros(output.shape, dtype=output.dtype)
        seed.view(-1)[j] = 1
        rows.append(_pullback(output, x, seed))
    return _C.stack(rows, 1) if rows else _C.zeros((x.numel(), 0), dtype=_C.float64)


def _direction(n: int) -> Tensor:
    """A random vector of length 1 without negative numbers, so that tolerances add up as the errors may."""
    u = _C.rand((n,), dtype=_C.float64) + 1e-3
    return u / u.norm()


def _whole(func: Callable, inputs: tuple, x: Tensor, outputs: list[Tensor], eps: float):
    """Of each output its Jacobian by backward, again, by differences, and what the absolute tolerance is times."""
    for output, numerical in zip(outputs, _numerical(func, inputs, x, outputs, eps), strict=True):
        yield _analytical(output, x), _analytical(output, x), numerical, 1.0


def _projected(func: Callable, inputs: tuple, x: Tensor, outputs: list[Tensor], eps: float):
    """As :func:`_whole`, each Jacobian J as u J v for random u and v: one backward and two calls of the function."""
    u = _direction(x.numel())
    moved = _difference(func, inputs, x.data, u.reshape(x.shape).to(x.dtype), eps)
    for output, jacobian_u in zip(outputs, moved, strict=True):
        v = _direction(output.numel())
        seed = v.reshape(output.shape).to(output.dtype)
        first, again = (_pullback(output, x, seed) @ u for _ in range(2))
        yield first, again, jacobian_u @ v, (u.sum() * v.sum()).item()


def gradcheck(
    func: Callable,
    inputs,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Compare the gradients of ``func`` with finite differences.

    Args:
        func: takes ``inputs``, returns a tensor or a tuple of them.
        inputs: a tensor or a tuple; those that require grad are checked and should be float64.
        eps: the step. atol, rtol: how far the two may differ.
        raise_exception: raise :class:`GradcheckError` with both matrices, or return False.
        nondet_tol: how far two backward passes may differ.
        check_undefined_grad: also require that backward accepts missing output gradients of several outputs.
        fast_mode: compare u J v for random vectors u and v of length 1 rather than all of each Jacobian J: two calls
            of ``func`` and one backward for an input and output of any size.

    >>> x = nnlib.randn(3, dtype=nnlib.float64, requires_grad=True)
    >>> nnlib.autograd.gradcheck(lambda x: (x * x).sum(), (x,))
    True
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = _differentiable(inputs)
    if not checked:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them have requires_grad=True."
        )
    try:
        outputs = _floating(func(*inputs))
        for k, x in enumerate(checked):
            jacobians = (_projected if fast_mode else _whole)(func, inputs, x, outputs, eps)
            for out_index, (analytical, again, numerical, scale) in enumerate(jacobians):
                if not _close(analytical, again, nondet_tol * scale, 0.0):
                    raise GradcheckError(
                        f"Backward is not reentrant, i.e., running backward with same input and grad_output "
                        f"multiple times gives different values: output {out_index}, input {k}"
                    )
                if not _close(analytical, numerical, atol * scale, rtol):
                    raise GradcheckError(
                        f"Jacobian mismatch for output {out_index} with respect to input {k},\n"
                        f"numerical:{numerical}\nanalytical:{analytical}\n"
                    )
        if check_undefined_grad and len(outputs) > 1:
            _check_undefined(outputs, checked)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_undefined(outputs: list[Tensor], inputs: list[Tensor]) -> None:
    from . import grad

    for output in outputs:
        if output.requires_grad:
            grad(output, inputs, _C.ones_like(output), retain_graph=True, allow_unused=True)


def _close(a: Tensor, b: Tensor, atol: float, rtol: float) -> bool:
    return bool(((a - b).abs() <= atol + rtol * b.abs()).all())


def gradgradcheck(
    func: Callable,
    inputs,
    grad_outputs=None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Compare second derivatives of ``func`` with finite differences of its first ones.

    Arguments as in :func:`gradcheck`; ``grad_outputs`` are the output gradients at which the first derivative is
    taken (random ones by default), transposed in memory with ``gen_non_contig_grad_outputs``.
    """
    from . import grad

    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    outputs = _differentiable(func(*inputs))
    if grad_outputs is None:
        seeds = [_C.randn(o.shape, dtype=o.dtype) for o in outputs]
        if gen_non_contig_grad_outputs:
            seeds = [s.t().contiguous().t() if s.dim() == 2 else s for s in seeds]
        seeds = [s.requires_grad_(True) for s in seeds]
    else:
        seeds = _tensors(grad_outputs)
    n = len(inputs)

    def first(*args):
        xs = args[:n]
        ys = _differentiable(func(*xs))
        wanted = _differentiable(xs)
        return grad(ys, wanted, args[n:], create_graph=True, allow_unused=True, materialize_grads=True)

    return gradcheck(
        first, (*inputs, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad, fast_mode=fast_mode,
    )  # fmt: skip
