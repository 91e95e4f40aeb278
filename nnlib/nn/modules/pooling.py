"""Pooling modules. A family is one base class; its members differ in the number of spatial dimensions."""

from .. import functional as F
from .._tuples import to_ntuple
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _Pool(Module):
    """A pooling: `_function` computes it, `_dims` is its number of spatial dimensions, `_shown` its repr."""

    _dims = 0
    _function = None
    _shown = ()

    def extra_repr(self):
        return ", ".join(f"{name}={getattr(self, name)}" for name in self._shown)


class _MaxPoolNd(_Pool):
    """The maximum of each window, over inputs with {n} spatial dimension(s).

    Args:
        kernel_size (int or tuple): size of the window; one number holds for every dimension, here and below.
        stride (int or tuple, optional): step of the window. Default: `kernel_size`.
        padding (int or tuple): minus infinity on both sides; at most half the window. Default: 0.
        dilation (int or tuple): distance between the elements of a window. Default: 1.
        return_indices (bool): also return where the maxima stood, for `MaxUnpool{n}d`. Default: ``False``.
        ceil_mode (bool): round the output's size up, not down. Default: ``False``.

    Shape:
        input (N, C, \\*) or (C, \\*); each size becomes
        :math:`\\lfloor (in + 2\\,padding - dilation\\,(kernel - 1) - 1) / stride \\rfloor + 1`.

    Example::

        >>> import nnlib
        >>> nnlib.nn.MaxPool{n}d(2)(nnlib.ones({shape})).shape
        torch.Size([{pooled}])
    """

    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    __constants__ = [*_shown, "return_indices"]

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input):
        return type(self)._function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def __setstate__(self, state):
        super().__setstate__(state)
        self.__dict__.setdefault("padding", 0)
        self.__dict__.setdefault("dilation", 1)


class _MaxUnpoolNd(_Pool):
    """Puts the maxima that a `MaxPool{n}d` returned back where they stood; everything else is zero.

    Args:
        kernel_size, stride, padding: of that pooling.

    Shape:
        input and indices (N, C, \\*) or (C, \\*). Forward takes `output_size` to choose among the sizes that
        give the same pooled size.
    """

    _shown = ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size = to_ntuple(kernel_size, self._dims)
        self.stride = to_ntuple(stride if stride is not None else kernel_size, self._dims)
        self.padding = to_ntuple(padding, self._dims)

    def forward(self, input, indices, output_size=None):
        return type(self)._function(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _AvgPoolNd(_Pool):
    """The mean of each window, over inputs with {n} spatial dimension(s).

    Args:
        kernel_size (int or tuple): size of the window; one number holds for every dimension, here and below.
        stride (int or tuple, optional): step of the window. Default: `kernel_size`.
        padding (int or tuple): zeros on both sides; at most half the window. Default: 0.
        ceil_mode (bool): round the output's size up, not down. Default: ``False``.
        count_include_pad (bool): the zeros count in the mean. Default: ``True``.
        divisor_override (int, optional): divide by it instead of the number of elements (not in one
            dimension).

    Shape:
        input (N, C, \\*) or (C, \\*); each size becomes :math:`\\lfloor (in + 2\\,padding - kernel) / stride
        \\rfloor + 1`.

    Example::

        >>> import nnlib
        >>> nnlib.nn.AvgPool{n}d(2)(nnlib.ones({shape})).shape
        torch.Size([{pooled}])
    """

    _shown = ("kernel_size", "stride", "padding")
    __constants__ = [*_shown, "ceil_mode", "count_include_pad"]

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input):
        return type(self)._function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class _LPPoolNd(_Pool):
    """The p-norm of each window, over inputs with {n} spatial dimension(s).

    Args:
        norm_type (float): p; infinity gives the maximum.
        kernel_size (int or tuple): size of the window.
        stride (int or tuple, optional): step of the window. Default: `kernel_size`.
        ceil_mode (bool): round the output's size up, not down. Default: ``False``.
    """

    _shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = (
            norm_type,
            kernel_size,
            stride,
            ceil_mode,
        )

    def forward(self, input):
        return type(self)._function(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class _AdaptiveMaxPoolNd(_Pool):
    """The maximum of each window, the windows chosen so that the output has a given size.

    Args:
        output_size (int or tuple): of the {n} spatial dimension(s); None keeps the input's.
        return_indices (bool): also return where the maxima stood. Default: ``False``.

    Shape:
        input (N, C, \\*) or (C, \\*).
    """

    _shown = ("output_size",)

    def __init__(self, output_size, return_indices=False):
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input):
        return type(self)._function(input, self.output_size, self.return_indices)


