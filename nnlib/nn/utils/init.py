"""Modules without the cost of start values."""

import inspect

from .. import init as _init

__all__ = ["skip_init"]


class _NoFill:
    """While open, the functions of `nnlib.nn.init` leave their tensors as they are."""

    _names = (
        "uniform_",
        "normal_",
        "constant_",
        "ones_",
        "zeros_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "_uniform_by_fan_in_",
    )

    def __enter__(self):
        self.before = {name: getattr(_init, name) for name in self._names}
        for name in self._names:
            setattr(_init, name, lambda tensor, *args, **kwargs: tensor)

    def __exit__(self, *_):
        for name, function in self.before.items():
            setattr(_init, name, function)


def skip_init(module_cls, *args, **kwargs):
    """An instance of `module_cls` whose parameters and buffers have arbitrary values.

    Args:
        module_cls (type): a module class whose constructor takes `device`.
        *args, **kwargs: of its constructor.

    Raises:
        RuntimeError: no module class, or one whose constructor does not take `device`.

    Example::

        >>> import nnlib
        >>> nnlib.nn.utils.skip_init(nnlib.nn.Linear, 5, 1)
        Linear(in_features=5, out_features=1, bias=True)
    """
    from ..modules.module import Module

    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    with _NoFill():
        return module_cls(*args, **kwargs)
