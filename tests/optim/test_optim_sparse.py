"""Sparse gradients: only the rows that they hold are touched."""

import numpy as np
import optim_cases
import pytest

import nnlib


def sparse(rows, values, size=(5, 2)):
    return nnlib.sparse_coo_tensor(nnlib.tensor([rows]), nnlib.tensor(values), size)


def weight():
    return nnlib.tensor(optim_cases.values((5, 2), 0), dtype=nnlib.float32).requires_grad_(True)


# Row 3 comes twice: its entries add up.
ROWS, VALUES = [3, 1, 3], [[1.0, -2.0], [0.5, 4.0], [2.0, 1.0]]
DENSE = np.zeros((5, 2))
DENSE[1], DENSE[3] = [0.5, 4.0], [3.0, -1.0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", dict(lr=0.1)),
        ("SGD", dict(lr=0.1, maximize=True)),
        ("SGD", dict(lr=0.1, momentum=0.9)),
        ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
        ("Adagrad", dict(lr=0.1, lr_decay=0.5)),
        ("Adagrad", dict(lr=0.1, initial_accumulator_value=0.5, maximize=True)),
    ],
)
def test_as_with_dense_gradients(name, options):
    results = []
    for is_sparse in (True, False):
        w = weight()
        opt = getattr(nnlib.optim, name)([w], **options)
        for _ in range(3):
            w.grad = sparse(ROWS, VALUES) if is_sparse else nnlib.tensor(DENSE, dtype=nnlib.float32)
            opt.step()
        results.append(w.detach().numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


def test_sparse_adam_is_adam_on_the_rows():
    w = weight()
    start = w.detach().numpy().astype(np.float64)
    opt = nnlib.optim.SparseAdam([w], lr=0.1, betas=(0.8, 0.9))
    state, rows = {}, start[[1, 3]]
    for t in range(3):
        w.grad = sparse(ROWS, VALUES)
        opt.step()
        rows = optim_cases.adam(rows, DENSE[[1, 3]], state, t + 1, lr=0.1, betas=(0.8, 0.9))
    got = w.detach().numpy()
    np.testing.assert_allclose(got[[1, 3]], rows, rtol=1e-5)
    np.testing.assert_array_equal(got[[0, 2, 4]], start[[0, 2, 4]].astype(np.float32))
    assert opt.state[w]["step"] == 3


@pytest.mark.parametrize("options", [dict(lr=0.1), dict(lr=0.1, maximize=True, eps=1e-3)])
def test_sparse_adam_like_torch(options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    results = []
    for lib in (nnlib, torch):
        w = lib.tensor(optim_cases.values((5, 2), 0), dtype=lib.float32).requires_grad_(True)
        opt = lib.optim.SparseAdam([w], **options)
        for rows in ([3, 1, 3], [0], [1, 2]):
            values = lib.tensor(optim_cases.values((len(rows), 2), len(rows)), dtype=lib.float32)
            checks = {} if lib is nnlib else dict(check_invariants=False)  # else PyTorch warns
            w.grad = lib.sparse_coo_tensor(lib.tensor([rows]), values, (5, 2), **checks)
            opt.step()
        results.append(w.detach().numpy())
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-6)


def test_empty_sparse_gradient():
    w = weight()
    before = w.tolist()
    w.grad = nnlib.sparse_coo_tensor(nnlib.zeros(1, 0, dtype=nnlib.int64), nnlib.zeros(0, 2), (5, 2))
    for opt in (nnlib.optim.SparseAdam([w]), nnlib.optim.SGD([w], lr=1.0), nnlib.optim.Adagrad([w])):
        opt.step()
        assert w.tolist() == before


def test_refusals():
    w = weight()
    w.grad = sparse(ROWS, VALUES)
    for name in (
        "AdamW",
        "Adamax",
        "NAdam",
        "RAdam",
        "Adadelta",
        "RMSprop",
        "Rprop",
        "ASGD",
        "Adafactor",
        "Muon",
    ):
        with pytest.raises(RuntimeError, match="does not support sparse gradients"):
            getattr(nnlib.optim, name)([w]).step()
    with pytest.raises(RuntimeError, match="please consider SparseAdam instead"):
        nnlib.optim.Adam([w]).step()
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible with sparse gradients"):
        nnlib.optim.Adagrad([w], weight_decay=0.1).step()
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible with sparse gradients"):
        nnlib.optim.SGD([w], weight_decay=0.1).step()
    with pytest.raises(RuntimeError, match="`_fused_sgd` does not support sparse gradients"):
        nnlib.optim.SGD([w], fused=True).step()
    w.grad = nnlib.ones(5, 2)
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients"):
        nnlib.optim.SparseAdam([w]).step()


def test_embedding_trains():
    nnlib.manual_seed(0)
    table = nnlib.nn.Embedding(6, 3, sparse=True)
    opt = nnlib.optim.SparseAdam(table.parameters(), lr=0.1)
    rows = nnlib.tensor([1, 4, 4])
    untouched = table.weight.detach()[[0, 2, 3, 5]].tolist()
    losses = []
    for _ in range(30):
        opt.zero_grad()
        loss = (table(rows) - 1).pow(2).sum()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert table.weight.detach()[[0, 2, 3, 5]].tolist() == untouched
