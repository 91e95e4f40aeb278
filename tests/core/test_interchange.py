"""NumPy, the buffer protocol and DLPack: the same memory on both sides."""

import gc

import numpy as np
import pytest

import nnlib


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
)
def test_numpy_both_ways_shares_memory(dtype):
    a = np.arange(6).reshape(2, 3).astype(dtype)
    t = nnlib.from_numpy(a)
    assert str(t.dtype) == f"torch.{dtype}" and t.shape == (2, 3)
    b = t.numpy()
    assert b.dtype == a.dtype and np.shares_memory(a, b)
    a[0, 0] = 1
    assert t[0, 0].item() == 1


def test_strided_arrays():
    a = np.arange(24.0).reshape(2, 3, 4)[:, ::2, 1:].transpose(2, 0, 1)
    t = nnlib.from_numpy(a)
    assert np.array_equal(t.numpy(), a) and t.numpy().strides == a.strides
    with pytest.raises(ValueError, match="negative"):
        nnlib.from_numpy(a[::-1])


def test_memory_outlives_its_maker():
    t = nnlib.from_numpy(np.full(1000, 7.0))
    gc.collect()
    assert t.sum().item() == 7000.0
    a = nnlib.full((1000,), 3.0).numpy()
    gc.collect()
    assert a.sum() == 3000.0


def test_numpy_refuses_gradients_and_unknown_types():
    with pytest.raises(RuntimeError, match="requires grad"):
        nnlib.ones(2, requires_grad=True).numpy()
    with pytest.raises(TypeError, match="BFloat16"):
        nnlib.ones(2).to(nnlib.bfloat16).numpy()
    with pytest.raises(TypeError):
        nnlib.from_numpy(np.array(["a"]))
    with pytest.raises(TypeError):
        nnlib.from_numpy([1, 2])


def test_read_only_arrays_warn():
    a = np.zeros(2)
    a.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        nnlib.from_numpy(a)


def test_buffer_protocol():
    t = nnlib.arange(6).reshape(2, 3)
    view = memoryview(t)
    assert view.shape == (2, 3) and view.format == "q" and view.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.asarray(t.t()).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_frombuffer():
    data = bytearray(np.arange(4, dtype="float32").tobytes())
    t = nnlib.frombuffer(data, dtype=nnlib.float32, offset=4)
    assert t.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="multiple of element size"):
        nnlib.frombuffer(bytearray(5), dtype=nnlib.float32)
    with pytest.raises(ValueError, match="must not be greater"):
        nnlib.frombuffer(data, dtype=nnlib.float32, count=5)
    with pytest.raises(TypeError, match="Python objects"):
        nnlib.frombuffer(np.array([None]), dtype=nnlib.int64)


def test_dlpack_both_ways():
    a = np.arange(6, dtype="float32").reshape(2, 3)
    t = nnlib.from_dlpack(a)
    a[0, 0] = 9
    assert t[0, 0].item() == 9
    b = np.from_dlpack(nnlib.arange(4).reshape(2, 2).t())
    assert b.tolist() == [[0, 2], [1, 3]]
    capsule = nnlib.ones(2).__dlpack__()
    nnlib.from_dlpack(capsule)
    with pytest.raises(RuntimeError, match="only once"):
        nnlib.from_dlpack(capsule)
    with pytest.raises(BufferError):
        nnlib.ones(2, requires_grad=True).__dlpack__()


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch")
    t = nnlib.from_dlpack(torch.arange(3.0).to(torch.bfloat16))
    assert t.dtype == nnlib.bfloat16 and t.tolist() == [0.0, 1.0, 2.0]
    x = nnlib.ones(2)
    y = torch.from_dlpack(x)
    y[0] = 5
    assert x[0].item() == 5
