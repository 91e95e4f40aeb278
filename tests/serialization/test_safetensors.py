"""safetensors files."""

import pytest

import nnlib
from nnlib import safetensors as files

package = pytest.importorskip("safetensors")


def test_round_trip(tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = {
        "a": nnlib.arange(6.0).view(2, 3).t(),
        "b": nnlib.ones(2, dtype=nnlib.bfloat16),
        "c": nnlib.tensor(True),
        "d": nnlib.empty(0, 2, dtype=nnlib.int16),
    }
    files.save_file(tensors, path, metadata={"made by": "a test"})
    for found in (files.load_file(path), nnlib.load(path)):
        assert sorted(found) == sorted(tensors)
        for name, t in tensors.items():
            assert (
                found[name].dtype == t.dtype
                and found[name].shape == t.shape
                and found[name].tolist() == t.tolist()
            )
    with package.safe_open(path, framework="numpy") as opened:
        assert (
            opened.metadata() == {"made by": "a test"}
            and opened.get_tensor("a").tolist() == tensors["a"].tolist()
        )


def test_load_takes_no_options_that_mean_nothing_here(tmp_path):
    path = tmp_path / "model.safetensors"
    files.save_file({"a": nnlib.ones(1)}, path)
    assert nnlib.load(path, map_location="cpu")["a"].item() == 1
    with pytest.raises(RuntimeError, match="'cuda'"):
        nnlib.load(path, map_location="cuda")
    with pytest.raises(RuntimeError, match="mmap"):
        nnlib.load(path, mmap=True)


def test_what_the_format_cannot_say_is_refused():
    t = nnlib.ones(4)
    with pytest.raises(RuntimeError, match="'a' and 'b' share memory"):
        files.save({"a": t, "b": t[1:]})
    with pytest.raises(ValueError, match="'a' is a int"):
        files.save({"a": 1})
    with pytest.raises(ValueError, match="sparse"):
        files.save({"a": nnlib.sparse_coo_tensor(nnlib.tensor([[0]]), nnlib.tensor([1.0]), (2,))})
    with pytest.raises(package.SafetensorError):
        files.load(b"not such a file")
