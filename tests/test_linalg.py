"""Triangular factors, pseudo-inverses, least squares and their kin, against NumPy and finite differences."""

import numpy as np
import pytest

import nnlib
from nnlib import linalg
from nnlib.autograd import gradcheck, gradgradcheck
from nnlib.linalg import LinAlgError

F64 = nnlib.float64


def random(*shape, seed=0):
    nnlib.manual_seed(seed)
    return nnlib.randn(*shape, dtype=F64)


def close(a, b, atol=1e-10):
    nnlib.testing.assert_close(a, b, rtol=1e-10, atol=atol)


SHAPES = [(4, 4), (2, 3, 5), (2, 2, 5, 3), (1, 1), (0, 3, 3), (0, 0), (2, 0, 3), (3, 0)]


@pytest.mark.parametrize("shape", SHAPES)
def test_triangular_factors(shape):
    a = random(*shape)
    m, n = shape[-2:]
    for pivot in (True, False):
        p, lower, upper = linalg.lu(a, pivot=pivot)
        assert lower.shape[-2:] == (m, min(m, n)) and upper.shape[-2:] == (min(m, n), n)
        close(p @ lower @ upper if pivot else lower @ upper, a, atol=1e-8)
        assert lower.equal(lower.tril()) and upper.equal(upper.triu())
    p, lower, upper = linalg.lu(a)
    assert (lower.abs() <= 1).all() and (lower.diagonal(0, -2, -1) == 1).all() and (p.sum(-1) == 1).all()
    packed, pivots, info = linalg.lu_factor_ex(a)
    assert pivots.dtype == nnlib.int32 and info.shape == shape[:-2] and not info.any()
    for x, y in zip(nnlib.lu_unpack(packed, pivots), (p, lower, upper), strict=True):
        assert x.equal(y)
    assert nnlib.lu_unpack(packed, pivots, unpack_pivots=False)[0].numel() == 0


@pytest.mark.parametrize("shape", [(3, 3), (2, 3, 4), (4, 2)])
def test_gradients_of_triangular_factors(shape):
    a = random(*shape).requires_grad_()
    assert gradcheck(lambda t: linalg.lu_factor(t)[0], (a,))
    assert gradcheck(lambda t: linalg.lu(t)[1:], (a,))
    assert gradgradcheck(lambda t: linalg.lu_factor(t)[0], (a,))


def test_solutions_from_factors():
    a, b = random(2, 4, 4), random(4, 3, seed=1)
    factors = linalg.lu_factor(a)
    close(a @ linalg.lu_solve(*factors, b), b.expand(2, 4, 3))
    close(a.mT @ linalg.lu_solve(*factors, b, adjoint=True), b.expand(2, 4, 3))
    close(linalg.lu_solve(*factors, b.mT, left=False) @ a, b.mT.expand(2, 3, 4))
    close(linalg.lu_solve(*factors, b.mT, left=False, adjoint=True) @ a.mT, b.mT.expand(2, 3, 4))
    close(nnlib.lu_solve(b, *nnlib.lu(a)), linalg.lu_solve(*factors, b))
    a, b = a.requires_grad_(), b.requires_grad_()
    assert gradcheck(lambda x, y: linalg.lu_solve(*linalg.lu_factor(x), y), (a, b))
    for wrong in (factors[1].long(), factors[1] + 7):
        with pytest.raises(RuntimeError, match="pivots|int32"):
            linalg.lu_solve(factors[0], wrong, b)
    with pytest.raises(RuntimeError, match="Incompatible shapes"):
        linalg.lu_solve(*factors, b[:2])


