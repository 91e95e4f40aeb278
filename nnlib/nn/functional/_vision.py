"""Padding, resizing and rearranging of images and other fields."""

import math
import warnings

from nnlib import _C

pad = _C.pad
pixel_shuffle = _C.pixel_shuffle
pixel_unshuffle = _C.pixel_unshuffle
channel_shuffle = _C.channel_shuffle
native_channel_shuffle = _C.channel_shuffle

_DIMS = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "bicubic": (4,),
    "trilinear": (5,),
}


def _spatial(value, name, input):
    """`value` for each spatial dimension of `input`."""
    dim = input.dim() - 2
    if not isinstance(value, list | tuple):
        return [value] * dim
    if len(value) != dim:
        raise ValueError(
            f"Input and {name} must have the same number of spatial dimensions, but got input with spatial "
            f"dimensions of {list(input.shape[2:])} and {name} of {value}. Please provide input tensor in "
            f"(N, C, d1, d2, ...,dK) format and {name} in (o1, o2, ...,oK) format."
        )
    return list(value)


def _output_size(input, size, scale_factor, recompute):
    """(output size, scales to use for the coordinates or None)."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        sizes = _spatial(size, "output size", input)
        if not all(hasattr(s, "__index__") for s in sizes):
            raise TypeError(
                "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], "
                f"but got size with types {[type(s) for s in sizes]}"
            )
        return [int(s) for s in sizes], None
    scales = [float(s) for s in _spatial(scale_factor, "scale_factor", input)]
    sizes = [math.floor(n * s) for n, s in zip(input.shape[2:], scales, strict=True)]
    return sizes, None if recompute else scales


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Resize the spatial dimensions of (N, C, \\*).

    Args:
        input (Tensor): 3, 4 or 5 dimensions.
        size (int or tuple): of the output's spatial dimensions; this or `scale_factor`.
        scale_factor (float or tuple): multiplies the sizes.
        mode (str): ``'nearest'``, ``'nearest-exact'``, ``'area'`` for all; ``'linear'`` for 3 dimensions,
            ``'bilinear'`` and ``'bicubic'`` for 4, ``'trilinear'`` for 5. Default: ``'nearest'``.
        align_corners (bool, optional): the centres of the corner pixels stay at the corners; only for the
            linear and cubic modes. Default: ``False``.
        recompute_scale_factor (bool, optional): take the scale from the rounded output size instead of
            `scale_factor`.
        antialias (bool): widen the filter when shrinking; bilinear and bicubic only. Default: ``False``.

    Raises:
        ValueError, TypeError: arguments that contradict each other. NotImplementedError: a mode that does not
            fit the number of dimensions.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.interpolate(nnlib.tensor([[[1.0, 2.0]]]), scale_factor=2)
        tensor([[[1., 1., 2., 2.]]])
    """
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic "
            "| trilinear"
        )
    sizes, scales = _output_size(input, size, scale_factor, recompute_scale_factor)
    if antialias and not (mode in ("bilinear", "bicubic") and input.dim() == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input"
        )
    if input.dim() not in _DIMS.get(mode, ()):
        if mode in _DIMS and len(_DIMS[mode]) == 1 and input.dim() in (3, 4, 5):
            raise NotImplementedError(
                f"Got {input.dim()}D input, but {mode} mode needs {_DIMS[mode][0]}D input"
            )
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.dim()}D) for the modes: "
            f"{' | '.join(_DIMS)} (got {mode})"
        )
    if mode == "area":
        return getattr(_C, f"adaptive_avg_pool{input.dim() - 2}d")(input, sizes)
    return _C.interpolate(input, sizes, scales, mode, bool(align_corners), antialias)


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """The older name of `interpolate`."""
    warnings.warn(
        "`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """The older name of `interpolate` with ``mode='nearest'``."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """The older name of `interpolate` with ``mode='bilinear', align_corners=True``."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=2,
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
