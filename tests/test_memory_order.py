"""Reductions and element-wise operators of tensors that repeat values (stride 0), have gaps between all of them, or lie
in another order than their dimensions: against NumPy in float64."""

import numpy as np
import pytest

import nnlib

rng = np.random.default_rng(11)
# How a tensor lies, made from one of more values, which NumPy's view describes the same way.
LAYOUTS = {
    "rows repeated": lambda a: (
        a[:, :1].expand(-1, 6, -1) if isinstance(a, nnlib.Tensor) else np.repeat(a[:, :1], 6, 1)
    ),
    "values repeated": lambda a: (
        a[..., :1].expand(-1, -1, 9) if isinstance(a, nnlib.Tensor) else np.repeat(a[..., :1], 9, 2)
    ),
    "all repeated": lambda a: (
        a[:1, :1, :1].expand(4, 5, 6) if isinstance(a, nnlib.Tensor) else np.tile(a[:1, :1, :1], (4, 5, 6))
    ),
    "every second": lambda a: a[..., ::2],
    "every second row": lambda a: a[:, 1::2, ::3],
    "cut": lambda a: a[..., 3:-2],
    "turned": lambda a: a.transpose(1, 2) if isinstance(a, nnlib.Tensor) else a.transpose(0, 2, 1),
    "turned and cut": lambda a: (
        a.transpose(0, 2)[1:, :, ::2] if isinstance(a, nnlib.Tensor) else a.transpose(2, 1, 0)[1:, :, ::2]
    ),
}
DIMS = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reductions(layout, dtype):
    values = rng.integers(-8, 9, (7, 10, 40)) / (1 if dtype.startswith("int") else 4)
    x = LAYOUTS[layout](nnlib.tensor(values).to(getattr(nnlib, dtype)))
    a = LAYOUTS[layout](values)
    assert tuple(x.shape) == a.shape
    rtol = {"float32": 2e-6, "bfloat16": 1e-2}.get(dtype, 1e-12)

    def same(got, want, exact=False):
        assert tuple(got.shape) == np.shape(want)
        tolerance = 0 if exact else rtol
        np.testing.assert_allclose(got.double().numpy(), want, rtol=tolerance, atol=tolerance)

    for dims in DIMS:
        same(x.sum(dims), a.sum(dims))
        same(x.amax(dims), a.max(dims), exact=True)
        same(x.amin(dims, keepdim=True), a.min(dims, keepdims=True), exact=True)
        if len(dims) == 1:
            (d,) = dims
            best, at = x.max(d)
            same(best, a.max(d), exact=True)
            same(at, a.argmax(d), exact=True)
            same(x.argmin(d), a.argmin(d), exact=True)
            same((x * 0.5 + 1).prod(d), (a * 0.5 + 1).prod(d)) if dtype[0] == "f" else None
            same(
                x.prod(d), (a if dtype[0] != "i" else a.astype(np.int64)).prod(d)
            ) if dtype != "bfloat16" else None
        if not dtype.startswith("int"):
            same(x.mean(dims), a.mean(dims))
            same(nnlib.linalg.vector_norm(x, 2, dims), np.sqrt((a * a).sum(dims)))
            same(nnlib.linalg.vector_norm(x, 1, dims), np.abs(a).sum(dims))
            if dtype != "bfloat16":
                same(x.var(dims, correction=0), a.var(dims))
    same(x.argmax(), a.argmax(), exact=True)


@pytest.mark.parametrize("shape", [(5000, 7), (3000, 2), (1030, 33), (2, 3000), (600, 64), (129, 1)])
def test_few_and_many_columns(shape):
    for dtype in ("float32", "float64", "bfloat16", "int64"):
        values = rng.integers(-20, 21, shape)
        x = nnlib.tensor(values).to(getattr(nnlib, dtype))
        np.testing.assert_allclose(
            x.sum(0).double().numpy(), values.sum(0), rtol=4e-3 if dtype[0] == "b" else 0
        )
        np.testing.assert_array_equal(x.amax(0).double().numpy(), values.max(0))
        np.testing.assert_array_equal(x.min(0)[1].numpy(), values.argmin(0))
    values = 1 + rng.standard_normal(shape) / 1000
    got = nnlib.tensor(values).prod(0).numpy()
    np.testing.assert_allclose(got, values.prod(0), rtol=1e-12)


