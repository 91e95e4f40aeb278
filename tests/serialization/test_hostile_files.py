"""Files from outside are never trusted: they get an error, run nothing and read only what is theirs."""

import io
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path

import pytest

import nnlib

DATA = Path(__file__).parent / "data"


class Evil:
    def __reduce__(self):
        return os.system, ("echo broken > broken",)


class Config:
    def __init__(self, width):
        self.width = width


def archive(data, records=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("archive/data.pkl", data)
        out.writestr("archive/byteorder", "little")
        out.writestr("archive/version", "3\n")
        for name, content in dict(records).items():
            out.writestr(f"archive/data/{name}", content)
    file.seek(0)
    return file


def tensor_pickle(
    numel="K\x06", offset="K\x00", size="K\x02K\x03\x86", stride="K\x03K\x01\x86", kind="FloatStorage"
):
    text = (
        f"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n{kind}\nX\x01\0\0\x000"
        f"X\x03\0\0\0cpu{numel}tQ{offset}{size}{stride}\x89ccollections\nOrderedDict\n)RtR."
    )
    return text.encode("latin1")


LONG = "\x8a\x08"  # the opcode of a number of eight bytes
HUGE = LONG + "\x00\x00\x00\x00\x00\x00\x00\x40"


def test_the_plain_tensor_loads():
    found = nnlib.load(archive(tensor_pickle(), {"0": struct.pack("<6f", *range(6))}))
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "change",
    [
        {"numel": "K\x07"},
        {"numel": HUGE},
        {"numel": "J\xff\xff\xff\xff"},
        {"offset": "K\x01"},
        {"offset": HUGE},
        {"offset": "J\xff\xff\xff\xff"},
        {"size": "K\x03K\x03\x86"},
        {"size": f"{HUGE}K\x08\x86"},
        {"size": "J\xff\xff\xff\xffK\x03\x86"},
        {"stride": "K\x04K\x01\x86"},
        {"stride": f"{HUGE}K\x01\x86"},
        {"stride": "J\xff\xff\xff\xffK\x01\x86"},
        {"stride": "K\x01\x85"},
        {"kind": "DoubleStorage"},
        {"kind": "QInt8Storage"},
        {"size": "X\x01\0\0\0a"},
        {"offset": "N"},
    ],
)
def test_tensors_cannot_reach_outside_their_storage(change):
    with pytest.raises((RuntimeError, pickle.UnpicklingError, OverflowError)):
        nnlib.load(archive(tensor_pickle(**change), {"0": bytes(24)}))


def test_sparse_indices_are_checked():
    file = io.BytesIO()
    nnlib.save(nnlib.sparse_coo_tensor(nnlib.tensor([[1]]), nnlib.tensor([2.0]), (3,)), file)
    content = file.getvalue()
    start = content.index(struct.pack("<q", 1), content.index(b"data/0"))
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        records = {n.removeprefix("archive/data/"): old.read(n) for n in old.namelist() if "/data/" in n}
        data = old.read("archive/data.pkl")
    assert start > 0 and records["0"] == struct.pack("<q", 1)
    with pytest.raises(RuntimeError):
        nnlib.load(archive(data, {**records, "0": struct.pack("<q", 1000)})).to_dense()


@pytest.mark.parametrize("protocol", [2, 4])
def test_calls_are_refused_and_named(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match=r"GLOBAL (posix|nt)\.system"):
        nnlib.load(archive(pickle.dumps(Evil(), protocol)))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.",
        b"\x80\x02cnnlib._C\nempty\nK\x01\x85R.",
        b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R.",  # a value that is not there to be called
        b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\0\0\0aK\x01sb0ctorch._utils\n_rebuild_tensor_v2\n)\x81.",
        b"\x80\x02]X\x01\0\0\0aK\x01s.",  # item of a list
        b"\x80\x02}K\x01a.",  # append to a dict
        b"\x80\x02]}b.",  # attributes of a list
        b"\x80\x02K\x01\x85Q.",  # a reference to something that is no storage
        b"\x80\x02R.",  # an empty stack
        b"\x80\x02t.",  # a group that was not opened
        b"\x80\x02h\x07.",  # a memory cell that was not set
        b"\x80\x02\x82\x01.",  # the extension registry
        b"\x80\x02X\xff\xff\xff\xffa.",
        b"\x80\x02}]K\x01s.",  # a list as key
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0punic\x86R.",
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\nset\nctorch\nTensor\n)NtR.",
    ],
)
def test_broken_and_disguised_pickles_are_refused(data):
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        nnlib.load(archive(data))


def test_deeply_nested_keys_do_not_overflow_the_stack():
    with pytest.raises(pickle.UnpicklingError):
        nnlib.load(archive(b"\x80\x02}K\x01" + b"\x85" * 200_000 + b"K\x01s."))


def test_safe_globals():
    data = pickle.dumps(Config(3), 2)
    with pytest.raises(pickle.UnpicklingError, match=r"add_safe_globals\(\[Config\]\)"):
        nnlib.load(archive(data))
    with nnlib.serialization.safe_globals([Config]):
        assert nnlib.serialization.get_safe_globals() == [Config]
        assert nnlib.load(archive(data)).width == 3
    assert nnlib.serialization.get_safe_globals() == []
    nnlib.serialization.add_safe_globals([(Config, "elsewhere.Config")])
    try:
        assert nnlib.load(archive(data.replace(Config.__module__.encode(), b"elsewhere"))).width == 3
    finally:
        nnlib.serialization.clear_safe_globals()


def test_a_whole_module_needs_trust():
    file = io.BytesIO()
    nnlib.save(nnlib.nn.Linear(2, 2), file)
    file.seek(0)
    with pytest.raises(pickle.UnpicklingError, match=r"nnlib\.nn\.modules\.linear\.Linear"):
        nnlib.load(file)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt"])
def test_damaged_files_raise(name):
    """Every cut and many changed bytes: an exception or a sound object, never a crash."""
    content = (DATA / name).read_bytes()
    rng = random.Random(0)
    for end in range(0, len(content), 97):
        with pytest.raises((RuntimeError, pickle.UnpicklingError, EOFError)):
            nnlib.load(io.BytesIO(content[:end]))
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 4])):
            changed[rng.randrange(len(content))] = rng.randrange(256)
        try:
            repr(nnlib.load(io.BytesIO(changed), map_location="cpu"))
        except (RuntimeError, pickle.UnpicklingError, EOFError, MemoryError):
            pass
