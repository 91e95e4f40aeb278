"""What the tables of cases cannot say: random layers, running statistics, ties, errors, threads."""

import numpy as np
import pytest
from allocated import added

import nnlib
from nnlib.nn import functional as F


@pytest.fixture
def threads():
    before = nnlib.get_num_threads()
    yield nnlib.set_num_threads
    nnlib.set_num_threads(before)


def randn(*shape):
    return nnlib.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32))


# ---- dropout
@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.float64, nnlib.bfloat16])
def test_dropout_drops_a_share_and_scales_the_rest(dtype):
    nnlib.manual_seed(0)
    y = F.dropout(nnlib.ones(100_003, dtype=dtype), 0.3).to(nnlib.float64).numpy()
    assert abs((y == 0).mean() - 0.3) < 0.01
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=4e-3)


def test_dropout_repeats_with_the_seed_only():
    nnlib.manual_seed(5)
    x = nnlib.ones(1000)
    first, second = F.dropout(x, 0.5), F.dropout(x, 0.5)
    nnlib.manual_seed(5)
    assert nnlib.equal(F.dropout(x, 0.5), first)
    assert not nnlib.equal(first, second)


def test_dropout_is_the_same_for_any_number_of_threads(threads):
    results = []
    for n in (1, 2, 3):
        threads(n)
        nnlib.manual_seed(1)
        results.append(F.dropout(nnlib.ones(70_001), 0.4))
    assert all(nnlib.equal(results[0], r) for r in results[1:])


def test_dropout_gradient_uses_the_same_mask():
    x = nnlib.ones(5000, requires_grad=True)
    y = F.dropout(x, 0.4)
    (grad,) = nnlib.autograd.grad(y.sum(), x)
    assert nnlib.equal(grad, y)


@pytest.mark.parametrize("function", [F.dropout, F.alpha_dropout])
def test_dropout_in_place_and_without_training(function):
    x = randn(40)
    assert function(x, 0.5, False) is x or nnlib.equal(function(x, 0.5, False), x)
    y = x.clone()
    assert function(y, 0.5, True, True) is y
    assert not nnlib.equal(x, y)


def test_feature_dropout_takes_whole_channels():
    y = F.dropout2d(nnlib.ones(20, 30, 4, 4), 0.5).numpy().reshape(600, 16)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert (y == y[:, :1]).all()


