"""Products of integer matrices wrap around as the type does, whatever kernel computes them."""

import numpy as np
import pytest

import nnlib


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
@pytest.mark.parametrize(
    "m, k, n", [(0, 3, 4), (3, 0, 5), (1, 7, 33), (4, 128, 4), (5, 33, 17), (67, 20, 3), (50, 9, 40)]
)
def test_products_wrap_around(dtype, m, k, n):
    rng = np.random.default_rng(m + k + n)
    limits = np.iinfo(dtype)
    a, b, c = (
        rng.integers(limits.min, limits.max, size, dtype, endpoint=True) for size in ((m, k), (k, n), (m, n))
    )
    exact = a.astype(object).dot(b.astype(object)) if k else np.zeros((m, n), object)
    modulus = 1 << 8 * limits.dtype.itemsize
    A, B, C = (nnlib.from_numpy(x) for x in (a, b, c))
    turned = (
        nnlib.from_numpy(np.ascontiguousarray(a.T)).t(),
        nnlib.from_numpy(np.ascontiguousarray(b.T)).t(),
    )
    for left, right in ((A, B), (turned[0], B), (A, turned[1])):
        assert not ((np.asarray(left @ right).astype(object) - exact) % modulus).any()
        sums = np.asarray(nnlib.addmm(C, left, right, beta=3, alpha=2)).astype(object)
        assert not ((sums - 3 * c.astype(object) - 2 * exact) % modulus).any()
