"""Saving and loading: what PyTorch wrote, what nnlib writes, and what holds between the tensors of a file."""

import io
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import nnlib

DATA = Path(__file__).parent / "data"
DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()


def round_trip(obj, **options):
    file = io.BytesIO()
    nnlib.save(obj, file)
    file.seek(0)
    return nnlib.load(file, **options)


def same(a, b):
    assert (
        type(a) is type(b)
        and a.dtype == b.dtype
        and a.shape == b.shape
        and a.requires_grad == b.requires_grad
    )
    assert a.tolist() == b.tolist()
    return True


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt"])
@pytest.mark.parametrize("weights_only", [True, False])
def test_reads_what_pytorch_wrote(name, weights_only):
    found = nnlib.load(DATA / name, weights_only=weights_only)
    state = found["state"]
    assert type(state) is OrderedDict and list(state) == ["weight", "bias"]
    assert type(state["weight"]) is nnlib.nn.Parameter and state["weight"].requires_grad
    assert state["weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and state["bias"].tolist() == [0.5, -0.5]
    assert found["view"].tolist() == [[4, 6], [8, 10]] and found["view"].stride() == (4, 2)
    found["base"][4] = 99.0
    assert found["view"][0, 0].item() == 99  # the view still lies in the base
    assert [t.dtype for t in found["dtypes"]] == [getattr(nnlib, name) for name in DTYPES]
    assert all(t.tolist() == [1, 0, 1] for t in found["dtypes"])
    assert found["scalar"].item() == 2.5 and found["scalar"].shape == ()
    assert found["empty"].shape == (0, 3)
    assert found["sparse"].is_sparse and found["sparse"].to_dense().tolist() == [[0, 1], [0, 0], [2, 0]]
    expected = [1, -(2**40), 2.5, True, None, "text", b"bytes", (1, (2,)), {"key": {3}}, 1 + 2j]
    assert found["plain"] == expected and type(found["plain"][3]) is bool
    assert found["size"] == (2, 3) and type(found["size"]) is nnlib.Size
    assert found["dtype"] is nnlib.bfloat16 and found["device"] == nnlib.device("cpu")


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back(dtype):
    t = nnlib.tensor([[1, 0, 1], [0, 1, 1]], dtype=getattr(nnlib, dtype))
    assert same(round_trip(t), t)


def test_views_share_memory_and_keep_their_strides():
    base = nnlib.arange(12.0)
    found = round_trip([base, base.view(3, 4).t()])
    assert found[1].stride() == (1, 4) and found[1].tolist() == base.view(3, 4).t().tolist()
    found[0][0] = -1.0
    assert found[1][0, 0].item() == -1
    assert found[0].untyped_storage().nbytes() == 48


def test_containers_and_objects_come_back():
    tensor = nnlib.zeros(2)
    obj = {
        "list": [tensor, tensor],
        3: (1.5, None, b"\x00\xff"),
        "kinds": [nnlib.Size([1, 2]), nnlib.int8, nnlib.device("cpu"), nnlib.strided],
        "set": {1, 2},
        "big": 2**70,
    }
    found = round_trip(obj)
    assert found["list"][0] is found["list"][1]
    found.pop("list"), obj.pop("list")
    assert found == obj and type(found["kinds"][0]) is nnlib.Size


def test_parameters_keep_class_flag_and_attributes():
    frozen = nnlib.nn.Parameter(nnlib.ones(2), requires_grad=False)
    tagged = nnlib.nn.Parameter(nnlib.ones(2))
    tagged.tag = "kept"
    found = round_trip([frozen, tagged])
    assert same(found[0], frozen) and same(found[1], tagged) and found[1].tag == "kept"
    leaf = round_trip(nnlib.ones(2, requires_grad=True) * 2)
    assert leaf.requires_grad and leaf.is_leaf


def test_sparse_tensors_come_back():
    t = nnlib.sparse_coo_tensor(nnlib.tensor([[0, 2]]), nnlib.tensor([1.0, 3.0]), (4,))
    found = round_trip(t)
    assert found.is_sparse and found.to_dense().tolist() == [1, 0, 3, 0]


def test_module_state_and_whole_modules():
    net = nnlib.nn.Sequential(nnlib.nn.Linear(3, 4), nnlib.nn.ReLU(), nnlib.nn.Linear(4, 1))
    x = nnlib.ones(2, 3)
    other = nnlib.nn.Sequential(nnlib.nn.Linear(3, 4), nnlib.nn.ReLU(), nnlib.nn.Linear(4, 1))
    other.load_state_dict(round_trip(net.state_dict()))
    assert other(x).tolist() == net(x).tolist()
    assert round_trip(net, weights_only=False)(x).tolist() == net(x).tolist()


def test_random_state_and_optimizer_state():
    net = nnlib.nn.Linear(2, 1)
    optimizer = nnlib.optim.AdamW(net.parameters())
    net(nnlib.ones(1, 2)).sum().backward()
    optimizer.step()
    found = round_trip({"optimizer": optimizer.state_dict(), "random": nnlib.get_rng_state()})
    drawn = nnlib.rand(3).tolist()
    nnlib.set_rng_state(found["random"])
    assert nnlib.rand(3).tolist() == drawn
    assert found["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]


def repacked(obj, changes):
    """A file of `obj` in which `changes`, functions by name, were made to some records."""
    file, result = io.BytesIO(), io.BytesIO()
    nnlib.save(obj, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            change = changes.get(name.removeprefix("archive/"), bytes)
            new.writestr(name, change(old.read(name)))
    result.seek(0)
    return result


def test_map_location():
    file = repacked(nnlib.arange(3), {"data.pkl": lambda p: p.replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:1")})
    with pytest.raises(RuntimeError, match=r"'cuda:1'.*map_location='cpu'"):
        nnlib.load(file)
    with pytest.raises(RuntimeError, match="'meta'"):
        nnlib.load(file, map_location="meta")
    seen = []
    for where in (
        "cpu",
        nnlib.device("cpu"),
        {"cuda:1": "cpu"},
        lambda storage, at: seen.append(at) or storage,
    ):
        assert nnlib.load(file, map_location=where).tolist() == [0, 1, 2]
    assert seen == ["cuda:1"]


def test_mapped_files(tmp_path):
    path = tmp_path / "big.pt"
    nnlib.save({"a": nnlib.arange(1000.0), "b": nnlib.ones(3, dtype=nnlib.bfloat16)}, path)
    found = nnlib.load(path, mmap=True)
    assert found["a"].tolist() == list(range(1000)) and found["a"].data_ptr() % 64 == 0
    found["a"][0] = 5.0  # private: not written back
    assert nnlib.load(path)["a"][0].item() == 0
    with pytest.raises(ValueError, match="file path"):
        nnlib.load(io.BytesIO(path.read_bytes()), mmap=True)


def test_big_endian_files():
    swap = {"data/0": lambda _: np.array([1, 2], dtype=">i4").tobytes(), "byteorder": lambda _: b"big"}
    assert nnlib.load(repacked(nnlib.tensor([1, 2], dtype=nnlib.int32), swap)).tolist() == [1, 2]


def test_records_are_aligned_and_checked():
    file = io.BytesIO()
    nnlib.save([nnlib.arange(5), nnlib.arange(7.0)], file)
    content = bytearray(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert names == [f"archive/{n}" for n in ("data.pkl", "byteorder", "data/0", "data/1", "version")]
    start = content.index(nnlib.arange(7.0).numpy().tobytes())
    assert start % 64 == 0
    content[start + 5] ^= 1
    with pytest.raises(RuntimeError, match="data/1.*checksum"):
        nnlib.load(io.BytesIO(content))


def test_same_memory_as_two_types_is_refused():
    t = nnlib.zeros(4)
    with pytest.raises(RuntimeError, match="different types"):
        nnlib.save([t, t.view(nnlib.int32)], io.BytesIO())


def test_storages_can_be_saved():
    t = nnlib.arange(3.0)
    (untyped,) = round_trip([t.untyped_storage()])
    assert bytes(memoryview(untyped)) == t.numpy().tobytes()
    assert round_trip(t.storage()).tolist() == [0, 1, 2]


def test_wrong_arguments():
    with pytest.raises(AttributeError, match="'write'"):
        nnlib.save(1, 3)
    with pytest.raises(AttributeError, match="'read'"):
        nnlib.load(3)
    with pytest.raises(ValueError, match="pickle_protocol"):
        nnlib.save(1, io.BytesIO(), pickle_protocol=1)
    with pytest.raises(EOFError):
        nnlib.load(io.BytesIO())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol):
    file = io.BytesIO()
    nnlib.save({"a": nnlib.arange(3), "b": b"x" * 300, "c": "y" * 300}, file, pickle_protocol=protocol)
    file.seek(0)
    assert nnlib.load(file)["a"].tolist() == [0, 1, 2]


def test_pytorch_reads_what_nnlib_wrote(tmp_path):
    torch = pytest.importorskip("torch")
    base = nnlib.arange(12.0)
    obj = {
        "base": base,
        "view": base.view(3, 4)[1:, ::2],
        "state": nnlib.nn.Linear(2, 2).state_dict(),
        "parameter": nnlib.nn.Parameter(nnlib.ones(2)),
        "dtypes": [nnlib.tensor([1, 0], dtype=getattr(nnlib, name)) for name in DTYPES],
        "sparse": nnlib.sparse_coo_tensor(nnlib.tensor([[1]]), nnlib.tensor([2.0]), (3,)),
        "rest": [nnlib.Size([2]), nnlib.float16, nnlib.device("cpu"), None, b"x"],
    }  # fmt: skip
    for mmap in (False, True):
        path = tmp_path / "model.pt"
        nnlib.save(obj, path)
        found = torch.load(path, weights_only=True, mmap=mmap)
        assert found["view"].tolist() == [[4, 6], [8, 10]] and type(found["parameter"]) is torch.nn.Parameter
        found["base"][4] = 99.0
        assert found["view"][0, 0] == 99
        assert [str(t.dtype) for t in found["dtypes"]] == [f"torch.{name}" for name in DTYPES]
        assert found["sparse"].to_dense().tolist() == [0, 2, 0]
        assert found["rest"] == [torch.Size([2]), torch.float16, torch.device("cpu"), None, b"x"]
        assert found["state"]["weight"].tolist() == obj["state"]["weight"].tolist()


def test_optimizer_states_pass_between_the_libraries(tmp_path):
    torch = pytest.importorskip("torch")

    def trained(library):
        library.manual_seed(0)
        net = library.nn.Linear(3, 2)
        optimizer = library.optim.AdamW(net.parameters())
        net(library.ones(1, 3)).sum().backward()
        optimizer.step()
        return optimizer

    for writer, reader in ((torch, nnlib), (nnlib, torch)):
        writer.save(trained(writer).state_dict(), tmp_path / "optimizer.pt")
        optimizer = trained(reader)
        optimizer.load_state_dict(reader.load(tmp_path / "optimizer.pt", weights_only=True))
        assert float(optimizer.state_dict()["state"][0]["step"]) == 1
