"""Convolutions in one, two and three dimensions, plain and transposed."""

import math

from nnlib import _C
from nnlib.autograd import no_grad

from .. import functional as F
from .. import init
from .module import Module
from .utils import new_parameter, to_ntuple

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions share; a subclass sets `_dims` and `_conv`."""

    _dims = 0
    _conv = None
    transposed = False
    __constants__ = [
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "output_padding",
        "in_channels",
        "out_channels",
        "kernel_size",
    ]

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        super().__init__()
        sizes = (stride, padding, dilation, 0)
        self._setup(in_channels, out_channels, kernel_size, sizes, groups, bias, padding_mode, device, dtype)

    def _setup(
        self, in_channels, out_channels, kernel_size, sizes, groups, bias, padding_mode, device, dtype
    ):
        n = self._dims
        stride, padding, dilation, output_padding = sizes
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = to_ntuple(kernel_size, n)
        self.stride = to_ntuple(stride, n)
        self.padding = padding if isinstance(padding, str) else to_ntuple(padding, n)
        self.dilation = to_ntuple(dilation, n)
        self.output_padding = to_ntuple(output_padding, n)
        self.groups, self.padding_mode = groups, padding_mode
        self._check()
        self._reversed_padding_repeated_twice = self._padding_for_pad()
        self.weight = new_parameter(self._weight_shape(), device, dtype)
        self.register_parameter("bias", new_parameter((out_channels,), device, dtype) if bias else None)
        self.reset_parameters()

    def _check(self):
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{name} must be divisible by groups")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {self.padding!r}, should be one of 'same', 'valid'")
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if self.padding_mode not in _PADDING_MODES:
            raise ValueError(
                f"padding_mode must be one of {_PADDING_MODES}, but got padding_mode='{self.padding_mode}'"
            )

    def _padding_for_pad(self):
        """The padding in the form that `F.pad` takes: last dimension first, both sides of each."""
        if self.padding == "valid":
            return [0, 0] * self._dims
        if self.padding != "same":
            return [p for p in reversed(self.padding) for _ in range(2)]
        total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        return [side for t in reversed(total) for side in (t // 2, t - t // 2)]

    def _weight_shape(self):
        channels = (
            (self.in_channels, self.out_channels)
            if self.transposed
            else (self.out_channels, self.in_channels)
        )
        return (channels[0], channels[1] // self.groups, *self.kernel_size)

    def reset_parameters(self):
        """Draw new values for the parameters."""
        if self.weight.is_contiguous():
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        else:  # the same values whatever the memory format
            values = init.kaiming_uniform_(
                _C.empty(self.weight.shape, dtype=self.weight.dtype), a=math.sqrt(5)
            )
            with no_grad():
                self.weight.copy_(values)
        if self.bias is not None:
            init._uniform_by_fan_in_(self.bias, self.weight)

    def _conv_forward(self, input, weight, bias):
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        return type(self)._conv(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input):
        return self._conv_forward(input, *self._weight_and_bias())

    def extra_repr(self):
        n = self._dims
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        ]
        for name, usual in (
            ("padding", (0,) * n),
            ("dilation", (1,) * n),
            ("output_padding", (0,) * n),
            ("groups", 1),
        ):
            if getattr(self, name) != usual:
                parts.append(f"{name}={getattr(self, name)}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)

    def __setstate__(self, state):
        super().__setstate__(state)
        self.__dict__.setdefault("padding_mode", "zeros")


_CONV_DOC = r"""{what}

    The kernel slides over the input and is not flipped (a cross-correlation).

    Args:
        in_channels, out_channels (int): numbers of channels, both divisible by `groups`.
        kernel_size (int or tuple): size of the kernel; one number holds for every dimension, here and below.
        stride (int or tuple): step of the kernel. Default: 1.
        padding (int, tuple or str): added on both sides of each dimension; ``'valid'`` is none, ``'same'``
            keeps the size (with stride 1). Default: 0.
        dilation (int or tuple): distance between kernel elements. Default: 1.
        groups (int): the channels fall into so many groups, each with its own kernels; `in_channels` groups
            make a depthwise convolution. Default: 1.
        bias (bool): learn an additive bias. Default: ``True``.
        padding_mode (str): ``'zeros'``, ``'reflect'``, ``'replicate'`` or ``'circular'``. Default:
            ``'zeros'``.
        device, dtype: of the parameters.

    Shape:
        input {shape_in} or without N, output {shape_out} with, in each dimension,
        :math:`out = \lfloor (in + 2\,padding - dilation\,(kernel - 1) - 1) / stride \rfloor + 1`.

    Attributes:
        weight: shape (out_channels, in_channels / groups, \*kernel_size), drawn from :math:`U(-\sqrt{{k}},
            \sqrt{{k}})` with :math:`k = groups / (in\_channels \prod kernel\_size)`.
        bias: shape (out_channels), drawn from the same distribution; None without a bias.

    Raises:
        ValueError: groups that do not divide the channels, an unknown padding or padding mode.

    Example::

        >>> import nnlib
        >>> {example}
    """


def _conv_doc(name, shape, size, out):
    return _CONV_DOC.format(
        what=f"A convolution over inputs with channels and {len(size)} spatial dimension(s).",
        shape_in=f":math:`(N, C_{{in}}, {shape})`",
        shape_out=f":math:`(N, C_{{out}}, {shape}')`",
        example=f"nnlib.nn.{name}(2, 4, 3)(nnlib.zeros(1, 2, {', '.join(map(str, size))})).shape\n"
        f"        torch.Size([1, 4, {', '.join(map(str, out))}])",
    )


class Conv1d(_ConvNd):
    __doc__ = _conv_doc("Conv1d", "L", (9,), (7,))
    _dims, _conv = 1, staticmethod(F.conv1d)


class Conv2d(_ConvNd):
    __doc__ = _conv_doc("Conv2d", "H, W", (9, 8), (7, 6))
    _dims, _conv = 2, staticmethod(F.conv2d)


class Conv3d(_ConvNd):
    __doc__ = _conv_doc("Conv3d", "D, H, W", (9, 8, 7), (7, 6, 5))
    _dims, _conv = 3, staticmethod(F.conv3d)


class _ConvTransposeNd(_ConvNd):
    transposed = True

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        if isinstance(padding, str):
            raise TypeError(f"padding of {type(self).__name__} should be an int or a tuple, got {padding!r}")
        super(_ConvNd, self).__init__()
        sizes = (stride, padding, dilation, output_padding)
        self._setup(in_channels, out_channels, kernel_size, sizes, groups, bias, padding_mode, device, dtype)

    def _output_padding(self, input, output_size):
        """The padding of the output that makes it `output_size`."""
        if output_size is None:
            return self.output_padding
        n = self._dims
        leading = input.dim() - n
        output_size = tuple(output_size)
        if len(output_size) == leading + n:
            output_size = output_size[leading:]
        if len(output_size) != n:
            raise ValueError(
                f"{type(self).__name__}: for {input.dim()}D input, output_size must have {n} or "
                f"{leading + n} elements (got {len(output_size)})"
            )
        least = [
            (size - 1) * s - 2 * p + d * (k - 1) + 1
            for size, s, p, d, k in zip(
                input.shape[leading:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        most = [size + s - 1 for size, s in zip(least, self.stride, strict=True)]
        if any(not low <= size <= high for low, size, high in zip(least, output_size, most, strict=True)):
            raise ValueError(
                f"requested an output size of {list(output_size)}, but valid sizes range from {least} to "
                f"{most} (for an input of {input.size()[2:]})"
            )
        return tuple(size - low for size, low in zip(output_size, least, strict=True))

    def forward(self, input, output_size=None):
        """Apply the layer; `output_size` picks one of the sizes that a stride above 1 leaves open."""
        return type(self)._conv(
            input,
            *self._weight_and_bias(),
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )


_TRANSPOSE_DOC = r"""A transposed convolution over inputs with {n} spatial dimension(s) and channels: the
gradient of
    `{conv}` with respect to its input, taken as a layer.

    Args:
        in_channels, out_channels (int): numbers of channels, both divisible by `groups`.
        kernel_size (int or tuple): size of the kernel; one number holds for every dimension, here and below.
        stride (int or tuple): step in the output. Default: 1.
        padding (int or tuple): cut off on both sides of the output. Default: 0.
        output_padding (int or tuple): added to one side of the output's size. Default: 0.
        groups (int): the channels fall into so many groups, each with its own kernels. Default: 1.
        bias (bool): learn an additive bias. Default: ``True``.
        dilation (int or tuple): distance between kernel elements. Default: 1.
        padding_mode (str): only ``'zeros'``.
        device, dtype: of the parameters.

    Shape:
        input :math:`(N, C_{{in}}, {shape})` or without N; output :math:`(N, C_{{out}}, {shape}')` with, in
        each dimension, :math:`out = (in - 1)\,stride - 2\,padding + dilation\,(kernel - 1) + output\_padding
        + 1`.

    Attributes:
        weight: shape (in_channels, out_channels / groups, \*kernel_size), drawn from
            :math:`U(-\sqrt{{k}}, \sqrt{{k}})` with :math:`k = groups / (out\_channels \prod kernel\_size)`.
        bias: shape (out_channels), drawn from the same distribution; None without a bias.

    Raises:
        ValueError: groups that do not divide the channels, another padding mode than zeros, or (in forward)
            an `output_size` that the stride does not allow.

    Source: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional Networks" (2010).

    Example::

        >>> import nnlib
        >>> nnlib.nn.{name}(4, 2, 3, stride=2)(nnlib.zeros(1, 4, {size})).shape
        torch.Size([1, 2, {out}])
    """


def _transpose_doc(n, shape):
    size, out = ", ".join(["5"] * n), ", ".join(["11"] * n)
    return _TRANSPOSE_DOC.format(
        n=n, shape=shape, conv=f"Conv{n}d", name=f"ConvTranspose{n}d", size=size, out=out
    )


class ConvTranspose1d(_ConvTransposeNd):
    __doc__ = _transpose_doc(1, "L")
    _dims, _conv = 1, staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_ConvTransposeNd):
    __doc__ = _transpose_doc(2, "H, W")
    _dims, _conv = 2, staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_ConvTransposeNd):
    __doc__ = _transpose_doc(3, "D, H, W")
    _dims, _conv = 3, staticmethod(F.conv_transpose3d)
