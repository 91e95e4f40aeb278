"""Sparse tensors in coordinate format."""

import numpy as np
import pytest

import nnlib

ROWS = [[3, 1, 3], [0, 2, 0]]


def example(**options):
    return nnlib.sparse_coo_tensor(ROWS, [1.0, 2.0, 4.0], (4, 3), **options)


def dense():
    out = np.zeros((4, 3))
    out[3, 0], out[1, 2] = 5, 2
    return out


def test_parts():
    s = example()
    assert s.is_sparse and s.layout == nnlib.sparse_coo and s.shape == (4, 3) and s.dtype == nnlib.float32
    assert s._indices().tolist() == ROWS and s._values().tolist() == [1, 2, 4]
    assert (s._nnz(), s.sparse_dim(), s.dense_dim(), s.is_coalesced()) == (3, 2, 0, False)
    c = s.coalesce()
    assert c.is_coalesced() and c.coalesce() is c
    assert c.indices().tolist() == [[1, 3], [2, 0]] and c.values().tolist() == [2, 5]
    np.testing.assert_array_equal(s.to_dense().numpy(), dense())
    np.testing.assert_array_equal(c.to_dense().numpy(), dense())


def test_dense_dimensions():
    s = nnlib.sparse_coo_tensor([[2, 0, 2]], nnlib.arange(6.0).reshape(3, 2))
    assert s.shape == (3, 2) and (s.sparse_dim(), s.dense_dim()) == (1, 1)
    assert s.to_dense().tolist() == [[2, 3], [0, 0], [4, 6]]
    assert s.coalesce().values().tolist() == [[2, 3], [4, 6]]


def test_of_dense():
    d = nnlib.tensor(dense())
    s = d.to_sparse()
    assert s._nnz() == 2 and s.is_coalesced() and (s.to_dense() == d).all().item()
    rows = d.to_sparse(1)
    assert rows._nnz() == 2 and rows.values().tolist() == [[0, 0, 2], [5, 0, 0]]
    assert d.sparse_mask(example()).coalesce().values().tolist() == [2, 10]


def test_empty():
    s = nnlib.sparse_coo_tensor(nnlib.zeros(1, 0, dtype=nnlib.int64), nnlib.zeros(0, 2), (5, 2))
    assert s._nnz() == 0 and s.coalesce().to_dense().abs().sum().item() == 0
    assert nnlib.zeros(3, layout=nnlib.sparse_coo).to_dense().tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int64"])
def test_types(dtype):
    s = example(dtype=getattr(nnlib, dtype))
    assert s.to_dense().dtype == getattr(nnlib, dtype) and s.to_dense().sum().item() == 7
    assert s.to(nnlib.float32).to_dense().dtype == nnlib.float32


def test_arithmetic():
    s, d = example(), nnlib.tensor(dense(), dtype=nnlib.float32)
    assert ((s + s).to_dense() == 2 * d).all().item()
    assert (nnlib.add(s, s, alpha=3).to_dense() == 4 * d).all().item()
    assert ((s - s.coalesce()).to_dense() == 0).all().item()
    assert ((-s).to_dense() == -d).all().item() and ((s * 2.5).to_dense() == 2.5 * d).all().item()
    assert ((3 * s / 2).to_dense() == 1.5 * d).all().item()
    ones = nnlib.ones(4, 3)
    assert ((ones + s) == 1 + d).all().item() and nnlib.add(ones, s, alpha=-2).sum().item() == 12 - 14
    ones.add_(s, alpha=2)
    assert (ones == 1 + 2 * d).all().item()
    turned = nnlib.zeros(3, 4).t()
    turned += s
    assert (turned == d).all().item()
    assert s.sum().item() == 7
    t = s.clone()
    t.mul_(2).add_(s).div_(3)
    assert nnlib.allclose(t.to_dense(), d)
    version = t._version
    t.zero_()
    assert t._nnz() == 0 and t._version > version


def test_gradients():
    values = nnlib.tensor([1.0, 2.0, 4.0]).requires_grad_(True)
    s = nnlib.sparse_coo_tensor(ROWS, values, (4, 3))
    weight = nnlib.arange(12.0).reshape(4, 3)
    ((s * 2).coalesce().to_dense() * weight).sum().backward()
    assert values.grad.tolist() == [18, 10, 18]
    base = nnlib.zeros(4, 3).requires_grad_(True)
    values.grad = None
    ((base + nnlib.sparse_coo_tensor(ROWS, values, (4, 3))) * weight).sum().backward()
    assert (base.grad == weight).all().item() and values.grad.tolist() == [9, 5, 9]


def test_embedding_used_twice():
    table = nnlib.nn.Embedding(5, 2, sparse=True)
    (table(nnlib.tensor([1, 3])).sum() + 2 * table(nnlib.tensor([3, 0])).sum()).backward()
    table(nnlib.tensor([3])).sum().backward()
    grad = table.weight.grad
    assert grad.is_sparse and grad.to_dense()[:, 0].tolist() == [2, 1, 0, 4, 0]
    mixed = nnlib.nn.Embedding(5, 2, sparse=True)
    (mixed(nnlib.tensor([1])).sum() + mixed.weight.sum()).backward()
    assert mixed.weight.grad.tolist()[1] == [2, 2] and not mixed.weight.grad.is_sparse


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (([0, 1], [1.0, 2.0]), "indices must be sparse_dim x nnz"),
        (([[0.5]], [1.0]), "indices must be an int64 tensor"),
        (([[0, 1]], [1.0]), "indices and values must have same nnz"),
        (([[0, 5]], [1.0, 2.0], (3,)), "size is 3 but found index 5"),
        (([[-1]], [1.0], (3,)), "found negative index -1 for dim 0"),
        (([[0]], [1.0], (3, 3)), "number of dimensions must be sparse_dim"),
        (([[0]], [[1.0, 2.0]], (3, 3)), "values has incorrect size"),
    ],
)
def test_parts_that_do_not_fit(parts, text):
    with pytest.raises(RuntimeError, match=text):
        nnlib.sparse_coo_tensor(*parts)


def test_what_sparse_tensors_are_not_taken_by():
    s = example()
    with pytest.raises(RuntimeError, match="Cannot get values on an uncoalesced tensor"):
        s.values()
    with pytest.raises(RuntimeError, match=r"add\(sparse, dense\) is not supported"):
        s + nnlib.ones(4, 3)
    with pytest.raises(RuntimeError, match="expected sizes of self and other to match"):
        nnlib.ones(3) + s
    for op in (
        lambda: s.exp(),
        lambda: s.reshape(-1),
        lambda: s[0],
        lambda: s.t(),
        lambda: s @ nnlib.ones(3, 2),
        lambda: s * nnlib.ones(4, 3),
        lambda: s.fill_(1),
        lambda: s.mean(),
        lambda: nnlib.cat([s, s]),
        lambda: nnlib.where(nnlib.ones(4, 3) > 0, s, s),
        lambda: nnlib.nn.functional.linear(s, nnlib.ones(2, 3)),
        lambda: s.cumsum(0),
    ):
        with pytest.raises((RuntimeError, NotImplementedError, TypeError)):
            op()


def test_no_element_is_read_by_its_place():
    for call in (lambda s: s[[0, 1]], lambda s: s[0], lambda s: nnlib.ones(4)[s]):
        with pytest.raises(NotImplementedError, match="to_dense"):
            call(nnlib.tensor([0, 1]).to_sparse())
    with pytest.raises(NotImplementedError, match="to_dense"):
        [1, 2][nnlib.tensor(1).to_sparse()]
