"""cuDNN is not there. Its switches are kept as they are set and concern nothing, as in PyTorch without CUDA."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["flags", "is_available", "version"]

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Always False."""
    return False


def version() -> None:
    """Always None."""


@contextmanager
def flags(
    enabled: bool = False, benchmark: bool = False, benchmark_limit: int = 10, deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:  # fmt: skip
    """A region in which the switches have these values.

    >>> with nnlib.backends.cudnn.flags(deterministic=True):
    ...     nnlib.backends.cudnn.deterministic
    True
    """
    wanted = dict(locals())
    module = sys.modules[__name__]
    before = {name: getattr(module, name) for name in wanted}
    vars(module).update(wanted)
    try:
        yield
    finally:
        vars(module).update(before)
