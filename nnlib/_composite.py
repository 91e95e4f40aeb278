"""Functions that are composed of operators: statistics of variables, products of blocks, slopes of samples."""

from __future__ import annotations

from . import _C
from ._dims import wrapped_dims
from ._out import takes_out

Tensor = _C.Tensor

__all__ = ["corrcoef", "cov", "gradient", "kron", "renorm", "unravel_index"]


@takes_out
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: each element of ``input`` times all of ``other``, as blocks.

    The operand with fewer dimensions counts as having ones in front.

    >>> nnlib.kron(nnlib.tensor([1, 2]), nnlib.tensor([1, 10]))
    tensor([ 1, 10,  2, 20])
    """
    n = max(input.dim(), other.dim())
    a = (1,) * (n - input.dim()) + tuple(input.shape)
    b = (1,) * (n - other.dim()) + tuple(other.shape)
    left = input.reshape([size for pair in zip(a, (1,) * n, strict=True) for size in pair])
    right = other.reshape([size for pair in zip((1,) * n, b, strict=True) for size in pair])
    return (left * right).reshape([x * y for x, y in zip(a, b, strict=True)])


def _weights(fweights: Tensor | None, aweights: Tensor | None, count: int) -> Tensor | None:
    """The product of the two kinds of weights, after their checks; None for neither."""
    for name, w, integral in (("fweights", fweights, True), ("aweights", aweights, False)):
        if w is None:
            continue
        if w.dim() > 1:
            raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {w.dim()}")
        if w.is_floating_point() == integral:
            kind = "integral" if integral else "floating point"
            raise RuntimeError(f"cov(): expected {name} to have {kind} dtype but got {w.dtype}")
        if w.numel() != count:
            raise RuntimeError(
                f"cov(): expected {name} to have the same numel as there are observations in the input "
                f"but got {w.numel()} != {count}"
            )
        if count and bool((w < 0).any()):
            raise RuntimeError(f"cov(): {name} cannot be negative")
    if fweights is None or aweights is None:
        return fweights if aweights is None else aweights
    return fweights * aweights


def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of variables.

    Args:
        input: (variables, observations), or one variable's observations.
        correction: subtracted from the number of observations in the divisor.
        fweights: how often each observation counts, integers.
        aweights: how much each observation counts, floating point.

    RuntimeError where the input has more than two dimensions or weights do not fit.

    >>> nnlib.cov(nnlib.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.dim() > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions"
        )
    if input.dtype == _C.bool:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input.dim() < 2 else input
    count = x.shape[1]
    w = _weights(fweights, aweights, count)
    total = count if w is None else w.sum()
    if w is not None and count and not bool(total != 0):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    mean = x.sum(1) / count if w is None else (x * w).sum(1) / total
    divisor = total - correction
    if w is not None and aweights is not None and correction:
        divisor = total - correction * (w * aweights).sum() / total
    divisor = max(divisor, 0) if w is None else divisor.clamp(min=0)
    centred = x - mean.unsqueeze(1)
    return (centred @ (centred if w is None else centred * w).t() / divisor).squeeze()


def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation coefficients of variables, a row each; their values are clipped to [-1, 1].

    >>> nnlib.corrcoef(nnlib.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input.dim() > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input.dim()} dimensions"
        )
    c = cov(input)
    if c.dim() == 0:
        return c / c
    deviation = c.diagonal().sqrt()
    return (c / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(-1, 1)


@takes_out
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices along ``dim`` whose p-norm is above ``maxnorm`` are scaled down to it.

    RuntimeError for p or maxnorm below 0 or fewer than two dimensions.
    """
    if p <= 0:
        raise RuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input.dim() < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.dim()} dimensions")
    dim = dim % input.dim()
    norms = _C.linalg_vector_norm(input, p, [d for d in range(input.dim()) if d != dim], True)
    above = norms > maxnorm
    return (input * _C.where(above, maxnorm / (_C.where(above, norms, 1) + 1e-7), 1)).contiguous()


def unravel_index(indices: Tensor, shape) -> tuple[Tensor, ...]:
    """Coordinates of places in a flattened tensor of the given shape, one tensor a dimension.

    >>> nnlib.unravel_index(nnlib.tensor([1, 5]), (2, 3))
    (tensor([0, 1]), tensor([1, 2]))
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if indices.is_floating_point() or indices.dtype == _C.bool:
        raise ValueError(f"expected 'indices' to be an integer tensor, but got {indices.dtype}")
    if any(size < 0 for size in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    result, rest = [], indices.long()
    for size in reversed(shape):
        result.append(rest % size)
        rest = rest // size
    return tuple(reversed(result))


def _slope(x: Tensor, dim: int, at: Tensor, edge_order: int) -> Tensor:
    """Second-order differences of samples at the places ``at`` along one dimension."""
    x = x.movedim(dim, -1)
    h = at[1:] - at[:-1]
    left, right = h[:-1], h[1:]
    inner = (
        x[..., 2:] * (left / (right * (left + right)))
        + x[..., 1:-1] * ((right - left) / (left * right))
        - x[..., :-2] * (right / (left * (left + right)))
    )
    if edge_order == 1:
        first, last = (x[..., 1] - x[..., 0]) / h[0], (x[..., -1] - x[..., -2]) / h[-1]
    else:
        a, b = h[0], h[1]
        first = (
            -x[..., 0] * (2 * a + b) / (a * (a + b))
            + x[..., 1] * (a + b) / (a * b)
            - x[..., 2] * a / (b * (a + b))
        )
        a, b = h[-2], h[-1]
        last = (
            x[..., -3] * b / (a * (a + b))
            - x[..., -2] * (a + b) / (a * b)
            + x[..., -1] * (2 * b + a) / (b * (a + b))
        )
    return _C.cat([first.unsqueeze(-1), inner, last.unsqueeze(-1)], -1).movedim(-1, dim)


def gradient(input: Tensor, *, spacing=None, dim=None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Slopes of samples along each dimension, by central differences and one-sided ones at the ends.

    Args:
        input: samples of a function.
        spacing: the distance of samples, one for all dimensions (1 by default) or one each; or a tensor of
            places for each.
        dim: the dimensions, all by default.
        edge_order: 1 or 2, the order of the differences at the ends.

    RuntimeError where a dimension has no more than ``edge_order`` samples.

    >>> nnlib.gradient(nnlib.tensor([0.0, 1.0, 4.0, 9.0]))
    (tensor([1., 2., 4., 5.]),)
    """
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = wrapped_dims(dims, input.dim())
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    spacing = 1 if spacing is None else spacing
    steps = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar, or a list of length {len(dims)}, "
            f"but got a list of length {len(steps)}"
        )
    x = input if input.is_floating_point() else input.to(_C.get_default_dtype())
    result = []
    for d, step in zip(dims, steps, strict=True):
        size = x.shape[d]
        if size <= edge_order:
            raise RuntimeError(
                "torch.gradient expected each dimension size to be at least edge_order+1, "
                f"got size {size} in dimension {d} with edge_order {edge_order}"
            )
        places = (
            step.to(x.dtype)
            if isinstance(step, Tensor) and step.dim()
            else _C.arange(size, dtype=x.dtype) * step
        )
        result.append(_slope(x, d, places, edge_order))
    return tuple(result)


def _in_place_renorm(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """:func:`renorm` in place."""
    return self.copy_(renorm(self.clone(), p, dim, maxnorm))


Tensor.kron, Tensor.cov, Tensor.corrcoef, Tensor.renorm = kron, cov, corrcoef, renorm
Tensor.renorm_ = _in_place_renorm
