"""Channels into space and back."""

from .. import functional as F
from .module import Module

__all__ = ["PixelShuffle", "PixelUnshuffle"]


class PixelShuffle(Module):
    """Rearranges (\\*, C r^2, H, W) to (\\*, C, H r, W r): channels become pixels.

    Args:
        upscale_factor (int): r.

    Source: Shi and others, "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network" (2016).

    Example::

        >>> import nnlib
        >>> nnlib.nn.PixelShuffle(3)(nnlib.zeros(1, 9, 4, 4)).shape
        torch.Size([1, 1, 12, 12])
    """

    __constants__ = ["upscale_factor"]

    def __init__(self, upscale_factor):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input):
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self):
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Rearranges (\\*, C, H r, W r) to (\\*, C r^2, H, W): pixels become channels.

    Args:
        downscale_factor (int): r.

    Example::

        >>> import nnlib
        >>> nnlib.nn.PixelUnshuffle(3)(nnlib.zeros(1, 1, 12, 12)).shape
        torch.Size([1, 9, 4, 4])
    """

    __constants__ = ["downscale_factor"]

    def __init__(self, downscale_factor):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input):
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self):
        return f"downscale_factor={self.downscale_factor}"
