"""Tools beside the model: data loading, hooks, memory for computing, exchange with other libraries."""

from __future__ import annotations

import importlib as _importlib
import weakref as _weakref

__all__ = ["checkpoint", "data", "dlpack", "hooks", "swap_tensors"]

_SUBMODULES = {"checkpoint", "data", "dlpack", "hooks"}


def swap_tensors(t1, t2) -> None:
    """Exchange what two tensors are, their values, gradients, classes and attributes; each keeps its identity.

    Whoever holds ``t1`` then holds what ``t2`` was. Both have to be leaves.

    RuntimeError where one is the result of an operator or somebody holds a weak reference to it; TypeError where
    one is no tensor. Nothing is changed then.

    >>> a, b = nnlib.ones(2), nnlib.zeros(3)
    >>> nnlib.utils.swap_tensors(a, b)
    >>> a, b
    (tensor([0., 0., 0.]), tensor([1., 1.]))
    """
    from .. import Tensor

    for name, t in (("t1", t1), ("t2", t2)):
        if not isinstance(t, Tensor):
            raise TypeError(f"swap_tensors(): expected {name} to be a Tensor, but got {type(t).__name__}")
        if not t.is_leaf:
            raise RuntimeError(f"Cannot swap {name} because it is not a leaf of the graph")
        if _weakref.getweakrefs(t):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    if t1 is t2:
        return
    first, second = _parts(t1), _parts(t2)
    _become(t1, second)
    _become(t2, first)


def _parts(t) -> tuple:
    return type(t), t.__dict__, t.detach(), t.requires_grad, t.grad


def _become(t, parts: tuple) -> None:
    kind, attributes, values, requires_grad, grad = parts
    t.requires_grad_(False)
    t.grad = None
    t.__class__ = kind
    t.__dict__ = attributes
    t.data = values
    t.requires_grad_(requires_grad)
    t.grad = grad


def __getattr__(name: str):
    if name in _SUBMODULES:
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES})
