"""The Python object of a tensor: identity, classes, attributes, construction, printing, conversion."""

import copy
import gc
import os
import pickle
import weakref

import numpy as np
import pytest

import nnlib


def test_one_object_per_tensor():
    x = nnlib.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad is x.grad
    x.grad.mark = "kept"
    gc.collect()
    assert x.grad.mark == "kept"


def test_object_survives_while_only_the_core_holds_it():
    class Marked(nnlib.Tensor):
        pass

    leaf = nnlib.Tensor._make_subclass(Marked, nnlib.ones(2), True)
    leaf.note = [1, 2]
    loss = (leaf * 3).sum()
    node = loss.grad_fn.next_functions[0][0].next_functions[0][0]
    del leaf
    gc.collect()
    back = node.variable
    assert type(back) is Marked and back.note == [1, 2]
    loss.backward()
    assert node.variable.grad.tolist() == [3.0, 3.0]


def test_unreachable_tensors_are_freed():
    x = nnlib.ones(2, requires_grad=True)
    ref = weakref.ref(x)
    y = (x * x).sum()
    del x
    gc.collect()
    assert ref() is not None  # the graph holds it
    del y
    gc.collect()
    assert ref() is None


def test_cycle_through_a_hook_is_collected():
    x = nnlib.ones(2, requires_grad=True)
    x.register_hook(lambda g, x=x: g)
    ref = weakref.ref(x)
    del x
    gc.collect()
    assert ref() is None


def test_cycle_through_attributes_is_collected():
    a, b = nnlib.ones(1), nnlib.ones(1)
    a.other, b.other = b, a
    refs = weakref.ref(a), weakref.ref(b)
    del a, b
    gc.collect()
    assert refs[0]() is None and refs[1]() is None


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (3, nnlib.int64, ()),
        (3.0, nnlib.float32, ()),
        (True, nnlib.bool, ()),
        ([1, 2.5], nnlib.float32, (2,)),
        ([[True], [False]], nnlib.bool, (2, 1)),
        ([], nnlib.float32, (0,)),
        ([[], []], nnlib.float32, (2, 0)),
        (np.zeros((2, 3), "int16"), nnlib.int16, (2, 3)),
        ([np.float64(1.0), 2], nnlib.float64, (2,)),
        ((range(3), range(3)), nnlib.int64, (2, 3)),
    ],
)
def test_tensor_infers_type_and_sizes(data, dtype, shape):
    t = nnlib.tensor(data)
    assert t.dtype == dtype and t.shape == shape


def test_tensor_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match="expected sequence of length 2 at dim 1"):
        nnlib.tensor([[1, 2], [3]])
    with pytest.raises(TypeError, match="invalid data type"):
        nnlib.tensor(["a"])
    with pytest.raises(RuntimeError, match="overflow"):
        nnlib.tensor([300], dtype=nnlib.int8)
    nested = []
    nested.append(nested)
    with pytest.raises(ValueError, match="too many dimensions"):
        nnlib.tensor(nested)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nnlib.tensor([1, 2, 3]), "tensor([1, 2, 3])"),
        (lambda: nnlib.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: nnlib.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: nnlib.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
        (lambda: nnlib.tensor([float("nan"), float("inf"), -1.0]), "tensor([nan, inf, -1.])"),
        (lambda: nnlib.tensor([float("nan"), float("-inf"), 1.0, 0.0]), "tensor([nan, -inf, 1., 0.])"),
        (lambda: nnlib.tensor([float("inf"), 0.0]), "tensor([inf, 0.])"),
        (lambda: nnlib.tensor(2.5), "tensor(2.5000)"),
        (lambda: nnlib.tensor([]), "tensor([])"),
        (lambda: nnlib.zeros((0, 3)), "tensor([], size=(0, 3))"),
        (lambda: nnlib.tensor([1.0], dtype=nnlib.float64), "tensor([1.], dtype=torch.float64)"),
        (lambda: nnlib.tensor([True, False]), "tensor([ True, False])"),
        (lambda: nnlib.tensor([[1.0, -2.0], [3.0, 4.0]]), "tensor([[ 1., -2.],\n        [ 3.,  4.]])"),
        (lambda: nnlib.ones(2, requires_grad=True), "tensor([1., 1.], requires_grad=True)"),
        (lambda: nnlib.ones(2, requires_grad=True) * 2, "tensor([2., 2.], grad_fn=<MulBackward0>)"),
        (
            lambda: nnlib.arange(1001),
            "tensor([   0,    1,    2,  ...,  998,  999, 1000])",
        ),
        (lambda: nnlib.tensor(1.0, dtype=nnlib.bfloat16), "tensor(1., dtype=torch.bfloat16)"),
    ],
)
def test_printing(make, text):
    assert repr(make()) == text


