"""Looking into what a module returned: any nesting of tuples, lists, dicts and dataclasses."""

import dataclasses

from ... import _C
from ...autograd import Function


def find_tensors(value):
    """All tensors in a nested value, one after the other."""
    if isinstance(value, _C.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from find_tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from find_tensors(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from find_tensors(getattr(value, field.name))


def replace_tensors(value, tensors):
    """The nested value with its tensors taken from an iterator, in the order of find_tensors."""
    if isinstance(value, _C.Tensor):
        return next(tensors)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(replace_tensors(item, tensors) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(replace_tensors(item, tensors) for item in value)
    if isinstance(value, dict):
        return type(value)((key, replace_tensors(item, tensors)) for key, item in value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changes = {
            f.name: replace_tensors(getattr(value, f.name), tensors) for f in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **changes)
    return value


class _Sink(Function):
    """Passes tensors through one node of the graph.

    Backward then visits what led to any of them, also the outputs that the loss leaves out: their parameters
    get an undefined gradient, and the reducer hears of it.
    """

    @staticmethod
    def forward(ctx, *tensors):
        ctx.set_materialize_grads(False)
        return tuple(tensor.clone() for tensor in tensors)

    @staticmethod
    def backward(ctx, *grads):
        return grads


def pass_through_sink(output):
    """The output with all its tensors that have a history passed through one node."""
    tensors = list(find_tensors(output))
    inside = [tensor for tensor in tensors if tensor.grad_fn is not None]
    if not inside:
        return output
    passed = iter(_Sink.apply(*inside))
    return replace_tensors(output, iter([next(passed) if t.grad_fn is not None else t for t in tensors]))
