"""Products, sums and softmax of sparse tensors against the dense ones, and how they print."""

import pytest

import nnlib
from nnlib import sparse


def random(shape, dense_dims=0, count=6, seed=0):
    """A sparse tensor in which places come twice."""
    nnlib.manual_seed(seed)
    where = shape[: len(shape) - dense_dims]
    indices = nnlib.stack([nnlib.randint(0, n, (count,)) for n in where])
    values = nnlib.randn(count, *shape[len(where) :], dtype=nnlib.float64)
    return nnlib.sparse_coo_tensor(indices, values, shape)


def gradients(function, s, *dense):
    """Of the sparse function, and of the dense one with the sparse gradient's places."""
    a, rest = s.detach().coalesce().requires_grad_(), [d.detach().clone().requires_grad_() for d in dense]
    y = function(a, *rest)
    y = y.to_dense() if y.is_sparse else y
    weight = nnlib.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    (y * weight).sum().backward()
    assert a.grad.is_sparse
    return y.detach(), a.grad.to_dense(), [d.grad for d in rest], weight


def test_products():
    s, d = random((4, 5)), nnlib.randn(5, 3, dtype=nnlib.float64)
    nnlib.testing.assert_close(sparse.mm(s, d), s.to_dense() @ d)
    y, gs, (gd,), weight = gradients(sparse.mm, s, d)
    mask = (s.to_dense() != 0).double()
    nnlib.testing.assert_close(y, s.to_dense() @ d)
    nnlib.testing.assert_close(gs, (weight @ d.t()) * mask)
    nnlib.testing.assert_close(gd, s.to_dense().t() @ weight)
    m = nnlib.randn(4, 3, dtype=nnlib.float64)
    nnlib.testing.assert_close(sparse.addmm(m, s, d, beta=0.5, alpha=2), 0.5 * m + 2 * (s.to_dense() @ d))


def test_products_of_two_sparse_matrices():
    a, b = random((4, 5), count=9), random((5, 3), count=7, seed=1)
    product = sparse.mm(a, b)
    assert product.is_sparse and product.is_coalesced()
    nnlib.testing.assert_close(product.to_dense(), a.to_dense() @ b.to_dense())
    assert sparse.mm(nnlib.zeros(4, 5).to_sparse(), b.float()).to_dense().equal(nnlib.zeros(4, 3))
    with pytest.raises(NotImplementedError, match="no gradient"):
        sparse.mm(a.requires_grad_(), b)


@pytest.mark.parametrize("dim", [None, 0, 1, -1, (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_sums(dim):
    s = random((4, 3, 2), dense_dims=1)
    dense = s.to_dense().requires_grad_()
    expected = dense.sum() if dim is None else dense.sum(dim)
    result = sparse.sum(s, dim)
    assert result.is_sparse == (dim not in (None, (0, 1), (0, 1, 2)))
    y, gs, _, weight = gradients(lambda t: sparse.sum(t, dim), s)
    nnlib.testing.assert_close(y, expected.detach())
    (expected * weight).sum().backward()
    places = (s.to_dense() != 0).any(-1, keepdim=True).double()
    nnlib.testing.assert_close(gs, dense.grad * places)
    assert sparse.sum(s, dtype=nnlib.float32).dtype == nnlib.float32


@pytest.mark.parametrize("dim", [0, 1, 2, -2])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(dim, name):
    s = random((4, 3, 2), dense_dims=1).coalesce()
    there = nnlib.sparse_coo_tensor(s.indices(), nnlib.ones_like(s.values()), s.shape).to_dense() > 0
    dense = s.to_dense().masked_fill(~there, float("-inf")).requires_grad_()
    expected = getattr(nnlib, name)(dense, dim).masked_fill(~there, 0.0)
    y, gs, _, weight = gradients(lambda t: getattr(sparse, name)(t, dim), s)
    nnlib.testing.assert_close(y, expected.detach())
    (expected * weight).sum().backward()
    nnlib.testing.assert_close(gs, dense.grad.nan_to_num(0.0).masked_fill(~there, 0.0))
    assert getattr(sparse, name)(s.float(), dim, dtype=nnlib.float64).dtype == nnlib.float64


def test_what_does_not_fit():
    s, d = random((4, 5)), nnlib.randn(5, 3, dtype=nnlib.float64)
    for call, error, message in (
        (lambda: sparse.mm(d, d), RuntimeError, "expected a sparse tensor"),
        (lambda: sparse.mm(s, d[:4]), RuntimeError, "cannot be multiplied"),
        (lambda: sparse.mm(s, d.float()), RuntimeError, "same dtype"),
        (lambda: sparse.mm(s, d[0]), RuntimeError, "expected matrices"),
        (lambda: sparse.addmm(s, s, d), RuntimeError, "dense mat"),
        (lambda: sparse.sum(d), RuntimeError, "expected a sparse tensor"),
        (lambda: sparse.sum(s, 2), IndexError, "Dimension out of range"),
        (lambda: sparse.softmax(s, 2), IndexError, "Dimension out of range"),
    ):
        with pytest.raises(error, match=message):
            call()


PRINTED = [
    (
        lambda: nnlib.ones(2, 2).to_sparse(),
        "tensor(indices=tensor([[0, 0, 1, 1],\n"
        "                       [0, 1, 0, 1]]),\n"
        "       values=tensor([1., 1., 1., 1.]),\n"
        "       size=(2, 2), nnz=4, layout=torch.sparse_coo)",
    ),
    (
        lambda: nnlib.zeros(2, 3, dtype=nnlib.int8).to_sparse(),
        "tensor(indices=tensor([], size=(2, 0)),\n"
        "       values=tensor([], size=(0,)),\n"
        "       size=(2, 3), nnz=0, dtype=torch.int8, layout=torch.sparse_coo)",
    ),
    (
        lambda: nnlib.ones(1, dtype=nnlib.float64).to_sparse().requires_grad_(),
        "tensor(indices=tensor([[0]]),\n"
        "       values=tensor([1.]),\n"
        "       size=(1,), nnz=1, dtype=torch.float64, layout=torch.sparse_coo,\n"
        "       requires_grad=True)",
    ),
]


@pytest.mark.parametrize(("make", "text"), PRINTED)
def test_printing(make, text):
    assert repr(make()) == text
