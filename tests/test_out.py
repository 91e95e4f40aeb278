"""out=: operators compute in the given memory where they can, and copy where an operand or a layout forbids it."""

import pytest
from allocated import added

import nnlib

N = 96
CASES = {
    "add": lambda a, b, **o: nnlib.add(a, b, **o),
    "clamp": lambda a, b, **o: nnlib.clamp(a, -0.5, 0.5, **o),
    "exp": lambda a, b, **o: nnlib.exp(a, **o),
    "where": lambda a, b, **o: nnlib.where(a > b, a, b, **o),
    "mm": lambda a, b, **o: nnlib.mm(a, b, **o),
    "matmul": lambda a, b, **o: nnlib.matmul(a, b, **o),
    "addmm": lambda a, b, **o: nnlib.addmm(a, b, a, **o),
    "cumsum": lambda a, b, **o: nnlib.cumsum(a, 0, **o),
    "cat": lambda a, b, **o: nnlib.cat([a[: N // 2], b[: N // 2]], **o),
    "softmax": lambda a, b, **o: nnlib.softmax(a, 1, **o),
    "tril": lambda a, b, **o: nnlib.tril(a, **o),
    "ones": lambda a, b, **o: nnlib.ones(N, N, **o),
}
PLACES = {
    "contiguous": lambda: nnlib.full((N, N), 7.0),
    "part": lambda: nnlib.full((N + 2, N), 7.0)[1 : N + 1],
    "transposed": lambda: nnlib.full((N, N), 7.0).t(),
    "strided": lambda: nnlib.full((N, 2 * N), 7.0)[:, ::2],
    "float64": lambda: nnlib.full((N, N), 7.0, dtype=nnlib.float64),
    "empty": lambda: nnlib.empty(0),
}


@pytest.mark.parametrize("operands", ["rows", "columns"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", CASES)
def test_out_takes_the_result(name, place, operands):
    if name == "ones" and place == "float64":
        pytest.skip("the dtype of a creation is that of out")
    nnlib.manual_seed(3)
    a, b = nnlib.randn(N, N), nnlib.randn(N, N)
    if operands == "columns":
        a, b = a.t(), b.t()
    expected = CASES[name](a, b)
    out = PLACES[place]()
    around = out._base.clone() if out._base is not None else None
    version = out._version
    assert CASES[name](a, b, out=out) is out
    assert nnlib.equal(out, expected.to(out.dtype))
    assert out._version == version + 1
    if place == "part":
        assert nnlib.equal(out._base[0], around[0]) and nnlib.equal(out._base[-1], around[-1])
    if place == "strided":
        assert nnlib.equal(out._base[:, 1::2], around[:, 1::2])


@pytest.mark.parametrize("name", ["add", "clamp", "exp", "mm", "addmm", "cumsum", "cat", "tril", "ones"])
def test_out_needs_no_second_result(name):
    a, b = nnlib.randn(N, N), nnlib.randn(N, N)
    out = nnlib.empty(N, N)
    assert added(lambda: CASES[name](a, b, out=out)) < N * N * 4


@pytest.mark.parametrize("view", ["same", "transposed", "shifted"])
@pytest.mark.parametrize("name", [n for n in CASES if n != "ones"])
def test_out_may_be_an_operand(name, view):
    memory = nnlib.randn(N + 1, N)
    a, b = memory[:N], nnlib.randn(N, N)
    expected = CASES[name](a, b)
    out = {"same": a, "transposed": a.t(), "shifted": memory[1:]}[view]
    CASES[name](a, b, out=out)
    assert nnlib.equal(out, expected)


def test_memory_that_numpy_holds_twice():
    numpy = pytest.importorskip("numpy")
    array = numpy.ones((N, N), dtype=numpy.float32)
    a, out = nnlib.from_numpy(array), nnlib.from_numpy(array)
    nnlib.mm(a, a, out=out)
    assert nnlib.equal(out, nnlib.full((N, N), float(N)))


def test_sparse_out_is_refused():
    x, out = nnlib.eye(3).to_sparse(), nnlib.zeros(3, 3).to_sparse()
    with pytest.raises(NotImplementedError, match="sparse"):
        nnlib.add(x, x, out=out)


def test_two_results():
    x = nnlib.randn(5, 6)
    values, indices = nnlib.empty(5), nnlib.empty(5, dtype=nnlib.int64)
    nnlib.max(x, 1, out=(values, indices))
    assert nnlib.equal(values, x.max(1).values) and nnlib.equal(indices, x.max(1).indices)


@pytest.mark.parametrize(
    "call",
    [
        lambda out: nnlib.floor_divide(nnlib.tensor([6, 7, 8]), nnlib.tensor([2, 1, 0]), out=out),
        lambda out: nnlib.remainder(nnlib.tensor([6, 7, 8]), nnlib.tensor([2, 1, 0]), out=out),
        lambda out: nnlib.fmod(nnlib.tensor([6, 7, 8]), nnlib.tensor([2, 1, 0]), out=out),
        lambda out: nnlib.div(
            nnlib.tensor([6, 7, 8]), nnlib.tensor([2, 1, 0]), rounding_mode="trunc", out=out
        ),
        lambda out: nnlib.index_select(nnlib.tensor([6, 7, 8]), 0, nnlib.tensor([0, 1, 3]), out=out),
        lambda out: nnlib.gather(nnlib.tensor([6, 7, 8]), 0, nnlib.tensor([0, 1, 3]), out=out),
        lambda out: nnlib.add(nnlib.tensor([6, 7, 8]), nnlib.ones(2, dtype=nnlib.int64), out=out),
    ],
)
def test_an_error_leaves_out_as_it_was(call):
    out = nnlib.tensor([1, 2, 3])
    with pytest.raises((RuntimeError, IndexError)):
        call(out)
    assert out.tolist() == [1, 2, 3] and out._version == 0


def test_out_is_not_differentiated():
    a = nnlib.ones(3, requires_grad=True)
    out = nnlib.zeros(3)
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        nnlib.exp(a, out=out)
    assert out.tolist() == [0, 0, 0]
    with nnlib.no_grad():
        nnlib.add(a, 1, out=out)
    assert out.tolist() == [2, 2, 2]
