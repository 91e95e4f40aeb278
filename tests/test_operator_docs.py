"""The examples in the documentation of native operators run."""

import doctest

import pytest

import nnlib
from nnlib import _C


def documented():
    """The operators of the module and the methods of tensors that show an example, each once."""
    seen = {}
    for owner in (_C, _C.Tensor):
        for name in dir(owner):
            doc = getattr(getattr(owner, name), "__doc__", None)
            if isinstance(doc, str) and ">>> " in doc:
                seen.setdefault(name, doc)
    return seen


EXAMPLES = documented()


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs(name):
    nnlib.manual_seed(0)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    example = doctest.DocTestParser().get_doctest(EXAMPLES[name], {"nnlib": nnlib}, name, None, 0)
    assert doctest.DocTestRunner(verbose=False, optionflags=flags).run(example).failed == 0


def test_the_elementary_operators_show_one():
    for name in ("add", "exp", "where", "clamp", "sum", "max", "softmax", "relu", "sort"):
        assert name in EXAMPLES
