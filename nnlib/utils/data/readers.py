"""Readers of data sets in files: the IDX format of MNIST, and folders of images."""

import contextlib
import gzip
import math
import os
import struct
import zlib

import numpy as np

import nnlib

from .dataset import Dataset

__all__ = ["IDXDataset", "ImageFolder", "read_idx"]

# The third byte of the magic number.
_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 20

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@contextlib.contextmanager
def _open_maybe_gz(path):
    """Opens a file, through gzip where its first bytes say so; damage to the compression is a ValueError."""
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                yield file
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            raise ValueError(f"{path}: damaged gzip data ({e})") from e


def _read_exactly(file, size, path, what):
    """Reads so many bytes, and no more memory than the file really has."""
    data = bytearray()
    while len(data) < size:
        chunk = file.read(min(_CHUNK, size - len(data)))
        if not chunk:
            raise ValueError(f"{path}: expected {size} bytes of {what}, but the file ends after {len(data)}")
        data += chunk
    return data


def read_idx(path):
    """Reads a file in the IDX format, the one of MNIST, packed with gzip or not.

    Args:
        path (str or path): the file.

    Returns:
        Tensor: of the type and shape that the file says (uint8, int8, int16, int32, float32 or float64).

    Raises:
        ValueError: when the file is no IDX file, is cut short or holds more than it says.

    Example:
        >>> import os, tempfile
        >>> from nnlib.utils.data import read_idx
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "labels.idx")
        ...     with open(path, "wb") as file:
        ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
        ...     read_idx(path).tolist()
        [7, 8, 9]

    Source: http://yann.lecun.com/exdb/mnist, "The IDX file format".
    """
    with _open_maybe_gz(path) as file:
        magic = _read_exactly(file, 4, path, "the magic number")
        if magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES:
            raise ValueError(
                f"{path}: not an IDX file: expected a magic number 0000TTDD with a known type TT, "
                f"but got {bytes(magic).hex()}"
            )
        count = magic[3]
        shape = struct.unpack(f">{count}I", _read_exactly(file, 4 * count, path, "sizes"))
        dtype = np.dtype(_IDX_DTYPES[magic[2]])
        what = f"values of shape {shape}"
        data = _read_exactly(file, math.prod(shape) * dtype.itemsize, path, what)
        if file.read(1):
            raise ValueError(f"{path}: expected {len(data)} bytes of {what}, but there are more")
    if count > 32:
        raise ValueError(f"{path}: expected at most 32 dimensions, but got {count} (shape {shape})")
    array = np.frombuffer(data, dtype).reshape(shape)
    return nnlib.from_numpy(array.astype(dtype.newbyteorder("="), copy=False))


class IDXDataset(Dataset):
    """Images, and labels if there are, of files in the IDX format, such as MNIST's.

    Args:
        images (str or path): the file of the images; the first dimension counts them.
        labels (str or path, optional): the file of the labels.
        transform (callable, optional): applied to each image.
        target_transform (callable, optional): applied to each label.

    Raises:
        ValueError: when a file is malformed, or the numbers of images and labels differ.

    A sample is ``(image, label)``, the image as a tensor and the label as an int, or the image alone.

    Example:
        >>> import os, tempfile
        >>> from nnlib.utils.data import IDXDataset
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "images.idx")
        ...     with open(path, "wb") as file:
        ...         _ = file.write(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 5, 6]))
        ...     IDXDataset(path)[0].tolist()
        [[5], [6]]
    """

    def __init__(self, images, labels=None, transform=None, target_transform=None):
        self.images = read_idx(images)
        self.labels = None if labels is None else read_idx(labels)
        if self.images.dim() == 0:
            raise ValueError(f"{images}: expected a dimension that counts the images, but got a scalar")
        if self.labels is not None and self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"{labels}: expected labels of shape ({len(self.images)},), one for each image of {images}, "
                f"but got {tuple(self.labels.shape)}"
            )
        self.transform = transform
        self.target_transform = target_transform

    def __getitem__(self, index):
        image = self.images[index]
        if self.transform is not None:
            image = self.transform(image)
        if self.labels is None:
            return image
        label = int(self.labels[index])
        return image, label if self.target_transform is None else self.target_transform(label)

    def __len__(self):
        return len(self.images)


def load_image(path):
    """Reads an image file with Pillow as a uint8 tensor of shape (3, height, width).

    Raises:
        ValueError: when Pillow cannot read it.
        ImportError: when Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as e:
        raise ImportError("reading images needs Pillow: pip install Pillow") from e
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise
    except Exception as e:  # Pillow raises many types on damaged files
        raise ValueError(f"{path}: cannot be read as an image ({type(e).__name__}: {e})") from e
    return nnlib.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


class ImageFolder(Dataset):
    """Images in folders that are named after their classes: ``root/cat/1.png``, ``root/dog/a/2.jpg``.

    Args:
        root (str or path): the folder of the classes' folders.
        transform (callable, optional): applied to each image.
        target_transform (callable, optional): applied to each class number.
        loader (callable, optional): reads a path (default: :func:`load_image`, by Pillow, as a uint8 tensor
            of shape (3, height, width))
        is_valid_file (callable, optional): takes a path, says whether it belongs to the data set (default: by
            the file name's extension)
        allow_empty (bool, optional): let a class have no image (default: False)

    Attributes:
        classes (list of str): sorted names.
        class_to_idx (dict): from name to number.
        samples (list): pairs of path and class number.

    Raises:
        FileNotFoundError: when there is no class, or one without an image.
        ValueError: while reading, for a damaged image.

    Example:
        >>> import os, tempfile
        >>> from nnlib.utils.data import ImageFolder
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("dog", "cat"):
        ...         os.mkdir(os.path.join(root, name))
        ...         open(os.path.join(root, name, "1.png"), "w").close()
        ...     data = ImageFolder(root, loader=os.path.basename)
        ...     data.classes, data[1]
        (['cat', 'dog'], ('1.png', 1))
    """

    def __init__(
        self,
        root,
        transform=None,
        target_transform=None,
        loader=load_image,
        is_valid_file=None,
        allow_empty=False,
    ):
        self.root = os.fspath(root)
        self.transform = transform
        self.target_transform = target_transform
        self.loader = loader
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"Couldn't find any class folder in {self.root}.")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        is_valid_file = is_valid_file or _has_image_extension
        self.samples = [
            (path, number)
            for name, number in self.class_to_idx.items()
            for path in _files_below(os.path.join(self.root, name))
            if is_valid_file(path)
        ]
        self.targets = [number for _, number in self.samples]
        empty = sorted(set(self.classes) - {self.classes[i] for i in self.targets})
        if empty and not allow_empty:
            raise FileNotFoundError(
                f"Found no valid file for the classes {', '.join(empty)}. "
                f"Supported extensions are: {', '.join(IMG_EXTENSIONS)}"
            )

    def __getitem__(self, index):
        path, number = self.samples[index]
        image = self.loader(path)
        if self.transform is not None:
            image = self.transform(image)
        return image, number if self.target_transform is None else self.target_transform(number)

    def __len__(self):
        return len(self.samples)


def _has_image_extension(path):
    return path.lower().endswith(IMG_EXTENSIONS)


def _files_below(folder):
    """All files below a folder, in an order that does not depend on the file system."""
    for parent, _, names in sorted(os.walk(folder, followlinks=True)):
        for name in sorted(names):
            yield os.path.join(parent, name)
