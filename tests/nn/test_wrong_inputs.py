"""No input makes a layer crash: it works, or raises one of the exceptions that PyTorch raises."""

import pytest
from test_layers import CASES, IDS, build, inputs, leaves

import nnlib

ALLOWED = (RuntimeError, ValueError, TypeError, IndexError, AssertionError, NotImplementedError)

# Each makes a wrong or strange input out of a right one.
VARIANTS = {
    "scalar": lambda t: nnlib.zeros(()),
    "empty": lambda t: nnlib.zeros(0),
    "no batch": lambda t: nnlib.zeros((0, *t.shape[1:])),
    "last size 0": lambda t: nnlib.zeros((*t.shape[:-1], 0)),
    "one dimension more": lambda t: nnlib.zeros((*t.shape, 1)),
    "one dimension less": lambda t: nnlib.zeros(t.shape[1:]),
    "other sizes": lambda t: nnlib.zeros([3] * t.dim()),
    "negative integers": lambda t: nnlib.full(t.shape, -5, dtype=nnlib.int64),
    "huge integers": lambda t: nnlib.full(t.shape, 10**12, dtype=nnlib.int64),
    "bool": lambda t: nnlib.zeros(t.shape, dtype=nnlib.bool),
    "float64": lambda t: nnlib.zeros(t.shape, dtype=nnlib.float64),
    "bfloat16": lambda t: nnlib.zeros(t.shape, dtype=nnlib.bfloat16),
    "nan": lambda t: nnlib.full(t.shape, float("nan")),
    "no memory of its own": lambda t: nnlib.zeros(()).expand(t.shape),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_wrong_inputs(case):
    layer = build(nnlib, case)
    for position in range(len(case[2])):
        for name, make in VARIANTS.items():
            values = inputs(nnlib, case)
            if isinstance(values[position], tuple):
                continue
            values[position] = make(values[position])
            if values[position].is_floating_point() and values[position].is_leaf:
                values[position].requires_grad_()
            try:
                differentiable = [o for o in leaves(layer(*values)) if o.requires_grad]
                if differentiable:
                    sum((o * o).sum() for o in differentiable).backward()
            except ALLOWED as error:
                assert str(error), f"{name} for input {position}: an error without a message"
