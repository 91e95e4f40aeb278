"""Products, convolutions and attention of bfloat16 by blocks of bfloat16, on any processor: where it has no
instructions for them, by plain loops that round where these do. References are float64."""

import pytest

import nnlib
import nnlib.nn.functional as F
from nnlib import _C

BF16 = nnlib.bfloat16


@pytest.fixture(autouse=True)
def always():
    before = _C._always_bf16_tiles()
    _C._set_always_bf16_tiles(True)
    nnlib.manual_seed(3)
    yield
    _C._set_always_bf16_tiles(before)


def values(*sizes):
    return nnlib.randn(*sizes).to(BF16)


def check(call, *arguments, share=2.0**-7):
    """`call` of bfloat16 arguments, and its gradients, against float64."""
    low = [a.detach().clone().requires_grad_() for a in arguments]
    high = [a.detach().double().requires_grad_() for a in arguments]
    y, want = call(*low), call(*high)
    assert y.dtype == BF16
    g = values(*y.shape)
    got = [y, *nnlib.autograd.grad(y, low, g)]
    expected = [want, *nnlib.autograd.grad(want, high, g.double())]
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == BF16 and a.shape == b.shape
        scale = b.square().mean().sqrt().item()
        assert (a.double() - b).abs().max().item() <= 8 * share * scale + 1e-5


def counts():
    return sum(_C._bf16_tile_counts())


@pytest.mark.parametrize("sizes", [(33, 70, 45), (1, 5, 3), (64, 32, 32)])
def test_linear(sizes):
    n, k, m = sizes
    before = counts()
    check(F.linear, values(n, k), values(m, k), values(m))
    assert counts() > before


def test_matmul_of_views():
    check(lambda a, b: a.transpose(1, 2) @ b[:, ::2], values(3, 20, 33), values(3, 40, 7))
    check(nnlib.mv, values(30, 40), values(40))


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels_last"])
@pytest.mark.parametrize(
    "channels, kernel, options",
    [
        ((3, 8), 3, {"padding": 1}),
        ((40, 33), 3, {"padding": 1, "stride": 2}),
        ((16, 20), 1, {}),
        ((8, 12), 3, {"groups": 2, "dilation": 2, "padding": (2, 1)}),
    ],
)
def test_conv2d(channels, kernel, options, last):
    ci, co = channels
    x = values(2, ci, 9, 11)
    if last:
        x = x.contiguous(memory_format=nnlib.channels_last)
    w = values(co, ci // options.get("groups", 1), kernel, kernel)
    check(lambda *a: F.conv2d(*a, **options), x, w, values(co))


def test_conv_of_other_dimensions_and_transposed():
    check(lambda *a: F.conv1d(*a, stride=3, padding=2), values(2, 5, 40), values(6, 5, 4), values(6))
    check(lambda *a: F.conv3d(*a, padding=1), values(1, 3, 4, 5, 6), values(4, 3, 3, 3, 3), values(4))
    check(
        lambda *a: F.conv_transpose2d(*a, stride=2, padding=1, output_padding=1),
        values(2, 6, 5, 7),
        values(6, 4, 3, 3),
        values(4),
    )


def test_infinities_and_nan_of_images():
    x, w = values(1, 4, 6, 6), values(3, 4, 3, 3)
    x[0, 1, 2, 2], x[0, 0, 5, 5] = float("inf"), float("nan")
    got, want = F.conv2d(x, w, padding=1), F.conv2d(x.double(), w.double(), padding=1)
    assert nnlib.equal(got.isnan(), want.isnan())
    assert nnlib.equal(got.isinf(), want.isinf())


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 32, 50])
def test_attention(length, causal):
    check(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
        *(values(2, 3, length, 24) for _ in range(3)),
    )


def test_attention_with_a_mask_and_shared_heads():
    mask = nnlib.rand(2, 1, 40, 55) > 0.3
    mask[0, 0, 3] = False  # looks at nothing
    check(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True),
        values(2, 4, 40, 16),
        values(2, 2, 55, 16),
        values(2, 2, 55, 20),
    )
    check(
        lambda q, k, v: F.scaled_dot_product_attention(q.transpose(1, 2), k, v),
        values(2, 37, 2, 16),
        values(2, 2, 37, 16),
        values(2, 2, 37, 16),
    )


def test_autocast_trains():
    net = nnlib.nn.Sequential(
        nnlib.nn.Conv2d(3, 8, 3, padding=1), nnlib.nn.ReLU(), nnlib.nn.Flatten(), nnlib.nn.Linear(8 * 36, 5)
    )
    x, target = nnlib.randn(4, 3, 6, 6), nnlib.randint(0, 5, (4,))

    def gradients(low):
        net.zero_grad()
        with nnlib.autocast("cpu", dtype=BF16, enabled=low):
            loss = F.cross_entropy(net(x), target)
        loss.backward()
        return [p.grad.clone() for p in net.parameters()]

    for a, b in zip(gradients(True), gradients(False), strict=True):
        assert a.dtype == nnlib.float32
        assert (a - b).norm().item() <= 0.06 * b.norm().item() + 1e-6


def test_threads_give_the_same_bits():
    x, w, q = values(3, 20, 12, 12), values(24, 20, 3, 3), values(2, 2, 70, 16)
    before, seen = nnlib.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            nnlib.set_num_threads(threads)
            a = [t.clone().requires_grad_() for t in (x, w, q)]
            y, z = F.conv2d(a[0], a[1], padding=1), F.scaled_dot_product_attention(a[2], a[2], a[2])
            (y.square().sum() + z.square().sum()).backward()
            seen.append([y, z, *(t.grad for t in a)])
    finally:
        nnlib.set_num_threads(before)
    for other in seen[1:]:
        for one, two in zip(seen[0], other, strict=True):
            assert nnlib.equal(one, two)
