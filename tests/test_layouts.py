"""Results that may not depend on how values lie: transposed copies, channels last, reductions and scans along every
dimension, small integers in their own type, orders by keys; against NumPy in float64."""

import numpy as np
import pytest

import nnlib
from nnlib.nn import functional as F

rng = np.random.default_rng(3)
LAST = nnlib.channels_last


def randn(*shape):
    return rng.standard_normal(shape).astype(np.float32)


# ---- copies
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(1, 5), (3, 70), (70, 3), (16, 16), (65, 129), (200, 5)])
def test_transposed_copies(dtype, shape):
    a = (randn(*shape) * 50).astype(dtype)
    x = nnlib.from_numpy(a)
    np.testing.assert_array_equal(x.t().contiguous().numpy(), a.T)
    out = nnlib.from_numpy(a.T.copy())
    out.t().copy_(x)
    np.testing.assert_array_equal(out.numpy(), a.T)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 1, 2), (3, 1, 0, 2), (2, 0, 3, 1), (1, 0, 2, 3)])
@pytest.mark.parametrize("shape", [(2, 3, 17, 20), (3, 65, 2, 9), (1, 70, 70, 1)])
def test_permuted_copies(order, shape):
    a = randn(*shape)
    x = nnlib.from_numpy(a).permute(*order)
    np.testing.assert_array_equal(x.contiguous().numpy(), a.transpose(order))
    np.testing.assert_array_equal(x.to(nnlib.float64).numpy(), a.transpose(order).astype(np.float64))
    part = x[..., 1:] if x.shape[-1] > 1 else x
    np.testing.assert_array_equal(part.contiguous().numpy(), a.transpose(order)[..., part.shape[-1] * -1 :])


def test_turned_operands_and_spread_ones():
    a, b, row, col = randn(130, 300), randn(300, 130), randn(130), randn(300, 1)
    x, y = nnlib.from_numpy(a).t(), nnlib.from_numpy(b)
    np.testing.assert_array_equal((x + y).numpy(), a.T + b)
    np.testing.assert_array_equal((y - x).numpy(), b - a.T)
    np.testing.assert_array_equal((y * nnlib.from_numpy(row)).numpy(), b * row)
    np.testing.assert_array_equal((y * nnlib.from_numpy(col)).numpy(), b * col)
    np.testing.assert_array_equal((nnlib.from_numpy(col) - nnlib.from_numpy(row)).numpy(), col - row)


def test_flips_of_long_rows():
    a = randn(5, 67)
    np.testing.assert_array_equal(nnlib.from_numpy(a).flip(-1).numpy(), a[:, ::-1])
    np.testing.assert_array_equal(nnlib.from_numpy(a).flip(0, 1).numpy(), a[::-1, ::-1])


