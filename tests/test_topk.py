"""The k largest and smallest: of equal values PyTorch's are picked, however the search goes."""

import numpy as np
import pytest

import nnlib

SIZES = [
    (1, 1),
    (5, 2),
    (5, 5),
    (20, 3),
    (127, 8),
    (64, 1),
    (65, 1),
    (100, 50),
    (100, 51),
    (1000, 10),
    (1000, 50),
    (4099, 17),
    (4099, 2000),
]


@pytest.mark.parametrize("n, k", SIZES)
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64"])
def test_topk_of_distinct_and_equal_values(n, k, largest, dtype):
    rng = np.random.default_rng(n + k)
    for values in (rng.permutation(n) - n // 2, rng.integers(-20, 20, n)):
        x = nnlib.tensor(np.stack([values, values[::-1]]).astype(np.float64)).to(getattr(nnlib, dtype))
        order = np.sort(x.to(nnlib.float64).numpy(), axis=1)
        want = order[:, ::-1][:, :k] if largest else order[:, :k]
        got, at = nnlib.topk(x, k, largest=largest)
        np.testing.assert_array_equal(got.to(nnlib.float64).numpy(), want)
        np.testing.assert_array_equal(nnlib.gather(x, 1, at).to(nnlib.float64).numpy(), want)
        assert all(len(set(row)) == k for row in at.tolist())
        free, at = nnlib.topk(x, k, largest=largest, sorted=False)
        np.testing.assert_array_equal(np.sort(free.to(nnlib.float64).numpy(), 1), np.sort(want, 1))


@pytest.mark.parametrize("n, k", SIZES)
@pytest.mark.parametrize("largest", [True, False])
def test_the_same_places_as_pytorch(n, k, largest):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(n * k)
    for levels in (3, 40, 10**6):
        x = rng.integers(-levels, levels, (3, n)).astype(np.float32)
        x[0, :: max(1, n // 7)] = np.nan
        x[1, n // 2] = -0.0
        got = nnlib.topk(nnlib.tensor(x), k, largest=largest)
        want = torch.topk(torch.tensor(x), k, largest=largest)
        np.testing.assert_array_equal(got[0].numpy(), want[0].numpy())
        np.testing.assert_array_equal(got[1].numpy(), want[1].numpy())


@pytest.mark.parametrize("n", [1, 17, 100, 5000])
def test_mode_where_most_are_nan(n):
    rng = np.random.default_rng(n)
    x = rng.integers(0, 4, (6, n)).astype(np.float32)
    x[rng.random(x.shape) < 0.7] = np.nan
    x[0] = np.nan
    values, at = nnlib.mode(nnlib.tensor(x), 1)
    for row, value, i in zip(x, values.tolist(), at.tolist(), strict=True):
        np.testing.assert_array_equal(row[i], np.float32(value))
        counts = [(row == v).sum() for v in row[~np.isnan(row)]]
        if counts and max(counts) > 1:
            assert (row == value).sum() == max(counts)


def test_a_long_lane():
    x = nnlib.arange(300_000, dtype=nnlib.float32)
    for k in (3, 200_000):
        values, at = nnlib.topk(x, k)
        assert values[0].item() == 299_999 and at[-1].item() == 300_000 - k
    assert nnlib.sort(x, descending=True)[1][:2].tolist() == [299_999, 299_998]


def test_no_dimension():
    for k in (0, 1):  # as in PyTorch, where 0 gives the element too
        values, indices = nnlib.tensor(7).topk(k)
        assert (values.item(), indices.item()) == (7, 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bfloat16"])
@pytest.mark.parametrize("n", [1, 2, 5, 15, 16, 17, 40])
def test_orders_of_short_rows(n, dtype):
    values = np.random.default_rng(n).integers(-4, 4, (50, n)).astype("float64")
    if dtype != "int64":
        values[3, n // 2] = np.nan
        values[4, 0] = -0.0
    x = nnlib.from_numpy(values).to(getattr(nnlib, dtype))
    for descending in (False, True):
        largest_last = np.where(np.isnan(values), np.inf, values)
        order = np.argsort(-largest_last if descending else largest_last, axis=1, kind="stable")
        got, at = nnlib.sort(x, dim=1, descending=descending, stable=True)
        np.testing.assert_array_equal(at.numpy(), order)
        np.testing.assert_array_equal(got.double().numpy(), np.take_along_axis(values, order, 1))
    ordered = np.sort(values, axis=1)
    for k in {1, (n + 1) // 2, n}:
        got, at = nnlib.kthvalue(x, k, dim=1)
        np.testing.assert_array_equal(got.double().numpy(), ordered[:, k - 1])
        np.testing.assert_array_equal(
            np.take_along_axis(values, at.numpy()[:, None], 1)[:, 0], ordered[:, k - 1]
        )
    got, at = nnlib.mode(x, dim=1)
    for row, value, place in zip(values, got.tolist(), at.tolist(), strict=True):
        if np.isnan(row).all():
            continue
        numbers, counts = np.unique(row[~np.isnan(row)], return_counts=True)
        assert value == numbers[counts.argmax()] == row[place]
        if n <= 16:
            assert place == np.flatnonzero(row == value)[-1]
