"""Functions that programs written for PyTorch find beside the operators: facts, settings, parts, samples."""

import math

import numpy as np
import pytest

import nnlib

DTYPES = [
    nnlib.bool, nnlib.uint8, nnlib.int8, nnlib.int16, nnlib.int32, nnlib.int64, nnlib.float16, nnlib.bfloat16,
    nnlib.float32, nnlib.float64,
]  # fmt: skip


# ---- facts


@pytest.mark.parametrize("a", DTYPES)
def test_promotion_is_that_of_the_operators(a):
    for b in DTYPES:
        expected = (nnlib.ones(1, dtype=a) * nnlib.ones(1, dtype=b)).dtype
        assert nnlib.promote_types(a, b) == nnlib.promote_types(b, a) == expected
        x, y = nnlib.ones(1, dtype=a), nnlib.ones((), dtype=b)
        assert nnlib.result_type(x, y) == nnlib.result_type(y, x) == (x * y).dtype
        assert nnlib.result_type(y, nnlib.ones((), dtype=a)) == expected
    for number in (True, 2, 2.5):
        for t in (nnlib.ones(1, dtype=a), nnlib.ones((), dtype=a)):
            assert nnlib.result_type(t, number) == (t * number).dtype


def test_casts():
    for a in DTYPES:
        for b in DTYPES:
            kinds = [(d.is_floating_point, d != nnlib.bool) for d in (a, b)]
            assert nnlib.can_cast(a, b) == (kinds[0] <= kinds[1])
    with pytest.raises(TypeError, match="argument 'type2'"):
        nnlib.promote_types(nnlib.int8, 1)
    with pytest.raises(TypeError, match="tensors or numbers"):
        nnlib.result_type("a", nnlib.ones(1))


def test_facts_about_tensors():
    x = nnlib.ones(2, 3)
    assert nnlib.is_same_size(x, x) and not nnlib.is_same_size(x, x.t())
    assert nnlib.is_signed(x) and not nnlib.is_signed(x.byte())
    assert nnlib.typename(x) == "torch.FloatTensor" and nnlib.typename(nnlib.nn.Linear).endswith("Linear")
    assert nnlib.typename(3) == "int" and nnlib.typename(nnlib.ones) is not None
    assert nnlib.tensor(2).is_nonzero() and not nnlib.is_nonzero(nnlib.zeros(1))
    assert nnlib.real(x) is x and x.real is x and x.conj() is x and bool(x.isreal().all())
    assert nnlib.is_storage(x.untyped_storage()) and not nnlib.is_storage(x)
    with pytest.raises(RuntimeError, match="imag"):
        nnlib.imag(x)
    with pytest.raises(RuntimeError, match="imag"):
        x.imag  # noqa: B018
    angles = nnlib.angle(nnlib.tensor([-2.0, 0.0, 3.0, math.nan, -math.inf])).tolist()
    assert angles[:3] == pytest.approx([math.pi, 0, 0]) and math.isnan(angles[3]) and angles[4] > 3


def test_settings():
    assert nnlib.get_default_device() == nnlib.device("cpu") and nnlib.get_num_interop_threads() == 1
    nnlib.set_default_device("cpu")
    with pytest.raises(RuntimeError, match="new tensors are on 'cpu'"):
        nnlib.set_default_device("cpu:1")
    nnlib.set_num_interop_threads(1)
    with pytest.warns(UserWarning, match="it stays 1"):
        nnlib.set_num_interop_threads(4)
    with pytest.raises(RuntimeError, match="positive"):
        nnlib.set_num_interop_threads(0)
    assert nnlib.set_flush_denormal(True) is False
    assert float(nnlib.tensor(1e-40) * 1) > 0
    for mode in ("error", "warn", 0):
        nnlib.set_deterministic_debug_mode(mode)
        assert nnlib.get_deterministic_debug_mode() == {"error": 2, "warn": 1, 0: 0}[mode]
    with pytest.raises(RuntimeError, match="invalid value"):
        nnlib.set_deterministic_debug_mode("loud")
    nnlib.set_warn_always(True)
    assert nnlib.is_warn_always_enabled()
    nnlib.set_warn_always(False)
    try:
        nnlib.set_default_tensor_type("torch.DoubleTensor")
        assert nnlib.ones(1).dtype == nnlib.float64
        with pytest.raises(TypeError, match="only floating-point"):
            nnlib.set_default_tensor_type(nnlib.LongTensor)
    finally:
        nnlib.set_default_tensor_type(nnlib.FloatTensor)
    with nnlib.autocast("cpu", dtype=nnlib.float16):
        assert nnlib.is_autocast_cpu_enabled() and nnlib.get_autocast_cpu_dtype() == nnlib.float16
    assert not nnlib.is_autocast_cpu_enabled()


