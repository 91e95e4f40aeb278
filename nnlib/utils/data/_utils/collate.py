"""Makes batches of samples, and tensors of NumPy arrays and numbers, inside nested containers."""

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence

import numpy as np

import nnlib

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

_UNSUPPORTED = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"


def _is_text_or_object(array):
    return array.dtype.kind in "SUO"


def _rebuild_mapping(like, items):
    """A mapping of the type of `like`, or a dict where that type cannot be filled."""
    try:
        if isinstance(like, MutableMapping):
            # The copy keeps what the type holds besides its items.
            clone = copy.copy(like)
            clone.update(items)
            return clone
        return type(like)(items)
    except TypeError:
        return items


def _rebuild_sequence(like, items):
    """A sequence of the type of `like`, or a list where that type cannot be filled."""
    try:
        if isinstance(like, MutableSequence):
            clone = copy.copy(like)
            for i, item in enumerate(items):
                clone[i] = item
            return clone
        return type(like)(items)
    except TypeError:
        return items


def default_convert(data):
    """Turns NumPy arrays and scalars inside nested containers into tensors; what is no batch stays as it is.

    Example:
        >>> import numpy as np
        >>> from nnlib.utils.data import default_convert
        >>> default_convert({"x": np.array([1, 2])})["x"].tolist()
        [1, 2]
    """
    if isinstance(data, nnlib.Tensor):
        return data
    if isinstance(data, np.ndarray):
        return data if _is_text_or_object(data) else nnlib.as_tensor(data)
    if isinstance(data, np.generic):
        return data if isinstance(data, np.str_ | np.bytes_) else nnlib.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(d) for d in data))
    if isinstance(data, tuple):
        return [default_convert(d) for d in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _rebuild_sequence(data, [default_convert(d) for d in data])
    return data


def collate(batch, *, collate_fn_map=None):
    """Makes one batch of a list of samples.

    Args:
        batch (list): the samples, all of the same form.
        collate_fn_map (dict, optional): from a type, or a tuple of types, to a function
            ``f(batch, *, collate_fn_map)`` that makes a batch of such elements.

    Raises:
        TypeError: for elements of a type that no function takes.
        RuntimeError: when sequences differ in length.

    Example:
        >>> from nnlib.utils.data._utils.collate import collate
        >>> collate(["a", "b"], collate_fn_map={str: lambda batch, *, collate_fn_map: "".join(batch)})
        'ab'
    """
    elem = batch[0]
    if collate_fn_map is not None:
        if type(elem) in collate_fn_map:
            return collate_fn_map[type(elem)](batch, collate_fn_map=collate_fn_map)
        for types, fn in collate_fn_map.items():
            if isinstance(elem, types):
                return fn(batch, collate_fn_map=collate_fn_map)

    def inner(samples):
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(elem, Mapping):
        return _rebuild_mapping(elem, {key: inner([d[key] for d in batch]) for key in elem})
    if isinstance(elem, tuple) and hasattr(elem, "_fields"):
        return type(elem)(*(inner(samples) for samples in zip(*batch, strict=True)))
    if isinstance(elem, Sequence):
        if any(len(sample) != len(elem) for sample in batch):
            raise RuntimeError(
                "each element in list of batch should be of equal size, "
                f"but got sizes {sorted({len(sample) for sample in batch})}"
            )
        columns = [inner(samples) for samples in zip(*batch, strict=True)]
        return columns if isinstance(elem, tuple) else _rebuild_sequence(elem, columns)
    raise TypeError(_UNSUPPORTED.format(type(elem)))


def _collate_tensors(batch, *, collate_fn_map=None):
    if batch[0].is_sparse:
        raise RuntimeError(
            "Batches of sparse tensors are not currently supported by the default collate_fn; please "
            "provide a custom collate_fn to handle them appropriately."
        )
    return nnlib.stack(list(batch), 0)


def _collate_arrays(batch, *, collate_fn_map=None):
    if _is_text_or_object(batch[0]):
        raise TypeError(_UNSUPPORTED.format(batch[0].dtype))
    return collate([nnlib.as_tensor(b) for b in batch], collate_fn_map=collate_fn_map)


def _collate_numpy_scalars(batch, *, collate_fn_map=None):
    return nnlib.as_tensor(np.array(batch))


def _collate_floats(batch, *, collate_fn_map=None):
    return nnlib.tensor(batch, dtype=nnlib.float64)


def _collate_ints(batch, *, collate_fn_map=None):
    return nnlib.tensor(batch)


def _collate_text(batch, *, collate_fn_map=None):
    return batch


default_collate_fn_map = {
    nnlib.Tensor: _collate_tensors,
    np.ndarray: _collate_arrays,
    (np.bool_, np.number, np.object_): _collate_numpy_scalars,
    float: _collate_floats,
    int: _collate_ints,
    str: _collate_text,
    bytes: _collate_text,
}


def default_collate(batch):
    """Stacks the samples of a batch: tensors, arrays and numbers along a new first dimension.

    Mappings, named tuples and sequences are taken apart and put together again; text is left in a list.

    Raises:
        TypeError: for anything else.
        RuntimeError: when sequences differ in length, or tensors in shape.

    Example:
        >>> from nnlib.utils.data import default_collate
        >>> [t.tolist() for t in default_collate([(0, 1), (2, 3)])]
        [[0, 2], [1, 3]]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
