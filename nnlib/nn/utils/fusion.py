"""Batch normalisation folded into the layer before it, for inference."""

import copy

from nnlib import _C

from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _fold(weight, bias, mean, var, eps, bn_weight, bn_bias, channel_dim):
    """(weight, bias) of a layer followed by a normalisation with fixed statistics."""
    bias = _C.zeros_like(mean) if bias is None else bias
    bn_weight = _C.ones_like(mean) if bn_weight is None else bn_weight
    bn_bias = _C.zeros_like(mean) if bn_bias is None else bn_bias
    scale = bn_weight * (var + eps).rsqrt()
    shape = [1] * weight.dim()
    shape[channel_dim] = -1
    new_weight = (weight * scale.reshape(shape)).to(weight.dtype)
    new_bias = ((bias - mean) * scale + bn_bias).to(bias.dtype)
    return Parameter(new_weight.detach(), weight.requires_grad), Parameter(
        new_bias.detach(), bias.requires_grad
    )


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """Weight and bias of a convolution that does what a convolution and a batch normalisation after it do.

    Args:
        conv_w, conv_b: of the convolution; the bias may be None.
        bn_rm, bn_rv, bn_eps, bn_w, bn_b: running mean and variance, eps, weight and bias of the
            normalisation.
        transpose (bool): the convolution is a transposed one. Default: ``False``.

    Returns:
        (Parameter, Parameter)
    """
    return _fold(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 1 if transpose else 0)


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """`fuse_conv_bn_weights` for a linear layer."""
    return _fold(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, 0)


def _check_eval(layer, bn):
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("Fusion needs a batch normalisation that tracks running statistics")


def _fuse(layer, bn, weights):
    fused = copy.deepcopy(layer)
    fused.weight, fused.bias = weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_conv_bn_eval(conv, bn, transpose=False):
    """One convolution that does what `conv` and then `bn` do in evaluation mode.

    Args:
        conv (Module): a convolution in evaluation mode.
        bn (Module): a batch normalisation in evaluation mode.
        transpose (bool): `conv` is a transposed convolution. Default: ``False``.

    Raises:
        AssertionError: one of them is in training mode.

    Example::

        >>> import nnlib
        >>> conv, bn = nnlib.nn.Conv2d(2, 3, 1).eval(), nnlib.nn.BatchNorm2d(3).eval()
        >>> fused = nnlib.nn.utils.fuse_conv_bn_eval(conv, bn)
        >>> x = nnlib.randn(1, 2, 4, 4)
        >>> nnlib.allclose(fused(x), bn(conv(x)), atol=1e-6)
        True
    """
    _check_eval(conv, bn)

    def weights(*args):
        return fuse_conv_bn_weights(*args, transpose=transpose)

    return _fuse(conv, bn, weights)


def fuse_linear_bn_eval(linear, bn):
    """One linear layer that does what `linear` and then `bn` do in evaluation mode.

    Raises:
        AssertionError: one of them is in training mode, or the numbers of features differ.
    """
    _check_eval(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"{linear.out_features} and {bn.num_features}"
        )
    return _fuse(linear, bn, fuse_linear_bn_weights)
