"""Distributions: densities sum to one, samples and entropies follow them, and PyTorch's say the same."""

import math

import pytest

import nnlib
import nnlib.distributions as dist
from nnlib.distributions import constraints, transforms

MATRIX = [[2.0, 0.5], [0.5, 1.0]]
# Name: how to make it of the library's tensors, and values at which densities are compared.
MAKERS = {
    "normal": (lambda d, t: d.Normal(t([0.0, 1.0]), t([1.0, 2.0])), [0.3, -1.0]),
    "laplace": (lambda d, t: d.Laplace(t([0.0, 1.0]), t([1.0, 0.5])), [0.3, -2.0]),
    "gumbel": (lambda d, t: d.Gumbel(t([0.0, 1.0]), t([1.0, 0.5])), [0.3, 2.0]),
    "cauchy": (lambda d, t: d.Cauchy(t([0.0, 1.0]), t([1.0, 0.5])), [0.3, -2.0]),
    "log normal": (lambda d, t: d.LogNormal(t([0.0, 0.3]), t([0.5, 0.4])), [0.3, 2.0]),
    "uniform": (lambda d, t: d.Uniform(t([0.0, -1.0]), t([1.0, 3.0])), [0.3, 2.0]),
    "exponential": (lambda d, t: d.Exponential(t([0.5, 2.0])), [0.3, 2.0]),
    "bernoulli": (lambda d, t: d.Bernoulli(t([0.2, 0.7])), [1.0, 0.0]),
    "bernoulli of logits": (lambda d, t: d.Bernoulli(logits=t([0.2, -0.7])), [1.0, 0.0]),
    "geometric": (lambda d, t: d.Geometric(t([0.3, 0.9])), [3.0, 0.0]),
    "poisson": (lambda d, t: d.Poisson(t([3.0, 0.4])), [3.0, 0.0]),
    "categorical": (lambda d, t: d.Categorical(t([[0.2, 0.3, 0.5], [2.0, 1.0, 1.0]])), [2, 0]),
    "categorical of logits": (lambda d, t: d.Categorical(logits=t([0.2, -0.3, 0.5])), [2, 0]),
    "one hot": (lambda d, t: d.OneHotCategorical(t([0.2, 0.8])), [0.0, 1.0]),
    "multinomial": (lambda d, t: d.Multinomial(4, t([0.25, 0.75])), [1.0, 3.0]),
    "several normal": (lambda d, t: d.MultivariateNormal(t([0.0, 1.0]), t(MATRIX)), [0.3, 2.0]),
    "of precision": (
        lambda d, t: d.MultivariateNormal(t([0.0, 1.0]), precision_matrix=t(MATRIX)),
        [0.3, 2.0],
    ),
    "independent": (lambda d, t: d.Independent(d.Normal(t([0.0, 1.0]), 2.0), 1), [0.3, 2.0]),
    "tanh of normal": (
        lambda d, t: d.TransformedDistribution(
            d.Normal(t([0.0, 1.0]), 1.0),
            [d.transforms.AffineTransform(1.0, t([2.0, -0.5])), d.transforms.TanhTransform()],
        ),
        [0.3, -0.9],
    ),
    "sigmoid of normal": (
        lambda d, t: d.TransformedDistribution(d.Normal(t([0.0, 1.0]), 1.0), d.transforms.SigmoidTransform()),
        [0.3, 0.9],
    ),
    "mixture": (
        lambda d, t: d.MixtureSameFamily(
            d.Categorical(t([0.3, 0.7])), d.Normal(t([-1.0, 1.0]), t([1.0, 0.5]))
        ),
        [0.3, -2.0],
    ),
    "gamma": (lambda d, t: d.Gamma(t([0.5, 20.0]), t([1.0, 3.0])), [0.3, 6.0]),
    "chi squared": (lambda d, t: d.Chi2(t([1.0, 5.0])), [0.3, 6.0]),
    "student": (lambda d, t: d.StudentT(t([20.0, 30.0]), t([0.0, 1.0]), t([1.0, 0.5])), [0.3, -2.0]),
    "beta": (lambda d, t: d.Beta(t([0.5, 20.0]), t([1.0, 3.0])), [0.3, 0.9]),
    "dirichlet": (lambda d, t: d.Dirichlet(t([[0.5, 2.0], [20.0, 3.0]])), [0.25, 0.75]),
    "f": (lambda d, t: d.FisherSnedecor(t([5.0, 2.0]), t([30.0, 40.0])), [0.3, 2.0]),
    "inverse gamma": (lambda d, t: d.InverseGamma(t([9.0, 12.0]), t([1.0, 3.0])), [0.3, 0.2]),
    "binomial": (lambda d, t: d.Binomial(10, t([0.2, 0.9])), [3.0, 8.0]),
    "binomial of many": (lambda d, t: d.Binomial(t([100.0, 70.0]), logits=t([0.2, -0.9])), [50.0, 20.0]),
    "negative binomial": (lambda d, t: d.NegativeBinomial(t([3.0, 2.5]), t([0.2, 0.6])), [3.0, 0.0]),
    "half normal": (lambda d, t: d.HalfNormal(t([1.0, 2.0])), [0.3, 2.0]),
    "half cauchy": (lambda d, t: d.HalfCauchy(t([1.0, 2.0])), [0.3, 2.0]),
    "weibull": (lambda d, t: d.Weibull(t([1.0, 2.0]), t([1.5, 2.0])), [0.3, 2.0]),
    "pareto": (lambda d, t: d.Pareto(t([1.0, 0.3]), t([9.0, 12.0])), [1.3, 0.4]),
    "relaxed": (lambda d, t: d.RelaxedBernoulli(t(0.7), probs=t([0.2, 0.6])), [0.3, 0.9]),
    "relaxed one hot": (lambda d, t: d.RelaxedOneHotCategorical(t(0.7), logits=t([0.2, 0.6])), [0.25, 0.75]),
    "von mises": (lambda d, t: d.VonMises(t([0.0, 2.0]), t([1.0, 4.0])), [0.3, 2.0]),
}
PROPERTIES = ("mean", "variance", "stddev", "mode")
METHODS = ("entropy", "perplexity", "enumerate_support")


