"""Sampling a field at any places, and the places that an affine map leads to."""

import warnings
from itertools import product

from nnlib import _C

from ._resample import CUBIC, cubic_kernel


def _default_corners(align_corners):
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
            "Please specify align_corners=True if the old behavior is desired. See the documentation of "
            "grid_sample for details.",
            stacklevel=3,
        )
    return bool(align_corners)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """The values of `input` at the places that `grid` says.

    Args:
        input (Tensor): shape (N, C, H, W) or (N, C, D, H, W).
        grid (Tensor): shape (N, H', W', 2) or (N, D', H', W', 3); x first, from -1 to 1 across the input.
        mode (str): ``'bilinear'``, ``'nearest'`` or ``'bicubic'`` (4 dimensions only). Default:
            ``'bilinear'``.
        padding_mode (str): what lies outside: ``'zeros'``, ``'border'`` or ``'reflection'``. Default:
            ``'zeros'``.
        align_corners (bool, optional): -1 and 1 are the centres of the corner pixels, not their edges.
            Without it: False, with a warning.

    Returns:
        Tensor: shape (N, C, H', W') or (N, C, D', H', W').

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: "
            f"'{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', "
            f"but got: '{padding_mode}'"
        )
    align_corners = _default_corners(align_corners)
    n = input.dim() - 2
    if n not in (2, 3) or grid.dim() != input.dim() or grid.size(-1) != n or grid.size(0) != input.size(0):
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with the same number of dimensions and batch "
            f"size, and a last dimension of {n} in grid, but got input with sizes {list(input.shape)} and "
            f"grid with sizes {list(grid.shape)}"
        )
    if mode == "bicubic" and n == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if min(input.shape[2:]) <= 0:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, got sizes "
            f"{list(input.shape)}"
        )
    # The grid names the last dimension first.
    sizes = list(reversed(input.shape[2:]))
    places = [_unnormalise(g, size, align_corners) for g, size in zip(grid.unbind(-1), sizes, strict=True)]

    def bring_inside(place, size):
        return _bring_inside(place, size, padding_mode, align_corners)

    if mode != "bicubic":  # there it is the taps that are brought inside, not the place between them
        places = [bring_inside(p, size) for p, size in zip(places, sizes, strict=True)]
    taps = {"bilinear": _linear_taps, "nearest": _nearest_taps, "bicubic": _cubic_taps}[mode]
    choices = [
        [(bring_inside(p, size) if mode == "bicubic" else p, w) for p, w in taps(place)]
        for place, size in zip(places, sizes, strict=True)
    ]
    return sum(_look_up(input, tap) for tap in product(*choices))


def _unnormalise(g, size, align_corners):
    """From -1 ... 1 to a place counted in elements."""
    return (g + 1) / 2 * (size - 1) if align_corners else ((g + 1) * size - 1) / 2


def _bring_inside(place, size, padding_mode, align_corners):
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            return place * 0
        offset = (place - low).abs()
        turns = (offset / span).floor()
        rest = offset - turns * span
        place = _C.where(turns % 2 == 0, rest, span - rest) + low
    return place.clamp(0, size - 1)


def _nearest_taps(place):
    return [(place.detach().round(), place * 0 + 1)]  # a gradient of zero, not none


def _linear_taps(place):
    low = place.detach().floor()
    weight = place - low
    return [(low, 1 - weight), (low + 1, weight)]


def _cubic_taps(place):
    low = place.detach().floor()
    return [(low + k, cubic_kernel(place - (low + k), CUBIC)) for k in range(-1, 3)]


def _look_up(input, tap):
    """The elements at one tap's places, times its weights; nothing from outside of the input."""
    index, inside, factor = 0, True, None
    for (place, weight), size in zip(reversed(tap), input.shape[2:], strict=True):
        place = place.detach()
        inside = (place >= 0) & (place <= size - 1) & inside
        index = index * size + place.clamp(0, size - 1).nan_to_num(0.0).to(_C.int64)
        if weight is not None:
            factor = weight if factor is None else factor * weight
    batch, channels = input.shape[:2]
    flat = index.reshape(batch, 1, -1).expand(batch, channels, -1)
    values = input.reshape(batch, channels, -1).gather(2, flat).reshape(batch, channels, *index.shape[1:])
    values = values.masked_fill(inside.logical_not().unsqueeze(1), 0.0)
    return values if factor is None else values * factor.unsqueeze(1)


def affine_grid(theta, size, align_corners=None):
    """The grid for `grid_sample` that applies an affine map to the output's coordinates.

    Args:
        theta (Tensor): shape (N, 2, 3) or (N, 3, 4).
        size (tuple): of the output, (N, C, H, W) or (N, C, D, H, W).
        align_corners (bool, optional): as in `grid_sample`.

    Returns:
        Tensor: shape (N, H, W, 2) or (N, D, H, W, 3).

    Raises:
        ValueError: `theta` is not floating point or does not fit `size`. NotImplementedError: another number
            of sizes.
    """
    align_corners = _default_corners(align_corners)
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got "
            f"size {size}."
        )
    n = len(size) - 2
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got "
            f"{theta.shape}."
        )
    if align_corners and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when "
            "align_corners=True. This is not an intended use case of affine_grid.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    axes = []
    for steps in reversed(size[2:]):  # x first
        axis = _C.linspace(-1, 1, steps, dtype=theta.dtype) if steps > 1 else _C.zeros(1, dtype=theta.dtype)
        axes.append(axis if align_corners else axis * ((steps - 1) / steps))
    fields = [
        axis.reshape([-1 if d == n - 1 - i else 1 for d in range(n)]).expand(*size[2:])
        for i, axis in enumerate(axes)
    ]
    base = _C.stack([*fields, _C.ones(size[2:], dtype=theta.dtype)], -1).reshape(-1, n + 1)
    return (base @ theta.transpose(1, 2)).reshape(size[0], *size[2:], n)
