"""Kinds of arguments: TypeErrors of functions written in Python, orders that operators once had, numbers alone."""

import pickle

import pytest

import nnlib
import nnlib.nn.functional as F

ONE = nnlib.ones(2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nnlib.kron(ONE, 3), r"kron\(\): argument 'other' \(position 2\) must be Tensor, not int"),
        (lambda: ONE.kron(None), "kron.*must be Tensor, not NoneType"),
        (lambda: nnlib.angle([1.0]), "angle.*must be Tensor, not list"),
        (lambda: nnlib.frexp(2), "frexp.*must be Tensor, not int"),
        (lambda: nnlib.cholesky_solve(ONE, 3), "cholesky_solve.*argument 'L'"),
        (lambda: nnlib.linalg.tensorsolve(ONE, "x"), "argument 'B'.*not str"),
        (lambda: nnlib.linalg.diagonal(2.5), "diagonal.*not float"),
        (lambda: nnlib.select_scatter(ONE, 1, 0, 0), "argument 'src'"),
        (lambda: nnlib.view_copy(2, (1,)), "view_copy.*must be Tensor"),
        (lambda: nnlib.igamma(2, ONE), "igamma"),
        (lambda: F.grid_sample(ONE, 2), "argument 'grid'"),
        (lambda: F.soft_margin_loss(ONE, 2.0), "argument 'target'"),
        (lambda: nnlib.special.legendre_polynomial_p(2, 3), "one of input and n"),
        (lambda: nnlib.hann_window("x"), "hann_window|str"),
        (lambda: nnlib.pow(2, 3), "one of 'input' and 'exponent' must be Tensor"),
        (lambda: nnlib.bitwise_and(1, 2), "must be Tensor"),
        (lambda: nnlib.hypot(ONE, 2), "must be Tensor"),
        (lambda: nnlib.ldexp(ONE, 2), "must be Tensor"),
        (lambda: nnlib.copysign(1, ONE), "must be Tensor"),
    ],
)
def test_types_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_other_errors_stay():
    with pytest.raises(RuntimeError, match="square"):
        nnlib.linalg.matrix_exp(nnlib.ones(2, 3))
    assert pickle.loads(pickle.dumps(F.grid_sample)) is F.grid_sample
    assert pickle.loads(pickle.dumps(nnlib.kron)) is nnlib.kron


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (lambda: ONE.clone().add_(2, ONE), lambda: ONE.add(ONE, alpha=2)),
        (lambda: nnlib.add(ONE, 2, 3), lambda: nnlib.add(ONE, 3, alpha=2)),
        (lambda: ONE.sub(2, ONE), lambda: ONE.sub(ONE, alpha=2)),
        (lambda: ONE.clone().addcmul_(0.5, ONE, ONE), lambda: ONE.addcmul(ONE, ONE, value=0.5)),
        (lambda: ONE.addcdiv(3, ONE, ONE), lambda: ONE.addcdiv(ONE, ONE, value=3)),
        (
            lambda: nnlib.addmm(0.5, ONE, 2, ONE, ONE),
            lambda: nnlib.addmm(ONE, ONE, ONE, beta=0.5, alpha=2),
        ),
        (lambda: ONE.clone().addmm_(0.5, ONE, ONE), lambda: ONE.addmm(ONE, ONE, beta=0.5)),
        (lambda: ONE[0].addmv(0.5, 3, ONE, ONE[0]), lambda: ONE[0].addmv(ONE, ONE[0], beta=0.5, alpha=3)),
    ],
)
def test_factors_once_came_first(older, newer):
    with pytest.warns(UserWarning, match="deprecated"):
        result = older()
    assert result.tolist() == newer().tolist()


def test_no_older_order():
    with pytest.raises(TypeError, match="positional"):
        nnlib.mul(ONE, 2, ONE)
    with pytest.raises(TypeError, match="positional"):
        ONE.add(2, ONE, ONE)


