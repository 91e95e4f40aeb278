"""Memory that processes share: a file without a name, mapped wherever somebody holds its descriptor."""

from __future__ import annotations

import mmap
import os
import weakref

from . import _C

_maps: weakref.WeakValueDictionary[int, SharedMemory] = weakref.WeakValueDictionary()


class SharedMemory(mmap.mmap):
    """A mapping that keeps its file's descriptor open, so that the file can be handed on."""

    fd: int

    def __new__(cls, fd: int, size: int):
        self = super().__new__(cls, fd, size)
        self.fd = fd
        weakref.finalize(self, os.close, fd).atexit = False
        return self

    def tensor(self) -> _C.TensorBase:
        """All of it as bytes; the tensor keeps the mapping."""
        result = _C.frombuffer(self, dtype=_C.uint8)
        _maps[result.data_ptr()] = self
        return result


def create(size: int) -> SharedMemory:
    """New shared memory of at least one byte."""
    fd = os.memfd_create("nnlib", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, max(size, 1))
        return SharedMemory(fd, max(size, 1))
    except BaseException:
        os.close(fd)
        raise


def memory_of(t: _C.TensorBase) -> SharedMemory | None:
    """The shared memory that a tensor lies in; None for other memory."""
    return _maps.get(t.untyped_storage().data_ptr()) if _maps and not t.is_sparse else None
