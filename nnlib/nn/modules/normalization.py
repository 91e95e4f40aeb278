"""Normalisation over the features of each sample."""

import numbers

from nnlib import _C

from .. import functional as F
from .. import init
from .module import Module
from .utils import new_parameter

__all__ = ["CrossMapLRN2d", "GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]


def _shape(normalized_shape):
    return (normalized_shape,) if isinstance(normalized_shape, numbers.Integral) else tuple(normalized_shape)


class LayerNorm(Module):
    r"""Normalises over the last dimensions: :math:`(x - mean) / \sqrt{var + eps} \; weight + bias`.

    Args:
        normalized_shape (int or tuple): sizes of the last dimensions, over which mean and variance are taken.
        eps (float): added to the variance. Default: 1e-5.
        elementwise_affine (bool): learn weight and bias. Default: ``True``.
        bias (bool): learn a bias, if affine. Default: ``True``.
        device, dtype: of the parameters.

    Attributes:
        weight, bias: shape `normalized_shape`, start at 1 and 0.

    Source: Ba, Kiros and Hinton, "Layer normalization" (2016).

    Example::

        >>> import nnlib
        >>> nnlib.nn.LayerNorm(2, elementwise_affine=False)(nnlib.tensor([[1.0, 3.0]])).round()
        tensor([[-1.,  1.]])
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]

    def __init__(
        self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None
    ):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            self.register_parameter(
                name, new_parameter(self.normalized_shape, device, dtype) if wanted else None
            )
        self.reset_parameters()

    def reset_parameters(self):
        """Set the weight to 1 and the bias to 0."""
        if self.elementwise_affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input):
        return _C.layer_norm(input, self.normalized_shape, *self._weight_and_bias(), self.eps)

    def extra_repr(self):
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    r"""Divides by the root mean square over the last dimensions: :math:`x / \sqrt{mean(x^2) + eps} \;
    weight`.

    Args:
        normalized_shape (int or tuple): sizes of the last dimensions.
        eps (float, optional): added to the mean square. Default: the smallest step of the dtype.
        elementwise_affine (bool): learn a weight. Default: ``True``.
        device, dtype: of the parameter.

    Source: Zhang and Sennrich, "Root mean square layer normalization" (2019).
    """

    __constants__ = ["normalized_shape", "eps", "elementwise_affine"]

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = new_parameter(self.normalized_shape, device, dtype) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self):
        """Set the weight to 1."""
        if self.elementwise_affine:
            init.ones_(self.weight)

    def forward(self, x):
        return _C.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    r"""Normalises each group of channels of each sample, then scales and shifts each channel.

    Args:
        num_groups (int): number of groups; it divides `num_channels`.
        num_channels (int): number of channels C.
        eps (float): added to the variance. Default: 1e-5.
        affine (bool): learn weight and bias. Default: ``True``.
        device, dtype: of the parameters.
        bias (bool): learn a bias, if affine. Default: ``True``.

    Shape:
        input (N, C, \*); the output is the same.

    Raises:
        ValueError: the groups do not divide the channels.

    Source: Wu and He, "Group normalization" (2018).
    """

    __constants__ = ["num_groups", "num_channels", "eps", "affine"]

    def __init__(
        self, num_groups, num_channels, eps=1e-5, affine=True, device=None, dtype=None, *, bias=True
    ):
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, new_parameter((num_channels,), device, dtype) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Set the weight to 1 and the bias to 0."""
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def forward(self, input):
        return F.group_norm(input, self.num_groups, *self._weight_and_bias(), self.eps)

    def extra_repr(self):
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LocalResponseNorm(Module):
    r"""Divides by :math:`(k + alpha \cdot mean(x^2))^{beta}`, the mean over `size` neighbouring channels.

    Args:
        size (int): number of channels.
        alpha, beta, k (float): Default: 1e-4, 0.75 and 1.

    Shape:
        input (N, C, \*) with at least 3 dimensions; the output is the same.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
        networks" (2012).
    """

    __constants__ = ["size", "alpha", "beta", "k"]

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input):
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self):
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """`LocalResponseNorm` for images, under the name and defaults of old models.

    Args:
        size (int): number of channels.
        alpha, beta, k (float): Default: 1e-4, 0.75 and 1.

    Shape:
        input (N, C, H, W).
    """

    def __init__(self, size, alpha=1e-4, beta=0.75, k=1):
        super().__init__(size, alpha, beta, k)

    def forward(self, input):
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        # Its window reaches as far to both sides; an even size counts one channel more than it divides by.
        before = (self.size - 1) // 2 + 1
        squares = F.pad(input * input, (0, 0, 0, 0, before - 1, before - 1))
        sums = sum(squares[:, i : i + input.size(1)] for i in range(2 * before - 1))
        return input / (self.k + self.alpha / self.size * sums).pow(self.beta)
