"""Regions of mixed precision: types, gradients, the cache of casts, nesting, threads and custom functions."""

import gc
import threading
import warnings
import weakref

import pytest
from op_cases import CASES

import nnlib
import nnlib.nn.functional as F
from nnlib import nn

try:
    import torch
except ImportError:
    torch = None

BF16, FP32 = nnlib.bfloat16, nnlib.float32


def region(**kwargs):
    return nnlib.autocast("cpu", **kwargs)


# ---- the types of results


@pytest.mark.parametrize("start", [FP32, BF16], ids=["float32", "bfloat16"])
def test_lists(start):
    x, w = nnlib.randn(3, 4, 4).to(start), nnlib.randn(4, 4).to(start)
    image, filters = nnlib.randn(1, 2, 5, 5).to(start), nnlib.randn(3, 2, 3, 3).to(start)
    p = nnlib.rand(3, 4).to(start)
    with region():
        for result in (
            x @ w,
            F.linear(x, w),
            x.bmm(x),
            nnlib.einsum("bij,jk->bik", x, w),
            F.conv2d(image, filters),
        ):
            assert result.dtype == BF16
        assert F.scaled_dot_product_attention(x, x, x).dtype == BF16
        for result in (
            F.mse_loss(p, p),
            F.cross_entropy(p, nnlib.arange(3)),
            p.prod(),
            F.soft_margin_loss(p, p),
        ):
            assert result.dtype == FP32
        for result in (x + x, x.exp(), x.softmax(-1), x.sum(), F.layer_norm(x, (4,))):
            assert result.dtype == start
        assert nnlib.cat([x, nnlib.zeros(1, 4, 4)]).dtype == FP32
        assert nnlib.stack([x, x.to(FP32)]).dtype == FP32


def test_float64_and_integers_are_left_alone():
    d, i = nnlib.ones(2, 2, dtype=nnlib.float64), nnlib.ones(2, 2, dtype=nnlib.int64)
    with region():
        assert (d @ d).dtype == nnlib.float64
        assert (i @ i).dtype == nnlib.int64
        assert F.mse_loss(d, d).dtype == nnlib.float64


def test_out_and_in_place_are_not_cast():
    a, b = nnlib.ones(2, 2), nnlib.ones(2, 2)
    with region():
        assert nnlib.mm(a, b, out=nnlib.empty(2, 2)).dtype == FP32
        assert a.addmm_(b, b).dtype == FP32


# One result of these cases is wider than PyTorch's, another is of a layer that PyTorch computes in bfloat16 only on
# processors that have it.
EXCEPTIONS = ("linalg.matrix_power negative", "lstm layers")


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("start", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dtype_as_pytorch(case, start):
    def dtype_of(lib):
        made = [lib.from_numpy(a.copy().reshape(a.shape or (1,))).reshape(a.shape) for a in case.arrays()]
        made = [t.to(getattr(lib, start)) if t.is_floating_point() else t for t in made]
        with warnings.catch_warnings(), lib.autocast("cpu", dtype=lib.bfloat16):
            warnings.simplefilter("ignore")
            return str(case.call(lib, *made).dtype)

    if case.name.startswith(EXCEPTIONS):
        pytest.skip("differs on purpose")
    try:
        want = dtype_of(torch)
    except (RuntimeError, NotImplementedError):
        pytest.skip("PyTorch has no such kernel")
    assert dtype_of(nnlib) == want


# ---- values and gradients


def test_values_are_those_of_the_cast_operands():
    x, w, b = nnlib.randn(5, 7), nnlib.randn(3, 7), nnlib.randn(3)
    with region():
        got = F.linear(x, w, b)
    assert nnlib.equal(got, F.linear(x.to(BF16), w.to(BF16), b.to(BF16)))


def test_gradients_arrive_in_the_parameters_type():
    nnlib.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3))
    x, y = nnlib.randn(4, 2, 5, 5), nnlib.tensor([0, 1, 2, 1])
    F.cross_entropy(model(x), y).backward()
    want = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    with region():
        loss = F.cross_entropy(model(x), y)
    assert loss.dtype == FP32
    loss.backward()
    for p, g in zip(model.parameters(), want, strict=True):
        assert p.grad.dtype == FP32
        assert (p.grad - g).abs().max() < 0.05 * g.abs().max() + 0.02


LAYERS = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (5, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), (2, 4, 3, 3)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3, 3)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 3, 3)),
    "LayerNorm": (lambda: nn.LayerNorm(4), (3, 4)),
    "RMSNorm": (lambda: nn.RMSNorm(4), (3, 4)),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(4, 2), (3, 2, 4)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 8), (3, 2, 4)),
    "LSTM": (lambda: nn.LSTM(4, 3), (5, 2, 4)),
    "GRU": (lambda: nn.GRU(4, 3), (5, 2, 4)),
    "RNN": (lambda: nn.RNN(4, 3), (5, 2, 4)),
    "LSTMCell": (lambda: nn.LSTMCell(4, 3), (2, 4)),
    "Bilinear": (lambda: nn.Bilinear(4, 4, 3), (2, 4)),
    "PReLU": (lambda: nn.PReLU(), (2, 4)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 2, 3), (2, 4, 3, 3)),
}


