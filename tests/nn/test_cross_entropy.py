"""cross_entropy and linear_cross_entropy beside a float64 reference: layouts, dtypes, and what backward is given."""

import subprocess
import sys

import numpy as np
import pytest

import nnlib
import nnlib.nn.functional as F

# The shapes reach every way of working: rows, split rows, lanes of pixels, rows turned into lanes, streaming stores.
SHAPES = [
    (5,),
    (7, 3),
    (64, 10),
    (33, 100),
    (3, 40000),
    (300, 9000),
    (2, 5, 3),
    (3, 21, 17, 19),
    (2, 40, 4, 2, 3),
    (4, 21, 180, 180),
]
ORDERS = ["contiguous", "classes last", "reversed", "apart"]


def laid_out(x, order):
    """The same values with other strides."""
    if order == "classes last" and x.ndim > 2:
        return nnlib.from_numpy(np.ascontiguousarray(np.moveaxis(x, 1, -1))).movedim(-1, 1)
    if order == "reversed":
        return nnlib.from_numpy(np.ascontiguousarray(x.T)).permute(*range(x.ndim - 1, -1, -1))
    if order == "apart":
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        wide[..., ::2] = x
        return nnlib.from_numpy(wide)[..., ::2]
    return nnlib.from_numpy(x)


def reference(x, target, weight, smoothing, reduction, ignore_index=-100):
    """(loss, gradient of its sum) in float64."""
    axis = 0 if x.ndim == 1 else 1
    x = np.moveaxis(np.asarray(x, np.float64), axis, -1)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    log_p = x - x.max(-1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(-1, keepdims=True))
    if target.dtype.kind == "f":
        q = np.moveaxis(np.asarray(target, np.float64), axis, -1)
        counts = np.ones(x.shape[:-1])
        kept = counts
    else:
        kept = (target != ignore_index).astype(float)
        t = np.where(target == ignore_index, 0, target)
        q = np.zeros(x.shape)
        np.put_along_axis(q, t[..., None], 1, -1)
        counts = w[t] * kept
    q = ((1 - smoothing) * q + smoothing / classes) * w * kept[..., None]
    losses = -(q * log_p).sum(-1)
    gradient = np.exp(log_p) * q.sum(-1, keepdims=True) - q
    divisor = counts.sum() if reduction == "mean" else 1
    loss = losses if reduction == "none" else losses.sum() / divisor
    return loss, np.moveaxis(gradient, -1, axis) / divisor