def test_alpha_dropout_keeps_mean_and_variance():
    nnlib.manual_seed(2)
    y = F.alpha_dropout(nnlib.randn(400, 500), 0.3, True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.02


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_dropout_wants_a_probability(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.dropout(nnlib.ones(3), p)


# ---- normalisation
def test_batch_norm_moves_the_running_statistics():
    x = randn(6, 3, 5)
    mean, var = nnlib.zeros(3), nnlib.ones(3)
    version = mean._version
    F.batch_norm(x, mean, var, training=True, momentum=0.2)
    flat = x.numpy().swapaxes(0, 1).reshape(3, -1)
    np.testing.assert_allclose(mean.numpy(), 0.2 * flat.mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(var.numpy(), 0.8 + 0.2 * flat.var(1, ddof=1), rtol=1e-5)
    assert mean._version > version


def test_batch_norm_of_an_empty_batch_changes_no_statistics():
    mean, weight = nnlib.zeros(3), nnlib.ones(3, requires_grad=True)
    y = F.batch_norm(nnlib.ones(0, 3, 5), mean, nnlib.ones(3), weight, training=True)
    y.sum().backward()
    assert y.shape == (0, 3, 5)
    assert mean.tolist() == [0, 0, 0]
    assert weight.grad.tolist() == [0, 0, 0]


def test_batch_norm_errors():
    x = randn(2, 3, 4)
    with pytest.raises(RuntimeError, match="running_mean should contain 3 elements not 2"):
        F.batch_norm(x, nnlib.zeros(2), nnlib.ones(2))
    with pytest.raises(RuntimeError, match="evaluation mode"):
        F.batch_norm(x, None, None)
    with pytest.raises(RuntimeError, match=r"expected input with shape \[\*, 5\]"):
        F.layer_norm(x, (5,))
    with pytest.raises(RuntimeError, match="divisible by num_groups"):
        F.group_norm(x, 2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_group_norm_of_short_channels(threads, dtype):
    nnlib.manual_seed(5)
    tolerance = {"float32": 1e-4, "float64": 1e-11, "bfloat16": 6e-2}[dtype]
    for sizes, groups in (((70, 12), 3), ((3, 8, 2, 3), 2), ((2, 6, 7, 9), 1), ((5, 4, 1), 4), ((0, 4), 2)):
        leaves = [nnlib.randn(*sizes), nnlib.randn(sizes[1]), nnlib.randn(sizes[1])]
        grad = nnlib.randn(*sizes)
        bits = []
        for n in (1, 3):
            threads(n)
            own = [t.clone().to(getattr(nnlib, dtype)).requires_grad_() for t in leaves]
            y = F.group_norm(own[0], groups, own[1], own[2])
            y.backward(grad.to(y.dtype))
            bits.append([t.double().numpy() for t in (y.detach(), *(t.grad for t in own))])
        for one, three in zip(*bits, strict=True):
            np.testing.assert_array_equal(one, three)
        wide = [t.detach().double().requires_grad_() for t in own]
        rows = wide[0].reshape(sizes[0], groups, -1) if sizes[0] else wide[0].reshape(0, groups, 2)
        mean, var = rows.mean(2, keepdim=True), rows.var(2, correction=0, keepdim=True)
        shape = [1, sizes[1]] + [1] * (len(sizes) - 2)
        want = ((rows - mean) / (var + 1e-5).sqrt()).reshape(sizes)
        want = want * wide[1].reshape(shape) + wide[2].reshape(shape)
        want.backward(grad.to(y.dtype).double())
        for got, ref in zip(bits[0], (want.detach(), *(t.grad for t in wide)), strict=True):
            scale = max(1.0, float(ref.abs().max())) if ref.numel() else 1.0
            np.testing.assert_allclose(got, ref.numpy(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.batch_norm(x.contiguous(memory_format=nnlib.channels_last), None, None, training=True),
        lambda x: F.layer_norm(x, x.shape[-1:], x[0, 0, 0], x[0, 0, 1]),
        lambda x: F.group_norm(x, 2),
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 3, 1, 1),
        lambda x: F.scaled_dot_product_attention(x, x, x),
        lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
    ],
)
def test_threads_do_not_change_a_bit(threads, call):
    results = []
    for n in (1, 2, 3):
        threads(n)
        x = randn(4, 6, 70, 40).requires_grad_()
        y = call(x)
        y.backward(randn(*y.shape))
        results.append((y.detach().numpy().tobytes(), x.grad.numpy().tobytes()))
    assert results[0] == results[1] == results[2]


def test_means_of_whole_planes(threads):
    for shape, divisor in (
        ((3, 7, 7, 5), None),
        ((2, 17, 1, 1), 3),
        ((1, 1, 70, 70), None),
        ((0, 4, 3, 3), None),
    ):
        x = randn(*shape)
        want = x.to(nnlib.float64).numpy().sum((2, 3), keepdims=True) / (divisor or shape[2] * shape[3])
        results = []
        for count in (1, 2, 3):
            threads(count)
            results.append(F.avg_pool2d(x, shape[2:], divisor_override=divisor).numpy())
        np.testing.assert_allclose(results[0], want, rtol=1e-5, atol=1e-6)
        assert all((r == results[0]).all() for r in results)


# ---- convolutions
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [(8, 8, 0, 75), (5, 5, 2, 52), (11, 4, 2, 61), (7, 3, 3, 40), (4, 6, 1, 50), (3, 4, 1, 37), (1, 1, 0, 7)],
)
def test_strided_convolutions_of_planes(kernel, stride, padding, size):
    """Frames sort pixels by their remainder modulo the stride, several of them at once."""
    rng = np.random.default_rng(kernel)
    arrays = [
        rng.standard_normal(s).astype(np.float32) for s in ((3, 6, size, size + 1), (20, 6, kernel, kernel))
    ]
    results = []
    for dtype in (nnlib.float32, nnlib.float64):
        x, w = (nnlib.from_numpy(a).to(dtype).requires_grad_() for a in arrays)
        y = F.conv2d(x, w, stride=stride, padding=padding)
        y.backward(nnlib.from_numpy(np.random.default_rng(1).standard_normal(y.shape)).to(dtype))
        results.append([t.detach().double().numpy() for t in (y, x.grad, w.grad)])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.sqrt(np.mean(want * want)) * 20)


# ---- pooling
def test_max_pool_takes_the_first_of_equals_and_the_last_nan():
    nan = float("nan")
    x = nnlib.tensor([[[1.0, 1.0, nan, 2.0], [1.0, 1.0, nan, 3.0]]])
    y, place = F.max_pool2d(x, 2, return_indices=True)
    assert place.tolist() == [[[0, 6]]]
    assert y[0, 0, 0].item() == 1
    assert nnlib.isnan(y[0, 0, 1])
    x.requires_grad_()
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[1, 0, 0, 0], [0, 0, 1, 0]]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("more,dilation,padding,length", [(2, 1, 0, 175), (0, 1, 0, 2520), (1, 2, 1, 9001)])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7, 8, 9])
def test_max_pool_of_lines(stride, more, dilation, padding, length, dtype):
    x = np.random.default_rng(stride).integers(-3, 4, (2, 3, length)).astype(dtype)
    x[0, 1, 40:43] = x[1, 2, length - 4] = np.nan
    kernel = stride + more
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding)), constant_values=-np.inf)
    reach = dilation * (kernel - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, 2)[:, :, ::stride, ::dilation]
    want = np.where(np.isnan(windows).any(-1), np.nan, windows.max(-1))
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    with nnlib.no_grad():
        got = F.max_pool1d(nnlib.from_numpy(x), **options)
    np.testing.assert_array_equal(got.numpy(), want)
    y, place = F.max_pool1d(nnlib.from_numpy(x), **options, return_indices=True)
    np.testing.assert_array_equal(y.numpy(), want)
    np.testing.assert_array_equal(np.take_along_axis(x, place.numpy(), 2), want)


