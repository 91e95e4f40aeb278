"""Activations, and multi-head attention."""

from nnlib import _C

from .. import functional as F
from ._activation_base import Activation, InplaceActivation
from ._rectifiers import (
    CELU,
    ELU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Softshrink,
    Threshold,
)
from .attention import MultiheadAttention

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "MultiheadAttention",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class Sigmoid(Activation):
    """:math:`1 / (1 + exp(-x))`, element by element.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Sigmoid()(nnlib.zeros(1))
        tensor([0.5000])
    """

    def forward(self, input):
        return _C.sigmoid(input)


class Tanh(Activation):
    """The hyperbolic tangent, element by element.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Tanh()(nnlib.zeros(1))
        tensor([0.])
    """

    def forward(self, input):
        return _C.tanh(input)


class SiLU(InplaceActivation):
    """:math:`x \\, sigmoid(x)`, also called swish.

    Args:
        inplace (bool): overwrite the input. Default: ``False``.

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """

    def forward(self, input):
        return F.silu(input, self.inplace)


class Mish(InplaceActivation):
    """:math:`x \\, tanh(softplus(x))`.

    Args:
        inplace (bool): overwrite the input. Default: ``False``.

    Source: Misra, "Mish: a self regularized non-monotonic activation function" (2019).
    """

    def forward(self, input):
        return F.mish(input, self.inplace)


class GELU(Activation):
    """x times the normal distribution function at x.

    Args:
        approximate (str): ``'none'``, or ``'tanh'`` for the approximation by a tanh. Default: ``'none'``.

    Source: Hendrycks and Gimpel, "Gaussian error linear units" (2016).
    """

    _fields = ("approximate",)

    def __init__(self, approximate="none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input):
        return _C.gelu(input, approximate=self.approximate)


class GLU(Activation):
    """:math:`a \\, sigmoid(b)` for the two halves a and b of the input.

    Args:
        dim (int): along which it is cut in half; its size is even. Default: -1.

    Source: Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks" (2017).

    Example::

        >>> import nnlib
        >>> nnlib.nn.GLU()(nnlib.tensor([2.0, 0.0]))
        tensor([1.])
    """

    _fields = ("dim",)

    def __init__(self, dim=-1):
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return F.glu(input, self.dim)


class LogSigmoid(Activation):
    """:math:`log(1 / (1 + exp(-x)))`, element by element."""

    def forward(self, input):
        return _C.logsigmoid(input)


class Softplus(Activation):
    """:math:`log(1 + exp(beta x)) / beta`, a smooth ReLU.

    Args:
        beta (float): Default: 1.
        threshold (float): where beta x is above it, x itself is taken. Default: 20.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Softplus()(nnlib.zeros(1))
        tensor([0.6931])
    """

    _fields = ("beta", "threshold")

    def __init__(self, beta=1.0, threshold=20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input):
        return _C.softplus(input, self.beta, self.threshold)


class Softsign(Activation):
    """:math:`x / (1 + |x|)`, element by element."""

    def forward(self, input):
        return _C.softsign(input)


class Tanhshrink(Activation):
    """:math:`x - tanh(x)`, element by element."""

    def forward(self, input):
        return _C.tanhshrink(input)


class _AlongDim(Activation):
    _fields = ("dim",)

    def __init__(self, dim=None):
        super().__init__()
        self.dim = dim

    def __setstate__(self, state):
        super().__setstate__(state)
        self.__dict__.setdefault("dim", None)


class Softmax(_AlongDim):
    """exp(x) divided by its sum along `dim`.

    Args:
        dim (int): without it one is guessed, with a warning. Default: ``None``.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Softmax(dim=0)(nnlib.zeros(4))
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    def forward(self, input):
        return F.softmax(input, self.dim, _stacklevel=5)


class Softmin(_AlongDim):
    """The softmax of -x along `dim`.

    Args:
        dim (int): without it one is guessed, with a warning. Default: ``None``.
    """

    def forward(self, input):
        return F.softmin(input, self.dim, _stacklevel=5)


class LogSoftmax(_AlongDim):
    """The logarithm of the softmax along `dim`, without its loss of precision.

    Args:
        dim (int): without it one is guessed, with a warning. Default: ``None``.
    """

    def forward(self, input):
        return F.log_softmax(input, self.dim, _stacklevel=5)


class Softmax2d(Activation):
    """The softmax over the channels of (N, C, H, W) or (C, H, W), at each position."""

    def forward(self, input):
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead")
        return _C.softmax(input, -3)


# Pickles name the module in which PyTorch has these classes.
for _class in (
    CELU,
    ELU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    MultiheadAttention,
    PReLU,
    ReLU,
    ReLU6,
    RReLU,
    Softshrink,
    Threshold,
):
    _class.__module__ = __name__
