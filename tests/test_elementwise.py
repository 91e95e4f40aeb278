"""Types, layouts, in-place forms, threads and errors of element-wise operators."""

import itertools

import numpy as np
import pytest

import nnlib as nn
import nnlib.nn.functional as F

DTYPES = [
    nn.bool,
    nn.uint8,
    nn.int8,
    nn.int16,
    nn.int32,
    nn.int64,
    nn.float16,
    nn.bfloat16,
    nn.float32,
    nn.float64,
]


def test_results_keep_a_dense_layout():
    x = nn.randn(2, 3, 4, 5).to(memory_format=nn.channels_last)
    for y in (x + 1, x * x, x.exp(), F.relu(x), nn.where(x > 0, x, 0.0), x.clamp(0, 1)):
        assert y.stride() == x.stride()
    t = nn.randn(4, 6).t()
    assert (t * 2).stride() == t.stride()
    assert (x + nn.randn(3, 1, 1)).stride() == x.stride()


def test_any_stride_gives_the_same_values():
    base = nn.randn(6, 7, 8)
    views = [base, base.transpose(0, 2), base[::2, 1:, ::3], base[:, :1].expand(6, 7, 8), base.flip(0)]
    for a, b in itertools.product(views, views):
        if a.shape != b.shape:
            continue
        got = (a * b + a).numpy()
        np.testing.assert_allclose(got, a.numpy() * b.numpy() + a.numpy(), rtol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 3, 15, 16, 17, 127, 128, 129, 511, 513, 40000])
def test_lengths_about_the_blocks(size):
    x, y = nn.randn(size), nn.randn(size)
    np.testing.assert_array_equal((x + y).numpy(), x.numpy() + y.numpy())
    np.testing.assert_array_equal(
        (x + y[:1].expand(size) if size else x + y).numpy(), (x + (y[0] if size else y)).numpy()
    )
    np.testing.assert_array_equal(x.double().add(y).numpy(), x.numpy().astype(np.float64) + y.numpy())


def test_threads_do_not_change_the_bits():
    x = nn.randn(333, 1001)
    before = nn.get_num_threads()
    seen = []
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        y = [
            x.exp(),
            x.sum(),
            x.sum(0),
            x.sum(1),
            x.t().mean(0),
            x.var(1),
            x.softmax(0),
            x.norm(),
            x.prod(0),
            x.cumsum(0),
        ]
        seen.append([t.numpy().tobytes() for t in y])
    nn.set_num_threads(before)
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        (nn.int32, nn.int64, nn.int64),
        (nn.uint8, nn.int8, nn.int16),
        (nn.int64, nn.float32, nn.float32),
        (nn.float16, nn.bfloat16, nn.float32),
        (nn.float16, nn.float64, nn.float64),
        (nn.bool, nn.uint8, nn.uint8),
    ],
)
def test_promotion_of_tensors(a, b, result):
    assert (nn.ones(2, dtype=a) + nn.ones(2, dtype=b)).dtype == result
    assert (nn.ones(2, dtype=b) * nn.ones(2, dtype=a)).dtype == result


def test_numbers_and_scalars_are_weak():
    x = nn.ones(2, dtype=nn.int8)
    assert (x + 1).dtype == nn.int8
    assert (x + 1.5).dtype == nn.float32
    assert (x + nn.tensor(1000)).dtype == nn.int8
    assert (x + nn.tensor(1.0, dtype=nn.float64)).dtype == nn.float64
    assert (nn.ones(2, dtype=nn.float16) * nn.tensor(2.0, dtype=nn.float64)).dtype == nn.float16
    assert (nn.ones(2, dtype=nn.bool) + 1).dtype == nn.int64
    assert (x / 2).dtype == nn.float32
    assert (nn.ones(2, dtype=nn.float64) * 0.1).tolist() == [0.1, 0.1]


def test_promotion_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    for a, b in itertools.product(DTYPES, DTYPES):
        ta, tb = (getattr(torch, str(d).split(".")[1]) for d in (a, b))
        for shape in ((2,), ()):
            ours = nn.ones(2, dtype=a) * nn.ones(shape, dtype=b)
            theirs = torch.ones(2, dtype=ta) * torch.ones(shape, dtype=tb)
            assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1], (a, b, shape)


