"""Weights that stay orthogonal while what they are made of is trained."""

import pytest

import nnlib
from nnlib import nn
from nnlib.nn.utils.parametrizations import orthogonal


def is_orthogonal(w):
    tall = w if w.shape[-2] >= w.shape[-1] else w.mT
    return nnlib.allclose(tall.mT @ tall, nnlib.eye(tall.shape[-1]).expand((tall.mT @ tall).shape), atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
@pytest.mark.parametrize("name", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("base", [True, False])
def test_it_stays_orthogonal(shape, name, base):
    nnlib.manual_seed(0)
    layer = nn.Linear(shape[1], shape[0])
    start = layer.weight.detach().clone()
    if not base and name != "householder" and not (name is None and shape[0] != shape[1]):
        orthogonal(layer, orthogonal_map=name, use_trivialization=False)
        with pytest.raises(NotImplementedError, match="not possible to assign"):
            layer.weight = start
    else:
        orthogonal(layer, orthogonal_map=name, use_trivialization=base)
        # What it starts from has the directions of the old weight's QR factorisation.
        tall = start if shape[0] >= shape[1] else start.mT
        q, r = nnlib.linalg.qr(tall)
        q = q * r.diagonal().sign()
        w = layer.weight if shape[0] >= shape[1] else layer.weight.mT
        assert nnlib.allclose(w, q, atol=1e-5)
        layer.weight = start  # assigned once more: the same
        assert nnlib.allclose(layer.weight if shape[0] >= shape[1] else layer.weight.mT, q, atol=1e-5)
    assert is_orthogonal(layer.weight)
    optimizer = nnlib.optim.SGD(layer.parameters(), lr=0.1)
    before = layer.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        layer(nnlib.ones(2, shape[1])).square().sum().backward()
        optimizer.step()
    assert is_orthogonal(layer.weight) and not nnlib.allclose(layer.weight, before, atol=1e-4)


def test_an_orthogonal_weight_is_kept():
    layer = nn.Linear(3, 3)
    turn = nnlib.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    layer.weight.data = turn
    orthogonal(layer)
    assert nnlib.allclose(layer.weight, turn)
    other = orthogonal(nn.Linear(3, 3))
    other.load_state_dict(layer.state_dict())
    assert nnlib.allclose(other.weight, turn)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="no parameter or buffer"):
        orthogonal(nn.Linear(2, 2), "weights")
    with pytest.raises(ValueError, match="Got a tensor of 1 dimensions"):
        orthogonal(nn.Linear(2, 2), "bias")
    with pytest.raises(ValueError, match="orthogonal_map has to be"):
        orthogonal(nn.Linear(2, 2), orthogonal_map="qr")
