"""The examples in the docstrings of nnlib.optim and nnlib.utils.data."""

import doctest
import importlib
import pkgutil

import pytest

import nnlib.optim
import nnlib.utils.data


def modules():
    for package in (nnlib.optim, nnlib.utils.data):
        yield package.__name__
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield info.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
