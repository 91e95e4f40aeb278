"""Splitting a batch over devices and putting the results together."""

from nnlib import _C
from nnlib._C import Tensor

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _is_namedtuple(value):
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _rebuild(like, values):
    return type(like)(*values) if _is_namedtuple(like) else type(like)(values)


def scatter(inputs, target_gpus, dim=0):
    """Split tensors along `dim` into one part a device, in tuples, lists and dictionaries too; share anything
    else.

    Args:
        inputs: the value to split.
        target_gpus (list): the devices; only their number counts here.
        dim (int): Default: 0.

    Returns:
        list: one value for each device, or for each part if a tensor is too small for all devices.
    """
    n = len(target_gpus)
    if isinstance(inputs, Tensor):
        return list(inputs.chunk(n, dim)) if n > 1 else [inputs]
    if isinstance(inputs, dict) and inputs:
        parts = [scatter(value, target_gpus, dim) for value in inputs.values()]
        return [type(inputs)(zip(inputs, values, strict=True)) for values in zip(*parts, strict=False)]
    if isinstance(inputs, tuple | list) and inputs:
        parts = [scatter(value, target_gpus, dim) for value in inputs]
        return [_rebuild(inputs, values) for values in zip(*parts, strict=False)]
    return [inputs] * n


def scatter_kwargs(inputs, kwargs, target_gpus, dim=0):
    """`scatter` for positional and keyword arguments together; both tuples get the same length."""
    scattered = scatter(inputs, target_gpus, dim) if inputs else []
    scattered_kwargs = scatter(kwargs, target_gpus, dim) if kwargs else []
    n = max(len(scattered), len(scattered_kwargs))
    scattered += [()] * (n - len(scattered))
    scattered_kwargs += [{}] * (n - len(scattered_kwargs))
    return tuple(scattered), tuple(scattered_kwargs)


def gather(outputs, target_device=None, dim=0):
    """Put the devices' outputs together along `dim`; scalars become a vector with one element for each.

    Args:
        outputs (list): one output for each device, all of the same structure.
        target_device: where the result goes; all devices share the machine's memory.
        dim (int): Default: 0.

    Raises:
        ValueError: dictionaries with different keys.
    """
    first = outputs[0]
    if isinstance(first, Tensor):
        if all(output.dim() == 0 for output in outputs):
            return _C.stack(list(outputs))
        return outputs[0] if len(outputs) == 1 else _C.cat(list(outputs), dim)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(output.keys() != first.keys() for output in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, gather([o[key] for o in outputs], target_device, dim)) for key in first)
    if isinstance(first, tuple | list):
        return _rebuild(first, [gather(values, target_device, dim) for values in zip(*outputs, strict=True)])
    raise TypeError(
        f"gather takes tensors, and dictionaries, tuples and lists of them, got {type(first).__name__}"
    )
