"""GradScaler: scaled losses, unscaled gradients, steps that are left out, and how the scale moves."""

import pickle

import pytest

import nnlib
from nnlib.amp import GradScaler

INF = float("inf")


def start(**kwargs):
    w = nnlib.ones(2, requires_grad=True)
    return w, nnlib.optim.SGD([w], lr=1.0), GradScaler("cpu", **kwargs)


def one_step(w, optimizer, scaler, factor=1.0):
    optimizer.zero_grad()
    scaler.scale((w * factor).sum()).backward()
    scaler.step(optimizer)
    scaler.update()


def test_a_step_is_that_without_scaling():
    w, optimizer, scaler = start(init_scale=8.0)
    one_step(w, optimizer, scaler, 0.25)
    assert w.tolist() == [0.75, 0.75] and scaler.get_scale() == 8.0


def test_infinity_leaves_the_step_out_and_shrinks_the_scale():
    w, optimizer, scaler = start(init_scale=8.0)
    one_step(w, optimizer, scaler, INF)
    assert w.tolist() == [1.0, 1.0] and scaler.get_scale() == 4.0
    one_step(w, optimizer, scaler, float("nan"))
    assert w.tolist() == [1.0, 1.0] and scaler.get_scale() == 2.0


def test_large_finite_gradients_are_no_infinity():
    w, optimizer, scaler = start(init_scale=1.0)
    one_step(w, optimizer, scaler, 3e38)
    assert w[0].item() == pytest.approx(-3e38)


def test_the_scale_grows_after_good_steps():
    w, optimizer, scaler = start(init_scale=2.0, growth_interval=2, growth_factor=4.0)
    scales = []
    for factor in (1.0, INF, 1.0, 1.0, 1.0, 1.0):
        one_step(w, optimizer, scaler, factor)
        scales.append(scaler.get_scale())
    assert scales == [2.0, 1.0, 1.0, 4.0, 4.0, 16.0]


def test_unscale_for_clipping():
    w, optimizer, scaler = start(init_scale=1024.0)
    scaler.scale(w.sum()).backward()
    scaler.unscale_(optimizer)
    assert w.grad.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(optimizer)
    scaler.update()


def test_sparse_gradients():
    table = nnlib.nn.Embedding(4, 2, sparse=True)
    optimizer, scaler = nnlib.optim.SGD(table.parameters(), lr=1.0), GradScaler("cpu", init_scale=16.0)
    before = table.weight.detach().clone()
    scaler.scale(table(nnlib.tensor([1])).sum()).backward()
    scaler.step(optimizer)
    assert nnlib.allclose(before - table.weight, nnlib.tensor([[0.0, 0], [1, 1], [0, 0], [0, 0]]))


def test_containers_and_new_scales():
    w, _, scaler = start(init_scale=2.0)
    a, (b, c) = scaler.scale([w, (w, w)])
    assert a[0].item() == b[0].item() == c[0].item() == 2.0
    scaler.update(3.0)
    assert scaler.get_scale() == 3.0
    scaler.update(nnlib.tensor(5.0))
    assert scaler.get_scale() == 5.0


def test_state():
    w, optimizer, scaler = start(init_scale=2.0, growth_interval=3)
    one_step(w, optimizer, scaler)
    other = GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict() == pickle.loads(pickle.dumps(scaler)).state_dict()
    with pytest.raises(RuntimeError, match="empty"):
        other.load_state_dict({})


def test_switched_off():
    w, optimizer, scaler = start(enabled=False)
    loss = w.sum()
    assert scaler.scale(loss) is loss and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0.0, 0.0]
    with pytest.warns(UserWarning, match="CUDA is not available"):
        assert not GradScaler().is_enabled()


def test_errors():
    w, optimizer, scaler = start()
    with pytest.raises(AssertionError, match="_scale is None"):
        scaler.step(optimizer)
    with pytest.raises(AssertionError, match="growth factor"):
        GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(AssertionError, match="backoff factor"):
        GradScaler("cpu", backoff_factor=1.0)
    scaler.scale(w)
    with pytest.raises(AssertionError, match="No inf checks"):
        scaler.step(optimizer)
    with pytest.raises(ValueError, match="Tensor or an iterable"):
        scaler.scale(3)
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(optimizer, closure=lambda: None)
    half = nnlib.ones(1, dtype=nnlib.float16, requires_grad=True)
    half.sum().backward()
    with pytest.raises(ValueError, match="FP16"):
        scaler.unscale_(nnlib.optim.SGD([half], lr=1.0))
