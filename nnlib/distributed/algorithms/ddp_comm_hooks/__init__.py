"""Communication hooks for DistributedDataParallel: what replaces the average of a bucket."""

from . import default_hooks, post_localSGD_hook, powerSGD_hook

__all__ = ["default_hooks", "post_localSGD_hook", "powerSGD_hook"]
