"""Many short runs, and rows that are long: reductions over a few neighbouring values, places of true values, pooling's
gradient and norms whose way depends on the sizes. References are float64 (exact for integers)."""

import numpy as np
import pytest

import nnlib
import nnlib.nn.functional as F

FLOATS = {nnlib.float32: 2e-6, nnlib.float64: 1e-14, nnlib.bfloat16: 8e-3, nnlib.float16: 1e-3}
REDUCTIONS = {
    "sum": lambda a, d: a.sum(d),
    "mean": lambda a, d: a.mean(d),
    "prod": lambda a, d: a.prod(d),
    "amax": lambda a, d: a.max(d),
    "amin": lambda a, d: a.min(d),
    "norm": lambda a, d: np.sqrt((a * a).sum(d)),
    "any": lambda a, d: (a != 0).any(d),
    "all": lambda a, d: (a != 0).all(d),
    "count_nonzero": lambda a, d: (a != 0).sum(d),
    "argmax": lambda a, d: a.argmax(d),
    "argmin": lambda a, d: a.argmin(d),
    "max": lambda a, d: a.max(d),
}


def runs(shape, dtype, whole):
    """Few bits, so that every type holds them, and ties are seldom where the type holds many values."""
    rng = np.random.default_rng(3)
    n = int(np.prod(shape))
    a = rng.integers(-3, 4, n) if whole else rng.permutation(n) % 250 / 64.0 - 1.9
    return nnlib.from_numpy(a.reshape(shape)).to(dtype)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(
    "shape", [(9, 2), (300, 7), (1000, 31), (520, 32), (40, 33), (7, 5), (0, 4), (6, 50, 3)], ids=str
)
def test_reductions_of_short_runs(shape, name):
    whole = [nnlib.int64, nnlib.int32, nnlib.uint8] if name not in ("mean", "norm") else []
    for dtype in [*FLOATS, *whole]:
        x = runs(shape, dtype, dtype in whole)
        # Runs that lie together, and the same numbers where only what is reduced does.
        apart = nnlib.stack([x, x], 1)[:, 0]
        for t in (x, apart):
            got = t.norm(dim=-1) if name == "norm" else getattr(t, name)(-1)
            got = got.values if name == "max" else got
            want = REDUCTIONS[name](t.double().numpy() if dtype in FLOATS else t.long().numpy(), -1)
            rtol = FLOATS.get(dtype, 0) * (4 if name == "prod" else 1)
            np.testing.assert_allclose(
                got.double().numpy(), want.astype("float64"), rtol=rtol, atol=rtol, err_msg=f"{dtype}"
            )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_sums_without_nan(dtype):
    x = runs((40, 33), dtype, False)
    for holes in ([], [(3, 5), (3, 6), (39, 0)]):
        for at in holes:
            x[at] = float("nan")
        for dim in (0, 1):
            np.testing.assert_allclose(
                x.nansum(dim).double().numpy(),
                np.nansum(x.double().numpy(), dim),
                rtol=FLOATS[dtype],
                atol=FLOATS[dtype],
            )
    inf = nnlib.tensor([[1.0, float("inf")], [-float("inf"), float("inf")], [float("nan"), 2.0]]).to(dtype)
    got = inf.nansum(1)
    assert got[0] == float("inf") and got[1].isnan() and got[2] == 2 and nnlib.zeros(0).nansum() == 0


def test_running_extremes_of_short_rows():
    rng = np.random.default_rng(2)
    for dtype in (*FLOATS, nnlib.int64):
        for sizes in ((300, 5), (50, 20), (7, 1), (3, 40)):
            x = nnlib.from_numpy(rng.integers(-4, 5, sizes).astype("float64")).to(dtype)
            a = x.double().numpy()
            for name, running in (("cummax", np.maximum), ("cummin", np.minimum)):
                values, at = getattr(x, name)(1)
                want = running.accumulate(a, 1)
                np.testing.assert_array_equal(values.double().numpy(), want)
                # The last of equals.
                last = np.maximum.accumulate(np.where(a == want, np.arange(sizes[1]), 0), 1)
                np.testing.assert_array_equal(at.numpy(), last)
    x = nnlib.tensor([[1.0, float("nan"), 3.0, 0.0]])
    assert x.cummax(1).indices.tolist() == [[0, 1, 1, 1]] and x.cummin(1).values[0, 1:].isnan().all()


def test_short_runs_keep_nan_and_infinities():
    x = nnlib.zeros(100, 5)
    x[3, 2], x[50, 4], x[70, 0] = float("nan"), float("inf"), -float("inf")
    for dtype in FLOATS:
        y = x.to(dtype)
        for name in ("sum", "prod", "amax", "amin", "norm"):
            assert getattr(y, name)(dim=1).isnan()[3]
        assert (
            y.amax(1)[50] == float("inf")
            and y.amin(1)[70] == -float("inf")
            and y.norm(dim=1)[70] == float("inf")
        )
        assert y.argmax(1)[3] == 2 and y.argmax(1)[50] == 4 and y.argmin(1)[70] == 0
        assert y.any(1).nonzero().flatten().tolist() == [3, 50, 70]


