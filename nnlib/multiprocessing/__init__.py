"""Python's ``multiprocessing`` with tensors that go between processes without a copy.

A tensor that is sent through a queue or a pipe, or handed to a new process, is moved into shared memory (see
``Tensor.share_memory_``): what one process writes, the others see. Everything else is the standard module's.

A process has to live until the receivers have taken out of a queue or pipe what it has put in: they ask it for the
memory's descriptor.
"""

from __future__ import annotations

import multiprocessing as _standard
from multiprocessing import *  # noqa: F403

from . import reductions
from .spawn import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    spawn,
    start_processes,
)

__all__ = [
    *_standard.__all__,
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]

reductions.init_reductions()


def get_all_sharing_strategies() -> set[str]:
    """The ways of sharing memory: ``{"file_descriptor"}``, files without names whose descriptors travel."""
    return {"file_descriptor"}


def get_sharing_strategy() -> str:
    """The way of sharing memory in use: always ``"file_descriptor"``."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """Choose a way of sharing memory; AssertionError for any but ``"file_descriptor"``, the only one there is."""
    if new_strategy not in get_all_sharing_strategies():
        raise AssertionError(
            f"invalid sharing strategy {new_strategy!r}, expected one of {get_all_sharing_strategies()}"
        )
