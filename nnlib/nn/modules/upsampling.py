"""Resizing of images and other fields."""

from .. import functional as F
from .module import Module

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]


class Upsample(Module):
    """Resizes the spatial dimensions of (N, C, \\*).

    Args:
        size (int or tuple, optional): of the output; this or `scale_factor`.
        scale_factor (float or tuple, optional): multiplies the sizes.
        mode (str): ``'nearest'``, ``'linear'``, ``'bilinear'``, ``'bicubic'`` or ``'trilinear'``, ...: those
            of `nnlib.nn.functional.interpolate`. Default: ``'nearest'``.
        align_corners (bool, optional): the centres of the corner pixels stay at the corners.
        recompute_scale_factor (bool, optional): take the scale from the rounded output size.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Upsample(scale_factor=2)(nnlib.zeros(1, 1, 2, 2)).shape
        torch.Size([1, 1, 4, 4])
    """

    __constants__ = ["size", "scale_factor", "mode", "align_corners", "name", "recompute_scale_factor"]

    def __init__(
        self, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None
    ):
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input):
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def __setstate__(self, state):
        # Modules saved before the argument existed behaved as if it were True.
        super().__setstate__({"recompute_scale_factor": True, **state})

    def extra_repr(self):
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resizes images by taking the nearest pixel.

    Args:
        size (int or tuple, optional): of the output; this or `scale_factor`.
        scale_factor (float or tuple, optional): multiplies the sizes.
    """

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Resizes images bilinearly, the centres of the corner pixels staying at the corners.

    Args:
        size (int or tuple, optional): of the output; this or `scale_factor`.
        scale_factor (float or tuple, optional): multiplies the sizes.
    """

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
