"""Devices: shares of the cores. Where tensors are, which may meet, who computes, and that the numbers stay."""

import copy
import threading

import pytest
from test_threads import run

import nnlib


@pytest.fixture(autouse=True)
def two_devices():
    nnlib.set_device_partition(2)
    yield
    nnlib.set_device_partition(0)


def test_partition_and_counts():
    code = """
import os, nnlib
nodes = nnlib.cpu.device_count()
everyone = sorted(core for d in range(nodes) for core in nnlib.cpu.device_cores(d))
print(everyone == sorted(os.sched_getaffinity(0)))
nnlib.set_device_partition(2)
print(nnlib.cpu.device_count(), len({*nnlib.cpu.device_cores(0), *nnlib.cpu.device_cores(1)}) == len(everyone))
print(nnlib.cpu.device_threads("cpu:0") + nnlib.cpu.device_threads(1) == max(2, nnlib.get_num_threads()))
nnlib.set_num_threads(7)
print(nnlib.cpu.device_threads(0), nnlib.cpu.device_threads(1), nnlib.get_num_threads())
with nnlib.cpu.device(1):
    print(nnlib.get_num_threads(), nnlib.cpu.current_device())
nnlib.set_device_partition(0)
print(nnlib.cpu.device_count() == nodes, nnlib.cpu.current_device())
"""
    assert run(code).split() == ["True", "2", "True", "True", "3", "4", "7", "4", "cpu:1", "True", "cpu"]


def test_a_higher_number_divides_anew_until_a_partition_is_chosen():
    code = """
import nnlib
x = nnlib.zeros(2, device="cpu:2")
print(nnlib.cpu.device_count())
nnlib.set_device_partition(2)
try:
    nnlib.zeros(2, device="cpu:2")
except RuntimeError as error:
    print("no cpu:2" in str(error))
print((x + 1).device)
"""
    assert run(code).split() == ["3", "True", "cpu:2"]


@pytest.mark.parametrize("n", [-1, 65])
def test_wrong_partitions_are_refused(n):
    with pytest.raises(ValueError, match=f"between 1 and 64 devices .* got {n}"):
        nnlib.set_device_partition(n)
    assert nnlib.cpu.device_count() == 2


def test_moving_makes_copies_and_keeps_history():
    x = nnlib.randn(3, 4, requires_grad=True)
    y = x.to("cpu:1")
    assert y.device == nnlib.device("cpu:1") and y.get_device() == 1 and x.get_device() == -1
    assert y.data_ptr() != x.data_ptr() and nnlib.equal(y.cpu(), x)
    assert y.to(1) is y and y.to("cpu:1", copy=True) is not y and x.cpu() is x
    assert y.to("cpu:0", nnlib.float64).device.index == 0
    (y.to(0) * 2).cpu().sum().backward()
    assert x.grad.device == x.device and nnlib.equal(x.grad, nnlib.full((3, 4), 2.0))
    assert copy.deepcopy(y.detach()).device.index == 1
    assert "device='cpu:1'" in repr(y)


def test_results_are_where_their_operands_are():
    a, plain = nnlib.rand(4, 4, device="cpu:1"), nnlib.rand(4, 4)
    results = [
        a + 1,
        a + plain,
        plain @ a,
        a[0],
        a[:, 1:],
        a[a > 0.5],
        nnlib.zeros_like(a),
        a.new_ones(2),
        -a,
    ]
    results += [
        nnlib.cat([plain, a]),
        nnlib.softmax(a, 0),
        a.sum(),
        a.argmax(0),
        nnlib.where(a > 0, a, plain),
    ]
    results += [*a.sort(), *a.unbind(), a.double(), plain.to(a)]
    assert {r.device.index for r in results} == {1}
    assert (plain + 1).device.index is None


