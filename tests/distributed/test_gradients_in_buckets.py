"""Gradients are made in the buckets, without copies, and yet belong to whoever holds them."""

import numpy as np
import pytest
from fake_group import FakeGroup, backward, chain, make_reducer, parameters

import nnlib as torch
from nnlib import nn

VIEWS = pytest.mark.parametrize("bucket_view", [False, True])


class Net(nn.Module):
    """One of each module whose parameters' gradients are made in place; odd sizes, so that nothing is aligned."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(7, 5)
        self.conv = nn.Conv1d(5, 7, 3, padding=1)
        self.batch, self.group, self.layer = nn.BatchNorm1d(7), nn.GroupNorm(7, 7), nn.LayerNorm(9)
        self.turned = nn.ConvTranspose1d(7, 3, 3, padding=1)
        self.first, self.second = nn.Linear(27, 13), nn.Linear(13, 3, bias=False)
        self.matrix = nn.Parameter(torch.randn(3, 5))

    def forward(self, x):
        x = self.conv(self.words(x).transpose(1, 2))
        x = self.turned(self.layer(self.group(self.batch(x))))
        return self.second(torch.relu(self.first(x.flatten(1)))) @ self.matrix


def make_net():
    torch.manual_seed(0)
    return Net(), torch.randint(0, 7, (4, 9))


def reducer_of(module, group, **options):
    params = list(module.parameters())
    order = list(range(len(params)))[::-1]
    buckets = [order[:5], order[5:]] if len(order) > 5 else [order]
    return params, make_reducer(params, buckets, group, **options)


@VIEWS
def test_no_gradient_is_copied(bucket_view):
    module, x = make_net()
    (module(x).square().sum()).backward()
    expected = [p.grad.clone() for p in module.parameters()]
    module.batch.reset_running_stats()
    with FakeGroup() as group:
        params, reducer = reducer_of(module, group, bucket_view=bucket_view)
        for _ in range(3):
            for p in params:
                p.grad = None
            reducer.prepare_for_backward([])
            module(x).square().sum().backward()
            assert reducer.stats()["copied"] == 0
            for p, g in zip(params, expected, strict=True):
                assert torch.equal(p.grad, g) and p.grad.stride() == p.stride()
        reducer.prepare_for_backward([])
        module(x).square().sum().backward()  # added to what is there, where it is
        assert reducer.stats()["copied"] == 0
        for p, g in zip(params, expected, strict=True):
            torch.testing.assert_close(p.grad, 2 * g)


def test_views_lie_in_the_bucket_from_the_first_pass_on():
    module, x = make_net()
    with FakeGroup() as group:
        params, reducer = reducer_of(module, group, bucket_view=True)
        for _ in range(3):
            for p in params:
                p.grad = None
            group.transport.places.clear()
            reducer.prepare_for_backward([])
            module(x).sum().backward()
            for p in params:
                first = p.grad.data_ptr()
                last = first + 4 * p.numel()
                assert any(a <= first and last <= a + size for a, size in group.transport.places)


def test_channels_last_weights_have_channels_last_gradients():
    module = nn.Conv2d(5, 3, 3).to(memory_format=torch.channels_last)
    x = torch.randn(2, 5, 6, 7)
    module(x).square().sum().backward()
    expected = module.weight.grad.clone()
    with FakeGroup() as group:
        for bucket_view in (False, True):
            module.zero_grad()
            params, reducer = reducer_of(module, group, bucket_view=bucket_view)
            reducer.prepare_for_backward([])
            module(x).square().sum().backward()
            assert torch.equal(params[0].grad, expected)
            assert params[0].grad.stride() == params[0].stride()


def held_and_next(hold):
    """A gradient of 2 that is held in some way, and the next one of 2 that is averaged to 7 by the group."""
    layer, x = nn.Linear(3, 2, bias=False), torch.full((2, 3), 1.0)
    with FakeGroup(shift=5.0) as group:
        params, reducer = reducer_of(layer, group)
        held = None
        for _ in range(2):
            if params[0].grad is not None and held is None:
                held = hold(params[0].grad)
            params[0].grad = None
            reducer.prepare_for_backward([])
            layer(x).sum().backward()
        return held, params[0].grad


@pytest.mark.parametrize(
    "hold",
    [lambda g: g, lambda g: g.detach(), lambda g: g[:, 1:], lambda g: g.numpy(), torch.from_dlpack],
)
def test_a_gradient_that_somebody_holds_keeps_its_values(hold):
    held, later = held_and_next(hold)
    held *= 3  # in his own memory
    np.testing.assert_array_equal(np.asarray(held), np.full(held.shape, 21.0, np.float32))
    np.testing.assert_array_equal(later.numpy(), np.full((2, 3), 7.0, np.float32))


def test_the_gradient_stays_the_same_tensor_when_its_memory_moves():
    layer, x = nn.Linear(3, 2, bias=False), torch.full((2, 3), 1.0)
    layer(x).sum().backward()  # made before there was a bucket
    grad = layer.weight.grad
    with FakeGroup(shift=5.0) as group:
        params, reducer = reducer_of(layer, group)
        copied = []
        for step in range(3):
            reducer.prepare_for_backward([])
            layer(x).sum().backward()
            assert params[0].grad is grad
            np.testing.assert_array_equal(grad.clone().numpy(), np.full((2, 3), 2.0 + 7.0 * (step + 1)))
            copied.append(reducer.stats()["copied"])
        assert copied == [24, 0, 0]
        memory = grad.numpy()  # from now on somebody knows the address
        reducer.prepare_for_backward([])
        layer(x).sum().backward()
        assert reducer.stats()["copied"] == 48 and params[0].grad is grad
        np.testing.assert_array_equal(memory, np.full((2, 3), 30.0))


def test_a_parameter_that_is_used_twice():
    weight = nn.Parameter(torch.ones(3, 3))
    x = torch.full((2, 3), 1.0)
    with FakeGroup(shift=5.0) as group:
        reducer = make_reducer([weight], [[0]], group)
        for _ in range(2):
            weight.grad = None
            reducer.prepare_for_backward([])
            (nn.functional.linear(x, weight).sum() + (x @ weight).sum()).backward()
            np.testing.assert_array_equal(weight.grad.numpy(), np.full((3, 3), 4.0 + 5.0))


def test_gradients_that_are_returned_are_not_in_the_bucket():
    layer, x = nn.Linear(3, 2, bias=False), torch.full((2, 3), 1.0)
    with FakeGroup(shift=5.0) as group:
        params, reducer = reducer_of(layer, group)
        reducer.prepare_for_backward([])
        (apart,) = torch.autograd.grad(layer(x).sum(), params)
        layer(x).sum().backward()
        np.testing.assert_array_equal(apart.numpy(), np.full((2, 3), 2.0))


def test_hooks_see_the_gradient_before_it_is_averaged():
    layer, x = nn.Linear(3, 2, bias=False), torch.full((2, 3), 1.0)
    seen = []
    layer.weight.register_hook(lambda g: seen.append(g))
    layer.weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))
    with FakeGroup(shift=5.0) as group:
        params, reducer = reducer_of(layer, group)
        reducer.prepare_for_backward([])
        layer(x).sum().backward()
        np.testing.assert_array_equal(seen[0].numpy(), np.full((2, 3), 2.0))
        assert seen[1] is params[0].grad
        np.testing.assert_array_equal(params[0].grad.numpy(), np.full((2, 3), 7.0))


def test_taking_part_with_zeros_leaves_the_own_gradient_alone():
    layer, x = nn.Linear(3, 2, bias=False), torch.full((2, 3), 1.0)
    with FakeGroup(shift=5.0) as group:
        params, reducer = reducer_of(layer, group)
        reducer.prepare_for_backward([])
        layer(x).sum().backward()
        reducer.shadow_pass()
        np.testing.assert_array_equal(params[0].grad.numpy(), np.full((2, 3), 7.0))


def test_copies_are_counted():
    params = parameters(4, 4)
    with FakeGroup() as group:
        reducer = make_reducer(params, [[1, 0]], group)
        reducer.prepare_for_backward([])
        backward(chain(params))  # these gradients are made by Python
        assert reducer.stats()["copied"] == 32
