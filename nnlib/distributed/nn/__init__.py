"""Modules that live on other workers, as in torch.distributed.nn."""

from .remote_module import RemoteModule

__all__ = ["RemoteModule"]
