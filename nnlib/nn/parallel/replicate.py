"""Copies of a module whose parameters' gradients flow back to it."""

from nnlib import _C
from nnlib.autograd import Function

from ._devices import device_index

__all__ = ["replicate"]


def _copy(tensors, i, device):
    """For replica i: the tensors' memory for the first, copies made on the device for the others."""
    if i == 0:
        return [t.detach() for t in tensors]
    return _C._copies_on(tensors, device)


def _add(total, grad):
    """The sum on the first's device; devices share the memory, so nothing has to be moved."""
    if total is None or grad is None:
        return grad if total is None else total
    if _C.is_grad_enabled():
        return total + grad.to(total.device)
    grad = grad.detach()
    _C._put_on_device(grad, total.get_device())
    return total + grad


class _Broadcast(Function):
    """Each tensor once for every replica: the first an alias, the others copies. Backward sums."""

    @staticmethod
    def forward(ctx, devices, *tensors):
        ctx.set_materialize_grads(False)
        ctx.n = len(tensors)
        return tuple(copy for i, device in enumerate(devices) for copy in _copy(tensors, i, device))

    @staticmethod
    def backward(ctx, *grads):
        sums = list(grads[: ctx.n])
        for i in range(ctx.n, len(grads)):
            sums[i % ctx.n] = _add(sums[i % ctx.n], grads[i])
        return (None, *sums)


def _copies(tensors, devices, detach):
    """For each replica, a dict from a tensor's id to its form there."""
    learned = [] if detach or not _C.is_grad_enabled() else [t for t in tensors if t.requires_grad]
    fixed = [t for t in tensors if not (learned and t.requires_grad)]
    flat = _Broadcast.apply(devices, *learned) if learned else ()
    copies = []
    for i, device in enumerate(devices):
        forms = dict(zip(map(id, learned), flat[i * len(learned) : (i + 1) * len(learned)], strict=True))
        forms.update(zip(map(id, fixed), _copy(fixed, i, device), strict=True))
        copies.append(forms)
    return copies


def replicate(network, devices, detach=False):
    """One copy of `network` for each device.

    The first copy's parameters and buffers share memory with the network's, so changes in place are kept
    there; the other copies have their own. Gradients of all copies' parameters are summed into the network's.

    Args:
        network (Module): the module.
        devices (list): the device of each copy.
        detach (bool): cut the copies off from the network's graph. Default: ``False``.

    Returns:
        list of Module

    Example::

        >>> import nnlib
        >>> nnlib.set_device_partition(2)
        >>> first, second = nnlib.nn.parallel.replicate(nnlib.nn.Linear(2, 1), [0, 1])
        >>> second.weight.device
        device(type='cpu', index=1)
        >>> nnlib.set_device_partition(0)
    """
    devices = [device_index(device) for device in devices]
    modules, buffers = list(network.modules()), list(network.buffers())
    index = {id(module): i for i, module in enumerate(modules)}
    forms = _copies(list(network.parameters()), devices, detach)
    for i, device in enumerate(devices):
        # The first copy has the buffers themselves, so that assignments by copy_ and the like are seen.
        copies = buffers if i == 0 else _C._copies_on([b.detach() for b in buffers], device)
        forms[i].update(zip(map(id, buffers), copies, strict=True))
    return [_assemble(modules, index, replica_forms) for replica_forms in forms]


def _assemble(modules, index, forms):
    """The copies of the modules with these forms of parameters and buffers in their places; gives the first."""
    copies = [module._replicate_for_data_parallel() for module in modules]
    for module, copy in zip(modules, copies, strict=True):
        copy._former_parameters = {}
        for name, child in module._modules.items():
            copy._modules[name] = None if child is None else copies[index[id(child)]]
        for name, param in module._parameters.items():
            value = None if param is None else forms[id(param)]
            # Not a leaf, so no parameter: a plain attribute.
            copy.__dict__[name] = value
            copy._former_parameters[name] = value
        for name, buffer in module._buffers.items():
            copy._buffers[name] = None if buffer is None else forms[id(buffer)]
    return copies[0]
