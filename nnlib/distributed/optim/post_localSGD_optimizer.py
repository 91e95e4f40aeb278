"""An optimizer that averages parameters over the ranks after its steps."""

import warnings

from ...optim import Optimizer

__all__ = ["PostLocalSGDOptimizer"]


class PostLocalSGDOptimizer(Optimizer):
    """Wraps an optimizer: after each step an averager may average the parameters over the ranks.

    Args:
        optim (Optimizer): the optimizer.
        averager (ModelAverager): such as ``PeriodicModelAverager``.

    Example::

        >>> import nnlib as torch
        >>> from nnlib.distributed.algorithms.model_averaging import averagers
        >>> from nnlib.distributed.optim import PostLocalSGDOptimizer
        >>> optimizer = PostLocalSGDOptimizer(  # doctest: +SKIP
        ...     torch.optim.SGD(net.parameters(), lr=0.1), averagers.PeriodicModelAverager(4, warmup_steps=100)
        ... )
    """

    def __init__(self, optim, averager):
        self.optim, self.averager = optim, averager
        self.param_groups = optim.param_groups

    @property
    def state(self):
        """The optimizer's state."""
        return self.optim.state

    def __repr__(self):
        return repr(self.optim)

    def state_dict(self):
        """The optimizer's, with the averager's count under "step"."""
        return {**self.optim.state_dict(), "step": self.averager.step}

    def load_state_dict(self, state_dict):
        """Takes what :meth:`state_dict` gave; without "step" it warns, and the averager counts from 0."""
        self.optim.load_state_dict({key: value for key, value in state_dict.items() if key != "step"})
        self.param_groups = self.optim.param_groups
        if "step" not in state_dict:
            warnings.warn(
                "Loaded state dict does not contain a step counter for an averager. Setting step counter to 0.",
                stacklevel=2,
            )
        self.averager.step = state_dict.get("step", 0)

    def step(self, closure=None):
        """Steps the optimizer, and averages the parameters when the averager says so; gives the closure's loss."""
        loss = self.optim.step() if closure is None else self.optim.step(closure)
        self.averager.average_parameters(self.param_groups)
        return loss

    def zero_grad(self, set_to_none=True):
        """The optimizer's."""
        self.optim.zero_grad(set_to_none=set_to_none)

    def add_param_group(self, param_group):
        """The optimizer's."""
        self.optim.add_param_group(param_group)
