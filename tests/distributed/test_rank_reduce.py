"""Sums over ranks: the native arithmetic against NumPy."""

import numpy as np
import pytest

from nnlib import _comm
from nnlib.distributed._request import DTYPES, REDUCE_OPS

RANKS = 3


def reduce(arrays, dtype, op, count=None):
    out = np.empty_like(arrays[0])
    addresses = [a.ctypes.data for a in arrays]
    _comm.reduce_ranks(
        DTYPES.index(dtype),
        REDUCE_OPS.index(op),
        len(out) if count is None else count,
        addresses,
        out.ctypes.data,
    )
    return out


def draw(rng, dtype, count):
    if dtype == "bool":
        return rng.random(count) < 0.6
    if dtype.startswith("float"):
        return rng.standard_normal(count).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, count, dtype, endpoint=True)


def expected(arrays, op):
    folds = {
        "SUM": np.add, "PRODUCT": np.multiply, "MIN": np.minimum, "MAX": np.maximum, "BAND": np.bitwise_and,
        "BOR": np.bitwise_or, "BXOR": np.bitwise_xor, "AVG": np.add,
    }  # fmt: skip
    wide = [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]
    with np.errstate(over="ignore"):
        result = wide[0]
        for a in wide[1:]:
            result = folds[op](result, a)
    if op == "AVG":
        result = result / result.dtype.type(len(arrays))
    return result.astype(arrays[0].dtype)


CASES = [
    (dtype, op)
    for dtype in DTYPES
    for op in REDUCE_OPS
    if dtype != "bfloat16"
    and not (dtype.startswith("float") and op[0] == "B")
    and (op != "AVG" or "float" in dtype)
]


@pytest.mark.parametrize(("dtype", "op"), CASES)
@pytest.mark.parametrize("count", [1, 5000])
def test_against_numpy(dtype, op, count):
    rng = np.random.default_rng(count)
    arrays = [draw(rng, dtype, count) for _ in range(RANKS)]
    np.testing.assert_array_equal(reduce(arrays, dtype, op), expected(arrays, op))


def test_one_rank_and_nothing():
    a = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(reduce([a], "float32", "AVG"), a)
    reduce([np.empty(0, np.float32)] * 2, "float32", "SUM")


def test_every_float16_passes_unchanged():
    bits = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    out = reduce([bits], "float16", "SUM")
    number = ~np.isnan(bits)
    np.testing.assert_array_equal(out[number].view(np.uint16), bits[number].view(np.uint16))
    assert np.isnan(out[~number]).all()


def test_every_bfloat16_passes_unchanged():
    bits = np.arange(1 << 16, dtype=np.uint16)
    as_float = (bits.astype(np.uint32) << 16).view(np.float32)
    out = reduce([bits], "bfloat16", "SUM")
    number = ~np.isnan(as_float)
    np.testing.assert_array_equal(out[number], bits[number])


def test_bfloat16_is_summed_in_float32():
    one, tiny = np.array([0x3F80], np.uint16), np.array([0x3B00], np.uint16)  # 1 and 2**-9
    out = reduce([one] + [tiny] * 8, "bfloat16", "SUM")  # rounded at every step it would stay 1
    assert (out.astype(np.uint32) << 16).view(np.float32)[0] == np.float32(1 + 2**-6)


def test_a_nan_on_any_rank_stays():
    a, b = np.array([np.nan, 1, 2], np.float32), np.array([1, np.nan, 3], np.float32)
    for op, last in (("MIN", 2), ("MAX", 3)):
        out = reduce([a, b], "float32", op)
        assert np.isnan(out[:2]).all() and out[2] == last


@pytest.mark.parametrize(("dtype", "op"), [("int32", "AVG"), ("float32", "BAND"), ("bfloat16", "BXOR")])
def test_what_has_no_meaning_is_an_error(dtype, op):
    with pytest.raises(ValueError, match="no meaning"):
        reduce([np.zeros(4, np.int64)] * 2, dtype, op, 1)


def test_any_cut_gives_the_same_bits():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(10_000).astype(np.float32) for _ in range(4)]
    whole = reduce(arrays, "float32", "AVG")
    cuts = [reduce([a[i : i + 333].copy() for a in arrays], "float32", "AVG") for i in range(0, 10_000, 333)]
    assert np.concatenate(cuts).tobytes() == whole.tobytes()
