"""Reads and writes safetensors files, through the package ``safetensors`` (extra ``nnlib[safetensors]``).

https://github.com/huggingface/safetensors#format
"""

import math

from nnlib import _C
from nnlib._atomic import replacing

__all__ = ["load", "load_file", "save", "save_file"]

# The format's names for the types of elements, and ours.
DTYPES = {
    "F64": _C.float64,
    "F32": _C.float32,
    "F16": _C.float16,
    "BF16": _C.bfloat16,
    "I64": _C.int64,
    "I32": _C.int32,
    "I16": _C.int16,
    "I8": _C.int8,
    "U8": _C.uint8,
    "BOOL": _C.bool,
}


def _package():
    try:
        import safetensors
    except ImportError as error:
        raise RuntimeError(
            "safetensors files need the package safetensors, which is not installed: pip install safetensors"
        ) from error
    return safetensors


def _contiguous(tensors):
    """The tensors as the format wants them. RuntimeError for two that share memory: it cannot say so."""
    if not isinstance(tensors, dict):
        raise ValueError(f"expected a dict of [str, tensor], got {type(tensors).__name__}")
    owners, result = {}, {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, _C.Tensor):
            raise ValueError(f"expected a dict of tensors, but {name!r} is a {type(tensor).__name__}")
        if tensor.is_sparse:
            raise ValueError(f"expected dense tensors, but {name!r} is sparse; call to_dense() first")
        owner = owners.setdefault(tensor.untyped_storage()._cdata, name)
        if tensor.numel() and owner != name:
            raise RuntimeError(
                f"the tensors {owner!r} and {name!r} share memory: save one of them, or a clone()"
            )
        result[name] = tensor.detach().contiguous()
    return result


def save(tensors, metadata=None):
    """The bytes of a safetensors file.

    Args:
        tensors (dict): dense tensors by name, no two of them sharing memory.
        metadata (dict, optional): strings by name.

    Returns:
        bytes.

    Example::

        >>> import nnlib, nnlib.safetensors
        >>> data = nnlib.safetensors.save({"weight": nnlib.arange(3)})
        >>> nnlib.safetensors.load(data)
        {'weight': tensor([0, 1, 2])}
    """
    package = _package()
    kept = _contiguous(tensors)
    specs = {
        name: package.TensorSpec(
            dtype=str(tensor.dtype).partition(".")[2],
            shape=list(tensor.size()),
            data_ptr=tensor.data_ptr(),
            data_len=tensor.numel() * tensor.element_size(),
        )
        for name, tensor in kept.items()
    }
    return bytes(package.serialize(specs, metadata))


def load(data):
    """The tensors, by name, that the bytes of a safetensors file hold.

    Args:
        data (bytes): what ``save`` returned.

    Raises:
        safetensors.SafetensorError: the bytes are no such file, or damaged.
    """
    result = {}
    for name, entry in _package().deserialize(data):
        if entry["dtype"] not in DTYPES:
            raise RuntimeError(f"nnlib has no dtype for {entry['dtype']}, which tensor {name!r} has")
        storage = _C.UntypedStorage(len(entry["data"]))
        memoryview(storage)[:] = entry["data"]
        shape = entry["shape"]
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        result[name] = _C._from_storage(storage, DTYPES[entry["dtype"]], 0, tuple(shape), tuple(strides))
    return result


def save_file(tensors, filename, metadata=None):
    """Write ``save(tensors, metadata)`` to a file, which is replaced in one step.

    Args:
        tensors (dict): dense tensors by name, no two of them sharing memory.
        filename (str or PathLike): the path.
        metadata (dict, optional): strings by name.
    """
    data = save(tensors, metadata)
    with replacing(filename) as file:
        file.write(data)


def load_file(filename):
    """The tensors, by name, of the safetensors file `filename`."""
    with open(filename, "rb") as file:
        return load(file.read())
