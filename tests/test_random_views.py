"""Operators on views with gaps, turned and broadcast by chance, beside NumPy on the same views.

Values are compared, and that nothing outside of a view is written."""

import numpy as np
import pytest

import nnlib

WRITING = {
    "add_": (lambda x, y: x.add_(y), lambda x, y: x + y),
    "sub_": (lambda x, y: x.sub_(y), lambda x, y: x - y),
    "mul_": (lambda x, y: x.mul_(y), lambda x, y: x * y),
    "copy_": (lambda x, y: x.copy_(y), lambda x, y: np.broadcast_to(y, x.shape)),
    "fill_": (lambda x, y: x.fill_(3), lambda x, y: np.full(x.shape, 3)),
    "clamp_": (lambda x, y: x.clamp_(-1, 4), lambda x, y: x.clip(-1, 4)),
    "addcmul_": (lambda x, y: x.addcmul_(y, y, value=2), lambda x, y: x + 2 * y * y),
    "masked_fill_": (lambda x, y: x.masked_fill_(y > 1, 7), lambda x, y: np.where(y > 1, 7, x)),
    "set": (lambda x, y: x.__setitem__(..., y), lambda x, y: np.broadcast_to(y, x.shape)),
}
READING = {
    "clone": (lambda x, y: x.clone(), lambda x, y: x),
    "maximum": (lambda x, y: nnlib.maximum(x, y), np.maximum),
    "where": (lambda x, y: nnlib.where(x > y, x, y), np.maximum),
    "less": (lambda x, y: x < y, np.less),
    "sum": (lambda x, y: x.sum(0), lambda x, y: x.sum(0)),
    "last sum": (lambda x, y: x.sum(-1), lambda x, y: x.sum(-1)),
    "amax": (lambda x, y: x.amax(-1), lambda x, y: x.max(-1)),
    "argmin": (lambda x, y: x.argmin(0), lambda x, y: x.argmin(0)),
    "cumsum": (lambda x, y: x.cumsum(0), lambda x, y: x.cumsum(0)),
    "order": (lambda x, y: x.sort(dim=-1, stable=True)[1], lambda x, y: x.argsort(-1, kind="stable")),
    "flip": (lambda x, y: x.flip(*{0, x.dim() - 1}), lambda x, y: np.flip(x, sorted({0, x.ndim - 1}))),
    "transposed": (lambda x, y: x.transpose(0, -1).contiguous(), lambda x, y: x.swapaxes(0, -1)),
    "cat": (lambda x, y: nnlib.cat([x, x], 0), lambda x, y: np.concatenate([x, x], 0)),
    "chosen": (lambda x, y: x[x > 2], lambda x, y: x[x > 2]),
}


def view_of(rng, sizes, dtype):
    """The same whole numbers as a view of NumPy's and one of nnlib's, and what they are views of."""
    order = rng.permutation(len(sizes))
    step, start = rng.integers(1, 3, len(sizes)), rng.integers(0, 2, len(sizes))
    whole = [0] * len(sizes)
    for dim, place in enumerate(order):
        whole[place] = int(start[dim] + sizes[dim] * step[dim])
    a = rng.integers(-5, 6, whole).astype("float64")
    b = nnlib.from_numpy(a.copy()).to(getattr(nnlib, dtype))
    cut = tuple(slice(int(s), int(s + n * t), int(t)) for s, n, t in zip(start, sizes, step, strict=True))
    return a, a.transpose(order)[cut], b, b.permute(*order.tolist())[cut]


def sizes_of(rng):
    most = rng.choice([4, 9, 70])
    sizes = rng.integers(1, most, rng.integers(1, 5)).tolist()
    while np.prod(sizes) > 40000:
        sizes[int(np.argmax(sizes))] //= 2
    return sizes


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int16"])
@pytest.mark.parametrize("name", [*WRITING, *READING])
def test_views_of_any_kind(name, dtype):
    rng = np.random.default_rng([*name.encode(), *dtype.encode()])
    for _ in range(12):
        sizes = sizes_of(rng)
        whole, x, our_whole, ours = view_of(rng, sizes, dtype)
        shared = [1 if rng.random() < 0.2 else n for n in sizes]
        _, y, _, our_y = view_of(rng, shared[rng.integers(0, 2) :] or [1], dtype)
        assert tuple(ours.shape) == x.shape and ours.double().numpy().tolist() == x.tolist()
        if name in WRITING:
            ours_does, expected = WRITING[name]
            ours_does(ours, our_y)
            x[...] = expected(x, y)
            np.testing.assert_array_equal(our_whole.double().numpy(), whole, str(sizes))
        else:
            ours_does, expected = READING[name]
            got, want = ours_does(ours, our_y).double().numpy(), np.asarray(expected(x, y), "float64")
            assert got.shape == want.shape
            # Sums of many whole numbers are rounded to 8 bits where that is the type.
            tolerance = 2**-7 if dtype == "bfloat16" else 0
            np.testing.assert_allclose(got, want, rtol=tolerance, err_msg=str(sizes))
