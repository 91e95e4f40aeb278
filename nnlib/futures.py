"""Values that come later, as in torch.futures."""

import contextlib
import threading

__all__ = ["Future", "collect_all", "wait_all"]

_thread = threading.local()


def while_waiting(context):
    """From now on this thread waits for futures inside of ``context()``: whose thread it is may lend it out."""
    _thread.context = context


class Future:
    """A value that another thread will set, with callbacks that run when it is there.

    Args:
        devices: must be None or empty: values live on the CPU.

    Example::

        >>> from nnlib.futures import Future
        >>> f = Future()
        >>> doubled = f.then(lambda f: 2 * f.value())
        >>> f.set_result(21)
        >>> doubled.wait()
        42
    """

    def __init__(self, *, devices=None):
        if devices:
            raise ValueError(f"expected devices to be None or empty on the CPU, but got {devices!r}")
        self._changed = threading.Condition()
        self._done = False
        self._value = self._error = None
        self._callbacks = []

    def done(self):
        """True when the value or an exception has been set."""
        return self._done

    def wait(self):
        """Blocks until the future is done; returns its value or raises its exception."""
        if not self._done:
            with getattr(_thread, "context", contextlib.nullcontext)(), self._changed:
                while not self._changed.wait_for(lambda: self._done, 0.1):
                    pass  # wakes up now and then, so that Ctrl-C is seen
        return self.value()

    def value(self):
        """The value of a future that is done; raises its exception, or RuntimeError when it is not done."""
        if not self._done:
            raise RuntimeError("value() was called on a Future that is not done; call wait()")
        if self._error is not None:
            raise self._error
        return self._value

    def set_result(self, result):
        """Sets the value and runs the callbacks. A future is set once."""
        self._settle(result, None)

    def set_exception(self, result):
        """Sets the exception that wait() and value() raise."""
        if not isinstance(result, Exception):
            raise TypeError(f"{result!r} is of type {type(result).__name__}, not an Exception.")
        self._settle(None, result)

    def _settle(self, value, error):
        with self._changed:
            if self._done:
                raise RuntimeError("Future can only be set once.")
            self._value, self._error, self._done = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback):
        """Calls ``callback(self)`` when the future is done; at once when it is."""
        with self._changed:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback):
        """A future of ``callback(self)``, which is called when this one is done."""
        after = Future()

        def run(done):
            try:
                after.set_result(callback(done))
            except Exception as error:
                after.set_exception(error)

        self.add_done_callback(run)
        return after


def collect_all(futures):
    """A future of the list of the given futures, done when all of them are."""
    futures = list(futures)
    together = Future()
    left = [len(futures)]
    lock = threading.Lock()

    def one_done(_):
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            together.set_result(futures)

    if not futures:
        together.set_result([])
    for future in futures:
        future.add_done_callback(one_done)
    return together


def wait_all(futures):
    """The values of all the futures, when all are done; raises the first exception in the list."""
    return [future.wait() for future in collect_all(futures).wait()]
