"""Sums of products in the forms that Python programs write: thin wrappers of native operators."""

from __future__ import annotations

from collections.abc import Sequence

from . import _C

Tensor = _C.Tensor

__all__ = ["chain_matmul", "einsum", "tensordot"]


def _letters(subscripts: Sequence) -> str:
    """A list of numbers and Ellipsis as subscripts in letters."""
    text = []
    for s in subscripts:
        if s is Ellipsis:
            text.append("...")
        elif 0 <= s < 52:
            text.append(chr(ord("A") + s) if s < 26 else chr(ord("a") + s - 26))
        else:
            raise ValueError(f"einsum(): subscripts in a list have to be within 0 and 51, got {s}")
    return "".join(text)


def einsum(equation, *operands) -> Tensor:
    """The sum of products of the operands that the subscripts describe.

    Each operand's dimensions are named by letters; what the output (after ``->``) lacks is summed over. A
    letter twice in one operand takes its diagonal, ``...`` stands for dimensions that broadcast. Without
    ``->`` the output has the letters that occur once, in alphabetical order. Operands are contracted from
    left to right, two at a time, as batched matrix products. RuntimeError where the sizes disagree.

    >>> x = nnlib.ones(2, 3)
    >>> nnlib.einsum("ij,kj->ik", x, x)
    tensor([[3., 3.],
            [3., 3.]])

    The form ``einsum(x, [0, 1], y, [2, 1], [0, 2])`` names the dimensions by numbers below 52.
    """
    if not isinstance(equation, str):
        args = [equation, *operands]
        pairs = list(zip(args[::2], args[1::2], strict=False))
        equation = ",".join(_letters(subscripts) for _, subscripts in pairs)
        if len(args) % 2:
            equation += "->" + _letters(args[-1])
        operands = [tensor for tensor, _ in pairs]
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    return _C.einsum(equation, list(operands))


def tensordot(a: Tensor, b: Tensor, dims=2, out: Tensor | None = None) -> Tensor:
    """The sum of products over some dimensions of two tensors.

    ``dims``: a number n (the last n of ``a`` with the first n of ``b``), or a pair of lists of dimensions.
    The result has the other dimensions, those of ``a`` first. RuntimeError where the sizes differ.

    >>> nnlib.tensordot(nnlib.ones(2, 3), nnlib.ones(3, 4), dims=1).shape
    torch.Size([2, 4])
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        first, second = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    result = _C.tensordot(a, b, first, second)
    return result if out is None else out.resize_(result.shape).copy_(result)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, from left to right.

    >>> nnlib.chain_matmul(nnlib.ones(2, 3), nnlib.ones(3, 1), nnlib.ones(1, 2))
    tensor([[3., 3.],
            [3., 3.]])
    """
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = matrices[0]
    return matrices[0] if len(matrices) == 1 else _C.chain_matmul(list(matrices))