# ---- parts of tensors, and tensors like others


def test_scatters_of_parts():
    x = nnlib.arange(12.0).reshape(3, 4)
    for scatter, part, size in (
        (lambda t, s: nnlib.select_scatter(t, s, 1, -2), lambda a: a[:, -2], (3,)),
        (lambda t, s: nnlib.slice_scatter(t, s, 1, 1, 4, 2), lambda a: a[:, 1:4:2], (3, 2)),
        (lambda t, s: nnlib.diagonal_scatter(t, s, 1), lambda a: a.reshape(-1)[1:12:5], (3,)),
        (lambda t, s: nnlib.as_strided_scatter(t, s, (2, 2), (4, 1), 1), lambda a: a[:2, 1:3], (2, 2)),
    ):  # fmt: skip
        src = nnlib.rand(size)
        expected = x.numpy().copy()
        part(expected)[...] = src.numpy()
        assert np.array_equal(scatter(x, src).numpy(), expected) and x[0, 1] == 1
        a, b = x.double().requires_grad_(), src.double().requires_grad_()
        assert nnlib.autograd.gradcheck(scatter, (a, b))
        with pytest.raises(RuntimeError, match="expected src to have a size equal"):
            scatter(x, nnlib.ones(7))
    with pytest.raises(RuntimeError, match="contiguous"):
        nnlib.as_strided_scatter(x.t(), nnlib.ones(2), (2,), (1,))
    with pytest.raises(IndexError, match="Dimension out of range"):
        x.slice_scatter(x, 2)


def test_diagonals():
    for shape, wrap in (((3, 3), False), ((7, 3), True), ((7, 3), False), ((3, 7), True), ((8, 2), True)):
        expected = np.zeros(shape, dtype="f4")
        np.fill_diagonal(expected, 5, wrap=wrap)
        assert np.array_equal(nnlib.zeros(shape).fill_diagonal_(5, wrap=wrap).numpy(), expected)
    cube = nnlib.zeros(3, 3, 3).fill_diagonal_(2)
    assert cube.sum() == 6 and cube[1, 1, 1] == 2
    assert nnlib.zeros(9, 2)[:, :1].fill_diagonal_(1, wrap=True).sum() == 5
    with pytest.raises(RuntimeError, match="must larger than 1"):
        nnlib.zeros(3).fill_diagonal_(1)
    with pytest.raises(RuntimeError, match="equal length"):
        nnlib.zeros(2, 3, 2).fill_diagonal_(1)


def test_copies_of_views():
    x = nnlib.arange(6).reshape(2, 3)
    for copy, view in (
        (nnlib.permute_copy(x, (1, 0)), x.permute(1, 0)),
        (nnlib.slice_copy(x, 1, 0, 3, 2), x[:, ::2]),
        (nnlib.select_copy(x, 0, 1), x[1]),
        (nnlib.expand_copy(x[:1], (4, 3)), x[:1].expand(4, 3)),
        (nnlib.narrow_copy(x, 1, 1, 2), x[:, 1:]),
        *zip(nnlib.split_copy(x, 2, 1), x.split(2, 1), strict=True),
    ):
        assert copy.equal(view) and copy.is_contiguous()
        assert copy.data_ptr() != view.data_ptr() or not view.numel()
    assert [t.tolist() for t in nnlib.unsafe_split(nnlib.arange(5), 3)] == [[0, 1, 2], [3, 4]]


def test_tensors_like_others():
    x = nnlib.ones(2, dtype=nnlib.int8)
    assert x.new_tensor([1, 2]).dtype == nnlib.int8 and x.new(2, 3).shape == (2, 3) and x.new().shape == (0,)
    assert x.new([3, 4]).tolist() == [3, 4] and x.new(nnlib.Size((2, 2))).shape == (2, 2)
    assert x.new_tensor(1.5, dtype=nnlib.float64, requires_grad=True).requires_grad
    with pytest.raises(TypeError, match="expected torch.CharTensor"):
        x.new(nnlib.ones(2))
    with pytest.warns(UserWarning, match="copy construct"):
        assert x.new_tensor(nnlib.tensor([3.0])).dtype == nnlib.int8
    assert nnlib.resize_as_(nnlib.ones(1), nnlib.zeros(2, 3)).shape == (2, 3)
    y = nnlib.arange(6)
    assert nnlib.as_strided_(y, (2, 2), (1, 2)) is y and y.tolist() == [[0, 2], [1, 3]]