def test_integers_wrap_and_round_as_pytorch_says():
    assert (nn.tensor([200], dtype=nn.uint8) + 100).item() == 44
    assert (nn.tensor([7, -7]) // 2).tolist() == [3, -4]
    assert (nn.tensor([7, -7]) % 3).tolist() == [1, 2]
    assert nn.fmod(nn.tensor([7, -7]), 3).tolist() == [1, -1]
    assert (nn.tensor([True, False]) + nn.tensor([True, False])).tolist() == [True, False]
    assert (nn.tensor([3]) ** 4).item() == 81
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        nn.tensor([1]) // 0


INPLACE = [
    ("add_", (2.0,)),
    ("sub_", (2.0,)),
    ("mul_", (2.0,)),
    ("div_", (2.0,)),
    ("pow_", (2,)),
    ("clamp_", (-0.5, 0.5)),
    *(
        (name, ())
        for name in ("neg_", "abs_", "exp_", "square_", "tanh_", "sigmoid_", "relu_", "floor_", "zero_")
    ),
    ("sin_", ()),
    ("cumsum_", (0,)),
    ("fill_", (3.0,)),
]


@pytest.mark.parametrize(("name", "args"), INPLACE)
def test_inplace_is_the_plain_form_in_the_same_memory(name, args):
    x = nn.randn(4, 5)
    plain = getattr(x, name[:-1], None) or getattr(F, name[:-1], None)
    y = x.clone()
    address = y.data_ptr()
    assert getattr(y, name)(*args) is y and y.data_ptr() == address
    if plain is not None:
        np.testing.assert_array_equal(y.numpy(), plain(*args).numpy())
    # On a strided view, the rest stays.
    base = nn.randn(4, 10)
    before = base.clone()
    getattr(base[:, ::2], name)(*args)
    np.testing.assert_array_equal(base[:, 1::2].numpy(), before[:, 1::2].numpy())


@pytest.mark.parametrize(("name", "args"), INPLACE)
def test_inplace_passes_gradients(name, args):
    leaf = nn.rand(4, 5, requires_grad=True)
    y = leaf * 2
    getattr(y, name)(*args)
    (y * 3).sum().backward()
    if name in ("fill_", "zero_", "floor_"):
        assert not leaf.grad.any()
        return
    other = leaf.detach().requires_grad_()
    plain = F.relu(other * 2) if name == "relu_" else getattr(other * 2, name[:-1])(*args)
    (plain * 3).sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-6)


def test_inplace_checks():
    x = nn.zeros(3)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.add_(nn.zeros(2, 3))
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type Long"):
        nn.tensor([1]).add_(1.5)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        nn.zeros(2, requires_grad=True).mul_(2)
    with pytest.raises(RuntimeError, match="single memory location"):
        x[1:].add_(x[:-1])
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        nn.zeros(1).expand(3).add_(1)


def test_nan_and_infinity():
    nan, inf = float("nan"), float("inf")
    x = nn.tensor([nan, -inf, 0.0, inf])
    assert F.relu(x).isnan().tolist() == [True, False, False, False]
    assert nn.maximum(x, nn.zeros(4)).isnan()[0] and not nn.fmax(x, nn.zeros(4)).isnan()[0]
    assert x.max().isnan() and x.argmax().item() == 0
    assert x.clamp(-1, 1).isnan()[0]
    assert nn.tensor([inf, -inf]).sigmoid().tolist() == [1.0, 0.0]
    assert nn.softmax(nn.tensor([-inf, 0.0]), 0).tolist() == [0.0, 1.0]
    assert x.nan_to_num(1.0, 2.0, 3.0).tolist() == [1.0, 3.0, 0.0, 2.0]
    assert nn.where(nn.tensor([True, False]), 1.0, nan).isnan().tolist() == [False, True]


def test_errors_name_what_came():
    with pytest.raises(
        RuntimeError, match=r"The size of tensor a \(3\) must match the size of tensor b \(2\)"
    ):
        nn.zeros(3) + nn.zeros(2)
    with pytest.raises(RuntimeError, match="with two bool tensors is not supported"):
        nn.tensor([True]) - nn.tensor([True])
    with pytest.raises(RuntimeError, match="alpha must not be a floating point number"):
        nn.add(nn.tensor([1]), nn.tensor([1]), alpha=0.5)
    with pytest.raises(RuntimeError, match="could not infer output dtype"):
        nn.tensor([1]).mean()
    with pytest.raises(IndexError, match="Dimension out of range"):
        nn.zeros(2).sum(3)
    with pytest.raises(RuntimeError, match="at least one of 'min' or 'max' must not be None|At least one"):
        nn.zeros(2).clamp()
    with pytest.raises(RuntimeError, match="Halving dimension must be even"):
        F.glu(nn.zeros(3))
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        F.gelu(nn.tensor([1]))


