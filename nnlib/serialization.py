"""Saves and loads objects in PyTorch's file format, whether PyTorch is installed or not."""

import contextlib
import io
import os
import pickle
import sys
import threading

from nnlib import _pickle_load, _pickle_save, _pickle_storage, _pickle_zip
from nnlib._atomic import replacing

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "remove_safe_globals",
    "safe_globals",
    "save",
]

DEFAULT_PROTOCOL = 2
_safe = {}
_safe_lock = threading.Lock()


def _safe_name(item):
    """The name that files have for an entry of `add_safe_globals`, and the class or function itself."""
    if isinstance(item, tuple):
        if len(item) != 2 or not isinstance(item[1], str):
            raise ValueError(f"Expected a pair of a class or function and its name, got {item!r}")
        return item[1], item[0]
    if not callable(item):
        raise TypeError(
            f"Expected a class or function, or a pair of it and its name, got {type(item).__name__}"
        )
    return f"{item.__module__}.{item.__qualname__}", item


def add_safe_globals(safe_globals):
    """Let files loaded with ``weights_only=True`` use these classes and functions.

    A file may then call them with any arguments and set any attributes: add only what is harmless.

    Args:
        safe_globals (list): classes and functions, or pairs of one and the name that files have for it.

    Example::

        >>> import collections, nnlib
        >>> Point = collections.namedtuple("Point", "x y")
        >>> nnlib.serialization.add_safe_globals([Point])
        >>> nnlib.serialization.get_safe_globals() == [Point]
        True
        >>> nnlib.serialization.clear_safe_globals()
    """
    entries = dict(_safe_name(item) for item in safe_globals)
    with _safe_lock:
        _safe.update(entries)


def remove_safe_globals(safe_globals):
    """Take classes and functions back that ``add_safe_globals`` declared safe."""
    with _safe_lock:
        for item in safe_globals:
            _safe.pop(_safe_name(item)[0], None)


def clear_safe_globals():
    """Take back all that ``add_safe_globals`` declared safe."""
    with _safe_lock:
        _safe.clear()


def get_safe_globals():
    """The classes and functions that ``add_safe_globals`` declared safe."""
    return list(_safe.values())


@contextlib.contextmanager
def safe_globals(safe_globals):
    """A context in which files may use these classes and functions, as after ``add_safe_globals``."""
    global _safe
    with _safe_lock:
        before, _safe = _safe, dict(_safe)
    try:
        add_safe_globals(safe_globals)
        yield
    finally:
        with _safe_lock:
            _safe = before


def _is_path(f):
    return isinstance(f, (str, os.PathLike))


def _write(obj, file, name, protocol):
    data, storages = _pickle_save.dumps(obj, protocol)
    with _pickle_zip.RecordWriter(file, name) as writer:
        writer.write("data.pkl", data)
        writer.write("byteorder", sys.byteorder.encode())
        for key, storage in enumerate(storages):
            writer.write(
                f"data/{key}", memoryview(storage.untyped())[: len(storage) * storage.element_size()]
            )
        writer.write("version", b"3\n")


def save(obj, f, *, pickle_protocol=DEFAULT_PROTOCOL):
    """Save an object to a file that ``nnlib.load`` and ``torch.load`` read.

    Tensors that share memory go on sharing it; a view saves the whole storage behind it. A file given by its
    path is replaced in one step when all is written, so that a crash leaves the old one whole.

    Args:
        obj: tensors, and containers, numbers and strings around them; any object that pickles, but then
            ``load`` needs ``weights_only=False`` or ``add_safe_globals``.
        f (str, PathLike or file): the path, or an object with ``write`` that is open for bytes.
        pickle_protocol (int): 2, which every reader knows, to 5.

    Raises:
        RuntimeError: the folder does not exist, or tensors view the same memory as different types.

    Example::

        >>> import io, nnlib
        >>> file = io.BytesIO()
        >>> nnlib.save({"weight": nnlib.arange(3)}, file)
        >>> _ = file.seek(0)
        >>> nnlib.load(file)
        {'weight': tensor([0, 1, 2])}
    """
    if pickle_protocol not in range(2, pickle.HIGHEST_PROTOCOL + 1):
        raise ValueError(
            f"expected a pickle_protocol from 2 to {pickle.HIGHEST_PROTOCOL}, got {pickle_protocol!r}"
        )
    if not _is_path(f):
        if not hasattr(f, "write"):
            raise AttributeError(
                f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, got "
                f"{type(f).__name__}"
            )
        _write(obj, f, "archive", pickle_protocol)
        return
    folder, base = os.path.split(os.fspath(f))
    if not os.path.isdir(folder or "."):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    with replacing(f) as file:
        _write(obj, file, os.path.splitext(base)[0] or "archive", pickle_protocol)


