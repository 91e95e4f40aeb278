"""A module on another worker, used from here."""

from ...nn.modules.module import Module
from .. import rpc

__all__ = ["RemoteModule"]


def _make(module_cls, args, kwargs):
    module = module_cls(*args, **kwargs)
    if not isinstance(module, Module):
        raise ValueError(
            f"Expect `module_cls(*args, **kwargs)` returns an instance of {Module}, but it returns an instance "
            f"of {type(module)}."
        )
    return rpc.RRef(module)


def _parameters(rref, recurse):
    return [rpc.RRef(parameter) for parameter in rref.local_value().parameters(recurse)]


def _worker_of(remote_device):
    """The worker that "name/cpu", "rank:1/cpu" or either without a device means."""
    if not isinstance(remote_device, str):
        raise TypeError(f"expected remote_device to be a string, but got {type(remote_device).__name__}")
    worker, _, device = remote_device.partition("/")
    if device and not device.startswith("cpu"):
        raise ValueError(f"expected a CPU device, but got {remote_device!r}")
    if worker.startswith("rank:") and worker[5:].isdigit():
        return int(worker[5:])
    return worker


class RemoteModule(Module):
    """Makes a module on a worker; a call of this one runs that one's ``forward`` there.

    Gradients go through it in a context of :mod:`nnlib.distributed.autograd`. Its parameters are
    :meth:`remote_parameters`; what would need them here (``parameters``, ``state_dict``, ``to`` and the like)
    raises ValueError. It can be sent to other workers, and then uses the same module.

    Args:
        remote_device (str): the worker: its name or "rank:N", with "/cpu" after it or not.
        module_cls (type): the module's class, or a function that makes one.
        args (tuple), kwargs (dict): given to it, on the worker.

    Example::

        >>> import nnlib as torch
        >>> from nnlib.distributed.nn import RemoteModule
        >>> layer = RemoteModule("worker1/cpu", torch.nn.Linear, args=(20, 30))  # doctest: +SKIP
        >>> layer(torch.randn(128, 20)).shape  # doctest: +SKIP
        torch.Size([128, 30])
    """

    def __init__(self, remote_device, module_cls, args=None, kwargs=None):
        super().__init__()
        worker = rpc.api._worker(rpc._state.agent(), _worker_of(remote_device))
        call = (module_cls, tuple(args or ()), dict(kwargs or {}))
        self._use(rpc.rpc_sync(worker, _make, call))

    def _use(self, module_rref):
        self.module_rref = module_rref
        self.on = module_rref.owner_name()

    @staticmethod
    def init_from_module_rref(remote_device, module_rref):
        """A RemoteModule for a module that is there already, to which `module_rref` refers."""
        worker = rpc.api._worker(rpc._state.agent(), _worker_of(remote_device))
        if worker != module_rref.owner():
            raise ValueError(f"the module lives on {module_rref.owner_name()}, not on {worker.name}")
        remote = RemoteModule.__new__(RemoteModule)
        Module.__init__(remote)
        remote._use(module_rref)
        return remote

    def __reduce__(self):
        return RemoteModule.init_from_module_rref, (self.on, self.module_rref)

    def forward(self, *args, **kwargs):
        """The module's output for these arguments."""
        return self.module_rref.rpc_sync().forward(*args, **kwargs)

    def forward_async(self, *args, **kwargs):
        """A Future of the module's output."""
        return self.module_rref.rpc_async().forward(*args, **kwargs)

    def remote_parameters(self, recurse=True):
        """RRefs to the module's parameters, for a :class:`nnlib.distributed.optim.DistributedOptimizer`."""
        return rpc.rpc_sync(self.on, _parameters, (self.module_rref, recurse))

    def get_module_rref(self):
        """The RRef to the module."""
        return self.module_rref

    def train(self, mode=True):
        """Puts the module there into training mode, or evaluation mode."""
        self.training = mode
        rpc.rpc_sync(self.on, _set_mode, (self.module_rref, mode))
        return self

    def extra_repr(self):
        """The worker's name."""
        return f"on={self.on!r}"


def _set_mode(rref, mode):
    rref.local_value().train(mode)


def _refuse(name):
    def refused(self, *args, **kwargs):
        raise ValueError(f"Method ``{name}`` not supported for RemoteModule")

    refused.__name__ = refused.__qualname__ = name
    refused.__doc__ = "Raises ValueError: the module is on another worker."
    return refused


for _name in (
    "register_buffer", "register_parameter", "add_module", "apply", "float", "double", "half", "bfloat16", "to",
    "state_dict", "load_state_dict", "parameters", "named_parameters", "buffers", "named_buffers", "children",
    "named_children", "modules", "named_modules", "requires_grad_", "zero_grad", "share_memory", "type",
):  # fmt: skip
    if hasattr(Module, _name):
        setattr(RemoteModule, _name, _refuse(_name))
