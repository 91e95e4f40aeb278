"""References to values on other workers, and the counts by which the owner knows when nobody needs one.

Note [Counting references]
The owner of a value keeps the set of its forks: one for each RRef object on another worker. A worker that
drops its RRef tells the owner, which drops the value when it has no fork and no RRef of its own. Messages
between two workers come in order and these are taken in as they come, so what is left to arrange is an RRef
that travels from one user to another. The receiver reports its fork to the owner, and the sender keeps its
own RRef until the owner has said that it knows. News of a value may so come before the call that makes it:
its entry then waits empty.
"""

import weakref

from ...futures import Future
from . import _state
from ._agent import arriving, handler


class Entry:
    """A value that this worker owns, or will."""

    def __init__(self, key):
        self.key, self.future, self.forks = key, Future(), set()


class Values:
    """What a worker owns, and what it keeps for others."""

    def __init__(self):
        self.known = weakref.WeakValueDictionary()  # every entry there is
        self.pinned = {}  # those that other workers refer to
        self.parents = {}  # fork -> the RRef that it was made from, until the owner knows of it
        self.users = weakref.WeakValueDictionary()  # fork -> this worker's RRef

    def entry(self, key):
        """The entry of a value, made when there is none. Only the thread that takes in messages makes any."""
        entry = self.known.get(key)
        if entry is None:
            entry = self.known[key] = Entry(key)
        return entry

    def add_fork(self, key, fork):
        """Another worker refers to the value."""
        entry = self.pinned[key] = self.entry(key)
        entry.forks.add(fork)
        return entry

    def drop_fork(self, key, fork):
        """It does no longer."""
        entry = self.pinned.get(key)
        if entry is not None:
            entry.forks.discard(fork)
            if not entry.forks:
                del self.pinned[key]


class RRef:
    """A reference to a value that lives on one worker, its owner. It may be sent to any worker.

    ``RRef(value)`` refers to a value of this worker; :func:`remote` gives one to a value that another worker
    makes. The value lives until nobody on any worker refers to it.

    Args:
        value (object): the value.
        type_hint: must be None: there is no TorchScript.

    Example::

        >>> import nnlib.distributed.rpc as rpc
        >>> rpc.init_rpc("worker0")  # doctest: +SKIP
        >>> rref = rpc.RRef([1, 2])  # doctest: +SKIP
        >>> rref.is_owner(), rref.to_here()  # doctest: +SKIP
        (True, [1, 2])
    """

    def __init__(self, value, type_hint=None):
        if type_hint is not None:
            raise NotImplementedError("type_hint is for TorchScript, which nnlib does not have")
        agent = _state.agent()
        self._start(agent, agent.me, agent.new_key())
        self._entry = agent.values.entry(self._key)
        self._entry.future.set_result(value)

    def _start(self, agent, owner, key):
        self._agent, self._owner, self._key = agent, owner, key
        self._entry = self._fork = self._made = None
        self._confirmed = False

    def __class_getitem__(cls, item):
        return cls

    def __reduce__(self):
        raise RuntimeError(
            "an RRef can be sent in the arguments and results of RPCs only: it cannot be pickled"
        )

    def __repr__(self):
        if self.is_owner():
            return f"OwnerRRef(id={self._key})"
        return f"UserRRef(id={self._key}, fork={self._fork}, owner={self._owner.name})"

    def is_owner(self):
        """Whether this worker owns the value."""
        return self._entry is not None

    def owner(self):
        """The :class:`WorkerInfo` of the worker that owns the value."""
        return self._owner

    def owner_name(self):
        """The name of the worker that owns the value."""
        return self._owner.name

    def confirmed_by_owner(self):
        """Whether the owner is known to know of this reference; always True on the owner."""
        return self.is_owner() or self._confirmed

    def local_value(self):
        """The value itself, on its owner alone; waits until it is made, raises what making it raised."""
        if not self.is_owner():
            raise RuntimeError(
                f"local_value() was called on {self!r}: only its owner {self._owner.name} has the value. "
                "to_here() brings a copy"
            )
        return self._entry.future.wait()

    def to_here(self, timeout=-1.0):
        """A copy of the value, fetched from the owner; on the owner the value itself.

        Args:
            timeout (float): seconds after which it is an error; 0 for never, -1 for the default.
        """
        if self.is_owner():
            return self.local_value()
        self._check_made()
        return self._agent.request(self._owner, "fetch", (self._key,), timeout=timeout).wait()

    def _check_made(self):
        if self._made is not None and self._made.done():
            self._made.value()

    def _get_future(self):
        """The Future of the call that makes the value."""
        if self._made is None:
            raise RuntimeError(f"{self!r} was not made by a call of remote() on this worker")
        return self._made

    def rpc_sync(self, timeout=-1.0):
        """A proxy: ``rref.rpc_sync().method(...)`` runs the value's method on the owner and gives the result."""
        from .api import rpc_sync

        return Proxy(self, rpc_sync, timeout)

    def rpc_async(self, timeout=-1.0):
        """A proxy: ``rref.rpc_async().method(...)`` gives a Future of the result."""
        from .api import rpc_async

        return Proxy(self, rpc_async, timeout)

    def remote(self, timeout=-1.0):
        """A proxy: ``rref.remote().method(...)`` gives an RRef to the result, which stays on the owner."""
        from .api import remote

        return Proxy(self, remote, timeout)

    def backward(self, dist_autograd_ctx_id=-1, retain_graph=False):
        """Runs a backward pass from the value, a tensor of one element, on its owner.

        Args:
            dist_autograd_ctx_id (int): the context that takes the gradients; -1, on the owner alone, for a
                plain ``backward()``.
            retain_graph (bool): keep what was saved for backward.
        """
        from .api import rpc_sync

        if self.is_owner():
            _backward(self, dist_autograd_ctx_id, retain_graph)
        else:
            rpc_sync(self._owner, _backward, (self, dist_autograd_ctx_id, retain_graph))


