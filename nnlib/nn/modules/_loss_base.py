"""What the loss modules share."""

from ..functional._reduction import legacy
from .module import Module


class _Loss(Module):
    def __init__(self, size_average=None, reduce=None, reduction="mean"):
        super().__init__()
        self.reduction = legacy(size_average, reduce, reduction)


class _WeightedLoss(_Loss):
    def __init__(self, weight=None, size_average=None, reduce=None, reduction="mean"):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


# The reduction arguments are the same everywhere; each docstring gets this text in the place of {reduction}.
_REDUCTION = """size_average, reduce (bool, optional): older forms of `reduction`, which they override with a
warning.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``. Default: ``'mean'``."""


def _documented(cls):
    cls.__doc__ = cls.__doc__.replace("{reduction}", _REDUCTION)
    return cls
