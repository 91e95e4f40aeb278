"""Communication hooks for DistributedDataParallel: what a bucket is replaced by, instead of its plain
average.
"""

from . import default_hooks

__all__ = ["default_hooks"]
