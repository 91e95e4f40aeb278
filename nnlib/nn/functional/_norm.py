"""Normalisations."""

import math

from nnlib import _C

rms_norm = _C.rms_norm


def _check_eps(name, training, eps):
    if training and eps <= 0.0:
        raise ValueError(f"{name} eps must be positive during training, but got {eps}")
    if eps < 0.0:
        raise ValueError(f"{name} eps must be non-negative, but got {eps}")


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """Normalise each channel over the batch and all positions. See `nnlib.nn.BatchNorm2d`.

    Args:
        input (Tensor): shape (N, C, \\*).
        running_mean, running_var (Tensor or None): shape (C); updated in training, used otherwise.
        weight, bias (Tensor, optional): shape (C).
        training (bool): use the batch's own statistics. Default: ``False``.
        momentum (float): share of the new value in the running one. Default: 0.1.
        eps (float): added to the variance. Default: 1e-5.

    Raises:
        ValueError: only one value a channel in training, or a bad `eps`.
    """
    if training:
        _check_values_per_channel(input.shape)
    if eps <= 0.0:
        _check_eps("batch_norm", training, eps)
    return _C.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _check_values_per_channel(shape):
    # The batch first: it decides for nearly every input, without a product over all sizes.
    if len(shape) and shape[0] == 1 and math.prod(shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")


def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    """Normalise each channel of each sample over its positions. See `nnlib.nn.InstanceNorm2d`.

    Raises:
        ValueError: only one position.
    """
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    return _C.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """Normalise over the last dimensions, those of `normalized_shape`. See `nnlib.nn.LayerNorm`."""
    return _C.layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Normalise each of `num_groups` groups of channels of each sample. See `nnlib.nn.GroupNorm`."""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    if num_groups > 0:
        _check_values_per_channel((input.size(0) * input.size(1) // num_groups, num_groups, *input.shape[2:]))
    return _C.group_norm(input, num_groups, weight, bias, eps)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide by a power of the mean square over `size` neighbouring channels. See
    `nnlib.nn.LocalResponseNorm`.
    """
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    return _C.local_response_norm(input, size, alpha, beta, k)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """x divided by its p-norm along `dim`, or by `eps` where the norm is smaller.

    Args:
        input (Tensor): any shape.
        p (float): of the norm. Default: 2.
        dim (int or tuple): the dimensions of one vector. Default: 1.
        eps (float): least divisor. Default: 1e-12.
        out (Tensor, optional): where the result goes; then nothing is differentiable.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.normalize(nnlib.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    if out is None and isinstance(dim, int):
        return _C.normalize(input, p, dim, eps)
    norm = _C.norm(input, p, dim, True).clamp_min(eps)
    return input / norm if out is None else _C.div(input, norm, out=out)
