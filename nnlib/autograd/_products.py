"""Products with Jacobians and Hessians by two backward passes.

Source: a Jacobian's transpose is linear in the vector it is multiplied with, so that differentiating the backward
pass with respect to that vector gives the forward product.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import _C
from .._tensor import Tensor
from .grad_mode import enable_grad, set_grad_enabled

__all__ = ["as_tuple", "hvp", "jvp", "prepared", "vhp"]

_INDEPENDENT = (
    "The output of the user-provided function is independent of input {}. This is not allowed in strict mode."
)
_NO_GRADIENT = (
    "Output {} of the user-provided function does not require gradients. The outputs must be computed in a "
    "differentiable manner from the input when running in strict mode."
)
_CONSTANT_GRADIENT = (
    "The gradient with respect to input {} is independent of the inputs of the user-provided function. This is not "
    "allowed in strict mode."
)
_CONSTANT_JACOBIAN = (
    "While computing the hessian, found that the jacobian of the user-provided function with respect to input {} is "
    "independent of the input. This is not allowed in strict mode. You should ensure that your function is twice "
    "differentiable and that the jacobian depends on the inputs (this would be violated by a linear function for "
    "example)."
)


def as_tuple(value, name: str, function: str) -> tuple[bool, tuple]:
    """Whether there are several, and a tuple of them; TypeError for what are no tensors."""
    several = isinstance(value, tuple)
    values = value if several else (value,)
    for i, v in enumerate(values):
        if not isinstance(v, Tensor):
            where = f"value at index {i}" if several else f"given {name}"
            raise TypeError(
                f"The {name} given to {function} must be either a Tensor or a tuple of Tensors but the {where} has "
                f"type {type(v)}."
            )
    return several, values


def prepared(values: tuple, create_graph: bool, need_graph: bool = True) -> tuple:
    """The tensors as leaves of a new graph, or as part of theirs where the result is to be differentiated."""
    return tuple(
        v.view_as(v) if create_graph and v.requires_grad else v.detach().requires_grad_(need_graph)
        for v in values
    )


def _vector(v, others: tuple, several: bool, name: str, create_graph: bool, single: str):
    if v is None:
        if len(others) != 1 or others[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if the {single} is a single Tensor with a single element."
            )
        return None
    vs = prepared(as_tuple(v, "v", name)[1], create_graph, need_graph=False)
    if len(vs) != len(others):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(others)} but got {len(vs)}."
            if several
            else "The given v should contain a single Tensor."
        )
    for i, (a, b) in enumerate(zip(vs, others, strict=True)):
        if a.shape != b.shape:
            entry = f"Entry {i} in " if several else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {b.shape} but got {a.shape}.")
    return vs


def _gradients(outputs, inputs, vectors, create_graph: bool) -> tuple:
    """``autograd.grad`` of those outputs that have a gradient; None where there is none."""
    from . import grad

    vectors = (None,) * len(outputs) if vectors is None else vectors
    kept = [(y, v) for y, v in zip(outputs, vectors, strict=True) if y is not None and y.requires_grad]
    if not kept:
        return (None,) * len(inputs)
    ys, vs = zip(*kept, strict=True)
    return grad(ys, inputs, vs, create_graph=create_graph, allow_unused=True)


def _require(tensors, strict: bool, message: str) -> None:
    for i, t in enumerate(tensors):
        if strict and t is None:
            raise RuntimeError(_INDEPENDENT.format(i))
        if strict and not t.requires_grad:
            raise RuntimeError(message.format(i))


def _filled(gradients, like, strict: bool, message: str) -> tuple:
    """Zeros in place of what is missing, an error for ``strict``."""
    for i, g in enumerate(gradients):
        if g is None and strict:
            raise RuntimeError(message.format(i))
    return tuple(_C.zeros_like(x) if g is None else g for g, x in zip(gradients, like, strict=True))


def _finished(outputs, several_out: bool, result, several: bool, create_graph: bool):
    if not create_graph:
        outputs, result = (tuple(t.detach() for t in ts) for ts in (outputs, result))
    return outputs if several_out else outputs[0], result if several else result[0]


def _scalar(func: Callable, xs: tuple, name: str, strict: bool) -> tuple:
    """The one output of a function that has to give one number."""
    several, ys = as_tuple(func(*xs), "outputs of the user-provided function", name)
    _require(ys, strict, _NO_GRADIENT)
    if several:
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if ys[0].numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element"
        )
    return ys


def jvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """``(func(inputs), J v)``: the outputs, and how they change where the inputs move along ``v``.

    Args:
        func: takes the inputs, returns a tensor or a tuple.
        inputs: a tensor or a tuple of them.
        v: of the inputs' shapes; may be left out for one input of one element (then 1).
        create_graph: make the results differentiable.
        strict: RuntimeError for an input without influence, rather than zeros.

    TypeError for what are no tensors; RuntimeError where ``v`` does not fit.

    >>> nnlib.autograd.functional.jvp(lambda x: x**2, nnlib.tensor([1.0, 2.0]), nnlib.tensor([1.0, 1.0]))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    with enable_grad():
        several, xs = as_tuple(inputs, "inputs", "jvp")
        xs = prepared(xs, create_graph)
        vs = _vector(v, xs, several, "jvp", create_graph, "input to the user-provided function")
        several_out, ys = as_tuple(func(*xs), "outputs of the user-provided function", "jvp")
        _require(ys, strict, _NO_GRADIENT)
        dummies = tuple(_C.zeros_like(y).requires_grad_() for y in ys)
        back = _gradients(ys, xs, dummies, create_graph=True)
        _require(back, strict, _CONSTANT_GRADIENT)
    with set_grad_enabled(create_graph or _C.is_grad_enabled()):
        result = _filled(
            _gradients(back, dummies, vs, create_graph),
            ys,
            strict,
            "The gradient with respect to the input is independent of entry {} in the grad_outputs when using the "
            "double-backward trick to compute forward mode gradients. This is not allowed in strict mode.",
        )
    return _finished(ys, several_out, result, several_out, create_graph)