def _backward(rref, context_id, retain_graph):
    from .. import autograd

    value = rref.local_value()
    if context_id == -1:
        value.backward(retain_graph=retain_graph)
    else:
        autograd.backward(context_id, [value], retain_graph)


class Proxy:
    """Calls methods of the value of an RRef where it is."""

    def __init__(self, rref, call, timeout):
        self._rref, self._call, self._timeout = rref, call, timeout

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def invoke(*args, **kwargs):
            return self._call(
                self._rref.owner(), invoke_method, (self._rref, name, args, kwargs), timeout=self._timeout
            )

        return invoke


def invoke_method(rref, name, args, kwargs):
    """What the owner runs for a proxy; see `calls.run`."""
    return getattr(rref.local_value(), name)(*args, **kwargs)


def user_rref(agent, owner, key, fork, confirmed):
    """An RRef to a value of another worker, whose fork goes when it does."""
    rref = RRef.__new__(RRef)
    rref._start(agent, owner, key)
    rref._fork, rref._confirmed = fork, confirmed
    agent.values.users[fork] = rref
    weakref.finalize(rref, agent.forget, owner, key, fork).atexit = False
    return rref


def owner_rref(agent, entry):
    """An RRef to a value of this worker."""
    rref = RRef.__new__(RRef)
    rref._start(agent, agent.me, entry.key)
    rref._entry = entry
    return rref


# RRefs on their way. The descriptions are made by the sender and read by the thread that takes messages in.


def describe(agent, rref, to):
    """What travels for an RRef that goes to worker `to`: (owner, key, fork, parent's worker)."""
    if rref._agent is not agent:
        raise RuntimeError(f"{rref!r} belongs to an RPC that was shut down")
    owner, key = rref._owner.id, rref._key
    if rref.is_owner():
        fork = agent.new_key()
        agent.values.add_fork(key, fork)
        return owner, key, fork, None
    if to == owner:
        return owner, key, None, None
    fork = agent.new_key()
    agent.values.parents[fork] = rref
    return owner, key, fork, agent.me.id


def receive(agent, owner, key, fork, parent):
    """The RRef for a description that has come."""
    if owner == agent.me.id:
        rref = owner_rref(agent, agent.values.entry(key))
        agent.values.drop_fork(key, fork)
        return rref
    rref = user_rref(agent, agent.workers[owner], key, fork, parent is None)
    if parent is not None:
        agent.tell(owner, "fork", (key, fork, parent))
    return rref


@arriving("fork")
def _fork(agent, source, message):
    key, fork, parent = message.facts
    agent.values.add_fork(key, fork)
    agent.tell(source, "confirmed", (fork,))
    agent.tell(parent, "accepted", (fork,))


@arriving("confirmed")
def _confirmed(agent, source, message):
    rref = agent.values.users.get(message.facts[0])
    if rref is not None:
        rref._confirmed = True


@arriving("accepted")
def _accepted(agent, source, message):
    agent.values.parents.pop(message.facts[0], None)


@arriving("forget")
def _forget(agent, source, message):
    agent.values.drop_fork(*message.facts)


@handler("fetch", urgent=True)
def _fetch(agent, source, facts, value):
    return agent.values.entry(facts[0]).future