class _AdaptiveAvgPoolNd(_Pool):
    """The mean of each window, the windows chosen so that the output has a given size.

    Args:
        output_size (int or tuple): of the {n} spatial dimension(s); None keeps the input's.

    Shape:
        input (N, C, \\*) or (C, \\*).

    Example::

        >>> import nnlib
        >>> nnlib.nn.AdaptiveAvgPool{n}d(1)(nnlib.ones({shape})).sum()
        tensor(3.)
    """

    _shown = ("output_size",)

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input):
        return type(self)._function(input, self.output_size)


class _FractionalMaxPoolNd(_Pool):
    """The maximum of each window, the windows' places drawn at random so that the output has a given size.

    Args:
        kernel_size (int or tuple): size of the window.
        output_size (int or tuple, optional): of the {n} spatial dimensions; this or `output_ratio`.
        output_ratio (float or tuple, optional): of output to input, between 0 and 1.
        return_indices (bool): also return where the maxima stood. Default: ``False``.

    Raises:
        ValueError: both or none of the sizes given, or a ratio out of range.

    Source: Graham, "Fractional max-pooling" (2014).
    """

    def __init__(
        self, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):
        super().__init__()
        name, n = type(self).__name__, self._dims
        self.kernel_size = to_ntuple(kernel_size, n)
        if any(k <= 0 for k in self.kernel_size):
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else to_ntuple(output_size, n)
        self.output_ratio = None if output_ratio is None else to_ntuple(output_ratio, n)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input):
        return type(self)._function(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            _random_samples=self._random_samples,
        )


def _pool(base, n, function):
    """The member of a family with `n` spatial dimensions."""
    name = base.__name__[1:-2] + f"{n}d"
    shape, pooled = ", ".join(["1, 3"] + ["4"] * n), ", ".join(["1, 3"] + ["2"] * n)
    doc = base.__doc__.replace("{n}", str(n)).replace("{shape}", shape).replace("{pooled}", pooled)
    body = {"__doc__": doc, "__module__": __name__, "_dims": n, "_function": staticmethod(function)}
    return type(base)(name, (base,), body)


class AvgPool1d(_AvgPoolNd):
    __doc__ = (
        _AvgPoolNd.__doc__.replace("{n}", "1").replace("{shape}", "1, 3, 4").replace("{pooled}", "1, 3, 2")
    )
    _dims = 1

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.kernel_size, self.stride, self.padding = (
            to_ntuple(value, 1) for value in (self.kernel_size, self.stride, self.padding)
        )
        del self.divisor_override

    def forward(self, input):
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


MaxPool1d = _pool(_MaxPoolNd, 1, F.max_pool1d)
MaxPool2d = _pool(_MaxPoolNd, 2, F.max_pool2d)
MaxPool3d = _pool(_MaxPoolNd, 3, F.max_pool3d)
MaxUnpool1d = _pool(_MaxUnpoolNd, 1, F.max_unpool1d)
MaxUnpool2d = _pool(_MaxUnpoolNd, 2, F.max_unpool2d)
MaxUnpool3d = _pool(_MaxUnpoolNd, 3, F.max_unpool3d)
AvgPool2d = _pool(_AvgPoolNd, 2, F.avg_pool2d)
AvgPool3d = _pool(_AvgPoolNd, 3, F.avg_pool3d)
LPPool1d = _pool(_LPPoolNd, 1, F.lp_pool1d)
LPPool2d = _pool(_LPPoolNd, 2, F.lp_pool2d)
LPPool3d = _pool(_LPPoolNd, 3, F.lp_pool3d)
AdaptiveMaxPool1d = _pool(_AdaptiveMaxPoolNd, 1, F.adaptive_max_pool1d)
AdaptiveMaxPool2d = _pool(_AdaptiveMaxPoolNd, 2, F.adaptive_max_pool2d)
AdaptiveMaxPool3d = _pool(_AdaptiveMaxPoolNd, 3, F.adaptive_max_pool3d)
AdaptiveAvgPool1d = _pool(_AdaptiveAvgPoolNd, 1, F.adaptive_avg_pool1d)
AdaptiveAvgPool2d = _pool(_AdaptiveAvgPoolNd, 2, F.adaptive_avg_pool2d)
AdaptiveAvgPool3d = _pool(_AdaptiveAvgPoolNd, 3, F.adaptive_avg_pool3d)
FractionalMaxPool2d = _pool(_FractionalMaxPoolNd, 2, F.fractional_max_pool2d)
FractionalMaxPool3d = _pool(_FractionalMaxPoolNd, 3, F.fractional_max_pool3d)
