"""Handles of collectives: what `async_op=True` returns."""

import datetime

from ._errors import DistTimeoutError


def seconds_of(timeout, default=None):
    """A timeout as seconds: a timedelta, a number of seconds, or None for the default."""
    if timeout is None:
        return default
    if isinstance(timeout, datetime.timedelta):
        seconds = timeout.total_seconds()
    elif isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        seconds = float(timeout)
    else:
        raise TypeError(
            "expected timeout to be a datetime.timedelta or a number of seconds, but got "
            f"{type(timeout).__name__}"
        )
    if not seconds > 0:
        raise ValueError(f"expected a timeout above zero, but got {timeout}")
    return seconds


class Work:
    """A collective on its way, as :class:`torch.distributed.Work`.

    Returned by collectives that were called with ``async_op=True``. The tensors given to the collective must
    be left alone until :meth:`wait` has returned or :meth:`is_completed` is true.

    Example::

        >>> import nnlib as torch
        >>> import nnlib.distributed as dist
        >>> dist.init_process_group("mpi")  # doctest: +SKIP
        >>> t = torch.ones(3)
        >>> work = dist.all_reduce(t, async_op=True)  # doctest: +SKIP
        >>> work.wait()  # doctest: +SKIP
        True
    """

    def __init__(self, native, result=None):
        self._native = native
        self._result = result
        self.sources = ()  # ranks of the world by rank of the group

    def wait(self, timeout=None):
        """Blocks until the collective is over and returns True; raises the error that it ended with.

        Args:
            timeout (timedelta or float): how long to wait at most; by default until the group's own timeout
                ends the collective. When it passes, DistTimeoutError is raised and the collective goes on.
        """
        if not self._native.wait(seconds_of(timeout)):
            raise DistTimeoutError(f"{self._native.request.operation} was not over after {timeout}")
        if self._native.error is not None:
            raise self._native.error
        return True

    def is_completed(self):
        """True when the collective is over, whether it succeeded or not."""
        return self._native.over()

    def is_success(self):
        """True when the collective is over and succeeded."""
        return self._native.over() and self._native.error is None

    def exception(self):
        """The exception that the collective ended with, or None."""
        return self._native.error if self._native.over() else None

    def result(self):
        """The tensors that the collective fills, as a list."""
        return list(self._result or ())

    def source_rank(self):
        """The rank from which a receive from any source got its data."""
        peer = self._native.request.peer
        if peer is None:
            raise RuntimeError("source_rank() is known for a receive that is over")
        return self.sources[peer]

    def get_future(self):
        """A :class:`nnlib.futures.Future` of the list of tensors that the collective fills."""
        from ..futures import Future

        future = Future()

        def settle(native):
            if native.error is None:
                future.set_result(self.result())
            else:
                future.set_exception(native.error)

        self._native.when_done(settle)
        return future