@pytest.mark.parametrize("dim, shape", [(-1, (5, 14)), (0, (6, 3)), (1, (2, 34, 5))])
def test_glu_on_any_dimension(dim, shape):
    x = np.random.default_rng(0).normal(size=shape)
    a, b = np.split(x, 2, axis=dim)
    for t in (nn.from_numpy(x), nn.from_numpy(x.T.copy()).permute(*range(x.ndim)[::-1])):
        assert np.allclose(F.glu(t, dim).numpy(), a / (1 + np.exp(-b)), rtol=1e-14)
    leaf = nn.from_numpy(x).requires_grad_()
    assert nn.autograd.gradcheck(lambda t: F.glu(t, dim), (leaf,))
    assert nn.autograd.gradgradcheck(lambda t: F.glu(t, dim), (leaf,))
    half = nn.from_numpy(x).to(nn.bfloat16)
    assert F.glu(half, dim).equal(F.glu(half.float(), dim).to(nn.bfloat16))  # rounded once


def test_a_long_sum_stays_exact():
    x = nn.full((1_000_003,), 0.1)
    assert x.sum().item() == pytest.approx(x.double().sum().item(), rel=2e-7)
    assert nn.full((70000,), 16777217, dtype=nn.int64).sum().item() == 70000 * 16777217


def test_float_power_in_place_wants_float64():
    with pytest.raises(RuntimeError, match="the operation's result requires dtype Double"):
        nn.ones(2).float_power_(2)
    assert nn.full((2,), 3.0, dtype=nn.float64).float_power_(2).tolist() == [9.0, 9.0]


def test_bools_are_counted():
    x = nn.rand(7, 300) > 0.5
    assert x.sum().item() == int(x.numpy().sum())
    assert x.sum(1, keepdim=True).tolist() == x.numpy().sum(1, keepdims=True).tolist()
    assert x.sum(dtype=nn.float32).dtype == nn.float32


@pytest.mark.parametrize("name", ["abs", "floor", "ceil", "trunc", "round"])
def test_functions_that_bools_have_not(name):
    with pytest.raises(NotImplementedError, match="not implemented for 'Bool'"):
        getattr(nn.tensor([True]), name)()


def test_a_number_fills_integers_as_a_cast_would():
    x = nn.tensor([1, 2])
    assert x.masked_fill(x > 1, 3.7).tolist() == [1, 3]
    assert x.clamp(min=nn.tensor(2)).dtype == nn.int64
    assert nn.tensor([1], dtype=nn.int8).clamp(min=nn.tensor(2, dtype=nn.int16)).dtype == nn.int8


@pytest.mark.parametrize("name", ["hypot", "logaddexp", "logaddexp2", "nextafter"])
def test_functions_that_whole_numbers_have_not(name):
    function, whole = getattr(nn, name), nn.ones(2, dtype=nn.int64)
    with pytest.raises(NotImplementedError, match="'Long'"):
        function(whole, whole)
    assert function(whole, nn.ones(2)).dtype == nn.float32


def test_whole_exponents_are_added_to_a_floats_own():
    one, exponents = nn.tensor([1.0, 1e-30, -1.5]), nn.tensor([-140, 200, 2])
    assert nn.ldexp(one, exponents).tolist() == np.ldexp(one.numpy(), exponents.numpy()).tolist()
    assert nn.ldexp(one, nn.tensor(2**40)).tolist() == [np.inf, np.inf, -np.inf]
    for dtype in (nn.float16, nn.bfloat16, nn.float64):
        assert nn.ldexp(one.to(dtype), exponents).dtype == dtype
    assert nn.ldexp(nn.tensor([3]), exponents).dtype == nn.float32
    assert nn.ldexp(one, nn.tensor([0.5])).tolist() == pytest.approx((one * 2**0.5).tolist())
    with pytest.raises(NotImplementedError, match="'Bool'"):
        nn.ldexp(one, nn.tensor([True]))
    leaf = one.clone().requires_grad_()
    nn.ldexp(leaf, nn.tensor([1, 2, 3])).sum().backward()
    assert leaf.grad.tolist() == [2, 4, 8]


