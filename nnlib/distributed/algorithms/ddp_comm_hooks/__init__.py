"""Communication hooks for DistributedDataParallel: what replaces the average of a bucket."""

from . import ddp_zero_hook, default_hooks, post_localSGD_hook, powerSGD_hook

__all__ = ["ddp_zero_hook", "default_hooks", "post_localSGD_hook", "powerSGD_hook"]
