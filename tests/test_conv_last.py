"""Convolutions of images with the channels last, and of planes that are turned so: values and gradients are
float64's, for any number of threads."""

import numpy as np
import pytest

import nnlib
import nnlib.nn.functional as F

LAST = nnlib.channels_last

# images (n, channels, rows, columns), kernel, options
DEPTHWISE = {
    "3x3": ((2, 32, 9, 11), (3, 3), dict(padding=1)),
    "3x3 stride 2": ((2, 48, 12, 13), (3, 3), dict(padding=1, stride=2)),
    "channels that fill no whole block": ((3, 35, 9, 8), (3, 3), dict(padding=1)),
    "as many, stride 2": ((1, 23, 10, 17), (3, 3), dict(padding=1, stride=2)),
    "strides of their own": ((2, 16, 14, 15), (3, 5), dict(padding=(1, 2), stride=(3, 2))),
    "stride beyond the kernel": ((2, 17, 13, 14), (2, 1), dict(stride=(3, 2))),
    "dilation": ((2, 24, 15, 16), (3, 3), dict(padding=2, dilation=2)),
    "dilation and stride": ((2, 40, 16, 15), (3, 3), dict(padding=(3, 2), dilation=(3, 2), stride=2)),
    "dilation that strides share": ((1, 16, 17, 19), (3, 3), dict(padding=4, dilation=4, stride=2)),
    "no padding": ((2, 19, 8, 9), (3, 2), {}),
    "even kernel": ((2, 16, 11, 10), (4, 4), dict(padding=1, stride=2)),
    "7x7": ((1, 64, 20, 19), (7, 7), dict(padding=3)),
    "7x7 on 7x7, mostly borders": ((2, 32, 7, 7), (7, 7), dict(padding=3)),
    "a line": ((2, 20, 1, 40), (1, 5), dict(padding=(0, 2))),
    "long lines": ((1, 16, 3, 130), (3, 3), dict(padding=1)),
    "one pixel": ((5, 32, 3, 3), (3, 3), {}),
    "padding beyond the kernel": ((2, 16, 9, 8), (3, 3), dict(padding=4)),
    "past the caches": ((2, 128, 96, 100), (3, 3), dict(padding=1)),
}


def gradients(x, w, b, options, call, dtype, last):
    leaves = [nnlib.from_numpy(t).to(dtype).requires_grad_() for t in (x, w, b)]
    images = leaves[0].contiguous(memory_format=LAST) if last else leaves[0]
    y = call(images, *leaves[1:], **options)
    g = nnlib.from_numpy(np.random.default_rng(4).standard_normal(y.shape)).to(dtype)
    y.backward(g.contiguous(memory_format=LAST) if last else g)
    return [t.detach().numpy() for t in (y, *(leaf.grad for leaf in leaves))]


def case(size, w_size):
    rng = np.random.default_rng(3)
    channels = w_size[0]
    return [rng.standard_normal(s).astype(np.float32) for s in (size, w_size, (channels,))]


def check(arrays, options, call, last=True):
    exact = gradients(*arrays, options, call, nnlib.float64, False)
    before = nnlib.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            nnlib.set_num_threads(threads)
            results.append(gradients(*arrays, options, call, nnlib.float32, last))
    finally:
        nnlib.set_num_threads(before)
    for got, want in zip(results[0], exact, strict=True):
        scale = np.sqrt(np.mean(want * want)) + 1e-3
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-5 * scale)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("transposed", [False, True], ids=["", "transposed"])
@pytest.mark.parametrize("name", DEPTHWISE)
def test_depthwise(name, transposed):
    size, kernel, options = DEPTHWISE[name]
    arrays = case(size, (size[1], 1, *kernel))
    call = F.conv_transpose2d if transposed else F.conv2d
    check(arrays, dict(options, groups=size[1]), call)


