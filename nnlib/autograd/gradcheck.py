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


def _numerical(fn: Callable, inputs: tuple, x: Tensor, out_index: int, eps: float) -> Tensor:
    """d outputs[out_index] / d x, of shape (numel of x, numel of the output)."""
    flat = x.data.view(-1) if x.data.is_contiguous() else None
    rows = []
    for i in range(x.numel()):
        values = []
        for step in (eps, -eps):
            if flat is None:
                raise ValueError("gradcheck expects contiguous inputs")
            before = flat[i].item()
            flat[i] = before + step
            # With gradients on: the function may take some itself.
            outputs = [t for t in _tensors(fn(*inputs)) if t.is_floating_point()]
            values.append(outputs[out_index].detach().to(_C.float64).reshape(-1).clone())
            flat[i] = before
        rows.append((values[0] - values[1]) / (2 * eps))
    if not rows:
        return _C.zeros((0, 0), dtype=_C.float64)
    return _C.stack(rows)


def _analytical(output: Tensor, x: Tensor) -> Tensor:
    from . import grad

    rows = []
    for j in range(output.numel()):
        seed = _C.zeros(output.shape, dtype=output.dtype)
        seed.view(-1)[j] = 1
        (g,) = grad(output, x, seed, retain_graph=True, allow_unused=True)
        g = _C.zeros_like(x) if g is None else (g.to_dense() if g.is_sparse else g)
        rows.append(g.detach().to(_C.float64).reshape(-1))
    return _C.stack(rows, 1) if rows else _C.zeros((x.numel(), 0), dtype=_C.float64)


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
        fast_mode: compare one random projection of the Jacobian rather than all of it.

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
        outputs = [t for t in _tensors(func(*inputs)) if t.is_floating_point()]
        for out_index, output in enumerate(outputs):
            for k, x in enumerate(checked):
                if not output.requires_grad:
                    analytical = _C.zeros((x.numel(), output.numel()), dtype=_C.float64)
                else:
                    analytical = _analytical(output, x)
                    again = _analytical(output, x)
                    if not _close(analytical, again, nondet_tol, 0.0):
                        raise GradcheckError(
                            f"Backward is not reentrant, i.e., running backward with same input and grad_output "
                            f"multiple times gives different values: output {out_index}, input {k}"
                        )
                numerical = _numerical(func, inputs, x, out_index, eps)
                if fast_mode and analytical.numel():
                    u = _C.rand((x.numel(),), dtype=_C.float64)
                    analytical, numerical = u @ analytical, u @ numerical
                if analytical.numel() and not _close(analytical, numerical, atol, rtol):
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