@pytest.mark.parametrize(
    "call",
    [
        lambda **out: nnlib.nonzero(ONE, **out),
        lambda **out: nnlib.angle(ONE, **out),
        lambda **out: nnlib.slice_scatter(ONE, ONE[:1], 0, 0, 1, **out),
        lambda **out: nnlib.linalg.norm(ONE, 1, **out),
        lambda **out: nnlib.linalg.svd(ONE, **out),
        lambda **out: nnlib.linalg.lu_factor_ex(ONE + nnlib.eye(2), **out),
        lambda **out: nnlib.kron(ONE, ONE, **out),
        lambda **out: nnlib.cross(ONE.new_ones(2, 3), ONE.new_zeros(2, 3), dim=1, **out),
        lambda **out: nnlib.linalg.slogdet(ONE + nnlib.eye(2), **out),
        lambda **out: nnlib.linalg.inv(ONE + nnlib.eye(2), **out),
        lambda **out: nnlib.index_add(ONE, 0, nnlib.tensor([1]), ONE[:1], **out),
        lambda **out: F.gelu(ONE, **out),
        lambda **out: F.linear(ONE, ONE, **out),
        lambda **out: F.avg_pool2d(ONE[None], 2, **out),
    ],
)
def test_results_go_to_out(call):
    result = call()
    one = isinstance(result, nnlib.Tensor)
    parts = [result] if one else list(result)
    places = [nnlib.empty_like(r) for r in parts]
    given = call(out=places[0] if one else tuple(places))
    assert [r.tolist() for r in parts] == [p.tolist() for p in places]
    assert given is places[0] if one else all(g is p for g, p in zip(given, places, strict=True))


def test_numbers_wrap_before_they_are_compared():
    byte, small = (nnlib.tensor([1, 200], dtype=nnlib.uint8), nnlib.tensor([1, 100], dtype=nnlib.int8))
    below = nnlib.tensor(-1)
    assert nnlib.maximum(byte, below).tolist() == [255, 255]
    assert nnlib.minimum(byte, below).tolist() == [1, 200]
    assert nnlib.maximum(small, nnlib.tensor(300)).tolist() == [44, 100]
    assert (byte // below).tolist() == [0, 0] and (byte % nnlib.tensor(-3)).tolist() == [1, 200]


def test_forms_that_pytorch_takes():
    assert nnlib.zeros(2).copy_(3).tolist() == [3, 3]
    assert nnlib.equal(nnlib.tensor([1.0]), nnlib.tensor([1])) and not nnlib.equal(ONE, ONE[0].int())
    assert ONE.amax(None).item() == 1 and ONE.amin(dim=None).item() == 1
    assert nnlib.zeros(0, 2).any(dim=[]).shape == (0, 2) and ONE.all(dim=()).tolist() == [[True] * 2] * 2
    assert nnlib.norm(ONE, "nuc").item() == pytest.approx(2)
    assert nnlib.norm(nnlib.ones(3, 2, 3), "nuc", dim=(0, 2), keepdim=True).shape == (1, 2, 1)
    out = nnlib.empty(())
    assert nnlib.norm(ONE, 2, out=out) is out and out.item() == 2
    narrow = nnlib.ones(2, 2, dtype=nnlib.int32)
    assert nnlib.einsum("ij,kl->ikl", narrow, narrow).tolist() == [[[2, 2]] * 2] * 2
    assert nnlib.einsum("ij,ijk->ij", narrow, nnlib.ones(2, 2, 3, dtype=nnlib.int32)).tolist() == [[3, 3]] * 2
    assert nnlib.tensordot(narrow[:1], narrow, ([0], [0])).dtype == nnlib.int32
    assert nnlib.einsum("ijk,ik->j", narrow[None], narrow[:1]).dtype == nnlib.int32
    assert narrow.sum_to_size(2).dtype == nnlib.int64 and narrow.sum_to_size(2, 2).dtype == nnlib.int32
    assert nnlib.ones(3).cumprod(0, dtype=nnlib.uint8).dtype == nnlib.uint8
    assert nnlib.tensor([1.0, float("nan")]).nansum(dtype=nnlib.int32).dtype == nnlib.int32
    assert nnlib.heaviside(nnlib.tensor([float("nan"), 0.0]), nnlib.tensor(0.5)).tolist() == [0, 0.5]
    with pytest.warns(DeprecationWarning):
        assert F.mse_loss(ONE, 0 * ONE, 0).item() == 4  # size_average=0
    x = nnlib.ones(3, requires_grad=True)
    (x * 2).i0_().sum().backward()
    assert x.grad.tolist() == pytest.approx((2 * nnlib.special.i1(nnlib.full((3,), 2.0))).tolist())
