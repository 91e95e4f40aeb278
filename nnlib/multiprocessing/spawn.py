"""Start processes that run one function, and end all when one fails."""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable

__all__ = [
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "spawn",
    "start_processes",
]

_PR_SET_PDEATHSIG = 1


class ProcessException(Exception):
    """A process failed: ``error_index`` says which, ``error_pid`` had its number in the system."""

    def __init__(self, msg: str, error_index: int, error_pid: int):
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid = msg, error_index, error_pid

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """The function raised; the message has the traceback."""


class ProcessExitedException(ProcessException):
    """The process was ended by a signal (``signal_name``) or left with ``exit_code``."""

    def __init__(self, msg, error_index, error_pid, exit_code: int, signal_name: str | None = None):
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self):
        return type(self), (self.msg, self.error_index, self.error_pid, self.exit_code, self.signal_name)


def _run(fn, i, args, error_file) -> None:
    if sys.platform == "linux":  # a process that is no daemon ends with its parent too
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass  # the parent ended it
    except Exception:
        with open(error_file, "w") as file:
            file.write(traceback.format_exc())
        sys.exit(1)


class ProcessContext:
    """The processes that :func:`start_processes` started: ``processes``, ``pids()`` and ``join()``."""

    def __init__(self, processes: list, error_files: list):
        self.processes, self.error_files = processes, error_files
        self.sentinels = {process.sentinel: i for i, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """The processes' numbers in the system."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until a process ends; True when all have ended.

        Where one failed, the others get ``grace_period`` seconds to end, are told to (SIGTERM), and are killed
        when that long (30 seconds by default) has passed again.

        Args:
            timeout: seconds after which to return, whatever runs.
            grace_period: seconds.

        Raises:
            ProcessRaisedException: the function raised in a process.
            ProcessExitedException: a process ended otherwise with a status that is not 0.
        """
        if not self.sentinels:
            return True
        failed = None
        for sentinel in multiprocessing.connection.wait(list(self.sentinels), timeout=timeout):
            index = self.sentinels.pop(sentinel)
            self.processes[index].join()
            if self.processes[index].exitcode != 0:
                failed = index
                break
        if failed is None:
            return not self.sentinels
        self._end(grace_period)
        self._raise(failed)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, end - time.monotonic()))

    def _end(self, grace_period: float | None) -> None:
        if grace_period is not None:
            self._wait(grace_period)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        self._wait(30 if grace_period is None else grace_period)
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()

    def _raise(self, index: int):
        process = self.processes[index]
        try:
            with open(self.error_files[index]) as file:
                text = file.read()
            os.unlink(self.error_files[index])
        except FileNotFoundError:
            text = None
        if text is not None:
            raise ProcessRaisedException(
                f"\n\n-- Process {index} terminated with the following error:\n{text}", index, process.pid
            )
        code = process.exitcode
        if code >= 0:
            text, name = f"process {index} terminated with exit code {code}", None
        else:
            known = -code in set(signal.Signals)
            name = signal.Signals(-code).name if known else f"<Unknown signal {-code}>"
            text = f"process {index} terminated with signal {name}"
        raise ProcessExitedException(text, index, process.pid, code, name)


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run ``fn(i, *args)`` in ``nprocs`` new processes, i from 0 on.

    Args:
        fn: a function of a module, so that the new processes find it.
        args: its further arguments; tensors among them are shared.
        nprocs: how many processes.
        join: wait for all of them, and raise what :meth:`ProcessContext.join` does.
        daemon: they are ended when this process ends.
        start_method: ``"spawn"``, ``"fork"`` or ``"forkserver"``, as of ``multiprocessing``.

    Returns:
        None after waiting, else a :class:`ProcessContext`.
    """
    context, processes, files = multiprocessing.get_context(start_method), [], []
    for i in range(nprocs):
        handle, name = tempfile.mkstemp(prefix="nnlib-error-", suffix=".txt")
        os.close(handle)
        os.unlink(name)  # it is there again when there is an error to tell
        process = context.Process(target=_run, args=(fn, i, args, name), daemon=daemon)
        process.start()
        processes.append(process)
        files.append(name)
    result = ProcessContext(processes, files)
    if not join:
        return result
    while not result.join():
        pass
    return None


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """:func:`start_processes` with fresh interpreters.

    Arguments and errors as there; a ``start_method`` other than ``"spawn"`` is a ValueError.
    """
    if start_method != "spawn":
        raise ValueError(
            f"spawn() starts processes by 'spawn', got start_method={start_method!r}: use start_processes()"
        )
    return start_processes(fn, args, nprocs, join, daemon, "spawn")
