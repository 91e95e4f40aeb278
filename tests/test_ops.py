"""Every case of op_cases: values against a float64 reference, gradients against finite differences.

Both are compared with PyTorch where it is installed.
"""

import warnings

import numpy as np
import pytest
from op_cases import CASES

import nnlib

try:
    import torch
except ImportError:
    torch = None

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def tensors(lib, arrays, dtype=None, requires_grad=False):
    made = []
    for a in arrays:
        t = lib.from_numpy(a.copy()) if a.ndim else lib.from_numpy(a.reshape(1)).reshape(())
        if t.is_floating_point():
            t = t if dtype is None else t.to(dtype)
            t.requires_grad_(requires_grad)
        made.append(t)
    return made


def run(lib, case, arrays, dtype=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of its own slow paths
        return case.call(lib, *tensors(lib, arrays, dtype))


def expected(case, arrays):
    if case.reference is not None:
        return np.asarray(case.reference(*arrays))
    if torch is None:
        pytest.skip("the case has no NumPy reference, and PyTorch is not installed")
    return run(torch, case, arrays).numpy()


@every_case
def test_value(case):
    arrays = case.arrays()
    want = expected(case, arrays)
    got = run(nnlib, case, arrays).numpy()
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
    single = run(nnlib, case, arrays, nnlib.float32)
    assert not case.floating or single.dtype == nnlib.float32
    np.testing.assert_allclose(single.numpy(), want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("case", [c for c in CASES if c.half], ids=lambda case: case.name)
def test_sixteen_bits(case):
    arrays = case.arrays()
    want = expected(case, arrays)
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    for dtype, error in ((nnlib.bfloat16, 4e-2), (nnlib.float16, 5e-3)):
        got = run(nnlib, case, arrays, dtype)
        assert got.dtype == dtype
        np.testing.assert_allclose(got.to(nnlib.float32).numpy(), want, rtol=error, atol=error * scale)


def differentiable_sum(case, arrays, seed):
    """The case's output times fixed random weights, with its leaves."""
    leaves = tensors(nnlib, arrays, requires_grad=True)
    output = case.call(nnlib, *leaves)
    weights = nnlib.from_numpy(np.random.default_rng(seed).standard_normal(tuple(output.shape)))
    return (output * weights).sum(), [t for t in leaves if t.requires_grad]


def gradients(case, arrays, seed=1):
    total, leaves = differentiable_sum(case, arrays, seed)
    return [g.numpy() for g in nnlib.autograd.grad(total, leaves)]


def second_gradients(case, arrays, directions):
    """The gradient of sum(gradient * direction)."""
    total, leaves = differentiable_sum(case, arrays, 1)
    first = nnlib.autograd.grad(total, leaves, create_graph=True)
    along = sum((g * nnlib.from_numpy(d)).sum() for g, d in zip(first, directions, strict=True))
    if not along.requires_grad:
        return [np.zeros_like(d) for d in directions]
    second = nnlib.autograd.grad(along, leaves, allow_unused=True)
    return [np.zeros_like(d) if g is None else g.numpy() for g, d in zip(second, directions, strict=True)]


def moved(arrays, directions, step):
    """The arrays with the floating ones moved along their directions."""
    rest = iter(directions)
    return [a + step * next(rest) if a.dtype.kind == "f" else a for a in arrays]


@pytest.mark.parametrize("case", [c for c in CASES if c.grad], ids=lambda case: case.name)
def test_gradient_is_the_slope(case):
    arrays = case.arrays()
    rng = np.random.default_rng(2)
    v = [rng.standard_normal(a.shape) for a in arrays if a.dtype.kind == "f"]
    first = gradients(case, arrays)
    step = 1e-6
    high, low = (differentiable_sum(case, moved(arrays, v, s), 1)[0].item() for s in (step, -step))
    slope = sum(float((g * d).sum()) for g, d in zip(first, v, strict=True))
    assert slope == pytest.approx((high - low) / (2 * step), rel=1e-5, abs=1e-6)
    if not case.grad2:
        return
    second = second_gradients(case, arrays, v)
    high, low = (gradients(case, moved(arrays, v, s)) for s in (step, -step))
    for got, a, b in zip(second, high, low, strict=True):
        np.testing.assert_allclose(got, (a - b) / (2 * step), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@every_case
def test_parity_with_pytorch(case):
    arrays = case.arrays()
    results = []
    for lib in (nnlib, torch):
        leaves = tensors(lib, arrays, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = case.call(lib, *leaves)
        found = [output.detach().numpy()]
        leaves = [t for t in leaves if t.requires_grad]
        weights = lib.from_numpy(np.random.default_rng(3).standard_normal(tuple(output.shape)))
        if case.grad and output.requires_grad and output.numel():
            grads = lib.autograd.grad((output * weights).sum(), leaves, allow_unused=True)
            found += [
                np.zeros(t.shape) if g is None else g.numpy() for g, t in zip(grads, leaves, strict=True)
            ]
        results.append(found)
    for got, want in zip(*results, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