@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 2)])
def test_operators_of_repeated_values(dims):
    values = rng.standard_normal((20, 30, 40))
    sizes = [1 if d in dims else n for d, n in enumerate((20, 30, 40))]
    a = np.ascontiguousarray(values[tuple(slice(0, n) for n in sizes)])
    for dtype in ("float32", "bfloat16"):
        small = nnlib.tensor(a).to(getattr(nnlib, dtype))
        x = small.expand(20, 30, 40)
        for op in (nnlib.relu, nnlib.exp, nnlib.neg, nnlib.logical_not, lambda t: nnlib.where(t > 0, t, 2.0)):
            want = op(small).expand(20, 30, 40)
            got = op(x)
            assert got.is_contiguous() and (got == want).all()
    x = nnlib.tensor(a, requires_grad=True)
    (x.expand(20, 30, 40).sigmoid() * nnlib.tensor(values)).sum().backward()
    s = 1 / (1 + np.exp(-a))
    want = (values * s * (1 - s)).sum(dims, keepdims=True)
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64", "bfloat16", "uint8"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((70, 40), (70, 40)),
        ((70, 1), (40,)),
        ((70, 40), (70, 1)),
        ((70, 40), ()),
        ((), (70, 40)),
        ((3, 1, 7), (9, 7)),
    ],
)
def test_integers_and_comparisons_over_broadcasts(shapes, dtype):
    low = 0 if dtype == "uint8" else -9
    a, b = (rng.integers(low, 10, s) for s in shapes)
    x, y = (nnlib.tensor(v).to(getattr(nnlib, dtype)) for v in (a, b))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        want = {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[name]
        np.testing.assert_array_equal(getattr(nnlib, name)(x, y).numpy(), want)
    np.testing.assert_array_equal(nnlib.logical_not(x).numpy(), a == 0)
    np.testing.assert_array_equal(nnlib.maximum(x, y).double().numpy(), np.maximum(a, b))
    if dtype != "uint8":
        np.testing.assert_array_equal((x + y).double().numpy(), a + b)
        np.testing.assert_array_equal((x * y).double().numpy(), a * b)
        np.testing.assert_array_equal((x - y).double().numpy(), a - b)
        wide = nnlib.stack([x + y, x * y], -1)[..., 0]  # every second value
        np.testing.assert_array_equal(nnlib.minimum(wide, y).double().numpy(), np.minimum(a + b, b))


def test_numbers_beyond_a_type():
    x = nnlib.arange(5, dtype=nnlib.int32)
    assert (x < nnlib.tensor(2**40)).all() and not (x == nnlib.tensor(2**32 + 1)).any()
    assert nnlib.gt(nnlib.tensor([float("nan"), 1.0]), 0).tolist() == [False, True]
    assert nnlib.logical_not(nnlib.tensor([float("nan"), 0.0, -0.0])).tolist() == [False, True, True]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_clamp_by_tensors_and_signs(dtype):
    a = np.array([[1.0, -2.0, np.nan, 0.5, -0.0], [3.0, -1.0, 2.0, np.inf, -np.inf]])
    low, high = np.array([-1.0, -1.0, 0.0, np.nan, 2.0]), np.array([[0.5], [1.5]])
    x, lo, hi = (nnlib.tensor(v).to(getattr(nnlib, dtype)) for v in (a, low, high))
    np.testing.assert_array_equal(
        nnlib.clamp(x, lo, hi).double().numpy(), np.minimum(np.maximum(a, low), high)
    )
    got = nnlib.copysign(x, hi - 1).double().numpy()
    np.testing.assert_array_equal(got, np.copysign(a, high - 1))
    np.testing.assert_array_equal(np.signbit(got), np.signbit(np.copysign(a, high - 1)))
    np.testing.assert_array_equal(nnlib.copysign(x, -1).double().numpy(), np.copysign(a, -1))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_long_rows_copied_a_little_further_into_a_page(dtype):
    values = rng.integers(-99, 100, (8, 1024))
    x = nnlib.tensor(values).to(getattr(nnlib, dtype))
    for shift in (1, 3, 5, 17, -2):
        np.testing.assert_array_equal(x.roll(shift, 1).double().numpy(), np.roll(values, shift, 1))
    np.testing.assert_array_equal(
        nnlib.nn.functional.pad(x, (3, 0)).double().numpy(), np.pad(values, ((0, 0), (3, 0)))
    )
    both = nnlib.cat([x[:, :2], x], 1)
    np.testing.assert_array_equal(both.double().numpy(), np.concatenate([values[:, :2], values], 1))


@pytest.mark.parametrize("shape, dim", [((9, 40), 0), ((5, 9, 3), 1), ((300, 4), 0), ((4, 6, 7), 0)])
def test_orders_along_other_dimensions_than_the_last(shape, dim):
    for dtype in ("float32", "bfloat16", "int64"):
        values = rng.permutation(int(np.prod(shape))).reshape(shape) % 200
        x = nnlib.tensor(values).to(getattr(nnlib, dtype))
        got, at = nnlib.sort(x, dim, stable=True)
        want = np.argsort(values, dim, kind="stable")
        assert got.is_contiguous() and at.is_contiguous()
        np.testing.assert_array_equal(at.numpy(), want)
        np.testing.assert_array_equal(got.double().numpy(), np.sort(values, dim))
        top, at = nnlib.topk(x, 3, dim)
        np.testing.assert_array_equal(
            top.double().numpy(), np.flip(np.sort(values, dim), dim).take(range(3), dim)
        )
        np.testing.assert_array_equal(nnlib.gather(x, dim, at).double().numpy(), top.double().numpy())
        assert (
            nnlib.median(x, dim)[0].double().numpy() == np.sort(values, dim).take((shape[dim] - 1) // 2, dim)
        ).all()