@pytest.mark.parametrize("dtype", [*FLOATS, nnlib.int64, nnlib.uint8], ids=str)
def test_sums_and_scans_in_the_order_of_the_memory(dtype):
    """Of permuted tensors, with and without gaps, expanded ones and windows that overlap."""
    base = np.random.default_rng(9).integers(0, 4, (3, 9, 4, 1, 5)).astype("float64")
    x = nnlib.from_numpy(base).to(dtype)
    views = [x.permute(p) for p in ((0, 2, 3, 4, 1), (4, 2, 3, 1, 0), (1, 0, 4, 3, 2), (3, 4, 0, 1, 2))]
    views += [v[..., ::2] for v in views] + [v.select(0, 0) for v in views]
    views += [
        x.permute(4, 3, 2, 1, 0).expand(5, 6, 4, 9, 3),
        x[0, :, 0, 0].t().unfold(1, 3, 1).permute(1, 2, 0),
    ]
    for v in views:
        a = v.double().numpy()
        for dim in range(v.dim()):
            for keepdim in (False, True):
                got = v.sum(dim, keepdim=keepdim)
                assert got.is_contiguous()
                np.testing.assert_allclose(got.double().numpy(), a.sum(dim, keepdims=keepdim), rtol=8e-3)
            np.testing.assert_allclose(v.cumsum(dim).double().numpy(), a.cumsum(dim), rtol=8e-3)
        got = v.double().mean((0, v.dim() - 1))
        np.testing.assert_allclose(got.numpy(), a.mean((0, v.dim() - 1)), rtol=1e-13)


@pytest.mark.parametrize("shape", [(5, 300), (70, 8), (3, 9, 131), (2, 1, 40), (4, 6, 5, 7)], ids=str)
def test_places_along_other_dimensions_than_the_last(shape):
    rng = np.random.default_rng(5)
    for dtype in FLOATS:
        for values in (
            rng.integers(-3, 4, shape).astype("float64"),
            rng.permutation(int(np.prod(shape))) % 250 / 64.0,
        ):
            x = nnlib.from_numpy(values.reshape(shape)).to(dtype)
            flat = x.view(-1)
            flat[3], flat[-2], flat[7], flat[11] = float("nan"), float("nan"), float("inf"), -float("inf")
            for dim in range(len(shape) - 1):
                for name in ("max", "min"):
                    # NumPy's places: the first of equals, and the first NaN.
                    want = getattr(np, "arg" + name)(x.double().numpy(), dim)
                    got = getattr(x, name)(dim)
                    np.testing.assert_array_equal(got.indices.numpy(), want)
                    picked = np.take_along_axis(x.double().numpy(), np.expand_dims(want, dim), dim).squeeze(
                        dim
                    )
                    np.testing.assert_array_equal(got.values.double().numpy(), picked)
                    np.testing.assert_array_equal(getattr(x, "arg" + name)(dim).numpy(), want)


@pytest.mark.parametrize(
    "shape", [(), (5,), (0, 3), (700,), (3, 1000), (90, 700), (2, 3, 5, 7), (40000, 2), (4, 1)], ids=str
)
def test_places_of_true_values(shape):
    rng = np.random.default_rng(8)
    for share in (0, 0.1, 0.5, 1):
        a = (rng.random(shape) < share).astype("float32")
        want = np.argwhere(a) if shape else np.zeros((int(a), 0))
        for x in (
            nnlib.from_numpy(np.asarray(a)),
            nnlib.from_numpy(np.asarray(a.T.copy())).T if len(shape) == 2 else None,
        ):
            if x is not None:
                np.testing.assert_array_equal(nnlib.nonzero(x).numpy(), want)


@pytest.mark.parametrize("layer", [
    lambda x: F.avg_pool2d(x, 3, 1, 1),
    lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    lambda x: F.avg_pool2d(x, 2, 3),  # places that no window holds
    lambda x: F.avg_pool2d(x, (1, 4), (2, 1)),
    lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
    lambda x: F.adaptive_avg_pool2d(x, (13, 17)),  # more windows than places
    lambda x: F.avg_pool2d(x, 9, 1, 4),
    lambda x: F.avg_pool2d(x, 2, 2, divisor_override=3),
])  # fmt: skip
@pytest.mark.parametrize("channels", [8, 13, 80])
def test_mean_gradients_of_channels(layer, channels):
    rng = np.random.default_rng(2)
    values = rng.standard_normal((2, channels, 11, 12))
    plain = nnlib.from_numpy(values).requires_grad_()
    slopes = nnlib.from_numpy(rng.standard_normal(tuple(layer(plain).shape)))
    for dtype, tol in FLOATS.items():
        plain = nnlib.from_numpy(values).to(dtype).double().requires_grad_()
        layer(plain).backward(slopes.to(dtype).double())
        x = nnlib.from_numpy(values).to(dtype).contiguous(memory_format=nnlib.channels_last).requires_grad_()
        layer(x).backward(slopes.to(dtype).contiguous(memory_format=nnlib.channels_last))
        assert x.grad.is_contiguous(memory_format=nnlib.channels_last)
        np.testing.assert_allclose(x.grad.double().numpy(), plain.grad.numpy(), rtol=tol, atol=tol)


