"""Channels mixed across groups."""

from .. import functional as F
from .module import Module

__all__ = ["ChannelShuffle"]


class ChannelShuffle(Module):
    """Takes the channels of (N, C, \\*) from each of `groups` groups in turn.

    Args:
        groups (int): it divides C.

    Source: Zhang, Zhou, Lin and Sun, "ShuffleNet" (2018).

    Example::

        >>> import nnlib
        >>> nnlib.nn.ChannelShuffle(2)(nnlib.arange(4.0).view(1, 4, 1, 1)).flatten()
        tensor([0., 2., 1., 3.])
    """

    __constants__ = ["groups"]

    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def forward(self, input):
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self):
        return f"groups={self.groups}"