# images, kernel (results, channels of a group, rows, columns), groups, options
FEW_CHANNELS = {
    "stem": ((2, 3, 21, 22), (32, 3, 3, 3), 1, dict(stride=2, padding=1)),
    "7x7 stem": ((1, 3, 30, 29), (24, 3, 7, 7), 1, dict(stride=2, padding=3)),
    "patches": ((2, 3, 16, 20), (40, 3, 4, 4), 1, dict(stride=4)),
    "one channel": ((2, 1, 12, 13), (9, 1, 3, 3), 1, dict(padding=1)),
    "few channels, dilated": ((2, 5, 14, 15), (16, 5, 3, 3), 1, dict(dilation=2, padding=2, stride=2)),
    "groups of 8, stride 2": ((2, 32, 17, 18), (32, 8, 3, 3), 4, dict(stride=2, padding=1)),
    "groups of 16, stride 2": ((2, 48, 15, 14), (48, 16, 3, 3), 3, dict(stride=2, padding=1)),
    "groups of 24 and of 40": ((1, 48, 12, 13), (80, 24, 3, 3), 2, dict(stride=2, padding=1)),
    "groups, dilated": ((1, 40, 18, 16), (40, 8, 3, 3), 5, dict(dilation=3, padding=3, stride=2)),
    "groups, strides of their own": ((2, 16, 14, 15), (24, 8, 2, 3), 2, dict(stride=(3, 2), padding=(0, 2))),
    "64 channels, far dilation": ((1, 24, 15, 14), (64, 24, 3, 3), 1, dict(dilation=5, padding=5)),
    "1x1 with a stride, no padding": ((3, 40, 9, 11), (112, 40, 1, 1), 1, dict(stride=4)),
    "groups of 16 without padding": ((2, 48, 10, 9), (72, 16, 3, 3), 3, dict(stride=2)),
    "groups of 64": ((1, 128, 13, 12), (128, 64, 3, 3), 2, dict(stride=2, padding=1)),
    "groups, past their edges": ((2, 16, 5, 6), (16, 8, 5, 5), 2, dict(padding=4, stride=2)),
}


@pytest.mark.parametrize("name", FEW_CHANNELS)
def test_few_channels(name):
    size, w_size, groups, options = FEW_CHANNELS[name]
    check(case(size, w_size), dict(options, groups=groups), F.conv2d)


# Planes whose lines are dealt out to the phases of a stride at once, or that are turned round, of others
# tiles of all output channels: images, kernel, options
PLANES = {
    "two phases": ((2, 5, 9, 67), (24, 5, 3, 3), dict(stride=2, padding=1)),
    "three phases, the last pixel in the first": ((2, 4, 10, 61), (24, 4, 3, 3), dict(stride=3)),
    "three phases, padding": ((1, 4, 10, 62), (40, 4, 4, 4), dict(stride=3, padding=1)),
    "four phases of five": ((2, 3, 9, 83), (20, 3, 3, 4), dict(stride=(2, 5), padding=(0, 1))),
    "patches": ((3, 3, 32, 48), (24, 3, 16, 16), dict(stride=16)),
    "turned, an image after the other": ((3, 36, 96, 96), (16, 36, 4, 4), dict(stride=4)),
    "turned, short lines": ((40, 16, 14, 14), (32, 16, 3, 3), dict(stride=2, padding=1)),
    "turned, mostly padding": ((3, 24, 5, 6), (35, 24, 7, 7), dict(padding=3)),
    "turned, dilation": ((2, 72, 9, 7), (18, 72, 5, 3), dict(padding=(4, 6), dilation=(2, 6))),
    "patches that leave pixels out, columns": ((2, 12, 34, 35), (96, 12, 8, 8), dict(stride=8)),
    "patches that leave pixels out, turned": ((2, 48, 30, 29), (8, 48, 4, 4), dict(stride=4)),
    "long lines in parts": ((1, 33, 1, 700), (40, 33, 1, 5), dict(stride=(1, 2), padding=(0, 2))),
    "several tiles of channels": ((2, 19, 9, 13), (23, 19, 1, 1), {}),
}


