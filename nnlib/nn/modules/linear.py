"""Linear maps: Identity, Linear, Bilinear, and the lazy form of Linear."""

import math

from nnlib.autograd import no_grad

from .. import functional as F
from .. import init
from ..parameter import UninitializedParameter
from .lazy import LazyModuleMixin
from .module import Module
from .utils import new_parameter

__all__ = ["Bilinear", "Identity", "LazyLinear", "Linear"]


class Identity(Module):
    """Returns its input; any constructor arguments are ignored, so that it can stand in for another module.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Identity(54, unused=0.1)(nnlib.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input):
        return input


class Linear(Module):
    r"""An affine map of the last dimension: :math:`y = x A^T + b`.

    Args:
        in_features (int): size of each input vector.
        out_features (int): size of each output vector.
        bias (bool): learn an additive bias. Default: ``True``.
        device, dtype: of the parameters.

    Shape:
        input :math:`(*, in)` with any number of leading dimensions, output :math:`(*, out)`.

    Attributes:
        weight: shape (out_features, in_features), drawn from :math:`U(-\sqrt{k}, \sqrt{k})`, :math:`k = 1 /
            in`.
        bias: shape (out_features), drawn from the same distribution; None without a bias.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Linear(20, 30)(nnlib.randn(128, 20)).size()
        torch.Size([128, 30])
    """

    __constants__ = ["in_features", "out_features"]

    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in_features), device, dtype)
        self.register_parameter("bias", new_parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new values for the parameters."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            init._uniform_by_fan_in_(self.bias, self.weight)

    def forward(self, input):
        return F.linear(input, *self._weight_and_bias())

    def extra_repr(self):
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class NonDynamicallyQuantizableLinear(Linear):
    """The output projection of MultiheadAttention; a Linear whose class name saved models refer to."""


class Bilinear(Module):
    r"""A map that is linear in each of two inputs: :math:`y_k = x_1^T A_k x_2 + b_k`.

    Args:
        in1_features, in2_features (int): sizes of the input vectors; the first is at least 1.
        out_features (int): size of each output vector.
        bias (bool): learn an additive bias. Default: ``True``.
        device, dtype: of the parameters.

    Shape:
        inputs :math:`(*, in_1)` and :math:`(*, in_2)` with the same leading dimensions, output :math:`(*,
        out)`.

    Attributes:
        weight: shape (out_features, in1_features, in2_features), drawn from :math:`U(-\sqrt{k}, \sqrt{k})`
            with :math:`k = 1 / in_1`.
        bias: shape (out_features), drawn from the same distribution; None without a bias.

    Raises:
        ValueError: `in1_features` is not positive.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Bilinear(20, 30, 40)(nnlib.zeros(8, 20), nnlib.zeros(8, 30)).shape
        torch.Size([8, 40])
    """

    __constants__ = ["in1_features", "in2_features", "out_features"]

    def __init__(self, in1_features, in2_features, out_features, bias=True, device=None, dtype=None):
        super().__init__()
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = new_parameter((out_features, in1_features, in2_features), device, dtype)
        self.register_parameter("bias", new_parameter((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new values for the parameters."""
        if self.in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got (in1_features={self.in1_features})")
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1, input2):
        return F.bilinear(input1, input2, *self._weight_and_bias())

    def extra_repr(self):
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class LazyLinear(LazyModuleMixin, Linear):
    """A `Linear` that takes `in_features` from its first input and is a `Linear` from then on.

    Args:
        out_features (int): size of each output vector.
        bias (bool): learn an additive bias. Default: ``True``.
        device, dtype: of the parameters.

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.LazyLinear(3)
        >>> layer(nnlib.zeros(2, 5)).shape, type(layer).__name__
        (torch.Size([2, 3]), 'Linear')
    """

    cls_to_become = Linear

    def __init__(self, out_features, bias=True, device=None, dtype=None):
        super().__init__(0, 0, False)
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.out_features = out_features
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input):
        if self.has_uninitialized_params():
            with no_grad():
                self.in_features = input.shape[-1]
                self.weight.materialize((self.out_features, self.in_features))
                if self.bias is not None:
                    self.bias.materialize((self.out_features,))
                self.reset_parameters()
        if self.in_features == 0:  # the weight came from a state dict
            self.in_features = self.weight.shape[-1]
            if input.shape[-1] != self.in_features:
                raise AssertionError(
                    f"The in_features inferred from input: {input.shape[-1]} is not equal to in_features "
                    f"from self.weight: {self.in_features}"
                )