def test_zero_pivots():
    a = nnlib.stack([nnlib.eye(2), nnlib.ones(2, 2)])
    assert linalg.lu_factor_ex(a).info.tolist() == [0, 2] and nnlib.lu(a, get_infos=True)[2].tolist() == [
        0,
        2,
    ]
    with pytest.raises(LinAlgError, match=r"U\[2,2\] is zero"):
        linalg.lu_factor(a)
    assert linalg.inv_ex(a).info.tolist() == [0, 2] and linalg.inv_ex(a).inverse[0].equal(nnlib.eye(2))
    assert linalg.solve_ex(a, nnlib.ones(2, 2, 1)).info.tolist() == [0, 2]
    b = nnlib.stack([nnlib.eye(3), nnlib.diag(nnlib.tensor([1.0, -1.0, 1.0])), nnlib.zeros(3, 3)])
    factor, info = linalg.cholesky_ex(b)
    assert info.tolist() == [0, 2, 1] and factor[0].equal(nnlib.eye(3)) and factor[1].isnan().all()
    assert linalg.cholesky_ex(nnlib.tensor([[4.0, 2.0], [9.0, 3.0]]), upper=True).info == 0
    for call in (
        lambda: linalg.inv_ex(a, check_errors=True),
        lambda: linalg.solve_ex(a, nnlib.ones(2, 2, 1), check_errors=True),
        lambda: linalg.cholesky_ex(b, check_errors=True),
        lambda: linalg.inv(a),
        lambda: linalg.solve(a, nnlib.ones(2, 2, 1)),
        lambda: linalg.cholesky(b),
    ):
        with pytest.raises(LinAlgError):
            call()
    with pytest.raises(RuntimeError, match="square") as error:
        linalg.inv(nnlib.ones(2, 3))
    assert error.type is RuntimeError


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_triangular_systems(upper, unit):
    a, b = random(2, 4, 4), random(4, 3, seed=1)
    t = a.triu() if upper else a.tril()
    if unit:
        t = t - nnlib.diag_embed(t.diagonal(0, -2, -1)) + nnlib.eye(4, dtype=F64)
    options = {"upper": upper, "unitriangular": unit}
    close(t @ linalg.solve_triangular(a, b, **options), b.expand(2, 4, 3), atol=1e-7)
    close(linalg.solve_triangular(a, b.mT, left=False, **options) @ t, b.mT.expand(2, 3, 4), atol=1e-7)
    function = lambda x, y: linalg.solve_triangular(x, y, **options)  # noqa: E731
    a, b = (a * 0.2 + 2 * nnlib.eye(4, dtype=F64)).requires_grad_(), b.requires_grad_()
    assert gradcheck(function, (a, b)) and gradgradcheck(function, (a, b))
    x, kept = nnlib.triangular_solve(b, a, upper, True, unit)
    assert kept.equal(a.expand(kept.shape))
    close(x, linalg.solve_triangular(a.mT, b, upper=not upper, unitriangular=unit))


def test_cholesky_solutions():
    a, b = random(2, 3, 3), random(3, 2, seed=1)
    a = a @ a.mT + nnlib.eye(3, dtype=F64)
    lower = linalg.cholesky(a)
    for factor, upper in ((lower, False), (lower.mT, True)):
        close(a @ nnlib.cholesky_solve(b, factor, upper), b.expand(2, 3, 2))
        close(nnlib.cholesky_inverse(factor, upper), linalg.inv(a))
    assert gradcheck(nnlib.cholesky_solve, (b.requires_grad_(), lower.detach().requires_grad_()))


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 3), (3, 5), (0, 3), (2, 3, 0)])
def test_pseudo_inverses(shape):
    a = random(*shape)
    close(linalg.pinv(a), nnlib.from_numpy(np.linalg.pinv(a.numpy())) if a.numel() else a.mT)
    if a.numel():
        low = a[..., :1] @ a[..., :1, :]  # of rank 1
        close(linalg.pinv(low), nnlib.from_numpy(np.linalg.pinv(low.numpy(), rcond=1e-12)), atol=1e-8)
        a.requires_grad_()
        assert gradcheck(linalg.pinv, (a,)) and gradgradcheck(linalg.pinv, (a,))


def test_ranks_and_tolerances():
    d = nnlib.diag(nnlib.tensor([1.0, 0.1, 0.001]))
    assert linalg.matrix_rank(nnlib.stack([d, nnlib.ones(3, 3), 0 * d])).tolist() == [3, 1, 0]
    assert linalg.matrix_rank(d, 0.01) == 2 and linalg.matrix_rank(d, rtol=0.5) == 1
    assert linalg.matrix_rank(-d, atol=0.01, hermitian=True) == 2 and linalg.matrix_rank(
        nnlib.zeros(2, 0, 3)
    ).tolist() == [0, 0]
    assert linalg.pinv(d, rtol=0.01)[2, 2] == 0 and linalg.pinv(d, atol=0.5)[1, 1] == 0
    assert linalg.pinv(d, atol=nnlib.tensor(0.5))[1, 1] == 0 and nnlib.pinverse(d, 0.5)[1, 1] == 0
    close(linalg.pinv(-d, hermitian=True), -linalg.pinv(d), atol=1e-3)


