"""Winograd's convolutions against float64: rounding errors, infinities, threads, the switch."""

import numpy as np
import pytest

import nnlib
from nnlib.nn import functional as F

BOUND = 4e-6  # of the output's root mean square

# batch, input and output channels, height, width, padding, groups, and what is not 3, 1, 1: kernel, stride, dilation
SHAPES = [
    (2, 64, 64, 56, 56, 1, 1),
    (3, 48, 96, 30, 30, 1, 1),
    (2, 96, 40, 17, 23, 1, 1),
    (8, 256, 96, 7, 7, 1, 1),
    (16, 128, 512, 4, 4, 1, 1),
    (1, 512, 128, 14, 14, 1, 1),
    (4, 33, 65, 25, 27, 0, 1),
    (4, 65, 33, 21, 22, 2, 1),
    (4, 64, 128, 12, 19, 1, 2),
    (2, 32, 64, 28, 27, 2, 1, 5, 1, 1),
    (2, 64, 64, 21, 20, 1, 1, 4, 1, 1),
    (2, 128, 128, 20, 20, 0, 1, 2, 1, 1),
    (4, 16, 64, 57, 56, 3, 1, 7, 2, 1),
    (2, 6, 64, 112, 112, 2, 1, 11, 4, 1),
    (2, 64, 64, 57, 57, 2, 1, 5, 2, 1),
    (4, 128, 128, 28, 28, 2, 1, 3, 1, 2),
]
KINDS = {"normal": 1, "positive": 1, "small": 1e-15, "large": 1e15}


@pytest.fixture(autouse=True)
def settings():
    threads, on = nnlib.get_num_threads(), nnlib.backends.conv.winograd
    nnlib.backends.conv.winograd = True
    yield
    nnlib.set_num_threads(threads)
    nnlib.backends.conv.winograd = on


def options(shape):
    kernel, stride, dilation = shape[7:] or (3, 1, 1)
    return kernel, {"padding": shape[5], "groups": shape[6], "stride": stride, "dilation": dilation}


