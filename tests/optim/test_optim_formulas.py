"""Every optimizer against its formula in float64, and against PyTorch where that is installed."""

import numpy as np
import optim_cases
import pytest

import nnlib

SHAPES = [(5, 7), (3,), (), (2, 3, 4)]
EXTRA = [
    ("Adafactor", dict(lr=0.1)),
    ("Adafactor", dict(lr=0.1, weight_decay=0.1, eps=(1e-3, 1e-2), d=2.0, beta2_decay=-0.5, maximize=True)),
]


def run(lib, name, options, grads, dtype="float32", tensor=None):
    """Parameters after each step, as NumPy arrays."""
    tensor = tensor or (lambda a: lib.tensor(a, dtype=getattr(lib, dtype)))
    params = [tensor(optim_cases.values(s, i)).requires_grad_(True) for i, s in enumerate(SHAPES)]
    opt = getattr(lib.optim, name)(params, **options)
    out = []
    for step_grads in grads:
        for p, g in zip(params, step_grads, strict=True):
            p.grad = None if g is None else lib.tensor(g, dtype=p.dtype)
        opt.step()
        out.append([p.detach().to(lib.float64).numpy().copy() for p in params])
    return out


def gradients(steps=6):
    """Gradients of six steps; the second parameter has none in the first and the fourth."""
    out = []
    for t in range(steps):
        row = [optim_cases.values(s, 100 * t + i) for i, s in enumerate(SHAPES)]
        if t in (0, 3):
            row[1] = None
        out.append(row)
    return out


@pytest.mark.parametrize(("name", "formula", "options"), optim_cases.CASES, ids=optim_cases.IDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-10)])
def test_formula(name, formula, options, dtype, tolerance):
    grads = gradients()
    got = run(nnlib, name, options, grads, dtype)
    if name in ("NAdam", "ASGD"):
        tolerance = max(tolerance, 1e-6)  # as in PyTorch, scalars of their state are float32
    for i, shape in enumerate(SHAPES):
        p, state, t = optim_cases.values(shape, i), {}, 0
        for step, row in enumerate(grads):
            if row[i] is not None:
                t += 1
                p = formula(p, row[i], state, t, **dict(options))
            np.testing.assert_allclose(got[step][i], p, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", sorted({case[0] for case in optim_cases.CASES}))
def test_half_precision_steps_compute_in_float(name, dtype):
    # One step from representable values: only the result is rounded.
    options = dict(lr=0.125)
    p = nnlib.tensor([1.0, -2.0, 0.5], dtype=getattr(nnlib, dtype)).requires_grad_(True)
    p.grad = nnlib.tensor([0.5, 1.0, -0.25], dtype=getattr(nnlib, dtype))
    getattr(nnlib.optim, name)([p], **options).step()
    formula = {n: f for n, f, _ in optim_cases.CASES}[name]
    want = formula(np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.0, -0.25]), {}, 1, **options)
    rounding = 2**-10 if dtype == "float16" else 2**-7
    np.testing.assert_allclose(p.detach().float().numpy(), want, rtol=rounding)


@pytest.mark.parametrize(
    ("name", "options"), [(n, o) for n, _, o in optim_cases.CASES] + EXTRA, ids=lambda x: str(x)
)
def test_torch(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    grads = gradients()
    got, want = run(nnlib, name, options, grads), run(torch, name, options, grads)
    for a, b in zip(got, want, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=5e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, dict(nesterov=False, adjust_lr_fn="match_rms_adamw"), dict(ns_steps=3)]
)
@pytest.mark.parametrize("shape", [(4, 6), (6, 4)])
def test_muon(options, shape):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    results = []
    for lib in (nnlib, torch):
        p = lib.tensor(optim_cases.values(shape, 0), dtype=lib.float32).requires_grad_(True)
        opt = lib.optim.Muon([p], lr=0.1, **options)
        for t in range(3):
            p.grad = lib.tensor(optim_cases.values(shape, t + 1), dtype=lib.float32)
            opt.step()
        results.append(p.detach().numpy())
    np.testing.assert_allclose(*results, rtol=2e-2, atol=2e-2)  # the iteration runs in bfloat16


def test_muon_makes_the_update_orthogonal():
    p = nnlib.zeros(4, 6).requires_grad_(True)
    p.grad = nnlib.tensor(optim_cases.values((4, 6), 0), dtype=nnlib.float32)
    nnlib.optim.Muon([p], lr=1.0, weight_decay=0.0).step()
    sizes = np.linalg.svd(p.detach().numpy(), compute_uv=False)
    assert (sizes > 0.5).all() and (sizes < 1.4).all()


def test_adafactor_matrix_formula():
    p, g = optim_cases.values((3, 4), 0), optim_cases.values((3, 4), 1)
    w = nnlib.tensor(p).requires_grad_(True)
    w.grad = nnlib.tensor(g)
    nnlib.optim.Adafactor([w], lr=0.1).step()
    # In the first step the averages are the squares themselves.
    row, col = (g * g).mean(1, keepdims=True), (g * g).mean(0, keepdims=True)
    u = g / np.sqrt(row @ col / row.mean())
    u /= max(1, np.sqrt((u * u).mean()))
    want = p - max(1e-3, np.sqrt((p * p).mean())) * 0.1 * u
    np.testing.assert_allclose(w.detach().numpy(), want, rtol=1e-10)


@pytest.mark.parametrize("options", [{}, dict(line_search_fn="strong_wolfe"), dict(history_size=2, lr=0.5)])
def test_lbfgs_finds_the_minimum_of_a_quadratic(options):
    scale = nnlib.tensor([1.0, 3.0, 0.5], dtype=nnlib.float64)
    w = nnlib.tensor([3.0, -4.0, 2.0], dtype=nnlib.float64).requires_grad_(True)
    unused = nnlib.zeros(2, dtype=nnlib.float64).requires_grad_(True)
    opt = nnlib.optim.LBFGS([w, unused], **options)

    def closure():
        opt.zero_grad()
        loss = (scale * (w - 1) ** 2).sum()
        loss.backward()
        return loss

    first = opt.step(closure)
    assert first.item() == pytest.approx(4 + 75 + 0.5)
    for _ in range(10):
        opt.step(closure)
    np.testing.assert_allclose(w.detach().numpy(), np.ones(3), atol=1e-4)
    assert unused.tolist() == [0.0, 0.0]


def test_lbfgs_follows_torch_on_rosenbrock():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    paths = []
    for lib in (nnlib, torch):
        w = lib.tensor([-1.2, 1.0], dtype=lib.float64).requires_grad_(True)
        opt = lib.optim.LBFGS([w], max_iter=3, line_search_fn="strong_wolfe")

        def closure(w=w, opt=opt):
            opt.zero_grad()
            loss = 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2
            loss.backward()
            return loss

        path = []
        for _ in range(10):
            opt.step(closure)
            path.append(w.tolist())
        paths.append(path)
    np.testing.assert_allclose(*paths, rtol=1e-6)


def test_lbfgs_errors():
    w = nnlib.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="parameter groups"):
        nnlib.optim.LBFGS([{"params": [w]}, {"params": [nnlib.ones(1, requires_grad=True)]}])
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        nnlib.optim.LBFGS([w], line_search_fn="newton").step(lambda: w.sum())
