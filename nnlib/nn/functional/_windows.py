"""Windows of images as columns, and the sum of columns back in an image."""

from nnlib import _C


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The windows of an image as columns. See `nnlib.nn.Unfold`."""
    return _C.im2col(input, kernel_size, dilation, padding, stride)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The sum of columns, put where their windows lie in an image. See `nnlib.nn.Fold`."""
    return _C.col2im(input, output_size, kernel_size, dilation, padding, stride)
