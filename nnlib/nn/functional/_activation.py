"""Activations. Each takes a tensor of any shape; with ``inplace=True`` it overwrites and returns its
input.
"""

import warnings

from nnlib import _C

relu_ = _C.relu_
elu_ = _C.elu_
selu_ = _C.selu_
celu_ = _C.celu_
leaky_relu_ = _C.leaky_relu_
rrelu_ = _C.rrelu_
hardtanh_ = _C.hardtanh_
threshold_ = _C.threshold_

gelu = _C.gelu
logsigmoid = _C.logsigmoid
hardshrink = _C.hardshrink
softshrink = _C.softshrink
tanhshrink = _C.tanhshrink
softsign = _C.softsign
softplus = _C.softplus
prelu = _C.prelu
tanh = _C.tanh
sigmoid = _C.sigmoid


def relu(input, inplace=False):
    """max(0, x). See `nnlib.nn.ReLU`."""
    return _C.relu_(input) if inplace else _C.relu(input)


def relu6(input, inplace=False):
    """min(max(0, x), 6). See `nnlib.nn.ReLU6`."""
    return _C.relu6_(input) if inplace else _C.relu6(input)


def threshold(input, threshold, value, inplace=False):
    """x where x > threshold, else `value`. See `nnlib.nn.Threshold`."""
    return _C.threshold_(input, threshold, value) if inplace else _C.threshold(input, threshold, value)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False):
    """x clipped to [min_val, max_val]; ValueError if min_val > max_val. See `nnlib.nn.Hardtanh`."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val, got {min_val} and {max_val}")
    return _C.hardtanh_(input, min_val, max_val) if inplace else _C.hardtanh(input, min_val, max_val)


def elu(input, alpha=1.0, inplace=False):
    """x where x > 0, else alpha (exp(x) - 1). See `nnlib.nn.ELU`."""
    return _C.elu_(input, alpha) if inplace else _C.elu(input, alpha)


def selu(input, inplace=False):
    """ELU with the constants that keep mean and variance. See `nnlib.nn.SELU`."""
    return _C.selu_(input) if inplace else _C.selu(input)


def celu(input, alpha=1.0, inplace=False):
    """max(0, x) + min(0, alpha (exp(x / alpha) - 1)). See `nnlib.nn.CELU`."""
    return _C.celu_(input, alpha) if inplace else _C.celu(input, alpha)


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where x > 0, else negative_slope x. See `nnlib.nn.LeakyReLU`."""
    return _C.leaky_relu_(input, negative_slope) if inplace else _C.leaky_relu(input, negative_slope)


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """leaky_relu with a slope drawn for each element in training, its mean otherwise. See
    `nnlib.nn.RReLU`.
    """
    return (_C.rrelu_ if inplace else _C.rrelu)(input, lower, upper, training)


def hardsigmoid(input, inplace=False):
    """relu6(x + 3) / 6. See `nnlib.nn.Hardsigmoid`."""
    return _C.hardsigmoid_(input) if inplace else _C.hardsigmoid(input)


def hardswish(input, inplace=False):
    """x relu6(x + 3) / 6. See `nnlib.nn.Hardswish`."""
    return _C.hardswish_(input) if inplace else _C.hardswish(input)


def silu(input, inplace=False):
    """x sigmoid(x). See `nnlib.nn.SiLU`."""
    return _C.silu_(input) if inplace else _C.silu(input)


def mish(input, inplace=False):
    """x tanh(softplus(x)). See `nnlib.nn.Mish`."""
    return _C.mish_(input) if inplace else _C.mish(input)


def glu(input, dim=-1):
    """The first half of dimension `dim` times the sigmoid of the second. See `nnlib.nn.GLU`."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    return _C.glu(input, dim)


def _softmax_dim(name, ndim, stacklevel):
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
        "argument.",
        stacklevel=stacklevel,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim=None, _stacklevel=3, dtype=None):
    r"""exp(x) divided by its sum along `dim`, so that slices along it sum to 1.

    Args:
        input (Tensor): any shape.
        dim (int): without it one is guessed, with a warning: 0 for 0, 1 or 3 dimensions, else 1.
        dtype (dtype, optional): convert the input to it first.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.softmax(nnlib.zeros(1, 4), dim=1)
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    if dim is None:
        dim = _softmax_dim("softmax", input.dim(), _stacklevel)
    return _C.softmax(input, dim, dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """softmax(-x); arguments as in `softmax`."""
    if dim is None:
        dim = _softmax_dim("softmin", input.dim(), _stacklevel)
    return _C.softmax(-input, dim, dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """The logarithm of `softmax`, without its loss of precision; arguments as there."""
    if dim is None:
        dim = _softmax_dim("log_softmax", input.dim(), _stacklevel)
    return _C.log_softmax(input, dim, dtype)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """A sample from the Gumbel-softmax distribution, differentiable with respect to the logits.

    Args:
        logits (Tensor): unnormalised log probabilities.
        tau (float): temperature; small ones make samples close to one-hot. Default: 1.
        hard (bool): return one-hot vectors, with the gradient of the soft sample. Default: ``False``.
        eps: without effect; another value than the default warns.
        dim (int): along which the sample sums to 1. Default: -1.

    Source: Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax" (2017).
    """
    if eps != 1e-10:
        warnings.warn("`eps` parameter is deprecated and has no effect.", stacklevel=2)
    gumbels = -_C.empty_like(logits).exponential_().log()
    soft = _C.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().argmax(dim, keepdim=True)
    # One-hot in value, and the soft sample in gradient.
    return _C.zeros_like(logits).scatter(dim, index, 1.0) - soft.detach() + soft
