"""One worker's end of all conversations: requests and their answers, deadlines, and workers that have gone."""

import contextlib
import functools
import heapq
import itertools
import threading
import time
import traceback

from ...futures import Future
from .._errors import DistBackendError, DistTimeoutError
from . import _answers
from ._pool import Pool
from ._shutdown import Shutdown
from ._wire import Message, from_frame, get_body, put_body, settle_tensors, to_frame

UNSET_TIMEOUT = -1.0
# Between two looks for messages: the shortest pause, the longest with answers awaited, and with none; and which
# part of the time without messages so far.
PAUSES, PAUSE_PART = (50e-6, 1e-3, 5e-3), 0.05
NEWS_SECONDS = 0.05  # between looks for workers that have gone
PATIENCE = 0.3  # seconds in which the last messages of a worker that has gone may still come
NOTHING = object()
IN_CONTEXT = ("call", "make", "fetch")  # requests through which gradients flow

# What is done with a message, by its kind: at once in the thread that takes it in, or in the pool. That of the
# pool gives the answer, or a Future of it.
_arriving, _handlers = {}, {}


def arriving(kind):
    """Decorates f(agent, source, message), which must neither wait nor run what a user wrote."""
    return lambda f: _arriving.setdefault(kind, f)


def handler(kind, urgent=False):
    """Decorates f(agent, source, facts, value), the answer to a request. Urgent ones do not wait."""
    return lambda f: _handlers.setdefault(kind, (f, urgent))[0]


