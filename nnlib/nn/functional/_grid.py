"""Sampling a field at any places, and the places that an affine map leads to."""

from __future__ import annotations

import warnings

from nnlib import _C

Tensor = _C.Tensor


def _default_corners(align_corners):
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. "
            "Please specify align_corners=True if the old behavior is desired. See the documentation of "
            "grid_sample for details.",
            stacklevel=3,
        )
    return bool(align_corners)


def grid_sample(input: Tensor, grid: Tensor, mode="bilinear", padding_mode="zeros", align_corners=None):
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
    return _C.grid_sample(input, grid, mode, padding_mode, align_corners)


def affine_grid(theta: Tensor, size, align_corners=None):
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
    return _C.affine_grid_generator(theta, list(size), align_corners)
