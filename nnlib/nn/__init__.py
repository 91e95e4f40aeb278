"""Neural networks: modules, their functions, start values and tools.

Example::

    >>> import nnlib
    >>> net = nnlib.nn.Sequential(nnlib.nn.Linear(4, 8), nnlib.nn.ReLU(), nnlib.nn.Linear(8, 2))
    >>> net(nnlib.zeros(3, 4)).shape
    torch.Size([3, 2])
"""

import importlib as _importlib

from . import functional, init, modules, parallel, parameter, utils
from .modules import *  # noqa: F403
from .modules import __all__ as _modules
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [  # noqa: F405
    *_modules,
    "Buffer",
    "DataParallel",
    "DistributedDataParallel",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "attention",
    "factory_kwargs",
    "functional",
    "init",
    "modules",
    "parallel",
    "parameter",
    "utils",
]


def factory_kwargs(kwargs):
    """The keyword arguments for a factory function such as `empty`, out of a module's keyword arguments.

    Args:
        kwargs (dict or None): with the keys ``device``, ``dtype``, ``memory_format``, and ``factory_kwargs``
            for a dictionary of more.

    Raises:
        TypeError: another key, or one given twice.

    Example::

        >>> import nnlib
        >>> nnlib.nn.factory_kwargs({"dtype": None})
        {'dtype': None}
    """
    if kwargs is None:
        return {}
    simple = {"device", "dtype", "memory_format"}
    unexpected = kwargs.keys() - simple - {"factory_kwargs"}
    if unexpected:
        raise TypeError(f"unexpected kwargs {unexpected}")
    result = dict(kwargs.get("factory_kwargs", {}))
    for key in sorted(simple & kwargs.keys()):
        if key in result:
            raise TypeError(f"{key} specified twice, in **kwargs and in factory_kwargs")
        result[key] = kwargs[key]
    return result


def __getattr__(name):
    # Imported on first use: most programs run without MPI.
    if name == "DistributedDataParallel":
        return parallel.DistributedDataParallel
    if name == "attention":
        return _importlib.import_module(".attention", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