def test_squares_of_bools_are_counts():
    flags = nn.tensor([True, False])
    assert flags.square().dtype == nn.int64 and flags.square().tolist() == [1, 0]
    with pytest.raises(RuntimeError, match="can't be cast"):
        flags.square_()
    with pytest.raises(NotImplementedError, match="'Bool'"):
        nn.trace(nn.ones(2, 2, dtype=nn.bool))


@pytest.mark.parametrize("dtype", [nn.int64, nn.int32, nn.int16, nn.int8])
def test_quotients_of_integers_are_exact(dtype):
    info = nn.iinfo(dtype)
    values = {info.min, info.min + 1, info.max, info.max - 1, -1, 1, 2, 3, -7, 10, 0}
    for power in (15, 31, 52, 53, 62):
        values |= {
            v for d in (-1, 0, 1) for v in ((1 << power) + d, -(1 << power) + d) if info.min <= v <= info.max
        }
    pairs = [(a, b) for a in sorted(values) for b in sorted(values) if b]
    a, b = (nn.tensor(column, dtype=dtype) for column in zip(*pairs, strict=True))

    def wrapped(v):
        return (v - info.min) % (1 << info.bits) + info.min

    def cut(p, q):
        return wrapped(abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1))

    assert (a // b).tolist() == [wrapped(p // q) for p, q in pairs]
    assert (a % b).tolist() == [p % q for p, q in pairs]
    assert nn.div(a, b, rounding_mode="trunc").tolist() == [cut(p, q) for p, q in pairs]
    assert nn.fmod(a, b).tolist() == [
        wrapped(p - q * (abs(p) // abs(q)) * (1 if (p < 0) == (q < 0) else -1)) for p, q in pairs
    ]


@pytest.mark.parametrize("dtype", [nn.float32, nn.float64])
def test_floor_divide_agrees_with_python(dtype):
    rng = np.random.default_rng(3)
    a = nn.from_numpy(rng.standard_normal(501) * 10.0 ** rng.integers(-3, 9, 501)).to(dtype)
    b = nn.from_numpy(rng.standard_normal(501)).to(dtype)
    a[:6], b[:6] = (
        nn.tensor([0.0, -0.0, 6.0, -6.0, 1.0, -1.0]),
        nn.tensor([3.0, 3.0, 3.0, 3.0, np.inf, np.inf]),
    )
    want = np.floor_divide(a.numpy(), b.numpy())
    np.testing.assert_array_equal((a // b).numpy()[:4], want[:4])
    np.testing.assert_allclose((a // b).numpy(), want, rtol=1e-6 if dtype == nn.float32 else 1e-15)
    assert (nn.ones(3, dtype=dtype) // nn.zeros(3, dtype=dtype)).tolist() == [np.inf] * 3


@pytest.mark.parametrize("dtype", [nn.uint8, nn.int16, nn.float32, nn.float64])
def test_copies_of_short_and_of_reversed_rows(dtype):
    base = np.random.default_rng(4).integers(0, 100, (5, 90))
    x = nn.from_numpy(base).to(dtype)
    for n in [*range(1, 41), 70]:
        for first in (0, 1, 3):
            assert x[:, first : first + n].contiguous().tolist() == base[:, first : first + n].tolist()
            assert x[:, first : first + n].flip(1).tolist() == base[:, first : first + n][:, ::-1].tolist()
        windows = np.lib.stride_tricks.sliding_window_view(base, n, 1)[:, ::3]
        assert x.unfold(1, n, 3).contiguous().tolist() == windows.tolist()


@pytest.mark.parametrize("name", ["subtract", "multiply", "divide", "true_divide"])
def test_other_names_of_arithmetic_take_numbers_first(name):
    f = getattr(nn, name)
    x = nn.tensor([1.0, 4.0])
    assert nn.equal(f(2, x), f(nn.tensor(2.0), x))
    assert f(5, 2).item() == {"subtract": 3, "multiply": 10}.get(name, 2.5)
