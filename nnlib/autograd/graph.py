"""The backward graph: its nodes, and hooks around saved tensors."""

from __future__ import annotations

import functools
import weakref
from _thread import _local, allocate_lock
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from .. import _C

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class Node(_C.NodeBase):
    """A step of the backward graph (``tensor.grad_fn``)."""

    __slots__ = ()

    def register_hook(self, fn: Callable):
        """Call ``fn(grad_inputs, grad_outputs)`` after this node ran; what it returns replaces grad_inputs.

        Returns a handle with ``remove()``.
        """
        return _NodeHandle(self, self._register_hook(fn, False), False)

    def register_prehook(self, fn: Callable):
        """Call ``fn(grad_outputs)`` before this node runs; what it returns replaces them."""
        return _NodeHandle(self, self._register_hook(fn, True), True)

    @property
    def metadata(self) -> dict:
        """An empty dict: nodes carry no metadata."""
        return {}


class _NodeHandle:
    def __init__(self, node: Node, hook_id: int, pre: bool):
        self._node, self._id, self._pre = node, hook_id, pre

    def remove(self) -> None:
        self._node._remove_hook(self._id, self._pre)

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.remove()


class _State(_local):
    """What the regions of this thread say of hooks."""

    refusal: str | None = None
    copying = False


_state = _State()


class saved_tensors_hooks:
    """Inside, tensors saved for backward go through ``pack_hook`` and come back through ``unpack_hook``.

    >>> packed = []
    >>> x = nnlib.ones(2, requires_grad=True)
    >>> with nnlib.autograd.graph.saved_tensors_hooks(lambda t: packed.append(1) or t, lambda t: t):
    ...     y = x * x
    >>> len(packed)
    2
    """

    def __init__(self, pack_hook: Callable, unpack_hook: Callable):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if _state.refusal is not None:
            raise RuntimeError(_state.refusal)
        _C._push_saved_tensors_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc) -> None:
        _C._pop_saved_tensors_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Saved tensors are copied, so that later changes in place do not touch them.

    ``pin_memory`` and ``device_type`` change nothing: all memory is the CPU's.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cpu"):
        super().__init__(lambda t: t.clone(), lambda t: t)


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """A region in which entering :class:`saved_tensors_hooks` is a RuntimeError with this message.

    >>> with nnlib.autograd.graph.disable_saved_tensors_hooks("no hooks here"):
    ...     pass
    """
    before, _state.refusal = _state.refusal, error_message
    try:
        yield
    finally:
        _state.refusal = before


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[None]:
    """A region whose saved tensors may be changed in place before the backward pass, which sees them as they were.

    All that is saved is copied at once: it takes that much memory more. RuntimeError for a region in a region.

    >>> with nnlib.autograd.graph.allow_mutation_on_saved_tensors():
    ...     x = nnlib.ones(2, requires_grad=True).clone()
    ...     y = (x**2).sum()
    ...     _ = x.sin_()
    >>> y.backward()
    """
    if _state.copying:
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    _state.copying = True
    try:
        with saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
            yield
    finally:
        _state.copying = False


def increment_version(tensor) -> None:
    """Count a change in place that was made behind the library's back, of one tensor or several.

    >>> x = nnlib.ones(2)
    >>> nnlib.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    for t in (tensor,) if isinstance(tensor, _C.TensorBase) else tensor:
        t._bump_version()


class GradientEdge(namedtuple("_GradientEdge", "node output_nr ownership_token", defaults=[None])):
    """Where a tensor's gradient arrives in the graph: the node, and which of its gradients.

    ``ownership_token`` is the tensor, which keeps the node. An edge may stand for its tensor in ``autograd.grad`` and
    in ``inputs`` of ``autograd.backward``.
    """

    __slots__ = ()


def _node_of(t: _C.TensorBase) -> Node:
    if t.grad_fn is not None:
        return t.grad_fn
    from .grad_mode import enable_grad

    with enable_grad():
        return t.view_as(t).grad_fn.next_functions[0][0]


def get_gradient_edge(tensor: _C.TensorBase) -> GradientEdge:
    """The :class:`GradientEdge` of a tensor; RuntimeError where it does not require grad.

    >>> x = nnlib.ones(2, requires_grad=True)
    >>> nnlib.autograd.graph.get_gradient_edge(x * 2).node.name()
    'MulBackward0'
    """
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    return GradientEdge(_node_of(tensor), tensor.output_nr, tensor)


def tensor_of(edge):
    """The tensor of an edge, and a tensor as it is; RuntimeError where it has another history since."""
    if not isinstance(edge, GradientEdge):
        return edge
    t = edge.ownership_token
    if t is None or _node_of(t) is not edge.node:
        raise RuntimeError(
            "the tensor of this gradient edge was changed in place since: its gradient is another one"
        )
    return t


class _Handles:
    def __init__(self, handles: Iterable):
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take all the hooks away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.remove()


class _Found:
    def __init__(self, count: int):
        self.grads: list = [None] * count


def register_multi_grad_hook(
    tensors: Sequence[_C.TensorBase], fn: Callable, *, mode: str = "all"
) -> _Handles:
    """One hook for the gradients of several tensors.

    Args:
        tensors: they have to require grad (RuntimeError); for ``"any"`` those that do not are left out.
        fn: for ``"all"`` it is called with a list of the gradients when a backward pass that reached any of the
            tensors ends, None for those that it did not reach; for ``"any"`` with the first gradient of a pass, as
            soon as it is there.
        mode: ``"all"`` or ``"any"`` (ValueError).

    Returns:
        a handle whose ``remove()`` takes the hook away.

    >>> a, b = nnlib.ones(2, requires_grad=True), nnlib.ones(2, requires_grad=True)
    >>> hook = nnlib.autograd.graph.register_multi_grad_hook((a, b), lambda grads: print(grads))
    >>> (a * 2).sum().backward()
    [tensor([2., 2.]), None]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = tuple(tensors)
    lock = allocate_lock()
    current = None  # the gradients of the pass that runs, which it alone keeps: one that fails leaves nothing

    def finish(found: _Found) -> None:
        nonlocal current
        current = None
        if mode == "all":
            fn(found.grads)

    def at(index: int):
        def hook(grad) -> None:
            nonlocal current
            with lock:
                found = None if current is None else current()
                first = found is None
                if first:
                    found = _Found(len(tensors))
                    current = weakref.ref(found)
                    _C._queue_callback(functools.partial(finish, found))
                found.grads[index] = grad
            if first and mode == "any":
                fn(grad)

        return hook

    wanted = [(i, t) for i, t in enumerate(tensors) if mode == "all" or t.requires_grad]
    return _Handles(t.register_hook(at(i)) for i, t in wanted)


_C._set_node_class(Node)
