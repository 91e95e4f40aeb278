"""Optimizers for parameters that several processes share, as in torch.distributed.optim."""

from .distributed_optimizer import DistributedOptimizer

__all__ = ["DistributedOptimizer"]
