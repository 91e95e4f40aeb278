"""Checkpoints of a job on many ranks, in one file; named as in torch.distributed.checkpoint.

:func:`save` and :func:`load` take a dict of what makes up the training. :mod:`.state_dict` has model and
optimizer states with the names that the model has without DistributedDataParallel around it.
"""

from . import state_dict
from ._entries import PerRank, RandomState, Stateful
from ._file import CheckpointException, load, save

__all__ = ["CheckpointException", "PerRank", "RandomState", "Stateful", "load", "save", "state_dict"]