@pytest.mark.parametrize("p", [None, 2, -2, "fro", "nuc", 1, -1, np.inf, -np.inf])
def test_conditions(p):
    a = random(2, 3, 3)
    expected = [np.linalg.cond(m, p) for m in a.numpy()]
    close(linalg.cond(a, p), nnlib.tensor(expected, dtype=F64), atol=1e-8)
    assert (
        linalg.cond(nnlib.zeros(2, 2) + (0 if p == -2 else nnlib.tensor([[1.0, 0], [0, 0]])), p) > 1e6
        or p == -2
    )


def test_wrong_conditions():
    for p in (3, "x"):
        with pytest.raises(RuntimeError, match="invalid norm type"):
            linalg.cond(nnlib.ones(2, 2), p)
    with pytest.raises(RuntimeError, match="square"):
        linalg.cond(nnlib.ones(2, 3), "fro")


@pytest.mark.parametrize("driver", [None, "gels", "gelsd", "gelss"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (3, 3)])
def test_least_squares(driver, shape):
    a, b = random(*shape), random(shape[0], 2, seed=1)
    solution, residuals, rank, values = linalg.lstsq(a, b, driver=driver)
    expected = np.linalg.lstsq(a.numpy(), b.numpy(), rcond=None)
    close(solution, nnlib.from_numpy(expected[0]))
    if shape == (5, 3) and driver is not None:
        close(residuals, nnlib.from_numpy(expected[1]))
    else:
        assert residuals.numel() == 0
    assert rank.numel() == 0 if driver == "gels" else rank == 3
    assert (values.numel() == 3) == (driver in ("gelsd", "gelss"))
    close(linalg.lstsq(a, b[:, 0], driver=driver).solution, solution[:, 0])
    assert gradcheck(
        lambda x, y: linalg.lstsq(x, y, driver=driver).solution, (a.requires_grad_(), b.requires_grad_())
    )


def test_least_squares_that_do_not_fit():
    with pytest.raises(RuntimeError, match=r"size\(-2\) should match"):
        linalg.lstsq(nnlib.ones(3, 2), nnlib.ones(2, 2))
    with pytest.raises(RuntimeError, match="driver"):
        linalg.lstsq(nnlib.ones(3, 2), nnlib.ones(3, 2), driver="qr")
    with pytest.raises(RuntimeError, match="same dtype"):
        linalg.lstsq(nnlib.ones(3, 2), nnlib.ones(3, 2, dtype=F64))


def test_exponentials():
    angle = nnlib.tensor(3.0, dtype=F64)
    turn = linalg.matrix_exp(nnlib.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64) * angle)
    close(turn, nnlib.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).reshape(2, 2))
    a = random(3, 3)
    values, vectors = linalg.eigh(a + a.mT)
    batch = nnlib.stack([a + a.mT, 0 * a, 40 * nnlib.eye(3, dtype=F64), -3 * nnlib.eye(3, dtype=F64)])
    result = nnlib.matrix_exp(batch)
    close(result[0], vectors @ nnlib.diag(values.exp()) @ vectors.mT, atol=1e-9)
    assert result[1].equal(nnlib.eye(3, dtype=F64))
    close(result[2:].diagonal(0, 1, 2)[:, 0], nnlib.tensor([40.0, -3.0], dtype=F64).exp())
    assert gradcheck(linalg.matrix_exp, (a.requires_grad_(),)) and gradgradcheck(linalg.matrix_exp, (a,))
    assert nnlib.zeros(0, 2, 2).matrix_exp().shape == (0, 2, 2)
    assert nnlib.matrix_exp(nnlib.full((1, 1), float("inf"))) == float("inf")


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (3, 3)])
def test_reflections(shape):
    a = random(*shape)
    packed, tau = nnlib.geqrf(a)
    q = nnlib.orgqr(packed[..., : tau.shape[-1]], tau)
    close(q @ packed.triu()[..., : q.shape[-1], :], a)
    close(q.mT @ q, nnlib.eye(q.shape[-1], dtype=F64).expand((q.mT @ q).shape))
    other = random(*shape[:-2], shape[-2], 2, seed=1)
    whole = nnlib.ormqr(packed[..., : tau.shape[-1]], tau, other)
    close(nnlib.ormqr(packed[..., : tau.shape[-1]], tau, whole, transpose=True), other)
    close(nnlib.ormqr(packed[..., : tau.shape[-1]], tau, other.mT, left=False, transpose=True), whole.mT)
    if shape[-2] >= shape[-1]:
        inputs = (packed.requires_grad_(), tau.requires_grad_())
        assert gradcheck(linalg.householder_product, inputs)


