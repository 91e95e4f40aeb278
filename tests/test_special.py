"""Special functions: against each other's identities, known values and 40 digits where mpmath is there."""

import math

import pytest

import nnlib
from nnlib import special

F64 = nnlib.float64


def places(*ends, count=400):
    nnlib.manual_seed(0)
    low, high = ends
    return nnlib.rand(count, dtype=F64) * (high - low) + low


def close(actual, expected, error, relative=True):
    scale = expected.abs() if relative else 1.0
    worst = float(((actual - expected).abs() / scale).max())
    assert worst < error, worst


POSITIVE = nnlib.cat([places(0.01, 8), places(8, 60), nnlib.tensor([1e-6, 2.0, 8.0, 1000.0], dtype=F64)])


def test_the_wronskian_of_bessel_functions():
    x = POSITIVE
    close(
        special.bessel_j1(x) * special.bessel_y0(x) - special.bessel_j0(x) * special.bessel_y1(x),
        2 / (math.pi * x),
        2e-13,
    )


def test_the_wronskian_of_modified_bessel_functions():
    x = POSITIVE
    product = special.i0e(x) * special.scaled_modified_bessel_k1(x)
    close(product + special.i1e(x) * special.scaled_modified_bessel_k0(x), 1 / x, 1e-14)
    x = x[x < 300]
    close(special.modified_bessel_i0(x) * (-x).exp(), special.i0e(x), 1e-13)
    close(special.modified_bessel_k1(x) * x.exp(), special.scaled_modified_bessel_k1(x), 1e-13)


def test_airy_solves_its_equation():
    """Ai'' = x Ai, by differences."""
    x = places(-12, 3)
    h = 1e-3
    second = (special.airy_ai(x + h) - 2 * special.airy_ai(x) + special.airy_ai(x - h)) / h**2
    close(second, x * special.airy_ai(x), 2e-4, relative=False)


KNOWN = [  # computed with 30 digits
    ("i0", 1.0, 1.2660658777520084), ("i1", 1.0, 0.565159103992485), ("i0", 20.0, 43558282.559553534),
    ("bessel_j0", 10.0, -0.24593576445134835), ("bessel_j1", 10.0, 0.04347274616886144),
    ("bessel_y0", 1.0, 0.08825696421567696), ("bessel_y1", 1.0, -0.7812128213002887),
    ("modified_bessel_k0", 1.0, 0.42102443824070834), ("modified_bessel_k1", 1.0, 0.6019072301972346),
    ("airy_ai", 0.0, 0.3550280538878172), ("airy_ai", 5.0, 0.00010834442813607442),
    ("airy_ai", -10.0, 0.04024123848644319), ("spherical_bessel_j0", 0.5, 0.958851077208406),
    ("erfcx", 1.0, 0.427583576155807), ("erfcx", 20.0, 0.02817434874105132), ("erfcx", -2.0, 108.94090438997797),
    ("ndtr", -1.0, 0.15865525393145705), ("log_ndtr", -30.0, -454.3212439563432),
    ("ndtri", 0.975, 1.9599639845400538), ("ndtri", 1e-20, -9.262340089798407), ("entr", 0.5, 0.34657359027997264),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "value"), KNOWN)
def test_known_values(name, x, value):
    result = getattr(special, name)(nnlib.tensor(x, dtype=F64)).item()
    assert abs(result - value) < 1e-14 * max(1, abs(value))
    narrow = nnlib.tensor(x)
    assert getattr(special, name)(narrow).equal(getattr(special, name)(narrow.double()).float())


