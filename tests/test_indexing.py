"""x[key] and x[key] = value against NumPy, bounds, and functions that find and count."""

import numpy as np
import pytest

import nnlib

A = np.arange(60.0, dtype=np.float32).reshape(3, 4, 5)
MASK = A[:, :, 0] % 2 == 0
KEYS = [
    0,
    -1,
    (1, 2),
    (1, 2, -3),
    slice(1, None),
    (slice(None), slice(None, None, 2)),
    (..., 1),
    (0, ..., slice(1, 3)),
    None,
    (None, 1, None),
    True,
    [0, 2],
    [0, 2, 0],
    ([0, 2], [1, 1]),
    (slice(None), [0, 3]),
    ([0, 2], slice(None), [1, 4]),
    (slice(1, None), [1, 2], [0, 0]),
    (np.array([[0, 1], [2, 0]]),),
    (np.array([[0], [2]]), np.array([1, 3])),
    (..., np.array([0, -1])),
    A > 20,
    MASK,
    (MASK, 0),
    (0, A[0] > 10),
    (slice(None), np.array([True, False, True, False])),
    (slice(5, 2),),
    np.int64(2),
]


def ours(key):
    """The key with arrays as tensors."""
    if isinstance(key, tuple):
        return tuple(ours(k) for k in key)
    return nnlib.from_numpy(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_read(key):
    want = A[key]
    got = nnlib.tensor(A)[ours(key)]
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.numpy(), want)
    np.testing.assert_array_equal(nnlib.tensor(A)[key].numpy(), want)  # arrays as they are


@pytest.mark.parametrize("key", [k for k in KEYS if k is not True], ids=str)
def test_write(key):
    want, x = A.copy(), nnlib.tensor(A)
    want[key] = 7
    x[ours(key)] = 7
    np.testing.assert_array_equal(x.numpy(), want)
    values = np.arange(want[key].size, dtype=np.float32).reshape(want[key].shape)
    want[key] = values
    x[ours(key)] = nnlib.tensor(values)
    np.testing.assert_array_equal(x.numpy(), want)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_gradients(key):
    x = nnlib.tensor(A, requires_grad=True)
    y = x[ours(key)]
    (y * y).sum().backward()
    places = np.zeros_like(A)
    np.add.at(places, key if key is not True else Ellipsis, 1)
    np.testing.assert_array_equal(x.grad.numpy(), 2 * A * places)


def test_gradients_of_a_write():
    x, v = nnlib.zeros(3, 2, requires_grad=True), nnlib.ones(2, requires_grad=True)
    y = x * 1
    y[nnlib.tensor([0, 2])] = v * 3
    (y * nnlib.arange(6.0).view(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0, 0], [2, 3], [0, 0]]
    assert v.grad.tolist() == [12, 18]


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (3, IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
        ((0, -5), IndexError, "index -5 is out of bounds for dimension 0 with size 4"),
        ((0, 0, 0, 0), IndexError, "too many indices"),
        (slice(None, None, -1), ValueError, "greater than zero"),
        (1.5, IndexError, "only integers"),
        ("a", TypeError, "only integers"),
        (b"a", TypeError, "only integers"),
        ((0, "a"), TypeError, "only integers"),
        ([3], IndexError, "out of bounds"),
        ([0.0], IndexError, "long, int, byte or bool"),
        (([0, 1], [0, 1, 2]), IndexError, "could not be broadcast together"),
        (np.array([True]), IndexError, "shape of the mask"),
    ],
    ids=str,
)
def test_bounds(key, error, match):
    x = nnlib.tensor(A)
    with pytest.raises(error, match=match):
        x[ours(key)]
    with pytest.raises(error, match=match):
        x[ours(key)] = 1
    np.testing.assert_array_equal(x.numpy(), A)  # nothing was written


def test_writes_that_do_not_fit():
    x = nnlib.zeros(2, 3)
    with pytest.raises(RuntimeError, match="expanded size"):
        x[0] = nnlib.zeros(2)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        x[[0, 1]] = nnlib.zeros(4)
    with pytest.raises(RuntimeError, match="dtypes match"):
        x[[0, 1]] = nnlib.zeros(3, dtype=nnlib.int64)
    with pytest.raises(TypeError, match="can't assign a list"):
        x[0] = [1, 2, 3]


def test_a_scalar_has_no_index():
    with pytest.raises(IndexError, match="0-dim tensor"):
        nnlib.tensor(1.0)[0]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x, i: x.gather(1, i), RuntimeError),
        (lambda x, i: x.scatter(1, i, 1.0), RuntimeError),
        (lambda x, i: x.scatter_add(1, i, x), RuntimeError),
        (lambda x, i: x.index_select(0, i[0]), IndexError),
        (lambda x, i: x.index_add(0, i[0], x[:1]), RuntimeError),
        (lambda x, i: x.index_copy(0, i[0], x[:1]), IndexError),
        (lambda x, i: x.index_fill(0, i[0], 1), IndexError),
        (lambda x, i: x.take(i), IndexError),
        (lambda x, i: x.put(i, nnlib.ones(1, 1)), IndexError),
    ],
)
def test_every_index_is_checked(call, error):
    with pytest.raises(error, match="out of (bounds|range)"):
        call(nnlib.zeros(2, 3), nnlib.tensor([[9]]))


