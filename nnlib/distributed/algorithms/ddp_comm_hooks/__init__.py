"""Communication hooks for DistributedDataParallel: what replaces the average of a bucket."""

from . import default_hooks

__all__ = ["default_hooks"]