def test_means_give_neighbours_of_the_same_windows_the_same_gradient():
    for size, dtype in ((1, nnlib.float32), (3, nnlib.float32), (4, nnlib.bfloat16), (5, nnlib.float64)):
        x = randn(2, 11, 9, 14).to(dtype)
        gradients = []
        for images in (x, x.contiguous(memory_format=nnlib.channels_last)):
            leaf = images.detach().requires_grad_()
            y = F.adaptive_avg_pool2d(leaf, size)
            (y * y).sum().backward()
            assert leaf.grad.stride() == images.stride()
            gradients.append(leaf.grad.to(nnlib.float64).numpy())
        tolerance = 2e-2 if dtype == nnlib.bfloat16 else 1e-5
        np.testing.assert_allclose(*gradients, rtol=tolerance, atol=tolerance)


def test_max_unpool_is_the_inverse_at_the_maxima():
    x = randn(2, 3, 6, 8)
    y, place = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, place, 2)
    assert back.shape == x.shape
    assert nnlib.equal(F.max_pool2d(nnlib.where(back != 0, back, x.min() - 1), 2), y)
    with pytest.raises(RuntimeError, match="invalid max index"):
        F.max_unpool2d(y, place + 100, 2)


def test_fractional_max_pool_lies_in_its_windows():
    x = randn(2, 3, 9, 9)
    y, place = F.fractional_max_pool2d(x, 2, output_size=5, return_indices=True)
    assert y.shape == (2, 3, 5, 5)
    assert nnlib.equal(x.flatten(2).gather(2, place.flatten(2)), y.flatten(2))
    for size in (9, 2**63 - 1):
        with pytest.raises(RuntimeError, match="too large relative to input size|is out of range"):
            F.fractional_max_pool3d(x[:, None], (2, 2, size), output_size=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 2, "padding": 2}, "pad should be at most half"),
        ({"kernel_size": 0}, "greater than zero"),
        ({"kernel_size": 2, "stride": 0}, "stride should not be zero"),
        ({"kernel_size": 9}, "Output size is too small"),
    ],
)
def test_pooling_errors(options, message):
    for pool in (F.max_pool2d, F.avg_pool2d):
        with pytest.raises(RuntimeError, match=message):
            pool(nnlib.ones(1, 2, 4, 4), **options)


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_adaptive_pooling_wants_a_size_for_each_dimension(kind, n):
    pool = getattr(F, f"adaptive_{kind}_pool{n}d")
    x = nnlib.ones(1, 2, *(4, 5, 6)[:n])
    for wrong in ((), (1,) * (n + 1)):
        with pytest.raises(RuntimeError, match="output_size must"):
            pool(nnlib.ones(2, 2, 2, 2, 2, 2), wrong)
    if n > 1:
        with pytest.raises(ValueError, match=f"at least {n + 1}"):
            pool(x[0, 0], (1,) * n)
        assert pool(x, (None,) * n).shape == x.shape


