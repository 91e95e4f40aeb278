"""Calling several modules at the same time."""

import os
import threading
from queue import SimpleQueue

from nnlib import _C
from nnlib.amp import autocast
from nnlib.autograd import inference_mode, set_grad_enabled

from ._devices import device_index
from ._outputs import find_tensors

__all__ = ["parallel_apply"]


class _Call:
    """One module's call on one device; grad mode, inference mode and autocast are those of the caller."""

    def __init__(self, module, args, kwargs, device):
        self.module, self.args, self.kwargs, self.device = module, args, kwargs, device
        self.grad_enabled, self.inference = _C.is_grad_enabled(), _C.is_inference_mode_enabled()
        self.autocast = autocast(
            "cpu", _C.get_autocast_dtype("cpu"), _C.is_autocast_enabled("cpu"), _C.is_autocast_cache_enabled()
        )
        self.result = self.error = None
        self.done = threading.Lock()
        self.done.acquire()

    def run(self):
        before = _C._set_thread_team(self.device)
        try:
            with inference_mode(self.inference), set_grad_enabled(self.grad_enabled), self.autocast:
                self.result = self.module(*self.args, **self.kwargs)
        except BaseException as error:  # raised again by the caller
            self.error = error
        finally:
            _C._set_thread_team(before)
            self.done.release()


class _Worker(threading.Thread):
    """A thread that stays on a device's cores and waits for calls."""

    def __init__(self, device):
        super().__init__(name=f"nnlib-device-{device}", daemon=True)
        self.device, self.calls = device, SimpleQueue()
        self.start()

    def run(self):
        _C._pin_thread(self.device)
        while True:
            call = self.calls.get()
            call.run()
            _idle.setdefault(self.device, []).append(self)
            del call  # what it returned is the caller's alone


_idle = {}  # device -> workers that wait; a call inside a call takes another one
os.register_at_fork(after_in_child=_idle.clear)


def _start(call):
    try:
        worker = _idle[call.device].pop()
    except (KeyError, IndexError):
        worker = _Worker(call.device)
    worker.calls.put(call)


def _device_of(args, kwargs):
    """The device of the first tensor that has one."""
    indices = (tensor.device.index for tensor in find_tensors((args, kwargs)))
    return next((index for index in indices if index is not None), -1)


def _named(error, replica, device):
    """The error with the replica's name in its message."""
    where = f"Caught {type(error).__name__} in replica {replica} on device {device}."
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{where}\n{error.args[0]}",)
    else:
        error.add_note(where)
    return error


def parallel_apply(modules, inputs, kwargs_tup=None, devices=None):
    """Call each module with its own arguments, all at the same time.

    The first is called on the calling thread, the others on threads of their own, each with the team of its
    device. Grad mode and autocast are the caller's.

    Args:
        modules (list of Module): what to call.
        inputs (list): the positional arguments of each: a tuple, or one value.
        kwargs_tup (list of dict, optional): the keyword arguments of each.
        devices (list, optional): one for each module. Default: the device of its first tensor that is on one.

    Returns:
        list: the outputs.

    Raises:
        AssertionError: lists of different lengths, or a device that is not there. Whatever a module raises, with
            its replica and device in front of the message.

    Example::

        >>> import nnlib
        >>> layers = [nnlib.nn.Linear(2, 1), nnlib.nn.Linear(2, 3)]
        >>> [y.shape for y in nnlib.nn.parallel.parallel_apply(layers, [nnlib.ones(4, 2), nnlib.ones(1, 2)])]
        [torch.Size([4, 1]), torch.Size([1, 3])]
    """
    modules, inputs = list(modules), list(inputs)
    kwargs = [{}] * len(modules) if kwargs_tup is None else [given or {} for given in kwargs_tup]
    for name, values in (("inputs", inputs), ("kwargs_tup", kwargs), ("devices", devices)):
        if values is not None and len(values) != len(modules):
            raise AssertionError(
                f"The number of modules {len(modules)} is not equal to the number of {name} {len(values)}"
            )
    args = [value if isinstance(value, tuple | list) else (value,) for value in inputs]
    devices = [None] * len(modules) if devices is None else devices
    indices = [
        _device_of(a, k) if device is None else device_index(device)
        for a, k, device in zip(args, kwargs, devices, strict=True)
    ]
    calls = [_Call(*call) for call in zip(modules, args, kwargs, indices, strict=True)]
    for call in calls[1:]:
        _start(call)
    for call in calls[:1]:
        call.run()
    for call in calls:
        call.done.acquire()
    for i, call in enumerate(calls):
        if call.error is not None:
            name = f"cpu:{call.device}" if call.device >= 0 else "cpu"
            raise call.error if len(calls) == 1 else _named(call.error, i, name)
    return [call.result for call in calls]
