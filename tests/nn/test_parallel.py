"""DataParallel and its parts, on one device and on several."""

import pytest

import nnlib
from nnlib import nn
from nnlib.nn import parallel


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.bn = nn.Linear(3, 2), nn.BatchNorm1d(2)
        self.calls = 0

    def forward(self, x, scale=1.0):
        self.calls += 1
        return {"out": self.bn(self.linear(x)) * scale, "sum": x.sum()}


@pytest.mark.parametrize("devices", [None, [0], [0, 1], ["cpu:0", "cpu:1"], [0, 1, 2]])
def test_same_gradients_as_the_module_alone(devices):
    nnlib.manual_seed(0)
    net, x = nn.Linear(3, 2), nnlib.randn(7, 3)
    net(x).pow(2).sum().backward()
    expected = net.weight.grad.clone()
    net.zero_grad()
    wrapped = nn.DataParallel(net, devices)
    output = wrapped(x)
    assert output.shape == (7, 2) and nnlib.allclose(output, net(x), atol=1e-6)
    output.pow(2).sum().backward()
    assert nnlib.allclose(net.weight.grad, expected, atol=1e-5)
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]


def test_buffers_attributes_scalars_and_hooks():
    net, seen = Net(), []
    net.linear.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    wrapped = nn.DataParallel(net, [0, 1])
    result = wrapped(nnlib.rand(5, 3), scale=2.0)
    assert result["out"].shape == (5, 2) and result["sum"].shape == (2,)
    assert sorted(seen) == [2, 3]
    assert net.calls == 0, "the copies counted, not the module"
    assert net.bn.num_batches_tracked.item() == 1, "the first copy shares the module's buffers"


def test_errors_of_a_copy_reach_the_caller():
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken here")

    with pytest.raises(ValueError, match="broken here") as caught:
        nn.DataParallel(Broken(), [0, 1])(nnlib.zeros(4, 1))
    assert "replica 0" in caught.value.__notes__[0]


def test_scatter_and_gather():
    devices = [0, 1]
    x = nnlib.arange(5)
    parts = parallel.scatter({"a": (x, "shared"), "b": [x * 2]}, devices)
    assert [p["a"][0].tolist() for p in parts] == [[0, 1, 2], [3, 4]] and parts[1]["a"][1] == "shared"
    assert parallel.gather([p["b"][0] for p in parts]).tolist() == [0, 2, 4, 6, 8]
    args, kwargs = parallel.scatter_kwargs((x,), {}, devices)
    assert len(args) == len(kwargs) == 2 and kwargs[1] == {}
    assert parallel.gather([nnlib.tensor(1.0), nnlib.tensor(2.0)]).tolist() == [1, 2]
    with pytest.raises(ValueError, match="same number of keys"):
        parallel.gather([{"a": x}, {"b": x}])
    with pytest.raises(TypeError, match="str"):
        parallel.gather(["a", "b"])


def test_replicas_share_with_the_first_device_only():
    net = nn.Linear(2, 1)
    first, second = parallel.replicate(net, [0, 1])
    assert first.weight.data_ptr() == net.weight.data_ptr() != second.weight.data_ptr()
    (first.weight.sum() + 3 * second.weight.sum()).backward()
    assert net.weight.grad.tolist() == [[4, 4]]
    assert not list(first.parameters())
    with pytest.warns(UserWarning, match="has no effect"):
        first.zero_grad()
    with pytest.raises(RuntimeError, match="uninitialized parameters"):
        parallel.replicate(nn.LazyLinear(2), [0, 1])


def test_parallel_apply_and_data_parallel_function():
    layers = [nn.Linear(2, 1), nn.Identity()]
    with nnlib.no_grad():
        outputs = parallel.parallel_apply(layers, [nnlib.ones(1, 2), (nnlib.ones(1),)])
    assert outputs[0].shape == (1, 1) and not outputs[0].requires_grad
    with pytest.raises(AssertionError, match="number of inputs 1"):
        parallel.parallel_apply(layers, [nnlib.ones(1)])
    assert parallel.data_parallel(layers[0], nnlib.ones(4, 2), [0, 1]).shape == (4, 1)
