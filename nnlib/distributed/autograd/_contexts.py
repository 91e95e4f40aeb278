"""What a worker remembers of the passes that lead through several workers."""

import contextlib
import functools
import itertools
import threading

from ... import _C, is_grad_enabled
from ..rpc._agent import arriving

_native = _C._distributed
_thread = threading.local()


class Context:
    """One context, as one worker sees it: what it sent, whom it knows in it, and the gradients so far."""

    def __init__(self, number):
        self.id = number
        self.sent = {}  # number of a message -> the tensors that went out with it
        self.workers = set()  # that were sent something in this context
        self.store = _native.GradStore()
        self.shares = {}  # (worker that began a pass, its count) -> this worker's share in it
        self.lock = threading.RLock()

    def share(self, key, retain_graph):
        """This worker's share in a pass. The former pass of the same worker is over by then."""
        if key not in self.shares:
            self.shares = {k: share for k, share in self.shares.items() if k[0] != key[0]}
            self.shares[key] = _native.RemotePass(self.store, retain_graph)
        return self.shares[key]


class Contexts:
    """The contexts that a worker takes part in."""

    def __init__(self, agent):
        self._agent = agent
        self._known = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(agent.me.id << 48)

    def new_number(self):
        """A number that no other worker makes: of a context or of a message in one."""
        return next(self._numbers)

    @staticmethod
    def current():
        """The number of the context that this thread is in, while gradients are recorded; else None."""
        return getattr(_thread, "context", None) if is_grad_enabled() else None

    def get(self, number):
        """A context of this worker's."""
        context = self._known.get(number)
        if context is None:
            raise RuntimeError(f"Could not find autograd context with id: {number}")
        return context

    def join(self, number):
        """The context, made when it is new here."""
        with self._lock:
            if number not in self._known:
                self._known[number] = Context(number)
            return self._known[number]

    def release(self, number):
        """Forgets a context here and on the workers that got to know it from here."""
        context = self._known.pop(number, None)
        for worker in context.workers if context is not None else ():
            self._agent.tell(worker, "release", (number,))

    def attach(self, message, to):
        """Remembers the tensors of a message that is about to be sent in a context."""
        context = self._known.get(message.context)
        if context is None:
            message.context = None
            return
        context.workers.add(to)
        indices = tuple(i for i, tensor in enumerate(message.tensors) if tensor.requires_grad)
        if indices:
            number = self.new_number()
            context.sent[number] = _native.SendRpcBackward([message.tensors[i] for i in indices])
            message.tracked = number, indices

    def receive(self, message, source):
        """Gives the tensors of a message that has come the history by which their gradients go back."""
        from ._engine import send_gradients

        if message.tracked is None or message.context not in self._known:
            return
        number, indices = message.tracked
        send = functools.partial(send_gradients, self._agent, message.context, source, number)
        _native.receive_tensors([message.tensors[i] for i in indices], source, number, send)

    @contextlib.contextmanager
    def entered(self, message, source):
        """While a request is answered, this thread is in the context that it came from."""
        if message.context is None:
            yield
            return
        self.join(message.context)
        self.receive(message, source)
        with self.inside(message.context):
            yield

    @contextlib.contextmanager
    def inside(self, number):
        """This thread is in the context with that number, or in none, for a while."""
        before, _thread.context = getattr(_thread, "context", None), number
        try:
            yield
        finally:
            _thread.context = before

    @contextlib.contextmanager
    def opened(self):
        """A new context that this thread is in."""
        before = getattr(_thread, "context", None)
        if before is not None:
            raise RuntimeError(f"Already have an autograd context id for this thread: {before}")
        number = self.new_number()
        self.join(number)
        try:
            with self.inside(number):
                yield number
        finally:
            self.release(number)


@arriving("release")
def _release(agent, source, message):
    agent.contexts.release(*message.facts)
