"""DataParallel and its parts, on one device and on several."""

from collections import namedtuple

import pytest

import nnlib
from nnlib import nn
from nnlib.nn import parallel


@pytest.fixture(autouse=True)
def three_devices():
    nnlib.set_device_partition(3)
    yield
    nnlib.set_device_partition(0)


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
    assert output.device.index == 0 and net.weight.grad.device == net.weight.device


def test_buffers_attributes_scalars_and_hooks():
    net, seen = Net(), []
    net.linear.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    wrapped = nn.DataParallel(net, [0, 1])
    result = wrapped(nnlib.rand(5, 3), scale=2.0)
    assert result["out"].shape == (5, 2) and result["sum"].shape == (2,)
    assert sorted(seen) == [2, 3]
    assert net.calls == 0, "the copies counted, not the module"
    assert net.bn.num_batches_tracked.item() == 1, "the first copy shares the module's buffers"


@pytest.mark.parametrize("broken", [0, 1])
def test_errors_of_a_copy_reach_the_caller(broken):
    class Broken(nn.Module):
        def forward(self, x):
            if x.device.index == broken:
                raise ValueError("broken here")
            return x

    with pytest.raises(ValueError, match=f"in replica {broken} on device cpu:{broken}.\nbroken here"):
        nn.DataParallel(Broken(), [0, 1])(nnlib.zeros(4, 1))


def test_errors_that_are_no_text_get_a_note():
    class Broken(nn.Module):
        def forward(self, x):
            raise KeyError(3)

    with pytest.raises(KeyError) as caught:
        nn.DataParallel(Broken(), [0, 1])(nnlib.zeros(4, 1))
    assert caught.value.args == (3,) and "replica 0 on device cpu:0" in caught.value.__notes__[0]


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


@pytest.mark.parametrize(
    "wrong, error, text",
    [
        ([0, 3], AssertionError, "Invalid device id 3: .* has 3 devices"),
        ([-2], AssertionError, "Invalid device id: .* got -2"),
        (["cpu"], AssertionError, "devices with numbers"),
        ([], ValueError, "device_ids is empty"),
        ([1.0], TypeError, "got 1.0"),
        ([True], TypeError, "got True"),
        (["gpu:0"], RuntimeError, "gpu:0"),
    ],
)
def test_wrong_devices_are_refused(wrong, error, text):
    with pytest.raises(error, match=text):
        nn.DataParallel(nn.Linear(1, 1), wrong)
    if wrong and wrong != ["cpu"]:
        with pytest.raises(error, match=text):
            nn.DataParallel(nn.Linear(1, 1), [0], output_device=wrong[-1])


def test_the_module_must_be_on_the_first_device():
    net = nn.Linear(2, 2).to("cpu:1")
    with pytest.raises(RuntimeError, match=r"on device cpu:0 \(device_ids\[0\]\) but .* on device: cpu:1"):
        nn.DataParallel(net, [0, 1])(nnlib.zeros(2, 2))
    out = nn.DataParallel(net, [1, 0])(nnlib.rand(4, 2))
    assert out.device.index == 1
    net = nn.BatchNorm1d(2)
    net.running_mean = net.running_mean.to(2)
    with pytest.raises(RuntimeError, match="on device: cpu:2"):
        nn.DataParallel(net, [0, 1])(nnlib.zeros(2, 2))


@pytest.mark.parametrize("wanted, index", [(None, 0), (1, 1), ("cpu:2", 2), ("cpu", None), (-1, None)])
@pytest.mark.parametrize("device_ids", [[0], [0, 1]])
def test_the_output_goes_where_it_is_wanted(device_ids, wanted, index):
    net = nn.DataParallel(nn.Linear(2, 3), device_ids, output_device=wanted)
    out = net(nnlib.rand(4, 2))
    assert out.device.index == index and out.shape == (4, 3)
    out.sum().backward()
    assert nnlib.allclose(net.module.bias.grad, nnlib.full((3,), 4.0))