@pytest.mark.parametrize("start", [FP32, BF16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_either_type(name, start):
    """A layer of float32 parameters takes float32 and what a layer before it made of bfloat16."""
    if name == "Bilinear" and start == BF16:
        pytest.skip("on no list: PyTorch refuses mixed operands too")
    make, shape = LAYERS[name]
    layer, x = make(), nnlib.randn(shape).to(start)
    with region():
        extra = {"MultiheadAttention": (x, x), "Bilinear": (x,)}.get(name, ())
        y = layer(x, *extra)
    y = y[0] if isinstance(y, tuple) else y
    y.float().sum().backward()
    for p in layer.parameters():
        assert p.grad is not None and p.grad.dtype == FP32


@pytest.mark.parametrize("state", [FP32, BF16], ids=["float32", "bfloat16"])
def test_a_recurrent_state_keeps_its_type(state):
    x, h = nnlib.randn(5, 2, 4), nnlib.zeros(1, 2, 3, dtype=state)
    with region():
        assert nn.GRU(4, 3)(x, h)[0].dtype == state
        assert nn.GRUCell(4, 3)(x[0], h[0]).dtype == state
        assert [t.dtype for t in nn.LSTMCell(4, 3)(x[0], (h[0], h[0]))] == [state, state]
        packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3])
        assert nn.LSTM(4, 3)(packed, (h, h))[0].data.dtype == state
        assert nn.LSTM(4, 3)(x, (h, h))[0].dtype == BF16
        assert nn.RNN(4, 3)(x, h)[0].dtype == BF16


def test_backward_through_one_cast_twice():
    """The cast of a weight is shared by two losses of a region, each with a backward pass of its own."""
    w = nnlib.ones(3, 3, requires_grad=True)
    with region():
        for _ in range(2):
            (nnlib.ones(2, 3) @ w).sum().backward()
    assert nnlib.equal(w.grad, nnlib.full((3, 3), 4.0))


# ---- the cache


def casts_of(w, times=2):
    """How many different casts of w's memory `times` products of a region use."""
    with region():
        results = [nnlib.ones(1, 2) @ w for _ in range(times)]
    return len({r.grad_fn.next_functions[1][0] for r in results})


def test_a_weight_is_cast_once():
    assert casts_of(nnlib.ones(2, 2, requires_grad=True)) == 1


def test_other_tensors_are_not_kept():
    w = nnlib.ones(2, 2, requires_grad=True)
    assert casts_of(w * 1) == 2
    with region(cache_enabled=False):
        before = nnlib.is_autocast_cache_enabled()
        a, b = nnlib.ones(1, 2) @ w, nnlib.ones(1, 2) @ w
    assert not before
    assert a.grad_fn.next_functions[1][0] is not b.grad_fn.next_functions[1][0]


def test_a_changed_weight_is_cast_again():
    w = nnlib.ones(2, 2, requires_grad=True)
    with region():
        before = nnlib.ones(1, 2) @ w
        with nnlib.no_grad():
            w.mul_(2)
        after = nnlib.ones(1, 2) @ w
    assert nnlib.equal(after, 2 * before)


def test_a_cast_without_history_does_not_serve_training():
    w = nnlib.ones(2, 2, requires_grad=True)
    with region():
        with nnlib.no_grad():
            nnlib.ones(1, 2) @ w
        (nnlib.ones(1, 2) @ w).sum().backward()
    assert w.grad is not None


def test_the_outermost_region_forgets():
    w = nnlib.ones(2, 2, requires_grad=True)
    with region():
        with region():
            x = nnlib.ones(1, 2) @ w
        y = nnlib.ones(1, 2) @ w
    with region():
        z = nnlib.ones(1, 2) @ w
    cast = [r.grad_fn.next_functions[1][0] for r in (x, y, z)]
    assert cast[0] is cast[1] and cast[1] is not cast[2]
    gone = weakref.ref(w)
    del w, x, y, z, cast
    gc.collect()
    assert gone() is None


def test_a_long_region_lets_weights_go():
    with region():
        alive = []
        for _ in range(300):
            w = nnlib.ones(2, 2, requires_grad=True)
            nnlib.ones(1, 2) @ w
            alive.append(weakref.ref(w))
            del w
        gc.collect()
        assert sum(r() is not None for r in alive) < 200


# ---- the switches


def test_nesting():
    x = nnlib.ones(2, 2)
    with region():
        with region(enabled=False):
            assert not nnlib.is_autocast_enabled("cpu")
            assert (x @ x).dtype == FP32
        with region(dtype=nnlib.float16):
            assert nnlib.get_autocast_dtype("cpu") == nnlib.float16
            assert (x @ x).dtype == nnlib.float16
        assert (x @ x).dtype == BF16
    assert not nnlib.is_autocast_enabled("cpu")
    assert nnlib.get_autocast_dtype("cpu") == BF16
    assert (x @ x).dtype == FP32


