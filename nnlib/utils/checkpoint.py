"""Trade computing for memory: parts of a model whose inner values are computed again in the backward pass.

Source: Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost" (2016).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext

from .. import _C
from ..autograd.grad_mode import enable_grad
from ._recompute import CheckpointError, Frame, recording, set_checkpoint_early_stop
from ._reentrant import CheckpointFunction, check_backward_validity, detach_variable
from ._surroundings import as_before, surroundings

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "noop_context_fn",
    "set_checkpoint_early_stop",
]


def noop_context_fn():
    """Two contexts that do nothing: the default of ``context_fn``."""
    return nullcontext(), nullcontext()


def checkpoint(
    function: Callable,
    *args,
    use_reentrant: bool | None = None,
    context_fn: Callable = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs,
):
    """``function(*args, **kwargs)``, without keeping what its backward needs: backward runs ``function`` again.

    Args:
        function: a module or a function; run twice, it has to compute the same.
        args: its arguments.
        use_reentrant: False (recommended): the graph is recorded as always, and what operators would save is
            computed when first asked for. True: ``function`` runs without a graph, and its backward starts a
            backward pass of its own; at least one input and one output must require grad, nothing inside
            nested containers gets a gradient, and ``autograd.grad`` or ``inputs=`` are an error. Without a
            value a warning is given, and True is taken.
        context_fn: gives two contexts, for the first run and for the second.
        determinism_check: ``"default"`` compares shapes, dtypes and devices of what is computed again with
            the first run's; ``"none"`` does not.
        debug: must be False (NotImplementedError): there is no trace of operators to show.
        early_stop: end the second run once all is there that backward needs.
        kwargs: its keyword arguments. ``preserve_rng_state=False`` leaves out keeping and setting the state
            of the random numbers, for functions that draw none.

    Raises:
        CheckpointError: in backward, where the second run differs from the first.
        ValueError: options or keyword arguments that go with ``use_reentrant=False`` only, or an unknown check.

    >>> x = nnlib.ones(2, requires_grad=True)
    >>> y = nnlib.utils.checkpoint.checkpoint(lambda t: (t * 2).exp(), x, use_reentrant=False)
    >>> y.sum().backward()
    >>> x.grad
    tensor([14.7781, 14.7781])
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended; without a value it is True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"determinism_check should be one of ['default', 'none'], but got {determinism_check}"
        )
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if debug:
        raise NotImplementedError("checkpoint(debug=True): there is no trace of operators to show")
    first, second = context_fn()
    if not _C.is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    state, settings = surroundings(preserve)
    names = tuple(kwargs)

    def again(*values):
        count = len(values) - len(names)
        with as_before(state, settings), second, enable_grad():
            function(*values[:count], **dict(zip(names, values[count:], strict=True)))

    frame = Frame(again, (*args, *kwargs.values()), early_stop, determinism_check == "default")
    with recording(frame), first:
        result = function(*args, **kwargs)
    frame.complete = True
    return result


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None, **kwargs):
    """Run modules one after the other, in ``segments`` parts of which all but the last are checkpointed.

    Args:
        functions: a ``Sequential``, or a list of modules or functions.
        segments: the number of parts, at most that of the modules (ValueError).
        input: of the first module.
        use_reentrant: as in :func:`checkpoint`.
        kwargs: ``preserve_rng_state`` alone (ValueError).

    >>> net = nnlib.nn.Sequential(nnlib.nn.Linear(2, 2), nnlib.nn.ReLU(), nnlib.nn.Linear(2, 1))
    >>> x = nnlib.ones(3, 2, requires_grad=True)
    >>> nnlib.utils.checkpoint.checkpoint_sequential(net, 2, x, use_reentrant=False).shape
    torch.Size([3, 1])
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed "
            "explicitly. use_reentrant=False is recommended; without a value it is True.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(len(steps), 1):
        raise ValueError(
            f"checkpoint_sequential: expected segments within 1 and {len(steps)}, got {segments}"
        )

    def part(start: int, end: int):
        def run(x):
            for step in steps[start:end]:
                x = step(x)
            return x

        return run

    size = len(steps) // segments
    for start in range(0, size * (segments - 1), max(size, 1)):
        input = checkpoint(
            part(start, start + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve
        )
    return part(size * (segments - 1), len(steps))(input)
