"""Backward passes through RPCs, named as in torch.distributed.autograd.

Example::

    >>> import nnlib as torch
    >>> import nnlib.distributed.autograd as dist_autograd
    >>> import nnlib.distributed.rpc as rpc
    >>> with dist_autograd.context() as context_id:  # doctest: +SKIP
    ...     t = torch.rand(3, requires_grad=True)
    ...     loss = rpc.rpc_sync("worker1", torch.mul, args=(t, t)).sum()
    ...     dist_autograd.backward(context_id, [loss])
    ...     grads = dist_autograd.get_gradients(context_id)
"""

from ... import _C
from ..rpc import _state
from ._contexts import Contexts
from ._engine import run_backward

__all__ = ["backward", "context", "get_gradients", "is_available"]


def is_available():
    """True: it is part of every nnlib.

    Example::

        >>> from nnlib.distributed import autograd
        >>> autograd.is_available()
        True
    """
    return True


class context:
    """A context in which RPCs remember how gradients go back: ``with context() as context_id:``.

    Gradients of :func:`backward` are collected in it and not in ``.grad``; they go when it ends. All RPCs that
    this thread makes inside belong to it, and those that they make in turn. A thread is in one context at most.
    Tensors that require a gradient keep their history through RPCs; a Parameter arrives as a plain tensor then.

    Raises RuntimeError when RPC is not initialized or this thread is in a context already.

    Example::

        >>> with dist_autograd.context() as context_id:  # doctest: +SKIP
        ...     loss = rpc.rpc_sync("worker1", torch.mul, args=(t, t)).sum()
        ...     dist_autograd.backward(context_id, [loss])
    """

    def __enter__(self):
        self._opened = _state.agent().contexts.opened()
        return self._opened.__enter__()

    def __exit__(self, kind, value, trace):
        return self._opened.__exit__(kind, value, trace)


def _current_id():
    number = Contexts.current()
    if number is None:
        raise RuntimeError("this thread is in no context of nnlib.distributed.autograd")
    return number


def backward(context_id, roots, retain_graph=False):
    """Runs the backward pass of these roots, on all workers that the context's RPCs have reached.

    Returns when all gradients are in the context, on the workers that have the leaves. Passes of one context
    add up. A pass counts on the workers to answer without a timeout.

    Args:
        context_id (int): what ``with context() as context_id`` gave.
        roots (list of Tensor): tensors of one element that require a gradient, or one such tensor.
        retain_graph (bool): keep what was saved for backward, for another pass in the same context.

    Raises:
        RuntimeError: no such context, no roots, a root that requires no gradient or is no scalar, or an error
            of backward on some worker.

    Example::

        >>> dist_autograd.backward(context_id, [loss])  # doctest: +SKIP
    """
    roots = [roots] if isinstance(roots, _C.Tensor) else list(roots)
    if not roots:
        raise RuntimeError("No tensors provided for gradient computation.")
    for root in roots:
        if not root.requires_grad:
            raise RuntimeError("requires_grad not set on root")
        if root.numel() != 1:
            raise RuntimeError(f"{tuple(root.shape)} is the shape of a root: root needs to be scalar")
    run_backward(context_id, roots, retain_graph)


def get_gradients(context_id):
    """The gradients that the context has collected on this worker: a dict from tensor to gradient.

    Args:
        context_id (int): what ``with context() as context_id`` gave.

    Returns a dict from tensors to their gradients.

    Example::

        >>> dist_autograd.get_gradients(context_id)[t]  # doctest: +SKIP
        tensor([2., 4.])
    """
    context = _state.agent().contexts.get(context_id)
    with context.lock:
        return dict(context.store.items())
