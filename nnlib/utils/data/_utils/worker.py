"""What runs in a worker process of a DataLoader."""

import gc
import os
import queue
import random
import signal
import threading
from dataclasses import dataclass

from numpy import random as numpy_random  # here, as imports in a process just forked may fail

import nnlib

from .errors import ExceptionWrapper
from .fetch import make_fetcher
from .transport import Channel

__all__ = ["WorkerInfo", "get_worker_info"]

# Seconds between two looks at whether the parent still lives, for the case that another process holds a
# copy of the parent's end of the channel.
_WATCH_INTERVAL = 2.0


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed and its data set."""

    id: int
    num_workers: int
    seed: int
    dataset: object


_worker_info = None


def get_worker_info():
    """In a worker process its :class:`WorkerInfo`, elsewhere None.

    Example:
        >>> from nnlib.utils.data import get_worker_info
        >>> get_worker_info() is None
        True
    """
    return _worker_info


@dataclass(frozen=True)
class WorkerConfig:
    """What the workers of one iterator have in common."""

    iterable: bool
    dataset: object
    auto_collation: bool
    collate_fn: object
    drop_last: bool
    base_seed: int
    init_fn: object
    num_workers: int


# Messages. A task (number, index) is answered by (number, data).
@dataclass(frozen=True)
class Resume:
    """Start a new epoch; a worker answers with the same."""


@dataclass(frozen=True)
class Stop:
    """Finish."""


@dataclass(frozen=True)
class EndOfData:
    """The worker's iterable data set has no more samples."""

    worker_id: int


def worker_main(channel, config, worker_id, strangers):
    """Answers tasks until told to stop.

    Args:
        channel (Connection): this worker's end.
        config (WorkerConfig): what to do.
        worker_id (int): this worker's number.
        strangers (list): channels of the parent's that a fork has brought along.
    """
    # Ctrl-C goes to the whole group of processes; what is to be done is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not a handler of the parent's that a fork has copied
    for stranger in strangers:
        stranger.abandon()
    # What a fork has copied is the parent's to finalize; left alone, its pages also stay shared.
    gc.freeze()
    channel = Channel(channel)
    nnlib.set_num_threads(1)
    seed_everything(config.base_seed, worker_id)
    global _worker_info
    _worker_info = WorkerInfo(worker_id, config.num_workers, config.base_seed + worker_id, config.dataset)
    tasks = queue.SimpleQueue()
    watch = threading.Thread(target=_receive, args=(channel, tasks, os.getppid()), daemon=True)
    watch.start()
    try:
        _Worker(channel, config, worker_id).run(tasks)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent has closed the channel: nobody waits for an answer any more


def seed_everything(base_seed, worker_id):
    """Seeds the generators of Python, NumPy and nnlib, so that no two workers draw the same numbers."""
    seed = base_seed + worker_id
    random.seed(seed)
    nnlib.manual_seed(seed)
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    numpy_random.seed(numpy_random.SeedSequence(entropy).generate_state(4))


def _receive(channel, tasks, parent_pid):
    """Takes messages in while the worker works, so that the parent's sends never wait for it.

    Ends the process at once when the parent is gone.
    """
    try:
        while True:
            if channel.connection.poll(_WATCH_INTERVAL):
                message = channel.receive()
                tasks.put(message)
                if isinstance(message, Stop):
                    return
            elif os.getppid() != parent_pid:
                break
    except (EOFError, OSError, ValueError):
        pass  # closed, at our end or at the other
    os._exit(0)


class _Worker:
    def __init__(self, channel, config, worker_id):
        self.channel, self.config, self.worker_id = channel, config, worker_id
        self.ended = False
        self.fetcher = None
        self.failure = None
        try:
            if config.init_fn is not None:
                config.init_fn(worker_id)
            self._make_fetcher()
        except Exception:
            self.failure = self._wrap()

    def _make_fetcher(self):
        c = self.config
        self.fetcher = make_fetcher(c.iterable, c.dataset, c.auto_collation, c.collate_fn, c.drop_last)
        self.ended = False

    def _wrap(self):
        return ExceptionWrapper(where=f"in DataLoader worker process {self.worker_id}")

    def run(self, tasks):
        while True:
            message = tasks.get()
            if isinstance(message, Stop):
                return
            if isinstance(message, Resume):
                try:
                    self._make_fetcher()
                except Exception:
                    self.failure = self._wrap()
                self.channel.send(message)
            elif not self.ended:
                number, index = message
                self._answer(number, self._fetch(index))

    def _fetch(self, index):
        if self.failure is not None:
            failure, self.failure = self.failure, None
            return failure
        try:
            return self.fetcher.fetch(index)
        except StopIteration:
            if not self.config.iterable:
                return self._wrap()
            self.ended = True
            return EndOfData(self.worker_id)
        except Exception:
            return self._wrap()

    def _answer(self, number, data):
        try:
            self.channel.send((number, data))
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception:
            # The data cannot be pickled, or there is no memory for it; nothing has been sent yet.
            self.channel.send((number, self._wrap()))