class Agent:
    """This worker among the workers.

    link: moves messages. workers: the WorkerInfo of all, by rank. runtime: who has left the job, or None.
    """

    def __init__(self, link, workers, options, runtime):
        from ..autograd._contexts import Contexts
        from ._rref import Values

        self.link, self.workers, self.me, self.runtime = link, workers, workers[link.rank], runtime
        self.timeout = options.rpc_timeout
        self.pool = Pool(options.num_worker_threads)
        self.values, self.contexts = Values(), Contexts(self)
        self.shutdown = Shutdown(self)
        self.broken = None
        self.gone = {}  # rank -> why
        self.sent = self.received = 0  # messages, without those of the shutdown
        self._numbers, self._keys = itertools.count(1), itertools.count()
        self._lock = threading.Lock()
        self._calls = {}  # number of a request -> (its Future, the worker asked)
        self._deadlines = []  # a heap of (when, number)
        self._forgotten = []  # forks whose RRef is gone, told to their owners from here
        self._wake, self._closing = threading.Event(), False
        self._news = 0.0
        self.thread = threading.Thread(target=self._serve, name="nnlib-rpc-messages", daemon=True)

    # Sending.

    def new_key(self):
        """A key that no other worker makes: of a value or of a reference to one."""
        return self.me.id, next(self._keys)

    def request(self, to, kind, facts=(), value=NOTHING, timeout=UNSET_TIMEOUT):
        """Asks worker `to`; a Future of the answer. Errors of sending are raised at once."""
        seconds = self.timeout if timeout == UNSET_TIMEOUT else timeout
        future, number = Future(), next(self._numbers)
        reason = self.broken or self.gone.get(to.id)
        if reason is not None:
            future.set_exception(DistBackendError(f"{to.name} cannot be called: {reason}"))
            return future
        with self._lock:
            self._calls[number] = future, to
            if seconds > 0:
                heapq.heappush(self._deadlines, (time.monotonic() + seconds, number, seconds))
        try:
            context = self.contexts.current() if kind in IN_CONTEXT else None
            self._send(to.id, Message(kind, number, facts, context=context), value)
        except BaseException:
            self._calls.pop(number, None)
            raise
        return future

    def tell(self, to, kind, facts=()):
        """Sends a worker some facts that it does not answer."""
        self._send(to, Message(kind, 0, facts), NOTHING)

    def _send(self, to, message, value):
        from ._rref import describe

        if value is not NOTHING:
            put_body(message, value)
        self.contexts.attach(message, to)
        rrefs = [describe(self, rref, to) for rref in message.rrefs]
        frame, arrays = to_frame(message, rrefs)
        if self._closing:
            raise DistBackendError("RPC was shut down")
        if message.kind not in Shutdown.KINDS:
            with self._lock:
                self.sent += 1
        self.link.send(to, frame, arrays)
        self._wake.set()

    def forget(self, owner, key, fork):
        """An RRef is gone. Called wherever the garbage collector runs, so it only takes a note."""
        self._forgotten.append((owner.id, key, fork))

    def _tell_forgotten(self):
        while self._forgotten:
            owner, key, fork = self._forgotten.pop()
            self.tell(owner, "forget", (key, fork))

    # Taking in: all of this runs in the thread of `_serve`.

    def _serve(self):
        last = 0.0
        try:
            while not self._closing:
                now = time.monotonic()
                moved = self.link.step(from_frame, self._deliver)
                self._tell_forgotten()
                self._look_around(now)
                if self.shutdown.step() or moved:
                    last = now
                    continue
                longest = PAUSES[1] if self._calls else PAUSES[2]
                if self._wake.wait(min(max(PAUSES[0], PAUSE_PART * (now - last)), longest)):
                    self._wake.clear()
                    last = now
        except Exception as error:
            if self._closing:
                return
            traceback.print_exc()
            self.broken = f"its thread for messages ended with {type(error).__name__}: {error}"
            self._fail_calls(lambda _: DistBackendError(f"{self.me.name} gave RPC up: {self.broken}"))

    def _deliver(self, source, message):
        from ._rref import receive

        message.rrefs = [receive(self, *description) for description in message.rrefs]
        if message.kind in _answers.KINDS:
            call = self._calls.pop(message.number, None)
            if call is not None:
                self.pool.submit(functools.partial(self._take_answer, call[0], source, message), urgent=True)
        elif message.kind in Shutdown.KINDS:
            self.shutdown.take(source, message.kind, message.facts)
        elif message.kind in _arriving:
            _arriving[message.kind](self, source, message)
        if message.kind in _handlers:
            answer, urgent = _handlers[message.kind]
            self.pool.submit(functools.partial(self._answer, answer, source, message), urgent)
        if message.kind not in Shutdown.KINDS:
            self.received += 1

    def _look_around(self, now):
        while self._deadlines and self._deadlines[0][0] <= now:
            with self._lock:
                _, number, seconds = heapq.heappop(self._deadlines)
            call = self._calls.pop(number, None)
            if call is not None:
                self._settle(call[0], DistTimeoutError(
                    f"RPC ran for more than set timeout ({1e3 * seconds:.0f} ms) and will now be marked with an "
                    f"error: {call[1].name} did not answer"
                ))  # fmt: skip
        if self.runtime is None or now - self._news < NEWS_SECONDS:
            return
        self._news = now
        self.runtime.poll()
        for worker in self.workers:
            news = self.runtime.why_gone(worker.id)
            if news is not None and news[0] > PATIENCE:
                self.lose(worker.id, news[1])

    def lose(self, rank, reason):
        """A worker will answer no more."""
        if rank in self.gone:
            return
        self.gone[rank] = reason
        self._fail_calls(
            lambda to: DistBackendError(f"{to.name} did not answer: {reason}") if to.id == rank else None
        )

    def _fail_calls(self, error_of):
        for number, (_, to) in list(self._calls.items()):
            error = error_of(to)
            call = self._calls.pop(number, None) if error is not None else None
            if call is not None:
                self._settle(call[0], error)

    def _settle(self, future, error):
        """In the pool: the future's callbacks are a user's."""
        self.pool.submit(functools.partial(future.set_exception, error), urgent=True)

    # In the pool.

    def _take_answer(self, future, source, message):
        try:
            settle_tensors(message)
            self.contexts.receive(message, source)
            value = get_body(message)
            error = _answers.error_of(value) if message.kind == "error" else None
        except Exception as problem:
            error = problem
        # Callbacks go on in the context of the call; the future that each of them made has its error.
        with contextlib.suppress(Exception), self.contexts.inside(message.context):
            future._settle(*((None, error) if error is not None else (value, None)))

    def _answer(self, function, source, message):
        reply = functools.partial(self._reply, source, message.number, message.context)
        try:
            settle_tensors(message)
            with self.contexts.entered(message, source):
                value = None if message.body is None else get_body(message)
                result = function(self, source, message.facts, value)
        except BaseException as error:
            reply(None, error)
            return
        del message, value
        if isinstance(result, Future):
            result.add_done_callback(lambda done: reply(done._value, done._error))
        else:
            reply(result, None)

    def _reply(self, source, number, context, value, error):
        """Answers a request; what cannot be sent becomes an error, and what fails then is no one's to hear."""
        if error is None:
            try:
                self._send(source, Message("value", number, context=context), value)
                return
            except Exception as problem:
                error = problem
        with contextlib.suppress(DistBackendError):
            self._send(source, Message("error", number), _answers.described(error, self.me))

    # The end.

    def idle(self):
        """Whether nothing is asked, being done or waiting to be told."""
        return not (self._calls or self.pool.busy() or self._forgotten)

    def drain(self, seconds):
        """Waits until everything that was sent has gone; True when it has."""
        end = time.monotonic() + min(seconds, 5.0)
        while self.link.unsent() and self.thread.is_alive() and time.monotonic() < end:
            time.sleep(1e-3)
        return not self.link.unsent()

    def close(self, reason):
        """Ends the thread; what is still asked fails with the reason."""
        self._closing = True
        self._wake.set()
        if self.thread is not threading.current_thread():
            self.thread.join(5.0)
        if self.link.unsent():
            self.broken = self.broken or "messages were not taken by the workers that they were for"
        for future, to in list(self._calls.values()):
            error = DistBackendError(f"{to.name} did not answer: {reason}")
            with contextlib.suppress(Exception):
                future.set_exception(error)
        self._calls.clear()
        self.pool.close()
