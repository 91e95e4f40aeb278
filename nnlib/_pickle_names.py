"""Under which names PyTorch's files speak of things, and what those are here."""

import codecs
from collections import Counter, OrderedDict

import nnlib
from nnlib import _C, _utils
from nnlib.nn import parameter

STORAGES = {
    "DoubleStorage": _C.float64,
    "FloatStorage": _C.float32,
    "HalfStorage": _C.float16,
    "BFloat16Storage": _C.bfloat16,
    "LongStorage": _C.int64,
    "IntStorage": _C.int32,
    "ShortStorage": _C.int16,
    "CharStorage": _C.int8,
    "ByteStorage": _C.uint8,
    "BoolStorage": _C.bool,
}
STORAGE_NAMES = {dtype: name for name, dtype in STORAGES.items()}


class StorageKind:
    """What a file calls ``torch.FloatStorage``: a type of elements, or None for bytes without one."""

    def __init__(self, name, dtype):
        self.name = name
        self.dtype = dtype

    def __repr__(self):
        return f"torch.{self.name}"


def _ordered_dict(items=()):
    result = OrderedDict()
    for key, value in items:
        check_key(key)
        result[key] = value
    return result


def _counter(counts=None):
    for key in counts or {}:
        check_key(key)
    return Counter(dict(counts or {}))


def _set(items=()):
    for item in items:
        check_key(item)
    return set(items)


def _complex(real, imag=0.0):
    return complex(float(real), float(imag))


def _bytearray(data=b"", encoding=None):
    if isinstance(data, str) and encoding == "latin-1":
        data = data.encode("latin-1")
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError(f"expected bytes for a bytearray, got {type(data).__name__}")
    return bytearray(data)


def _encode(text, encoding="utf-8"):
    # Bytes in pickles of protocol 2; any other codec could run code of its own.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8"):
        raise ValueError(f"expected text in latin1 or utf-8, got {type(text).__name__} in {encoding!r}")
    return codecs.encode(text, encoding)


def _size(items=()):
    return nnlib.Size([int(item) for item in items])


def _device(kind, index=None):
    return _C.device(kind) if index is None else _C.device(kind, index)


def check_key(key, depth=0):
    """TypeError unless `key` is plain and shallow: the hash of a deeply nested tuple overflows C's stack."""
    if isinstance(key, tuple):
        if depth > 20:
            raise TypeError("expected a key of a dict or set nested at most 20 deep")
        for item in key:
            check_key(item, depth + 1)
    elif not isinstance(key, (str, bytes, int, float, complex, type(None), _C.dtype, _C.device)):
        raise TypeError(f"expected a plain key of a dict or set, got {type(key).__name__}")


# Called by files with arguments of their choice: each has to be safe for any.
CALLABLES = {
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _counter,
    "builtins.set": _set,
    "builtins.complex": _complex,
    "builtins.bytearray": _bytearray,
    "__builtin__.set": _set,
    "__builtin__.complex": _complex,
    "__builtin__.bytearray": _bytearray,
    "_codecs.encode": _encode,
    "torch.Size": _size,
    "torch.device": _device,
    "torch.serialization._get_layout": _utils._get_layout,
    "torch._utils._rebuild_tensor": _utils._rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _utils._rebuild_tensor_v2,
    "torch._utils._rebuild_sparse_tensor": _utils._rebuild_sparse_tensor,
    "torch._utils._rebuild_parameter": parameter._rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": parameter._rebuild_parameter_with_state,
    "torch._tensor._rebuild_from_type_v2": _utils._rebuild_from_type_v2,
}

# Mentioned by files, never called.
VALUES = {
    "torch.Tensor": _C.Tensor,
    "torch.nn.parameter.Parameter": parameter.Parameter,
    "torch.storage.UntypedStorage": StorageKind("UntypedStorage", None),
    **{f"torch.{name}": StorageKind(name, dtype) for name, dtype in STORAGES.items()},
    **{str(dtype).replace("nnlib.", "torch."): dtype for dtype in STORAGES.values()},
}

# The way back, for saving: by identity, as one dtype may equal another object.
WRITTEN = {
    id(value): name for name, value in {**VALUES, **CALLABLES}.items() if not name.startswith("__builtin__")
}
WRITTEN.update(
    {id(OrderedDict): "collections.OrderedDict", id(nnlib.Size): "torch.Size", id(_C.device): "torch.device"}
)
