"""Layers on images of every float type, in planes and with the channels last, few channels and many: against the
same layer on float64 planes, whose values and gradients tests/op_cases holds against PyTorch and finite differences."""

import numpy as np
import pytest

import nnlib
from nnlib.nn import functional as F

TYPES = {nnlib.float32: 3e-6, nnlib.float64: 1e-13, nnlib.bfloat16: 1.6e-2, nnlib.float16: 2e-3}
SHAPES = [(2, 3, 9, 11), (3, 1, 7, 5), (2, 9, 8, 7), (1, 70, 13, 4), (4, 32, 5, 6), (0, 5, 6, 7)]
LAYERS = {
    "max_pool": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool of each place": lambda x: F.max_pool2d(x, 3, 1, 1),
    "max_pool 2": lambda x: F.max_pool2d(x, 2),
    "max_pool lines": lambda x: F.max_pool2d(x, (2, 1), 1),
    "max_pool apart": lambda x: F.max_pool2d(x, 2, 3),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, 3),
    "avg_pool": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool without padding": lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    "avg_pool divided": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "avg_pool apart": lambda x: F.avg_pool2d(x, 2, 3),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
    "mean": lambda x: F.adaptive_avg_pool2d(x, 1),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, size=(7, 13), mode="bilinear"),
    "bicubic": lambda x: F.interpolate(x, size=(6, 3), mode="bicubic"),
    "reflect": lambda x: F.pad(x, (2, 1, 1, 2), mode="reflect"),
    "replicate": lambda x: F.pad(x, (3, 1, 0, 2), mode="replicate"),
    "circular": lambda x: F.pad(x, (1, 2, 2, 0), mode="circular"),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "group_norm": lambda x: F.group_norm(x, x.shape[1]),
    "group_norm of one": lambda x: F.group_norm(x, 1),
    "softmax": lambda x: F.softmax(x, 1),
    "log_softmax": lambda x: F.log_softmax(x, 2),
}


