"""Readers of files: right ones, and all kinds of damage."""

import gzip
import struct

import numpy as np
import pytest

import nnlib
from nnlib.utils.data import DataLoader, IDXDataset, ImageFolder, read_idx

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def idx_bytes(array):
    head = struct.pack(">BBBB", 0, 0, CODES[array.dtype.name], array.ndim)
    return (
        head
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def write(path, content, packed=False):
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", CODES)
def test_idx(tmp_path, dtype, packed):
    array = (np.arange(24).reshape(2, 3, 4) - 5).astype(dtype)
    got = read_idx(write(tmp_path / "a", idx_bytes(array), packed))
    assert got.dtype == getattr(nnlib, dtype)
    np.testing.assert_array_equal(got.numpy(), array)


def test_idx_of_no_values(tmp_path):
    assert read_idx(write(tmp_path / "a", idx_bytes(np.zeros((0, 28, 28), np.uint8)))).shape == (0, 28, 28)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "expected 4 bytes of the magic number, but the file ends after 0"),
        (b"\0\0\x08", "the file ends after 3"),
        (b"\x01\0\x08\x01", "not an IDX file"),
        (b"\0\0\x0a\x01", "not an IDX file"),
        (b"PK\x03\x04 some zip", "not an IDX file"),
        (b"\0\0\x08\x02\0\0\0\x01", "expected 8 bytes of sizes"),
        (b"\0\0\x08\x01\0\0\0\x05abcd", "but the file ends after 4"),
        (b"\0\0\x08\x01\0\0\0\x03abcd", "but there are more"),
        (b"\0\0\x0e\xff" + b"\xff" * 1020, "the file ends after 0"),
        (b"\0\0\x08\x21" + b"\0\0\0\x01" * 33 + b"x", "expected at most 32 dimensions, but got 33"),
        (b"\0\0\x08\x02" + b"\0\0\0\0" + b"\xff\xff\xff\xff", None),
    ],
)
def test_malformed_idx(tmp_path, content, text, packed):
    path = write(tmp_path / "bad.idx", content, packed)
    if text is None:
        assert read_idx(path).numel() == 0
        return
    with pytest.raises(ValueError) as e:
        read_idx(path)
    assert text in str(e.value) and "bad.idx" in str(e.value)


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(idx_bytes(np.arange(1000, dtype=np.int32)))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for i, content in enumerate([whole[: len(whole) // 2], bytes(flipped), whole[:12]]):
        with pytest.raises(ValueError):
            read_idx(write(tmp_path / str(i), content))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")


def test_idx_dataset(tmp_path):
    images = np.random.RandomState(0).randint(0, 255, (5, 4, 4)).astype(np.uint8)
    paths = [
        write(tmp_path / "images", idx_bytes(images), True),
        write(tmp_path / "labels", idx_bytes(np.array([3, 1, 4, 1, 5], np.uint8))),
    ]
    data = IDXDataset(*paths)
    image, label = data[2]
    assert len(data) == 5 and label == 4 and image.tolist() == images[2].tolist()
    data = IDXDataset(*paths, transform=lambda x: x.float() / 255, target_transform=lambda y: -y)
    batch, labels = next(iter(DataLoader(data, batch_size=5)))
    assert batch.shape == (5, 4, 4) and batch.max().item() <= 1 and labels.tolist() == [-3, -1, -4, -1, -5]
    assert IDXDataset(paths[0])[0].shape == (4, 4)
    short = write(tmp_path / "short", idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(ValueError, match=r"expected labels of shape \(5,\), one for each image"):
        IDXDataset(paths[0], short)
    with pytest.raises(ValueError, match="expected a dimension that counts the images"):
        IDXDataset(write(tmp_path / "scalar", b"\0\0\x08\0x"))


@pytest.fixture
def image_root(tmp_path):
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: no images")
    for name, color in (("cat", (255, 0, 0)), ("ant", (0, 255, 0))):
        (tmp_path / name / "deep").mkdir(parents=True)
        for i, place in enumerate(("b.png", "a.PNG", "deep/c.bmp")):
            Image.new("RGB", (3 + i, 2), color).save(tmp_path / name / place)
        (tmp_path / name / "notes.txt").write_text("no image")
    return tmp_path


def test_image_folder(image_root):
    data = ImageFolder(image_root)
    assert data.classes == ["ant", "cat"] and data.class_to_idx == {"ant": 0, "cat": 1}
    assert [p[len(str(image_root)) + 1 :] for p, _ in data.samples[:3]] == [
        "ant/a.PNG",
        "ant/b.png",
        "ant/deep/c.bmp",
    ]
    image, label = data[4]
    assert label == 1 and image.dtype == nnlib.uint8 and image.shape == (3, 2, 3)
    assert image[:, 1, 2].tolist() == [255, 0, 0]
    data = ImageFolder(image_root, transform=lambda x: x.float().mean(), target_transform=str)
    assert data[0][0].item() == pytest.approx(85) and data[0][1] == "0"
    only = ImageFolder(image_root, is_valid_file=lambda p: p.endswith(".bmp"))
    assert len(only) == 2 and only.targets == [0, 1]


def test_damaged_images(image_root):
    whole = (image_root / "cat" / "b.png").read_bytes()
    for i, content in enumerate([b"", b"not an image", whole[:40], whole[:-20]]):
        path = image_root / "cat" / "b.png"
        path.write_bytes(content)
        data = ImageFolder(image_root)
        if i < 3:
            with pytest.raises(ValueError, match="b.png: cannot be read as an image"):
                data[4]


def test_folder_errors(image_root, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        ImageFolder(tmp_path_factory.mktemp("empty"))
    (image_root / "dog").mkdir()
    with pytest.raises(FileNotFoundError, match="Found no valid file for the classes dog"):
        ImageFolder(image_root)
    assert ImageFolder(image_root, allow_empty=True).classes == ["ant", "cat", "dog"]
