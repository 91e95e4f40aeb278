"""Weights that stay orthogonal matrices, as functions of free ones."""

from nnlib import _C
from nnlib.autograd import no_grad

from ..modules.module import Module
from . import parametrize

_MAPS = ("matrix_exp", "cayley", "householder")


def _orthogonalized(matrix):
    """Q of a QR factorisation whose R has a positive diagonal."""
    from nnlib.linalg._older import geqrf, orgqr

    packed, tau = geqrf(matrix)
    sign = packed.diagonal(0, -2, -1).sign()
    return orgqr(packed, tau) * sign.unsqueeze(-2)


def _is_orthogonal(q):
    n, k = q.shape[-2:]
    unit = _C.eye(k, dtype=q.dtype)
    eps = 10 * n * (1.2e-7 if q.dtype == _C.float32 else 2.3e-16)
    return bool(((q.mT @ q - unit).abs() <= eps).all())


class _Orthogonal(Module):
    def __init__(self, weight, orthogonal_map, use_trivialization):
        super().__init__()
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x):
        from nnlib import linalg

        wide = x.shape[-2] < x.shape[-1]
        x = x.mT if wide else x
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            reflections = x.tril(-1)
            tau = 2 / (1 + reflections.square().sum(-2))
            # The diagonal holds signs, which are no parameters.
            q = linalg.householder_product(reflections, tau) * x.detach().diagonal(
                0, -2, -1
            ).sign().unsqueeze(-2)
        else:
            lower = x.tril()
            if n != k:
                lower = _C.cat([lower, _C.zeros(*x.shape[:-1], n - k, dtype=x.dtype)], -1)
            skew = lower - lower.mT
            if self.orthogonal_map == "matrix_exp":
                q = linalg.matrix_exp(skew)
            else:
                unit = _C.eye(n, dtype=x.dtype)
                q = _C.linalg_solve(unit - skew / 2, unit + skew / 2)
            q = q[..., :k]
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    @no_grad()
    def right_inverse(self, value):
        from nnlib.linalg._older import geqrf

        if value.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {value.shape}."
            )
        wide = value.shape[-2] < value.shape[-1]
        q = value.mT if wide else value
        n, k = q.shape[-2:]
        if hasattr(self, "base"):
            if n != k:  # completed to a square one
                q = _C.cat([q, _C.randn(*q.shape[:-2], n, n - k, dtype=q.dtype)], -1)
            self.base = q.clone() if n == k and _is_orthogonal(q) else _orthogonalized(q)
            free = _C.zeros_like(value)
            free.diagonal(0, -2, -1).fill_(-1.0)
            return free
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                "use_trivialization=False."
            )
        packed, tau = geqrf(q)
        diagonal = packed.diagonal(0, -2, -1)
        diagonal.copy_(_C.where(tau == 0, -diagonal.sign(), diagonal.sign()))
        return packed.mT if wide else packed


def orthogonal(module, name="weight", orthogonal_map=None, *, use_trivialization=True):
    """Keep a matrix's columns (its rows, where it is wide) orthonormal.

    Args:
        module (Module): whose parameter it is.
        name (str): of the parameter, a matrix or a batch of them. Default: ``'weight'``.
        orthogonal_map (str, optional): ``'matrix_exp'`` (of a skew-symmetric matrix), ``'cayley'``
            ((1 + A/2) / (1 - A/2) of one), or ``'householder'`` (a product of reflections). Default: the first
            for square matrices, the last for others.
        use_trivialization (bool): the matrix is a fixed orthogonal one times a function that starts from the unit
            matrix, so that the start value is kept. Default: ``True``.

    Returns:
        Module: `module`, with the parameter ``parametrizations.name.original``. Its value starts from the old one
        where that is orthogonal, from its QR factorisation otherwise.

    Raises:
        ValueError: no such parameter, fewer than two dimensions, or another map.

    Source: Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds" (2019).

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.utils.parametrizations.orthogonal(nnlib.nn.Linear(3, 5))
        >>> q = layer.weight
        >>> nnlib.allclose(q.T @ q, nnlib.eye(3), atol=1e-5)
        True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, _C.Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.dim() < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions."
        )
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    free = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return parametrize.register_parametrization(module, name, free, unsafe=True)
