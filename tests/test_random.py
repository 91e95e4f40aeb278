"""Random numbers: the values that PyTorch draws for the same seed, and the generator's state."""

import numpy as np
import pytest

import nnlib

# Drawn by PyTorch 2.13 on a CPU after manual_seed(0).
FIRST = {
    "rand": [0.49625658988952637, 0.7682217955589294, 0.08847743272781372, 0.13203048706054688],
    "rand64": [0.9700530018065531, 0.707819864399788, 0.45938294312745087, 0.9207476841219603],
    "half": [0.496337890625, 0.76806640625, 0.0885009765625],
    "bfloat16": [0.49609375, 0.76953125, 0.08837890625],
    "randn": [1.5409960746765137, -0.293428897857666, -2.1787893772125244, 0.5684312582015991],
    "randint27": [75434668, 130329135, 118924917],
    "randint28": [130329135, 136432832, 195187451],
    "exponential": [1.1694420622358805, 0.4101282547265589, 0.20501469796467048],
    "cauchy": [22.195458653364593, 2.5295345192117997, 0.7434013158336519],
    "geometric": [1.0, 1.0, 3.0],
    "randperm": [4, 0, 1, 3, 2],
    "random": [209652396, 398764591, 924231285, 1478610112],
}
DRAW = {
    "rand": lambda: nnlib.rand(4),
    "rand64": lambda: nnlib.rand(4, dtype=nnlib.float64),
    "half": lambda: nnlib.rand(3, dtype=nnlib.float16),
    "bfloat16": lambda: nnlib.rand(3, dtype=nnlib.bfloat16),
    "randn": lambda: nnlib.randn(4),
    "randint27": lambda: nnlib.randint(0, 2**27, (3,)),
    "randint28": lambda: nnlib.randint(2**28, (3,)),
    "exponential": lambda: nnlib.empty(3, dtype=nnlib.float64).exponential_(3.0),
    "cauchy": lambda: nnlib.empty(3, dtype=nnlib.float64).cauchy_(1, 2),
    "geometric": lambda: nnlib.empty(3).geometric_(0.3),
    "randperm": lambda: nnlib.randperm(5),
    "random": lambda: nnlib.empty(4, dtype=nnlib.int32).random_(),
}


@pytest.mark.parametrize("name", FIRST)
def test_first_values(name):
    nnlib.manual_seed(0)
    np.testing.assert_allclose(DRAW[name]().tolist(), FIRST[name], rtol=3e-16)


def parity_calls():
    for n in (1, 15, 16, 17, 40, 1000):
        for dtype in ("float32", "float64", "float16", "bfloat16"):
            yield f"randn {n} {dtype}", lambda t, n=n, d=dtype: t.randn(n, dtype=getattr(t, d))
            yield (
                f"normal_ {n} {dtype}",
                lambda t, n=n, d=dtype: t.empty(n, dtype=getattr(t, d)).normal_(1.3, 2.7),
            )
            yield (
                f"uniform_ {n} {dtype}",
                lambda t, n=n, d=dtype: t.empty(n, dtype=getattr(t, d)).uniform_(-0.3, 0.7),
            )
            yield (
                f"log_normal_ {n} {dtype}",
                lambda t, n=n, d=dtype: t.empty(n, dtype=getattr(t, d)).log_normal_(0.1, 0.5),
            )
    for dtype in ("int64", "int16", "uint8", "bool", "float32", "float64", "float16", "bfloat16"):
        yield f"random_ {dtype}", lambda t, d=dtype: t.empty(9, dtype=getattr(t, d)).random_()
        yield f"random_ from {dtype}", lambda t, d=dtype: t.empty(9, dtype=getattr(t, d)).random_(0, None)
        yield f"bernoulli_ {dtype}", lambda t, d=dtype: t.empty(9, dtype=getattr(t, d)).bernoulli_(0.4)
    yield "normal_ transposed", lambda t: t.empty(6, 8).t().normal_()
    yield "normal_ sliced", lambda t: t.empty(6, 8)[:, ::2].normal_()
    yield (
        "rand_like channels_last",
        lambda t: t.rand_like(t.empty(2, 3, 4, 5).contiguous(memory_format=t.channels_last)),
    )
    yield "bernoulli", lambda t: t.bernoulli(t.tensor([0.1, 0.5, 0.9] * 9))
    yield "bernoulli float64", lambda t: t.bernoulli(t.tensor([0.1, 0.5, 0.9] * 9, dtype=t.float64))
    yield "randint wide", lambda t: t.randint(-5, 2**40, (9,))
    yield "random_ all", lambda t: t.empty(5, dtype=t.int64).random_(-(2**63), None)
    yield "randperm", lambda t: t.randperm(100)
    yield "poisson", lambda t: t.poisson(t.arange(30, dtype=t.float32))
    yield "normal tensors", lambda t: t.normal(t.arange(4.0), t.tensor([[1.0], [2.0]]))
    yield "normal of one std", lambda t: t.normal(t.arange(20.0), 2.5)
    for replacement in (True, False):
        for k in (1, 4):
            yield (
                f"multinomial {k} {replacement}",
                lambda t, k=k, r=replacement: t.multinomial(
                    t.tensor([[0.1, 0.2, 0.3, 0.1, 0.5, 0.0, 1.0]] * 3), k, r
                ),
            )


