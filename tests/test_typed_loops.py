"""Loops that read operands of every type and layout where they lie, against NumPy in float64."""

import itertools

import numpy as np
import pytest

import nnlib as nn
import nnlib.nn.functional as F

FLOATS = {nn.float32: 1e-6, nn.float64: 1e-14, nn.bfloat16: 8e-3, nn.float16: 1e-3}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
}
# Makers of two operands whose walk differs: broadcast rows and columns, steps, turned and cut rows, long ones.
LAYOUTS = {
    "flat": lambda a: (a(7, 13), a(7, 13)),
    "long": lambda a: (a(70001), a(70001)),
    "long rows": lambda a: (a(3, 66000)[:, 1:], a(3, 66000)[:, :-1]),
    "row": lambda a: (a(9, 130), a(130)),
    "column": lambda a: (a(300, 9), a(300, 1)),
    "column first": lambda a: (a(40, 1), a(40, 70)),
    "both": lambda a: (a(17, 1), a(1, 33)),
    "middle": lambda a: (a(4, 5, 6), a(4, 1, 6)),
    "outermost": lambda a: (a(5, 1, 1), a(5, 4, 6)[:, :, ::2]),
    "turned": lambda a: (a(33, 65).t(), a(65, 33)),
    "turned and column": lambda a: (a(33, 65).t(), a(65, 1)),
    "channels last": lambda a: (a(2, 5, 6, 7).to(memory_format=nn.channels_last), a(1, 5, 1, 1)),
    "steps": lambda a: (a(9, 40)[:, ::2], a(9, 60)[:, ::3]),
    "bias of three": lambda a: (a(997, 3), a(3)),
    "bias first": lambda a: (a(2, 5), a(3, 70, 2, 5)),
    "short": lambda a: (a(500, 5)[:, :3], a(500, 4)[:, 1:]),
    "one": lambda a: (a(6, 7), a(1, 1)),
    "expanded": lambda a: (a(1, 7).expand(6, 7), a(6, 1).expand(6, 7)),
    "points": lambda a: (a(), a(3)),
    "empty": lambda a: (a(0, 4), a(1, 4)),
}


def maker(dtype, seed=0):
    rng = np.random.default_rng(seed)

    def make(*sizes):
        return nn.tensor(rng.uniform(0.5, 2, sizes) * rng.choice([-1, 1], sizes)).to(dtype)

    return make


def wide(x):
    return x.detach().double().numpy()