def make(name):
    return MAKERS[name][0](dist, nnlib.tensor)


def attempt(function):
    try:
        return function()
    except NotImplementedError:
        return None


def close(ours, theirs, what):
    assert (ours is None) == (theirs is None), what
    if ours is not None:
        assert tuple(ours.shape) == tuple(theirs.shape), what
        assert ours.flatten().tolist() == pytest.approx(theirs.flatten().tolist(), 1e-4, 1e-6, nan_ok=True), (
            what
        )


@pytest.mark.parametrize("name", MAKERS)
def test_agrees_with_pytorch(name):
    torch = pytest.importorskip("torch")
    maker, at = MAKERS[name]
    ours, theirs = maker(dist, nnlib.tensor), maker(torch.distributions, torch.tensor)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample
    close(ours.log_prob(nnlib.tensor(at)), theirs.log_prob(torch.tensor(at)), "log_prob")
    for method in METHODS:
        close(attempt(getattr(ours, method)), attempt(getattr(theirs, method)), method)
    for name_of in PROPERTIES:
        close(
            attempt(lambda n=name_of: getattr(ours, n)),
            attempt(lambda n=name_of: getattr(theirs, n)),
            name_of,
        )
    if name != "gumbel":  # PyTorch's own check refuses its values there
        below = attempt(lambda: ours.cdf(nnlib.tensor(at))), attempt(lambda: theirs.cdf(torch.tensor(at)))
        close(*below, "cdf")
    values = attempt(lambda: ours.icdf(nnlib.tensor(0.3))), attempt(lambda: theirs.icdf(torch.tensor(0.3)))
    close(*values, "icdf")
    for shape in ((), (3,), (2, 3)):
        nnlib.manual_seed(3), torch.manual_seed(3)
        close(ours.sample(shape), theirs.sample(shape), f"sample of {shape}")
        if ours.has_rsample:
            close(ours.rsample(shape), theirs.rsample(shape), f"rsample of {shape}")


