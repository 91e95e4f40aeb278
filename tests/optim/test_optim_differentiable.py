"""``differentiable=True``: the gradient of a loss after some steps, with respect to what went into them."""

import numpy as np
import pytest

import nnlib

CASES = {
    "SGD": dict(lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "Adam": dict(lr=0.1, weight_decay=0.1, amsgrad=True),
    "AdamW": dict(lr=0.1),
    "Adamax": dict(lr=0.1, weight_decay=0.1),
    "NAdam": dict(lr=0.1, weight_decay=0.1),
    "RAdam": dict(lr=0.1, betas=(0.5, 0.9)),
    "Adagrad": dict(lr=0.1, weight_decay=0.1),
    "Adadelta": dict(lr=1.0, weight_decay=0.1),
    "RMSprop": dict(lr=0.1, momentum=0.5, centered=True, eps=1e-3),
    "Rprop": dict(lr=0.1),
    "ASGD": dict(lr=0.1, t0=0),
}
TARGET = np.array([0.3, -0.7, 1.1])


def loss_after_steps(name, options, start, scale):
    """Three steps from `start` on gradients `scale * (w - target)`, then a loss."""
    target = nnlib.tensor(TARGET)
    w = start.clone()
    opt = getattr(nnlib.optim, name)([w], differentiable=True, **options)
    for _ in range(3):
        w.grad = scale * (w.clone() - target)
        opt.step()
    return (w * w).sum()


@pytest.mark.parametrize(("name", "options"), CASES.items(), ids=CASES)
def test_gradient_by_finite_differences(name, options):
    start = nnlib.tensor([1.0, 0.5, -0.4], dtype=nnlib.float64).requires_grad_(True)
    scale = nnlib.tensor([1.5, 0.8, 1.2], dtype=nnlib.float64).requires_grad_(True)
    loss = loss_after_steps(name, options, start, scale)
    got = nnlib.autograd.grad(loss, [start, scale], allow_unused=True)
    eps = 1e-6
    for which, grad in enumerate(got):
        want = np.zeros(3)
        for i in range(3):
            sides = []
            for sign in (1, -1):
                point = [t.detach().clone() for t in (start, scale)]
                point[which][i] += sign * eps
                sides.append(loss_after_steps(name, options, *point).item())
            want[i] = (sides[0] - sides[1]) / (2 * eps)
        grad = np.zeros(3) if grad is None else grad.numpy()
        np.testing.assert_allclose(grad, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop"])
def test_gradient_of_the_learning_rate(name):
    def loss(lr):
        w = nnlib.tensor([1.0, -2.0], dtype=nnlib.float64).clone()
        opt = getattr(nnlib.optim, name)([w], lr=lr, differentiable=True)
        for _ in range(2):
            w.grad = 2 * w.clone()
            opt.step()
        return (w * w).sum()

    lr = nnlib.tensor(0.1, dtype=nnlib.float64).requires_grad_(True)
    (got,) = nnlib.autograd.grad(loss(lr), [lr])
    sides = [loss(nnlib.tensor(0.1 + d, dtype=nnlib.float64)).item() for d in (1e-6, -1e-6)]
    assert got.item() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)


def test_same_numbers_as_the_ordinary_step():
    for name, options in CASES.items():
        results = []
        for differentiable in (False, True):
            w = nnlib.tensor([1.0, 0.5, -0.4], dtype=nnlib.float64).requires_grad_(not differentiable)
            opt = getattr(nnlib.optim, name)([w], differentiable=differentiable, **options)
            for t in range(3):
                w.grad = nnlib.tensor([0.5, -1.0, 0.25 * t + 0.1], dtype=nnlib.float64)
                opt.step()
            results.append(w.detach().numpy())
        np.testing.assert_allclose(*results, rtol=1e-9, err_msg=name)


def test_foreach_does_not_record():
    w = nnlib.ones(2)
    opt = nnlib.optim.SGD([w], lr=0.1, foreach=True, differentiable=True)
    w.grad = nnlib.ones(2)
    with pytest.raises(AssertionError, match="_foreach ops don't support autograd"):
        opt.step()
