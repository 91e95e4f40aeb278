"""Embeddings beside NumPy: norms in place, bags, sparse gradients and their sums."""

import numpy as np
import pytest

import nnlib
import nnlib.nn.functional as F


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("size", [1, 4, 19, 130])
@pytest.mark.parametrize("layout", ["rows", "columns", "bfloat16", "float64"])
def test_max_norm_of_repeated_rows(norm_type, size, layout):
    """A row that occurs twice is scaled once; rows that do not occur stay, and those whose norm is NaN."""
    table = random(300, size) * 3
    table[5, 0] = np.nan
    weight, indices = nnlib.from_numpy(table.copy()), np.arange(1000) * 7 % 200
    if layout == "columns":
        weight = nnlib.from_numpy(np.ascontiguousarray(table.T)).t()
    elif layout != "rows":
        weight = weight.to(getattr(nnlib, layout))
        table = weight.float().numpy()
    F.embedding(nnlib.from_numpy(indices), weight, max_norm=1.5, norm_type=norm_type)
    norms = np.linalg.norm(table.astype("float64"), norm_type, axis=1, keepdims=True)
    scale = np.where((norms > 1.5) & (np.arange(300)[:, None] < 200), 1.5 / (norms + 1e-7), 1)
    tolerance = 2**-8 if layout == "bfloat16" else 1e-5
    np.testing.assert_allclose(weight.float().numpy(), table * scale, rtol=tolerance)


@pytest.mark.parametrize("size", [1, 40, 100])
def test_largest_of_bags(size):
    """The first of equal values gets the gradient, rows that several bags chose get the sum, empty bags nothing."""
    table = np.round(random(20, size))
    indices = np.random.default_rng(1).integers(0, 20, 600)
    offsets = np.sort(np.random.default_rng(2).integers(0, 600, 99))
    offsets = np.concatenate([[0], offsets[:50], offsets[49:]])  # one bag is empty
    upstream = random(len(offsets), size, seed=3)
    weight = nnlib.from_numpy(table).requires_grad_()
    out = F.embedding_bag(nnlib.from_numpy(indices), weight, nnlib.from_numpy(offsets), mode="max")
    out.backward(nnlib.from_numpy(upstream))
    expected, gradient = np.zeros_like(upstream), np.zeros((20, size))
    for bag, (first, last) in enumerate(zip(offsets, [*offsets[1:], 600], strict=True)):
        if first == last:
            continue
        rows = indices[first:last]
        best = table[rows].argmax(0)
        expected[bag] = table[rows].max(0)
        np.add.at(gradient, (rows[best], np.arange(size)), upstream[bag])
    np.testing.assert_array_equal(out.detach().numpy(), expected)
    np.testing.assert_allclose(weight.grad.numpy(), gradient, rtol=1e-5, atol=1e-5)


def test_a_sparse_gradient_is_not_copied():
    weight, upstream = nnlib.zeros(50, 8, requires_grad=True), nnlib.from_numpy(random(4, 8))
    F.embedding(nnlib.tensor([3, 1, 3, 49]), weight, sparse=True).backward(upstream)
    assert weight.grad._values().data_ptr() == upstream.data_ptr()
    np.testing.assert_array_equal(weight.grad._indices().numpy(), [[3, 1, 3, 49]])


def test_changed_indices_are_an_error():
    indices = nnlib.tensor([1, 2])
    out = F.embedding(indices, nnlib.zeros(5, 3, requires_grad=True))
    indices.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("shape", [(1_000_000,), (3, 700), (5_000_000_000, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_coalesce_sums_equal_entries_in_order(shape, dtype):
    """Positions of up to 34 bits; the entries come out sorted, each sum in the order of the entries."""
    rng = np.random.default_rng(4)
    places = np.stack([rng.integers(0, n, 500) for n in shape])
    places = places[:, rng.integers(0, 500, 3000)]
    values = (random(3000, 5, seed=5) * 100).astype(dtype)
    made = nnlib.sparse_coo_tensor(nnlib.from_numpy(places), nnlib.from_numpy(values), (*shape, 5)).coalesce()
    unique, group = np.unique(places, axis=1, return_inverse=True)
    sums = np.zeros((unique.shape[1], 5))
    np.add.at(sums, group.ravel(), values)
    np.testing.assert_array_equal(made.indices().numpy(), unique)
    np.testing.assert_allclose(made.values().numpy(), sums, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("coalesced", [False, True])
def test_sparse_is_added_to_dense(coalesced):
    places, values = np.random.default_rng(6).integers(0, 90, 800), random(800, 200)
    sparse = nnlib.sparse_coo_tensor(nnlib.from_numpy(places[None]), nnlib.from_numpy(values), (90, 200))
    dense = random(90, 200, seed=7)
    expected = dense.astype("float64")
    np.add.at(expected, places, -0.5 * values)
    got = nnlib.from_numpy(dense.copy()).add_(sparse.coalesce() if coalesced else sparse, alpha=-0.5)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", [None, 1])
def test_bags_with_and_without_padding(padding):
    weight = nnlib.ones(4, 3, requires_grad=True)
    indices, offsets = nnlib.tensor([0, 1, 2, 3, 3]), nnlib.tensor([0, 2])
    F.embedding_bag(indices, weight, offsets, mode="sum", padding_idx=padding).sum().backward()
    counts = [1.0, 0.0 if padding == 1 else 1.0, 1.0, 2.0]
    assert weight.grad.tolist() == [[c] * 3 for c in counts]


def test_changed_indices_of_bags_are_an_error():
    weight, indices = nnlib.ones(4, 3, requires_grad=True), nnlib.tensor([0, 1, 2, 3, 3])
    out = F.embedding_bag(indices, weight, nnlib.tensor([0, 2]), mode="sum")
    indices.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("rows, size, count", [(5, 3, 0), (7, 1, 40), (300, 19, 500), (70001, 61, 4000)])
@pytest.mark.parametrize("by_frequency", [False, True])
def test_dense_gradient(rows, size, count, by_frequency):
    """Sums in rows that were looked up, zero in the others; the last table is larger than the caches."""
    indices = np.random.default_rng(1).integers(0, rows, count)
    indices[: count // 8] = 4
    upstream = random(count, size, seed=2)
    weight = nnlib.zeros(rows, size, requires_grad=True)
    looked_up = nnlib.from_numpy(indices)
    F.embedding(looked_up, weight, padding_idx=2, scale_grad_by_freq=by_frequency).backward(
        nnlib.from_numpy(upstream)
    )
    share = 1 / np.bincount(indices, minlength=rows)[indices] if by_frequency else np.ones(count)
    share[indices == 2] = 0
    expected = np.zeros((rows, size))
    np.add.at(expected, indices, upstream * share[:, None])
    np.testing.assert_allclose(weight.grad.numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.bfloat16])
@pytest.mark.parametrize("width", [257, 768])
def test_results_larger_than_the_caches(dtype, width):
    rng = np.random.default_rng(0)
    rows = 20000 if width == 257 else 8000
    weight = nnlib.from_numpy(rng.integers(-99, 99, (500, width)).astype(np.float32)).to(dtype)
    index = rng.integers(0, 500, rows)
    out = F.embedding(nnlib.from_numpy(index), weight)
    assert out.numel() * out.element_size() > 2**23
    assert np.array_equal(out.float().numpy(), weight.float().numpy()[index])