def test_other_memory():
    x, y = nnlib.arange(6.0), nnlib.zeros(2)
    assert y.set_(x) is y and y.data_ptr() == x.data_ptr() and y.shape == (6,)
    assert y.set_(x, 1, (2, 2), (1, 2)).tolist() == [[1, 3], [2, 4]]
    assert (
        y.set_(x.untyped_storage(), 2, (2,)).tolist() == [2, 3] and y.set_(x.storage()).tolist() == x.tolist()
    )
    assert y.set_().shape == (0,)
    with pytest.raises(RuntimeError, match="expected a source of"):
        y.set_(x.long())
    with pytest.raises(RuntimeError):
        y.set_(x.untyped_storage(), 4, (3,))
    assert nnlib.ones(2, 3, 4).transpose(0, 2).dim_order() == (2, 1, 0)


def test_asarray():
    x, a = nnlib.ones(2), np.arange(3)
    assert nnlib.asarray(x) is x and nnlib.asarray(x, copy=True).data_ptr() != x.data_ptr()
    t = nnlib.asarray(a)
    a[0] = 9
    assert t.tolist() == [9, 1, 2] and nnlib.asarray([1, 2.5]).tolist() == [1, 2.5]
    assert nnlib.asarray(np.float32(2)).item() == 2 and nnlib.asarray(b"ab", dtype=nnlib.uint8).tolist() == [
        97,
        98,
    ]
    assert nnlib.asarray(x, dtype=nnlib.int8).dtype == nnlib.int8
    assert nnlib.asarray([1.0], requires_grad=True).requires_grad
    for obj, options in (([1], {}), (x, {"dtype": nnlib.int8})):
        with pytest.raises(ValueError, match="can't alias"):
            nnlib.asarray(obj, copy=False, **options)


def test_elements_through_python():
    assert nnlib.arange(3.0).apply_(lambda v: v + 0.5).tolist() == [0.5, 1.5, 2.5]
    x = nnlib.arange(4).reshape(2, 2).t()
    assert x.map_(nnlib.tensor([10, 20]), lambda a, b: a * b).tolist() == [[0, 40], [10, 60]]
    assert nnlib.ones(2).map2_(nnlib.ones(2), nnlib.zeros(2), lambda a, b, c: a + b + c).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="requires grad"):
        nnlib.ones(2, requires_grad=True).apply_(abs)
    with pytest.raises(TypeError, match="expected a tensor of"):
        nnlib.ones(2).map_(nnlib.ones(2).long(), max)


def test_nonzero_static():
    x = nnlib.tensor([[1, 0], [1, 1]])
    assert nnlib.nonzero_static(x, size=2).tolist() == [[0, 0], [1, 0]]
    assert x.nonzero_static(size=4, fill_value=7).tolist() == [[0, 0], [1, 0], [1, 1], [7, 7]]
    with pytest.raises(RuntimeError, match="non-negative"):
        nnlib.nonzero_static(x, size=-1)


# ---- integers and samples