def test_an_error_switches_back():
    with pytest.raises(ZeroDivisionError), region():
        1 / 0  # noqa: B018
    assert not nnlib.is_autocast_enabled("cpu")


def test_decorator_and_reuse():
    @nnlib.autocast("cpu", dtype=BF16)
    def product(x, depth=1):
        """Doc."""
        return product(x, depth - 1) if depth else x @ x

    x = nnlib.ones(2, 2)
    assert product(x).dtype == BF16 and product(x).dtype == BF16
    assert product.__doc__ == "Doc."
    once = region()
    with once, once:
        assert nnlib.is_autocast_enabled("cpu")
    assert not nnlib.is_autocast_enabled("cpu")


def test_switches_by_hand():
    nnlib.set_autocast_enabled("cpu", True)
    try:
        assert (nnlib.ones(2, 2) @ nnlib.ones(2, 2)).dtype == BF16
    finally:
        nnlib.set_autocast_enabled("cpu", False)
    nnlib.set_autocast_dtype("cpu", nnlib.float16)
    assert nnlib.get_autocast_dtype("cpu") == nnlib.float16
    nnlib.set_autocast_dtype("cpu", BF16)
    assert nnlib.autocast_increment_nesting() == 1 and nnlib.autocast_decrement_nesting() == 0
    assert nnlib.is_autocast_enabled() is False  # without a device type: CUDA
    nnlib.clear_autocast_cache()


def test_errors():
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        nnlib.autocast(3)
    with pytest.raises(RuntimeError, match="at start of device string: foo"):
        nnlib.autocast("foo")
    with pytest.raises(TypeError, match="must be bool, not int"):
        nnlib.set_autocast_enabled("cpu", 1)
    with pytest.raises(TypeError, match="must be str, not int"):
        nnlib.is_autocast_enabled(1)
    with pytest.raises(TypeError, match=r"must be torch\.dtype, not int"):
        nnlib.set_autocast_dtype("cpu", 1)
    with pytest.raises(TypeError, match="requires a callable, but got int"):
        region()(3)
    with pytest.warns(UserWarning, match="target dtype is not supported"), region(dtype=FP32):
        assert not nnlib.is_autocast_enabled("cpu")
    with pytest.warns(UserWarning, match="CUDA is not available"), nnlib.autocast("cuda"):
        assert (nnlib.ones(1, 1) @ nnlib.ones(1, 1)).dtype == FP32


def test_older_names():
    assert nnlib.amp.autocast is nnlib.autocast
    with pytest.warns(FutureWarning, match="deprecated"):
        old = nnlib.cpu.amp.autocast()
    with old:
        assert (nnlib.ones(1, 1) @ nnlib.ones(1, 1)).dtype == BF16
    with pytest.warns(FutureWarning, match="deprecated"):
        assert nnlib.cpu.amp.GradScaler().is_enabled()


def test_threads_have_their_own_switches():
    seen = []
    with region():
        thread = threading.Thread(target=lambda: seen.append((nnlib.ones(2, 2) @ nnlib.ones(2, 2)).dtype))
        thread.start()
        thread.join()
    assert seen == [FP32]


def test_parallel_apply_hands_the_region_on():
    modules = [nn.Linear(2, 2), nn.Linear(2, 2)]
    with region():
        outputs = nn.parallel.parallel_apply(modules, [nnlib.ones(1, 2)] * 2)
    assert [y.dtype for y in outputs] == [BF16, BF16]


# ---- custom functions


def test_custom_functions():
    seen = {}

    class Product(nnlib.autograd.Function):
        @staticmethod
        @nnlib.amp.custom_fwd(device_type="cpu")
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x @ w

        @staticmethod
        @nnlib.amp.custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            x, w = ctx.saved_tensors
            seen["backward"] = nnlib.is_autocast_enabled("cpu")
            return grad @ w.t(), x.t() @ grad

    class Wide(nnlib.autograd.Function):
        @staticmethod
        @nnlib.amp.custom_fwd(device_type="cpu", cast_inputs=FP32)
        def forward(ctx, x):
            seen["forward"] = (x.dtype, nnlib.is_autocast_enabled("cpu"))
            return x * 2

        @staticmethod
        @nnlib.amp.custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            return grad * 2

    x, w = nnlib.ones(2, 2, requires_grad=True), nnlib.ones(2, 2, requires_grad=True)
    with region():
        y = Wide.apply(Product.apply(x, w))
    y.sum().backward()
    assert seen == {"forward": (FP32, False), "backward": True}
    assert nnlib.equal(w.grad, nnlib.full((2, 2), 4.0)) and w.grad.dtype == FP32
    Wide.apply(nnlib.ones(1, dtype=BF16))
    assert seen["forward"] == (BF16, False)
