"""TypeErrors of functions that are written in Python.

Operators of the native module compare their arguments with their signature before they begin. A function in Python
would fail later, by another type of error and about something that its caller never wrote. Such functions are wrapped
where their package lists them: when one fails, its arguments are compared with its annotations, and the TypeError
names the wrong one. A call that succeeds costs one call in Python more; functions without a ``Tensor`` in their
annotations are left as they are.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable
from types import FunctionType

from . import _C


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) or (
        hasattr(value, "__float__") and not getattr(value, "shape", ())
    )


_KINDS = {
    "Tensor": lambda v: isinstance(v, _C.TensorBase),
    "int": lambda v: (isinstance(v, int) and not isinstance(v, bool)) or _is_index(v),
    "float": _is_number,
    "bool": lambda v: isinstance(v, (bool, int)) or hasattr(v, "__bool__"),
    "str": lambda v: isinstance(v, str),
    "None": lambda v: v is None,
}


def _is_index(value) -> bool:
    return (
        not isinstance(value, (bool, int)) and hasattr(value, "__index__") and not getattr(value, "shape", ())
    )


def wrong_argument(function, args: tuple, kwargs: dict) -> str | None:
    """What is wrong with the types of the arguments; None where they are as the annotations say."""
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **{k: v for k, v in kwargs.items() if k != "out"}).arguments
    except TypeError:
        return None
    for position, (name, parameter) in enumerate(signature.parameters.items(), 1):
        annotation = parameter.annotation
        kinds = annotation.split(" | ") if isinstance(annotation, str) else []
        if name not in given or not kinds or not _KINDS.keys() >= set(kinds):
            continue
        values = given[name] if parameter.kind is parameter.VAR_POSITIONAL else (given[name],)
        wrong = [v for v in values if not any(_KINDS[kind](v) for kind in kinds)]
        if wrong:
            wanted = " or ".join(kind for kind in kinds if kind != "None")
            kind = type(wrong[0]).__name__
            return (
                f"{function.__name__}(): argument '{name}' (position {position}) must be {wanted}, not {kind}"
            )
    return None


def checked(function):
    """The function with TypeErrors for wrong arguments, if a tensor is among its annotated parameters."""
    if not isinstance(function, FunctionType) or not any(
        isinstance(kind, str) and kind.startswith("Tensor") and name != "return"
        for name, kind in function.__annotations__.items()
    ):
        return function

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except TypeError:
            raise
        except Exception as error:
            wrong = wrong_argument(function, args, kwargs)
            if wrong is None:
                raise
            raise TypeError(wrong) from error

    return wrapper


def check_arguments(namespace: dict, names: Iterable[str]) -> None:
    """Give the functions of a package TypeErrors, also where they are defined (for pickles) and as methods."""
    for name in names:
        function = namespace[name]
        wrapper = checked(function)
        if wrapper is function:
            continue
        namespace[name] = wrapper
        home = vars(sys.modules[function.__module__])
        if home.get(function.__name__) is function:
            home[function.__name__] = wrapper
        if vars(_C.Tensor).get(function.__name__) is function:
            setattr(_C.Tensor, function.__name__, wrapper)