def test_tensors_of_two_devices_do_not_meet():
    a, b = nnlib.rand(3, 3, device="cpu:0"), nnlib.rand(3, 3, device="cpu:1")
    index = nnlib.tensor([0, 1], device="cpu:1")

    def assign():
        a[index] = 1.0

    for f in (
        lambda: a + b,
        lambda: a.add_(b),
        lambda: a @ b,
        lambda: nnlib.cat([a, b]),
        lambda: a[index],
        assign,
        lambda: nnlib.nn.functional.linear(a, b),
        lambda: nnlib.where(a > 0, a, b),
    ):
        with pytest.raises(RuntimeError, match="all tensors to be on the same device.*cpu:0 and cpu:1"):
            f()
    a.copy_(b)
    assert nnlib.equal(a.cpu(), b.cpu()) and a.device.index == 0


def test_gradients_are_where_their_tensors_are():
    w = nnlib.randn(5, 5, requires_grad=True)
    x = nnlib.randn(5, 5, device="cpu:1").requires_grad_()
    (w @ x).pow(2).sum().backward()
    assert w.grad.device == w.device and x.grad.device == x.device
    with pytest.raises(RuntimeError, match="located on a different device"):
        x.grad = nnlib.zeros(5, 5, device="cpu:0")
    with pytest.raises(RuntimeError, match="expected device cpu:1 but got cpu:0"):
        (x * 2).backward(nnlib.ones(5, 5, device="cpu:0"))


def two_sided(w, x, parts):
    """A loss of parts on two devices that meet in the end; their backward passes run at once."""
    outputs = [nnlib.tanh(x.to(d) @ w.to(d)) @ w.to(d).t() for d in parts]
    return sum((y * y).to("cpu").sum() for y in outputs)


def test_backward_over_devices_gives_the_same_bits_each_time():
    nnlib.manual_seed(1)
    w, x = nnlib.randn(40, 40, requires_grad=True), nnlib.randn(40, 40)
    found = set()
    for _ in range(20):
        w.grad = None
        two_sided(w, x, [0, 1, 0, 1]).backward()
        found.add(w.grad.numpy().tobytes())
    assert len(found) == 1
    on_devices, w.grad = w.grad, None
    two_sided(w, x, ["cpu"] * 4).backward()
    assert nnlib.allclose(w.grad, on_devices, atol=1e-4, rtol=1e-4)


def test_second_derivatives_over_devices():
    w = nnlib.randn(4, 4, dtype=nnlib.float64, requires_grad=True)
    x = nnlib.randn(4, 4, dtype=nnlib.float64)
    assert nnlib.autograd.gradcheck(lambda w: two_sided(w, x, [0, 1]), (w,))
    assert nnlib.autograd.gradgradcheck(lambda w: two_sided(w, x, [0, 1]), (w,))


def test_hooks_and_errors_of_a_backward_pass_over_devices():
    w, seen = nnlib.randn(3, 3, requires_grad=True), []
    left, right = w.to(0).exp(), w.to(1).exp()
    left.register_hook(lambda g: seen.append((g.device.index, nnlib.ones(1).device.index)))
    right.register_hook(lambda g: seen.append((g.device.index, nnlib.ones(1).device.index)))
    (left.cpu().sum() + right.cpu().sum()).backward()
    assert sorted(seen) == [(0, None), (1, None)], "what a hook makes is plain"

    def refuse(grad):
        raise KeyError("refused")

    right = w.to(1).exp()
    right.register_hook(refuse)
    with pytest.raises(KeyError, match="refused"):
        (w.to(0).exp().cpu().sum() + right.cpu().sum()).backward()


