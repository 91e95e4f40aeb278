"""An optimizer whose parameters live on several workers."""

import collections
import threading

from ...optim import Optimizer
from .. import autograd
from ..rpc import RRef, rpc_async

__all__ = ["DistributedOptimizer"]


class _LocalOptimizer:
    """A worker's own optimizer, of the parameters that it has."""

    _lock = threading.Lock()  # steps of several users do not mix: parameters may belong to more than one

    def __init__(self, optimizer_class, rrefs, args, kwargs):
        self.params = [rref.local_value() for rref in rrefs]
        for param in self.params:
            if not param.is_leaf:
                param.retain_grad()  # so that the pass collects its gradient
        self.optimizer = optimizer_class(self.params, *args, **kwargs)

    def step(self, context_id):
        """One step with the context's gradients; .grad is afterwards what it was."""
        grads = autograd.get_gradients(context_id)
        with self._lock:
            before = [param.grad for param in self.params]
            try:
                for param in self.params:
                    param.grad = grads.get(param)
                self.optimizer.step()
            finally:
                for param, grad in zip(self.params, before, strict=True):
                    param.grad = grad


def _new_local_optimizer(optimizer_class, rrefs, args, kwargs):
    return RRef(_LocalOptimizer(optimizer_class, rrefs, args, kwargs))


def _local_step(rref, context_id):
    rref.local_value().step(context_id)


class DistributedOptimizer:
    """Makes an optimizer on each worker that owns some of the parameters, and steps them all together.

    Gradients come from a context of :mod:`nnlib.distributed.autograd`; a parameter without one there is left
    alone. A tensor that is not a leaf, such as what :func:`rpc.remote` made of operands that require a gradient,
    can be a parameter too.

    Args:
        optimizer_class (type): a class of optimizers, such as ``optim.SGD``.
        params_rref (list of RRef): references to the parameters.
        args, kwargs: given to the optimizer on each worker.

    Raises what making an optimizer raises on a worker.

    Example::

        >>> import nnlib as torch
        >>> import nnlib.distributed.autograd as dist_autograd
        >>> from nnlib.distributed.optim import DistributedOptimizer
        >>> from nnlib.distributed.rpc import RRef
        >>> w = torch.ones(2, requires_grad=True)
        >>> optimizer = DistributedOptimizer(torch.optim.SGD, [RRef(w)], lr=0.1)  # doctest: +SKIP
        >>> with dist_autograd.context() as context_id:  # doctest: +SKIP
        ...     dist_autograd.backward(context_id, [(w * w).sum()])
        ...     optimizer.step(context_id)
    """

    def __init__(self, optimizer_class, params_rref, *args, **kwargs):
        if not (isinstance(optimizer_class, type) and issubclass(optimizer_class, Optimizer)):
            raise TypeError(f"expected a class of optimizers, but got {optimizer_class!r}")
        params_rref = list(params_rref)
        if not params_rref:
            raise ValueError("optimizer got an empty parameter list")
        for rref in params_rref:
            if not isinstance(rref, RRef):
                raise TypeError(f"expected params_rref to hold RRefs, but got {type(rref).__name__}")
        by_owner = collections.defaultdict(list)
        for rref in params_rref:
            by_owner[rref.owner()].append(rref)
        self.remote_optimizers = _wait_for_all(
            rpc_async(owner, _new_local_optimizer, (optimizer_class, rrefs, args, kwargs))
            for owner, rrefs in by_owner.items()
        )

    def step(self, context_id=None):
        """One step of each worker's optimizer, at the same time; returns when all are done.

        Args:
            context_id (int): the context whose gradients are taken; None for the one that this thread is in.

        Raises the first error of a worker, after all are done.
        """
        context_id = autograd._current_id() if context_id is None else context_id
        _wait_for_all(
            rpc_async(rref.owner(), _local_step, (rref, context_id)) for rref in self.remote_optimizers
        )


def _wait_for_all(futures):
    """The values of the futures; the first error when all are done."""
    results, first = [], None
    for future in list(futures):
        try:
            results.append(future.wait())
        except Exception as error:
            first = first or error
    if first is not None:
        raise first
    return results
