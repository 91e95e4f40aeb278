"""CTC against the sum over every path, and hinges of classes against loops; gradients by finite differences."""

import itertools

import numpy as np
import pytest

import nnlib
from nnlib.autograd import gradcheck, gradgradcheck
from nnlib.nn import functional as F


def all_paths(log_probs, target, blank):
    """Minus the log of the summed probability of the paths that collapse to the target."""
    steps, classes = log_probs.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        kept = [k for t, k in enumerate(path) if k != blank and (t == 0 or path[t - 1] != k)]
        if kept == list(target):
            total += np.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
    return -np.log(total) if total else np.inf


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.float64], ids=str)
def test_ctc_is_the_sum_over_all_paths(blank, dtype):
    rng = np.random.default_rng(1)
    targets = [[1, 1], [1, 3], [3], [], [1, 3, 1], [3, 3, 3]]
    targets = [[k if k != blank else 0 for k in t] for t in targets]
    targets = [[1 if k == blank else k for k in t] for t in targets]
    steps, classes, batch = 5, 4, len(targets)
    x = rng.standard_normal((steps, batch, classes)) * 3
    x -= np.log(np.exp(x).sum(-1, keepdims=True))
    lengths = [5, 4, 1, 3, 5, 4]  # three equal labels need five moments
    padded = nnlib.full((batch, 3), -7, dtype=nnlib.int64)
    for i, t in enumerate(targets):
        padded[i, : len(t)] = nnlib.tensor(t, dtype=nnlib.int64)
    args = (nnlib.from_numpy(x).to(dtype), padded, lengths, [len(t) for t in targets], blank)
    loss = F.ctc_loss(*args, reduction="none")
    want = [all_paths(x[:n, i], t, blank) for i, (n, t) in enumerate(zip(lengths, targets, strict=True))]
    assert np.isinf(want[-1]) and np.isfinite(want[:-1]).all()
    np.testing.assert_allclose(loss.numpy(), want, rtol=1e-5 if dtype == nnlib.float32 else 1e-12)
    assert F.ctc_loss(*args, reduction="none", zero_infinity=True)[-1] == 0


def test_gradient_of_ctc_through_a_log_softmax():
    nnlib.manual_seed(2)
    x = nnlib.randn(6, 3, 5, dtype=nnlib.float64, requires_grad=True)
    targets = nnlib.tensor([[1, 2, 2], [4, 0, 0], [3, 3, 1]])

    def loss(x):
        return F.ctc_loss(F.log_softmax(x, -1), targets, [6, 4, 5], [3, 1, 3], reduction="none")

    assert gradcheck(loss, (x,))
    # Moments after the end get nothing, and an impossible sequence NaN, or nothing where it counts for nothing.
    for zero_infinity in (False, True):
        p = F.log_softmax(x.detach(), -1).requires_grad_()
        F.ctc_loss(p, targets, [6, 4, 2], [3, 1, 3], reduction="sum", zero_infinity=zero_infinity).backward()
        assert (p.grad[4:, 1] == 0).all() and (p.grad[2:, 2] == 0).all()
        assert (p.grad[:2, 2] == 0).all() if zero_infinity else p.grad[:2, 2].isnan().all()
        assert p.grad[:, 0].isfinite().all()


def test_what_ctc_refuses():
    p = F.log_softmax(nnlib.zeros(4, 2, 3), -1)
    targets = nnlib.tensor([[1, 2], [2, 1]])
    good = (p, targets, nnlib.tensor([4, 4]), nnlib.tensor([2, 2]), 0, False)
    nnlib._C._ctc_loss(*good)
    for place, bad in (
        (0, p[0]),
        (1, targets[:1]),
        (1, targets + 1),
        (1, targets.float()),
        (2, nnlib.tensor([5, 4])),
        (2, nnlib.tensor([4])),
        (3, nnlib.tensor([3, 2])),
        (3, nnlib.tensor([-1, 2])),
        (4, 3),
        (4, -1),
    ):
        with pytest.raises(RuntimeError):
            nnlib._C._ctc_loss(*good[:place], bad, *good[place + 1 :])


def hinges(x, right, margin, p, weight=None):
    loss = []
    for row, classes in zip(x, right, strict=True):
        wrong = [i for i in range(len(row)) if i not in classes]
        each = [
            max(0.0, margin - row[y] + row[i]) ** p * (1 if weight is None else weight[y])
            for y in classes
            for i in wrong
        ]
        loss.append(sum(each) / len(row))
    return loss


@pytest.mark.parametrize("classes", [1, 3, 8, 21])
@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.float64], ids=str)
def test_margin_losses_are_sums_of_hinges(classes, dtype):
    rng = np.random.default_rng(3)
    x = np.round(rng.standard_normal((7, classes)) * 64) / 64
    close = {"rtol": 1e-5 if dtype == nnlib.float32 else 1e-12, "atol": 1e-6}
    t = nnlib.from_numpy(x).to(dtype)
    y = rng.integers(0, classes, 7)
    w = np.round(rng.uniform(0.5, 2, classes) * 16) / 16
    for p, margin, weight in ((1, 1.0, None), (2, 0.5, None), (1, 2.0, w), (2, 1.0, w)):
        got = F.multi_margin_loss(
            t, nnlib.from_numpy(y), p=p, margin=margin, reduction="none",
            weight=None if weight is None else nnlib.from_numpy(weight).to(dtype),
        )  # fmt: skip
        np.testing.assert_allclose(got.numpy(), hinges(x, [[k] for k in y], margin, p, weight), **close)
    # Listed twice counts twice; what follows a negative number does not count.
    listed = rng.integers(0, classes, (7, classes))
    ends = rng.integers(0, classes + 1, 7)
    for row, end in zip(listed, ends, strict=True):
        row[end : end + 1] = -1
    got = F.multilabel_margin_loss(t, nnlib.from_numpy(listed), reduction="none")
    right = [list(row[:end]) for row, end in zip(listed, ends, strict=True)]
    np.testing.assert_allclose(got.numpy(), hinges(x, right, 1.0, 1), **close)


def test_gradients_of_margin_losses():
    nnlib.manual_seed(4)
    x = nnlib.randn(4, 9, dtype=nnlib.float64, requires_grad=True)
    y = nnlib.tensor([0, 8, 3, 3])
    listed = nnlib.tensor(
        [[1, 4, -1, 2, 0, 0, 0, 0, 0], [-1] * 9, list(range(9)), [5, 5, 2, -1, 1, 1, 1, 1, 1]]
    )
    weight = nnlib.rand(9, dtype=nnlib.float64)
    for loss in (
        lambda x: F.multi_margin_loss(x, y, reduction="none"),
        lambda x: F.multi_margin_loss(x, y, p=2, margin=0.7, weight=weight, reduction="none"),
        lambda x: F.multilabel_margin_loss(x, listed, reduction="none"),
    ):
        assert gradcheck(loss, (x,))
        assert gradgradcheck(loss, (x,))


def test_what_margin_losses_refuse():
    x = nnlib.zeros(2, 3)
    for bad in (nnlib.tensor([0, 3]), nnlib.tensor([0, -1]), nnlib.tensor([0]), nnlib.tensor([0.0, 1.0])):
        with pytest.raises(RuntimeError):
            F.multi_margin_loss(x, bad)
    for bad in (nnlib.tensor([[0, 3, 0], [0, 0, 0]]), nnlib.zeros(2, 2, dtype=nnlib.int64), x):
        with pytest.raises(RuntimeError):
            F.multilabel_margin_loss(x, bad)
    F.multilabel_margin_loss(x, nnlib.tensor([[0, -1, 9], [1, 2, -1]]))
