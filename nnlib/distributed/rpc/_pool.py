"""The threads in which a worker does what others ask of it."""

import collections
import contextlib
import threading

from ... import futures

IDLE_SECONDS = 5.0  # after which a thread without work ends


class Pool:
    """Runs tasks, at most `limit` at once. A task that waits for a Future makes room for another meanwhile.

    So calls that call back never wait for a thread. Urgent tasks, such as taking in an answer, do not count.
    """

    def __init__(self, limit):
        self._limit = limit
        self._changed = threading.Condition()
        self._tasks, self._urgent = collections.deque(), collections.deque()
        self._idle = self._running = self._unfinished = 0
        self._closed = False
        self._counted = threading.local()

    def submit(self, task, urgent=False):
        """Calls `task()` soon. It must not raise."""
        with self._changed:
            if self._closed:
                return
            (self._urgent if urgent else self._tasks).append(task)
            self._unfinished += 1
            self._staff()

    def busy(self):
        """Whether tasks are waiting or running."""
        return self._unfinished > 0

    def close(self):
        """Drops what has not begun; threads end when their task does."""
        with self._changed:
            self._closed = True
            self._tasks.clear()
            self._urgent.clear()
            self._changed.notify_all()

    def _staff(self):
        """Wakes or starts threads for what may begin; called with the lock."""
        room = max(0, self._limit - self._running)
        wanted = len(self._urgent) + min(len(self._tasks), room)
        self._changed.notify(min(wanted, self._idle))
        for _ in range(wanted - self._idle):
            self._idle += 1
            threading.Thread(target=self._work, name="nnlib-rpc", daemon=True).start()

    def _next(self):
        """(task, whether it counts), or None; called with the lock."""
        if self._urgent:
            return self._urgent.popleft(), False
        if self._tasks and self._running < self._limit:
            self._running += 1
            return self._tasks.popleft(), True
        return None

    def _work(self):
        futures.while_waiting(self._waiting)
        while True:
            with self._changed:
                while (found := self._next()) is None:
                    woken = not self._closed and self._changed.wait(IDLE_SECONDS)
                    if not woken and not self._urgent and not self._tasks:
                        self._idle -= 1
                        return
                self._idle -= 1
            task, self._counted.here = found
            del found
            task()
            with self._changed:
                self._running -= self._counted.here
                self._unfinished -= 1
                self._idle += 1
            del task

    @contextlib.contextmanager
    def _waiting(self):
        counted = self._counted.here
        with self._changed:
            self._running -= counted
            self._staff()
        try:
            yield
        finally:
            with self._changed:
                self._running += counted
