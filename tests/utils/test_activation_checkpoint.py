"""Checkpoints give the results and gradients of the plain call, and refuse what they cannot do."""

import gc
import weakref
from contextlib import contextmanager

import pytest

import nnlib
from nnlib import nn
from nnlib.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    set_checkpoint_early_stop,
)


@pytest.fixture
def net():
    nnlib.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))


def results(net, run):
    """Output and gradients of a step whose random numbers start from one seed."""
    x = nnlib.linspace(-1, 1, 15).reshape(5, 3).requires_grad_()
    nnlib.manual_seed(1)
    net.zero_grad()
    y = run(x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in net.parameters())]


WAYS = {
    "not reentrant": lambda net, x: checkpoint(net, x, use_reentrant=False),
    "to the end": lambda net, x: checkpoint(net, x, use_reentrant=False, early_stop=False),
    "reentrant": lambda net, x: checkpoint(net, x, use_reentrant=True),
    "in parts": lambda net, x: checkpoint_sequential(net, 3, x, use_reentrant=False),
    "in reentrant parts": lambda net, x: checkpoint_sequential(net, 2, x, use_reentrant=True),
    "nested": lambda net, x: checkpoint(
        lambda z: checkpoint(net[1:], net[0](z), use_reentrant=False) + 0, x, use_reentrant=False
    ),
    "nested reentrant": lambda net, x: checkpoint(
        lambda z: checkpoint(net[1:], net[0](z), use_reentrant=True) + 0, x, use_reentrant=True
    ),
    "keyword": lambda net, x: checkpoint(lambda *, z: net(z), z=x, use_reentrant=False),
}


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize("way", WAYS)
def test_the_same_numbers_as_without(net, way):
    expected = results(net, net)
    for a, b in zip(results(net, lambda x: WAYS[way](net, x)), expected, strict=True):
        assert nnlib.equal(a, b)


@pytest.mark.parametrize("reentrant", [False, True])
def test_the_random_state_is_kept_only_where_wanted(reentrant):
    x, drop = nnlib.ones(1000, requires_grad=True), nn.Dropout(0.5)

    def same(**options):
        x.grad = None
        y = checkpoint(lambda t: drop(t).exp(), x, use_reentrant=reentrant, **options)
        y.sum().backward()
        return nnlib.equal(x.grad, nnlib.where(y.detach() > 1, 2 * y.detach(), 0.0))

    assert same() and not same(preserve_rng_state=False)


@pytest.mark.parametrize("reentrant", [False, True])
def test_inner_values_are_not_kept(reentrant):
    seen = []

    def run(x):
        inner = x.exp()
        seen.append(weakref.ref(inner))
        return inner.sin()

    x = nnlib.ones(3, requires_grad=True)
    y = checkpoint(run, x, use_reentrant=reentrant)
    gc.collect()
    assert seen[0]() is None and len(seen) == 1
    y.sum().backward()
    assert len(seen) == 2


def test_the_second_run_ends_early():
    ran = []

    def run(x):
        y = x.exp()
        ran.append("exp")
        y = y.sin() + 1
        ran.append("end")
        return y

    x = nnlib.ones(3, requires_grad=True)
    checkpoint(run, x, use_reentrant=False).sum().backward()
    assert ran == ["exp", "end", "exp"]
    with set_checkpoint_early_stop(False):
        y = checkpoint(run, x, use_reentrant=False)
    y.sum().backward()
    assert ran[3:] == ["exp", "end", "exp", "end"]


def test_passes_over_a_kept_graph_and_second_derivatives():
    x = nnlib.linspace(0, 1, 4, dtype=nnlib.float64).requires_grad_()
    y = checkpoint(lambda t: t.exp().sin(), x, use_reentrant=False).sum()
    (g,) = nnlib.autograd.grad(y, x, create_graph=True)
    (again,) = nnlib.autograd.grad(y, x, retain_graph=True)
    assert nnlib.equal(g.detach(), again)
    (h,) = nnlib.autograd.grad(g.sum(), x)
    e = x.detach().exp()
    nnlib.testing.assert_close(h, e * e.cos() - e * e * e.sin())


