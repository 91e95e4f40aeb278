"""Settings that programs read and write, beside those of the native module."""

from __future__ import annotations

import warnings

from . import _C, _functions
from ._legacy import dtype_of_type_name

_warn_always = False
_MODES = ("default", "warn", "error")


def get_default_device():
    """The device of new tensors: ``cpu``.

    >>> nnlib.get_default_device()
    device(type='cpu')
    """
    return _C.device("cpu")


def set_default_device(device) -> None:
    """Nothing for ``"cpu"`` and None, which is where new tensors are.

    RuntimeError for another device: tensors go to a share of the cores by ``device=`` alone.

    >>> nnlib.set_default_device("cpu")
    """
    if device is None:
        return
    device = device if isinstance(device, _C.device) else _C.device(device)
    if device.type != "cpu" or device.index is not None:
        raise RuntimeError(
            f"set_default_device: new tensors are on 'cpu' unless they are told otherwise, got '{device}'"
        )


def set_default_tensor_type(t) -> None:
    """Choose the default dtype by an old type or its name, such as ``"torch.DoubleTensor"``.

    TypeError for types of integers.

    >>> nnlib.set_default_tensor_type(nnlib.FloatTensor)
    """
    dtype = dtype_of_type_name(t)
    if not isinstance(dtype, _C.dtype) or not dtype.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    _C.set_default_dtype(dtype)


def get_num_interop_threads() -> int:
    """Always 1: operators run one after the other, each on :func:`nnlib.get_num_threads` threads.

    >>> nnlib.get_num_interop_threads()
    1
    """
    return 1


def set_num_interop_threads(num: int) -> None:
    """Nothing for 1, which is how operators run; more warns, since there is no pool that would run them at once.

    RuntimeError for less than 1.
    """
    if not isinstance(num, int) or num < 1:
        raise RuntimeError("set_num_interop_threads expects a positive integer")
    if num > 1:
        warnings.warn(
            f"set_num_interop_threads({num}): operators run one after the other; it stays 1", stacklevel=2
        )


def set_flush_denormal(mode: bool) -> bool:
    """Always False, which says that it was not done: denormal numbers are kept everywhere."""
    return False


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """:func:`nnlib.use_deterministic_algorithms` by a number or a name: 0 or ``"default"``, 1 or ``"warn"``, 2 or
    ``"error"``. Every operator here is deterministic in all of them.

    TypeError or RuntimeError for another value.

    >>> nnlib.set_deterministic_debug_mode("warn")
    >>> nnlib.get_deterministic_debug_mode()
    1
    >>> nnlib.set_deterministic_debug_mode(0)
    """
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode).__name__}")
    if debug_mode not in (*_MODES, 0, 1, 2):
        raise RuntimeError(
            f"invalid value of debug_mode, expected `default`, `warn`, `error`, 0, 1 or 2, got {debug_mode}"
        )
    number = _MODES.index(debug_mode) if isinstance(debug_mode, str) else debug_mode
    _functions.use_deterministic_algorithms(number > 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2, as :func:`set_deterministic_debug_mode` takes it."""
    if not _functions.are_deterministic_algorithms_enabled():
        return 0
    return 1 if is_deterministic_algorithms_warn_only_enabled() else 2


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether :func:`nnlib.use_deterministic_algorithms` was last called with ``warn_only``."""
    return _functions._warn_only


def set_warn_always(b: bool) -> None:
    """Record the wish; no warning here is given once only, Python's own filters aside.

    >>> nnlib.set_warn_always(False)
    """
    global _warn_always
    if not isinstance(b, bool):
        raise TypeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _warn_always = b


def is_warn_always_enabled() -> bool:
    """What :func:`set_warn_always` was last called with; False at first."""
    return _warn_always


# ---- autocast's settings under their older names


def is_autocast_cpu_enabled() -> bool:
    """``is_autocast_enabled("cpu")``."""
    return _C.is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """``set_autocast_enabled("cpu", enabled)``."""
    _C.set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype():
    """``get_autocast_dtype("cpu")``.

    >>> nnlib.get_autocast_cpu_dtype()
    torch.bfloat16
    """
    return _C.get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype) -> None:
    """``set_autocast_dtype("cpu", dtype)``."""
    _C.set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype():
    """``get_autocast_dtype("cuda")``."""
    return _C.get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype) -> None:
    """``set_autocast_dtype("cuda", dtype)``."""
    _C.set_autocast_dtype("cuda", dtype)
