"""Writes pickles in which tensors stand under PyTorch's names and their storages as references."""

import io
import pickle
from types import FunctionType

from nnlib import _C, _pickle_names, _utils


class Pickler(pickle._Pickler):
    """Pickles an object and collects the storages of its tensors.

    Python's pickler in C looks each global up where it is said to be; PyTorch need not be installed, so the
    one in Python is used, whose way of writing a global can be changed.

    Attributes:
        storages (list): what the numbered records of the file have to hold, ``TypedStorage`` each.
    """

    def __init__(self, file, protocol):
        super().__init__(file, protocol)
        self.storages = []
        self.keys = {}

    def persistent_id(self, obj):
        if isinstance(obj, _C.UntypedStorage):
            kind, numel, obj = (
                _pickle_names.VALUES["torch.storage.UntypedStorage"],
                obj.nbytes(),
                (obj, _C.uint8),
            )
            obj = _utils.TypedStorage(*obj)
        elif isinstance(obj, _utils.TypedStorage):
            kind, numel = _pickle_names.VALUES[f"torch.{_pickle_names.STORAGE_NAMES[obj.dtype]}"], len(obj)
        else:
            return None
        address = obj.untyped()._cdata
        if address not in self.keys:
            self.keys[address] = len(self.storages)
            self.storages.append(obj)
        key = self.keys[address]
        if self.storages[key].dtype != obj.dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types: "
                f"{self.storages[key].dtype} and {obj.dtype}"
            )
        return ("storage", kind, str(key), "cpu", numel)

    def reducer_override(self, obj):
        if isinstance(obj, _pickle_names.StorageKind):
            return obj.name
        if type(obj) is _C.device:
            return _C.device, (obj.type,) if obj.index is None else (obj.type, obj.index)
        if isinstance(obj, _C.layout):
            return _utils._get_layout, (str(obj).replace("nnlib.", "torch."),)
        if type(obj) is _pickle_names.nnlib.Size:
            return type(obj), (tuple(obj),)
        return NotImplemented

    def save_global(self, obj, name=None):
        written = _pickle_names.WRITTEN.get(id(obj))
        if written is None:
            super().save_global(obj, name)
            return
        module, _, name = written.rpartition(".")
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)

    # Functions would go to the pickler's own method otherwise; classes come here by themselves.
    dispatch = {**pickle._Pickler.dispatch, FunctionType: save_global}


def dumps(obj, protocol):
    """The pickle of `obj` and the storages that it refers to."""
    buffer = io.BytesIO()
    pickler = Pickler(buffer, protocol)
    pickler.dump(obj)
    return buffer.getvalue(), pickler.storages
