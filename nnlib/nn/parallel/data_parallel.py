"""Data parallelism inside one process."""

from nnlib import _C

from ..modules.module import Module
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]


def _device_index(device):
    """The number of a device given as a number, a string or a device."""
    if isinstance(device, int):
        return device
    device = device if isinstance(device, _C.device) else _C.device(device)
    return device.index or 0


def _device_indices(device_ids):
    """The devices to use; by default the one that the process has."""
    return [0] if device_ids is None else [_device_index(device) for device in device_ids]


class DataParallel(Module):
    """Runs a module on parts of a batch at the same time, one part for each device.

    Each call splits the arguments along `dim` (tensors; also those in tuples, lists and dictionaries), copies
    the module for each device, runs the copies in parallel and puts their outputs together. Gradients are
    summed into the module. Changes of the module made inside forward are lost, except those made in place to
    the parameters and buffers of the first device, whose copy shares memory with the module. Hooks run once
    for each copy. Outputs that are scalars become a vector with one element for each device.

    Args:
        module (Module): what to run.
        device_ids (list, optional): the devices, as numbers or devices. Default: all.
        output_device (optional): where the output goes. Default: the first device.
        dim (int): the dimension of the batch. Default: 0.

    Attributes:
        module (Module): the module.

    Example::

        >>> import nnlib
        >>> net = nnlib.nn.DataParallel(nnlib.nn.Linear(4, 2), device_ids=[0])
        >>> net(nnlib.zeros(6, 4)).shape
        torch.Size([6, 2])
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        self.dim = dim
        self.module = module
        self.device_ids = _device_indices(device_ids)
        self.output_device = _device_index(self.device_ids[0] if output_device is None else output_device)

    def forward(self, *inputs, **kwargs):
        parts, kwargs_parts = self.scatter(inputs, kwargs, self.device_ids)
        if not parts and not kwargs_parts:  # a module without arguments runs once
            parts, kwargs_parts = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*parts[0], **kwargs_parts[0])
        replicas = self.replicate(self.module, self.device_ids[: len(parts)])
        return self.gather(self.parallel_apply(replicas, parts, kwargs_parts), self.output_device)

    def replicate(self, module, device_ids):
        """One copy of `module` for each device."""
        return replicate(module, device_ids)

    def scatter(self, inputs, kwargs, device_ids):
        """Split the arguments; returns (tuple of positional, tuple of keyword arguments)."""
        return scatter_kwargs(inputs, kwargs, device_ids, self.dim)

    def parallel_apply(self, replicas, inputs, kwargs):
        """Call the copies at the same time."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[: len(replicas)])

    def gather(self, outputs, output_device):
        """Put the outputs together."""
        return gather(outputs, output_device, self.dim)


def data_parallel(module, inputs, device_ids=None, output_device=None, dim=0, module_kwargs=None):
    """What a `DataParallel` of `module` returns for `inputs` (a tuple, or one value), without making one."""
    inputs = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*inputs, **(module_kwargs or {}))
