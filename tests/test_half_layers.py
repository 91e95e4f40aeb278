"""What 16-bit floats have ways of their own for, on every processor: relu, batch normalisation, and products and
attention with few vectors. References are float64 (exact for relu)."""

import pytest

import nnlib
import nnlib.nn.functional as F

HALVES = [nnlib.bfloat16, nnlib.float16]
both = pytest.mark.parametrize("dtype", HALVES, ids=["bfloat16", "float16"])


@pytest.fixture(autouse=True)
def seed():
    nnlib.manual_seed(5)


def close(got, want, dtype, share=2.0):
    assert got.dtype == dtype and got.shape == want.shape
    unit = 2.0**-8 if dtype == nnlib.bfloat16 else 2.0**-11
    scale = want.abs().max().item() if want.numel() else 0.0
    assert (got.double() - want).abs().max().item() <= share * unit * scale + 1e-6


@both
def test_relu_on_every_pattern(dtype):
    x = nnlib.arange(-32768, 32768).to(nnlib.int16).view(dtype)
    y = F.relu(x)
    nan = x.isnan()
    assert nnlib.equal(y.isnan(), nan)
    assert nnlib.equal(y[~nan].float(), x[~nan].float().clamp(min=0))
    assert nnlib.equal(nnlib.relu_(x.clone())[~nan], y[~nan])


@both
def test_relu_gradient(dtype):
    x = nnlib.randn(7, 33).to(dtype)
    x[0, :3] = nnlib.tensor([0.0, -0.0, float("inf")])
    x.requires_grad_()
    g = nnlib.randn(33, 7).to(dtype)
    (got,) = nnlib.autograd.grad(F.relu(x.t()), x, g)
    assert nnlib.equal(got, nnlib.where(x > 0, g.t(), nnlib.zeros((), dtype=dtype)))


@both
@pytest.mark.parametrize("sizes", [(4, 3, 5, 7), (2, 2, 200, 180), (6, 5), (3, 4, 9)])
def test_batch_norm(dtype, sizes):
    x = (nnlib.randn(*sizes) * 2 + 3).to(dtype)
    w, b = nnlib.rand(sizes[1]) + 0.5, nnlib.randn(sizes[1])
    mean, var = nnlib.zeros(sizes[1]), nnlib.ones(sizes[1])
    x.requires_grad_(), w.requires_grad_()
    got = F.batch_norm(x, mean, var, w, b, training=True)
    mean64, var64 = nnlib.zeros(sizes[1]).double(), nnlib.ones(sizes[1]).double()
    high, high_w = x.detach().double().requires_grad_(), w.detach().double().requires_grad_()
    want = F.batch_norm(high, mean64, var64, high_w, b.double(), training=True)
    close(got, want, dtype)
    assert nnlib.allclose(mean.double(), mean64, rtol=1e-5) and nnlib.allclose(var.double(), var64, rtol=1e-4)
    g = nnlib.randn(*sizes).to(dtype)
    gx, gw = nnlib.autograd.grad(got, (x, w), g)
    want_gx, want_gw = nnlib.autograd.grad(want, (high, high_w), g.double())
    close(gx, want_gx, dtype)
    assert nnlib.allclose(gw.double(), want_gw, rtol=1e-4, atol=1e-3)
    x, w = x.detach().requires_grad_(), w.detach()
    got = F.batch_norm(x, mean, var, w, b)
    (gx,) = nnlib.autograd.grad(got, x, g)
    close(
        gx, g.double() * (w / (var + 1e-5).sqrt()).double().reshape([1, -1] + [1] * (len(sizes) - 2)), dtype
    )


@both
@pytest.mark.parametrize("count", [1, 2, 4, 5])
@pytest.mark.parametrize("k", [3, 16, 50, 700])
def test_products_with_few_vectors(dtype, count, k):
    def values(*sizes):
        return nnlib.randn(*sizes).to(dtype)

    x, w, b = values(count, k), values(130, k), values(130)
    close(F.linear(x, w, b), F.linear(x.double(), w.double(), b.double()), dtype)
    close(w @ x.t(), w.double() @ x.double().t(), dtype)
    columns = w.t().contiguous()
    close(x @ columns, x.double() @ columns.double(), dtype)
    close(nnlib.mv(w, x[0]), nnlib.mv(w.double(), x[0].double()), dtype)
    close(nnlib.mv(columns.t(), x[0]), nnlib.mv(w.double(), x[0].double()), dtype)
    c = values(count, 130)
    close(
        nnlib.addmm(c, x, columns, beta=0.5, alpha=-2),
        nnlib.addmm(c.double(), x.double(), columns.double(), beta=0.5, alpha=-2),
        dtype,
    )


@both
@pytest.mark.parametrize("length", [1, 8])
def test_attention_of_few_queries(dtype, length):
    q = nnlib.randn(2, 4, length, 20).to(dtype)
    k, v = nnlib.randn(2, 2, 77, 20).to(dtype), nnlib.randn(2, 2, 77, 12).to(dtype)
    mask = nnlib.randn(length, 77)
    got = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    want = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), mask.double(), enable_gqa=True)
    close(got, want, dtype)
    turned = k.transpose(-1, -2).contiguous().transpose(-1, -2)
    close(F.scaled_dot_product_attention(q, turned, v, mask, enable_gqa=True), want, dtype)