@pytest.mark.parametrize("name", PLANES)
def test_planes(name):
    size, w_size, options = PLANES[name]
    check(case(size, w_size), options, F.conv2d, last=False)


@pytest.mark.parametrize("seed", range(40))
def test_random_shapes(seed):
    """Few channels a group, of any sizes."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 3, 8, 16, 20, 33]))
    from_group, to_group = (int(i) for i in rng.integers(1, 10, 2))
    if seed % 2 == 0:
        from_group = to_group = 1
    pair = lambda low, high: tuple(int(i) for i in rng.integers(low, high, 2))  # noqa: E731
    kernel, stride, dilation, padding = pair(1, 6), pair(1, 4), pair(1, 4), pair(0, 4)
    reach = [d * (k - 1) + 1 - 2 * p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    image = [max(1, r) + int(i) for r, i in zip(reach, rng.integers(0, 25, 2), strict=True)]
    size = (int(rng.integers(1, 4)), groups * from_group, *image)
    arrays = case(size, (groups * to_group, from_group, *kernel))
    check(arrays, dict(stride=stride, padding=padding, dilation=dilation, groups=groups), F.conv2d)


@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.bfloat16, nnlib.float16])
@pytest.mark.parametrize("channels", [3, 8, 21])
def test_bias_gradient(dtype, channels):
    x = nnlib.zeros((2, channels, 5, 7), dtype=dtype).contiguous(memory_format=LAST)
    w, b = (
        nnlib.zeros((channels, 1, 1, 1), dtype=dtype),
        nnlib.zeros(channels, dtype=dtype, requires_grad=True),
    )
    g = np.random.default_rng(0).integers(-8, 9, x.shape).astype(np.float32)
    y = F.conv2d(x, w, b, groups=channels)
    y.backward(nnlib.from_numpy(g).to(dtype).contiguous(memory_format=LAST))
    assert b.grad.dtype == dtype and b.grad.float().tolist() == g.sum((0, 2, 3)).tolist()


@pytest.mark.parametrize("last", [False, True], ids=["planes", "last"])
def test_transposed_to_nothing(last):
    """A size of 0 is a result, as in PyTorch; a smaller one is not."""
    x = nnlib.ones(2, 3, 1, 4).contiguous(memory_format=LAST if last else nnlib.contiguous_format)
    x.requires_grad_()
    w, b = nnlib.ones(3, 4, 2, 3, requires_grad=True), nnlib.ones(4, requires_grad=True)
    y = F.conv_transpose2d(x, w, b, padding=(1, 0))
    assert y.shape == (2, 4, 0, 6)
    y.sum().backward()
    for leaf in (x, w, b):
        assert leaf.grad.shape == leaf.shape and not leaf.grad.any()
    with pytest.raises(RuntimeError, match="Output size is too small"):
        F.conv_transpose2d(x, w[:, :, :1], b, padding=(1, 0))


@pytest.mark.parametrize("transposed", [False, True], ids=["", "transposed"])
def test_gradients_by_one_channel_keep_the_order_of_the_images(transposed):
    """Results of one channel lie in both orders, so the gradient takes its order from the input."""
    rng = np.random.default_rng(5)
    a, k = (rng.standard_normal(s).astype(np.float32) for s in ((2, 20, 6, 7), (20, 1, 1, 1)))
    x = nnlib.from_numpy(a).contiguous(memory_format=LAST).requires_grad_()
    w = nnlib.from_numpy(k if transposed else k.reshape(1, 20, 1, 1))
    y = (F.conv_transpose2d if transposed else F.conv2d)(x, w, stride=2)
    g = nnlib.ones(y.shape)
    (gx,) = nnlib.autograd.grad(y, x, g)
    assert gx.is_contiguous(memory_format=LAST)
    want = np.zeros_like(a)
    step = 1 if transposed else 2
    want[:, :, ::step, ::step] = k.reshape(1, 20, 1, 1)
    np.testing.assert_array_equal(gx.numpy(), want)
