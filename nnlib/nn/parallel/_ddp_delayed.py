"""Parameters whose gradients DistributedDataParallel averages together when that of another one comes."""

import weakref

from ... import cat, no_grad
from ...distributed._ddp import broadcast_coalesced
from ...distributed.collectives import ReduceOp, all_reduce


class Delayed:
    """The parameters of ``delay_all_reduce_named_params``: in no bucket of their own.

    Args:
        net (DistributedDataParallel): asked whether the pass is averaged.
        named (list): (name, parameter).
        trigger (Parameter): its gradient starts the average; those of the parameters have come by then.
        init_sync (bool): give all ranks the first one's values.
    """

    def __init__(self, net, named, trigger, init_sync):
        self.group = net.process_group
        self.parameters = [parameter for _, parameter in named]
        if init_sync:
            broadcast_coalesced([p.detach() for p in self.parameters], self.group)
        net, self_ = weakref.ref(net), self

        def average(grad):
            if (owner := net()) is not None and owner.require_forward_param_sync:
                self_.average()

        trigger.register_hook(average)

    def average(self):
        """Averages the gradients of this rank that are there; all ranks must have the same ones."""
        by_dtype = {}
        for parameter in self.parameters:
            if parameter.grad is not None:
                by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        with no_grad():
            for grads in by_dtype.values():
                flat = cat([grad.reshape(-1) for grad in grads])
                all_reduce(flat, ReduceOp.AVG, self.group)
                parts = flat.split([grad.numel() for grad in grads])
                for grad, part in zip(grads, parts, strict=True):
                    grad.copy_(part.view(grad.shape))
