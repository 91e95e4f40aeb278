"""What ``iter(loader)`` returns: with the samples read here, or by worker processes."""

import itertools
import warnings

from ._utils.errors import ExceptionWrapper
from ._utils.fetch import make_fetcher
from ._utils.pool import WorkerPool
from ._utils.worker import EndOfData, Resume, WorkerConfig
from .sampler import draw_seed


class BaseIterator:
    """What both kinds have in common: the order of the indices and the warnings."""

    def __init__(self, loader):
        self._dataset = loader.dataset
        self._iterable = loader._iterable
        self._promised_length = loader._promised_length
        self._index_sampler = loader._index_sampler
        self._num_workers = loader.num_workers
        if loader.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory "
                "won't be used.",
                stacklevel=4,
            )
        self._sampler_iter = iter(self._index_sampler)
        # Drawn whether it is needed or not, and after the sampler is made: the global generator, and so
        # the order of a shuffle, is then where PyTorch's is.
        self._base_seed = draw_seed(loader.generator)
        self._num_yielded = 0

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._index_sampler)

    def __getstate__(self):
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")

    def _reset(self, loader):
        self._sampler_iter = iter(self._index_sampler)
        self._num_yielded = 0
        self._promised_length = loader._promised_length

    def _next_data(self):
        raise NotImplementedError

    def __next__(self):
        data = self._next_data()
        self._num_yielded += 1
        promised = self._promised_length
        if self._iterable and promised is not None and self._num_yielded > promised:
            self._warn_of_length(promised)
        return data

    def _warn_of_length(self, promised):
        text = (
            f"Length of IterableDataset {self._dataset} was reported to be {promised}"
            f"(when accessing len(dataloader)), but {self._num_yielded} samples have been fetched. "
        )
        if self._num_workers > 0:
            text += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker: each has to take its own share of the samples."
            )
        warnings.warn(text, stacklevel=3)


class SingleProcessIterator(BaseIterator):
    """Reads in this process."""

    def __init__(self, loader):
        if loader.timeout != 0:
            raise AssertionError(f"timeout needs num_workers > 0, but got timeout={loader.timeout}")
        super().__init__(loader)
        self._fetcher = make_fetcher(
            self._iterable, self._dataset, loader._auto_collation, loader.collate_fn, loader.drop_last
        )

    def _next_data(self):
        return self._fetcher.fetch(next(self._sampler_iter))


class MultiProcessingIterator(BaseIterator):
    """Lets worker processes read.

    Batch number i goes to the workers in turn. `_tasks` holds, for each number that has been sent out and
    not given to the user, its worker, and its data once that has come (``[worker, data]``).
    """

    def __init__(self, loader):
        if loader.prefetch_factor <= 0:
            raise AssertionError(
                f"prefetch_factor must be greater than 0 with workers, but got {loader.prefetch_factor}"
            )
        super().__init__(loader)
        self._in_order = loader.in_order
        self._timeout = loader.timeout
        self._persistent = loader.persistent_workers
        self._max_tasks = loader.prefetch_factor * loader.num_workers
        config = WorkerConfig(
            iterable=self._iterable,
            dataset=self._dataset,
            auto_collation=loader._auto_collation,
            collate_fn=loader.collate_fn,
            drop_last=loader.drop_last,
            base_seed=self._base_seed,
            init_fn=loader.worker_init_fn,
            num_workers=loader.num_workers,
        )
        self._pool = WorkerPool(config, loader.multiprocessing_context)
        self._start_epoch(loader)

    def _reset(self, loader):
        for worker in range(self._num_workers):
            self._pool.send(worker, Resume())
        waiting = set(range(self._num_workers))
        while waiting:
            # Answers to tasks of an epoch that was broken off come first; they are dropped.
            worker, message = self._receive()
            if isinstance(message, Resume):
                waiting.discard(worker)
        self._start_epoch(loader)

    def _start_epoch(self, loader):
        super()._reset(loader)
        self._tasks = {}
        self._sent = 0  # number of the next task
        self._given = 0  # number of the next batch for the user
        self._active = [True] * self._num_workers
        self._load = [0] * self._num_workers
        self._turns = itertools.cycle(range(self._num_workers))
        for _ in range(self._max_tasks):
            self._send_task()

    def _send_task(self):
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            return
        for worker in itertools.islice(self._turns, self._num_workers):
            share = self._max_tasks // max(1, sum(self._active))
            if self._active[worker] and (self._in_order or self._load[worker] < share):
                break
        else:
            return  # every iterable data set has ended
        self._pool.send(worker, (self._sent, index))
        self._tasks[self._sent] = [worker]
        self._load[worker] += 1
        self._sent += 1

    def _receive(self):
        message = self._pool.receive(self._timeout or None)
        if message is None:
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        return message

    def __next__(self):
        try:
            return super().__next__()
        except KeyboardInterrupt:
            self._pool.close(grace=0)
            raise

    def _next_data(self):
        while True:
            self._skip_unanswerable()
            if self._given >= self._sent or not self._tasks:
                if not self._persistent:
                    self._pool.close()
                raise StopIteration
            if len(self._tasks[self._given]) == 2:
                self._given += 1
                return self._give(self._given - 1)
            if self._pool.closed:
                raise AssertionError("the workers of this iterator have been shut down")
            number = self._take_in()
            if number is not None and not self._in_order:
                return self._give(number)

    def _skip_unanswerable(self):
        """Passes over numbers already given, and those that a worker without data left unanswered."""
        while self._given < self._sent:
            task = self._tasks.get(self._given)
            if task is not None:
                if len(task) == 2 or self._active[task[0]]:
                    return
                del self._tasks[self._given]
            self._given += 1

    def _take_in(self):
        """Waits for one message; returns the number of the batch that it brought, if one."""
        worker, message = self._receive()
        number, data = message
        if isinstance(data, EndOfData):
            self._active[worker] = False
            if not self._persistent:
                self._pool.stop(worker)
            self._send_task()
            return None
        self._tasks[number].append(data)
        return number

    def _give(self, number):
        worker, data = self._tasks.pop(number)
        self._load[worker] -= 1
        self._send_task()
        if isinstance(data, ExceptionWrapper):
            data.reraise()
        return data

    def __del__(self):
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.close()
