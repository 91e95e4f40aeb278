"""Windows of images as columns, and back."""

from .. import functional as F
from .module import Module

__all__ = ["Fold", "Unfold"]


class _Windows(Module):
    _shown = ("kernel_size", "dilation", "padding", "stride")

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def extra_repr(self):
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)


class Unfold(_Windows):
    """Every window of an image as a column.

    Args:
        kernel_size (int or tuple): size of the window.
        dilation (int or tuple): distance between its elements. Default: 1.
        padding (int or tuple): zeros on both sides. Default: 0.
        stride (int or tuple): step of the window. Default: 1.

    Shape:
        input (N, C, H, W) or (C, H, W); output (N, C kh kw, L) or (C kh kw, L) for L windows.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Unfold((2, 3))(nnlib.zeros(2, 5, 3, 4)).shape
        torch.Size([2, 30, 4])
    """

    def forward(self, input):
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Windows):
    """The sum of columns, each put where its window lies in an image; the transpose of `Unfold`.

    Args:
        output_size (int or tuple): (H, W) of the image.
        kernel_size, dilation, padding, stride: as in `Unfold`.

    Shape:
        input (N, C kh kw, L) or (C kh kw, L); output (N, C, H, W) or (C, H, W).

    Example::

        >>> import nnlib
        >>> nnlib.nn.Fold((4, 5), (2, 2))(nnlib.zeros(1, 12, 12)).shape
        torch.Size([1, 3, 4, 5])
    """

    _shown = ("output_size", *_Windows._shown)

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input):
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)
