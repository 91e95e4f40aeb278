"""How the data of a collective moves, once all ranks have agreed that it is the same collective.

MPI only moves bytes here. Every sum is made by `reduce_ranks` in rank order, by the one rank that owns the
elements, and then copied: so all ranks hold the same bits. The methods are generators for the communication
thread (src/_comm.pyx): they yield False while ranks are awaited and True while data is moving.
"""

import collections
import contextlib
import ctypes

import numpy as np

from .. import _comm
from ._errors import DistBackendError, DistTimeoutError
from ._node import Arenas, link_ranks, share
from ._request import HEADER, INLINE, ITEM_BYTES, SIGNED, Request, describe, mismatch_error

GATHER_ALL = 16 << 10  # bytes up to which every rank gets all contributions and sums them itself
LINK_BROADCAST = 128 << 10  # bytes from which a broadcast in shared memory beats MPI's
DATA_TAGS = 30000  # point-to-point data messages take turns with this many tags, above the signatures' own


def split(count, parts):
    """Cuts `count` elements into slices that start at multiples of 64; returns counts and starts."""
    step = -(-count // parts)
    step = -(-step // 64) * 64
    starts = [min(i * step, count) for i in range(parts)]
    return [min(s + step, count) - s for s in starts], starts


class Transport:
    """The communicators of one group and the state of its conversation."""

    def __init__(self, comm, runtime, name, ranks, timeout):
        self.MPI, self.runtime, self.comm = runtime.MPI, runtime, comm
        self.direct = comm.Dup()
        self._start(name, ranks, timeout, comm.rank)
        self.link = link_ranks(comm, runtime.MPI)
        self.arenas = Arenas()
        byte = self.MPI.BYTE
        others = [r for r in range(self.size) if r != self.rank]
        self._receives = {r: comm.Recv_init([self._bytes[r], byte], r, 0) for r in others}
        self._exchange = list(self._receives.values())
        self._exchange += [comm.Send_init([self._bytes[self.rank], byte], r, 0) for r in others]

    def _start(self, name, ranks, timeout, rank):
        self.name, self.ranks, self.timeout = name, ranks, timeout
        self.rank, self.size = rank, len(ranks)
        self.broken = self.link = None
        self.sequence = 0
        self.history = collections.deque(maxlen=16)
        self.sent, self.received = collections.Counter(), collections.Counter()
        self._scratch = np.empty(0, np.uint8)
        self._headers = np.zeros(self.size, HEADER)
        self._bytes = self._headers.view(np.uint8).reshape(self.size, HEADER.itemsize)
        self._awaited = set()

    def subgroup(self, name, members, timeout):
        """The transport of some of this group's ranks, called by all; None on those outside."""
        inside = self.rank in members
        comm = self.comm.Split(0 if inside else self.MPI.UNDEFINED, self.rank)
        return (
            Transport(comm, self.runtime, name, [self.ranks[r] for r in members], timeout) if inside else None
        )

    def free(self):
        """Gives the communicators back; only when nothing is in the air."""
        if self.broken is None:
            for request in self._exchange:
                request.Free()
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

    def native_request(self, address, count, dtype, reduce_op):
        """The request for an all-reduce in place that native code has pushed."""
        place = self.arenas.locate(address) if self.link is not None else None
        if place is None or count * ITEM_BYTES[dtype] <= INLINE:
            return all_reduce_request(address, address, count, dtype, reduce_op, self.timeout)
        mark, parts = place
        return Request(
            "all_reduce", dtype=dtype, reduce_op=reduce_op, count=count, digest=mark, timeout=self.timeout,
            body=lambda transport, headers: transport.all_reduce_in_place(parts, count, dtype, reduce_op),
        )  # fmt: skip

    def share_memory(self, size):
        """Memory of `size` bytes that the other ranks see, on all ranks; or None on all. Ranks have agreed on
        it.
        """
        memory = share(self.comm, size) if self.link is not None else None
        return None if memory is None else self.arenas.add(memory, self.rank)

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
        text += f". Last calls: {'; '.join(self.history) or 'none'}"
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
                text = f"{self._call(request)} on rank {self.runtime.rank} cannot go on: {gone[1]}"
                self._give_up(text, tell=False)
                return DistBackendError(text)
        trouble = self.runtime.troubles.get(self.name)
        if trouble is not None:
            self._give_up(trouble[1], tell=False)
            return DistBackendError(
                f"{self._call(request)} on rank {self.runtime.rank} was given up: {trouble[1]}"
            )
        return None

    def closed_error(self, reason):
        """The error of a request that was dropped because its queue was closed."""
        self._give_up(reason, tell=False)
        return DistBackendError(f"group {self.name!r} was closed: {reason}")

    def _call(self, request):
        what = self.history[-1] if request.exclusive and self.history else request.operation
        return f"{what} of group {self.name!r}"

    def _absent(self):
        """The global ranks whose signature of the current collective has not come."""
        came = self.link.has_posted if self.link is not None else lambda r: self._receives[r].Test()
        return [self.ranks[r] for r in sorted(self._awaited) if not came(r)]

    def _give_up(self, reason, tell=True):
        if self.broken is None:
            self.broken = reason
            if tell:
                self.runtime.announce("trouble", group=self.name, reason=reason)

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
            self._awaited = set(self._receives)
            if self.link is not None:
                self.link.post(self._bytes[self.rank].ctypes.data)
                while not self.link.collect(self._bytes.ctypes.data):
                    yield False
            else:
                self.MPI.Prequest.Startall(self._exchange)
                while not self.MPI.Request.Testall(self._exchange):
                    yield False
            self._awaited = set()
            if (self._bytes[:, :SIGNED] != self._bytes[self.rank, :SIGNED]).any():
                raise DistBackendError(mismatch_error(self._headers, self.name, self.ranks))

    # Moving bytes. Addresses are those of contiguous memory.

    @staticmethod
    def view(address, size):
        """The memory at an address as an array of bytes."""
        if size == 0:
            return np.empty(0, np.uint8)
        return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)

    def scratch(self, size):
        """Memory of the transport's own, kept for the next time: freshly mapped pages are slow."""
        if self._scratch.size < size:
            self._scratch = np.empty(size, np.uint8)
        return self._scratch[:size]

    @staticmethod
    def buffer(size):
        """Memory beside the scratch memory, for this one time."""
        return np.empty(size, np.uint8)

    @staticmethod
    def join(parts):
        """Arrays of bytes, one after the other."""
        return np.concatenate(parts) if parts else np.empty(0, np.uint8)

    def check_pairs(self, sizes, receive_sizes):
        """Raises on every rank unless what each rank sends is what the receiver expects; generator."""
        mine = np.array([sizes, receive_sizes], np.int64)
        table = np.empty((self.size, 2, self.size), np.int64)
        yield from self.all_gather(mine.view(np.uint8).reshape(-1), table.view(np.uint8).reshape(-1))
        wrong = np.argwhere(table[:, 0, :] != table[:, 1, :].T)
        if len(wrong):
            sender, receiver = wrong[0]
            raise DistBackendError(
                f"all_to_all of group {self.name!r} does not fit: rank {self.ranks[sender]} sends "
                f"{table[sender, 0, receiver]} bytes to rank {self.ranks[receiver]}, which expects "
                f"{table[receiver, 1, sender]}"
            )

    def wait(self, *requests):
        """Waits for transfers on their way; cancels them when the generator is dropped."""
        requests = list(requests)
        done = False
        try:
            while not (done := self.MPI.Request.Testall(requests)):
                yield True
        finally:
            if not done:
                for request in requests:
                    with contextlib.suppress(self.MPI.Exception):
                        request.Cancel()

    def all_to_all(self, send, sizes, receive, receive_sizes):
        """Bytes `sizes[r]` of `send` go to rank r; `receive` gets those of all ranks, in rank order."""
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
        receive_starts = np.concatenate([[0], np.cumsum(receive_sizes)[:-1]]).tolist()
        byte = self.MPI.BYTE
        return self.wait(
            self.comm.Ialltoallv(
                [send, (sizes, starts), byte], [receive, (receive_sizes, receive_starts), byte]
            )
        )

    def all_gather(self, send, receive, sizes=None):
        """Every rank gets the bytes of all ranks; `sizes` where they differ, `send` None when already in
        place.
        """
        send = self.MPI.IN_PLACE if send is None else [send, self.MPI.BYTE]
        if sizes is None:
            return self.wait(self.comm.Iallgather(send, [receive, receive.size // self.size, self.MPI.BYTE]))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
        return self.wait(self.comm.Iallgatherv(send, [receive, (sizes, starts), self.MPI.BYTE]))

    def broadcast(self, data, root):
        """The root's bytes go to all."""
        if self.link is None or data.size < LINK_BROADCAST:
            yield from self.wait(self.comm.Ibcast([data, self.MPI.BYTE], root))
        else:
            self.link.start_broadcast(data.ctypes.data, data.size, root)
            yield from self._advance_link()

    def gather(self, send, receive, root, sizes=None):
        """All ranks' bytes go to the root, in rank order."""
        into = None
        if self.rank == root:
            sizes = sizes or [receive.size // self.size] * self.size
            into = [receive, (sizes, np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()), self.MPI.BYTE]
        return self.wait(self.comm.Igatherv([send, self.MPI.BYTE], into, root))

    def scatter(self, send, receive, root):
        """Each rank gets its part of the root's bytes."""
        out = [send, receive.size, self.MPI.BYTE] if self.rank == root else None
        return self.wait(self.comm.Iscatter(out, [receive, self.MPI.BYTE], root))

    # Sums.

    def reduce_slices(self, source, count, dtype, op, out):
        """This rank's slice of the sum over all ranks, written to the address `out`; generator."""
        item = ITEM_BYTES[dtype]
        counts, _ = split(count, self.size)
        mine = counts[self.rank]
        parts = self.scratch(mine * item * self.size)
        sizes = [c * item for c in counts]
        yield from self.all_to_all(self.view(source, count * item), sizes, parts, [mine * item] * self.size)
        base = parts.ctypes.data
        _comm.reduce_ranks(dtype, op, mine, [base + r * mine * item for r in range(self.size)], out)

    def all_reduce(self, headers, source, out, count, dtype, op):
        """out = sum of all ranks' `count` elements at `source`, on every rank."""
        item = ITEM_BYTES[dtype]
        size = count * item
        if size <= INLINE:
            base, step = headers.ctypes.data + HEADER.itemsize - INLINE, HEADER.itemsize
            _comm.reduce_ranks(dtype, op, count, [base + r * step for r in range(self.size)], out)
        elif self.size == 1:
            _comm.reduce_ranks(dtype, op, count, [source], out)
        elif self.link is not None:
            self.link.start_sum(source, out, count, dtype, op)
            yield from self._advance_link()
        elif size <= GATHER_ALL:
            parts = self.scratch(size * self.size)
            yield from self.all_gather(self.view(source, size), parts)
            _comm.reduce_ranks(
                dtype, op, count, [parts.ctypes.data + r * size for r in range(self.size)], out
            )
        else:
            counts, starts = split(count, self.size)
            yield from self.reduce_slices(source, count, dtype, op, out + starts[self.rank] * item)
            yield from self.all_gather(None, self.view(out, size), [c * item for c in counts])

    def all_reduce_in_place(self, parts, count, dtype, op):
        """The sum of buffers that lie in memory shared by all ranks, at these addresses."""
        self.link.start_shared_sum(parts, count, dtype, op)
        yield from self._advance_link()

    def _advance_link(self):
        while not self.link.advance_sum():
            yield True

    # Point to point: a header on the communicator of its own carries the signature, and small data with it.

    def send(self, request, address, size, destination, tag):
        """Sends `size` bytes to a rank of the group."""
        header = np.zeros(1, HEADER)
        self.sent[destination] += 1
        request.write(header[0], self.sent[destination])
        inline = size <= INLINE
        if inline:
            header["payload"][0, :size] = self.view(address, size)
        transfers = [self.direct.Isend([header.view(np.uint8), self.MPI.BYTE], destination, tag)]
        if not inline:
            lane = 1 + self.sent[destination] % DATA_TAGS
            transfers.append(self.comm.Isend([self.view(address, size), self.MPI.BYTE], destination, lane))
        yield from self.wait(*transfers)

    def recv(self, request, address, size, source, tag):
        """Receives `size` bytes from a rank of the group, or from any (None); sets request.peer to who it
        was.
        """
        MPI = self.MPI
        header, status = np.zeros(1, HEADER), MPI.Status()
        expected = np.zeros(1, HEADER)
        request.write(expected[0], 0)
        waiting = self.direct.Irecv(
            [header.view(np.uint8), MPI.BYTE], MPI.ANY_SOURCE if source is None else source, tag
        )
        try:
            while not waiting.Test(status):
                yield False
        except GeneratorExit:
            waiting.Cancel()
            raise
        request.peer = status.Get_source()
        came = header[0]
        came_size = int(came["count"]) * ITEM_BYTES[came["dtype"]]
        fits = came["count"] == request.count and came["dtype"] == request.dtype
        if came_size <= INLINE:
            if fits:
                self.view(address, size)[:] = came["payload"][:size]
        else:
            target = self.view(address, size) if fits else np.empty(came_size, np.uint8)
            yield from self.wait(
                self.comm.Irecv([target, MPI.BYTE], request.peer, 1 + int(came["sequence"]) % DATA_TAGS)
            )
        if not fits:
            raise DistBackendError(
                f"rank {self.ranks[request.peer]} called {describe(came)} but rank {self.runtime.rank} "
                "called "
                f"{describe(expected[0])}: the tensors must have the same dtype and number of values"
            )


class LocalTransport(Transport):
    """The transport of a world of one rank: no MPI, every collective is a copy."""

    def __init__(self, name, timeout):
        self.runtime = None
        self._start(name, [0], timeout, 0)

    def subgroup(self, name, members, timeout):
        """A group of the one rank that there is."""
        return LocalTransport(name, timeout)

    def share_memory(self, size):
        """None: there is nobody to share it with."""
        return None

    def free(self):
        """Nothing to give back."""

    def gone_error(self, request):
        """None: there is nobody who could leave."""
        return None

    def _give_up(self, reason, tell=True):
        self.broken = self.broken or reason

    def all_to_all(self, send, sizes, receive, receive_sizes):
        """Copies."""
        return self._copy(send, receive)

    def all_gather(self, send, receive, sizes=None):
        """Copies."""
        return self._copy(send, receive)

    def broadcast(self, data, root):
        """Nothing to do."""
        return self._copy(None, data)

    def gather(self, send, receive, root, sizes=None):
        """Copies."""
        return self._copy(send, receive)

    def scatter(self, send, receive, root):
        """Copies."""
        return self._copy(send, receive)

    @staticmethod
    def _copy(source, target):
        if source is not None:
            target[:] = source
        return iter(())


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
