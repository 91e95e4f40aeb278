"""The conversation of a group's ranks: agreeing on each collective, deadlines, and who is missing."""

import collections

import numpy as np

from ._errors import DistBackendError, DistTimeoutError
from ._moves import Moves
from ._node import Arenas, link_ranks, share
from ._nodes import Nodes
from ._request import (
    HEADER,
    INLINE,
    ITEM_BYTES,
    SIGNED,
    Request,
    describe,
    mismatch_error,
    uneven_forwards,
)
from ._runtime import say


class Transport(Moves):
    """The communicators of one group and the state of its conversation."""

    def __init__(self, comm, runtime, name, number, ranks, timeout):
        self.MPI, self.runtime, self.comm = runtime.MPI, runtime, comm
        self.direct = comm.Dup()
        self._start(name, number, ranks, timeout, comm.rank)
        self.arenas = Arenas()
        self._map_nodes()
        self._prepare_exchange()

    def _start(self, name, number, ranks, timeout, rank):
        # The number is the same on all ranks and never used again, whatever the name.
        self.name, self.number, self.ranks, self.timeout = name, number, ranks, timeout
        self.rank, self.size = rank, len(ranks)
        self.broken = self.link = self.nodes = None
        self.sequence = 0
        self._doubt = ""  # of whether the ranks are in the same iteration
        self.history = collections.deque(maxlen=16)
        self.sent, self.received = collections.Counter(), collections.Counter()
        self._scratch = np.empty(0, np.uint8)
        self._headers = np.zeros(self.size, HEADER)
        self._bytes = self._headers.view(np.uint8).reshape(self.size, HEADER.itemsize)
        self._awaited = set()

    def _map_nodes(self):
        """Finds out who shares memory with whom; `nodes` stays None where one level is enough."""
        nodes = Nodes(self.comm, self.MPI, self.runtime.pretended_node)
        self.link = link_ranks(self.comm, nodes, self.MPI)
        if self.link is None or nodes.count() == 1:
            nodes.free()
        else:
            self.nodes = nodes
            self._boards = nodes.here() + nodes.elsewhere()

    def _prepare_exchange(self):
        """The transfers of signatures: of all with all, or with one rank of each other node."""
        others = [r for r in range(self.size) if r != self.rank]
        senders, receivers = others, others
        if self.nodes is not None:
            senders, receivers = self.nodes.receives_from(), self.nodes.contacts()
        elif self.link is not None:
            senders = receivers = []
        comm, byte = self.comm, self.MPI.BYTE
        self._receives = {r: comm.Recv_init([self._bytes[r], byte], r, 0) for r in senders}
        self._sends = [comm.Send_init([self._bytes[self.rank], byte], r, 0) for r in receivers]
        self._exchange = [*self._receives.values(), *self._sends]

    def subgroup(self, name, number, members, timeout):
        """The transport of some of this group's ranks, called by all; None on those outside."""
        inside = self.rank in members
        comm = self.comm.Split(0 if inside else self.MPI.UNDEFINED, self.rank)
        return (
            Transport(comm, self.runtime, name, number, [self.ranks[r] for r in members], timeout)
            if inside
            else None
        )

    def free(self):
        """Gives the communicators back; only when nothing is in the air."""
        if self.broken is None:
            for request in self._exchange:
                request.Free()
            if self.nodes is not None:
                self.nodes.free()
            self.direct.Free()
            self.comm.Free()

    # What the communication thread calls.

    def run(self, request):
        """The generator of a request: agree on its signature, then move its data."""
        if self.broken is not None:
            raise DistBackendError(f"group {self.name!r} can no longer be used: {self.broken}")
        if not request.exclusive:
            yield from request.body(self, None)
            return
        yield from self._agree(request)
        if request.body is not None:
            yield from request.body(self, self._headers)

    def native_request(self, address, count, dtype, reduce_op, forwards):
        """The request for an all-reduce in place that native code has pushed."""
        place = self.arenas.locate(address) if self.link is not None else None
        if place is None or count * ITEM_BYTES[dtype] <= INLINE:
            return all_reduce_request(
                address, address, count, dtype, reduce_op, self.timeout, forwards=forwards
            )
        mark, parts = place
        return Request(
            "all_reduce", dtype=dtype, reduce_op=reduce_op, count=count, digest=mark, timeout=self.timeout,
            forwards=forwards,
            body=lambda transport, headers: transport.all_reduce_in_place(parts, count, dtype, reduce_op),
        )  # fmt: skip

    def share_memory(self, size):
        """Memory of `size` bytes that the node's other ranks see, on all ranks; or None on all."""
        if self.link is None:
            return None
        if self.nodes is None:
            memory, position = share(self.comm, size), self.rank
        else:
            memory, position = share(self.nodes.inside, size), self.nodes.position
            if not self.comm.allreduce(memory is not None, self.MPI.LAND):
                return None
        return None if memory is None else self.arenas.add(memory, position)

    def timeout_error(self, request):
        """The group is given up: says who did not come, and what was called before."""
        text = f"{self._call(request)} timed out after {request.timeout:g} s on rank {self.runtime.rank}: "
        absent = self._absent() if request.exclusive else []
        if request.peer is not None:
            text += f"rank {self.ranks[request.peer]} did not answer"
        elif not request.exclusive:
            text += "no rank answered"
        elif absent:
            text += f"rank{'s' * (len(absent) > 1)} {', '.join(map(str, absent))} did not arrive"
        else:
            text += "all ranks arrived, but the data did not"
            if self.nodes is not None:
                far = ", ".join(str(self.ranks[r]) for r in self.nodes.elsewhere())
                text += f" (other nodes have the ranks {far})"
        text += f". Last calls: {'; '.join(self.history) or 'none'}{self._doubt}"
        self._give_up(text)
        return DistTimeoutError(text)

    def gone_error(self, request):
        """An error when a rank that this request waits for has left or has given the group up; else None."""
        self.runtime.poll()
        if request.exclusive:
            absent = self._absent()
            awaited, patience = (absent, 0.3) if absent else (self.ranks, 2.0)
        else:
            awaited, patience = (self.ranks if request.peer is None else [self.ranks[request.peer]]), 0.3
            if request.peer is None and any(r not in self.runtime.departed for r in self.ranks):
                awaited = []
        for rank in awaited:
            gone = self.runtime.why_gone(rank)
            if gone is not None and gone[0] > patience:
                text = (
                    f"{self._call(request)} on rank {self.runtime.rank} cannot go on: {gone[1]}{self._doubt}"
                )
                self._give_up(text, tell=False)
                return DistBackendError(text)
        trouble = self.runtime.troubles.get(self.number)
        if trouble is not None:
            self._give_up(trouble[1], tell=False)
            return DistBackendError(
                f"{self._call(request)} on rank {self.runtime.rank} was given up: {trouble[1]}"
            )
        return None

    def idle(self):
        """Called now and then while there is nothing to do."""
        self.runtime.check_lost()

    def closed_error(self, reason):
        """The error of a request that was dropped because its queue was closed."""
        self._give_up(reason, tell=False)
        return DistBackendError(f"group {self.name!r} was closed: {reason}")

    def _call(self, request):
        what = self.history[-1] if request.exclusive and self.history else request.operation
        return f"{what} of group {self.name!r}"

    def _absent(self):
        """The global ranks whose signature of the current collective has not come."""
        if self.link is None:
            absent = [r for r in self._awaited if not self._receives[r].Test()]
        elif self.nodes is None:
            absent = [r for r in self._awaited if not self.link.has_posted(r)]
        else:
            absent = {
                r for i, r in enumerate(self._boards) if r in self._awaited and not self.link.has_posted(i)
            }
            here = self.nodes.here()  # nothing is known of a rank elsewhere that an absent one receives from
            absent = [r for r in absent if r in here or self.nodes.receiver_of(r) not in absent]
        return [self.ranks[r] for r in sorted(absent)]

    def _give_up(self, reason, tell=True):
        if self.broken is None:
            self.broken = reason
            if tell:
                self.runtime.announce("trouble", group=self.number, reason=reason)

    # Agreement.

    def _agree(self, request):
        """Exchanges signatures; raises the same error on every rank when they differ."""
        self.sequence += 1
        mine = self._headers[self.rank]
        request.write(mine, self.sequence)
        if request.payload is not None:
            address, size = request.payload
            self._bytes[self.rank, HEADER.itemsize - INLINE :][:size] = self.view(address, size)
        self.history.append(f"{describe(mine)}, number {self.sequence}")
        if self.size > 1:
            self._awaited = {r for r in range(self.size) if r != self.rank}
            if self.nodes is not None:
                yield from self._exchange_over_nodes()
            elif self.link is not None:
                self.link.post(self._bytes[self.rank].ctypes.data)
                while not self.link.collect(self._bytes.ctypes.data):
                    yield False
            else:
                self.MPI.Prequest.Startall(self._exchange)
                while not self.MPI.Request.Testall(self._exchange):
                    yield False
            self._awaited = set()
            if (self._bytes[:, :SIGNED] != self._bytes[self.rank, :SIGNED]).any():
                raise DistBackendError(mismatch_error(self._headers, self.name, self.ranks) + self._doubt)
            counts = self._headers["forwards"]
            if request.forwards and (counts != request.forwards).any() and counts.all():
                self._report_uneven_forwards()

    def _report_uneven_forwards(self):
        """Said once, since it may be meant; errors that come of it later say it again."""
        text = uneven_forwards(self._headers, self.ranks)
        if self.rank == 0 and not self._doubt:
            say(f"group {self.name!r}: {text}")
        self._doubt = f". Before that, {text}"

    def _exchange_over_nodes(self):
        """Signatures come from each other node to one rank of this one, which shows them to the rest."""
        Request = self.MPI.Request
        self.link.post(self._bytes[self.rank].ctypes.data)
        if self._exchange:
            self.MPI.Prequest.Startall(self._exchange)
        senders, receives = list(self._receives), list(self._receives.values())
        missing = len(senders)
        while missing:
            came = Request.Testsome(receives)
            for i in came or ():
                self.link.post_for(self._boards.index(senders[i]), self._bytes[senders[i]].ctypes.data)
                missing -= 1
            if not came:
                yield False
        table = np.empty_like(self._bytes)
        while not self.link.collect(table.ctypes.data):
            yield False
        self._bytes[self._boards] = table
        while not Request.Testall(self._sends):
            yield True


def all_reduce_request(source, out, count, dtype, op, timeout, **more):
    """The request for an all-reduce of `count` elements from one address to another (or the same)."""
    size = count * ITEM_BYTES[dtype]
    return Request(
        "all_reduce",
        dtype=dtype,
        reduce_op=op,
        count=count,
        timeout=timeout,
        payload=(source, size) if size <= INLINE else None,
        body=lambda transport, headers: transport.all_reduce(headers, source, out, count, dtype, op),
        **more,
    )