@pytest.mark.parametrize("name", MAKERS)
def test_samples_follow_the_density(name):
    nnlib.manual_seed(0)
    d = make(name)
    n = 20000
    samples = d.sample((n,))
    assert samples.shape == (n, *d.batch_shape, *d.event_shape) and not samples.requires_grad
    entropy = attempt(d.entropy)
    if entropy is not None:
        # The mean of -log p, whose own spread is measured.
        information = -d.log_prob(samples)
        error = 5 * information.std(0) / math.sqrt(n) + 1e-5
        assert bool(((information.mean(0) - entropy).abs() <= error).all())
    mean = attempt(lambda: d.mean)
    on_a_line = name != "von mises"  # whose mean and variance are a circle's
    if mean is not None and on_a_line and bool(mean.isfinite().all()):
        error = 5 * d.variance.sqrt() / math.sqrt(n) + 1e-5
        assert bool(((samples.double().mean(0) - mean).abs() <= error).all())
        assert samples.double().var(0).flatten().tolist() == pytest.approx(
            d.variance.flatten().tolist(), 0.15
        )


EVERYWHERE, FROM_ZERO = (-60, 60), (0, 60)


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("normal", EVERYWHERE),
        ("laplace", EVERYWHERE),
        ("gumbel", EVERYWHERE),
        ("mixture", EVERYWHERE),
        ("log normal", FROM_ZERO),
        ("exponential", FROM_ZERO),
        ("student", EVERYWHERE),
        ("inverse gamma", FROM_ZERO),
        ("half normal", FROM_ZERO),
        ("weibull", FROM_ZERO),
        ("von mises", (-math.pi, math.pi)),
        ("tanh of normal", (-1, 1)),
    ],
)
def test_densities_sum_to_one(name, bounds):
    d, (low, high) = make(name), bounds
    step = (high - low) / 200000
    x = (nnlib.arange(200000.0, dtype=nnlib.float64) + 0.5) * step + low
    density = d.log_prob(x.view(-1, *(1,) * len(d.batch_shape))).exp()
    assert (density.sum(0) * step - 1).abs().max().item() < 1e-3


def test_expand_shares_parameters():
    for name in MAKERS:
        d = make(name)
        wide = d.expand((3, *d.batch_shape))
        assert wide.batch_shape == (3, *d.batch_shape) and wide.event_shape == d.event_shape
        assert wide.sample((2,)).shape == (2, 3, *d.batch_shape, *d.event_shape), name
    normal = dist.Normal(nnlib.zeros(2), 1.0)
    assert normal.expand((3, 2)).loc.data_ptr() == normal.loc.data_ptr()


def test_gradients_reach_parameters():
    loc, scale = nnlib.tensor(0.5, requires_grad=True), nnlib.tensor(2.0, requires_grad=True)
    x = dist.Normal(loc, scale).rsample((100,))
    x.sum().backward()
    assert loc.grad.item() == 100
    assert scale.grad.item() == pytest.approx(((x - loc) / scale).sum().item(), rel=1e-5)
    logits = nnlib.zeros(3, requires_grad=True)
    dist.Categorical(logits=logits).log_prob(nnlib.tensor(1)).backward()
    assert logits.grad.tolist() == pytest.approx([-1 / 3, 2 / 3, -1 / 3])
    probs = nnlib.tensor([0.3, 0.7], requires_grad=True)
    (dist.OneHotCategoricalStraightThrough(probs).rsample() * nnlib.tensor([1.0, 2.0])).sum().backward()
    # Of weights whose sum is divided out.
    assert probs.grad.tolist() == pytest.approx([1 - 1.7, 2 - 1.7], rel=1e-5)


@pytest.mark.parametrize("shape", [0.05, 0.7, 3.0, 50.0, 1500.0, 3000.0])
def test_gamma_samples_move_along_the_distribution(shape):
    # The slope keeps the place x has in the distribution: -F_a / F_x, by differences of F.
    nnlib.manual_seed(0)
    a = nnlib.full((40,), shape, dtype=nnlib.float64, requires_grad=True)
    x = dist.Gamma(a, 1.0).rsample()
    (slope,) = nnlib.autograd.grad(x.sum(), a)
    x, h = x.detach(), shape * 1e-5
    f = nnlib.special.gammainc
    along = (f(a.detach() + h, x) - f(a.detach() - h, x)) / (2 * h)
    expected = -along / dist.Gamma(a.detach(), 1.0).log_prob(x).exp()
    well = (x > 1e-3 * shape) & (f(a.detach(), x) < 0.999)
    assert slope[well].tolist() == pytest.approx(expected[well].tolist(), rel=1e-4)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.7), (1.0, 3.0), (20.0, 4.0), (300.0, 900.0)])
