"""What the second run of a checkpointed part has to find as the first: random numbers and autocast's settings."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

from .. import _C, random
from .._tensor import Tensor
from ..amp import autocast


@contextmanager
def as_before(state: Tensor | None, autocast_state: tuple):
    """The surroundings of the first run: the random numbers (unless None) and autocast's settings."""
    enabled, dtype, cached = autocast_state
    fork = nullcontext() if state is None else random.fork_rng()
    with fork, autocast("cpu", dtype=dtype, enabled=enabled, cache_enabled=cached):
        if state is not None:
            random.set_rng_state(state)
        yield


def surroundings(preserve_rng_state: bool) -> tuple:
    """What :func:`as_before` needs."""
    settings = (
        _C.is_autocast_enabled("cpu"),
        _C.get_autocast_dtype("cpu"),
        _C.is_autocast_cache_enabled(),
    )
    return random.get_rng_state() if preserve_rng_state else None, settings