DIFFERENTIABLE = {
    "i0": (-9, 9), "i0e": (-9, 9), "i1": (-9, 9), "i1e": (-9, 9), "bessel_j0": (-12, 12), "bessel_j1": (-12, 12),
    "bessel_y0": (0.5, 12), "bessel_y1": (0.5, 12), "modified_bessel_k0": (0.5, 5), "modified_bessel_k1": (0.5, 5),
    "scaled_modified_bessel_k0": (0.5, 5), "scaled_modified_bessel_k1": (0.5, 5), "spherical_bessel_j0": (-9, 9),
    "erfcx": (-2, 9), "ndtr": (-3, 3), "log_ndtr": (-5, 3), "ndtri": (0.01, 0.99), "entr": (0.1, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_both_orders(name):
    x = places(*DIFFERENTIABLE[name], count=7).requires_grad_()
    assert nnlib.autograd.gradcheck(getattr(special, name), (x,))
    assert nnlib.autograd.gradgradcheck(getattr(special, name), (x,))


def test_airy_has_no_gradient():
    with pytest.raises(NotImplementedError, match="airy_ai"):
        special.airy_ai(nnlib.ones(2, requires_grad=True)).sum().backward()


def test_incomplete_gamma_of_whole_and_half_orders():
    x = places(0.01, 40)
    for n in (1, 2, 5, 30):  # Q(n, x) = exp(-x) sum of x^k / k! for k < n
        expected = sum((-x + k * x.log() - math.lgamma(k + 1)).exp() for k in range(n))
        a = nnlib.tensor(float(n), dtype=F64)
        close(special.gammaincc(a, x), expected, 1e-13, relative=False)
        close(special.gammainc(a, x), 1 - expected, 1e-13, relative=False)
    close(nnlib.igamma(nnlib.tensor(0.5, dtype=F64), x), x.sqrt().erf(), 1e-13)


def test_incomplete_gamma_of_large_orders():
    """The recurrence P(a + 1, x) = P(a, x) - x^a exp(-x) / gamma(a + 1), across the change of method at 10,000."""
    for a in (50.0, 3000.0, 9999.5, 20000.0, 1e6):
        a = nnlib.tensor(a, dtype=F64)
        x = a * (1 + nnlib.linspace(-4, 4, 33, dtype=F64) / a.sqrt())
        u = (x - a) / a
        stirling = 1 / (12 * a) - 1 / (360 * a**3)
        step = (a * (u.log1p() - u) - stirling).exp() / (2 * math.pi * a).sqrt()
        close(nnlib.igamma(a, x) - nnlib.igamma(a + 1, x), step, 2e-12, relative=False)
        close(nnlib.igamma(a, x) + nnlib.igammac(a, x), nnlib.ones_like(x), 1e-12)


def test_incomplete_gamma_at_the_ends():
    inf, nan = math.inf, math.nan
    a = nnlib.tensor([0.0, 0.0, 2.0, 2.0, inf, inf, -1.0, 1.0, nan])
    x = nnlib.tensor([0.0, 1.0, 0.0, inf, 1.0, inf, 1.0, -1.0, 1.0])
    expected = [nan, 1.0, 0.0, 1.0, 0.0, nan, nan, nan, nan]
    for p, q, e in zip(nnlib.igamma(a, x).tolist(), nnlib.igammac(a, x).tolist(), expected, strict=True):
        assert (math.isnan(e) and math.isnan(p) and math.isnan(q)) or (p == e and q == 1 - e)


def test_gradients_of_functions_of_two():
    x = places(0.5, 3, count=4).requires_grad_()
    a = places(0.5, 3, count=3).unsqueeze(1)
    assert nnlib.autograd.gradcheck(lambda t: nnlib.igamma(a, t), (x,))
    assert nnlib.autograd.gradcheck(lambda t: nnlib.igammac(a, t), (x,))
    assert nnlib.autograd.gradcheck(lambda t: special.zeta(a + 1, t), (x,))
    y = places(0.5, 3, count=4).requires_grad_()
    assert nnlib.autograd.gradcheck(special.xlog1py, (x, y))
    assert nnlib.autograd.gradcheck(lambda t: nnlib.mvlgamma(t, 2), (x,))
    with pytest.raises(NotImplementedError, match="igamma: input"):
        nnlib.igamma(x, y.detach()).sum().backward()
    with pytest.raises(NotImplementedError, match="zeta: self"):
        special.zeta(x + 1, y.detach()).sum().backward()


def test_zeta():
    s = nnlib.tensor([2.0, 4.0, 6.0], dtype=F64)
    expected = nnlib.tensor([math.pi**2 / 6, math.pi**4 / 90, math.pi**6 / 945], dtype=F64)
    close(special.zeta(s, 1), expected, 1e-15)
    q = places(-3, 30)
    size = special.zeta(3, q).abs() + special.zeta(3, q + 1).abs() + q.abs() ** -3
    close((special.zeta(3, q) - special.zeta(3, q + 1)) / size, q**-3 / size, 1e-14, relative=False)
    q = q.abs() + 0.1
    close(special.zeta(2.5, q) - special.zeta(2.5, q + 1), q**-2.5, 1e-12)
    assert special.zeta(nnlib.tensor([1.0, 2.0, 3.0]), nnlib.tensor([2.0, 0.0, -1.0])).isinf().all()
    assert special.zeta(nnlib.tensor([0.5, 2.5]), nnlib.tensor([2.0, -0.5])).isnan().all()


def test_mvlgamma():
    x = places(2, 9)
    expected = x.lgamma() + (x - 0.5).lgamma() + (x - 1).lgamma() + 1.5 * math.log(math.pi)
    close(nnlib.mvlgamma(x, 3), expected, 1e-14, relative=False)
    with pytest.raises(RuntimeError, match="greater than or equal to 1"):
        x.mvlgamma(0)


def test_polynomials():
    angle = places(0.1, 3)
    x = angle.cos()
    for n in (0, 1, 2, 7, 30):
        half, k = angle / 2, n + 0.5
        for name, expected in (
            ("t", (n * angle).cos()),
            ("u", ((n + 1) * angle).sin() / angle.sin()),
            ("v", (k * angle).cos() / half.cos()),
            ("w", (k * angle).sin() / half.sin()),
        ):
            close(getattr(special, f"chebyshev_polynomial_{name}")(x, n), expected, 1e-11, relative=False)
            shifted = getattr(special, f"shifted_chebyshev_polynomial_{name}")((x + 1) / 2, n)
            close(shifted, expected, 1e-11, relative=False)
    y, degrees = places(-3, 3, count=5).unsqueeze(1), nnlib.tensor([-1, 0, 2, 3])
    one = nnlib.ones_like(y)
    for name, square, cube in (
        ("hermite_polynomial_h", 4 * y**2 - 2, 8 * y**3 - 12 * y),
        ("hermite_polynomial_he", y**2 - 1, y**3 - 3 * y),
        ("laguerre_polynomial_l", (y**2 - 4 * y + 2) / 2, (-(y**3) + 9 * y**2 - 18 * y + 6) / 6),
        ("legendre_polynomial_p", (3 * y**2 - 1) / 2, (5 * y**3 - 3 * y) / 2),
    ):
        expected = nnlib.cat([0 * one, one, square, cube], 1)
        close(getattr(special, name)(y, degrees), expected, 1e-13, relative=False)


def test_types_and_errors():
    for dtype in (nnlib.float16, nnlib.bfloat16, nnlib.float32, F64):
        assert special.i0(nnlib.ones(2, dtype=dtype)).dtype == dtype
    assert nnlib.i0(nnlib.tensor([1, 2])).dtype == nnlib.float32
    assert special.i0(nnlib.zeros(0, 3)).shape == (0, 3) and special.zeta(2, nnlib.zeros(0)).shape == (0,)
    x = nnlib.tensor([1.0, 2.0])
    assert x.clone().i0_().equal(nnlib.i0(x))
    out = nnlib.empty((0,))
    assert special.ndtr(x, out=out) is out and out.equal(special.ndtr(x))
    with pytest.raises(RuntimeError, match="can't be cast"):
        special.i0(x, out=nnlib.zeros(2, dtype=nnlib.int64))
    with pytest.raises(RuntimeError, match="can't be cast"):
        nnlib.tensor([1, 2]).i0_()
    with pytest.raises(TypeError, match="Tensor"):
        special.i0(1.0)
    with pytest.raises(TypeError, match="argument 'input' must be Tensor"):
        nnlib.igamma(2.0, x)


DIGITS = {
    "i0": lambda mp, x: mp.besseli(0, x), "i1e": lambda mp, x: mp.besseli(1, x) * mp.exp(-x),
    "modified_bessel_k0": lambda mp, x: mp.besselk(0, x), "modified_bessel_k1": lambda mp, x: mp.besselk(1, x),
    "erfcx": lambda mp, x: mp.exp(x * x) * mp.erfc(x), "airy_ai": lambda mp, x: mp.airyai(x / 20),
    "log_ndtr": lambda mp, x: mp.log(mp.erfc(x / mp.sqrt(2)) / 2),
}  # fmt: skip


@pytest.mark.parametrize("name", DIGITS)
def test_relative_errors_as_stated(name):
    mp = pytest.importorskip("mpmath")
    scale = {"airy_ai": 1 / 20, "log_ndtr": -1.0}.get(name, 1.0)
    x = places(0.01, 60, count=80)
    with mp.workdps(40):
        for value, at in zip(getattr(special, name)(x * scale).tolist(), x.tolist(), strict=True):
            true = DIGITS[name](mp, mp.mpf(at))
            assert abs(mp.mpf(value) - true) < 5e-15 * max(1, abs(at * scale)) * abs(true)
