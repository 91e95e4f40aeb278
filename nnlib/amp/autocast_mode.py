"""Regions of mixed precision, and custom functions in them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping

from .. import _C

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Whether :class:`autocast` takes the device type: True for ``"cpu"`` and ``"cuda"``.

    RuntimeError for any other name. A region for CUDA is taken and switched off, since there is no such device.

    >>> nnlib.amp.is_autocast_available("cpu")
    True
    """
    return _C._is_autocast_available(device_type)


class autocast:
    """A region, as context manager or decorator, in which operators choose their floating-point type.

    Matrix products, linear layers, convolutions, attention and recurrent layers take their arguments in `dtype`
    (and add up in float32); losses, products of many numbers, factorisations, three-dimensional pooling and some
    others take theirs in float32; ``cat``, ``stack`` and ``index_copy`` the widest type that comes. All others work
    on what they get. float64 is left alone. Parameters stay float32 and so do their gradients. In-place operators
    and ``out=`` are not cast. The lists are PyTorch's for CPUs.

    Args:
        device_type (str): ``"cpu"``; ``"cuda"`` is taken and switched off with a warning.
        dtype (dtype, optional): ``bfloat16`` or ``float16``. Default: ``get_autocast_dtype(device_type)``, bfloat16.
        enabled (bool): False switches autocast off inside the region. Default: ``True``
        cache_enabled (bool, optional): keep the casts of weights until the outermost region ends, so that a weight
            used twice is cast once. A weight that changes is cast again. Default: as it is, ``True`` at first.

    The switches belong to the thread: another thread opens a region of its own.
    :func:`~nnlib.nn.parallel.parallel_apply` hands them on to its threads. Leave the region before ``backward``.

    Raises:
        ValueError: a device type that is no string. RuntimeError: an unknown one. TypeError: decorating what cannot
        be called. A dtype that is no 16-bit float switches the region off with a warning.

    >>> x, w = nnlib.ones(2, 3), nnlib.ones(3, 4)
    >>> with nnlib.autocast("cpu", dtype=nnlib.bfloat16):
    ...     (x @ w).dtype, (x + 1).dtype
    (torch.bfloat16, torch.float32)
    """

    def __init__(
        self, device_type: str, dtype=None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        is_autocast_available(device_type)
        self.device = device_type
        self.fast_dtype = _C.get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = _C.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = enabled and self._usable()
        self._before: list[tuple] = []

    def _usable(self) -> bool:
        if self.device == "cuda":
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=3)
            return False
        if self.fast_dtype not in (_C.bfloat16, _C.float16):
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                "CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=3,
            )
            return False
        return True

    def __enter__(self):
        device = self.device
        before = (
            _C.is_autocast_enabled(device),
            _C.get_autocast_dtype(device),
            _C.is_autocast_cache_enabled(),
        )
        _C.set_autocast_enabled(device, self._enabled)
        if isinstance(self.fast_dtype, _C.dtype):
            _C.set_autocast_dtype(device, self.fast_dtype)
        _C.set_autocast_cache_enabled(self._cache_enabled)
        _C.autocast_increment_nesting()
        self._before.append(before)
        return self

    def __exit__(self, *exc) -> bool:
        if _C.autocast_decrement_nesting() == 0:
            _C.clear_autocast_cache()
        enabled, dtype, cache_enabled = self._before.pop()
        _C.set_autocast_enabled(self.device, enabled)
        _C.set_autocast_dtype(self.device, dtype)
        _C.set_autocast_cache_enabled(cache_enabled)
        return False

    def __call__(self, func):
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you mean to use "
                "autocast as a context manager? For example:\n"
                "    with torch.autocast(device_type=...):\n"
                "        output = model(input)"
            )

        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            with self._clone():
                return func(*args, **kwargs)

        return wrapper

    def _clone(self):
        """A region of the same switches: a decorated function may run in several threads at once."""
        region = object.__new__(autocast)
        region.__dict__.update(self.__dict__, _before=[])
        return region


def _cast(value, dtype):
    """Tensors in `value`, a container of containers perhaps, in the type `dtype`."""
    if isinstance(value, _C.Tensor):
        return value.to(dtype) if value.is_floating_point() and value.dtype != _C.float64 else value
    if isinstance(value, Mapping):
        return {_cast(k, dtype): _cast(v, dtype) for k, v in value.items()}
    if isinstance(value, str | bytes) or hasattr(value, "__array_interface__"):
        return value
    if isinstance(value, Iterable):
        items = (_cast(v, dtype) for v in value)
        return type(value)(items) if isinstance(value, list | tuple) else items
    return value


def _check_device_type(device_type) -> None:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")


def custom_fwd(fwd=None, *, device_type: str, cast_inputs=None):
    """Decorates the ``forward`` of a custom :class:`~nnlib.autograd.Function` that is used under autocast.

    Args:
        device_type (str): ``"cpu"``.
        cast_inputs (dtype, optional): inside a region, cast floating-point arguments to this type and run
            ``forward`` with autocast off. Default: run it with autocast as it is.

    Outside of a region it changes nothing.

    >>> class Mul(nnlib.autograd.Function):
    ...     @staticmethod
    ...     @nnlib.amp.custom_fwd(device_type="cpu", cast_inputs=nnlib.float32)
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @nnlib.amp.custom_bwd(device_type="cpu")
    ...     def backward(ctx, grad):
    ...         return grad * 2
    >>> with nnlib.autocast("cpu"):
    ...     Mul.apply(nnlib.ones(1, dtype=nnlib.bfloat16)).dtype
    torch.float32
    """
    _check_device_type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def wrapper(ctx, *args, **kwargs):
        inside = _C.is_autocast_enabled(device_type)
        ctx._dtype = _C.get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = inside and cast_inputs is None
        if cast_inputs is None or not inside:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, cast_inputs), **_cast(kwargs, cast_inputs))

    return wrapper


def custom_bwd(bwd=None, *, device_type: str):
    """Decorates the ``backward`` that belongs to a :func:`custom_fwd`: it runs with autocast as ``forward`` did."""
    _check_device_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def wrapper(ctx, *args, **kwargs):
        with autocast(device_type, dtype=ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(ctx, *args, **kwargs)

    return wrapper