@pytest.mark.parametrize("dtype", [nnlib.bfloat16, nnlib.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("width", [1, 7, 64, 513, 16384, 16391])
def test_norms_of_16_bit_rows(width, dtype):
    nnlib.manual_seed(4)
    groups = {
        "layer": lambda x, w, b: F.layer_norm(x, (width,), w, b),
        "rms": lambda x, w, b: F.rms_norm(x, (width,), w),
    }
    for name, layer in groups.items():
        x, w, b, g = (nnlib.randn(*s).to(dtype) for s in ((3, width), (width,), (width,), (3, width)))
        x = x + 0.5
        check(layer, (x, w, b), g, dtype, name)
    # One group of two channels.
    x, w, b = nnlib.randn(2, 2, width).to(dtype) + 0.5, nnlib.randn(2).to(dtype), nnlib.randn(2).to(dtype)
    check(
        lambda x, w, b: F.group_norm(x, 1, w, b),
        (x, w, b),
        nnlib.randn(2, 2, width).to(dtype),
        dtype,
        "group",
    )


def check(layer, inputs, g, dtype, name):
    leaves = [t.detach().requires_grad_() for t in inputs]
    wide = [t.detach().double().requires_grad_() for t in inputs]
    y, want = layer(*leaves), layer(*wide)
    y.backward(g), want.backward(g.double())
    for got, ref in [(y, want), *((a.grad, c.grad) for a, c in zip(leaves, wide, strict=True))]:
        if got is None:  # rms_norm's bias
            assert ref is None
            continue
        scale = max(1.0, ref.abs().max().item())
        assert got.dtype == dtype, name
        assert (got.double() - ref).abs().max().item() <= FLOATS[dtype] * scale, name


@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.bfloat16, nnlib.float16], ids=str)
def test_gradient_of_bags_by_maximum(dtype):
    rng = np.random.default_rng(6)
    for rows, width, places in ((40, 5, 90), (7, 300, 64), (1000, 1, 50)):
        weight = (
            nnlib.from_numpy(rng.permutation(rows * width).reshape(rows, width) % 250 / 64.0)
            .to(dtype)
            .requires_grad_()
        )
        index = nnlib.from_numpy(rng.integers(0, rows, places))
        offsets = nnlib.tensor([0, 3, 3, 10, 40, places])  # an empty bag, and one at the end
        y = F.embedding_bag(index, weight, offsets, mode="max")
        g = nnlib.from_numpy(rng.standard_normal(tuple(y.shape))).to(dtype)
        y.backward(g)
        table, want = weight.detach().double().numpy(), np.zeros((rows, width))
        ends = [*offsets.tolist()[1:], places]
        for bag, (a, b) in enumerate(zip(offsets.tolist(), ends, strict=True)):
            for j in range(width if b > a else 0):
                at = index.numpy()[a:b]
                want[at[table[at, j].argmax()], j] += g[bag, j].double().item()
        np.testing.assert_allclose(weight.grad.double().numpy(), want, rtol=FLOATS[dtype], atol=1e-7)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 67, 130])
def test_samples_of_few_points_of_a_large_image(channels, dims):
    """An image in planes is turned round where its points are many; one with the channels last is read as it lies."""
    rng = np.random.default_rng(channels)
    last = nnlib.channels_last if dims == 2 else nnlib.channels_last_3d
    for size, points in (((31, 33), (2, 3)), ((5, 6), (13, 17)), ((1, 1), (3, 5))):
        size, points = ((3, *size), (2, *points)) if dims == 3 else (size, points)
        x = nnlib.from_numpy(rng.standard_normal((2, channels, *size)))
        grid = nnlib.from_numpy(rng.uniform(-1.3, 1.3, (2, *points, dims)))
        for mode in ("bilinear", "nearest") + (("bicubic",) if dims == 2 else ()):
            grid[0, 0, 0, ...] = 0.25 if mode == "bicubic" else float("nan")
            for padding in ("zeros", "border"):
                want = F.grid_sample(x.float().double(), grid.float().double(), mode, padding, False)
                for image in (x.float(), x.float().contiguous(memory_format=last)):
                    got = F.grid_sample(image, grid.float(), mode, padding, False)
                    assert got.is_contiguous()
                    np.testing.assert_allclose(got.double().numpy(), want.numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_bicubic_samples_of_no_place_are_nan(padding):
    x = nnlib.randn(1, 2, 4, 5)
    places = [[np.nan, 0.1], [np.inf, 0.2], [0.3, -np.inf], [0.2, 0.1]]
    for dtype in (nnlib.float32, nnlib.float64):
        grid = nnlib.tensor(places, dtype=dtype)[None, None]
        y = F.grid_sample(x.to(dtype), grid, "bicubic", padding, align_corners=False)
        assert y.isnan()[0, 0, 0].tolist() == [True, True, True, False]