def test_reflections_with_nothing_to_do():
    packed, tau = nnlib.geqrf(nnlib.eye(3))
    assert packed.equal(nnlib.eye(3)) and tau.tolist() == [0, 0, 0]
    for a, t in (
        (nnlib.ones(2, 3), nnlib.ones(2)),
        (nnlib.ones(3, 2), nnlib.ones(3)),
        (nnlib.ones(2, 3, 2), nnlib.ones(2)),
    ):
        with pytest.raises(RuntimeError, match="householder_product"):
            linalg.householder_product(a, t)


def test_powers_and_tensors():
    x = nnlib.tensor([[1.0, 2.0, 3.0]], dtype=F64)
    assert np.array_equal(linalg.vander(x, N=4)[0].numpy(), np.vander(x[0].numpy(), 4, increasing=True))
    assert gradcheck(linalg.vander, (x.requires_grad_(),))
    with pytest.raises(RuntimeError, match="greater than 1"):
        linalg.vander(x, N=1)
    a, b = random(2, 3, 6), random(2, 3, seed=1)
    close(linalg.tensorinv(a), nnlib.from_numpy(np.linalg.tensorinv(a.numpy())))
    close(linalg.tensorsolve(a, b), nnlib.from_numpy(np.linalg.tensorsolve(a.numpy(), b.numpy())))
    moved = a.permute(2, 0, 1)
    close(linalg.tensorsolve(moved, b, dims=(0,)), linalg.tensorsolve(a, b))
    assert gradcheck(linalg.tensorsolve, (a.requires_grad_(), b.requires_grad_()))
    with pytest.raises(RuntimeError, match="prod"):
        linalg.tensorinv(nnlib.ones(2, 3), ind=1)
    with pytest.raises(LinAlgError):
        linalg.tensorinv(nnlib.zeros(2, 2), ind=1)


def test_older_names():
    a = random(4, 3)
    u, s, v = nnlib.svd(a)
    close(u @ nnlib.diag(s) @ v.t(), a)
    assert a.svd(some=False)[0].shape == (4, 4) and not nnlib.svd(a, compute_uv=False).U.any()
    q, r = a.qr()
    close(q @ r, a)
    assert nnlib.qr(a, some=False).Q.shape == (4, 4)
    out = nnlib.empty((0,), dtype=F64), nnlib.empty((0,), dtype=F64)
    assert nnlib.qr(a, out=out).R is out[1] and out[1].equal(r)


@pytest.mark.parametrize("n", [1, 2, 5, 33])
@pytest.mark.parametrize("kind", ["random", "diagonal", "repeated", "tiny", "none"])
def test_symmetric_matrices_of_every_kind(n, kind):
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, n))
    q = np.linalg.qr(a)[0]
    a = {
        "random": a + a.T,
        "diagonal": np.diag(a[0]),
        "repeated": q @ np.diag(np.repeat([1.0, 2.0, -5.0], n)[:n]) @ q.T,
        "tiny": 1e-8 * np.eye(n)[:, ::-1],
        "none": np.zeros((n, n)),
    }[kind]
    a = (a + a.T) / 2
    values, vectors = (t.numpy() for t in nnlib.linalg.eigh(nnlib.tensor(a)))
    scale = 1e-13 * n * max(1, np.abs(a).max())
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a), atol=scale)
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, a, atol=scale)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), atol=1e-13 * n)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3), (2, 3, 0), (0, 0)])
@pytest.mark.parametrize("order", [1, 2, float("inf")])
def test_norms_of_matrices_without_rows_or_columns_are_zero(shape, order):
    got = nnlib.linalg.matrix_norm(nnlib.zeros(shape), order)
    assert got.shape == shape[:-2] and not got.any()
    assert nnlib.linalg.matrix_norm(nnlib.zeros(shape), order, keepdim=True).shape == (*shape[:-2], 1, 1)
