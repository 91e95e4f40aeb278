"""Ways to fill a tensor with start values; each changes its argument in place and returns it."""

import math
import warnings

from nnlib import _C
from nnlib.autograd import no_grad

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_UNIT_GAIN = {
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
}


def calculate_gain(nonlinearity, param=None):
    r"""The factor by which a layer's start values grow because of the nonlinearity that follows it.

    1 for linear layers and sigmoid, 5/3 for tanh, :math:`\sqrt{2}` for relu, 3/4 for selu and
    :math:`\sqrt{2 / (1 + s^2)}` for leaky_relu with slope s.

    Args:
        nonlinearity (str): name of the function in `nn.functional`.
        param (float, optional): the slope of leaky_relu. Default: 0.01.

    Raises:
        ValueError: an unknown name, or a slope that is no number.

    Example::

        >>> from nnlib.nn import init
        >>> round(init.calculate_gain("relu"), 4)
        1.4142
    """
    if nonlinearity in _UNIT_GAIN:
        return 1
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity == "leaky_relu":
        if isinstance(param, bool) or not isinstance(param, int | float | None):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    r"""Fill with values drawn from :math:`U(a, b)`."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    r"""Fill with values drawn from the normal distribution :math:`N(mean, std^2)`."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    r"""Fill with values drawn from :math:`N(mean, std^2)`, drawn anew where they lie outside [a, b].

    Where [a, b] holds little of the distribution, values are drawn from U(a, b) instead and kept with the
    probability that the density gives them.

    Args:
        tensor (Tensor): floating point.
        mean, std (float): of the normal distribution before it is cut.
        a, b (float): the bounds. A warning says so if `mean` lies more than two `std` outside of them.
        generator (Generator, optional): where the draws come from.
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. The distribution of values may be "
            "incorrect.",
            stacklevel=2,
        )
    with no_grad():
        if _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std) > 0.3:
            return _redraw_outside_(tensor, mean, std, a, b, generator)
        return _accept_by_density_(tensor, mean, std, a, b, generator)


def _normal_cdf(x):
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def _redraw_outside_(tensor, mean, std, a, b, generator):
    low, high = (_C.tensor(bound, dtype=tensor.dtype).item() for bound in (a, b))
    tensor.normal_(mean, std, generator=generator)
    while (outside := (tensor < low) | (tensor > high)).any():
        # All are drawn, also those that are not needed: the draws are then PyTorch's.
        new = _C.empty_like(tensor).normal_(mean, std, generator=generator)
        tensor.copy_(_C.where(outside, new, tensor))
    return tensor


def _accept_by_density_(tensor, mean, std, a, b, generator):
    log_peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    pending = None
    while pending is None or pending.any():
        candidates = _C.empty_like(tensor).uniform_(a, b, generator=generator)
        tensor.copy_(candidates if pending is None else _C.where(pending, candidates, tensor))
        log_density = ((candidates - mean) / std).pow(2) * -0.5 - log_peak
        refused = _C.empty_like(tensor).uniform_(generator=generator).log() > log_density
        pending = refused if pending is None else pending & refused
    return tensor


def constant_(tensor, val):
    """Fill with the number `val`."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor):
    """Fill with 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor):
    """Fill with 0."""
    return constant_(tensor, 0.0)


def eye_(tensor):
    """Fill a matrix with the identity: as many inputs as possible are kept by a linear layer.

    Raises:
        ValueError: not 2 dimensions.
    """
    if tensor.dim() != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got {tensor.dim()}")
    with no_grad():
        tensor.zero_()
        tensor.diagonal().fill_(1)
    return tensor


