"""Errors on their way back to the caller."""

import pickle
import traceback

from ._names import name_of

KINDS = ("value", "error")


def described(error, worker):
    """What travels for an exception: its type, if that has a name, and the text with the traceback."""
    trace = "".join(traceback.format_exception(error))
    text = f"On {worker}:\n{error!r}\n{trace}"
    kind = type(error) if isinstance(error, Exception) else RuntimeError  # nobody is to exit by an answer
    try:
        name_of(kind)
    except pickle.PicklingError:
        kind = RuntimeError
    return kind, text


def error_of(value):
    """The exception that the caller gets: of the same type where that takes a text, else a RuntimeError."""
    kind, text = value
    try:
        error = kind(text)
        if isinstance(error, Exception):
            return error
    except Exception:
        pass
    return RuntimeError(
        f"an error of type {kind.__qualname__} came back, which takes more than a text. {text}"
    )
