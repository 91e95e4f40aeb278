"""Copies of a module whose parameters' gradients flow back to it."""

from nnlib._C import is_grad_enabled
from nnlib.autograd import Function

__all__ = ["replicate"]


class _Broadcast(Function):
    """Each tensor once for every replica: the first an alias, the others copies. Backward sums."""

    @staticmethod
    def forward(ctx, n, *tensors):
        ctx.n = n
        return tuple(t.detach() if i == 0 else t.detach().clone() for i in range(n) for t in tensors)

    @staticmethod
    def backward(ctx, *grads):
        step = len(grads) // ctx.n
        sums = list(grads[:step])
        for i in range(step, len(grads)):
            sums[i % step] = sums[i % step] + grads[i]
        return (None, *sums)


def _copies(tensors, n, detach):
    """For each replica, a list with its form of each tensor."""
    if not tensors:
        return [[] for _ in range(n)]
    if detach or not is_grad_enabled():
        return [[t.detach() if i == 0 else t.detach().clone() for t in tensors] for i in range(n)]
    flat = _Broadcast.apply(n, *tensors)
    return [list(flat[i * len(tensors) : (i + 1) * len(tensors)]) for i in range(n)]


def replicate(network, devices, detach=False):
    """One copy of `network` for each device.

    The first copy's parameters and buffers share memory with the network's, so changes in place are kept
    there; the other copies have their own. Gradients of all copies' parameters are summed into the network's.

    Args:
        network (Module): the module.
        devices (list): one entry for each copy.
        detach (bool): cut the copies off from the network's graph. Default: ``False``.

    Returns:
        list of Module
    """
    n = len(devices)
    params, buffers, modules = list(network.parameters()), list(network.buffers()), list(network.modules())
    index = {id(module): i for i, module in enumerate(modules)}
    param_index = {id(p): i for i, p in enumerate(params)}
    buffer_index = {id(b): i for i, b in enumerate(buffers)}
    param_copies = _copies(params, n, detach)
    buffer_copies = [buffers if i == 0 else [b.detach().clone() for b in buffers] for i in range(n)]
    replicas = []
    for i in range(n):
        copies = [module._replicate_for_data_parallel() for module in modules]
        for module, copy in zip(modules, copies, strict=True):
            copy._former_parameters = {}
            for name, child in module._modules.items():
                copy._modules[name] = None if child is None else copies[index[id(child)]]
            for name, param in module._parameters.items():
                value = None if param is None else param_copies[i][param_index[id(param)]]
                # Not a leaf, so no parameter: a plain attribute.
                copy.__dict__[name] = value
                copy._former_parameters[name] = value
            for name, buffer in module._buffers.items():
                copy._buffers[name] = None if buffer is None else buffer_copies[i][buffer_index[id(buffer)]]
        replicas.append(copies[0])
    return replicas
