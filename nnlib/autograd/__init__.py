"""Automatic differentiation: backward passes, switches, custom functions, checks by finite differences."""

from __future__ import annotations

from _thread import _local  # what threading.local is, without the time that threading takes to import

from .. import _C
from .._tensor import Tensor
from . import functional, graph
from .anomaly_mode import detect_anomaly, set_detect_anomaly
from .function import Function, FunctionCtx, once_differentiable
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from .gradcheck import GradcheckError, gradcheck, gradgradcheck

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]


class _VariableMeta(type):
    def __instancecheck__(cls, obj) -> bool:
        return isinstance(obj, Tensor)

    def __call__(cls, data, requires_grad: bool = False):
        out = data.detach() if isinstance(data, Tensor) else _C.tensor(data)
        return out.requires_grad_(requires_grad)


class Variable(metaclass=_VariableMeta):
    """The old name of a tensor with gradients: ``Variable(x)`` gives a tensor."""


class _Pass(_local):
    """Whether this thread runs a pass that gives the gradients of some tensors alone."""

    partial = False


_pass = _Pass()


def is_partial_pass() -> bool:
    """Whether the backward pass that runs is one of :func:`grad`, or of :func:`backward` with ``inputs``."""
    return _pass.partial


def _run_partial(*args):
    before, _pass.partial = _pass.partial, True
    try:
        return _C._run_backward(*args)
    finally:
        _pass.partial = before


def _tuple(value, n: int) -> tuple:
    if value is None:
        return (None,) * n
    if isinstance(value, (Tensor, graph.GradientEdge)):
        value = (value,)
    return tuple(graph.tensor_of(v) for v in value)


def backward(
    tensors,
    grad_tensors=None,
    retain_graph=None,
    create_graph: bool = False,
    grad_variables=None,
    inputs=None,
) -> None:
    """Accumulate the gradients of ``tensors`` into the ``.grad`` of the graph's leaves.

    Args:
        tensors: a tensor or a sequence of them.
        grad_tensors: a gradient for each, of its shape; None is allowed for tensors of one element (then 1).
        retain_graph: keep what was saved for backward; default: the value of ``create_graph``.
        create_graph: record the backward pass too, so that it can be differentiated.
        inputs: gradients go into these tensors' ``.grad`` alone.

    Raises RuntimeError where a tensor does not require grad, shapes differ or the graph was freed.

    >>> x = nnlib.ones(2, requires_grad=True)
    >>> nnlib.autograd.backward([x.sum(), (3 * x).sum()])
    >>> x.grad
    tensor([4., 4.])
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError("`grad_tensors` and `grad_variables` (deprecated) are both given: use one")
        grad_tensors = grad_variables
    if inputs is not None and not isinstance(inputs, Tensor) and len(inputs) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    tensors = _tuple(tensors, 0)
    grads = _tuple(grad_tensors, len(tensors))
    if len(grads) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    retain = create_graph if retain_graph is None else retain_graph
    run = _C._run_backward if inputs is None else _run_partial
    run(tensors, grads, retain, create_graph, _tuple(inputs, 0), True, True)


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused=None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of ``outputs`` with respect to ``inputs``, as a tuple; ``.grad`` stays as it is.

    Args:
        outputs, inputs: a tensor or a sequence of them.
        grad_outputs: a gradient for each output; None for outputs of one element (then 1).
        retain_graph, create_graph: as in :func:`backward`.
        allow_unused: give None for an input that no output depends on, rather than an error.
        is_grads_batched: ``grad_outputs`` have a leading dimension of several gradients; the results too.
        materialize_grads: give zeros instead of None.

    >>> x = nnlib.tensor(3.0, requires_grad=True)
    >>> nnlib.autograd.grad(x**2, x)
    (tensor(6.),)
    """
    if not only_inputs:
        raise ValueError("only_inputs=False is not supported: use backward() to accumulate into the leaves")
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True")
    outputs, inputs = _tuple(outputs, 0), _tuple(inputs, 0)
    grads = _tuple(grad_outputs, len(outputs))
    retain = create_graph if retain_graph is None else retain_graph
    unused = bool(allow_unused) or materialize_grads
    if is_grads_batched:
        n = next(g.size(0) for g in grads if g is not None)
        rows = [
            grad(
                outputs, inputs, [None if g is None else g[i] for g in grads], retain or i + 1 < n, create_graph,
                allow_unused=unused, materialize_grads=materialize_grads,
            )
            for i in range(n)
        ]  # fmt: skip
        return tuple(
            None if column[0] is None else _C.stack(list(column)) for column in zip(*rows, strict=True)
        )
    result = _run_partial(outputs, grads, retain, create_graph, inputs, False, unused)
    if materialize_grads:
        result = tuple(_C.zeros_like(x) if g is None else g for x, g in zip(inputs, result, strict=True))
    return result