def test_pooling_keeps_channels_last():
    x = randn(2, 4, 6, 6).contiguous(memory_format=nnlib.channels_last)
    for y in (F.max_pool2d(x, 2), F.avg_pool2d(x, 2), F.interpolate(x, scale_factor=2)):
        assert y.is_contiguous(memory_format=nnlib.channels_last)


# ---- losses, attention, recurrent layers
def test_loss_errors():
    x, t = nnlib.tensor([0.5, 1.5]), nnlib.tensor([0.0, 1.0])
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(x, t)
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        F.mse_loss(x, t, reduction="most")


def test_masked_queries_attend_to_nothing():
    q = randn(1, 1, 3, 4).requires_grad_()
    mask = nnlib.tensor([[True, False], [False, False], [True, True]])
    y = F.scaled_dot_product_attention(q, q[..., :2, :], q[..., :2, :], attn_mask=mask)
    assert y[0, 0, 1].tolist() == [0, 0, 0, 0]
    y.sum().backward()
    assert nnlib.isfinite(q.grad).all()


def test_attention_does_not_hold_the_scores():
    length = 2048
    q = randn(1, 2, length, 8).requires_grad_()
    used = added(lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward())
    assert used < 2 * length * length * 4 / 4


def test_attention_dropout_and_errors():
    nnlib.manual_seed(0)
    q = nnlib.ones(1, 1, 8, 4)
    y = F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    assert len(set(y.flatten().tolist())) > 1
    with pytest.raises(RuntimeError, match="is_causal=True"):
        F.scaled_dot_product_attention(q, q, q, attn_mask=q[0, 0], is_causal=True)
    with pytest.raises(RuntimeError, match="same dtype"):
        F.scaled_dot_product_attention(q, q.double(), q)


