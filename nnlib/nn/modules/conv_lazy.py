"""Convolutions that take their number of input channels from their first input."""

from ..parameter import UninitializedParameter
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .lazy import LazyModuleMixin

__all__ = [
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]


class _LazyConv(LazyModuleMixin):
    """Put before a convolution: the constructor takes that one's arguments without `in_channels`."""

    def __init__(self, out_channels, kernel_size, *args, **kwargs):
        super().__init__(0, 0, kernel_size, *args, **kwargs)
        self.out_channels = out_channels
        if out_channels % self.groups:
            raise ValueError("out_channels must be divisible by groups")
        factory = {"device": self.weight.device, "dtype": self.weight.dtype}
        self.weight = UninitializedParameter(**factory)
        if self.bias is not None:
            self.bias = UninitializedParameter(**factory)

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input, *args, **kwargs):
        if not self.has_uninitialized_params():
            return
        self.in_channels = self._get_in_channels(input)
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        self.weight.materialize(self._weight_shape())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def _get_in_channels(self, input):
        n = self._dims
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {type(self).__name__}, but "
                f"got input of size: {input.shape}"
            )
        return input.shape[-n - 1]


_DOC = """A `{base}` that takes `in_channels` from its first input and is a `{base}` from then on.

    Args:
        out_channels, kernel_size, ...: as in `{base}`, without `in_channels`.

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.Lazy{base}(4, 3)
        >>> _ = layer(nnlib.zeros(1, 2, {size}))
        >>> type(layer).__name__, layer.in_channels
        ('{base}', 2)
    """


def _lazy(base):
    size = ", ".join(["7"] * base._dims)
    body = {
        "__doc__": _DOC.format(base=base.__name__, size=size),
        "__module__": __name__,
        "cls_to_become": base,
    }
    return type(_LazyConv)("Lazy" + base.__name__, (_LazyConv, base), body)


LazyConv1d, LazyConv2d, LazyConv3d = _lazy(Conv1d), _lazy(Conv2d), _lazy(Conv3d)
LazyConvTranspose1d, LazyConvTranspose2d, LazyConvTranspose3d = (
    _lazy(ConvTranspose1d),
    _lazy(ConvTranspose2d),
    _lazy(ConvTranspose3d),
)
