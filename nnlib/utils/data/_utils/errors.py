"""Brings an exception of one process or thread to another, with its traceback as text."""

import pickle
import sys
import traceback

__all__ = ["ExceptionWrapper", "KeyErrorMessage"]


class KeyErrorMessage(str):
    """A message that a KeyError, which shows the repr of its argument, leaves readable."""

    def __repr__(self):
        return str(self)


def _can_pickle(value):
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True


class ExceptionWrapper:
    """Holds the type of the exception being handled and its traceback as text.

    Args:
        where (str): where it happened, for the message, such as "in DataLoader worker process 0".
    """

    def __init__(self, exc_info=None, where="in background"):
        exc_info = exc_info or sys.exc_info()
        self.name = exc_info[0].__name__
        # A class that the other side cannot import is reported as a RuntimeError that names it.
        self.exc_type = exc_info[0] if _can_pickle(exc_info[0]) else RuntimeError
        self.exc_msg = "".join(traceback.format_exception(*exc_info))
        self.where = where

    def reraise(self):
        """Raises an exception of the same type whose message holds the original traceback."""
        message = f"Caught {self.name} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            raise KeyError(KeyErrorMessage(message))
        try:
            if getattr(self.exc_type, "message", None):
                exception = self.exc_type(message=message)
            else:
                exception = self.exc_type(message)
        except Exception:
            # Its constructor wants something else.
            raise RuntimeError(message) from None
        raise exception