def _changes(first, second):
    calls = []

    def run(x):
        calls.append(1)
        return (first if len(calls) == 1 else second)(x)

    return run


@pytest.mark.parametrize(
    ("first", "second", "early", "message"),
    [
        (lambda x: x.exp().sin(), lambda x: x.exp(), True, "A different number of tensors"),
        (lambda x: x.exp().sin(), lambda x: x.exp(), False, "A different number of tensors"),
        (lambda x: x.exp(), lambda x: x.exp().sin(), False, "A different number of tensors"),
        (lambda x: x.exp().sum(), lambda x: x[:2].exp().sum(), True, "different metadata"),
        (lambda x: x.exp().sum(), lambda x: x.double().exp().sum(), True, "different metadata"),
    ],
)
def test_a_second_run_that_differs_is_an_error(first, second, early, message):
    x = nnlib.ones(3, requires_grad=True)
    y = checkpoint(_changes(first, second), x, use_reentrant=False, early_stop=early).sum()
    with pytest.raises(CheckpointError, match=message):
        y.backward()


def test_the_check_can_be_left_out():
    run = _changes(lambda x: x.exp(), lambda x: (x + 1).exp())
    x = nnlib.ones(3, requires_grad=True)
    checkpoint(run, x, use_reentrant=False, determinism_check="none").sum().backward()
    assert nnlib.allclose(x.grad, nnlib.full((3,), 2.0).exp())


def test_inputs_changed_in_place_are_noticed():
    x = nnlib.ones(3, requires_grad=True)
    z = x * 1
    y = checkpoint(lambda t: t.exp(), z, use_reentrant=False)
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_contexts_of_both_runs():
    entered = []

    @contextmanager
    def context(name):
        entered.append(name)
        yield

    x = nnlib.ones(3, requires_grad=True)
    y = checkpoint(
        lambda t: t.exp(), x, use_reentrant=False, context_fn=lambda: (context("first"), context("second"))
    )
    assert entered == ["first"]
    y.sum().backward()
    assert entered == ["first", "second"]


def test_autocast_holds_in_the_second_run():
    layer, x = nn.Linear(3, 3), nnlib.ones(2, 3, requires_grad=True)
    kinds = []

    def run(t):
        y = layer(t)
        kinds.append(y.dtype)
        return y.exp()

    with nnlib.autocast("cpu", dtype=nnlib.bfloat16):
        y = checkpoint(run, x, use_reentrant=False)
    y.float().sum().backward()
    assert kinds == [nnlib.bfloat16] * 2


def test_reentrant_refuses_gradients_of_some_inputs():
    x = nnlib.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="incompatible with .grad"):
        nnlib.autograd.grad(checkpoint(lambda t: t.exp(), x, use_reentrant=True).sum(), x)
    with pytest.raises(RuntimeError, match="incompatible with .grad"):
        checkpoint(lambda t: t.exp(), x, use_reentrant=True).sum().backward(inputs=[x])


def test_wrong_options():
    x = nnlib.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: foo"):
        checkpoint(lambda t: t, x, use_reentrant=True, foo=1)
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(lambda t: t, x, use_reentrant=True, debug=True)
    with pytest.raises(NotImplementedError, match="debug"):
        checkpoint(lambda t: t, x, use_reentrant=False, debug=True)
    with pytest.raises(ValueError, match="determinism_check"):
        checkpoint(lambda t: t, x, use_reentrant=False, determinism_check="all")
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential([nn.ReLU()], 2, x, use_reentrant=False)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be"):
        checkpoint(lambda t: t.exp(), x)
    with pytest.warns(UserWarning, match="None of the inputs"):
        checkpoint(lambda t: t.exp(), nnlib.ones(2), use_reentrant=True)