def test_divisors():
    nnlib.manual_seed(0)
    for dtype in ("uint8", "int8", "int16", "int32", "int64"):
        a, b = nnlib.testing.make_tensor(2, 50, dtype=getattr(nnlib, dtype), device="cpu", low=-100, high=100)
        assert np.array_equal(nnlib.gcd(a, b).numpy(), np.gcd(a.numpy(), b.numpy()))
        a, b = a.to(nnlib.int64), b.to(nnlib.int64)
        assert np.array_equal(nnlib.lcm(a, b).numpy(), np.lcm(a.numpy(), b.numpy()))
    x = nnlib.tensor([[12], [0]], dtype=nnlib.int8)
    assert nnlib.gcd(x, nnlib.tensor([8, 0, 5])).tolist() == [[4, 12, 1], [8, 0, 5]]
    y = nnlib.tensor([4, 6])
    assert (
        y.gcd_(nnlib.tensor(4)) is y and y.tolist() == [4, 2] and y.lcm_(nnlib.tensor(3)).tolist() == [12, 6]
    )
    with pytest.raises(NotImplementedError, match="gcd_cpu"):
        nnlib.gcd(nnlib.ones(1), nnlib.ones(1))
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        nnlib.tensor([1]).gcd_(y)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_frexp(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    a = np.array(
        [0, -0.0, 1, 8, -0.75, 5.5, tiny, -tiny * 3, np.finfo(dtype).max, np.inf, -np.inf, np.nan], dtype
    )
    mantissa, exponent = nnlib.frexp(nnlib.from_numpy(a))
    m, e = np.frexp(a)
    assert np.array_equal(mantissa.numpy(), m, equal_nan=True) and np.array_equal(
        exponent.numpy()[:-3], e[:-3]
    )
    assert exponent.dtype == nnlib.int32 and repr(nnlib.frexp(nnlib.ones(1))).startswith(
        "torch.return_types.frexp(\n"
    )
    x = nnlib.tensor([3.0, -5.0], requires_grad=True)
    x.frexp().mantissa.sum().backward()
    assert x.grad.tolist() == [0.25, 0.125]
    with pytest.raises(RuntimeError, match="only supports floating-point"):
        nnlib.frexp(nnlib.ones(1).int())


def test_vander():
    x = nnlib.tensor([1.0, 2.0, 3.0], dtype=nnlib.float64)
    for n in (None, 0, 1, 5):
        for increasing in (True, False):
            expected = np.vander(x.numpy(), n, increasing)
            assert np.array_equal(nnlib.vander(x, n, increasing).numpy(), expected)
    assert nnlib.autograd.gradcheck(nnlib.vander, (x.requires_grad_(),))
    for wrong in ((nnlib.ones(2, 2),), (nnlib.ones(2), -1)):
        with pytest.raises(RuntimeError):
            nnlib.vander(*wrong)


@pytest.mark.parametrize("density", [False, True])
def test_histograms(density):
    nnlib.manual_seed(0)
    x, w = nnlib.rand(100, 3, dtype=nnlib.float64), nnlib.rand(100, dtype=nnlib.float64)
    edges = nnlib.tensor([0.1, 0.2, 0.5, 0.9], dtype=nnlib.float64)
    for bins, range in ((7, None), (4, (0.2, 0.8)), (edges, None)):
        hist, at = nnlib.histogram(x[:, 0], bins, range=range, weight=w, density=density)
        expected = np.histogram(
            x[:, 0].numpy(), bins if isinstance(bins, int) else bins.numpy(), range, density, w.numpy()
        )
        assert np.allclose(hist.numpy(), expected[0]) and np.allclose(at.numpy(), expected[1])
    hist, at = nnlib.histogramdd(x, [2, 3, 4], weight=w, density=density)
    expected = np.histogramdd(x.numpy(), [2, 3, 4], density=density, weights=w.numpy())
    assert np.allclose(hist.numpy(), expected[0]) and np.allclose(at[2].numpy(), expected[1][2])


def test_histograms_of_few():
    assert nnlib.histogram(nnlib.zeros(0), 2).hist.tolist() == [0, 0]
    hist, edges = nnlib.full((3,), 2.0).histogram(2)
    assert hist.tolist() == [0, 3] and edges.tolist() == [1.5, 2, 2.5]
    ends = nnlib.histogram(nnlib.tensor([-1.0, 0, 0.5, 1, 2, math.nan]), nnlib.tensor([0, 0.5, 1.0])).hist
    assert ends.tolist() == [1, 2]
    x = nnlib.tensor([1.0, 2.0])
    for options, message in (
        ({"bins": 0}, "bins must be > 0"), ({"bins": 2, "range": (2.0, 1.0)}, "min should not exceed"),
        ({"bins": 2, "weight": nnlib.ones(3)}, "same shape"), ({"bins": x.double()}, "same dtype"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=message):
            nnlib.histogram(x, **options)
    with pytest.raises(RuntimeError, match="not finite"):
        nnlib.histogram(nnlib.tensor([1.0, math.inf]), 2)
    with pytest.raises(NotImplementedError, match="floating-point"):
        nnlib.histogram(x.int(), 2)


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "max", "min"])
def test_segments(reduce):
    nnlib.manual_seed(0)
    x = nnlib.rand(6, 2, dtype=nnlib.float64)
    lengths, offsets = nnlib.tensor([1, 3, 2]), nnlib.tensor([0, 1, 4, 6])
    parts = [getattr(np, reduce)(p, axis=0) for p in np.split(x.numpy(), [1, 4])]
    for where in ({"lengths": lengths}, {"offsets": offsets}):
        assert np.allclose(nnlib.segment_reduce(x, reduce, **where).numpy(), np.stack(parts))
    rows = nnlib.segment_reduce(nnlib.stack([x, x]), reduce, lengths=nnlib.stack([lengths, lengths]), axis=1)
    assert np.allclose(rows[1].numpy(), np.stack(parts))
    function = lambda t: nnlib.segment_reduce(t, reduce, lengths=lengths)  # noqa: E731
    assert nnlib.autograd.gradcheck(function, (x.requires_grad_(),))
    empty = nnlib.segment_reduce(nnlib.ones(2), reduce, lengths=nnlib.tensor([2, 0]))[1].item()
    expected = {"sum": 0, "mean": math.nan, "prod": 1, "max": -math.inf, "min": math.inf}[reduce]
    assert empty == expected or (math.isnan(empty) and math.isnan(expected))
    for wrong in (
        {},
        {"lengths": lengths + 1},
        {"lengths": lengths, "indices": lengths},
        {"lengths": -lengths},
    ):
        with pytest.raises(RuntimeError):
            nnlib.segment_reduce(x, reduce, **wrong)


