"""New tensors of given values."""

from fractions import Fraction

import numpy as np
import pytest

import nnlib


@pytest.mark.parametrize(
    ("args", "want", "dtype"),
    [
        ((5,), [0, 1, 2, 3, 4], nnlib.int64),
        ((1, 4), [1, 2, 3], nnlib.int64),
        ((1, 8, 3), [1, 4, 7], nnlib.int64),
        ((5, 0, -2), [5, 3, 1], nnlib.int64),
        ((0.0, 1.0, 0.25), [0, 0.25, 0.5, 0.75], nnlib.float32),
        ((3, 3), [], nnlib.int64),
    ],
)
def test_arange(args, want, dtype):
    x = nnlib.arange(*args)
    assert x.tolist() == want and x.dtype == dtype


def test_arange_of_a_type_counts_in_it():
    assert nnlib.arange(0.5, 2.9, dtype=nnlib.int64).tolist() == [0, 1]
    assert nnlib.arange(end=3, start=1).tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="step sign"):
        nnlib.arange(0, 5, -1)
    with pytest.raises(RuntimeError, match="nonzero"):
        nnlib.arange(0, 5, 0)


def test_linspace_hits_both_ends():
    for steps in (1, 2, 7, 100):
        x = nnlib.linspace(-0.3, 9.7, steps, dtype=nnlib.float64)
        np.testing.assert_allclose(x.numpy(), np.linspace(-0.3, 9.7, steps), rtol=1e-14)
    assert nnlib.linspace(3, 10, 5)[-1] == 10
    np.testing.assert_allclose(nnlib.logspace(0, 3, 4).numpy(), [1, 10, 100, 1000], rtol=1e-6)
    with pytest.raises(RuntimeError, match="non-negative"):
        nnlib.linspace(0, 1, -1)


