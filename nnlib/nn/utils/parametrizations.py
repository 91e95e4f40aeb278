"""Parametrisations of weights: by length and direction, with a largest singular value of 1, and orthogonal ones."""

from nnlib import _C
from nnlib._dims import wrapped_dim
from nnlib.autograd import no_grad

from .. import functional as F
from ..modules.module import Module
from . import parametrize
from ._orthogonal import orthogonal
from .spectral_norm import as_matrix, default_dim, largest_singular_value, power_iteration
from .weight_norm import apply_weight_norm, norm_except_dim

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return apply_weight_norm(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module, name="weight", dim=0):
    r"""Train a weight as its length g and direction v: :math:`w = g\, v / |v|`.

    Args:
        module (Module): whose parameter it is.
        name (str): of the parameter. Default: ``'weight'``.
        dim (int, optional): the dimension that has a length for each index; None: one for all. Default: 0.

    Returns:
        Module: `module`, with parameters ``parametrizations.name.original0`` (g) and ``original1`` (v).

    Source: Salimans and Kingma, "Weight normalization" (2016).

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.utils.parametrizations.weight_norm(nnlib.nn.Linear(4, 2))
        >>> layer.parametrizations.weight.original0.shape
        torch.Size([2, 1])
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict, prefix, *_):
        # States saved with the older form hold name_g and name_v.
        g, v = f"{prefix}{name}_g", f"{prefix}{name}_v"
        if g in state_dict and v in state_dict:
            state_dict[f"{prefix}parametrizations.{name}.original0"] = state_dict.pop(g)
            state_dict[f"{prefix}parametrizations.{name}.original1"] = state_dict.pop(v)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        ndim = weight.dim()
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps, self.n_power_iterations = wrapped_dim(dim, ndim), eps, n_power_iterations
        if ndim > 1:  # a vector's only singular value is its norm
            matrix = as_matrix(weight.detach(), self.dim)
            rows, cols = matrix.shape
            u = _C.empty(rows, dtype=weight.dtype).normal_(0, 1)
            v = _C.empty(cols, dtype=weight.dtype).normal_(0, 1)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            power_iteration(matrix, self._u, self._v, 15, eps)

    def forward(self, weight):
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_iteration(matrix, self._u, self._v, self.n_power_iterations, self.eps)
        return weight / largest_singular_value(matrix, self._u, self._v)

    def right_inverse(self, value):
        return value


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Divide a weight by its largest singular value, found by power iteration.

    Args:
        module (Module): whose parameter it is.
        name (str): of the parameter. Default: ``'weight'``.
        n_power_iterations (int): steps each time the weight is computed in training. Default: 1.
        eps (float): least norm of a vector. Default: 1e-12.
        dim (int, optional): the dimension of the outputs. Default: 0, or 1 for transposed convolutions.

    Returns:
        Module: `module`, with the parameter ``parametrizations.name.original``.

    Raises:
        ValueError: no such parameter, or no iterations.

    Source: Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative adversarial networks"
        (2018).
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, _C.Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    dim = default_dim(module, dim)
    with no_grad():
        parametrization = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, parametrization)
