"""scaled_dot_product_attention against float64: block edges, shared heads, masks, layouts, few queries."""

import numpy as np
import pytest

import nnlib
import nnlib.nn.functional as F

rng = np.random.default_rng(5)


def reference(q, k, v, g, mask, causal):
    """The result and the gradients of q, k and v, from the definition."""
    group = q.shape[1] // k.shape[1]
    keys, values = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scale = 1 / np.sqrt(q.shape[-1])
    s = q @ np.swapaxes(keys, -2, -1) * scale
    if mask is not None:
        s = s + (np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask)
    if causal:
        s = np.where(np.tril(np.ones(s.shape[-2:], bool)), s, -np.inf)
    top = s.max(-1, keepdims=True)
    p = np.exp(s - np.where(np.isinf(top), 0, top))
    total = p.sum(-1, keepdims=True)
    p = np.divide(p, total, out=np.zeros_like(p), where=total > 0)
    dp = g @ np.swapaxes(values, -2, -1)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
    fold = lambda t: t.reshape(*k.shape[:2], group, *t.shape[2:]).sum(2)  # noqa: E731
    return p @ values, ds @ keys, fold(np.swapaxes(ds, -2, -1) @ q), fold(np.swapaxes(p, -2, -1) @ g)


def run(q, k, v, g, mask, causal, dtype, apart):
    def tensor(x):
        t = nnlib.tensor(x, dtype=dtype)
        return (t.transpose(1, 2).contiguous().transpose(1, 2) if apart else t).requires_grad_()

    q, k, v = (tensor(x) for x in (q, k, v))
    if mask is not None:
        mask = nnlib.tensor(mask) if mask.dtype == bool else nnlib.tensor(mask, dtype=dtype)
    y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=q.size(1) != k.size(1))
    y.backward(nnlib.tensor(g, dtype=dtype))
    return [t.detach().double().numpy() for t in (y, q.grad, k.grad, v.grad)]


SIZES = [  # B, H, heads of keys, L, S, E, Ev
    (2, 3, 3, 1, 9, 8, 8),
    (1, 2, 2, 8, 40, 5, 7),
    (1, 2, 2, 9, 17, 16, 3),
    (2, 2, 1, 33, 65, 32, 32),
    (1, 4, 2, 70, 300, 8, 5),
    (1, 2, 2, 300, 70, 40, 24),
    (1, 1, 1, 197, 253, 64, 80),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["none", "causal", "bool", "float", "keys", "head"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_and_gradients(sizes, kind, dtype):
    B, H, heads, L, S, E, Ev = sizes
    q, k, v, g = (
        rng.standard_normal(s) for s in ((B, H, L, E), (B, heads, S, E), (B, heads, S, Ev), (B, H, L, Ev))
    )
    mask = {
        "bool": lambda: rng.random((L, S)) > 0.4,
        "float": lambda: rng.standard_normal((B, 1, L, S)),
        "keys": lambda: rng.random((B, 1, 1, S)) > 0.3,
        "head": lambda: rng.standard_normal((H, L, S)),
    }.get(kind, lambda: None)()
    if kind == "bool":
        mask[0] = False  # a query that may look at nothing
    want = reference(q, k, v, g, mask, kind == "causal")
    for apart in (False, True):
        got = run(q, k, v, g, mask, kind == "causal", getattr(nnlib, dtype), apart)
        limit = 2e-5 if dtype == "float32" else 1e-12
        for name, a, b in zip(("y", "q", "k", "v"), got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=limit, atol=limit * (1 + np.abs(b).max()), err_msg=name)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("length", [1, 40])
def test_narrow_types(dtype, length):
    q, k, v, g = (rng.standard_normal((1, 2, n, 16)) for n in (length, 50, 50, length))
    want = reference(q, k, v, g, None, False)
    got = run(q, k, v, g, None, False, getattr(nnlib, dtype), False)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=3e-2, atol=3e-2)


def test_few_queries_agree_with_many():
    q, k, v = (nnlib.randn(2, 3, n, 32) for n in (20, 300, 300))
    together = F.scaled_dot_product_attention(q, k, v)
    alone = nnlib.cat([F.scaled_dot_product_attention(q[:, :, i : i + 1], k, v) for i in range(20)], 2)
    np.testing.assert_allclose(together.numpy(), alone.numpy(), rtol=2e-5, atol=2e-6)


def test_infinities_and_nan_come_through():
    q, k = nnlib.zeros(1, 1, 12, 4), nnlib.zeros(1, 1, 6, 4)
    v = nnlib.ones(1, 1, 6, 4)
    q[0, 0, 3, 0] = float("nan")
    y = F.scaled_dot_product_attention(q, k, v)
    assert nnlib.isnan(y[0, 0, 3]).all()
    assert (y[0, 0, 4] - 1).abs().max() < 1e-6
