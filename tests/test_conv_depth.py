"""Convolutions of few planes, whose kernels reach far into the padding before and behind them: what the same
convolution of images with the zeros around them gives, in float64."""

import numpy as np
import pytest

import nnlib
import nnlib.nn.functional as F


def run(a, w, b, padding, options, dtype, last, by_hand):
    x, weight, bias = (nnlib.from_numpy(t).to(dtype).requires_grad_() for t in (a, w, b))
    images = x.contiguous(memory_format=nnlib.channels_last_3d) if last else x
    if by_hand:
        y = F.conv3d(F.pad(images, [p for p in padding[::-1] for _ in "12"]), weight, bias, **options)
    else:
        y = F.conv3d(images, weight, bias, padding=padding, **options)
    g = nnlib.from_numpy(np.random.default_rng(4).standard_normal(y.shape)).to(dtype)
    y.backward(g.contiguous(memory_format=nnlib.channels_last_3d) if last else g)
    return [t.detach().double().numpy() for t in (y, x.grad, weight.grad, bias.grad)]


@pytest.mark.parametrize("seed", range(48))
def test_planes_of_padding(seed):
    rng = np.random.default_rng(seed)
    any_of = lambda *values: int(rng.choice(values))  # noqa: E731
    groups, depth = any_of(1, 1, 2, 3), any_of(1, 2, 2, 3, 4)
    from_group, to_group = any_of(2, 3, 8, 17), any_of(1, 4, 16, 19)
    kernel = [any_of(2, 3, 3, 5), any_of(1, 3), any_of(1, 2, 3)]
    dilation = [any_of(1, 1, 2), 1, any_of(1, 2)]
    stride = [any_of(1, 1, 2), any_of(1, 2), 1]
    reach = dilation[0] * (kernel[0] - 1)
    padding = [max(any_of(1, 2, 4), (reach + 2 - depth) // 2), any_of(0, 1), 1]
    size = (any_of(1, 2, 3), groups * from_group, depth, any_of(6, 11), any_of(7, 12))
    a, w, b = (
        rng.standard_normal(s).astype(np.float32)
        for s in (size, (groups * to_group, from_group, *kernel), (groups * to_group,))
    )
    options = dict(stride=stride, dilation=dilation, groups=groups)
    exact = run(a, w, b, padding, options, nnlib.float64, False, True)
    for dtype, error in ((nnlib.float32, 1e-5), (nnlib.float64, 1e-12), (nnlib.bfloat16, 2e-2)):
        for last in (False, True):
            got = run(a, w, b, padding, options, dtype, last, False)
            for value, want in zip(got, exact, strict=True):
                scale = np.sqrt(np.mean(want * want)) + 1e-3
                np.testing.assert_allclose(value, want, rtol=2 * error, atol=2 * error * scale)


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(planes):
    rng = np.random.default_rng(planes)
    a, w, b = (
        rng.standard_normal(s).astype(np.float32) for s in ((3, 12, planes, 13, 14), (16, 12, 5, 3, 3), (16,))
    )
    before, results = nnlib.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            nnlib.set_num_threads(threads)
            results.append(run(a, w, b, (2, 1, 1), {}, nnlib.float32, False, False))
    finally:
        nnlib.set_num_threads(before)
    for other in results[1:]:
        for x, y in zip(results[0], other, strict=True):
            assert x.tobytes() == y.tobytes()
