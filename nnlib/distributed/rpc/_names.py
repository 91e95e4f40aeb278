"""Functions and classes travel by name: the module that has them and where they are in it."""

import functools
import importlib
import pickle
import sys

# Operators say that they come from the native module; these show them to users.
_SHOWN = ("nnlib", "nnlib.nn.functional", "nnlib.linalg")


def _look_up(module, name):
    found = sys.modules.get(module) or importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def name_of(thing):
    """(module, qualified name) under which the other workers find a function; raises PicklingError."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    module = getattr(thing, "__module__", None)
    for place in (module, *_SHOWN):
        try:
            if place is not None and name is not None and _look_up(place, name) is thing:
                return place, name
        except (ImportError, AttributeError):
            continue
    raise pickle.PicklingError(
        f"{thing!r} cannot be sent to another worker: functions and classes travel by name, and no module has "
        f"it as {name!r}. Define it at the top of a module (lambdas and functions inside functions have no name)"
    )


@functools.lru_cache(4096)
def _imported(module, name):
    return _look_up(module, name)


def find(module, name):
    """What a name stands for; raises UnpicklingError unless it can be imported and is a class or callable."""
    try:
        # What a program defines itself may change while it runs, and may not be there yet.
        found = _look_up(module, name) if module == "__main__" else _imported(module, name)
    except (ImportError, AttributeError) as error:
        raise pickle.UnpicklingError(
            f"{module}.{name} was asked for by another worker, but cannot be imported here: {error}"
        ) from error
    if not callable(found) and module not in ("nnlib", "nnlib._C"):  # which have dtypes and the like
        raise pickle.UnpicklingError(f"{module}.{name} is neither a function nor a class")
    return found
