"""Which algorithm ``scaled_dot_product_attention`` uses."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from ..functional import _attention

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """The algorithms that programs name. Two are there:

    - ``FLASH_ATTENTION``: block by block, without the matrix of scores (native; preferred),
    - ``MATH``: the scores, their softmax and the product with the values, one operator after the other.

    Blocks can do all that the definition can; named alone, ``FLASH_ATTENTION`` still refuses what PyTorch's refuses
    (dropout, a mask with gradient), so that a program finds out here too. The others belong to other machines: naming
    them alone makes attention an error, as on PyTorch's CPU.
    """

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False) -> Iterator[dict]:
    """A region in which ``scaled_dot_product_attention`` uses the algorithms named, and no others.

    It holds for the thread that entered it.

    Args:
        backends: one :class:`SDPBackend` or a list. RuntimeError from the attention where neither
            ``FLASH_ATTENTION`` nor ``MATH`` is among them.
        set_priority: take the first of the list that is there; otherwise ``FLASH_ATTENTION`` comes first.

    AssertionError for anything else.

    >>> from nnlib.nn.attention import SDPBackend, sdpa_kernel
    >>> q = nnlib.ones(1, 2, 4)
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     nnlib.nn.functional.scaled_dot_product_attention(q, q, q).shape
    torch.Size([1, 2, 4])
    """
    named = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(named, list) or not all(isinstance(b, SDPBackend) for b in named):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, "
            f"got {type(backends).__name__}"
        )
    there = {SDPBackend.FLASH_ATTENTION: "flash", SDPBackend.MATH: "math"}
    wanted = [there[b] for b in named if b in there]
    if len(set(wanted)) == 2:  # blocks, unless the slower is preferred
        how = "math" if set_priority and wanted[0] == "math" else None
    else:
        how = wanted[0] if wanted else "none"
    before = _attention.chosen.algorithm
    _attention.chosen.algorithm = how
    try:
        yield {}
    finally:
        _attention.chosen.algorithm = before
