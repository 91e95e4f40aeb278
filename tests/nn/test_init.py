"""Start values: distributions, exact fills, PyTorch's draws, errors."""

import math

import numpy as np
import pytest

import nnlib
from nnlib.nn import init

try:
    import torch
except ImportError:
    torch = None

DRAWN = [
    ("uniform_", (-2.0, 3.0), {}),
    ("normal_", (1.0, 2.0), {}),
    ("trunc_normal_", (), {"std": 0.5, "a": -0.7, "b": 0.4}),
    ("trunc_normal_", (), {"std": 0.5, "a": 1.0, "b": 2.0}),
    ("xavier_uniform_", (), {"gain": 1.5}),
    ("xavier_normal_", (), {}),
    ("kaiming_uniform_", (), {"nonlinearity": "relu"}),
    ("kaiming_uniform_", (math.sqrt(5),), {}),
    ("kaiming_normal_", (), {"mode": "fan_out"}),
    ("orthogonal_", (), {"gain": 2.0}),
    ("sparse_", (0.4,), {"std": 0.1}),
]
SHAPES = [(20, 30), (30, 20), (6, 4, 3, 3)]


def drawn_cases():
    for name, args, kwargs in DRAWN:
        for shape in SHAPES:
            if name != "sparse_" or len(shape) == 2:
                yield name, args, kwargs, shape


@pytest.mark.skipif(torch is None, reason="compares with PyTorch, which is not installed")
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), list(drawn_cases()))
def test_same_seed_same_values_as_torch(name, args, kwargs, shape):
    torch.manual_seed(3)
    expected = getattr(torch.nn.init, name)(torch.empty(shape), *args, **kwargs)
    nnlib.manual_seed(3)
    tensor = nnlib.empty(shape)
    assert getattr(init, name)(tensor, *args, **kwargs) is tensor
    np.testing.assert_allclose(tensor.numpy(), expected.numpy(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "kwargs", "low", "high", "std"),
    [
        ("uniform_", {"a": -1.0, "b": 2.0}, -1, 2, 3 / math.sqrt(12)),
        ("normal_", {"std": 0.5}, -4, 4, 0.5),
        ("trunc_normal_", {"a": -1.0, "b": 1.0}, -1, 1, 0.5396),
        ("xavier_uniform_", {}, -math.sqrt(6 / 500), math.sqrt(6 / 500), math.sqrt(2 / 500)),
        ("xavier_normal_", {}, -1, 1, math.sqrt(2 / 500)),
        ("kaiming_uniform_", {"nonlinearity": "linear"}, -0.1, 0.1, 0.1 / math.sqrt(3)),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}, -1, 1, 0.1),
    ],
)
def test_distribution(name, kwargs, low, high, std):
    nnlib.manual_seed(0)
    values = getattr(init, name)(nnlib.empty(200, 300), **kwargs).numpy()
    assert values.min() >= low and values.max() <= high
    assert values.std() == pytest.approx(std, rel=0.02)
    assert abs(values.mean() - (low + high) / 2) < 0.02 * (high - low)


def test_exact_fills():
    assert init.constant_(nnlib.empty(2), 3.5).tolist() == [3.5, 3.5]
    assert init.ones_(nnlib.empty(2)).tolist() == [1, 1] and init.zeros_(nnlib.ones(2)).tolist() == [0, 0]
    assert init.eye_(nnlib.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    x = nnlib.rand(1, 4, 5, 6)
    weight = init.dirac_(nnlib.empty(4, 2, 3, 3), groups=2)
    assert nnlib.equal(nnlib.nn.functional.conv2d(x, weight, padding=1, groups=2), x)


def test_orthogonal_and_sparse():
    nnlib.manual_seed(0)
    rows = init.orthogonal_(nnlib.empty(3, 7))
    assert nnlib.allclose(rows @ rows.t(), nnlib.eye(3), atol=1e-5)
    columns = init.orthogonal_(nnlib.empty(7, 3), gain=2)
    assert nnlib.allclose(columns.t() @ columns, 4 * nnlib.eye(3), atol=1e-5)
    zeros = (init.sparse_(nnlib.empty(10, 6), 0.35) == 0).sum(0)
    assert zeros.tolist() == [4] * 6


def test_gains_and_fans():
    assert init.calculate_gain("linear") == 1 and init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))
    assert init._calculate_fan_in_and_fan_out(nnlib.empty(6, 4, 3, 5)) == (60, 90)


def test_parameters_stay_leaves_and_generators_are_used():
    p = nnlib.nn.Parameter(nnlib.empty(3, 3))
    assert init.normal_(p) is p and p.is_leaf and p.requires_grad
    first = init.uniform_(nnlib.empty(4), generator=nnlib.Generator().manual_seed(1))
    second = init.uniform_(nnlib.empty(4), generator=nnlib.Generator().manual_seed(1))
    assert nnlib.equal(first, second)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda: init.calculate_gain("cube"), "Unsupported nonlinearity cube"),
        (lambda: init.calculate_gain("leaky_relu", True), "not a valid number"),
        (lambda: init.xavier_uniform_(nnlib.empty(3)), "fewer than 2 dimensions"),
        (lambda: init.kaiming_normal_(nnlib.empty(3, 3), mode="fan"), "Mode fan not supported"),
        (lambda: init.eye_(nnlib.empty(3)), "2 dimensions"),
        (lambda: init.dirac_(nnlib.empty(3, 3)), "3, 4, or 5 dimensions"),
        (lambda: init.dirac_(nnlib.empty(3, 3, 3), groups=2), "divisible by groups"),
        (lambda: init.orthogonal_(nnlib.empty(3)), "2 or more dimensions"),
        (lambda: init.sparse_(nnlib.empty(3), 0.5), "2 dimensions"),
    ],
)
def test_errors(action, message):
    with pytest.raises(ValueError, match=message):
        action()


def test_warnings():
    with pytest.warns(UserWarning, match="mean is more than 2 std"):
        init.trunc_normal_(nnlib.empty(2), mean=9.0)
    with pytest.warns(UserWarning, match="zero-element tensors"):
        init.kaiming_uniform_(nnlib.empty(0, 2))
    with pytest.warns(FutureWarning, match="in favor of `nn.init.xavier_uniform_`"):
        init.xavier_uniform(nnlib.empty(2, 2))