def test_packed_sequences_match_single_ones():
    lstm = nnlib.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    sequences = [randn(n, 3) for n in (5, 3, 2)]
    packed = nnlib.nn.utils.rnn.pack_sequence(sequences)
    output, (h, c) = lstm(packed)
    padded, lengths = nnlib.nn.utils.rnn.pad_packed_sequence(output)
    for i, (x, n) in enumerate(zip(sequences, lengths.tolist(), strict=True)):
        alone, (h1, c1) = lstm(x)
        np.testing.assert_allclose(
            padded[:n, i].detach().numpy(), alone.detach().numpy(), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(h[:, i].detach().numpy(), h1.detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(c[:, i].detach().numpy(), c1.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_recurrent_errors():
    x, h = nnlib.ones(4, 2, 3), nnlib.zeros(1, 2, 5)
    with pytest.raises(RuntimeError, match="expected 4 parameters for each of the 1 layers"):
        nnlib.gru(x, h, [nnlib.ones(15, 3)], True, 1, 0.0, False, False, False)
    with pytest.raises(RuntimeError, match="two hidden states"):
        nnlib.lstm(x, [h], [nnlib.ones(20, 3), nnlib.ones(20, 5)], False, 1, 0.0, False, False, False)


# ---- resampling
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("corners", [False, True])
def test_interpolation_to_the_same_size_changes_nothing(mode, corners):
    x = randn(1, 2, 5, 7)
    y = F.interpolate(x, size=(5, 7), mode=mode, align_corners=corners)
    np.testing.assert_allclose(y.numpy(), x.numpy(), rtol=1e-6, atol=1e-6)


def test_nearest_pixels_of_an_image_go_by_its_sizes_where_they_are_equal_or_double():
    """A line goes by the factor that was asked for."""
    image = nnlib.arange(2.0)
    line, plane = image.reshape(1, 1, 2), image.reshape(1, 1, 1, 2)
    assert F.interpolate(line, scale_factor=2.3).flatten().tolist() == [0, 0, 0, 1]
    assert F.interpolate(plane, scale_factor=(1, 2.3)).flatten().tolist() == [0, 0, 1, 1]
    assert F.interpolate(plane, scale_factor=(1, 1.1)).flatten().tolist() == [0, 1]
    assert F.interpolate(plane, scale_factor=(1, 2.7)).flatten().tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("dtype", [nnlib.float64, nnlib.float32, nnlib.bfloat16, nnlib.float16])
@pytest.mark.parametrize("sizes", [((19, 23), (7, 8)), ((6, 30), (13, 9)), ((9, 6, 8), (4, 3, 3))])
def test_shrinking_is_a_product_with_each_dimensions_weights(sizes, dtype):
    # The order of dimensions, and whether they go at once, is chosen by sizes and layout.
    size, wanted = sizes
    mode, last = ("bilinear", nnlib.channels_last)
    if len(size) == 3:
        mode, last = ("trilinear", nnlib.channels_last_3d)
    x = randn(2, 11, *size).to(dtype)
    want = x.to(nnlib.float64).numpy()
    for dim, (n, m) in enumerate(zip(size, wanted, strict=True)):
        eye = nnlib.eye(n, dtype=nnlib.float64).reshape(1, n, n)
        weights = F.interpolate(eye, size=m, mode="linear").numpy()[0]
        want = np.moveaxis(np.moveaxis(want, dim + 2, -1) @ weights, -1, dim + 2)
    tolerance = {nnlib.bfloat16: 1e-2, nnlib.float16: 1e-3}.get(dtype, 1e-5)
    for images in (x, x.contiguous(memory_format=last)):
        got = F.interpolate(images, size=wanted, mode=mode)
        assert got.stride() == nnlib.empty_like(got, memory_format=nnlib.preserve_format).stride()
        np.testing.assert_allclose(got.to(nnlib.float64).numpy(), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [nnlib.float64, nnlib.bfloat16])
def test_layer_norm_of_few_long_rows(dtype):
    x, g = randn(3, 5003).to(dtype), randn(5003, 3).t().to(dtype)
    w = b = randn(5003).to(dtype)
    leaves = [t.detach().requires_grad_() for t in (x, w, b)]
    F.layer_norm(leaves[0], (5003,), *leaves[1:]).backward(g)
    v, up = x.to(nnlib.float64).numpy(), g.to(nnlib.float64).numpy()
    rstd = 1 / np.sqrt(v.var(1, keepdims=True) + 1e-5)
    hat, inner = (v - v.mean(1, keepdims=True)) * rstd, up * w.to(nnlib.float64).numpy()
    want = rstd * (inner - inner.mean(1, keepdims=True) - hat * (inner * hat).mean(1, keepdims=True))
    tolerance = 3e-2 if dtype == nnlib.bfloat16 else 1e-10
    for leaf, values in zip(leaves, (want, (up * hat).sum(0), up.sum(0)), strict=True):
        np.testing.assert_allclose(
            leaf.grad.to(nnlib.float64).numpy(), values, rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3, 9])
def test_bytes_are_resized_by_whole_weights(channels, mode, antialias):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(channels).integers(0, 256, (2, channels, 13, 18), dtype=np.uint8)
    for size, align_corners in [((30, 31), False), ((7, 5), False), ((13, 40), True), ((5, 18), False)]:
        kwargs = dict(size=size, mode=mode, align_corners=align_corners, antialias=antialias)
        want = torch.nn.functional.interpolate(torch.from_numpy(x), **kwargs).numpy()
        for image in (nnlib.from_numpy(x), nnlib.from_numpy(x).contiguous(memory_format=nnlib.channels_last)):
            np.testing.assert_array_equal(F.interpolate(image, **kwargs).numpy(), want)


@pytest.mark.parametrize("channels", [1, 3, 20])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_grid_sample_of_float_is_that_of_double(mode, padding, channels):
    rng = np.random.default_rng(3)
    for h, w in [(5, 9), (1, 4), (6, 1)]:
        arrays = [rng.standard_normal((2, channels, h, w)), rng.uniform(-1.4, 1.4, (2, 7, 11, 2))]
        results = []
        for dtype in (nnlib.float32, nnlib.float64):
            x, grid = (nnlib.from_numpy(a).to(nnlib.float32).to(dtype).requires_grad_() for a in arrays)
            y = F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=False)
            (y * y).sum().backward()
            results.append([t.double().numpy() for t in (y.detach(), x.grad, grid.grad)])
        for got, want in zip(*results, strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)


def test_grid_sample_of_the_identity_is_the_image():
    x = randn(1, 2, 5, 7)
    theta = nnlib.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    y = F.grid_sample(x, grid, align_corners=False)
    np.testing.assert_allclose(y.numpy(), x.numpy(), rtol=1e-5, atol=1e-5)


def test_fold_sums_what_unfold_took():
    x = randn(2, 3, 6, 6)
    ones = F.fold(F.unfold(nnlib.ones_like(x), 3, padding=1), (6, 6), 3, padding=1)
    np.testing.assert_allclose(
        (F.fold(F.unfold(x, 3, padding=1), (6, 6), 3, padding=1) / ones).numpy(), x.numpy(), rtol=1e-5
    )
    with pytest.raises(RuntimeError, match="divisible by the product of kernel_size"):
        F.fold(nnlib.ones(1, 10, 4), (3, 3), 2)


def test_distance_errors():
    with pytest.raises(RuntimeError, match="non-negative p"):
        nnlib.cdist(nnlib.ones(2, 3), nnlib.ones(2, 3), p=-1)
    with pytest.raises(RuntimeError, match="same number of columns"):
        nnlib.cdist(nnlib.ones(2, 3), nnlib.ones(2, 4))
    with pytest.raises(ValueError, match="compute_mode"):
        nnlib.cdist(nnlib.ones(2, 3), nnlib.ones(2, 3), compute_mode="fast")


@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 9])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_grid_sample_at_points_that_are_no_numbers(mode, channels, dtype):
    x = nnlib.ones(1, channels, 5, 6, dtype=dtype).requires_grad_()
    grid = nnlib.zeros(1, 70, 1, 2, dtype=dtype)
    for i, place in enumerate([np.nan, np.inf, -np.inf, 1e30, 7.0]):
        grid[0, i, 0, i % 2] = place
    y = F.grid_sample(x, grid, mode=mode, align_corners=False)
    assert y[0, :, 3:5].eq(0).all() and y[0, :, 5:].sub(1).abs().lt(1e-5).all()
    assert (y[0, :, :3].eq(0) if mode == "nearest" else y[0, :, :3].isnan()).all()
    y.sum().backward()
    assert x.grad.isfinite().all()  # PyTorch's too: no tap of such a point lies in the image