def run(layer, values, slopes, dtype, last):
    # What the type can hold is what every type starts from.
    x = nnlib.from_numpy(values).to(dtype)
    if last:
        x = x.contiguous(memory_format=nnlib.channels_last)
    x.requires_grad_(True)
    y = layer(x)
    assert y.dtype == dtype
    g = nnlib.from_numpy(slopes(tuple(y.shape))).to(dtype)
    if last:
        g = g.contiguous(memory_format=nnlib.channels_last)
    y.backward(g)
    assert x.grad.dtype == dtype
    return [t.detach().double().numpy() for t in (y, x.grad)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_types_and_layouts_agree(name, shape):
    rng = np.random.default_rng(5)
    # Few bits, so that every type holds them, and all different, so that maxima have one place.
    n = int(np.prod(shape))
    if name.startswith(("max", "adaptive_max")):
        values = (rng.permutation(n) % 256 - 128).reshape(shape) / 64.0
    else:
        values = np.round(rng.standard_normal(shape) * 16) / 16
    slopes = {}

    def make(sizes):
        if sizes not in slopes:
            slopes[sizes] = np.round(rng.standard_normal(sizes) * 16) / 16
        return slopes[sizes]

    want = run(LAYERS[name], values, make, nnlib.float64, False)
    for dtype, tolerance in TYPES.items():
        for last in (False, True):
            got = run(LAYERS[name], values, make, dtype, last)
            for what, a, b in zip(("result", "gradient"), got, want, strict=True):
                scale = max(1.0, np.abs(b).max(initial=0))
                np.testing.assert_allclose(
                    a, b, rtol=tolerance, atol=tolerance * scale, err_msg=f"{what} {dtype} {last}"
                )


INTEGERS = [nnlib.uint8, nnlib.int8, nnlib.int16, nnlib.int32, nnlib.int64]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("shape", [(1,), (33,), (5, 70), (70, 5), (3, 40, 9), (2, 300, 17)], ids=str)
def test_extremes_and_counts_of_integers(dtype, shape):
    rng = np.random.default_rng(7)
    info = nnlib.iinfo(dtype)
    a = rng.integers(info.min, info.max, shape, endpoint=True, dtype=str(dtype).split(".")[-1])
    a[rng.random(shape) < 0.3] = 0
    x = nnlib.from_numpy(a)
    for t, b in ((x, a), (x[..., ::2], a[..., ::2]), (x.transpose(0, -1), a.swapaxes(0, -1))):
        assert t.max().item() == b.max() and t.min().item() == b.min()
        assert nnlib.count_nonzero(t).item() == np.count_nonzero(b)
        for d in range(b.ndim):
            np.testing.assert_array_equal(t.amax(d).numpy(), b.max(d))
            np.testing.assert_array_equal(t.amin(d).numpy(), b.min(d))
            values, places = t.max(d)
            np.testing.assert_array_equal(values.numpy(), b.max(d))
            np.testing.assert_array_equal(places.numpy(), b.argmax(d))
            np.testing.assert_array_equal(t.argmin(d).numpy(), b.argmin(d))
            np.testing.assert_array_equal(t.any(d).numpy(), b.any(d))
            np.testing.assert_array_equal(t.all(d).numpy(), b.all(d))
            np.testing.assert_array_equal(nnlib.count_nonzero(t, d).numpy(), np.count_nonzero(b, d))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_bounds_of_integers(dtype):
    rng = np.random.default_rng(15)
    info = nnlib.iinfo(dtype)
    a, b = (
        rng.integers(info.min, info.max, (3, 333), endpoint=True, dtype=str(dtype).split(".")[-1])
        for _ in "ab"
    )
    for x, y, p, q in (
        (a, b, nnlib.from_numpy(a), nnlib.from_numpy(b)),
        (a, b[:1], nnlib.from_numpy(a), nnlib.from_numpy(b[:1].copy())),
        (a[:, ::3], b[:, :111], nnlib.from_numpy(a)[:, ::3], nnlib.from_numpy(b)[:, :111]),
        (a[:0], b[:0], nnlib.from_numpy(a[:0]), nnlib.from_numpy(b[:0])),
    ):
        np.testing.assert_array_equal(nnlib.maximum(p, q).numpy(), np.maximum(x, y))
        np.testing.assert_array_equal(nnlib.minimum(p, q).numpy(), np.minimum(x, y))
        for low, high in ((3, 50), (50, 3), (0, 0)):
            np.testing.assert_array_equal(p.clamp(low, high).numpy(), np.minimum(np.maximum(x, low), high))
        np.testing.assert_array_equal(p.clamp(min=7).numpy(), np.maximum(x, 7))
        np.testing.assert_array_equal(p.clamp(max=7).numpy(), np.minimum(x, 7))


def test_first_values_of_runs():
    rng = np.random.default_rng(17)
    for dtype in ("uint8", "int16", "int64", "float32", "float64"):
        a = rng.integers(0, 3, 500).astype(dtype)
        starts = np.flatnonzero(np.append(True, a[1:] != a[:-1]))
        np.testing.assert_array_equal(nnlib.from_numpy(a).unique_consecutive().numpy(), a[starts])
        assert nnlib.from_numpy(a[:0]).unique_consecutive().shape == (0,)
        assert nnlib.from_numpy(a[:1]).unique_consecutive().tolist() == a[:1].tolist()
    x = nnlib.tensor([0.0, -0.0, float("nan"), float("nan"), 1.0, 1.0])
    np.testing.assert_array_equal(x.unique_consecutive().numpy(), [0.0, np.nan, np.nan, 1.0])


@pytest.mark.parametrize("p", [1.5, 3, 4, 5, 8, 9])
def test_norms_of_any_order(p):
    a = np.random.default_rng(19).standard_normal((3, 150))
    for dtype, tolerance in ((nnlib.float32, 1e-6), (nnlib.float64, 1e-13)):
        x = nnlib.from_numpy(a).to(dtype)
        for y, b in ((x, a), (x[:, ::7], a[:, ::7]), (x.t(), a.T)):
            want = (np.abs(b) ** p).sum(-1) ** (1 / p)
            np.testing.assert_allclose(
                nnlib.linalg.vector_norm(y, p, dim=-1).numpy(), want, rtol=10 * tolerance
            )


def test_neighbours_and_even_steps():
    a = np.array([0.0, -0.0, 1, -1, 1, np.inf, -np.inf, np.nan, 1, 3.4e38, 1e-45, -1e-45, 0, 0], "float32")
    b = np.array([1, -1, 2, -2, 1, 0, np.inf, 1, np.nan, np.inf, 0, 0, 0.0, -0.0], "float32")
    for dtype in ("float32", "float64"):
        x, y = a.astype(dtype), b.astype(dtype)
        got = nnlib.nextafter(nnlib.from_numpy(x), nnlib.from_numpy(y)).numpy()
        np.testing.assert_array_equal(got, np.nextafter(x, y))
    with np.errstate(over="ignore"):
        x, y = a.astype("float16"), b.astype("float16")
    got = nnlib.nextafter(nnlib.from_numpy(x), nnlib.from_numpy(y)).numpy()
    np.testing.assert_array_equal(got, np.nextafter(x, y))
    brain = nnlib.tensor([1.0, 1.0, 0.0, -1.0]).bfloat16()
    got = nnlib.nextafter(brain, nnlib.tensor([2.0, 0.0, -1.0, -1.0]).bfloat16())
    assert got.float().tolist() == [1 + 2**-7, 1 - 2**-8, -(2.0**-133), -1]
    for steps in (2, 3, 1000, 1001):
        got = nnlib.linspace(-0.3, 7.1, steps).numpy()
        np.testing.assert_allclose(got, np.linspace(-0.3, 7.1, steps), rtol=1e-6, atol=1e-6)
        assert got[0] == np.float32(-0.3) and got[-1] == np.float32(7.1)
    x, y = (
        np.array([0.0, -np.inf, np.inf, 3, np.nan], "float32"),
        np.array([0.0, -np.inf, np.inf, -200, 1], "float32"),
    )
    got = nnlib.logaddexp2(nnlib.from_numpy(x), nnlib.from_numpy(y)).numpy()
    with np.errstate(invalid="ignore"):
        want = np.logaddexp2(x.astype("float64"), y)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_shifts_by_a_number_and_by_a_number_each(dtype):
    rng = np.random.default_rng(9)
    info = nnlib.iinfo(dtype)
    x = nnlib.from_numpy(rng.integers(info.min, info.max, 70, dtype=str(dtype).split(".")[-1]))
    for by in (-1, 0, 1, 5, info.bits - 1, info.bits, 200):
        if dtype in (nnlib.uint8, nnlib.int8) and not info.min <= by <= info.max:
            continue
        each = nnlib.full((70,), by, dtype=dtype)
        np.testing.assert_array_equal((x << by).numpy(), (x << each).numpy())
        np.testing.assert_array_equal((x >> by).numpy(), (x >> each).numpy())
        if 0 <= by < info.bits:
            wrapped = (x.numpy().astype("int64") << by).astype(x.numpy().dtype)
            np.testing.assert_array_equal((x << by).numpy(), wrapped)
            np.testing.assert_array_equal((x >> by).numpy(), x.numpy() >> by)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_grid_samples_of_every_type(mode, padding, align_corners, dims):
    if mode == "bicubic" and dims == 3:
        pytest.skip("two dimensions alone")
    rng = np.random.default_rng(11)
    size = (5, 6, 7)[-dims:]
    image = np.round(rng.standard_normal((2, 3, *size)) * 16) / 16
    # Points inside, outside and far away; not on the places where a slope changes, save for exact ends.
    points = np.round(rng.uniform(-1.6, 1.6, (2, 9, *size[1:], dims)) * 32) / 32 + 1 / 128
    points[0, 0] = 1.0
    if padding != "reflection":  # where float32 would not know the place
        points[1, 0] = 1e12
        points[1, 1] = -1e12
    results = {}
    for dtype in TYPES:
        x = nnlib.from_numpy(image).to(dtype).requires_grad_(True)
        grid = nnlib.from_numpy(np.clip(points, -3e4, 3e4) if dtype == nnlib.float16 else points)
        y = F.grid_sample(x, grid.to(dtype), mode=mode, padding_mode=padding, align_corners=align_corners)
        y.backward(nnlib.ones_like(y))
        results[dtype] = [t.detach().double().numpy() for t in (y, x.grad)]
    for dtype in (nnlib.float32,):  # 16 bits do not hold the points
        for a, b in zip(results[dtype], results[nnlib.float64], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    for dtype in (nnlib.bfloat16, nnlib.float16):
        x = nnlib.from_numpy(image).to(dtype)
        grid = nnlib.from_numpy(np.clip(points, -3e4, 3e4)).to(dtype)
        kwargs = {"mode": mode, "padding_mode": padding, "align_corners": align_corners}
        want = F.grid_sample(x.float(), grid.float(), **kwargs).to(dtype)
        np.testing.assert_array_equal(F.grid_sample(x, grid, **kwargs).float().numpy(), want.float().numpy())


def test_a_point_outside_ignores_what_the_image_holds():
    image = nnlib.full((1, 1, 3, 3), float("nan"))
    grid = nnlib.full((1, 2, 2, 2), -9.0)
    for mode in ("bilinear", "nearest", "bicubic"):
        assert (F.grid_sample(image, grid, mode=mode, align_corners=False) == 0).all()


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_losses_of_every_type(dtype):
    """Values and both gradients of pointwise losses, against the formulas in float64."""
    rng = np.random.default_rng(13)
    tolerance = TYPES[dtype]
    z, t = (np.round(rng.standard_normal((7, 13)) * 32) / 32 for _ in range(2))
    unit = np.round(rng.uniform(0.1, 0.9, (7, 13)) * 64) / 64
    w = np.round(rng.uniform(0.5, 2, 13) * 16) / 16

    def huber(bend, divisor):
        def value(x, t):
            d = np.abs(x - t)
            return np.where(d < bend, d * d / 2, bend * (d - bend / 2)) / divisor

        return value

    def logits(x, t):
        log_sigmoid = -np.logaddexp(0, -x)
        return (1 - t) * x - ((w - 1) * t + 1) * log_sigmoid

    def entropy(x, t):
        return -(t * np.log(x) + (1 - t) * np.log(1 - x))

    weights = nnlib.from_numpy(w).to(dtype)
    cases = [
        (lambda x, t: F.huber_loss(x, t, reduction="none", delta=0.7), huber(0.7, 1), z, t),
        (lambda x, t: F.smooth_l1_loss(x, t, reduction="none", beta=0.4), huber(0.4, 0.4), z, t),
        (
            lambda x, t: F.binary_cross_entropy_with_logits(x, t, pos_weight=weights, reduction="none"),
            logits,
            z * 4,
            unit,
        ),
        (lambda x, t: F.binary_cross_entropy(x, t, reduction="none"), entropy, unit, unit[::-1].copy()),
    ]
    for loss, formula, a, b in cases:
        x, y = (nnlib.from_numpy(v).to(dtype).requires_grad_(True) for v in (a, b))
        out = loss(x, y)
        assert out.dtype == dtype
        out.backward(nnlib.ones_like(out))
        np.testing.assert_allclose(
            out.detach().double().numpy(), formula(a, b), rtol=tolerance, atol=tolerance
        )
        e = 1e-6
        for grad, slope in (
            (x.grad, (formula(a + e, b) - formula(a - e, b)) / (2 * e)),
            (y.grad, (formula(a, b + e) - formula(a, b - e)) / (2 * e)),
        ):
            bent = np.abs(np.abs(a - b) - 0.7) < 1e-3
            bound = max(tolerance, 1e-8)
            got = grad.double().numpy()
            np.testing.assert_allclose(np.where(bent, slope, got), slope, rtol=bound, atol=20 * bound)
