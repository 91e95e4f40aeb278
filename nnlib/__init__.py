"""nnlib: neural networks on CPUs and CPU clusters, with PyTorch's API.

Programs written for PyTorch run after ``import nnlib as torch``.
"""

# ruff: noqa: E402, F401  (the native module has to be there before the rest is imported)

import importlib as _importlib

from . import _C
from ._size import Size

_C._set_size_class(Size)

from . import _lazy
from ._tensor import Tensor

_lazy.add_methods(Tensor)

# The native operators, dtypes and switches, except what belongs to nn.functional alone.
globals().update(
    {name: getattr(_C, name) for name in dir(_C) if name[0] != "_" and name not in _C._private_names}
)

from . import autograd
from ._arguments import check_arguments as _check_arguments
from ._composite import corrcoef, cov, gradient, kron, renorm, unravel_index
from ._functions import (
    are_deterministic_algorithms_enabled,
    broadcast_shapes,
    finfo,
    get_float32_matmul_precision,
    iinfo,
    is_complex,
    is_floating_point,
    is_nonzero,
    is_tensor,
    numel,
    set_float32_matmul_precision,
    use_deterministic_algorithms,
)
from ._legacy import TYPES as _TYPES
from ._products import chain_matmul, einsum, tensordot
from ._shape import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    broadcast_tensors,
    cartesian_prod,
    meshgrid,
    nonzero,
    unique,
    unique_consecutive,
)
from ._sparse import sparse_coo_tensor
from ._tensor_str import set_printoptions
from .autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

globals().update(_TYPES)
_check_arguments(globals(), list(globals()))

__version__ = "0.1.0"

from math import e, inf, nan, pi

newaxis = None

# Imported when first asked for: `import nnlib` stays quick.
_SUBMODULES = {
    "accelerator",
    "amp",
    "backends",
    "cpu",
    "cuda",
    "distributed",
    "distributions",
    "futures",
    "linalg",
    "multiprocessing",
    "nn",
    "optim",
    "random",
    "safetensors",
    "serialization",
    "sparse",
    "special",
    "testing",
    "types",
    "utils",
    "version",
}
_MOVED = _lazy.modules_of(_lazy.FUNCTIONS)


def __getattr__(name: str):
    if name in _SUBMODULES:
        return _importlib.import_module(f".{name}", __name__)
    if name in _MOVED:
        value = globals()[name] = _lazy.function_of(_MOVED[name], name)
        return value
    raise AttributeError(f"module 'nnlib' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES, *_MOVED})