def vhp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """``(func(inputs), v^T H)``: the output, and a product with the Hessian, by two backward passes.

    Args as of :func:`jvp`; ``func`` returns one number.

    >>> nnlib.autograd.functional.vhp(lambda x: (x**3).sum(), nnlib.tensor([1.0, 2.0]), nnlib.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        several, xs = as_tuple(inputs, "inputs", "vhp")
        xs = prepared(xs, create_graph)
        vs = _vector(v, xs, several, "vhp", create_graph, "input to the user-provided function")
        ys = _scalar(func, xs, "vhp", strict)
        jacobian = _gradients(ys, xs, None, create_graph=True)
        _require(jacobian, strict, _CONSTANT_JACOBIAN)
    with set_grad_enabled(create_graph or _C.is_grad_enabled()):
        result = _filled(
            _gradients(jacobian, xs, vs, create_graph),
            xs,
            strict,
            "The jacobian of the user-provided function is independent of input {}. This is not allowed in "
            "strict mode.",
        )
    return _finished(ys, False, result, several, create_graph)


def hvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """``(func(inputs), H v)``: the output, and a product with the Hessian, by three backward passes.

    The same as :func:`vhp`, which is quicker, where the Hessian is symmetric. Args as of :func:`jvp`; ``func``
    returns one number.

    >>> nnlib.autograd.functional.hvp(lambda x: (x**3).sum(), nnlib.tensor([1.0, 2.0]), nnlib.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    with enable_grad():
        several, xs = as_tuple(inputs, "inputs", "hvp")
        xs = prepared(xs, create_graph)
        vs = _vector(v, xs, several, "hvp", create_graph, "input to the user-provided function")
        ys = _scalar(func, xs, "hvp", strict)
        jacobian = _gradients(ys, xs, None, create_graph=True)
        _require(jacobian, strict, _CONSTANT_JACOBIAN)
        dummies = tuple(_C.zeros_like(x).requires_grad_() for x in xs)
        back = _gradients(jacobian, xs, dummies, create_graph=True)
        _require(
            back,
            strict,
            "The hessian of the user-provided function with respect to input {} is independent of the input. This is "
            "not allowed in strict mode.",
        )
    with set_grad_enabled(create_graph or _C.is_grad_enabled()):
        result = _filled(
            _gradients(back, dummies, vs, create_graph),
            xs,
            strict,
            "The hessian of the user-provided function is independent of entry {} in the grad_jacobian. This is not "
            "allowed in strict mode as it prevents from using the double backward trick.",
        )
    return _finished(ys, False, result, several, create_graph)