def near(got, want, dtype):
    assert got.dtype == dtype
    np.testing.assert_allclose(wide(got), want, rtol=FLOATS[dtype], atol=1e-3 * FLOATS[dtype])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_two_operands(layout, dtype):
    for name, reference in BINARY.items():
        x, y = LAYOUTS[layout](maker(dtype))
        near(getattr(nn, name)(x, y), reference(wide(x), wide(y)), dtype)
    a, b = wide(x), wide(y)
    rtol = 8 * FLOATS[dtype]
    np.testing.assert_allclose(wide(nn.add(x, y, alpha=0.7)), a + 0.7 * b, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(
        wide(nn.addcmul(x, x, y, value=0.7)), a + 0.7 * a * b, rtol=rtol, atol=2 * rtol
    )
    for weight in (0.3, 0.9, 1.0, -2.0):
        want = a + weight * (b - a)
        np.testing.assert_allclose(wide(nn.lerp(x, y, weight)), want, rtol=rtol, atol=rtol)
    near(nn.div(x, y + 5, rounding_mode="trunc"), np.trunc(a / wide(y + 5)), dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_numbers_and_results_in_place(dtype):
    x = maker(dtype)(33, 70)
    before = wide(x)
    near(x * 1.2345678, before * 1.2345678, dtype)  # a number keeps its digits beside 16-bit floats
    near(1.5 / x, 1.5 / before, dtype)
    near(x - nn.tensor(3), before - 3, dtype)
    cut = x[:, 5:40]
    cut.mul_(x[:, :1].clone())
    before[:, 5:40] *= before[:, :1]
    near(x, before, dtype)
    odd = x[:, ::3]
    odd.add_(odd)
    before[:, ::3] *= 2
    near(x, before, dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_nan_in_rows(dtype):
    x = nn.tensor([[1.0, float("nan"), 2.0], [3.0, 4.0, 5.0]]).to(dtype)
    for f in (nn.maximum, nn.minimum):
        assert f(x, x[:, 1:2]).isnan().tolist() == [[True] * 3, [False] * 3]
    assert x.max().isnan() and x.min().isnan() and x.sum(1).isnan().tolist() == [True, False]
    assert x.argmax(1).tolist() == [1, 2] and x.max(1).indices.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [*FLOATS, nn.int64, nn.int32, nn.uint8, nn.int8], ids=str)
def test_reductions(dtype):
    rng = np.random.default_rng(1)
    for sizes in ((5,), (1, 1), (300, 7), (40, 10), (9, 513), (3, 5000), (600, 33), (2, 70000), (4, 6, 8)):
        x = nn.tensor(rng.integers(0, 100 if dtype != nn.float16 else 2, sizes)).to(dtype)
        for t in (x, x.transpose(0, -1), x[..., 1:]):
            if t.numel() == 0:
                continue
            v = wide(t)
            if not dtype.is_floating_point or dtype in (nn.float32, nn.float64):
                assert t.sum().item() == v.sum()
            for d in range(t.dim()):
                rtol = FLOATS.get(dtype, 0)
                np.testing.assert_allclose(wide(t.sum(d)), v.sum(d), rtol=rtol)
                np.testing.assert_array_equal(wide(t.amax(d)), v.max(d))
                np.testing.assert_array_equal(wide(t.min(d).values), v.min(d))
                np.testing.assert_array_equal(t.argmax(d).numpy(), v.argmax(d))
                np.testing.assert_array_equal(t.argmin(d).numpy(), v.argmin(d))
            assert t.max().item() == v.max() and t.argmin().item() == v.argmin()


def test_casts_between_all_types():
    rng = np.random.default_rng(2)
    types = [nn.bool, nn.uint8, nn.int8, nn.int16, nn.int32, nn.int64, *FLOATS]
    values = rng.integers(0, 100, (13, 37)) + 0.25
    for a, b in itertools.product(types, types):
        x = nn.tensor(values).to(a)
        for t in (x, x.t(), x[:, ::2], x[3:, 5:]):
            want = wide(t)
            want = want != 0 if b == nn.bool else want if b.is_floating_point else np.trunc(want)
            np.testing.assert_allclose(wide(t.to(b)), want, rtol=FLOATS.get(b, 0) / 2)
    # Whole numbers that a double, but no float32 and no int32, holds.
    big = [2**40 + 1, -(2**50) - 3, 2**62, -5, 2**31]
    assert nn.tensor(big, dtype=nn.float64).long().tolist() == big
    assert nn.tensor(big).double().tolist() == big
    assert nn.tensor([3e9, -1.5, 2.9]).long().tolist() == [3000000000, -1, 2]


@pytest.mark.parametrize("dtype", [nn.int32, nn.int16, nn.int8, nn.uint8, nn.int64], ids=str)
def test_integers_in_their_own_type(dtype):
    info = nn.iinfo(dtype)
    x = nn.tensor([info.min, info.max, 0, 1, 7, 100], dtype=dtype)
    v = x.numpy()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal((-x).numpy(), (0 - v.astype(np.int64)).astype(v.dtype))
        np.testing.assert_array_equal(x.abs().numpy(), np.abs(v))
    np.testing.assert_array_equal(x.clamp(2, 50).numpy(), np.clip(v, 2, 50))
    np.testing.assert_array_equal(x.clamp(max=info.max).numpy(), v)
    np.testing.assert_array_equal(
        x.clamp(-(2**40), 2**40).numpy(), np.clip(v.astype("int64"), -(2**40), 2**40).astype(v.dtype)
    )
    np.testing.assert_array_equal((x >> 2).numpy(), v >> 2)
    np.testing.assert_array_equal((x << 1).numpy(), (v.astype(np.int64) << 1).astype(v.dtype))
    assert not (x << info.bits).any()
    assert x.sign().tolist() == np.sign(v).tolist()


# Numbers in Python, where nothing overflows, and then in the type.
INTEGER = {
    "add": lambda a, b, bits, top: a + b,
    "sub": lambda a, b, bits, top: a - b,
    "mul": lambda a, b, bits, top: a * b,
    "maximum": lambda a, b, bits, top: np.maximum(a, b),
    "minimum": lambda a, b, bits, top: np.minimum(a, b),
    "bitwise_and": lambda a, b, bits, top: a & b,
    "bitwise_or": lambda a, b, bits, top: a | b,
    "bitwise_xor": lambda a, b, bits, top: a ^ b,
    "bitwise_left_shift": lambda a, b, bits, top: np.where(b < 0, 0, np.where(b < bits, a << (b % bits), 0)),
    "bitwise_right_shift": lambda a, b, bits, top: a >> np.where((b < 0) | (b > top), top, b),
}


@pytest.mark.parametrize("dtype", [nn.int64, nn.int32, nn.int16, nn.int8, nn.uint8], ids=str)
def test_two_integer_operands(dtype):
    info, rng = nn.iinfo(dtype), np.random.default_rng(2)
    top = info.bits - (info.min < 0)

    def make(*sizes):
        small = rng.integers(-9 if info.min else 0, info.bits + 3, sizes)
        return nn.tensor(
            np.where(rng.random(sizes) < 0.5, small, rng.integers(info.min, info.max, sizes))
        ).to(dtype)

    def wrapped(x):
        return ((x - info.min) % 2**info.bits + info.min).astype(np.int64)

    for layout in LAYOUTS.values():
        a, b = layout(make)
        if a.numel() > 70000:
            continue
        u, v = a.numpy().astype(object), b.numpy().astype(object)
        for name, f in INTEGER.items():
            got = getattr(nn, name)(a, b)
            assert got.dtype == dtype
            np.testing.assert_array_equal(got.numpy(), wrapped(f(u, v, info.bits, top)), err_msg=name)
        np.testing.assert_array_equal(nn.add(a, b, alpha=-3).numpy(), wrapped(u - 3 * v))
        np.testing.assert_array_equal(nn.addcmul(a, b, a, value=5).numpy(), wrapped(u + 5 * v * u))
    # Results with steps, operands of another type, and numbers that the type cannot hold.
    a, b = make(6, 40), make(6, 20)
    want = wrapped(a.numpy().astype(object)[:, ::2] * b.numpy().astype(object))
    a[:, ::2] *= b
    np.testing.assert_array_equal(a[:, ::2].numpy(), want)
    np.testing.assert_array_equal((a + (a > 3)).numpy(), wrapped(a.numpy().astype(object) + (a.numpy() > 3)))
    np.testing.assert_array_equal(
        nn.bitwise_and(a, 12345).numpy(), a.numpy() & np.array(12345).astype(a.numpy().dtype)
    )


@pytest.mark.parametrize("dtype", [nn.uint8, nn.int8, nn.int16, nn.int32, nn.int64])
def test_quotients_and_rests_of_integers(dtype):
    # Beside Python's own: the ends of each type, and of what doubles tell apart.
    info = nn.iinfo(dtype)
    ends = [info.min, info.min + 1, info.max - 1, info.max, -100, -3, -2, -1, 0, 1, 2, 3, 7, 100]
    near = [sign * 2**bits + off for bits in (31, 51, 52, 53) for sign in (-1, 1) for off in (-1, 0, 1)]
    for values in (ends, ends + near, [v for v in ends + near if abs(v) < 2**51]):
        values = sorted({v for v in values if info.min <= v <= info.max})
        pairs = [(a, b) for a in values for b in values if b != 0 and (a, b) != (info.min, -1)]
        x, y = (nn.tensor(list(v), dtype=dtype) for v in zip(*pairs, strict=True))
        down = [a // b for a, b in pairs]
        towards_zero = [abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) for a, b in pairs]
        assert (x // y).tolist() == down
        assert (x % y).tolist() == [a % b for a, b in pairs]
        assert nn.div(x, y, rounding_mode="trunc").tolist() == towards_zero
        assert nn.fmod(x, y).tolist() == [a - q * b for (a, b), q in zip(pairs, towards_zero, strict=True)]
        assert (x // 3).tolist() == [a // 3 for a, _ in pairs]
    for divide in (nn.floor_divide, nn.remainder, nn.fmod):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            divide(x, nn.tensor(0, dtype=dtype))
        assert divide(x[:0], 0).shape == (0,)


def test_bits_of_bools():
    a, b = nn.arange(60).reshape(3, 20) % 2 == 0, nn.arange(20) % 3 == 0
    for name, f in {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}.items():
        got = getattr(nn, "bitwise_" + name)(a, b)
        assert got.dtype == nn.bool
        np.testing.assert_array_equal(got.numpy(), f(a.numpy(), b.numpy()))
    assert nn.add(a, b).dtype == nn.bool and nn.add(a, b).sum() == (a | b).sum()


def test_functions_in_double():
    x = np.concatenate([np.random.default_rng(3).uniform(-5, 5, 1003), [0.0, -0.0, 1e-300, 700, -700]])
    t = nn.tensor(x)
    for name in (
        "exp",
        "expm1",
        "tanh",
        "sin",
        "cos",
        "floor",
        "ceil",
        "trunc",
        "abs",
        "sign",
        "exp2",
        "square",
    ):
        got, want = getattr(nn, name)(t).numpy(), getattr(np, name)(x)
        np.testing.assert_allclose(got, want, rtol=1e-15, atol=0, err_msg=name)
        assert (np.signbit(got) == np.signbit(want)).all(), name
    for name in ("log", "log2", "log1p", "sqrt", "reciprocal"):
        p = np.abs(x) + 1e-3
        np.testing.assert_allclose(getattr(nn, name)(nn.tensor(p)).numpy(), getattr(np, name)(p), rtol=1e-15)
    np.testing.assert_allclose(nn.frac(t).numpy(), x - np.trunc(x), rtol=0, atol=0)


def test_lerp_frac_and_nan_to_num_of_each_type():
    for dtype, rtol in FLOATS.items():
        make = maker(dtype, 4)
        x, y, w = make(11, 33), make(11, 33), make(11, 1)
        a, b, c = wide(x), wide(y), wide(w)
        np.testing.assert_allclose(wide(nn.lerp(x, y, 0.3)), a + 0.3 * (b - a), rtol=rtol, atol=4 * rtol)
        np.testing.assert_allclose(wide(nn.lerp(x, y, w)), a + c * (b - a), rtol=rtol, atol=8 * rtol)
        np.testing.assert_array_equal(wide(x.frac()), a - np.trunc(a))
        z = nn.tensor([float("nan"), float("inf"), -float("inf"), 0.5]).to(dtype)
        assert z.nan_to_num(1, 2, 3).tolist() == [1, 2, 3, 0.5]
        assert z.clamp(-2, 2).tolist()[1:] == [2, -2, 0.5] and z.clamp(-2, 2).isnan()[0]
        assert F.prelu(x, w[:1].reshape(1)).dtype == dtype
        np.testing.assert_allclose(
            wide(F.prelu(x.t(), w.reshape(11))), np.where(a > 0, a, c * a).T, rtol=rtol
        )


def test_products_of_vectors_longer_than_a_chunk():
    rng = np.random.default_rng(5)
    for n in (0, 1, 1000, 50001):
        x, y = rng.standard_normal(n), rng.standard_normal(n)
        np.testing.assert_allclose(nn.dot(nn.tensor(x), nn.tensor(y)).item(), x @ y, rtol=1e-10, atol=1e-10)
        got = nn.dot(nn.tensor(x).float(), nn.tensor(y).float()).item()
        np.testing.assert_allclose(got, x @ y, rtol=1e-3, atol=1e-3)


def test_distances_by_blocks():
    rng = np.random.default_rng(6)
    for p, r, m in ((1, 9, 3), (37, 45, 17), (70, 33, 600)):
        x, y = rng.standard_normal((2, p, m)), rng.standard_normal((2, r, m))
        y[0, 0] = x[0, 0]
        a, b = (nn.tensor(v).float().requires_grad_() for v in (x, y))
        d = nn.cdist(a, b)
        diff = wide(a)[:, :, None] - wide(b)[:, None]
        want = np.sqrt((diff**2).sum(-1))
        np.testing.assert_allclose(d.detach().numpy(), want, rtol=1e-5, atol=1e-6)
        assert d[0, 0, 0] == 0
        g = rng.standard_normal(want.shape)
        d.backward(nn.tensor(g).float())
        w = np.where(want == 0, 0, g / np.where(want == 0, 1, want))[..., None] * diff
        np.testing.assert_allclose(a.grad.numpy(), w.sum(2), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(b.grad.numpy(), -w.sum(1), rtol=1e-3, atol=1e-4)


# ---- operators that change their tensor where it lies


def test_index_operators_in_place_read_before_they_write():
    x = nn.arange(12.0).reshape(4, 3)
    i = nn.tensor([1, 2, 3, 0])
    want = x.numpy() + x.numpy()[[3, 0, 1, 2]]
    y = x.clone()
    assert y.index_add_(0, i, y) is y  # the source is the tensor itself
    np.testing.assert_array_equal(y.numpy(), want)
    y = x.clone()
    y.scatter_add_(0, i[:, None].expand(4, 3), y)
    np.testing.assert_array_equal(y.numpy(), want)


def test_index_operators_in_place_change_views_and_keep_the_rest():
    base = nn.zeros(6, 8)
    view = base[1:5, ::2]
    view.index_add_(1, nn.tensor([3, 0, 3]), nn.ones(4, 3), alpha=2)
    want = np.zeros((6, 8), "float32")
    want[1:5, 6] = 4
    want[1:5, 0] = 2
    np.testing.assert_array_equal(base.numpy(), want)
    rows = nn.zeros(5, 4)
    rows[1:3].index_fill_(0, nn.tensor([-1]), 7)
    assert rows.sum(1).tolist() == [0, 0, 28, 0, 0]
    one_hot = nn.zeros(3, 5).scatter_(1, nn.tensor([[4], [0], [2]]), 1.0)
    assert one_hot.argmax(1).tolist() == [4, 0, 2] and one_hot.sum() == 3


def test_index_operators_in_place_leave_all_as_it_was_on_errors():
    x = nn.zeros(4, 3)
    with pytest.raises((IndexError, RuntimeError)):
        x.index_add_(0, nn.tensor([0, 9]), nn.ones(2, 3))
    with pytest.raises((IndexError, RuntimeError)):
        x.scatter_(0, nn.tensor([[0, 1, 9]]), 1.0)
    with pytest.raises(IndexError):
        x.put_(nn.tensor([0, 99]), nn.ones(2))
    assert not x.any() and x._version == 0


def test_index_operators_in_place_count_and_record():
    x = nn.zeros(4, 3)
    x.index_add_(0, nn.tensor([1, 1]), nn.ones(2, 3))
    assert x._version == 1 and x[1].tolist() == [2, 2, 2]
    source = nn.ones(2, 3, requires_grad=True)
    x.index_add_(0, nn.tensor([1, 1]), source)
    (x * nn.arange(4.0)[:, None]).sum().backward()
    assert source.grad.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize("accumulate", [False, True])
def test_index_put_of_whole_rows(accumulate):
    rng = np.random.default_rng(7)
    for dtype in (nn.float32, nn.float64, nn.bfloat16, nn.int64, nn.bool):
        x = nn.tensor(rng.integers(0, 9, (6, 5, 300))).to(dtype)
        i = nn.tensor([4, 1, 4] if accumulate else [4, 1, 0])
        v = nn.tensor(rng.integers(0, 9, (3, 5, 300))).to(dtype)
        want = wide(x)
        for k, j in enumerate(i.tolist()):
            want[j] = want[j] + wide(v)[k] if accumulate else wide(v)[k]
        if dtype == nn.bool:
            want = want != 0
        x.index_put_((i,), v, accumulate=accumulate)
        np.testing.assert_array_equal(wide(x), want)


# ---- samples of images


def test_samples_outside_take_nothing_from_the_image():
    x = nn.full((1, 2, 3, 3), float("inf"))
    x[:, :, 1, 1] = 1
    grid = nn.tensor([[[[-3.0, -3.0], [0.0, 0.0]]]])
    for mode in ("bilinear", "nearest"):
        got = F.grid_sample(x, grid, mode=mode, align_corners=True)
        assert got[0, :, 0, 0].tolist() == [0, 0]


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_samples_of_many_points_and_channels(mode, padding):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    x, grid = rng.standard_normal((2, 19, 6, 7)), rng.uniform(-1.6, 1.6, (2, 9, 17, 2))
    g = rng.standard_normal((2, 19, 9, 17))
    results = []
    for lib, f in ((nn, F), (torch, torch.nn.functional)):
        a, b = (lib.tensor(v, requires_grad=True) for v in (x, grid))
        y = f.grid_sample(a, b, mode=mode, padding_mode=padding, align_corners=False)
        y.backward(lib.tensor(g))
        results.append([y.detach().numpy(), a.grad.numpy(), b.grad.numpy()])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [*FLOATS, nn.int64, nn.uint8, nn.bool], ids=str)
def test_choices_keep_every_bit(dtype):
    rng = np.random.default_rng(7)
    for shapes in (
        ((7, 1, 65), (7, 33, 65), (33, 1)),
        ((501,), (501,), (501,)),
        ((), (5,), (5, 1)),
        ((0, 3), (3,), (1, 3)),
    ):
        condition, a, b = (nn.from_numpy(np.asarray(rng.integers(-2, 3, s) * 0.5)).to(dtype) for s in shapes)
        if dtype in FLOATS and a.numel() > 4:
            a.view(-1)[:4] = nn.tensor([float("nan"), -0.0, float("inf"), 1e-7])
        condition = condition > 0 if dtype != nn.bool else condition
        want = np.where(condition.numpy(), a.double().numpy(), b.double().numpy())
        for other in (b, b.to(nn.float32) if dtype in FLOATS else b):  # of another type: converted
            got = nn.where(condition, a, other).double().numpy()
            np.testing.assert_array_equal(got, want)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
