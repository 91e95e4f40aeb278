"""nn.utils.prune: masks, what is left of a parameter, and PyTorch's choices with the same seed."""

import copy

import pytest

import nnlib
from nnlib.nn.utils import prune

CASES = {
    "smallest": lambda p, net: p.l1_unstructured(net[0], "weight", 0.3),
    "by scores": lambda p, net: p.l1_unstructured(
        net[0], "weight", 4, importance_scores=net[0].weight.detach() ** 2 * -1
    ),
    "by chance": lambda p, net: p.random_unstructured(net[0], "weight", 7),
    "channels by chance": lambda p, net: p.random_structured(net[0], "weight", 2, 0),
    "channels by norm": lambda p, net: p.ln_structured(net[0], "weight", 0.4, float("inf"), -1),
    "again and again": lambda p, net: (
        p.ln_structured(net[0], "weight", 0.4, 2, 1),
        p.l1_unstructured(net[0], "weight", 3),
        p.random_structured(net[0], "weight", 1, 0),
    ),
    "together": lambda p, net: (
        p.l1_unstructured(net[0], "weight", 0.3),
        p.global_unstructured([(net[0], "weight"), (net[2], "weight")], p.L1Unstructured, amount=10),
    ),
    "nothing": lambda p, net: p.identity(net[0], "bias"),
    "made final": lambda p, net: (p.l1_unstructured(net[0], "weight", 0.3), p.remove(net[0], "weight")),
}


def network(lib):
    lib.manual_seed(0)
    net = lib.nn.Sequential(lib.nn.Linear(6, 5), lib.nn.ReLU(), lib.nn.Linear(5, 4))
    lib.manual_seed(1)
    return net


def trained(lib, net):
    net(lib.ones(2, 6)).sum().backward()
    numbers = dict(net.state_dict())
    numbers.update({f"{name} grad": p.grad for name, p in net.named_parameters()})
    return {name: t.flatten().tolist() for name, t in numbers.items()}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_pytorch(name):
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune as theirs

    ours, other = network(nnlib), network(torch)
    CASES[name](prune, ours), CASES[name](theirs, other)
    ours, other = trained(nnlib, ours), trained(torch, other)
    assert list(ours) == list(other)
    for key, values in ours.items():
        assert values == pytest.approx(other[key], abs=1e-6), key


def test_masks_stay_while_training_and_in_copies():
    net = network(nnlib)
    prune.l1_unstructured(net[0], "weight", amount=0.5)
    optimizer = nnlib.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(nnlib.ones(2, 6)).square().sum().backward()
        optimizer.step()
    net(nnlib.ones(2, 6))
    gone = net[0].weight_mask == 0
    assert gone.sum() == 15 and (net[0].weight[gone] == 0).all() and (net[0].weight_orig[gone] != 0).all()
    assert prune.is_pruned(net) and not prune.is_pruned(net[2])
    other = copy.deepcopy(network(nnlib))
    prune.identity(other[0], "weight")
    other.load_state_dict(net.state_dict())
    assert other(nnlib.ones(1, 6)).tolist() == net(nnlib.ones(1, 6)).tolist()
    prune.remove(net[0], "weight")
    assert not prune.is_pruned(net) and "weight" in net[0]._parameters


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: prune.l1_unstructured(m, "weight", 1.5), ValueError, r"range \[0, 1\]"),
        (lambda m: prune.l1_unstructured(m, "weight", "x"), TypeError, "int or float"),
        (lambda m: prune.l1_unstructured(m, "weight", 500), ValueError, "smaller than the number"),
        (lambda m: prune.ln_structured(m, "bias", 1, 2, 0), ValueError, "multidimensional"),
        (lambda m: prune.ln_structured(m, "weight", 1, 2, 3), IndexError, "Invalid index 3"),
        (lambda m: prune.remove(m, "weight"), ValueError, "has to be pruned"),
        (lambda m: prune.custom_from_mask(m, "weight", nnlib.ones(2)), AssertionError, "same shape"),
        (lambda m: prune.global_unstructured(3, prune.L1Unstructured), TypeError, "Iterable"),
        (
            lambda m: prune.global_unstructured([(m, "weight")], prune.LnStructured, amount=1, n=2),
            TypeError,
            "unstructured",
        ),
    ],
)
def test_errors_leave_the_module_as_it_was(call, error, message):
    module = nnlib.nn.Linear(6, 5)
    with pytest.raises(error, match=message):
        call(module)
    assert sorted(module.state_dict()) == ["bias", "weight"] and not prune.is_pruned(module)