def arrays(shape, kind="normal"):
    """Input, weight, bias and the gradient of the output."""
    n, c, k, h, w, p, groups = shape[:7]
    kernel, kw = options(shape)
    rng = np.random.default_rng(n + c + k + h)
    out = [(d + 2 * p - kw["dilation"] * (kernel - 1) - 1) // kw["stride"] + 1 for d in (h, w)]
    sizes = [(n, c, h, w), (k, c // groups, kernel, kernel), (k,), (n, k, *out)]
    made = [rng.random(size) + 0.5 if kind == "positive" else rng.standard_normal(size) for size in sizes]
    scale = KINDS[kind]
    made = [a * s for a, s in zip(made, (scale, scale, scale**2, scale), strict=True)]
    return [a.astype(np.float32) for a in made]


def results(shape, values, dtype, transposed=False):
    """y and the gradients of input and weight."""
    x, w, b, g = (nnlib.from_numpy(v).to(dtype) for v in values)
    x, g = (g, x) if transposed else (x, g)
    x.requires_grad_(), w.requires_grad_()
    kw = options(shape)[1]
    if transposed:
        extra = [
            (d + 2 * kw["padding"] - kw["dilation"] * (w.size(2) - 1) - 1) % kw["stride"] for d in shape[3:5]
        ]
        y = F.conv_transpose2d(x, w, None, output_padding=extra, **kw)
    else:
        y = F.conv2d(x, w, b, **kw)
    y.backward(g)
    return [t.detach().numpy() for t in (y, x.grad, w.grad)]


def error(got, want):
    return np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounding_errors_stay_below_the_bound(shape, kind):
    values = arrays(shape, kind)
    want = results(shape, values, nnlib.float64)
    got = results(shape, values, nnlib.float32)
    with nnlib.backends.conv.flags(winograd=False):
        direct = results(shape, values, nnlib.float32)
    for name, a, b, c in zip(("y", "x.grad", "w.grad"), got, want, direct, strict=True):
        assert error(a.astype(np.float64), b) < BOUND, name
        # All of these shapes take it, or the test would say nothing.
        assert not np.array_equal(a, c), name


@pytest.mark.parametrize("shape", SHAPES[1:4] + SHAPES[-4:], ids=str)
def test_transposed(shape):
    values = arrays(shape)
    got = results(shape, values, nnlib.float32, transposed=True)
    want = results(shape, values, nnlib.float64, transposed=True)
    assert all(error(a.astype(np.float64), b) < BOUND for a, b in zip(got, want, strict=True))


def test_one_tensor_as_input_and_as_gradient():
    x, w, _, _ = (nnlib.from_numpy(v) for v in arrays(SHAPES[0]))
    w.requires_grad_()
    grads = [nnlib.autograd.grad(F.conv2d(x, w, padding=1), w, g)[0] for g in (x, x.clone())]
    assert nnlib.equal(*grads)


@pytest.mark.parametrize("shape", SHAPES[1:5] + SHAPES[-4:], ids=str)
def test_channels_last_and_views(shape):
    x, w, b, _ = (nnlib.from_numpy(v) for v in arrays(shape))
    kw = options(shape)[1]
    y = F.conv2d(x, w, b, **kw)
    last = F.conv2d(x.to(memory_format=nnlib.channels_last), w, b, **kw)
    assert last.is_contiguous(memory_format=nnlib.channels_last)
    assert error(last.numpy(), y.numpy().astype(np.float64)) < BOUND
    wide = nnlib.zeros(*x.shape[:-1], x.size(-1) * 2)
    wide[..., ::2] = x
    assert nnlib.equal(y, F.conv2d(wide[..., ::2], w, b, **kw))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_any_number_of_threads(shape):
    values = arrays(shape)
    seen = []
    for threads in (1, 2, 3):
        nnlib.set_num_threads(threads)
        seen.append([a.tobytes() for a in results(shape, values, nnlib.float32)])
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e38])
@pytest.mark.parametrize("where", ["input", "weight", "gradient"])
@pytest.mark.parametrize("shape", [SHAPES[2], *SHAPES[-4:]], ids=str)
def test_what_is_not_finite_spreads_as_in_a_matrix_product(bad, where, shape):
    values = arrays(shape)
    at = {"input": 0, "weight": 1, "gradient": 3}[where]
    values[at][(0, 1, 2, 2) if where == "weight" else (1, 3, 5, 6)] = bad
    got = results(shape, values, nnlib.float32)
    with nnlib.backends.conv.flags(winograd=False):
        want = results(shape, values, nnlib.float32)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
        if not np.isfinite(b).all():
            np.testing.assert_array_equal(a, b)
    assert (
        bad == 1e38 or sum(not np.isfinite(b).all() for b in want) == 2
    )  # each operand is in two of the products


def test_the_switch():
    conv = nnlib.backends.conv
    values = arrays(SHAPES[0])
    on = results(SHAPES[0], values, nnlib.float32)
    conv.winograd = False
    assert conv.winograd is False
    off = results(SHAPES[0], values, nnlib.float32)
    with conv.flags(winograd=True):
        assert conv.winograd is True
        again = results(SHAPES[0], values, nnlib.float32)
    assert conv.winograd is False
    for a, b, c in zip(on, off, again, strict=True):
        assert not np.array_equal(a, b) and np.array_equal(a, c)


def test_the_switch_refuses_what_it_does_not_know():
    conv = nnlib.backends.conv
    with pytest.raises(TypeError, match="must be a bool, got int"):
        conv.winograd = 1
    with pytest.raises(TypeError, match="must be a bool"), conv.flags(winograd="no"):
        pass
    with pytest.raises(AttributeError, match="no setting 'winogard'"):
        conv.winogard = False
    with pytest.raises(ZeroDivisionError), conv.flags(winograd=False):
        1 / 0  # noqa: B018
    assert conv.winograd is True


def test_double_precision_does_not_take_it():
    values = arrays(SHAPES[1])
    on = results(SHAPES[1], values, nnlib.float64)
    with nnlib.backends.conv.flags(winograd=False):
        off = results(SHAPES[1], values, nnlib.float64)
    assert all(np.array_equal(a, b) for a, b in zip(on, off, strict=True))


def test_second_derivatives():
    """The gradients of a gradient are such convolutions again."""
    values = arrays(SHAPES[2])

    def second(dtype):
        x, w, b, g = (nnlib.from_numpy(v).to(dtype).requires_grad_() for v in values)
        y = F.conv2d(x, w, b, padding=1)
        gx, gw = nnlib.autograd.grad(y, [x, w], g, create_graph=True)
        grads = nnlib.autograd.grad((gx * x).sum() + (gw * w).sum(), [x, w, g])
        return [t.detach().numpy().astype(np.float64) for t in grads]

    for got, want in zip(second(nnlib.float32), second(nnlib.float64), strict=True):
        assert error(got, want) < BOUND
