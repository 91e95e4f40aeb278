"""The worker processes of one iterator, seen from the parent."""

import atexit
import multiprocessing
import os
import pickle
import signal
import time
import warnings
import weakref
from multiprocessing import connection

from .transport import Channel, Shipment
from .worker import Stop, WorkerConfig, worker_main

__all__ = ["WorkerPool"]

_GRACE = 5.0  # seconds that a worker has to finish the batch it is at

_living = weakref.WeakSet()


@atexit.register
def _close_all():
    # While the interpreter is still whole: in a __del__ during its end nothing can be sent any more.
    for pool in list(_living):
        pool.close(grace=1.0)


class WorkerPool:
    """Starts workers, talks to them and ends them.

    Args:
        config (WorkerConfig): what the workers do.
        context (BaseContext, optional): how processes are started.
    """

    def __init__(self, config: WorkerConfig, context=None):
        context = context or multiprocessing.get_context()
        self.channels, self.processes, self.listening = [], [], []
        self.closed = False
        self.owner = os.getpid()
        self.last_heard = -1
        _living.add(self)
        inherits = context.get_start_method() == "fork"
        shipment = config if inherits else Shipment(config)
        try:
            for i in range(config.num_workers):
                self._start(context, shipment, i, inherits)
        except BaseException:
            self.close(grace=0)
            raise
        finally:
            if not inherits:
                shipment.close()

    def _start(self, context, config, worker_id, inherits):
        ours, theirs = multiprocessing.Pipe(duplex=True)
        # A forked worker has copies of all ends opened so far; it closes those that are not its own.
        channel = Channel(ours)
        strangers = [*self.channels, channel] if inherits else []
        process = context.Process(
            target=worker_main, args=(theirs, config, worker_id, strangers), daemon=True
        )
        try:
            process.start()
        except (TypeError, AttributeError, pickle.PicklingError):
            channel.abandon()
            warnings.warn(
                "Got pickle error when attempting to start a worker Process. This might be because the "
                "worker Process arguments are not picklable, which spawn and forkserver need. "
                "You can also try multiprocessing_context='fork'.",
                stacklevel=2,
            )
            raise
        finally:
            theirs.close()
        self.channels.append(channel)
        self.processes.append(process)
        self.listening.append(True)

    def send(self, worker_id, message):
        """Sends a message to one worker."""
        try:
            self.channels[worker_id].send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._died(worker_id) from None

    def receive(self, timeout=None):
        """The next message of any worker as (worker number, message), or None when none came in time.

        Raises:
            RuntimeError: when a worker has died.
        """
        open_channels = {c.connection: i for i, c in enumerate(self.channels) if self.listening[i]}
        ready = connection.wait(list(open_channels), timeout)
        if not ready:
            return None
        # Those that wait the longest come first: start after the one that was heard last.
        worker_id = min((open_channels[c] for c in ready), key=self._turn)
        self.last_heard = worker_id
        try:
            return worker_id, self.channels[worker_id].receive()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise self._died(worker_id) from None

    def _turn(self, worker_id):
        return (worker_id - self.last_heard - 1) % len(self.channels)

    def stop(self, worker_id):
        """Lets one worker finish; nothing is expected from it any more."""
        self.listening[worker_id] = False
        try:
            self.channels[worker_id].send(Stop())
        except OSError:
            pass  # it is gone already

    def _died(self, worker_id):
        self.listening[worker_id] = False
        process = self.processes[worker_id]
        process.join(_GRACE)
        code = process.exitcode
        how = f"exited unexpectedly with exit code {code}"
        if code is None:
            how = "closed its connection unexpectedly"
        elif code < 0:
            how = f"exited unexpectedly: it was killed by signal {_signal_name(-code)}"
        return RuntimeError(f"DataLoader worker (pid(s) {process.pid}) {how}")

    def close(self, grace=_GRACE):
        """Ends all workers: those that do not finish in time are terminated."""
        if self.closed or os.getpid() != self.owner:
            return  # a process that was forked holds a copy, but the workers are not its own
        self.closed = True
        for worker_id, channel in enumerate(self.channels):
            if self.listening[worker_id]:
                self.stop(worker_id)
            channel.close()
        for end in (None, "terminate", "kill"):
            deadline = time.monotonic() + (grace if end is None else 1.0)
            for process in self.processes:
                if end and process.is_alive():
                    getattr(process, end)()
            for process in self.processes:
                process.join(max(0.0, deadline - time.monotonic()))
            if not any(process.is_alive() for process in self.processes):
                break


def _signal_name(number):
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return str(number)
