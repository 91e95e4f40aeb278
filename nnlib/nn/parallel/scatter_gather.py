"""Splitting a batch over devices and putting the results together."""

from nnlib import _C
from nnlib._C import Tensor

from ._devices import device_index

__all__ = ["gather", "scatter", "scatter_kwargs"]


def _is_namedtuple(value):
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _rebuild(like, values):
    return type(like)(*values) if _is_namedtuple(like) else type(like)(values)


def scatter(inputs, target_gpus, dim=0):
    """Split tensors along `dim` into one part a device, in tuples, lists and dictionaries too; share anything
    else.

    Args:
        inputs: the value to split. Parts are copies on their devices; one that is there already is a view.
        target_gpus (list): the devices.
        dim (int): Default: 0.

    Returns:
        list: one value for each device, or for each part if a tensor is too small for all devices.

    Raises:
        AssertionError: a device that is not there.
        RuntimeError: a tensor without dimensions, which cannot be split.

    Example::

        >>> import nnlib
        >>> nnlib.set_device_partition(2)
        >>> nnlib.nn.parallel.scatter({"x": nnlib.arange(3), "name": "a"}, [0, 1])
        [{'x': tensor([0, 1], device='cpu:0'), 'name': 'a'}, {'x': tensor([2], device='cpu:1'), 'name': 'a'}]
        >>> nnlib.set_device_partition(0)
    """
    return _scatter(inputs, [device_index(device) for device in target_gpus], dim)


def _scatter(value, devices, dim):
    n = len(devices)
    if isinstance(value, Tensor):
        parts = value.chunk(n, dim) if n > 1 else [value]
        # Fewer parts than devices where the tensor is small.
        return [p if device < 0 else p.to(device) for p, device in zip(parts, devices, strict=False)]
    if isinstance(value, dict) and value:
        parts = [_scatter(item, devices, dim) for item in value.values()]
        return [type(value)(zip(value, values, strict=True)) for values in zip(*parts, strict=False)]
    if isinstance(value, tuple | list) and value:
        parts = [_scatter(item, devices, dim) for item in value]
        return [_rebuild(value, values) for values in zip(*parts, strict=False)]
    return [value] * n


def scatter_kwargs(inputs, kwargs, target_gpus, dim=0):
    """`scatter` for positional and keyword arguments together; both tuples get the same length.

    Args:
        inputs (tuple), kwargs (dict): the arguments of a call.
        target_gpus (list), dim: as in :func:`scatter`.

    Returns (tuple of tuple, tuple of dict): the arguments for each device.

    Example::

        >>> import nnlib
        >>> nnlib.set_device_partition(2)
        >>> args, kwargs = nnlib.nn.parallel.scatter_gather.scatter_kwargs((nnlib.arange(2),), {"flag": True}, [0, 1])
        >>> [len(args), len(kwargs), kwargs[1]]
        [2, 2, {'flag': True}]
        >>> nnlib.set_device_partition(0)
    """
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
        target_device: where the result goes; None, -1 or ``"cpu"``: to no device in particular.
        dim (int): Default: 0.

    Raises:
        ValueError: dictionaries with different keys.
        TypeError: something else than tensors, and dictionaries, tuples and lists of them.
        AssertionError: a device that is not there.

    Example::

        >>> import nnlib
        >>> nnlib.nn.parallel.gather([nnlib.zeros(2), nnlib.ones(1)])
        tensor([0., 0., 1.])
    """
    return _gather(list(outputs), -1 if target_device is None else device_index(target_device), dim)


def _gather(outputs, device, dim):
    first = outputs[0]
    if isinstance(first, Tensor):
        return _C._gather_on(outputs, dim, device)
    if first is None:
        return None
    if isinstance(first, dict):
        if any(output.keys() != first.keys() for output in outputs):
            raise ValueError("All dicts must have the same number of keys")
        return type(first)((key, _gather([o[key] for o in outputs], device, dim)) for key in first)
    if isinstance(first, tuple | list):
        return _rebuild(first, [_gather(values, device, dim) for values in zip(*outputs, strict=True)])
    raise TypeError(
        f"gather takes tensors, and dictionaries, tuples and lists of them, got {type(first).__name__}"
    )