def test_beta_samples_move_along_the_distribution(a, b):
    nnlib.manual_seed(0)
    first = nnlib.full((30,), a, dtype=nnlib.float64, requires_grad=True)
    second = nnlib.full((30,), b, dtype=nnlib.float64, requires_grad=True)
    x = dist.Beta(first, second).rsample()
    slopes = nnlib.autograd.grad(x.sum(), (first, second))

    def below(a, b, at):  # the integral of the density up to `at`, in 4000 steps of y = u^4
        u = (nnlib.arange(4000.0, dtype=nnlib.float64) + 0.5) / 4000
        y = u**4 * at
        return (dist.Beta(a, b).log_prob(y).exp() * 4 * u**3 * at).sum() / 4000

    for i in range(0, 30, 10):
        at = x[i].detach()
        density = dist.Beta(first[i], second[i]).log_prob(at).exp().item()
        for k, slope in enumerate(slopes):
            h = (a, b)[k] * 1e-4
            more, less = ([a, b] for _ in range(2))
            more[k] += h
            less[k] -= h
            more, less = (nnlib.tensor(v, dtype=nnlib.float64) for v in (more, less))
            along = (below(*more, at) - below(*less, at)) / (2 * h)
            assert slope[i].item() == pytest.approx(-along.item() / density, rel=2e-2, abs=1e-6)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (lambda d, t: d.Normal(t(0.0), t(1.0)), lambda d, t: d.Normal(t(1.0), t(3.0))),
        (lambda d, t: d.LogNormal(t(0.0), t(1.0)), lambda d, t: d.LogNormal(t(1.0), t(3.0))),
        (lambda d, t: d.Laplace(t(0.0), t(1.0)), lambda d, t: d.Laplace(t(1.0), t(2.0))),
        (lambda d, t: d.Exponential(t(1.0)), lambda d, t: d.Exponential(t(3.0))),
        (lambda d, t: d.Uniform(t(0.0), t(1.0)), lambda d, t: d.Uniform(t(-1.0), t(3.0))),
        (lambda d, t: d.Uniform(t(0.0), t(4.0)), lambda d, t: d.Uniform(t(-1.0), t(3.0))),
        (lambda d, t: d.Bernoulli(t([0.2, 0.0, 1.0])), lambda d, t: d.Bernoulli(t([0.5, 0.5, 0.0]))),
        (lambda d, t: d.Categorical(t([0.2, 0.0, 0.8])), lambda d, t: d.Categorical(t([0.5, 0.5, 0.0]))),
        (lambda d, t: d.OneHotCategorical(t([0.2, 0.8])), lambda d, t: d.OneHotCategorical(t([0.5, 0.5]))),
        (lambda d, t: d.Geometric(t(0.2)), lambda d, t: d.Geometric(t(0.4))),
        (lambda d, t: d.Poisson(t(1.0)), lambda d, t: d.Poisson(t(3.0))),
        (lambda d, t: d.Gamma(t(1.5), t(2.0)), lambda d, t: d.Gamma(t(3.0), t(0.5))),
        (lambda d, t: d.Gamma(t(1.5), t(2.0)), lambda d, t: d.Exponential(t(0.5))),
        (lambda d, t: d.Exponential(t(1.5)), lambda d, t: d.Gamma(t(3.0), t(0.5))),
        (lambda d, t: d.InverseGamma(t(1.5), t(2.0)), lambda d, t: d.InverseGamma(t(3.0), t(0.5))),
        (lambda d, t: d.Beta(t(1.5), t(2.0)), lambda d, t: d.Beta(t(3.0), t(0.5))),
        (lambda d, t: d.Dirichlet(t([1.5, 2.0])), lambda d, t: d.Dirichlet(t([3.0, 0.5]))),
        (lambda d, t: d.Binomial(5, t([0.2, 0.8])), lambda d, t: d.Binomial(t([5.0, 3.0]), t([0.4, 0.3]))),
        (lambda d, t: d.Gumbel(t(0.0), t(1.0)), lambda d, t: d.Gumbel(t(1.0), t(3.0))),
        (lambda d, t: d.HalfNormal(t(1.0)), lambda d, t: d.HalfNormal(t(3.0))),
        (lambda d, t: d.Pareto(t(2.0), t(3.0)), lambda d, t: d.Pareto(t([1.0, 3.0]), t(2.0))),
        (lambda d, t: d.Uniform(t(0.0), t(1.0)), lambda d, t: d.Normal(t(1.0), t(3.0))),
        (lambda d, t: d.Normal(t(0.0), t(1.0)), lambda d, t: d.Laplace(t(1.0), t(3.0))),
        (lambda d, t: d.Laplace(t(0.0), t(1.0)), lambda d, t: d.Normal(t(1.0), t(3.0))),
        (
            lambda d, t: d.MultivariateNormal(t([0.0, 1.0]), t(MATRIX)),
            lambda d, t: d.MultivariateNormal(t([1.0, 1.0]), precision_matrix=t(MATRIX)),
        ),
        (
            lambda d, t: d.Independent(d.Normal(t([0.0, 1.0]), 1.0), 1),
            lambda d, t: d.Independent(d.Normal(t([1.0, 1.0]), 2.0), 1),
        ),
    ],
)
def test_divergence(p, q):
    ours = dist.kl_divergence(p(dist, nnlib.tensor), q(dist, nnlib.tensor))
    torch = pytest.importorskip("torch")
    theirs = torch.distributions.kl_divergence(
        p(torch.distributions, torch.tensor), q(torch.distributions, torch.tensor)
    )
    close(ours, theirs, "kl_divergence")
    if type(p(dist, nnlib.tensor)) is not type(q(dist, nnlib.tensor)):
        return
    same = dist.kl_divergence(p(dist, nnlib.tensor), p(dist, nnlib.tensor))
    assert same.flatten().tolist() == pytest.approx([0.0] * same.numel(), abs=1e-6)