def _load_open(file, map_location, weights_only, mmap, encoding):
    kind = _pickle_load.RestrictedUnpickler if weights_only else _pickle_load.TrustedUnpickler

    def unpickler(source, storages):
        return kind(source, storages, dict(_safe), encoding)

    start = file.tell()
    magic = file.read(4)
    file.seek(start)
    if magic == b"PK\x03\x04":
        reader = _pickle_zip.RecordReader(file, mmap)
        storages = _pickle_storage.ZipStorages(reader, map_location)
        return unpickler(io.BytesIO(reader.read("data.pkl")), storages).load()
    if mmap:
        raise RuntimeError("mmap can only be used with files saved in the zip format of nnlib.save")
    if not magic:
        raise EOFError("Ran out of input")
    return _pickle_storage.load_legacy(file, unpickler, map_location)


def _load_safetensors(path, map_location, mmap):
    from nnlib import safetensors

    if mmap or callable(map_location) or isinstance(map_location, dict):
        raise RuntimeError(
            "expected neither mmap nor a function or dict as map_location for a safetensors file: it says "
            "nothing of devices and is read as a whole"
        )
    _pickle_storage.remap(None, "cpu", map_location)
    device = _pickle_storage.device_number("cpu", map_location)
    loaded = safetensors.load_file(path)
    return loaded if device is None else {name: tensor.to(device) for name, tensor in loaded.items()}


def load(f, map_location=None, *, weights_only=True, mmap=False, encoding="utf-8"):
    """Load an object that ``nnlib.save`` or ``torch.save`` wrote.

    With ``weights_only=True`` the file may come from anybody: it is read by an unpickler of our own that
    builds tensors, containers, numbers and strings and refuses everything else, and no tensor can reach
    outside the memory that the file brings. With ``weights_only=False`` the file can **run any code
    it likes**: only for files you trust.

    Args:
        f (str, PathLike or file): the path, or an object with ``read``, ``readline``, ``seek`` and ``tell``.
        map_location: where storages go that were on another device: ``"cpu"``, a device, a dict from the
            file's locations to ours, or a function of ``(storage, location)`` that returns a storage or None.
        weights_only (bool): refuse anything but data. Default: ``True``.
        mmap (bool): map the file instead of reading it: values are fetched when used, checksums not compared,
            and changes not written back. Needs a path. Default: ``False``.
        encoding (str): of strings that Python 2 wrote, or ``"bytes"``.

    Returns:
        the object, its tensors on the CPU.

    Raises:
        pickle.UnpicklingError: the file is no pickle of data; names the global that it wants to use.
        RuntimeError: the file is damaged, or tensors are on a device that is not here.

    Example::

        >>> import nnlib, os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.pt")
        ...     nnlib.save(nnlib.nn.Linear(2, 1).state_dict(), path)
        ...     list(nnlib.load(path))
        ['weight', 'bias']
    """
    if mmap and not _is_path(f):
        raise ValueError("f must be a file path in order to use the mmap argument")
    try:
        if _is_path(f):
            if os.fspath(f).endswith(".safetensors"):
                return _load_safetensors(f, map_location, mmap)
            with open(f, "rb") as file:
                return _load_open(file, map_location, weights_only, mmap, encoding)
        for method in ("read", "readline", "seek", "tell"):
            if not hasattr(f, method):
                raise AttributeError(
                    f"expected 'f' to be a path or a file object, but it has no method {method!r}"
                )
        return _load_open(f, map_location, weights_only, mmap, encoding)
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise
        raise pickle.UnpicklingError(
            f"Weights only load failed. Re-running `nnlib.load` with `weights_only=False` would likely "
            f"succeed, but it can run arbitrary code: do it only if you trust its source.\n{error}"
        ) from None
