"""Decorators for functions that other workers call."""

import functools

__all__ = ["async_execution"]


def async_execution(fn):
    """Decorates a function that returns a Future: the caller gets the Future's value when it is there.

    The worker's thread is free meanwhile. With staticmethod or classmethod, this decorator comes first (it is
    written below theirs). A Future is made with ``nnlib.futures.Future()`` or comes from :func:`rpc_async` and
    its ``then``.

    Example::

        >>> import nnlib as torch
        >>> from nnlib.distributed import rpc
        >>> @rpc.functions.async_execution
        ... def add_twice(to, x, y):
        ...     return rpc.rpc_async(to, torch.add, args=(x, y)).then(lambda f: f.wait() + y)
        >>> rpc.rpc_sync("worker1", add_twice, args=("worker2", torch.ones(2), 1))  # doctest: +SKIP
        tensor([3., 3.])
    """

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    wrapper._wrapped_async_rpc_function = fn
    return wrapper
