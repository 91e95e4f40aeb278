"""Turns what a file says of a storage into memory, from a zip file's record or the old format's tail."""

import struct
import sys

import numpy

from nnlib import _C
from nnlib._pickle_load import UnpicklingError
from nnlib._pickle_names import StorageKind
from nnlib._utils import TypedStorage

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def typed(storage, kind, device=None):
    """What a reference to a storage means: bytes where the file gave no type of elements."""
    return storage if kind.dtype is None else TypedStorage(storage, kind.dtype, device)


def device_number(location, map_location):
    """The number of the device that `map_location` wants a storage's tensors on; None for plain "cpu".

    What the file says is not asked: devices are of the process that wrote it.
    """
    if isinstance(map_location, dict):
        map_location = map_location.get(location)
    if map_location is None or callable(map_location):
        return None
    index = _C.device(str(map_location)).index
    if index is not None:
        _C._require_device(index)
    return index


def describe(identifier, count):
    """The fields of a reference, checked: kind, key, location, how many bytes, the rest."""
    if len(identifier) < 5 or len(identifier) > count:
        raise UnpicklingError(f"expected a reference to a storage of {count} fields, got {len(identifier)}")
    _, kind, key, location, numel, *rest = identifier
    key, location = (x.decode("ascii") if isinstance(x, bytes) else x for x in (key, location))
    if not isinstance(kind, StorageKind) or not isinstance(location, str) or not isinstance(key, str):
        raise UnpicklingError("expected a reference to a storage to hold its type, key and location")
    if type(numel) is not int or numel < 0:
        raise UnpicklingError(f"expected a storage of zero or more elements, got {numel!r}")
    return kind, key, location, numel * (kind.dtype.itemsize if kind.dtype else 1), rest


def remap(storage, location, map_location):
    """The storage where `map_location` wants it; RuntimeError for a device that nnlib does not have."""
    if callable(map_location):
        mapped = map_location(storage, location)
        if mapped is not None:
            if not isinstance(mapped, _C.UntypedStorage):
                raise TypeError(
                    f"expected map_location to return a storage or None, got {type(mapped).__name__}"
                )
            return mapped
    elif isinstance(map_location, dict):
        location = str(map_location.get(location, location))
    elif map_location is not None:
        location = str(map_location)
    if location.split(":")[0] != "cpu":
        raise RuntimeError(
            f"Attempting to deserialize object on a device '{location}' that nnlib does not have. If you "
            "want its values here, please use nnlib.load with map_location='cpu'."
        )
    return storage


def swap_bytes(storage, itemsize):
    """Turn the bytes of each element round, in place."""
    if itemsize > 1:
        numpy.frombuffer(storage, dtype=f"u{itemsize}").byteswap(inplace=True)


class ZipStorages:
    """Storages of a zip file: each is read when first asked for.

    Args:
        reader (RecordReader): the file.
        map_location: as of ``nnlib.load``.
    """

    def __init__(self, reader, map_location):
        self.reader = reader
        self.map_location = map_location
        order = reader.read("byteorder").decode("ascii", "replace") if "byteorder" in reader else "little"
        if order not in ("little", "big"):
            raise RuntimeError(f"expected the byte order 'little' or 'big', got {order!r}")
        self.swapped = order != sys.byteorder
        self.loaded = {}

    def __call__(self, identifier):
        kind, key, location, nbytes, _ = describe(identifier, 5)
        record = f"data/{key}"
        if nbytes > self.reader.size(record):
            raise RuntimeError(
                f"the file says that storage {key} has {nbytes} bytes, but its record has "
                f"{self.reader.size(record)}"
            )
        if key not in self.loaded:
            storage = self.read(record, nbytes)
            if self.swapped and kind.dtype is not None:
                swap_bytes(storage, kind.dtype.itemsize)
            self.loaded[key] = remap(storage, location, self.map_location)
        elif self.loaded[key].nbytes() < nbytes:
            raise RuntimeError(f"the file speaks of storage {key} with different sizes")
        return typed(self.loaded[key], kind, device_number(location, self.map_location))

    def read(self, record, nbytes):
        if self.reader.map is not None and not self.swapped and nbytes:
            return _C.UntypedStorage._from_buffer(self.reader.map, self.reader.place(record), nbytes)
        storage = _C.UntypedStorage(nbytes)
        self.reader.read_into(record, memoryview(storage))
        return storage


class LegacyStorages:
    """Storages of the format before the zip files: their bytes follow after the pickle.

    Args:
        limit (int): the bytes of the file, which no storage can exceed.
        map_location: as of ``nnlib.load``.
    """

    def __init__(self, limit, map_location):
        self.limit = limit
        self.map_location = map_location
        self.loaded = {}

    def __call__(self, identifier):
        kind, key, location, nbytes, view = describe(identifier, 6)
        if view and view[0] is not None:
            raise UnpicklingError("files with views of storages, of PyTorch before 0.4, are not read")
        if nbytes > self.limit:
            raise RuntimeError(
                f"the file says that storage {key} has {nbytes} bytes, but it has {self.limit} in all"
            )
        if key not in self.loaded:
            storage = _C.UntypedStorage(nbytes)
            memoryview(storage)[:] = bytes(nbytes)
            self.loaded[key] = (storage, kind, remap(storage, location, self.map_location))
        elif self.loaded[key][2].nbytes() < nbytes:
            raise RuntimeError(f"the file speaks of storage {key} with different sizes")
        return typed(self.loaded[key][2], kind, device_number(location, self.map_location))

    def fill(self, file, keys, little_endian):
        """Read the bytes of the storages `keys`, in this order."""
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(self.loaded):
            raise UnpicklingError("the file does not list the storages that its tensors lie in")
        for key in keys:
            storage, kind, _ = self.loaded[key]
            itemsize = kind.dtype.itemsize if kind.dtype else 1
            header = file.read(8)
            if len(header) != 8 or struct.unpack("<q", header)[0] * itemsize != storage.nbytes():
                raise RuntimeError(f"storage {key} of the file does not have the size that was announced")
            data = file.read(storage.nbytes())
            if len(data) != storage.nbytes():
                raise RuntimeError(f"storage {key} of the file is cut off")
            memoryview(storage)[:] = data
            if little_endian != (sys.byteorder == "little"):
                swap_bytes(storage, itemsize)


def load_legacy(file, make_unpickler, map_location):
    """The object of a file in the old format, from the file's position on."""
    start = file.tell()
    limit = file.seek(0, 2) - start
    file.seek(start)
    storages = LegacyStorages(limit, map_location)
    if make_unpickler(file, storages).load() != MAGIC:
        raise UnpicklingError("Invalid magic number; corrupt file?")
    if (protocol := make_unpickler(file, storages).load()) != PROTOCOL:
        raise UnpicklingError(f"expected protocol version {PROTOCOL}, got {protocol!r:.80}")
    system = make_unpickler(file, storages).load()
    # The bytes come last, but what is built of them may look at them (the indices of a sparse tensor): the
    # first reading finds out which storages there are, the second one builds.
    place = file.tell()
    make_unpickler(file, storages).load()
    keys = make_unpickler(file, storages).load()
    little = system.get("little_endian", True) if isinstance(system, dict) else True
    storages.fill(file, keys, little)
    file.seek(place)
    return make_unpickler(file, storages).load()
