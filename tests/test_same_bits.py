"""Every operator case gives the same bits for 1, 2 and 3 threads: results and gradients.

The table's inputs are small, and small work is not shared among threads. So each input is repeated along its
dimensions until it is large; a case that does not take that (its call names a size) is run as it stands.
"""

import resource
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from op_cases import CASES
from test_ops import tensors

import nnlib

ELEMENTS = 60_000  # above the smallest share of most loops
FLOATING = "fd"
grown = set()


def enlarged(arrays):
    """The inputs, each dimension but those of size 1 repeated by one factor, with some noise."""
    largest = max(arrays, key=lambda a: a.size, default=None)
    dims = 0 if largest is None else sum(size > 1 for size in largest.shape)
    if dims == 0 or largest.size == 0:
        return None
    factor = int(np.ceil((ELEMENTS / largest.size) ** (1 / dims)))
    rng = np.random.default_rng(0)
    made = []
    for a in arrays:
        a = np.tile(a, [factor if size > 1 else 1 for size in a.shape])
        made.append(a * rng.uniform(0.99, 1.01, a.shape) if a.dtype.char in FLOATING else a)
    return made


def run(case, arrays, threads):
    """The result and the gradients of the inputs, as bytes."""
    nnlib.set_num_threads(threads)
    nnlib.manual_seed(0)
    inputs = tensors(nnlib, arrays, nnlib.float32, requires_grad=case.grad)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = case.call(nnlib, *inputs)
        seen = [result]
        if case.grad and result.requires_grad:
            result.backward(nnlib.linspace(-1, 1, result.numel()).reshape(result.shape))
            seen += [t.grad for t in inputs if t.requires_grad and t.grad is not None]
    return [t.detach().to_dense().contiguous().numpy().tobytes() for t in seen]


@contextmanager
def memory_limit(more):
    """Enlarging the inputs of, say, a Kronecker product asks for more than a machine has: an error, then."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(autouse=True)
def threads():
    before = nnlib.get_num_threads()
    yield
    nnlib.set_num_threads(before)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_bits_for_any_number_of_threads(case):
    arrays = enlarged(case.arrays())
    try:
        with memory_limit(1 << 30):
            one = None if arrays is None else run(case, arrays, 1)
    except (MemoryError, RuntimeError, ValueError, IndexError):  # sizes that the call does not take
        one = None
    if one is None:
        arrays = case.arrays()
        one = run(case, arrays, 1)
    else:
        grown.add(case.name)
    for threads in (2, 3):
        assert run(case, arrays, threads) == one, f"{threads} threads"


def test_most_cases_were_large():
    assert len(grown) > 0.8 * len(CASES)
