"""Windows: weights that fall towards both ends of a stretch of samples.

Source: Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform" (1978).
"""

from __future__ import annotations

import math

from . import _C

Tensor = _C.Tensor


def _window(name: str, formula, length: int, periodic: bool, dtype, layout, device, requires_grad) -> Tensor:
    """``formula`` of the places from 0 to 1, computed in float64; a periodic window leaves out the last."""
    dtype = _C.get_default_dtype() if dtype is None else dtype
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
    if layout is not None and layout != _C.strided:
        raise RuntimeError(f"{name} is not implemented for sparse types")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    if length <= 1:
        values = _C.ones(length, dtype=_C.float64)
    else:
        last = length if periodic else length - 1
        values = formula(_C.arange(length, dtype=_C.float64) / last)
    return values.to(device, dtype).requires_grad_(requires_grad)


def _cosines(*weights: float):
    return lambda t: sum(w * (2 * math.pi * k * t).cos() for k, w in enumerate(weights))


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype=None, layout=None, device=None, requires_grad=False
) -> Tensor:
    """A triangle: ``1 - |2 n / (N - 1) - 1|``.

    Args:
        window_length: how many weights.
        periodic: the first ``window_length`` of a symmetric window of one more, for spectra; False: symmetric.
        dtype: a floating-point type. Default: the default dtype.
        layout, device, requires_grad: of the result.

    RuntimeError for a negative length and for other types.

    >>> nnlib.bartlett_window(5, periodic=False)
    tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return _window(
        "bartlett_window", lambda t: 1 - (2 * t - 1).abs(), window_length, periodic, dtype, layout, device,
        requires_grad,
    )  # fmt: skip


def hann_window(
    window_length: int, periodic: bool = True, *, dtype=None, layout=None, device=None, requires_grad=False
) -> Tensor:
    """A raised cosine: ``0.5 - 0.5 cos(2 pi n / (N - 1))``. Arguments as of :func:`bartlett_window`.

    >>> nnlib.hann_window(4)
    tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    formula = _cosines(0.5, -0.5)
    return _window("hann_window", formula, window_length, periodic, dtype, layout, device, requires_grad)


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype=None, layout=None,
    device=None, requires_grad=False,
) -> Tensor:  # fmt: skip
    """``alpha - beta cos(2 pi n / (N - 1))``. Arguments as of :func:`bartlett_window`.

    >>> nnlib.hamming_window(4)
    tensor([0.0800, 0.5400, 1.0000, 0.5400])
    """
    formula = _cosines(alpha, -beta)
    return _window("hamming_window", formula, window_length, periodic, dtype, layout, device, requires_grad)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype=None, layout=None, device=None, requires_grad=False
) -> Tensor:
    """``0.42 - 0.5 cos(2 pi n / (N - 1)) + 0.08 cos(4 pi n / (N - 1))``. Arguments as of :func:`bartlett_window`.

    >>> nnlib.blackman_window(5, periodic=False).abs()
    tensor([0.0000, 0.3400, 1.0000, 0.3400, 0.0000])
    """

    def formula(t):
        return _cosines(0.42, -0.5, 0.08)(t).clamp(min=0)

    return _window("blackman_window", formula, window_length, periodic, dtype, layout, device, requires_grad)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype=None, layout=None, device=None,
    requires_grad=False,
) -> Tensor:  # fmt: skip
    """``I0(beta sqrt(1 - (2 n / (N - 1) - 1)^2)) / I0(beta)``. Other arguments as of :func:`bartlett_window`.

    >>> nnlib.kaiser_window(5, periodic=False, beta=2.0)
    tensor([0.4387, 0.8348, 1.0000, 0.8348, 0.4387])
    """
    from .special import i0

    def formula(t):
        inner = beta * (1 - (2 * t - 1) ** 2).clamp(min=0).sqrt()
        return i0(inner) / i0(_C.tensor(beta, dtype=_C.float64))

    return _window("kaiser_window", formula, window_length, periodic, dtype, layout, device, requires_grad)
