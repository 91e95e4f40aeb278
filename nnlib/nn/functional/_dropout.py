"""Dropout in its forms: of elements, of channels, and the form that keeps mean and variance for SELU."""

import warnings

from nnlib import _C


def _check(p):
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input, p=0.5, training=True, inplace=False):
    """In training: zero each element with probability `p` and divide the rest by 1 - p. See
    `nnlib.nn.Dropout`.
    """
    _check(p)
    return _C.dropout_(input, p, training) if inplace else _C.dropout(input, p, training)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Dropout that keeps mean 0 and variance 1, for SELU networks. See `nnlib.nn.AlphaDropout`."""
    _check(p)
    return (_C.alpha_dropout_ if inplace else _C.alpha_dropout)(input, p, training)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """Alpha dropout of whole channels (dimension 1). See `nnlib.nn.FeatureAlphaDropout`."""
    _check(p)
    return (_C.feature_alpha_dropout_ if inplace else _C.feature_alpha_dropout)(input, p, training)


def _channels(input, p, training, inplace, batched):
    """feature_dropout; a leading dimension is put before an input without a batch."""
    if not batched:
        input = input.unsqueeze(0)  # a view, so that inplace reaches the caller's tensor
    result = (_C.feature_dropout_ if inplace else _C.feature_dropout)(input, p, training)
    return result if batched else result.squeeze(0)


def dropout1d(input, p=0.5, training=True, inplace=False):
    """Zero whole channels of (N, C, L) or (C, L) with probability `p`. See `nnlib.nn.Dropout1d`."""
    _check(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that dropout1d "
            "exists to provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, "
            "and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _channels(input, p, training, inplace, input.dim() == 3)


def _warn_dims(name, ndim, expected):
    if ndim not in expected:
        warnings.warn(
            f"{name}: Received a {ndim}-D input to {name}, which is deprecated and will result in an error "
            "in a future release. To retain the behavior and silence this warning, please use dropout "
            "instead.",
            stacklevel=3,
        )


def dropout2d(input, p=0.5, training=True, inplace=False):
    """Zero whole channels of (N, C, H, W), or of (N, C, L) with a warning. See `nnlib.nn.Dropout2d`."""
    _check(p)
    _warn_dims("dropout2d", input.dim(), (3, 4))
    if input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior "
            "is desired - input is interpreted as shape (N, C, L), where C is the channel dim. This behavior "
            "will change in a future release to interpret the input as one without a batch dimension, i.e. "
            "shape (C, H, W). To maintain the 1D channel-wise dropout behavior, please switch to using "
            "dropout1d instead.",
            stacklevel=2,
        )
    return _channels(input, p, training, inplace, True)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """Zero whole channels of (N, C, D, H, W) or (C, D, H, W) with probability `p`. See
    `nnlib.nn.Dropout3d`.
    """
    _check(p)
    _warn_dims("dropout3d", input.dim(), (4, 5))
    return _channels(input, p, training, inplace, input.dim() == 5)
