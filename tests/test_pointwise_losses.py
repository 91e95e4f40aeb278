"""Sums and means of losses, computed without a tensor of the values, against the values themselves in float64."""

import numpy as np
import pytest

import nnlib
from nnlib.nn import functional as F

LOSSES = {
    "l1": (F.l1_loss, lambda z: np.abs(z), np.sign),
    "mse": (F.mse_loss, lambda z: z * z, lambda z: 2 * z),
    "smooth_l1": (
        F.smooth_l1_loss,
        lambda z: np.where(np.abs(z) < 1, z * z / 2, np.abs(z) - 0.5),
        lambda z: np.clip(z, -1, 1),
    ),
    "huber": (
        lambda x, t, **k: F.huber_loss(x, t, delta=0.7, **k),
        lambda z: np.where(np.abs(z) < 0.7, z * z / 2, 0.7 * (np.abs(z) - 0.35)),
        lambda z: np.clip(z, -0.7, 0.7),
    ),
}
BOUNDS = {"float32": 2e-6, "float64": 1e-14, "bfloat16": 8e-3}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("shape", [(1,), (7, 3), (1023,), (1025,), (8192,), (3, 8193)])
@pytest.mark.parametrize("layout", ["together", "strided", "broadcast"])
def test_values_and_gradients(name, dtype, shape, layout):
    loss, value, slope = LOSSES[name]
    rng = np.random.default_rng(0)
    kind = getattr(nnlib, dtype)
    x0, t0 = (nnlib.tensor(rng.normal(size=shape)).to(kind) for _ in range(2))
    if layout == "strided":
        x0 = nnlib.stack([x0, x0 * 2], -1)[..., 0]
    if layout == "broadcast":
        t0 = t0.flatten()[0]
    x, t = x0.detach().requires_grad_(), t0.detach().requires_grad_()
    z = x.detach().to(nnlib.float64).numpy() - t.detach().to(nnlib.float64).numpy()
    each = value(z)
    for reduction, want in (("mean", each.mean()), ("sum", each.sum())):
        if layout == "broadcast":
            with pytest.warns(UserWarning):
                got = loss(x, t, reduction=reduction)
        else:
            got = loss(x, t, reduction=reduction)
        assert got.dtype == kind and got.shape == ()
        np.testing.assert_allclose(float(got), want, rtol=BOUNDS[dtype])
        gx, gt = nnlib.autograd.grad(got * 3, [x, t])
        g = 3 * slope(z) / (z.size if reduction == "mean" else 1)
        scale = np.abs(g).max() + 1e-300
        np.testing.assert_allclose(gx.to(nnlib.float64).numpy() / scale, g / scale, atol=2 * BOUNDS[dtype])
        if layout != "broadcast":
            np.testing.assert_allclose(
                gt.to(nnlib.float64).numpy() / scale, -g / scale, atol=2 * BOUNDS[dtype]
            )


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_and_what_is_not_finite(name):
    loss = LOSSES[name][0]
    empty = nnlib.empty(0)
    assert np.isnan(float(loss(empty, empty))) and float(loss(empty, empty, reduction="sum")) == 0
    x = nnlib.zeros(9000)
    x[8999] = float("nan")
    assert np.isnan(float(loss(x, nnlib.zeros(9000))))
    x[8999] = float("inf")
    assert float(loss(x, nnlib.zeros(9000), reduction="sum")) == float("inf")


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_gradients(name):
    loss = LOSSES[name][0]
    x, t = nnlib.randn(6, dtype=nnlib.float64), nnlib.randn(6, dtype=nnlib.float64)
    assert nnlib.autograd.gradcheck(loss, (x.requires_grad_(), t.requires_grad_()))
    assert nnlib.autograd.gradgradcheck(loss, (x, t))
