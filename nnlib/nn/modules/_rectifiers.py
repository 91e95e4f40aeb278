"""Activations that are made of straight pieces, or of one and an exponential."""

import warnings

from nnlib import _C

from .. import functional as F
from ..parameter import Parameter
from ._activation_base import Activation, InplaceActivation

__all__ = [
    "CELU",
    "ELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardshrink",
    "Hardtanh",
    "LeakyReLU",
    "PReLU",
    "ReLU",
    "ReLU6",
    "RReLU",
    "SELU",
    "Softshrink",
    "Threshold",
]


class ReLU(InplaceActivation):
    """:math:`max(0, x)`, element by element.

    Args:
        inplace (bool): overwrite the input. Default: ``False``.

    Example::

        >>> import nnlib
        >>> nnlib.nn.ReLU()(nnlib.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def forward(self, input):
        return _C.relu_(input) if self.inplace else _C.relu(input)


class ReLU6(InplaceActivation):
    """:math:`min(max(0, x), 6)`, element by element.

    Args:
        inplace (bool): overwrite the input. Default: ``False``.

    Example::

        >>> import nnlib
        >>> nnlib.nn.ReLU6()(nnlib.tensor([-1.0, 2.0, 7.0]))
        tensor([0., 2., 6.])
    """

    min_val, max_val = 0.0, 6.0

    def forward(self, input):
        return F.relu6(input, self.inplace)


class Threshold(Activation):
    """x where it is above `threshold`, `value` elsewhere.

    Args:
        threshold, value (float): the bound, and what stands for anything not above it.
        inplace (bool): overwrite the input. Default: ``False``.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Threshold(0.5, 20)(nnlib.tensor([0.0, 1.0]))
        tensor([20.,  1.])
    """

    _fields = ("threshold", "value")

    def __init__(self, threshold, value, inplace=False):
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input):
        return F.threshold(input, self.threshold, self.value, self.inplace)


class Hardtanh(Activation):
    """x, but `min_val` below that and `max_val` above that.

    Args:
        min_val, max_val (float): the bounds. Default: -1 and 1.
        inplace (bool): overwrite the input. Default: ``False``.
        min_value, max_value (float, optional): older names of the bounds; they warn.

    Raises:
        ValueError: `max_val` is not above `min_val`.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Hardtanh(-2, 2)(nnlib.tensor([-3.0, 1.0]))
        tensor([-2.,  1.])
    """

    _fields = ("min_val", "max_val")

    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None):
        super().__init__()
        for name, old in (("min_val", min_value), ("max_val", max_value)):
            if old is not None:
                warnings.warn(
                    f"keyword argument `{name}ue` is deprecated and renamed to `{name}`",
                    FutureWarning,
                    stacklevel=2,
                )
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise ValueError(f"max_val must be larger than min_val, got {self.max_val} and {self.min_val}")

    def forward(self, input):
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class Hardsigmoid(InplaceActivation):
    """:math:`relu6(x + 3) / 6`, a sigmoid of straight pieces.

    Args:
        inplace (bool): overwrite the input. Default: ``False``.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Hardsigmoid()(nnlib.tensor([-4.0, 0.0, 4.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """

    def forward(self, input):
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self):
        return ""


class Hardswish(InplaceActivation):
    """:math:`x \\, relu6(x + 3) / 6`.

    Args:
        inplace (bool): overwrite the input. Default: ``False``.

    Source: Howard and others, "Searching for MobileNetV3" (2019).
    """

    def forward(self, input):
        return F.hardswish(input, self.inplace)

    def extra_repr(self):
        return ""


class LeakyReLU(Activation):
    """x where it is positive, `negative_slope` x elsewhere.

    Args:
        negative_slope (float): Default: 0.01.
        inplace (bool): overwrite the input. Default: ``False``.

    Example::

        >>> import nnlib
        >>> nnlib.nn.LeakyReLU(0.5)(nnlib.tensor([-2.0, 2.0]))
        tensor([-1.,  2.])
    """

    _fields = ("negative_slope",)

    def __init__(self, negative_slope=1e-2, inplace=False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input):
        return F.leaky_relu(input, self.negative_slope, self.inplace)


class PReLU(Activation):
    """A `LeakyReLU` whose slope is learned, one for all channels or one for each.

    Args:
        num_parameters (int): 1, or the size of dimension 1. Default: 1.
        init (float): start value of the slopes. Default: 0.25.
        device, dtype: of the parameter.

    Attributes:
        weight: the slopes, shape (num_parameters).

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015).
    """

    _fields = ("num_parameters",)

    def __init__(self, num_parameters=1, init=0.25, device=None, dtype=None):
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(_C.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        """Set every slope to `init`."""
        self.weight.data.fill_(self.init)

    def forward(self, input):
        return _C.prelu(input, self.weight)


class RReLU(Activation):
    """A leaky ReLU whose slope is drawn from U(lower, upper) for each element in training, and their mean
    otherwise.

    Args:
        lower, upper (float): Default: 1/8 and 1/3.
        inplace (bool): overwrite the input. Default: ``False``.

    Source: Xu, Wang, Chen and Li, "Empirical evaluation of rectified activations in convolutional network"
        (2015).
    """

    _fields = ("lower", "upper")

    def __init__(self, lower=1.0 / 8, upper=1.0 / 3, inplace=False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input):
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class ELU(Activation):
    """x where it is positive, :math:`alpha \\, (exp(x) - 1)` elsewhere.

    Args:
        alpha (float): Default: 1.
        inplace (bool): overwrite the input. Default: ``False``.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
    linear units" (2016).
    """

    _fields = ("alpha",)

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input):
        return F.elu(input, self.alpha, self.inplace)


class CELU(Activation):
    """:math:`max(0, x) + min(0, alpha (exp(x / alpha) - 1))`.

    Args:
        alpha (float): Default: 1.
        inplace (bool): overwrite the input. Default: ``False``.

    Source: Barron, "Continuously differentiable exponential linear units" (2017).
    """

    _fields = ("alpha",)

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input):
        return F.celu(input, self.alpha, self.inplace)


class SELU(InplaceActivation):
    """An ELU with the two constants for which activations tend to mean 0 and variance 1.

    Args:
        inplace (bool): overwrite the input. Default: ``False``.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks" (2017).
    """

    def forward(self, input):
        return F.selu(input, self.inplace)


class _Shrink(Activation):
    def __init__(self, lambd=0.5):
        super().__init__()
        self.lambd = lambd

    def extra_repr(self):
        return str(self.lambd)


class Hardshrink(_Shrink):
    """x where its absolute value is above `lambd`, 0 elsewhere.

    Args:
        lambd (float): Default: 0.5.
    """

    def forward(self, input):
        return _C.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """x moved towards 0 by `lambd`, at most to 0.

    Args:
        lambd (float): at least 0. Default: 0.5.
    """

    def forward(self, input):
        return _C.softshrink(input, self.lambd)