def test_printing_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    arrays = [
        rng.standard_normal((2, 3, 4)).astype("float32"),
        rng.standard_normal((40, 50)).astype("float32") * 1e5,
        rng.integers(-5, 1000, (3, 7)),
        rng.standard_normal(30).astype("float64"),
        np.array([[1e9, 1.0], [0.0, -3.0]], "float32"),
        np.zeros((2, 0, 3), "float32"),
        rng.standard_normal((1, 1100)).astype("float32"),
        np.zeros(40, "float32"),
        np.where(rng.standard_normal((3, 40)) > 0, np.nan, rng.standard_normal((3, 40))),
        np.where(rng.standard_normal(30) > 0, -np.inf, 1e6),
    ]
    for a in arrays:
        assert repr(nnlib.from_numpy(a)) == repr(torch.from_numpy(a))


def test_size():
    s = nnlib.zeros(2, 3, 4).shape
    assert repr(s) == "torch.Size([2, 3, 4])" and s.numel() == 24 and isinstance(s[1:], nnlib.Size)
    assert s == (2, 3, 4) and pickle.loads(pickle.dumps(s)) == s


def test_numbers_from_tensors():
    assert int(nnlib.tensor(3.7)) == 3 and float(nnlib.tensor(2)) == 2.0
    assert [10, 20, 30][nnlib.tensor(1)] == 20
    assert f"{nnlib.tensor(1.23456):.2f}" == "1.23"
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(nnlib.ones(2))
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        nnlib.ones(2).item()
    with pytest.raises(TypeError, match="0-d tensor"):
        len(nnlib.tensor(1))


def test_to():
    x = nnlib.ones(2)
    assert x.to(nnlib.float32) is x and x.to("cpu") is x
    assert x.to(nnlib.float64).dtype == nnlib.float64
    assert x.to(x, copy=True) is not x
    assert x.to(nnlib.int32).long().dtype == nnlib.int64
    assert nnlib.zeros(1, 2, 3, 4).to(memory_format=nnlib.channels_last).stride() == (24, 1, 8, 2)
    with pytest.raises(RuntimeError, match="CPUs only"):
        x.to("cuda")
    with pytest.raises(TypeError):
        x.to()


def test_copies():
    x = nnlib.ones(2, requires_grad=True)
    x.note = ["n"]
    y = copy.deepcopy(x)
    assert y.requires_grad and y.note == ["n"] and y.note is not x.note
    with nnlib.no_grad():
        y.add_(1)
    assert x.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


def test_old_constructors():
    t = nnlib.LongTensor([[0, 1], [2, 3]])
    assert t.dtype == nnlib.int64 and isinstance(t, nnlib.LongTensor) and not isinstance(t, nnlib.FloatTensor)
    assert nnlib.FloatTensor(2, 3).shape == (2, 3) and t.type() == "torch.LongTensor"
    assert t.type(nnlib.FloatTensor).dtype == nnlib.float32


def test_errors_name_what_came():
    with pytest.raises(TypeError, match="must be"):
        nnlib.zeros(2).sum(dim="x")
    with pytest.raises(TypeError, match="unexpected keyword"):
        nnlib.exp(nnlib.zeros(2), wrong=1)
    with pytest.raises(AttributeError):
        nnlib.no_such_function  # noqa: B018


def test_operators_and_constants_are_copied_and_pickled_by_name():
    for value in (nnlib._C.gelu, nnlib.Tensor.add, nnlib.float32, nnlib.strided, nnlib.channels_last):
        assert copy.deepcopy(value) is value and pickle.loads(pickle.dumps(value)) is value


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork beside threads, in later Pythons
def test_shared_memory_is_seen_by_forked_processes():
    layer = nnlib.nn.Linear(2, 3)
    before = layer.weight.tolist()
    assert layer.share_memory() is layer and layer.weight.is_shared() and layer.weight.tolist() == before
    pid = os.fork()
    if pid == 0:
        with nnlib.no_grad():
            layer.weight.fill_(7)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert layer.weight.tolist() == [[7.0, 7.0]] * 3
    assert nnlib.zeros(0).share_memory_().shape == (0,)


def test_an_object_that_is_used_again_has_nothing_of_the_one_before():
    died = []
    for i in range(200):
        t = nnlib.zeros(2)
        assert not t.__dict__ and not weakref.getweakrefcount(t)
        assert gc.is_tracked(t) and type(t) is nnlib.Tensor
        t.mark = i
        ref = weakref.ref(t, lambda _, i=i: died.append(i))
        u = t + 1
        del t
        assert ref() is None and died[-1] == i
        assert not hasattr(u, "mark") and not u.requires_grad
    held = [nnlib.zeros(1) for _ in range(300)]  # more than are kept for reuse
    assert len({id(t) for t in held}) == 300
    del held
    assert not any(hasattr(nnlib.zeros(1), "mark") for _ in range(100))


def test_a_cycle_through_an_object_that_is_used_again_is_collected():
    nnlib.zeros(1)
    t = nnlib.zeros(1)
    t.cycle = [t]
    ref = weakref.ref(t)
    del t
    gc.collect()
    assert ref() is None