def close(ours, expected, rtol=2e-5, atol=2e-6):
    np.testing.assert_allclose(ours.detach().double().numpy(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layouts(shape, order):
    rng = np.random.default_rng(len(shape))
    x = (rng.standard_normal(shape) * 3).astype("float32")
    classes = shape[0] if len(shape) == 1 else shape[1]
    target = rng.integers(0, classes, (shape[0], *shape[2:]) if len(shape) > 1 else ())
    target = np.where(rng.random(target.shape) < 0.2, -100, target) if target.size > 4 else target
    weight = rng.random(classes).astype("float32") + 0.1
    given = rng.random(shape).astype("float32")
    for reduction in ("mean", "sum", "none"):
        for w, smoothing, t in (
            (None, 0.0, target),
            (weight, 0.0, target),
            (None, 0.2, target),
            (weight, 0.2, target),
            (weight, 0.1, given),
        ):
            scores = laid_out(x, order).requires_grad_()
            args = {
                "weight": None if w is None else nnlib.from_numpy(w),
                "reduction": reduction,
                "label_smoothing": smoothing,
            }
            loss = F.cross_entropy(scores, nnlib.from_numpy(np.asarray(t)), **args)
            expected, gradient = reference(x, np.asarray(t), w, smoothing, reduction)
            close(loss, expected, atol=1e-4 if reduction == "sum" else 1e-5)
            (got,) = nnlib.autograd.grad(loss.sum(), scores)
            assert got.shape == scores.shape
            close(got, gradient)
            with nnlib.no_grad():
                assert nnlib.equal(F.cross_entropy(scores, nnlib.from_numpy(np.asarray(t)), **args), loss)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("shape", [(64, 10), (33, 100), (2, 20000), (3, 21, 17, 19)], ids=str)
def test_dtypes(shape, dtype):
    rng = np.random.default_rng(0)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    exact = nnlib.from_numpy(rng.standard_normal(shape)).to(getattr(nnlib, dtype))
    scores = exact.clone().requires_grad_()
    loss = F.cross_entropy(scores, nnlib.from_numpy(target), label_smoothing=0.1, reduction="sum")
    loss.backward(nnlib.tensor(0.5, dtype=loss.dtype))
    expected, gradient = reference(exact.double().numpy(), target, None, 0.1, "sum")
    tolerance = 1e-12 if dtype == "float64" else 1e-2
    close(loss, expected, rtol=tolerance)
    assert scores.grad.dtype == exact.dtype
    close(scores.grad, gradient / 2, rtol=tolerance, atol=tolerance * 1e-1)


def test_float16_gradients_are_scaled_before_they_are_rounded():
    """A loss scale of 2^15 keeps what 1 / rows would push below float16's smallest number."""
    scores = nnlib.zeros(4096, 1000, dtype=nnlib.float16, requires_grad=True)
    F.cross_entropy(scores, nnlib.zeros(4096, dtype=nnlib.int64)).backward(nnlib.tensor(32768.0).half())
    assert scores.grad[0, 1].item() == pytest.approx(32768 / 4096 / 1000, rel=1e-3)


@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3), (3, 20000)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_backward_more_than_once(shape, reduction):
    """The kept gradient is given away once; further passes compute it anew, with the factors of their own."""
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal(shape).astype("float32"), rng.integers(0, 4, (shape[0], *shape[2:]))
    scores = nnlib.from_numpy(x).requires_grad_()
    loss = F.cross_entropy(scores, nnlib.from_numpy(target), reduction=reduction)
    _, gradient = reference(x, target, None, 0, reduction)
    for factor in (1.0, 1.0, -2.5):
        upstream = nnlib.full_like(loss, factor)
        (got,) = nnlib.autograd.grad(loss, scores, upstream, retain_graph=True)
        close(got, factor * gradient)
        got.zero_()  # the next pass must not see it
    if reduction == "none":
        upstream = nnlib.from_numpy(rng.standard_normal(target.shape).astype("float32"))
        (got,) = nnlib.autograd.grad(loss, scores, upstream, retain_graph=True)
        close(got, np.expand_dims(upstream.numpy(), 1) * gradient)
    (got,) = nnlib.autograd.grad(loss.sum(), scores, create_graph=True)
    close(got, gradient)
    assert got.requires_grad
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        with nnlib.no_grad():
            scores.add_(1)
        nnlib.autograd.grad(loss.sum(), scores)


def test_changed_targets_are_an_error():
    scores, target = nnlib.zeros(3, 4, requires_grad=True), nnlib.tensor([0, 1, 2])
    loss = F.nll_loss(scores, target)
    target.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("shape", [(5,), (6, 4), (3, 5, 4, 2)], ids=str)
@pytest.mark.parametrize("order", ORDERS)
def test_nll_loss(shape, order):
    rng = np.random.default_rng(2)
    x = rng.standard_normal(shape).astype("float32")
    classes = shape[0] if len(shape) == 1 else shape[1]
    target = rng.integers(0, classes, (shape[0], *shape[2:]) if len(shape) > 1 else ())
    weight = rng.random(classes).astype("float32")
    axis = 0 if len(shape) == 1 else 1
    chosen = np.moveaxis(np.eye(classes)[target], -1, axis) * np.expand_dims(weight[target], axis)
    for reduction in ("mean", "sum", "none"):
        scores = laid_out(x, order).requires_grad_()
        loss = F.nll_loss(
            scores, nnlib.from_numpy(np.asarray(target)), nnlib.from_numpy(weight), reduction=reduction
        )
        divisor = weight[target].sum() if reduction == "mean" else 1
        losses = -(x * chosen).sum(axis)
        close(loss, losses if reduction == "none" else losses.sum() / divisor)
        loss.sum().backward()
        close(scores.grad, -chosen / divisor)


def test_values_past_the_range():
    """What PyTorch gives: NaN from infinity or from nothing but -infinity, else the limit."""
    inf = float("inf")
    for row, expected in (
        ([inf, 0.0], float("nan")),
        ([-inf, -inf], float("nan")),
        ([0.0, -inf], 0.0),
        ([-inf, 0.0], inf),
        ([float("nan"), 0.0], float("nan")),
        ([3e38, -3e38], 0.0),
    ):
        for repeat in (1, 30):  # a row, and one of lanes
            scores = nnlib.tensor([row]).repeat(repeat, 1)
            got = F.cross_entropy(scores, nnlib.zeros(repeat, dtype=nnlib.int64)).item()
            assert got == expected or (np.isnan(got) and np.isnan(expected)), (row, repeat)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("case", ["classes", "smoothing", "weights", "probabilities", "no bias", "one block"])
def test_linear_cross_entropy(case, dtype, reduction):
    rng = np.random.default_rng(3)
    kind = getattr(nnlib, dtype)
    n, d, classes = 23, 6, 11

    def make(*shape):
        return nnlib.from_numpy(rng.standard_normal(shape)).to(kind)

    x, w, b = make(n, d), make(classes, d), None if case == "no bias" else make(classes)
    weight = nnlib.from_numpy(rng.random(classes) + 0.1).to(kind) if case == "weights" else None
    target = rng.integers(0, classes, n)
    target[4] = -100
    target = (
        nnlib.from_numpy(rng.random((n, classes))).to(kind)
        if case == "probabilities"
        else nnlib.from_numpy(target)
    )
    args = {"weight": weight, "reduction": reduction, "label_smoothing": 0.1 if case == "smoothing" else 0.0}
    leaves = [t.double().requires_grad_() for t in (x, w, b) if t is not None]
    wide = {**args, "weight": None if weight is None else weight.double()}
    plain = F.cross_entropy(F.linear(*leaves), target.double() if case == "probabilities" else target, **wide)
    options = None if case == "one block" else nnlib.nn.LinearCrossEntropyOptions(batch_chunk_size=5)
    tolerance = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 2e-2}[dtype]
    ours = [t.clone().requires_grad_() for t in (x, w, b) if t is not None]
    loss = F.linear_cross_entropy(
        ours[0], ours[1], target, linear_bias=ours[2] if b is not None else None, options=options, **args
    )
    close(loss, plain.detach().numpy(), rtol=tolerance, atol=tolerance)
    upstream = nnlib.from_numpy(rng.standard_normal(tuple(loss.shape)) if loss.dim() else np.asarray(-0.7))
    expected = nnlib.autograd.grad(plain, leaves, upstream, retain_graph=True)
    for _ in range(2):  # the gradients that were kept, and those computed again
        got = nnlib.autograd.grad(loss, ours, upstream.to(kind), retain_graph=True)
        for a, e in zip(got, expected, strict=True):
            assert a.dtype == kind
            close(a, e.numpy(), rtol=4 * tolerance, atol=4 * tolerance)
    if dtype == "float64":
        second = [
            nnlib.autograd.grad(nnlib.autograd.grad(y.sum(), leaf, create_graph=True)[0].sum(), leaf)[0]
            for y, leaf in ((loss, ours[0]), (plain, leaves[0]))
        ]
        close(second[0], second[1].numpy(), rtol=1e-9, atol=1e-12)


