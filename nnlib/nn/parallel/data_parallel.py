"""Data parallelism inside one process."""

import itertools

from ..modules.module import Module
from ._devices import device_index, device_indices
from ._outputs import find_tensors, replace_tensors
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]


class DataParallel(Module):
    """Runs a module on parts of a batch at the same time, one part for each device.

    A device is a share of this machine's cores with threads of its own: ``cpu:0``, ``cpu:1``, ...
    (:func:`nnlib.set_device_partition`; by default one for each NUMA node). Each call splits the arguments along
    `dim` (tensors; also those in tuples, lists and dictionaries), copies the module for each device, runs the
    copies in parallel and puts their outputs together; backward computes on all devices at once too, and
    gradients are summed into the module. Other arguments are shared: what is written to them is seen by all.

    Changes of the module made inside forward are lost, except those made in place to the parameters and buffers
    of the first device, whose copy shares memory with the module: batch norm's running statistics are those of
    the first part. Hooks run once for each copy, those of one copy in order. Outputs that are scalars become a
    vector with one element for each device that had a part. A batch smaller than the number of devices leaves
    devices out. A copy of another DataParallel calls its module, on the copy's device. Dropout takes the
    numbers of each device's own generator.

    Args:
        module (Module): what to run. Its parameters and buffers are on the first device, or plain ``"cpu"``.
        device_ids (list, optional): the devices, as numbers or devices. Default: all.
        output_device (optional): where the output goes; ``"cpu"`` or -1: to no device in particular, so that all
            cores may work on what follows. Default: the first device.
        dim (int): the dimension of the batch. Default: 0.

    Attributes:
        module (Module): the module.

    Raises:
        AssertionError: a device that is not there.
        RuntimeError: in a call: a parameter or buffer is on another device than the first.

    For several processes, and on several machines, there is
    :class:`~nnlib.nn.parallel.DistributedDataParallel`, which is faster.

    Example::

        >>> import nnlib
        >>> nnlib.set_device_partition(2)
        >>> net = nnlib.nn.DataParallel(nnlib.nn.Linear(4, 2), device_ids=[0, 1])
        >>> net(nnlib.zeros(6, 4)).shape
        torch.Size([6, 2])
        >>> nnlib.set_device_partition(0)
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0):
        super().__init__()
        self.dim = dim
        self.module = module
        self.device_ids = device_indices(device_ids)
        self.output_device = device_index(self.device_ids[0] if output_device is None else output_device)

    def forward(self, *inputs, **kwargs):
        if getattr(self, "_is_replica", False):  # inside of another one's copy, which has one device
            return self.module(*inputs, **kwargs)
        self._check_devices()
        parts, kwargs_parts = self.scatter(inputs, kwargs, self.device_ids)
        if not parts and not kwargs_parts:  # a module without arguments runs once
            parts, kwargs_parts = ((),), ({},)
        if len(self.device_ids) == 1:
            output = self.module(*parts[0], **kwargs_parts[0])  # as it is, a scalar too
            if self.output_device == self.device_ids[0]:
                return output
            device = "cpu" if self.output_device < 0 else self.output_device
            return replace_tensors(output, (tensor.to(device) for tensor in find_tensors(output)))
        replicas = self.replicate(self.module, self.device_ids[: len(parts)])
        return self.gather(self.parallel_apply(replicas, parts, kwargs_parts), self.output_device)

    def _check_devices(self):
        first = self.device_ids[0]
        for tensor in itertools.chain(self.module.parameters(), self.module.buffers()):
            if tensor.device.index not in (None, first):
                raise RuntimeError(
                    f"module must have its parameters and buffers on device cpu:{first} (device_ids[0]) but "
                    f"found one of them on device: {tensor.device}"
                )

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
    """What a `DataParallel` of a module returns, without making one.

    Args:
        module (Module), device_ids, output_device, dim: as for :class:`DataParallel`.
        inputs (tuple): the positional arguments; or one value.
        module_kwargs (dict, optional): the keyword arguments.

    Example::

        >>> import nnlib
        >>> nnlib.set_device_partition(2)
        >>> nnlib.nn.parallel.data_parallel(nnlib.nn.Linear(4, 2), nnlib.zeros(6, 4), [0, 1]).shape
        torch.Size([6, 2])
        >>> nnlib.set_device_partition(0)
    """
    inputs = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return DataParallel(module, device_ids, output_device, dim)(*inputs, **(module_kwargs or {}))
