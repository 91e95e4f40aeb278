"""Spectral normalisation: a weight divided by its largest singular value.

`parametrizations.spectral_norm` is its newer form.
"""

from nnlib import _C
from nnlib.autograd import no_grad

from .. import functional as F
from ..parameter import Parameter

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]


def default_dim(module, dim):
    """The dimension of the outputs: 1 for transposed convolutions, else 0."""
    if dim is not None:
        return dim
    return 1 if getattr(module, "transposed", False) else 0


def as_matrix(weight, dim):
    """`weight` with `dim` in rows and everything else in columns."""
    if dim != 0:
        weight = weight.permute(dim, *[d for d in range(weight.dim()) if d != dim])
    return weight.reshape(weight.size(0), -1)


@no_grad()
def power_iteration(matrix, u, v, steps, eps):
    """Move u and v towards the leading singular vectors, in place."""
    for _ in range(steps):
        v.copy_(F.normalize(matrix.t().mv(u), dim=0, eps=eps))
        u.copy_(F.normalize(matrix.mv(v), dim=0, eps=eps))


def largest_singular_value(matrix, u, v):
    """u^T M v, with gradients for M alone."""
    return _C.dot(u.clone(), matrix.mv(v.clone()))


class SpectralNorm:
    """The hook that computes the weight before each forward; see `spectral_norm`."""

    _version = 1

    def __init__(self, name="weight", n_power_iterations=1, dim=0, eps=1e-12):
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.name, self.dim = name, dim
        self.n_power_iterations, self.eps = n_power_iterations, eps

    def compute_weight(self, module, do_power_iteration):
        """The weight divided by its largest singular value."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:
            power_iteration(matrix, u, v, self.n_power_iterations, self.eps)
        return weight / largest_singular_value(matrix, u, v)

    def remove(self, module):
        """Put the plain parameter back."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        delattr(module, self.name)
        for suffix in ("_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module, inputs):
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))

    @staticmethod
    def apply(module, name, n_power_iterations, dim, eps):
        """Replace the parameter `name` by the original and two vectors, and add the hook."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm) and hook.name == name:
                raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
        with no_grad():
            rows, cols = as_matrix(weight, dim).shape
            u = F.normalize(_C.empty(rows, dtype=weight.dtype).normal_(0, 1), dim=0, eps=eps)
            v = F.normalize(_C.empty(cols, dtype=weight.dtype).normal_(0, 1), dim=0, eps=eps)
        del module._parameters[name]
        module.register_parameter(name + "_orig", weight)
        # Something has to stand there for code that only looks at it; it is no parameter.
        setattr(module, name, weight.data)
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(hook)
        return hook


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Divide a weight by its largest singular value, found by power iteration, before each forward.

    Args:
        module (Module): whose parameter it is.
        name (str): of the parameter. Default: ``'weight'``.
        n_power_iterations (int): steps for each forward in training. Default: 1.
        eps (float): least norm of a vector. Default: 1e-12.
        dim (int, optional): the dimension of the outputs. Default: 0, or 1 for transposed convolutions.

    Returns:
        Module: `module`, with the parameter ``name_orig``.

    Raises:
        ValueError: no iterations. RuntimeError: it is normalised already.

    Source: Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative adversarial networks"
        (2018).
    """
    SpectralNorm.apply(module, name, n_power_iterations, default_dim(module, dim), eps)
    return module


def remove_spectral_norm(module, name="weight"):
    """Undo `spectral_norm`: the parameter gets the value it has now. ValueError if there is none."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, SpectralNorm) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"spectral_norm of '{name}' not found in {module}")