def test_backward_over_devices_casts_as_its_caller():
    seen = []

    class Product(nnlib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x @ x

        @staticmethod
        def backward(ctx, grad):
            seen.append((grad.float() @ grad.float()).dtype)
            return grad

    x = nnlib.ones(2, 2, requires_grad=True)
    for enabled, dtype in ((True, nnlib.bfloat16), (False, nnlib.float32)):
        loss = sum(Product.apply(x.to(d)).cpu().sum() for d in (0, 1))
        with nnlib.autocast("cpu", nnlib.bfloat16, enabled=enabled):
            loss.backward()
        assert seen == [dtype] * 2
        seen.clear()


def test_any_team_gives_the_same_bits():
    nnlib.manual_seed(2)
    x = nnlib.randn(130, 130)

    def compute(x):
        return nnlib.softmax(nnlib.tanh(x @ x.t()) @ x, -1).cumsum(0)

    want = compute(x)
    wrong = []

    def work(device):
        for _ in range(10):
            if not nnlib.equal(compute(x.to(device)).cpu(), want):
                wrong.append(device)

    threads = [threading.Thread(target=work, args=(d,)) for d in (0, 1, 0, 1, "cpu")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_random_numbers_of_a_device_follow_the_seed():
    def draw():
        nnlib.manual_seed(3)
        return [nnlib.rand(5, device=d).tolist() for d in ("cpu", "cpu:0", "cpu:1")]

    plain, first, second = draw()
    assert draw() == [plain, first, second] and second not in (plain, first)
    nnlib.manual_seed(3)
    assert nnlib.rand(10).tolist() == plain + first, "cpu:0 shares the process's generator"
    state = nnlib.cpu.get_rng_state(1)
    again = nnlib.rand(3, device="cpu:1")
    nnlib.cpu.set_rng_state(state, "cpu:1")
    assert nnlib.equal(nnlib.rand(3, device="cpu:1"), again)
    with nnlib.random.fork_rng(devices=[1]):
        nnlib.rand(3, device="cpu:1")
    nnlib.cpu.set_rng_state(state, 1)
    assert nnlib.equal(nnlib.rand(3, device="cpu:1"), again)


def test_a_forked_child_uses_devices_alone():
    code = """
import os, nnlib
nnlib.set_device_partition(2)
nnlib.set_num_threads(4)
x = nnlib.ones(300, 300, device="cpu:1")
want = (x @ x).sum()
pid = os.fork()
if pid == 0:
    good = (x @ x).sum() == want and (nnlib.ones(9, device="cpu:0") + 1).sum() == 18
    nnlib.set_num_threads(4)
    os._exit(0 if good and (x @ x).sum() == want else 1)
print(os.waitpid(pid, 0)[1])
"""
    assert run(code).split() == ["0"]


def test_files_say_nothing_of_devices_but_map_location_does(tmp_path):
    path = tmp_path / "x.pt"
    nnlib.save({"a": nnlib.arange(3.0, device="cpu:1")}, path)
    assert nnlib.load(path)["a"].device == nnlib.device("cpu")
    for where, index in (
        ("cpu:1", 1),
        (nnlib.device("cpu:0"), 0),
        ({"cpu": "cpu:1"}, 1),
        ("cpu", None),
        ({}, None),
    ):
        loaded = nnlib.load(path, map_location=where)["a"]
        assert loaded.device.index == index and loaded.tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="no cpu:7"):
        nnlib.load(path, map_location="cpu:7")


def test_modules_move():
    net = nnlib.nn.Sequential(nnlib.nn.Linear(3, 2), nnlib.nn.BatchNorm1d(2)).to("cpu:1")
    assert {t.device.index for t in net.state_dict().values()} == {1}
    net(nnlib.rand(4, 3)).sum().backward()
    assert net[0].weight.grad.device.index == 1
    optimizer = nnlib.optim.AdamW(net.parameters(), foreach=None)
    optimizer.step()
    assert nnlib.nn.Linear(3, 2, device="cpu:0").weight.device.index == 0


def test_gradients_of_two_devices_are_clipped_together():
    net = [nnlib.nn.Linear(2, 2, device=d) for d in ("cpu:0", "cpu:1")]
    for layer in net:
        layer.weight.grad = nnlib.ones(2, 2, device=layer.weight.device)
    norm = nnlib.nn.utils.clip_grad_norm_([layer.weight for layer in net], 1.0)
    assert abs(norm.item() - 8**0.5) < 1e-6 and norm.device.index == 0
    assert all(abs(layer.weight.grad.norm().item() - 0.5**0.5) < 1e-5 for layer in net)
