"""Parameters as one vector, and back."""

import math

from nnlib import _C
from nnlib._C import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters):
    """All parameters, flattened, one after the other.

    Example::

        >>> import nnlib
        >>> nnlib.nn.utils.parameters_to_vector(nnlib.nn.Linear(2, 3).parameters()).shape
        torch.Size([9])
    """
    return _C.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec, parameters):
    """Give the parameters the values in `vec`, which holds them as `parameters_to_vector` puts them.

    The parameters then share memory with the vector.

    Raises:
        TypeError: `vec` is no tensor. RuntimeError: it is too short.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec)}")
    start = 0
    for parameter in parameters:
        size = math.prod(parameter.shape)
        parameter.data = vec[start : start + size].view_as(parameter).data
        start += size