def test_an_index_spread_over_rows():
    x = nnlib.arange(12.0).reshape(4, 3).requires_grad_()
    rows = nnlib.tensor([3, 1, 3])
    picked = nnlib.gather(x, 0, rows.reshape(3, 1).expand(3, 3))
    assert picked.tolist() == x[rows].tolist()
    (picked * nnlib.tensor([[1.0], [2.0], [4.0]])).sum().backward()
    assert x.grad.tolist() == [[0] * 3, [2] * 3, [0] * 3, [5] * 3]
    with pytest.raises(RuntimeError, match="index 4 is out of bounds for dimension 0 with size 4"):
        nnlib.gather(x, 0, nnlib.tensor([[4]]).expand(1, 3))


def test_gradients_of_chosen_slices():
    x = nnlib.randn(3, 4, 2, dtype=nnlib.float64).requires_grad_()
    at = nnlib.tensor([2, 0, 2])
    f = lambda v: nnlib.index_select(v, 1, at).sin()  # noqa: E731
    assert nnlib.autograd.gradcheck(f, (x,)) and nnlib.autograd.gradgradcheck(f, (x,))


def test_accumulating_counts_duplicates():
    x = nnlib.zeros(3)
    x.index_put_((nnlib.tensor([1, 1, 2]),), nnlib.tensor([1.0, 2.0, 4.0]), accumulate=True)
    assert x.tolist() == [0, 3, 4]


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce(reduce, include_self):
    index = np.array([0, 2, 0, 0])
    src, base = np.array([3.0, 5.0, -2.0, 4.0]), np.array([10.0, 20.0, 30.0])
    function = {"sum": sum, "prod": np.prod, "mean": np.mean, "amax": max, "amin": min}[reduce]
    want = [
        function([*([b] if include_self else []), *src[index == i]]) if (index == i).any() else b
        for i, b in enumerate(base)
    ]
    got = nnlib.tensor(base).scatter_reduce(
        0, nnlib.tensor(index), nnlib.tensor(src), reduce, include_self=include_self
    )
    np.testing.assert_allclose(got.numpy(), want)


def test_nonzero_and_where():
    x = nnlib.tensor([[0, 3], [4, 0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0]]
    rows, columns = nnlib.nonzero(x, as_tuple=True)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])
    assert nnlib.argwhere(nnlib.tensor(5)).shape == (1, 0)


def test_unique():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 6, (20,))
    for options in ({}, {"return_inverse": True}, {"return_inverse": True, "return_counts": True}):
        want, got = np.unique(a, **options), nnlib.unique(nnlib.tensor(a), **options)
        for w, g in zip(want if options else [want], got if options else [got], strict=True):
            assert g.tolist() == w.tolist()
    rows = np.array([[1, 2], [0, 1], [1, 2]])
    assert nnlib.unique(nnlib.tensor(rows), dim=0).tolist() == np.unique(rows, axis=0).tolist()
    cube = rng.integers(0, 2, (3, 2, 6))  # slices are in order of their elements as they lie in memory
    for dim in range(3):
        want = np.unique(cube, axis=dim)
        assert nnlib.unique(nnlib.tensor(cube), dim=dim, sorted=False).tolist() == want.tolist()
    values, counts = nnlib.tensor([1, 1, 2, 1]).unique_consecutive(return_counts=True)
    assert (values.tolist(), counts.tolist()) == ([1, 2, 1], [2, 1, 1])


def test_counting_and_searching():
    a = np.array([1, 3, 3, 0])
    assert nnlib.bincount(nnlib.tensor(a), minlength=6).tolist() == np.bincount(a, minlength=6).tolist()
    weights = np.array([0.5, 1.0, 2.0, 3.0])
    assert nnlib.bincount(nnlib.tensor(a), nnlib.tensor(weights)).tolist() == np.bincount(a, weights).tolist()
    with pytest.raises(RuntimeError, match="non-negative"):
        nnlib.bincount(nnlib.tensor([-1]))
    x = nnlib.tensor([0.1, 0.5, 0.9, 1.5])
    assert nnlib.histc(x, 3, 0, 1.5).tolist() == np.histogram(x.numpy(), 3, (0, 1.5))[0].tolist()
    edges = np.array([0.0, 1.0, 1.0, 2.0])
    for right in (False, True):
        want = np.searchsorted(edges, [-1.0, 1.0, 2.0], "right" if right else "left")
        got = nnlib.searchsorted(
            nnlib.tensor(edges), nnlib.tensor([-1.0, 1.0, 2.0], dtype=nnlib.float64), right=right
        )
        assert got.tolist() == want.tolist()
        assert nnlib.bucketize(1.0, nnlib.tensor(edges), right=right) == want[1]
    assert nnlib.isin(nnlib.tensor([1, 2, 3]), nnlib.tensor([2])).tolist() == [False, True, False]


def test_one_hot():
    one_hot = nnlib.nn.functional.one_hot
    assert one_hot(nnlib.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        one_hot(nnlib.tensor([3]), 3)
    with pytest.raises(RuntimeError, match="non-negative"):
        one_hot(nnlib.tensor([-1]))