WINDOWS = {"bartlett": np.bartlett, "blackman": np.blackman, "hamming": np.hamming, "hann": np.hanning}


@pytest.mark.parametrize("name", [*WINDOWS, "kaiser"])
def test_windows(name):
    window = getattr(nnlib, f"{name}_window")
    for n in (2, 5, 8):
        expected = np.kaiser(n, 12.0) if name == "kaiser" else WINDOWS[name](n)
        assert np.allclose(window(n, periodic=False, dtype=nnlib.float64).numpy(), expected, atol=1e-12)
        assert window(n, dtype=nnlib.float64).equal(window(n + 1, False, dtype=nnlib.float64)[:-1])
    assert (
        window(0).shape == (0,) and window(1).tolist() == [1] and window(3, requires_grad=True).requires_grad
    )
    with pytest.raises(RuntimeError, match="non-negative window_length"):
        window(-1)
    with pytest.raises(RuntimeError, match="floating point dtypes"):
        window(3, dtype=nnlib.int64)


def test_losses_with_numbers_of_reductions():
    F = nnlib.nn.functional
    a, b, sign = nnlib.rand(4, 3), nnlib.rand(4, 3), nnlib.tensor([1.0, -1.0, 1.0, -1.0])
    for number, word in enumerate(("none", "mean", "sum")):
        for ours, theirs in (
            (nnlib.binary_cross_entropy_with_logits(a, b, None, a, number),
             F.binary_cross_entropy_with_logits(a, b, pos_weight=a, reduction=word)),
            (nnlib.cosine_embedding_loss(a, b, sign, 0.1, number),
             F.cosine_embedding_loss(a, b, sign, 0.1, reduction=word)),
            (nnlib.triplet_margin_loss(a, b, a.flip(0), reduction=number),
             F.triplet_margin_loss(a, b, a.flip(0), reduction=word)),
        ):  # fmt: skip
            assert ours.equal(theirs)
    assert nnlib.kl_div(a, b, 1).equal(nnlib.kl_div(a, b).mean())
    with pytest.raises(ValueError, match="reduction has to be 0"):
        nnlib.kl_div(a, b, 3)
    assert nnlib.batch_norm(a, None, None, None, None, True, 0.1, 1e-5, False).equal(
        F.batch_norm(a, None, None, training=True)
    )
    assert nnlib.instance_norm(a[None], None, None, None, None, True, 0.1, 1e-5, False).equal(
        F.instance_norm(a[None])
    )


def test_every_late_name_is_there():
    for name in nnlib._lazy.modules_of(nnlib._lazy.FUNCTIONS):
        assert callable(getattr(nnlib, name)), name
    for name in nnlib._lazy.modules_of(nnlib._lazy.METHODS):
        assert callable(getattr(nnlib.Tensor, name)), name


def test_dimensions_of_slopes_are_checked():
    with pytest.raises(RuntimeError, match="dim 0 appears multiple times"):
        nnlib.gradient(nnlib.ones(3, 3), dim=(0, -2))
    with pytest.raises(IndexError, match="Dimension out of range"):
        nnlib.gradient(nnlib.ones(3, 3), dim=3)


def test_view_copy_takes_any_layout():
    x = nnlib.arange(6).view(2, 3).t()
    assert nnlib.view_copy(x, (2, 3)).tolist() == x.reshape(2, 3).tolist()
    assert nnlib.view_copy(nnlib.ones(2), nnlib.int32).dtype == nnlib.int32


def test_coordinates_of_short_integers_are_int64():
    rows, columns = nnlib.unravel_index(nnlib.tensor([250, 3], dtype=nnlib.uint8), (300, 1))
    assert rows.dtype == columns.dtype == nnlib.int64 and rows.tolist() == [250, 3]