@pytest.mark.parametrize(
    ("name", "call"), list(parity_calls()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_same_as_torch(name, call):
    torch = pytest.importorskip("torch")
    for seed in (0, 123):
        torch.manual_seed(seed)
        nnlib.manual_seed(seed)
        want, got = call(torch), call(nnlib)
        if want.dtype is torch.float32 and want.numel() >= 16 and "random_" not in name:
            # A processor without fused multiply-add has other last digits in PyTorch.
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)
        else:
            assert got.tolist() == want.tolist()
        # Both streams stand at the same place.
        assert nnlib.rand(3).tolist() == torch.rand(3).tolist()


def test_state_goes_on():
    nnlib.manual_seed(7)
    nnlib.randn(3)  # leaves the second of a pair
    state = nnlib.get_rng_state()
    assert state.dtype == nnlib.uint8
    first = nnlib.randn(5).tolist()
    nnlib.set_rng_state(state)
    assert nnlib.randn(5).tolist() == first
    assert nnlib.initial_seed() == 7


def test_fork_rng_leaves_no_trace():
    nnlib.manual_seed(1)
    want = nnlib.rand(2).tolist()
    nnlib.manual_seed(1)
    with nnlib.random.fork_rng():
        nnlib.rand(100)
    assert nnlib.rand(2).tolist() == want
    with pytest.raises(RuntimeError, match="only 'cpu'"), nnlib.random.fork_rng(device_type="cuda"):
        pass


def test_generators_are_independent():
    a, b = nnlib.Generator().manual_seed(5), nnlib.Generator().manual_seed(5)
    nnlib.manual_seed(0)
    assert nnlib.rand(3, generator=a).tolist() == nnlib.rand(3, generator=b).tolist()
    assert nnlib.rand(4).tolist() == pytest.approx(FIRST["rand"])


def test_threads_do_not_change_numbers():
    before = nnlib.get_num_threads()
    try:
        drawn = []
        for threads in (1, 2):
            nnlib.set_num_threads(threads)
            nnlib.manual_seed(3)
            drawn.append(nnlib.randn(100_000).numpy())
        assert np.array_equal(*drawn)
        assert abs(drawn[0].mean()) < 0.02 and abs(drawn[0].std() - 1) < 0.01
    finally:
        nnlib.set_num_threads(before)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: nnlib.empty(2).uniform_(1, 0), "from=1 > to=0"),
        (lambda: nnlib.empty(2).normal_(0, -1), "std >= 0.0"),
        (lambda: nnlib.empty(2).bernoulli_(2.0), r"\[0, 1\]"),
        (lambda: nnlib.empty(2).exponential_(-1.0), "lambda > 0.0"),
        (lambda: nnlib.empty(2).geometric_(1.0), r"\(0, 1\)"),
        (lambda: nnlib.randint(5, 5, (1,)), "less than 'to'"),
        (lambda: nnlib.empty(2, dtype=nnlib.int8).random_(0, 1000), "out of bounds"),
        (lambda: nnlib.randperm(-1), "non-negative"),
        (lambda: nnlib.multinomial(nnlib.tensor([-1.0, 1.0]), 1), "element < 0"),
        (lambda: nnlib.multinomial(nnlib.zeros(2), 1), "sum of probabilities"),
        (lambda: nnlib.multinomial(nnlib.ones(2), 3), "without replacement"),
        (lambda: nnlib.poisson(nnlib.tensor([-1.0])), "non-negative"),
        (lambda: nnlib.bernoulli(nnlib.tensor([1.5])), "p_in <= 1"),
    ],
)
def test_refused(call, error):
    with pytest.raises(RuntimeError, match=error):
        call()


def test_random_results_have_no_slope():
    p = nnlib.tensor([0.2, 0.8], requires_grad=True)
    nnlib.bernoulli(p).sum().backward()
    assert p.grad.tolist() == [0, 0]
