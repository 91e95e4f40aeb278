"""Checkpoints whose saved tensors are computed when a backward pass first asks for one of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import _C
from .._tensor import Tensor
from ..autograd.function import Function
from ..autograd.graph import saved_tensors_hooks

__all__ = ["CheckpointError", "Frame", "recording", "set_checkpoint_early_stop"]

_early_stop: bool | None = None


class CheckpointError(RuntimeError):
    """The second run of a checkpointed function was not like the first."""


class _Enough(Exception):
    """Ends a second run that has computed all that is wanted."""


@contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """A region whose checkpoints end their second runs early or run them to the end, whatever they say themselves.

    >>> with nnlib.utils.checkpoint.set_checkpoint_early_stop(False):
    ...     pass
    """
    global _early_stop
    before, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = before


class _Place:
    """Stands in the graph for a tensor that the first run would have saved."""

    __slots__ = ("__weakref__", "index", "value")

    def __init__(self, index: int):
        self.index, self.value = index, None


class _KeepInputs(Function):
    """Saves tensors as an operator does, so that changes in place are noticed and outer checkpoints apply."""

    @staticmethod
    def forward(ctx, dummy, *tensors):
        ctx.save_for_backward(*tensors)
        return _C.empty((0,))

    @staticmethod
    def backward(ctx, grad):
        raise AssertionError("the inputs of a checkpoint are kept on a node that is no part of a pass")


def _facts(t: Tensor) -> tuple:
    return tuple(t.shape), t.dtype, t.device


class Frame:
    """One checkpointed call: the places it left in the graph, and how to fill them."""

    def __init__(self, again: Callable, inputs: tuple, early_stop: bool, checked: bool):
        self.again, self.checked = again, checked
        self.early_stop = early_stop if _early_stop is None else _early_stop
        self.places: list[weakref.ref] = []
        self.facts: list[tuple] = []
        self.complete = False
        # Tensors are kept by a node of the graph, the other arguments here.
        self.where = [i for i, x in enumerate(inputs) if isinstance(x, Tensor)]
        self.rest = [None if isinstance(x, Tensor) else x for x in inputs]
        self.wanted = [inputs[i].requires_grad for i in self.where]
        dummy = _C.empty((0,), requires_grad=True)
        self.kept = _KeepInputs.apply(dummy, *(inputs[i] for i in self.where))

    def pack(self, t: Tensor) -> _Place:
        place = _Place(len(self.places))
        self.places.append(weakref.ref(place))
        self.facts.append(_facts(t))
        return place

    def unpack(self, place: _Place) -> Tensor:
        if place.value is None:
            self.fill()
        value, place.value = place.value, None  # a second pass over a retained graph computes again
        if value is None:
            raise CheckpointError(self._counts(place.index))
        return value

    def fill(self) -> None:
        values = list(self.rest)
        for i, t, wanted in zip(self.where, self.kept.grad_fn.saved_tensors, self.wanted, strict=True):
            values[i] = t.detach().requires_grad_(wanted)
        found = 0

        def pack(t: Tensor):
            nonlocal found
            index, found = found, found + 1
            if index >= len(self.places):
                if self.early_stop or not self.checked:
                    return t.detach()
                raise CheckpointError(self._counts(found))
            if self.checked and _facts(t) != self.facts[index]:
                raise CheckpointError(
                    "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata "
                    f"than during the forward pass.\ntensor at position {index}:\nsaved metadata: "
                    f"{self.facts[index]}\nrecomputed metadata: {_facts(t)}"
                )
            place = self.places[index]()
            if place is not None:
                place.value = t.detach()
            if self.early_stop and self.complete and found == len(self.places):
                raise _Enough
            return t.detach()

        try:
            with saved_tensors_hooks(pack, lambda t: t):
                self.again(*values)
        except _Enough:
            return
        if self.checked and self.complete and found != len(self.places):
            raise CheckpointError(self._counts(found))

    def _counts(self, found: int) -> str:
        return (
            "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
            f"recomputation.\nNumber of tensors saved during forward: {len(self.places)}\n"
            f"Number of tensors saved during recomputation: {found}"
        )


def recording(frame: Frame) -> saved_tensors_hooks:
    """A region in which what is saved becomes places of the frame."""
    return saved_tensors_hooks(frame.pack, frame.unpack)