@pytest.mark.parametrize(
    "batch, shapes", [(0, [0, 0, 0]), (1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (4, [2, 2])]
)
def test_batches_smaller_than_the_number_of_devices(batch, shapes):
    net, seen = nn.Linear(2, 3), []
    net.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    out = nn.DataParallel(net, [0, 1, 2])(nnlib.rand(batch, 2))
    assert out.shape == (batch, 3) and sorted(seen) == sorted(shapes)
    out.sum().backward()
    assert net.weight.grad.shape == (3, 2)


def test_nested_arguments_and_results():
    Pair = namedtuple("Pair", "left right")
    token, got = object(), []

    class Nest(nn.Module):
        def forward(self, pair, tree, *, mask=None, shared=None):
            got.append((len(pair.left), shared is token, tree["n"], tree["inner"][1] is token))
            return Pair({"x": tree["inner"][0] * mask, "none": None}, [pair.left, (pair.right,)])

    x = nnlib.arange(6.0).reshape(3, 2)
    tree = {"inner": [x, token], "n": 7}
    out = nn.DataParallel(Nest(), [0, 1])(Pair(x, x + 1), tree, mask=x > 1, shared=token)
    assert isinstance(out, Pair) and out.left["none"] is None
    assert out.left["x"].tolist() == [[0, 0], [2, 3], [4, 5]] and nnlib.equal(out.right[1][0].cpu(), x + 1)
    assert sorted(got) == [(1, True, 7, True), (2, True, 7, True)]
    assert tree["inner"][0] is x, "the containers of the caller are not touched"


def test_inputs_are_copies_and_other_dimensions_work():
    class Scale(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    x = nnlib.ones(2, 5)
    out = nn.DataParallel(Scale(), [0, 1, 2], dim=1)(x)
    assert out.tolist() == [[2] * 5] * 2 and x.tolist() == [[1] * 5] * 2
    with pytest.raises((RuntimeError, IndexError)):
        nn.DataParallel(Scale(), [0, 1])(nnlib.tensor(1.0))


def test_no_arguments_runs_once():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(nnlib.ones(2))

        def forward(self):
            return self.value * 2

    assert nn.DataParallel(Constant(), [0, 1])().tolist() == [2, 2]


def test_changes_in_forward():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("rows", nnlib.zeros(1))
            self.weight = nn.Parameter(nnlib.ones(1))
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            self.rows += len(x)
            with nnlib.no_grad():
                self.weight.add_(1)
            return x

    net = Counting()
    for _ in range(2):
        nn.DataParallel(net, [0, 1])(nnlib.zeros(5, 1))
    assert net.rows.item() == 6, "three rows went to the first device each time"
    assert net.weight.item() == 3 and net.calls == 0


def test_batch_norm_keeps_the_first_parts_statistics():
    x = nnlib.randn(6, 4) + 3
    alone, wrapped = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    alone(x[:3])
    nn.DataParallel(wrapped, [0, 1])(x)
    assert nnlib.equal(wrapped.running_mean, alone.running_mean) and wrapped.running_var.ne(1).all()


def test_hooks_run_once_for_each_copy():
    net, order = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), []
    net[0].register_forward_pre_hook(lambda m, args: order.append(("pre", args[0].device.index)))
    net[0].register_forward_hook(lambda m, args, out: order.append(("post", out.device.index)))
    net[0].register_full_backward_hook(lambda m, gi, go: order.append(("back", go[0].device.index)))
    nn.DataParallel(net, [0, 1])(nnlib.rand(4, 2, requires_grad=True)).sum().backward()
    for device in (0, 1):
        assert [what for what, where in order if where == device] == ["pre", "post", "back"]


def test_frozen_unused_and_shared_parameters():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 3, bias=False)
            self.second = nn.Linear(3, 3, bias=False)
            self.second.weight = self.first.weight
            self.frozen = nn.Linear(3, 3).requires_grad_(False)
            self.unused = nn.Linear(3, 3)

        def forward(self, x):
            assert not self.frozen.weight.requires_grad and self.first.weight is self.second.weight
            return self.frozen(self.second(self.first(x)))

    net, x = Tied(), nnlib.randn(4, 3)
    net(x).sum().backward()
    want = net.first.weight.grad.clone()
    net.zero_grad()
    nn.DataParallel(net, [0, 1])(x).sum().backward()
    assert nnlib.allclose(net.first.weight.grad, want, atol=1e-5)
    assert net.frozen.weight.grad is None and net.unused.weight.grad is None


