"""Communication hooks for DistributedDataParallel: what replaces the average of a bucket."""

from . import default_hooks, powerSGD_hook

__all__ = ["default_hooks", "powerSGD_hook"]
