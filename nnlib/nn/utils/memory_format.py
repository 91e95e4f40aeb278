"""Changing the memory format of convolution weights."""

from nnlib.autograd import no_grad

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def _convert(module, memory_format, kinds, ndim):
    for child in module.modules():
        if isinstance(child, kinds) and child.weight.dim() == ndim:
            with no_grad():
                child.weight.data = child.weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module, memory_format):
    """Convert the weights of all two-dimensional convolutions in `module` to `memory_format`; returns
    `module`.
    """
    from ..modules.conv import Conv2d, ConvTranspose2d

    return _convert(module, memory_format, (Conv2d, ConvTranspose2d), 4)


def convert_conv3d_weight_memory_format(module, memory_format):
    """Convert the weights of all three-dimensional convolutions in `module`; returns `module`."""
    from ..modules.conv import Conv3d, ConvTranspose3d

    return _convert(module, memory_format, (Conv3d, ConvTranspose3d), 5)