def dirac_(tensor, groups=1):
    """Fill a convolution's weight so that it keeps as many input channels as possible, in each group.

    Args:
        tensor (Tensor): 3, 4 or 5 dimensions.
        groups (int): groups of the convolution; it divides the first size. Default: 1.

    Raises:
        ValueError: another number of dimensions, or groups that do not divide the first size.
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.size(0) % groups:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = tensor.size(0) // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    with no_grad():
        tensor.zero_()
        for group in range(groups):
            for channel in range(min(per_group, tensor.size(1))):
                tensor[(group * per_group + channel, channel, *centre)] = 1
    return tensor


def _calculate_fan_in_and_fan_out(tensor):
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.size(1) * field, tensor.size(0) * field


def _calculate_correct_fan(tensor, mode):
    modes = ("fan_in", "fan_out")
    if mode.lower() not in modes:
        raise ValueError(f"Mode {mode} not supported, please use one of {list(modes)}")
    return _calculate_fan_in_and_fan_out(tensor)[modes.index(mode.lower())]


def _uniform_by_fan_in_(bias, weight):
    """The start values of a bias: uniform within 1 / sqrt(fan_in) of its weight."""
    fan_in = _calculate_fan_in_and_fan_out(weight)[0]
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
    return uniform_(bias, -bound, bound)


def xavier_uniform_(tensor, gain=1.0, generator=None):
    r"""Fill from :math:`U(-a, a)` with :math:`a = gain \sqrt{6 / (fan\_in + fan\_out)}`.

    Args:
        tensor (Tensor): 2 dimensions or more; ValueError otherwise.
        gain (float): see `calculate_gain`. Default: 1.
        generator (Generator, optional): where the draws come from.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks"
        (2010).
    """
    a = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor))))
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    r"""Fill from :math:`N(0, std^2)` with :math:`std = gain \sqrt{2 / (fan\_in + fan\_out)}`.

    Arguments and source as in `xavier_uniform_`.
    """
    return normal_(
        tensor, 0.0, gain * math.sqrt(2.0 / float(sum(_calculate_fan_in_and_fan_out(tensor)))), generator
    )


def _kaiming_std(tensor, a, mode, nonlinearity):
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


def _is_empty(tensor):
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    r"""Fill from :math:`U(-b, b)` with :math:`b = gain \sqrt{3 / fan}`.

    Args:
        tensor (Tensor): 2 dimensions or more.
        a (float): slope of leaky_relu, if that follows. Default: 0.
        mode (str): ``'fan_in'`` keeps the variance forward, ``'fan_out'`` backward. Default: ``'fan_in'``.
        nonlinearity (str): what follows; see `calculate_gain`. Default: ``'leaky_relu'``.
        generator (Generator, optional): where the draws come from.

    Raises:
        ValueError: fewer than 2 dimensions, an unknown mode or nonlinearity.

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015).

    Example::

        >>> import nnlib
        >>> w = nnlib.nn.init.kaiming_uniform_(nnlib.empty(3, 5), nonlinearity="relu")
        >>> bool((w.abs() <= (6 / 5) ** 0.5).all())
        True
    """
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    r"""Fill from :math:`N(0, std^2)` with :math:`std = gain / \sqrt{fan}`; the rest as in
    `kaiming_uniform_`.
    """
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor, gain=1, generator=None):
    """Fill with a matrix of orthonormal rows or columns (later dimensions flattened), times `gain`.

    Args:
        tensor (Tensor): 2 dimensions or more; ValueError otherwise.
        gain (float): factor. Default: 1.
        generator (Generator, optional): where the draws come from.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks" (2013).
    """
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows, cols = tensor.size(0), tensor.numel() // tensor.size(0)
    flat = _C.empty((rows, cols), dtype=tensor.dtype).normal_(0, 1, generator=generator)
    q = _orthonormal_columns(flat.t() if rows < cols else flat)
    with no_grad():
        tensor.view((rows, cols)).copy_(q.t() if rows < cols else q)
        return tensor.mul_(gain)


def _orthonormal_columns(matrix):
    """Q of the QR decomposition whose R has a positive diagonal, which makes Q unique and uniform."""
    columns = []
    for column in matrix.to(_C.float64).unbind(1):
        if columns:
            before = _C.stack(columns)
            for _ in range(2):  # once leaves rounding errors, twice is enough
                column = column - before.t().mv(before.mv(column))
        columns.append(column / _C.norm(column))
    return _C.stack(columns, 1).to(matrix.dtype)


def sparse_(tensor, sparsity, std=0.01, generator=None):
    """Fill a matrix from N(0, std^2), then set a fraction `sparsity` of each column to zero.

    Source: Martens, "Deep learning via Hessian-free optimization" (2010).

    Raises:
        ValueError: not 2 dimensions.
    """
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, cols = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(cols):
            tensor[_C.randperm(rows)[:zeros], column] = 0
    return tensor


def _deprecated(new):
    def old(*args, **kwargs):
        warnings.warn(
            f"`nn.init.{new.__name__[:-1]}` is now deprecated in favor of `nn.init.{new.__name__}`.",
            FutureWarning,
            stacklevel=2,
        )
        return new(*args, **kwargs)

    old.__name__ = new.__name__[:-1]
    old.__doc__ = f"The older name of `{new.__name__}`."
    return old


uniform, normal, constant, eye, dirac = map(_deprecated, (uniform_, normal_, constant_, eye_, dirac_))
xavier_uniform, xavier_normal = map(_deprecated, (xavier_uniform_, xavier_normal_))
kaiming_uniform, kaiming_normal = map(_deprecated, (kaiming_uniform_, kaiming_normal_))
orthogonal, sparse = map(_deprecated, (orthogonal_, sparse_))
