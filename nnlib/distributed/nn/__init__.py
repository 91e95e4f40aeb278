"""Modules that live on other workers, and collectives with gradients, as in torch.distributed.nn."""

from . import functional
from .functional import (
    all_gather,
    all_reduce,
    all_to_all,
    all_to_all_single,
    broadcast,
    gather,
    reduce,
    reduce_scatter,
    scatter,
)
from .remote_module import RemoteModule

__all__ = ["RemoteModule", "all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "functional",
           "gather", "reduce", "reduce_scatter", "scatter"]  # fmt: skip
