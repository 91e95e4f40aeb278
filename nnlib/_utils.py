"""How a tensor is taken apart and put together again: for copies, pickles and files.

The functions have PyTorch's names because files name them (``torch._utils._rebuild_tensor_v2``); their
arguments may come from a file nobody trusts, so each checks what it is given.
"""

import copy as copying
import copyreg
from collections import OrderedDict

from nnlib import _C

__all__ = ["TypedStorage", "storage_of"]


class TypedStorage:
    """The memory of tensors together with the type of its elements.

    Args:
        untyped (UntypedStorage): the memory.
        dtype (dtype): the type of its elements.
        device_index (int, optional): the device of tensors that are made on it.
    """

    __slots__ = ("_untyped_storage", "device_index", "dtype")

    def __init__(self, untyped, dtype, device_index=None):
        self._untyped_storage = untyped
        self.dtype = dtype
        self.device_index = device_index

    def untyped(self):
        """The memory without a type."""
        return self._untyped_storage

    def __len__(self):
        return self._untyped_storage.nbytes() // self.dtype.itemsize

    def size(self):
        """How many elements there are."""
        return len(self)

    def nbytes(self):
        """How many bytes there are."""
        return self._untyped_storage.nbytes()

    def element_size(self):
        """The bytes of one element."""
        return self.dtype.itemsize

    def data_ptr(self):
        """The address of the first byte."""
        return self._untyped_storage.data_ptr()

    def tolist(self):
        """The elements as Python numbers."""
        return _rebuild_tensor(self, 0, (len(self),), (1,)).tolist()

    def __repr__(self):
        return f"TypedStorage(dtype={self.dtype}, size={len(self)})"

    def __reduce__(self):
        return TypedStorage, (self._untyped_storage, self.dtype)


def storage_of(tensor):
    """The typed storage of a strided tensor."""
    return TypedStorage(tensor.untyped_storage(), tensor.dtype)


def _rebuild_untyped_storage(data):
    storage = _C.UntypedStorage(len(data))
    memoryview(storage)[:] = data
    return storage


copyreg.pickle(_C.UntypedStorage, lambda storage: (_rebuild_untyped_storage, (bytes(memoryview(storage)),)))


def _rebuild_tensor(storage, storage_offset, size, stride):
    """A tensor on `storage`; RuntimeError where an element would lie outside it."""
    if not isinstance(storage, TypedStorage):
        raise TypeError(f"expected a typed storage to rebuild a tensor from, got {type(storage).__name__}")
    place = (storage_offset, tuple(size), tuple(stride))
    tensor = _C._from_storage(storage.untyped(), storage.dtype, *place)
    if storage.device_index is not None:
        _C._put_on_device(tensor, storage.device_index)
    return tensor


def _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None):
    # Hooks are functions and never saved; metadata holds flags (conjugate, negative) of dtypes nnlib lacks.
    if backward_hooks or metadata:
        raise ValueError("expected a tensor without hooks and without metadata")
    tensor = _rebuild_tensor(storage, storage_offset, size, stride)
    return tensor.requires_grad_() if requires_grad else tensor


def _rebuild_sparse_tensor(layout, data):
    if layout is not _C.sparse_coo:
        raise NotImplementedError(f"rebuilding sparse tensor for layout {layout}")
    from nnlib._sparse import sparse_coo_tensor

    indices, values, size, *coalesced = data
    # The indices are checked, and sorted where that was said: a file's word is not taken.
    return sparse_coo_tensor(indices, values, tuple(size), is_coalesced=coalesced == [True])


def _rebuild_from_type_v2(function, kind, args, state):
    """A tensor of the class `kind` from `function(*args)`, with the attributes `state`."""
    tensor = function(*args)
    if not isinstance(tensor, _C.Tensor) or not issubclass(kind, _C.Tensor):
        raise TypeError(f"expected a tensor and a class of tensors, got {type(tensor).__name__} and {kind}")
    if type(tensor) is not kind:
        tensor = _C.Tensor._make_subclass(kind, tensor.detach(), tensor.requires_grad)
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    for name, value in {**(attributes or {}), **(slots or {})}.items():
        tensor.__dict__[name] = value
    return tensor


def _get_layout(name):
    layouts = {"torch.strided": _C.strided, "torch.sparse_coo": _C.sparse_coo}
    if name not in layouts:
        raise ValueError(f"expected one of the layouts {sorted(layouts)}, got {name!r}")
    return layouts[name]


def tensor_reduce_ex(self, protocol):
    """``Tensor.__reduce_ex__``: the storage, where the elements lie in it, whether a gradient is wanted."""
    if self.is_sparse:
        data = (self._indices(), self._values(), self.size(), self.is_coalesced())
        rebuild, args = _rebuild_sparse_tensor, (self.layout, data)
    else:
        place = (self.storage_offset(), tuple(self.size()), tuple(self.stride()))
        rebuild, args = _rebuild_tensor_v2, (storage_of(self), *place, self.requires_grad, OrderedDict())
    state = getattr(self, "__dict__", None)
    if type(self) is _C.Tensor and not state:
        return rebuild, args
    return _rebuild_from_type_v2, (rebuild, type(self), args, dict(state or {}))


def tensor_deepcopy(self, memo):
    """``Tensor.__deepcopy__``: the storage is copied once: what shares memory goes on sharing it."""
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment."
        )
    if self.is_sparse:
        copy = self.detach().clone()
    else:
        storage = self.untyped_storage()
        key = ("nnlib.UntypedStorage", storage._cdata)
        if key not in memo:
            # The original is kept too: were it freed, another storage could get its address.
            memo[key] = (storage.clone(), storage)
        typed = TypedStorage(memo[key][0], self.dtype)
        copy = _rebuild_tensor(typed, self.storage_offset(), self.size(), self.stride())
        if self.device.index is not None:
            _C._put_on_device(copy, self.device.index)
    if type(self) is not _C.Tensor:
        copy = _C.Tensor._make_subclass(type(self), copy, False)
    copy.requires_grad_(self.requires_grad)
    memo[id(self)] = copy
    if self.grad is not None:
        copy.grad = tensor_deepcopy(self.grad, memo)
    for name, value in (getattr(self, "__dict__", None) or {}).items():
        copy.__dict__[name] = copying.deepcopy(value, memo)
    return copy
