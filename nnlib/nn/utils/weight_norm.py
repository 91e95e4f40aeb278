"""Weight normalisation: a weight as a length and a direction. `parametrizations.weight_norm` is its newer
form.
"""

import warnings

from nnlib import _C

from ..parameter import Parameter

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]


def norm_except_dim(v, dim):
    """The norms of the slices of `v` along `dim`, in a shape that broadcasts with it; of all of it for -1."""
    if dim == -1:
        return _C.norm(v)
    shape = [1] * v.dim()
    shape[dim] = v.size(dim)
    return _C.norm(v.transpose(0, dim).reshape(v.size(dim), -1), 2, 1).reshape(shape)


def apply_weight_norm(v, g, dim):
    """g v / |v|."""
    return v * (g / norm_except_dim(v, dim))


class WeightNorm:
    """The hook that computes the weight before each forward; see `weight_norm`."""

    def __init__(self, name, dim):
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module):
        """The weight out of its two parts."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return apply_weight_norm(v, g, self.dim)

    @staticmethod
    def apply(module, name, dim):
        """Replace the parameter `name` by its two parts and add the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(norm_except_dim(weight, hook.dim).data))
        module.register_parameter(name + "_v", Parameter(weight.data))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module):
        """Put the plain parameter back."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module, inputs):
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module, name="weight", dim=0):
    r"""Train a weight as its length g and direction v: :math:`w = g\, v / |v|`.

    Args:
        module (Module): whose parameter it is.
        name (str): of the parameter. Default: ``'weight'``.
        dim (int, optional): the dimension that has a length for each index; None: one for all. Default: 0.

    Returns:
        Module: `module`, with parameters ``name_g`` and ``name_v``.

    Source: Salimans and Kingma, "Weight normalization" (2016).
    """
    warnings.warn(
        "`nn.utils.weight_norm` is deprecated in favor of `nn.utils.parametrizations.weight_norm`.",
        FutureWarning,
        stacklevel=2,
    )
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module, name="weight"):
    """Undo `weight_norm`: the parameter gets the value it has now. ValueError if there is none."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, WeightNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")
