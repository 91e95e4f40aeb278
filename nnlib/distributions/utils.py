"""What distributions share: operands of one shape, probabilities and their logarithms."""

from __future__ import annotations

from numbers import Number

from nnlib import _C
from nnlib._functions import finfo
from nnlib._shape import broadcast_tensors

Tensor = _C.Tensor

__all__ = ["broadcast_all", "clamp_probs", "logits_to_probs", "probs_to_logits"]


def broadcast_all(*values) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape; numbers take the type of the first tensor.

    ValueError for anything else.

    >>> from nnlib.distributions.utils import broadcast_all
    >>> broadcast_all(nnlib.ones(2), 3)
    (tensor([1., 1.]), tensor([3., 3.]))
    """
    if not all(isinstance(v, (Tensor, Number)) for v in values):
        raise ValueError("Input arguments must all be instances of Number or torch.Tensor.")
    dtypes = [v.dtype for v in values if isinstance(v, Tensor)]
    dtype = dtypes[0] if dtypes else _C.get_default_dtype()
    tensors = [v if isinstance(v, Tensor) else _C.tensor(v, dtype=dtype) for v in values]
    return tuple(broadcast_tensors(*tensors))


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities that are not quite 0 or 1, so that their logarithms are finite."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Logarithms of probabilities; of the odds where ``is_binary``."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities from logarithms that need not be normalised; from the odds' where ``is_binary``."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


def probs_or_logits(probs, logits) -> bool:
    """Whether probabilities were given; ValueError unless exactly one of the two was."""
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    return probs is not None
