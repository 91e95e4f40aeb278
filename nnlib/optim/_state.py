"""Parameters as they are given, and state as it is loaded."""

from collections.abc import Iterable

import nnlib


def split_names(params):
    """Splits parameters given as tensors, or as pairs of name and tensor, into two lists."""
    if isinstance(params, nnlib.Tensor):
        return [params], []
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of "
            "tensors in sets will change between runs. Please use a list instead."
        )
    params = list(params)
    names = [p[0] for p in params if isinstance(p, tuple)]
    if names and len(names) != len(params):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    return [p[1] if isinstance(p, tuple) else p for p in params], names


def cast_state(param, value, group, key=None):
    """A copy of one state value with its tensors in the dtype and on the device of the parameter."""
    if isinstance(value, nnlib.Tensor):
        if key == "step":
            # A step is a count: a half-precision parameter must not round it.
            if group.get("fused") or group.get("capturable"):
                return value.to(dtype=nnlib.float32, device=param.device)
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)
    if isinstance(value, dict):
        return {k: cast_state(param, v, group, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return type(value)(cast_state(param, v, group) for v in value)
    return value