@pytest.mark.parametrize("ends", [(-3, 1), (-3, 5), (0, 100), (7, -50), (10, 1000)])
def test_linspace_of_integers_cuts_what_a_double_step_gives(ends):
    first, last = ends
    for steps in (2, 3, 7, 17, 100, 101):
        step = Fraction((last - first) / (steps - 1))
        exact = [first + i * step if i < steps // 2 else last - (steps - 1 - i) * step for i in range(steps)]
        want = [int(float(v)) for v in exact]
        for dtype in (nnlib.int64, nnlib.int32, nnlib.int16):
            assert nnlib.linspace(first, last, steps, dtype=dtype).tolist() == want


def test_sizes_as_one_argument_or_several():
    for made in (
        nnlib.zeros(2, 3),
        nnlib.zeros((2, 3)),
        nnlib.zeros([2, 3]),
        nnlib.zeros(nnlib.Size([2, 3])),
    ):
        assert made.shape == (2, 3) and not made.any()
    assert nnlib.zeros(4).shape == (4,) and nnlib.zeros(()).shape == ()
    with pytest.raises(RuntimeError, match="negative dimension"):
        nnlib.zeros(-1)


def test_options():
    x = nnlib.ones(2, dtype=nnlib.float64, requires_grad=True, device="cpu", layout=nnlib.strided)
    assert x.dtype == nnlib.float64 and x.requires_grad and x.is_leaf
    with pytest.raises(RuntimeError, match="pin_memory"):
        nnlib.zeros(1, pin_memory=True)
    with pytest.raises(RuntimeError, match="strided"):
        nnlib.ones(1, layout=nnlib.sparse_coo)
    with pytest.raises(TypeError, match="layout"):
        nnlib.zeros(1, layout=3)
    with pytest.raises(RuntimeError, match="floating point"):
        nnlib.zeros(1, dtype=nnlib.int64, requires_grad=True)


def test_full_takes_the_type_of_its_value():
    assert nnlib.full((2,), 7).dtype == nnlib.int64
    assert nnlib.full((2,), True).dtype == nnlib.bool
    assert nnlib.full((2,), 1.5).dtype == nnlib.float32
    assert nnlib.full((2,), 1.5, dtype=nnlib.int32).tolist() == [1, 1]


def test_like_keeps_type_and_layout():
    x = nnlib.zeros(2, 3, 4, 5, dtype=nnlib.float64).contiguous(memory_format=nnlib.channels_last)
    for made in (nnlib.ones_like(x), nnlib.full_like(x, 3), nnlib.empty_like(x)):
        assert made.dtype == x.dtype and made.stride() == x.stride()
    assert nnlib.zeros_like(x, memory_format=nnlib.contiguous_format).is_contiguous()
    assert nnlib.zeros_like(x.permute(3, 0, 1, 2)).stride() == x.permute(3, 0, 1, 2).stride()
    assert x.new_ones(2, 2).dtype == nnlib.float64 and x.new_zeros((2,), dtype=nnlib.int8).dtype == nnlib.int8
    assert x.new_full((2,), 4).tolist() == [4, 4]


def test_eye_and_triangles():
    assert nnlib.eye(2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    np.testing.assert_array_equal(nnlib.tril_indices(3, 4, 1).numpy(), np.tril_indices(3, 1, 4))
    np.testing.assert_array_equal(nnlib.triu_indices(3, 4, -1).numpy(), np.triu_indices(3, -1, 4))
    for rows, cols, offset in (
        (5, 2, 1),
        (2, 5, -3),
        (7, 3, -3),
        (3, 7, 3),
        (6, 4, 9),
        (6, 4, -9),
        (0, 3, 0),
    ):
        for ours, numpy in ((nnlib.tril_indices, np.tril_indices), (nnlib.triu_indices, np.triu_indices)):
            np.testing.assert_array_equal(
                ours(rows, cols, offset).numpy(), np.array(numpy(rows, offset, cols)).reshape(2, -1)
            )
    most = 2**63 - 1
    assert nnlib.triu_indices(most, 0).shape == nnlib.tril_indices(2, 3, -most - 1).shape == (2, 0)
    assert nnlib.triu_indices(most, 2).tolist() == [[0, 0, 1], [0, 1, 1]]
    assert nnlib.triu_indices(3, 3, most).shape == (2, 0) and nnlib.tril_indices(2, 3, most).shape == (2, 6)
    for call in (nnlib.tril_indices, nnlib.triu_indices):
        with pytest.raises(RuntimeError, match="too many indices"):
            call(2**62, 2**62)


def test_out_is_filled():
    x = nnlib.empty(3)
    assert nnlib.arange(3, out=x) is x and x.tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "float32", "int64"])
def test_fills_that_leave_the_caches(dtype):
    """Whole lines go past the caches; what stands before and behind the values stays."""
    dtype = getattr(nnlib, dtype)
    n = (1 << 24) // dtype.itemsize + 1003
    x = nnlib.zeros(n + 2, dtype=dtype)
    x[1:-1].fill_(1)
    assert not x[0] and not x[-1] and bool((x[1:-1] == 1).all())
    x[3:].zero_()
    assert x[:4].tolist() == [0, 1, 1, 0] and not bool(x[3:].any())


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "int64", "float16", "bfloat16", "float32", "float64"]
)
def test_fills_of_any_length_and_place_write_nothing_else(dtype):
    dtype = getattr(nnlib, dtype)
    for n in (0, 1, 63, 64, 257, 1024, 1025, 5003):
        for offset in (0, 1, 3):
            for value in (0, 1, 37):
                whole = nnlib.ones(n + offset + 5, dtype=dtype)
                part = whole[offset : offset + n]
                part.fill_(value)
                assert (part == nnlib.tensor(value).to(dtype)).all()
                assert (whole[:offset] == 1).all() and (whole[offset + n :] == 1).all()


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_fills_of_foreign_memory_at_any_address(value):
    data = bytearray((17 << 20) + 1)  # larger than what stays in caches
    t = nnlib.frombuffer(data, dtype=nnlib.float32, offset=1)
    t.fill_(value)
    assert data[0] == 0 and (np.frombuffer(data, np.float32, offset=1) == value).all()