def test_the_nearest_divergence_is_taken():
    class Unit(dist.Normal):
        def __init__(self):
            super().__init__(0.0, 1.0)

    assert dist.kl_divergence(Unit(), dist.Normal(1.0, 1.0)).item() == 0.5
    dist.register_kl(Unit, dist.Normal)(lambda p, q: nnlib.tensor(7.0))
    assert dist.kl_divergence(Unit(), dist.Normal(1.0, 1.0)).item() == 7
    with pytest.raises(TypeError, match="subclass"):
        dist.register_kl(int, dist.Normal)
    with pytest.raises(NotImplementedError, match="Normal and q type Poisson"):
        dist.kl_divergence(dist.Normal(0.0, 1.0), dist.Poisson(1.0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: dist.Normal(0.0, -1.0), ValueError, "parameter scale .* GreaterThan"),
        (lambda: dist.Normal(nnlib.tensor(math.nan), 1.0), ValueError, "parameter loc"),
        (lambda: dist.Normal("a", 1.0), ValueError, "instances of Number"),
        (lambda: dist.Bernoulli(1.5), ValueError, "parameter probs"),
        (lambda: dist.Bernoulli(0.5, logits=0.1), ValueError, "not both"),
        (lambda: dist.Categorical(), ValueError, "not both"),
        (lambda: dist.Categorical(nnlib.tensor([-1.0, 2.0])), ValueError, "Simplex"),
        (lambda: dist.Categorical(nnlib.tensor(1.0)), ValueError, "at least one-dimensional"),
        (lambda: dist.Uniform(1.0, 0.0), ValueError, "low >= high"),
        (lambda: dist.Geometric(0.0), ValueError, "greater than 0"),
        (lambda: dist.MultivariateNormal(nnlib.zeros(2)), ValueError, "Exactly one"),
        (
            lambda: dist.MultivariateNormal(nnlib.zeros(2), nnlib.ones(2, 2) * 3 - 4 * nnlib.eye(2)),
            ValueError,
            "Positive",
        ),
        (lambda: dist.Independent(dist.Normal(0.0, 1.0), 1), ValueError, "actual 1 vs 0"),
        (lambda: dist.Multinomial(nnlib.tensor(3), nnlib.ones(2)), NotImplementedError, "total_count"),
        (lambda: dist.TransformedDistribution(dist.Normal(0.0, 1.0), "x"), ValueError, "must be a Transform"),
        (
            lambda: dist.MixtureSameFamily(dist.Categorical(nnlib.ones(3)), dist.Normal(nnlib.zeros(2), 1.0)),
            ValueError,
            "does not equal",
        ),
        (lambda: dist.Categorical(nnlib.ones(2)).rsample(), NotImplementedError, "no reparametrised"),
        (lambda: dist.Categorical(nnlib.ones(3)).log_prob(nnlib.tensor(5)), ValueError, "within the support"),
        (lambda: dist.Bernoulli(0.5).log_prob(nnlib.tensor(0.3)), ValueError, "within the support"),
        (lambda: dist.Normal(nnlib.zeros(3), 1.0).log_prob(nnlib.zeros(2)), ValueError, "not broadcastable"),
        (lambda: dist.OneHotCategorical(nnlib.ones(3)).log_prob(nnlib.zeros(2)), ValueError, "event_shape"),
        (lambda: dist.Normal(0.0, 1.0).log_prob(1.0), ValueError, "must be a Tensor"),
        (lambda: dist.Distribution.set_default_validate_args(3), ValueError, "True or False"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_slopes_of_samples_are_broadcast():
    x, a, total = nnlib.rand(3, 40), nnlib.rand(40) + 0.5, nnlib.rand(3, 1) + 2
    expected = nnlib._C._dirichlet_grad(x, a.expand(3, 40), total.expand(3, 40))
    assert nnlib.equal(nnlib._C._dirichlet_grad(x, a, total), expected)
    with pytest.raises(RuntimeError, match="size"):
        nnlib._C._dirichlet_grad(x, a, nnlib.rand(2))


def test_checks_can_be_left_out():
    assert dist.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    dist.Distribution.set_default_validate_args(False)
    try:
        assert dist.Bernoulli(1.5).probs.item() == 1.5
    finally:
        dist.Distribution.set_default_validate_args(True)


def test_constraints():
    t = nnlib.tensor
    for constraint, inside, outside in (
        (constraints.positive, 1.0, 0.0),
        (constraints.nonnegative, 0.0, -1.0),
        (constraints.less_than(2.0), 1.0, 2.0),
        (constraints.unit_interval, 1.0, 1.5),
        (constraints.half_open_interval(0.0, 1.0), 0.0, 1.0),
        (constraints.boolean, 1.0, 0.5),
        (constraints.nonnegative_integer, 3.0, 0.5),
        (constraints.positive_integer, 3.0, 0.0),
        (constraints.integer_interval(1, 3), 3.0, 4.0),
        (constraints.real, math.inf, math.nan),
        (constraints.real_vector, [0.0, 1.0], [0.0, math.nan]),
        (constraints.simplex, [0.5, 0.5], [0.5, 0.6]),
        (constraints.one_hot, [0.0, 1.0], [1.0, 1.0]),
        (constraints.multinomial(3), [1.0, 2.0], [2.0, 2.0]),
        (constraints.lower_cholesky, [[1.0, 0.0], [2.0, 1.0]], [[1.0, 1.0], [0.0, 1.0]]),
        (constraints.positive_definite, MATRIX, [[1.0, 2.0], [2.0, 1.0]]),
    ):
        assert bool(constraint.check(t(inside))) and not bool(constraint.check(t(outside))), constraint
    assert repr(constraints.interval(0.0, 1.0)) == "Interval(lower_bound=0.0, upper_bound=1.0)"
    with pytest.raises(ValueError, match="value.dim"):
        constraints.real_vector.check(t(1.0))


@pytest.mark.parametrize(
    "t",
    [
        transforms.ExpTransform(),
        transforms.TanhTransform(),
        transforms.SigmoidTransform(),
        transforms.AffineTransform(1.0, -2.0),
        transforms.ComposeTransform([transforms.AffineTransform(0.5, 2.0), transforms.TanhTransform()]),
    ],
    ids=repr,
)
def test_slopes_of_transforms(t):
    x = nnlib.linspace(-1, 1, 9, dtype=nnlib.float64).requires_grad_()
    y = t(x)
    (slope,) = nnlib.autograd.grad(y.sum(), x)
    assert t.inv(y).tolist() == pytest.approx(x.tolist())
    assert t.log_abs_det_jacobian(x, y).tolist() == pytest.approx(slope.abs().log().tolist(), abs=1e-6)
    assert t.codomain.check(y).all() and bool((slope.sign() == t.sign).all())