@pytest.mark.parametrize("make", [
    lambda: nn.LSTM(3, 5, num_layers=2, batch_first=True),
    lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
    lambda: nn.Sequential(nn.Conv1d(6, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU()),
    lambda: nn.Embedding(10, 4, sparse=True),
])  # fmt: skip
def test_training_steps_are_those_of_the_module(make):
    nnlib.manual_seed(4)
    net = make()
    if isinstance(net, nn.Embedding):
        x = nnlib.randint(10, (6, 6))
    else:
        x = nnlib.randn(6, 6, 3 if isinstance(net, nn.LSTM) else 4)

    def gradients(run):
        out = run(x)
        out = out[0] if isinstance(out, tuple) else out
        out.cos().sum().backward()
        found = [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in net.parameters()]
        net.zero_grad()
        return found

    for alone, parallel_ in zip(gradients(net), gradients(nn.DataParallel(net, [0, 1, 2])), strict=True):
        assert nnlib.allclose(alone, parallel_, atol=1e-4)


def test_same_bits_from_run_to_run_with_dropout():
    net = nn.DataParallel(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 2)), [0, 1, 2])
    x, found = nnlib.randn(9, 8), set()
    for _ in range(10):
        nnlib.manual_seed(5)
        out = net(x)
        net.zero_grad()
        out.sum().backward()
        found.add(out.detach().cpu().numpy().tobytes() + net.module[0].weight.grad.numpy().tobytes())
    assert len(found) == 1


def test_a_copy_sees_the_callers_modes():
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append((nnlib.is_grad_enabled(), nnlib.is_inference_mode_enabled(), (x @ x.t()).dtype))
            return x

    net = nn.DataParallel(Look(), [0, 1])
    with nnlib.no_grad(), nnlib.autocast("cpu", nnlib.bfloat16):
        net(nnlib.zeros(2, 2))
    with nnlib.inference_mode():
        net(nnlib.zeros(2, 2))
    assert seen == [(False, False, nnlib.bfloat16)] * 2 + [(False, True, nnlib.float32)] * 2


def test_one_inside_another_and_second_derivatives():
    inner = nn.DataParallel(nn.Linear(2, 2).double(), [0, 1])
    net = nn.DataParallel(nn.Sequential(nn.Tanh(), inner), [0, 1])
    x = nnlib.randn(5, 2, dtype=nnlib.float64)
    assert nnlib.allclose(net(x), inner.module(nnlib.tanh(x)))
    w = inner.module.weight

    def first_derivative(run):
        (g,) = nnlib.autograd.grad(run(x).pow(3).sum(), w, create_graph=True)
        return nnlib.autograd.grad(g.pow(2).sum(), w)[0]

    assert nnlib.allclose(first_derivative(inner), first_derivative(inner.module))


def test_parallel_apply_on_given_devices():
    class Where(nn.Module):
        def forward(self, x):
            return nnlib.cpu.current_device(), nnlib.get_num_threads()

    found = parallel.parallel_apply([Where()] * 3, [0, 0, 0], devices=[2, "cpu:0", -1])
    assert [name for name, _ in found] == ["cpu:2", "cpu:0", "cpu"]
    x = nnlib.zeros(1, device="cpu:1")
    assert [name for name, _ in parallel.parallel_apply([Where()] * 2, [x, nnlib.zeros(1)])] == [
        "cpu:1",
        "cpu",
    ]
    assert nnlib.cpu.current_device() == "cpu"
    with pytest.raises(AssertionError, match="number of devices 1"):
        parallel.parallel_apply([Where()] * 2, [x, x], devices=[0])
