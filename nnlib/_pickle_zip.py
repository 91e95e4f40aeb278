"""The records of PyTorch's zip files: written aligned and uncompressed, read with their checksums.

Layout: ``NAME/data.pkl``, ``NAME/byteorder``, ``NAME/version`` and ``NAME/data/KEY`` for each storage.
https://docs.pytorch.org/docs/stable/notes/serialization.html#torch-save-with-zipfile-serialization-true
"""

import mmap
import struct
import zipfile
import zlib

ALIGNMENT = 64  # of the storages in the file, so that a mapped one can be used in place
PADDING_ID = 0x4246  # the extra field that PyTorch pads with
ZIP64_BYTES = 20  # zipfile appends this much to the header of a large record
LOCAL_HEADER = struct.Struct("<4s22xHH")
CHUNK = 1 << 24


class RecordWriter:
    """Writes records of one archive to a file object.

    Args:
        file: has ``write``, and ``seek`` and ``tell`` or not.
        name (str): the folder inside the archive.
    """

    def __init__(self, file, name):
        self.zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.zip.close()
        else:
            # No table of contents: what was written so far shall not pass for a whole file.
            self.zip.fp = None

    def write(self, record, data):
        """Add `data`, a buffer of bytes, as `record`."""
        data = memoryview(data).cast("B") if len(data) else b""
        info = zipfile.ZipInfo(f"{self.name}/{record}")
        large = len(data) * 1.05 > zipfile.ZIP64_LIMIT
        start = self.zip.start_dir + 30 + len(info.filename.encode()) + (ZIP64_BYTES if large else 0)
        padding = -(start + 4) % ALIGNMENT
        info.extra = struct.pack("<HH", PADDING_ID, padding) + b"Z" * padding
        self.zip.writestr(info, data)


class RecordReader:
    """Reads records of an archive; RuntimeError where the file is damaged.

    Args:
        file: has ``read``, ``seek`` and ``tell``.
        mapped (bool): give out parts of a private memory map of the file instead of reading.
    """

    def __init__(self, file, mapped=False):
        try:
            self.zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OverflowError, struct.error, UnicodeDecodeError) as error:
            raise RuntimeError(f"failed reading zip archive: {error}") from error
        self.file = file
        self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if mapped else None
        found = [name for name in self.zip.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(found) != 1:
            raise RuntimeError(
                f"failed reading zip archive: expected one record data.pkl, found {len(found)}"
            )
        self.name = found[0].split("/")[0]

    def __contains__(self, record):
        return f"{self.name}/{record}" in self.zip.NameToInfo

    def size(self, record):
        """How many bytes a record holds."""
        return self._info(record).file_size

    def read(self, record):
        """The bytes of a small record, its checksum compared."""
        info = self._info(record)
        data = bytearray(info.file_size)
        self.read_into(record, memoryview(data))
        return bytes(data)

    def read_into(self, record, target):
        """Fill `target`, a writable buffer, with the start of a record; compare the checksum of all of it."""
        info = self._info(record)
        self.file.seek(self._start(info))
        checksum, left = 0, info.file_size
        while left:
            chunk = target[:CHUNK] if len(target) else memoryview(bytearray(min(left, CHUNK)))
            chunk = chunk[:left]
            data = self.file.read(len(chunk))
            if len(data) != len(chunk):
                raise RuntimeError(f"failed reading file {info.filename}: the file is cut off")
            chunk[:] = data
            checksum = zlib.crc32(data, checksum)
            target, left = target[len(chunk) :], left - len(chunk)
        if checksum != info.CRC:
            raise RuntimeError(
                f"failed reading file {info.filename}: the checksum does not match, the file is damaged"
            )

    def place(self, record):
        """The position of a record in the memory map."""
        info = self._info(record)
        start = self._start(info)
        if start + info.file_size > len(self.map):
            raise RuntimeError(f"failed reading file {info.filename}: the file is cut off")
        return start

    def _info(self, record):
        info = self.zip.NameToInfo.get(f"{self.name}/{record}")
        if info is None:
            raise RuntimeError(f"failed finding record {record} in the file")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise RuntimeError(f"expected record {record} to be stored uncompressed")
        return info

    def _start(self, info):
        """Where the bytes lie: the header before them has a length of its own."""
        if info.header_offset < 0:
            raise RuntimeError(f"failed reading file {info.filename}: it starts before the file")
        self.file.seek(info.header_offset)
        header = self.file.read(LOCAL_HEADER.size)
        if len(header) != LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise RuntimeError(f"failed reading file {info.filename}: no record starts at its position")
        _, name, extra = LOCAL_HEADER.unpack(header)
        return info.header_offset + LOCAL_HEADER.size + name + extra
