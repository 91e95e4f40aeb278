"""The backward graph: its nodes, and hooks around saved tensors."""

from __future__ import annotations

from collections.abc import Callable

from .. import _C

__all__ = ["Node", "save_on_cpu", "saved_tensors_hooks"]


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
        _C._push_saved_tensors_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc) -> None:
        _C._pop_saved_tensors_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Saved tensors are copied, so that later changes in place do not touch them.

    ``pin_memory`` and ``device_type`` change nothing: all memory is the CPU's.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cpu"):
        super().__init__(lambda t: t.clone(), lambda t: t)


_C._set_node_class(Node)
