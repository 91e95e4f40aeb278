"""Tensors that change places, random inputs for tests, names that appear when asked for."""

import subprocess
import sys
import weakref

import pytest

import nnlib
from nnlib.testing import make_tensor
from nnlib.utils import dlpack, swap_tensors


def test_swapped_tensors_take_all_of_each_other():
    a = nnlib.nn.Parameter(nnlib.ones(2))
    (a * 3).sum().backward()
    a.name = "weight"
    b = nnlib.zeros(2, 3, dtype=nnlib.int8)
    swap_tensors(a, b)
    assert type(a) is nnlib.Tensor and a.dtype == nnlib.int8 and a.shape == (2, 3) and not a.requires_grad
    assert type(b) is nnlib.nn.Parameter and b.tolist() == [1, 1] and b.requires_grad
    assert b.grad.tolist() == [3, 3] and a.grad is None and b.name == "weight" and not hasattr(a, "name")


def test_what_cannot_be_swapped():
    x = nnlib.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="t2 because it is not a leaf"):
        swap_tensors(nnlib.ones(2), x * 2)
    held = nnlib.ones(2)
    _ref = weakref.ref(held)
    with pytest.raises(RuntimeError, match="weakref"):
        swap_tensors(held, nnlib.ones(2))
    with pytest.raises(TypeError, match="expected t2 to be a Tensor"):
        swap_tensors(nnlib.ones(2), 1)


def test_dlpack_shares_memory():
    x = nnlib.arange(3)
    y = dlpack.from_dlpack(dlpack.to_dlpack(x))
    y[0] = 7
    assert x[0] == 7 and x.__dlpack_device__()[0] == dlpack.DLDeviceType.kDLCPU


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int8", "uint8", "bool"]
)
def test_made_tensors_keep_to_their_range(dtype):
    nnlib.manual_seed(0)
    dtype = getattr(nnlib, dtype)
    t = make_tensor(40, 50, dtype=dtype, device="cpu")
    low = 0 if dtype in (nnlib.bool, nnlib.uint8) else -9
    high = 1 if dtype == nnlib.bool else 9
    assert t.shape == (40, 50) and t.dtype == dtype and t.double().min() >= low and t.double().max() <= high
    assert t.double().max() > high - 1.1 and t.double().min() < low + 1.1
    t = make_tensor((7, 5), dtype=dtype, device="cpu", low=0, high=2, exclude_zero=True, noncontiguous=True)
    assert t.shape == (7, 5) and not t.is_contiguous() and bool((t != 0).all())


def test_impossible_ranges():
    make = lambda **options: make_tensor(3, dtype=nnlib.int8, device="cpu", **options)  # noqa: E731
    for options, message in (
        ({"low": 3, "high": 3}, "must be less than"),
        ({"low": 500, "high": 600}, "only supports"),
        ({"low": float("nan")}, "cannot be NaN"),
        ({"requires_grad": True}, "not supported for boolean and integral"),
        ({"noncontiguous": True, "memory_format": nnlib.contiguous_format}, "mutually exclusive"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**options)
    with pytest.warns(FutureWarning, match="low==high"):
        assert make_tensor(2, dtype=nnlib.float32, device="cpu", low=1, high=1).tolist() == [1, 1]


NAMES = [
    "utils.data.DataLoader", "utils.checkpoint.checkpoint", "utils.dlpack.to_dlpack", "nn.utils.rnn.pad_sequence",
    "nn.attention.sdpa_kernel", "optim.lr_scheduler.StepLR", "optim.swa_utils.AveragedModel", "amp.GradScaler",
    "distributed.is_available", "multiprocessing.spawn", "autograd.functional.jacobian", "testing.make_tensor",
    "types.Device", "backends.conv", "linalg.norm", "random.fork_rng", "futures.Future",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_one_import_is_enough(name):
    """In a process of its own: here others have imported the modules already."""
    code = f"import nnlib\nnnlib.{name}\nassert {name.split('.')[-2]!r} in dir(nnlib.{'.'.join(name.split('.')[:-2])})"
    code = code.replace("dir(nnlib.)", "dir(nnlib)")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_alone_loads_little():
    code = (
        "import sys, nnlib\n"
        "heavy = {'numpy', 'multiprocessing', 'threading', 'typing', 'nnlib.nn', 'nnlib.optim', 'nnlib.linalg'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
