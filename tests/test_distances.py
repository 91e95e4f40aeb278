"""Distances by a product of matrices keep the digits of close points, and what is not finite stays so."""

import numpy as np
import pytest

import nnlib


def distances(a, b):
    return np.sqrt(
        ((a[..., :, None, :].astype(np.float64) - b[..., None, :, :].astype(np.float64)) ** 2).sum(-1)
    )


@pytest.mark.parametrize("dtype, bound", [(np.float32, 4e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("shape", [(40, 33, 64), (17, 300, 37), (26, 1, 8), (129, 65, 4)])
@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist_if_necessary", "donot_use_mm_for_euclid_dist"])
def test_cdist_is_close_to_the_truth_in_every_mode(dtype, bound, shape, mode):
    p, r, m = shape
    rng = np.random.default_rng(p)
    a, b = rng.normal(size=(2, p, m)).astype(dtype), rng.normal(size=(2, r, m)).astype(dtype)
    b[0, 0] = a[0, 0]  # the same point
    b[1, r // 2] = a[1, 3] * dtype(1 + 1e-5)  # a close one
    got = nnlib.cdist(nnlib.tensor(a), nnlib.tensor(b), compute_mode=mode).numpy()
    want = distances(a, b)
    assert got[0, 0, 0] == 0
    np.testing.assert_allclose(got, want, rtol=bound, atol=0)


@pytest.mark.parametrize("dtype, bound", [(np.float32, 2e-6), (np.float64, 1e-14)])
def test_points_far_from_zero_keep_their_digits(dtype, bound):
    rng = np.random.default_rng(0)
    a = (1000 + rng.normal(size=(64, 48))).astype(dtype)
    got = nnlib.cdist(nnlib.tensor(a), nnlib.tensor(a)).numpy()
    np.testing.assert_allclose(got, distances(a, a), rtol=bound, atol=0)


def test_infinities_and_nan_stay_in_their_rows():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(64, 40)).astype(np.float32), rng.normal(size=(64, 40)).astype(np.float32)
    a[5, 7], b[9, 1] = np.inf, np.nan
    got = nnlib.cdist(nnlib.tensor(a), nnlib.tensor(b)).numpy()
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(got, distances(a, b), rtol=4e-6)
    assert np.isnan(got[:, 9]).all() and np.isinf(np.delete(got[5], 9)).all()


@pytest.mark.parametrize("dtype, bound", [(np.float32, 2e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("p", [0, 1, 2, np.inf])
@pytest.mark.parametrize("n, m", [(2, 1), (5, 3), (33, 17), (70, 64), (97, 5)])
def test_pdist(dtype, bound, p, n, m):
    x = np.random.default_rng(n).normal(size=(n, m)).astype(dtype)
    x[-1, 0] = x[0, 0]
    gaps = np.abs(x[:, None].astype(np.float64) - x[None])
    if p == 0:
        full = (gaps != 0).sum(-1).astype(np.float64)
    elif np.isinf(p):
        full = gaps.max(-1)
    else:
        full = (gaps**p).sum(-1) ** (1 / p)
    want = full[np.triu_indices(n, 1)]
    np.testing.assert_allclose(nnlib.pdist(nnlib.tensor(x), p).numpy(), want, rtol=bound)
    np.testing.assert_allclose(nnlib.cdist(nnlib.tensor(x), nnlib.tensor(x), p).numpy(), full, rtol=bound)


def test_nan_reaches_a_largest_distance():
    x = np.zeros((12, 20))
    x[3, 19] = np.nan
    got = nnlib.cdist(nnlib.tensor(x), nnlib.tensor(x), np.inf).numpy()
    assert np.isnan(got[3]).all() and np.isnan(got[:, 3]).all() and np.isnan(got).sum() == 23
