"""Calling several modules at the same time."""

import threading

from nnlib import _C
from nnlib.amp import autocast
from nnlib.autograd import set_grad_enabled

__all__ = ["parallel_apply"]


class _Call(threading.Thread):
    """One module's call in a thread of its own; grad mode and autocast are those of the caller."""

    def __init__(self, module, args, kwargs):
        super().__init__()
        self.module, self.args, self.kwargs = module, args, kwargs
        self.grad_enabled = _C.is_grad_enabled()
        self.autocast = autocast(
            "cpu", _C.get_autocast_dtype("cpu"), _C.is_autocast_enabled("cpu"), _C.is_autocast_cache_enabled()
        )
        self.result = self.error = None

    def run(self):
        try:
            with set_grad_enabled(self.grad_enabled), self.autocast:
                self.result = self.module(*self.args, **self.kwargs)
        except Exception as error:
            self.error = error


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None):
    """Call each module with its own arguments, all at the same time.

    Args:
        modules (list of Module): what to call.
        inputs (list): the positional arguments of each: a tuple, or one value.
        kwargs_tup (list of dict, optional): the keyword arguments of each.
        devices (list, optional): one for each module.

    Returns:
        list: the outputs.

    Raises:
        AssertionError: lists of different lengths. Whatever a module raises, with the number of its replica
            added.
    """
    modules, inputs = list(modules), list(inputs)
    kwargs = [{}] * len(modules) if kwargs_tup is None else list(kwargs_tup)
    for name, values in (("inputs", inputs), ("kwargs_tup", kwargs), ("devices", devices)):
        if values is not None and len(values) != len(modules):
            raise AssertionError(
                f"The number of modules {len(modules)} is not equal to the number of {name} {len(values)}"
            )
    args = [value if isinstance(value, tuple | list) else (value,) for value in inputs]
    if len(modules) == 1:
        return [modules[0](*args[0], **kwargs[0])]
    calls = [_Call(*call) for call in zip(modules, args, kwargs, strict=True)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    for i, call in enumerate(calls):
        if call.error is not None:
            call.error.add_note(f"Caught in replica {i} of {len(calls)}.")
            raise call.error
    return [call.result for call in calls]
