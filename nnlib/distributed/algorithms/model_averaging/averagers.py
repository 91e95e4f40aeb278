"""When and how parameters are averaged over the ranks.

Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019.
"""

from abc import ABC, abstractmethod

from .... import cat, no_grad
from ...collectives import ReduceOp, all_reduce
from ...process_group import resolve

__all__ = ["ModelAverager", "PeriodicModelAverager"]


class ModelAverager(ABC):
    """Base of what averages parameters: counts steps.

    Args:
        process_group (ProcessGroup): None for the default one.

    Example::

        >>> class Always(ModelAverager):  # doctest: +SKIP
        ...     def average_parameters(self, params):
        ...         for p in params:
        ...             dist.all_reduce(p.data, dist.ReduceOp.AVG, self.process_group)
    """

    def __init__(self, process_group=None):
        self.process_group = resolve(process_group)
        self.step = 0

    @abstractmethod
    def average_parameters(self, params):
        """Called after each step of an optimizer."""


class PeriodicModelAverager(ModelAverager):
    """Averages parameters every `period` steps, after `warmup_steps` in which it only counts.

    Args:
        period (int): steps from one average to the next, at least 1.
        warmup_steps (int): steps before the first average; gradients are averaged in them.
        process_group (ProcessGroup): None for the default one.

    Example::

        >>> from nnlib.distributed.algorithms.model_averaging import averagers
        >>> averager = averagers.PeriodicModelAverager(period=4, warmup_steps=100)  # doctest: +SKIP
        >>> averager.average_parameters(net.parameters())  # doctest: +SKIP
    """

    def __init__(self, period, warmup_steps=0, process_group=None):
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        if period <= 0:
            raise ValueError("Arg ``period`` must be a positive value.")
        self.period, self.warmup_steps = period, warmup_steps

    def average_parameters(self, params):
        """Averages the parameters (tensors, or dicts of groups as an optimizer has them) when it is time to."""
        since = self.step - self.warmup_steps
        if since >= 0 and since % self.period == 0:
            average(params, self.process_group)
        self.step += 1


def average(params, group):
    """Gives all ranks the average of each parameter that has a gradient; a message for each dtype."""
    tensors = [t for one in params for t in (one["params"] if isinstance(one, dict) else [one])]
    by_dtype = {}
    for tensor in tensors:
        if tensor.grad is not None:
            by_dtype.setdefault(tensor.dtype, []).append(tensor)
    with no_grad():
        for together in by_dtype.values():
            flat = cat([tensor.detach().reshape(-1) for tensor in together])
            all_reduce(flat, ReduceOp.AVG, group)
            start = 0
            for tensor in together:
                tensor.copy_(flat[start : start + tensor.numel()].view(tensor.shape))
                start += tensor.numel()