def test_linear_cross_entropy_of_one_example():
    x, w = nnlib.zeros(3), nnlib.zeros(4, 3)
    for reduction in ("mean", "none"):
        loss = F.linear_cross_entropy(x, w, nnlib.tensor(2), reduction=reduction)
        assert loss.shape == () and loss.item() == pytest.approx(np.log(4))


# VmHWM, since ru_maxrss begins with what the process that started this one took.
_PEAK = """
import sys
import nnlib, nnlib.nn.functional as F
def peak():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
n, classes, d = 4096, 20000, 32
x, w = nnlib.zeros(n, d, requires_grad=True), nnlib.zeros(classes, d, requires_grad=True)
target = nnlib.zeros(n, dtype=nnlib.int64)
small = F.cross_entropy(F.linear(x[:2], w), target[:2])
before = peak()
if sys.argv[1] == "blocks":
    F.linear_cross_entropy(x, w, target).backward()
else:
    F.cross_entropy(F.linear(x, w), target).backward()
print(peak() - before)
"""


def test_linear_cross_entropy_takes_the_memory_of_a_block():
    """Scores of 328 MB: the plain way needs them, the blocks stay far below."""
    peaks = {}
    for way in ("blocks", "plain"):
        ran = subprocess.run([sys.executable, "-c", _PEAK, way], capture_output=True, text=True, check=True)
        peaks[way] = int(ran.stdout) / 1024
    assert peaks["blocks"] < 150 < 300 < peaks["plain"]