# ---- reductions
SHAPES = [
    ((7, 40, 33), 0),
    ((7, 40, 33), 1),
    ((7, 40, 33), 2),
    ((3000, 9), 0),
    ((40, 2), 1),
    ((5, 8, 3, 16), (0, 2)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8"])
@pytest.mark.parametrize("shape, dim", SHAPES)
def test_sums_and_extremes_along_each_dimension(dtype, shape, dim):
    a = (randn(*shape) * 3).astype(dtype)
    x = nnlib.from_numpy(a)
    wide = a.astype(np.float64) if a.dtype.kind == "f" else a.astype(np.int64)
    tolerance = {"float32": 2e-6, "float16": 2e-3, "float64": 1e-12}.get(dtype, 0)
    scale = np.abs(wide).sum(dim)
    error = np.abs(x.sum(dim).to(nnlib.float64).numpy() - wide.sum(dim))
    assert (error <= tolerance * scale).all()
    np.testing.assert_array_equal(x.amax(dim).numpy(), a.max(dim))
    np.testing.assert_array_equal(x.amin(dim).numpy(), a.min(dim))
    np.testing.assert_array_equal((x != 0).any(dim).numpy(), (a != 0).any(dim))
    np.testing.assert_array_equal((x != 0).all(dim).numpy(), (a != 0).all(dim))
    np.testing.assert_array_equal(nnlib.count_nonzero(x, dim).numpy(), np.count_nonzero(a, dim))
    if isinstance(dim, int) and a.dtype.kind == "f":
        near = (1 + wide * 0.01).astype(dtype)
        got = nnlib.from_numpy(near).prod(dim).to(nnlib.float64).numpy()
        np.testing.assert_allclose(got, near.astype(np.float64).prod(dim), rtol=max(tolerance, 1e-12))
    elif isinstance(dim, int):
        np.testing.assert_array_equal(x.prod(dim).numpy(), np.prod(wide, dim))


def test_extremes_of_columns_keep_nan():
    a = randn(50, 20)
    a[7, 3] = a[49, 4] = np.nan
    assert np.isnan(nnlib.from_numpy(a).amax(0).numpy()).tolist() == np.isnan(a).any(0).tolist()
    assert (
        np.isnan(nnlib.from_numpy(a.astype(np.float64)).amin(0).numpy()).tolist()
        == np.isnan(a).any(0).tolist()
    )


# ---- running sums
@pytest.mark.parametrize(
    "shape, dim", [((50_003,), 0), ((3, 40_000), 1), ((37, 150), 0), ((4, 21, 9), 1), ((6, 5), 1)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
def test_scans_along_each_dimension(shape, dim, dtype):
    a = (randn(*shape) * 4).astype(dtype)
    x = nnlib.from_numpy(a)
    wide = a.astype(np.float64) if a.dtype.kind == "f" else a.astype(np.int64)
    np.testing.assert_allclose(x.cumsum(dim).numpy(), wide.cumsum(dim), rtol=1e-6, atol=1e-6 * wide.size)
    values, places = x.cummax(dim)
    np.testing.assert_array_equal(values.numpy(), np.maximum.accumulate(a, dim))
    np.testing.assert_array_equal(np.take_along_axis(a, places.numpy(), dim), values.numpy())
    np.testing.assert_array_equal(x.cummin(dim).values.numpy(), np.minimum.accumulate(a, dim))
    if a.dtype.kind == "f":
        near = (1 + wide * 1e-3).astype(dtype)
        np.testing.assert_allclose(
            nnlib.from_numpy(near).cumprod(dim).numpy(), near.astype(np.float64).cumprod(dim), 1e-6
        )
        np.testing.assert_allclose(
            x.logcumsumexp(dim).numpy(), np.logaddexp.accumulate(wide, dim), rtol=1e-6, atol=1e-6
        )
        g = nnlib.from_numpy(a).requires_grad_(True)
        g.cumsum(dim).backward(x)
        want = np.flip(np.flip(wide, dim).cumsum(dim), dim)
        np.testing.assert_allclose(g.grad.numpy(), want, rtol=1e-6, atol=1e-6 * wide.size)


def test_running_maximum_takes_the_last_of_equals_and_the_first_nan():
    a = np.zeros(70, np.float32)
    a[20] = a[40] = 1
    values, places = nnlib.from_numpy(a).cummax(0)
    assert places.tolist() == [*range(20)] + [20] * 20 + [40] * 30
    a[50] = np.nan
    values, places = nnlib.from_numpy(a).cummax(0)
    assert places[50:].tolist() == [50] * 20 and np.isnan(values[50:].numpy()).all()


# ---- small integers
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_integers_in_their_own_type(dtype):
    info = np.iinfo(dtype)
    a = rng.integers(info.min, info.max, 3001, dtype=dtype, endpoint=True)
    b = rng.integers(info.min, info.max, 3001, dtype=dtype, endpoint=True)
    x, y = nnlib.from_numpy(a), nnlib.from_numpy(b)
    with np.errstate(over="ignore"):
        for name in (
            "add",
            "subtract",
            "multiply",
            "maximum",
            "minimum",
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
        ):
            np.testing.assert_array_equal(getattr(nnlib, name)(x, y).numpy(), getattr(np, name)(a, b), name)
        np.testing.assert_array_equal((~x).numpy(), ~a)
        np.testing.assert_array_equal((x + 3).numpy(), a + np.array(3, dtype))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        np.testing.assert_array_equal(getattr(nnlib, name)(x, y).numpy(), getattr(a, f"__{name}__")(b), name)
    # A number that the type cannot hold is compared as it is.
    assert (nnlib.from_numpy(np.array([44], np.uint8)) == 300).tolist() == [False]
    assert (nnlib.from_numpy(np.array([44], np.uint8)) < 300).tolist() == [True]


def test_bools_compare_and_combine():
    a, b = rng.integers(0, 2, 1000).astype(bool), rng.integers(0, 2, 1000).astype(bool)
    x, y = nnlib.from_numpy(a), nnlib.from_numpy(b)
    for got, want in [
        (x & y, a & b),
        (x | y, a | b),
        (x ^ y, a ^ b),
        (x == y, a == b),
        (x < y, ~a & b),
        (~x, ~a),
    ]:
        assert got.dtype == nnlib.bool
        np.testing.assert_array_equal(got.numpy(), want)


# ---- order
@pytest.mark.parametrize("n", [1, 5, 255, 256, 3000, 20_000])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_orders_are_stable(n, dtype):
    a = (randn(n) * 20).round(1).astype(dtype)
    if a.dtype.kind == "f" and n > 10:
        a[rng.integers(0, n, 5)] = np.nan
        a[rng.integers(0, n, 5)] = -np.inf
        a[rng.integers(0, n, 5)] = -0.0
        a[rng.integers(0, n, 5)] = 0.0
    x = nnlib.from_numpy(a)
    want = np.argsort(a, kind="stable")
    values, places = x.sort(stable=True)
    np.testing.assert_array_equal(places.numpy(), want)
    np.testing.assert_array_equal(values.numpy(), a[want])
    down, _ = x.sort(descending=True)
    np.testing.assert_array_equal(down.numpy()[::-1], a[want])
    k = max(1, n // 40)
    np.testing.assert_array_equal(x.topk(k, largest=False).values.numpy(), a[want][:k])
    np.testing.assert_array_equal(x.topk(n).values.numpy()[::-1], a[want])
    assert sorted(map(str, x.topk(k, sorted=False).values.tolist())) == sorted(map(str, down[:k].tolist()))
    valid = int((a == a).sum())
    middle = a[want][valid if valid < n else (n - 1) // 2]
    np.testing.assert_array_equal(x.median().numpy(), middle)
    np.testing.assert_array_equal(nnlib.nanmedian(x).numpy(), a[want][max(0, valid - 1) // 2])
    np.testing.assert_array_equal(x.unique().numpy(), np.unique(a, equal_nan=False))


# ---- gather and scatter
def test_rows_that_share_an_index():
    a, src, where = randn(9, 5), randn(30, 5), rng.integers(0, 9, (30, 1))
    index = nnlib.from_numpy(where).expand(30, 5)
    want = a.astype(np.float64)
    np.add.at(want, where[:, 0], src.astype(np.float64))
    x, s = nnlib.from_numpy(a).requires_grad_(True), nnlib.from_numpy(src).requires_grad_(True)
    y = x.scatter_add(0, index, s)
    np.testing.assert_allclose(y.detach().numpy(), want, rtol=1e-5, atol=1e-5)
    g = randn(9, 5)
    y.backward(nnlib.from_numpy(g))
    np.testing.assert_array_equal(x.grad.numpy(), g)
    np.testing.assert_array_equal(s.grad.numpy(), g[where[:, 0]])
    with pytest.raises(RuntimeError, match="out of bounds"):
        nnlib.zeros(9, 5).scatter_add(0, nnlib.full((30, 1), 9).expand(30, 5), s)


@pytest.mark.parametrize("shape, index", [((6, 7, 8), (3, 7, 2)), ((40, 5), (40, 1)), ((300,), (2000,))])
def test_gather_along_each_dimension(shape, index):
    a = randn(*shape)
    for d in range(len(shape)):
        sizes = [i if k == d else min(i, s) for k, (i, s) in enumerate(zip(index, shape, strict=True))]
        where = rng.integers(0, shape[d], sizes)
        grid = list(np.indices(sizes))
        grid[d] = where
        got = nnlib.from_numpy(a).gather(d, nnlib.from_numpy(where))
        np.testing.assert_array_equal(got.numpy(), a[tuple(grid)])
    columns = rng.integers(0, shape[-1], 11)
    got = nnlib.from_numpy(a).index_select(-1, nnlib.from_numpy(columns))
    np.testing.assert_array_equal(got.numpy(), a[..., columns])


# ---- channels last
POOLS = {
    "max 3": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max of each place": lambda x: F.max_pool2d(x, 3, 1, 1),
    "max dilated": lambda x: F.max_pool2d(x, 3, 1, 2, dilation=2),
    "max ceil": lambda x: F.max_pool2d(x, (3, 2), (2, 3), ceil_mode=True),
    "max 4 of 5": lambda x: F.max_pool2d(x, 4, 5),
    "avg 3": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "avg 3 without padding": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "avg divisor": lambda x: F.avg_pool2d(x, (2, 3), divisor_override=5),
    "adaptive avg": lambda x: F.adaptive_avg_pool2d(x, (5, 3)),
    "adaptive avg 1": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, (4, 7)),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, size=(13, 40), mode="bilinear", align_corners=True),
    "bicubic": lambda x: F.interpolate(x, size=(30, 9), mode="bicubic"),
    "group norm": lambda x: F.group_norm(
        x, 5, nnlib.linspace(1, 2, x.shape[1]), nnlib.linspace(0, 1, x.shape[1])
    ),
    "instance norm": F.instance_norm,
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("shape", [(2, 10, 17, 23), (1, 70, 6, 5), (3, 5, 40, 64)])
def test_channels_last_gives_what_planes_give(name, shape):
    a = randn(*shape)
    results = []
    for layout in (nnlib.contiguous_format, LAST):
        x = nnlib.from_numpy(a).contiguous(memory_format=layout).requires_grad_(True)
        y = POOLS[name](x)
        g = nnlib.from_numpy(np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(y.shape))
        y.backward(g.contiguous(memory_format=layout))
        assert y.is_contiguous(memory_format=layout) or 1 in y.shape[1:]
        results.append((y.detach().numpy(), x.grad.numpy()))
    for plane, last in zip(*results, strict=True):
        np.testing.assert_allclose(last, plane, rtol=2e-5, atol=2e-5)


def windows(a, k, s, p, d, fill):
    """The windows of a (N, C, H, W), as (N, C, out, out, k * k)."""
    a = np.pad(a, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=fill)
    reach = d * (k - 1) + 1
    w = np.lib.stride_tricks.sliding_window_view(a, (reach, reach), (2, 3))[:, :, ::s, ::s, ::d, ::d]
    return w.reshape(*w.shape[:4], -1)


@pytest.mark.parametrize("layout", [nnlib.contiguous_format, LAST])
@pytest.mark.parametrize(
    "k, s, p, d", [(3, 1, 1, 1), (3, 2, 1, 1), (2, 2, 0, 1), (3, 3, 1, 2), (5, 1, 2, 1), (2, 3, 1, 1)]
)
def test_pooling_against_numpy(layout, k, s, p, d):
    a = randn(2, 6, 21, 38)
    a[0, 1, 4, 5] = a[1, 2, 20, 37] = np.nan
    a[1, 3] = -np.inf
    x = nnlib.from_numpy(a).contiguous(memory_format=layout)
    y, places = F.max_pool2d(x, k, s, p, d, return_indices=True)
    want = windows(a, k, s, p, d, -np.inf).max(-1)
    np.testing.assert_array_equal(y.numpy(), want)
    np.testing.assert_array_equal(F.max_pool2d(x, k, s, p, d).numpy(), want)
    flat = a.reshape(2, 6, -1)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, places.numpy().reshape(2, 6, -1), 2).reshape(want.shape), want
    )
    if d == 1:
        b = randn(2, 6, 21, 38)
        got = F.avg_pool2d(nnlib.from_numpy(b).contiguous(memory_format=layout), k, s, p)
        np.testing.assert_allclose(
            got.numpy(), windows(b.astype(np.float64), k, s, p, 1, 0).mean(-1), rtol=1e-5, atol=1e-6
        )


def pool_window(o, size, k, s, p, d):
    """What window o of an axis holds."""
    return [i for i in range(o * s - p, o * s - p + d * k, d) if 0 <= i < size]


def pooled_size(size, k, s, p, d, ceil):
    n = (size + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil else 0)) // s + 1
    return n - 1 if ceil and (n - 1) * s >= size + p else n


@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("layout", [nnlib.contiguous_format, LAST])
def test_windows_of_any_kind_against_the_definition(channels, layout):
    """Kernels, strides, padding, dilation and rounding up by chance; dilated windows may hold nothing."""
    rng = np.random.default_rng(channels)
    empty = 0
    for _ in range(60):
        size, k, s, d = (rng.integers(1, high, 2).tolist() for high in (11, 5, 5, 3))
        p = [int(rng.integers(0, n // 2 + 1)) for n in k]
        ceil = bool(rng.integers(0, 2))
        out = [pooled_size(*axis, ceil) for axis in zip(size, k, s, p, d, strict=True)]
        if min(out) < 1:
            continue
        a = rng.standard_normal((2, channels, *size)).astype("float32")
        x = nnlib.from_numpy(a).contiguous(memory_format=layout).requires_grad_()
        y, places = F.max_pool2d(x, k, s, p, d, ceil, return_indices=True)
        assert y.shape == (2, channels, *out)
        y.sum().backward()
        want, gradient = np.full(y.shape, -np.inf, "float32"), np.zeros((2, channels, size[0] * size[1]))
        flat = a.reshape(2, channels, -1)
        for i, j in np.ndindex(*out):
            rows, columns = (
                pool_window(o, *axis)
                for o, axis in (
                    (i, (size[0], k[0], s[0], p[0], d[0])),
                    (j, (size[1], k[1], s[1], p[1], d[1])),
                )
            )
            taps = [r * size[1] + c for r in rows for c in columns]
            empty += not taps
            at = places[:, :, i, j].numpy()
            assert (0 <= at).all() and (at < size[0] * size[1]).all()
            if taps:
                want[:, :, i, j] = flat[:, :, taps].max(-1)
                np.testing.assert_array_equal(at, np.array(taps)[flat[:, :, taps].argmax(-1)])
            for n, c in np.ndindex(2, channels):
                gradient[n, c, at[n, c]] += 1
        np.testing.assert_array_equal(y.detach().numpy(), want)
        np.testing.assert_array_equal(F.max_pool2d(x, k, s, p, d, ceil).detach().numpy(), want)
        np.testing.assert_array_equal(x.grad.numpy().reshape(gradient.shape), gradient)
    assert empty


POOLS_3D = {
    "max": lambda x: F.max_pool3d(x, 2, 1),
    "avg": lambda x: F.avg_pool3d(x, 2, 2),
    "adaptive avg": lambda x: F.adaptive_avg_pool3d(x, (5, 2, 3)),
    "adaptive max": lambda x: F.adaptive_max_pool3d(x, (3, 4, 2)),
    "unpool": lambda x: F.max_unpool3d(*F.max_pool3d(x, 2, return_indices=True), 2),
}


@pytest.mark.parametrize("name", POOLS_3D)
def test_a_volume_without_a_batch_is_no_image_with_its_channels_last(name):
    """(C, D, H, W) whose second dimension comes last in memory."""
    a = randn(8, 10, 6, 4)
    results = []
    for layout in (nnlib.contiguous_format, LAST):
        x = nnlib.from_numpy(a).contiguous(memory_format=layout).requires_grad_(True)
        y = POOLS_3D[name](x)
        y.backward(nnlib.from_numpy(np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(y.shape)))
        results.append((y.detach().numpy(), x.grad.numpy()))
    for plane, last in zip(*results, strict=True):
        np.testing.assert_allclose(last, plane, rtol=1e-6, atol=1e-6)


POOLS_1D = {
    "max": lambda x: F.max_pool1d(x, 3, 2, 1, ceil_mode=True),
    "max dilated": lambda x: F.max_pool1d(x, 2, 1, 1, dilation=2),
    "places": lambda x: F.max_pool1d(x, 3, 1, 1, return_indices=True)[0],
    "avg": lambda x: F.avg_pool1d(x, 3, 2, 1),
    "adaptive avg": lambda x: F.adaptive_avg_pool1d(x, 3),
    "adaptive avg 1": lambda x: F.adaptive_avg_pool1d(x, 1),
    "adaptive max": lambda x: F.adaptive_max_pool1d(x, 4),
}


@pytest.mark.parametrize("name", POOLS_1D)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 11, 16), (1, 70, 9), (3, 33, 2)])
def test_lines_with_their_channels_last(shape, dtype, name):
    """The values and gradients of contiguous lines, in the order of the memory."""
    N, L, C = shape
    a = nnlib.from_numpy(randn(*shape)).to(getattr(nnlib, dtype))
    results = []
    for last in (True, False):
        x = a.clone().requires_grad_(True)
        turned = x.transpose(1, 2)
        y = POOLS_1D[name](turned if last else turned.contiguous())
        g = nnlib.from_numpy(np.cos(np.arange(y.numel(), dtype=np.float32)).reshape(y.shape)).to(y.dtype)
        y.backward(g)
        if last:
            assert y.stride() == (y.shape[2] * C, 1, C)
        results.append((y.detach().double().numpy(), x.grad.double().numpy()))
    tolerance = 1e-2 if dtype == "bfloat16" else 1e-6
    for last, line in zip(*results, strict=True):
        np.testing.assert_allclose(last, line, rtol=tolerance, atol=tolerance)


def test_maxima_of_lines_alone_lie_in_order():
    """As PyTorch's do, where neither places nor gradients are wanted."""
    a = randn(2, 20, 12)
    y = F.max_pool1d(nnlib.from_numpy(a).transpose(1, 2), 2)
    assert y.is_contiguous()
    np.testing.assert_array_equal(y.numpy(), a.reshape(2, 10, 2, 12).max(2).transpose(0, 2, 1))
    x = nnlib.from_numpy(a).transpose(1, 2)
    _, places = F.max_pool1d(x, 2, return_indices=True)
    np.testing.assert_array_equal(np.take_along_axis(a.transpose(0, 2, 1), places.numpy(), 2), y.numpy())


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
def test_a_line_of_windows_in_one_dimension(stride):
    a = randn(3, 4, 501)
    got = F.max_pool1d(nnlib.from_numpy(a), 3, stride, 1).numpy()
    padded = np.pad(a, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    np.testing.assert_array_equal(
        got, np.lib.stride_tricks.sliding_window_view(padded, 3, 2)[:, :, ::stride].max(-1)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int16"])
def test_operands_turned_against_a_view_with_gaps(dtype):
    """Such a view has no dense layout that an operand could be copied into as it stands."""
    a, b = np.arange(110 * 90 * 7).reshape(110, 90, 7) % 13, np.arange(47 * 53 * 4).reshape(47, 53, 4) % 11
    whole = nnlib.from_numpy(a.copy()).to(getattr(nnlib, dtype))
    view = whole[3:97:2, 5:58, 1:5].permute(2, 1, 0)  # the innermost dimension comes last in memory
    other = nnlib.from_numpy(b).to(getattr(nnlib, dtype)).permute(2, 1, 0).contiguous()
    (view + other).add_(1)
    view.sub_(other)
    view.transpose(0, 2).mul_(other.transpose(0, 2).contiguous())
    expected = a.copy()
    part = expected[3:97:2, 5:58, 1:5]
    part[...] = (part - b) * b
    np.testing.assert_array_equal(whole.double().numpy(), expected)


CONTIGUOUS = {
    "softmax": lambda x: F.softmax(x, 1),
    "log_softmax": lambda x: F.log_softmax(x, 2),
    "cumsum": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(-1),
    "logcumsumexp": lambda x: x.logcumsumexp(1),
    "masked_fill": lambda x: x.masked_fill(x > 0, 1.0),
    "renorm": lambda x: x.renorm(2, 0, 1.0),
    "attention with dropout": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=1e-9),
    "attention of one head": lambda x: F.scaled_dot_product_attention(x[0], x[0], x[0]),
}


@pytest.mark.parametrize("name", CONTIGUOUS)
def test_results_that_may_be_viewed_whatever_the_operand_looks_like(name):
    """As PyTorch lays them out; other results keep their operand's order."""
    a = randn(2, 3, 4, 5)
    f = CONTIGUOUS[name]
    want = f(nnlib.from_numpy(a))
    for turned in (
        nnlib.from_numpy(a).contiguous(memory_format=LAST),
        nnlib.from_numpy(a.transpose().copy()).permute(3, 2, 1, 0),
    ):
        got = f(turned)
        assert got.is_contiguous()
        np.testing.assert_allclose(got.view(-1).numpy(), want.reshape(-1).numpy(), rtol=1e-5, atol=1e-6)
        assert turned.exp().stride() == turned.stride()


def test_attention_lies_as_its_queries_do():
    q, k = nnlib.from_numpy(randn(2, 3, 4, 8)), nnlib.from_numpy(randn(2, 3, 6, 8))
    beside = q.transpose(1, 2).contiguous().transpose(1, 2)
    assert F.scaled_dot_product_attention(q, k, k).is_contiguous()
    assert F.scaled_dot_product_attention(beside, k, k).transpose(1, 2).is_contiguous()


# ---- random numbers
def test_the_generator_is_the_mersenne_twister():
    """Beyond one refill of its 624 words, and from a state that was put back in the middle of one."""
    nnlib.manual_seed(12345)
    want = np.random.RandomState(12345).randint(0, 2**32, 2000, dtype=np.uint32)
    np.testing.assert_array_equal(
        nnlib.empty(1000, dtype=nnlib.int64).random_(0, 2**24).numpy(), want[:1000] % 2**24
    )
    state = nnlib.get_rng_state()
    rest = nnlib.rand(1000)
    np.testing.assert_array_equal(rest.numpy(), ((want[1000:] & 0xFFFFFF) / 2**24).astype(np.float32))
    nnlib.set_rng_state(state)
    assert nnlib.equal(nnlib.rand(1000), rest)


@pytest.mark.parametrize("channels", [4, 36, 288])
def test_rolls_and_pixel_shuffles_keep_the_channels_last(channels):
    a = randn(2, channels, 6, 4)
    planes = nnlib.tensor(a)
    x = planes.contiguous(memory_format=LAST)
    for f in (
        lambda x: x.roll(3, 3),
        lambda x: x.roll((-1, 9, 1), (2, 3, 1)),
        lambda x: x.roll((1, 2, 3, -1, 1), (0, 1, 2, 3, 2)),
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: F.pixel_unshuffle(x, 2),
    ):
        got, want = f(x), f(planes)
        assert got.is_contiguous(memory_format=LAST) and want.is_contiguous()
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    shuffled = a.reshape(2, channels // 4, 2, 2, 6, 4).transpose(0, 1, 4, 2, 5, 3)
    np.testing.assert_array_equal(F.pixel_shuffle(x, 2).numpy(), shuffled.reshape(2, channels // 4, 12, 8))
    np.testing.assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).numpy(), a)
    rolled = np.roll(a, (1, 2, 3, -1, 1), (0, 1, 2, 3, 2))
    np.testing.assert_array_equal(x.roll((1, 2, 3, -1, 1), (0, 1, 2, 3, 2)).numpy(), rolled)
