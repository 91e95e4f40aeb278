"""How bytes move between the ranks of a group, and how sums are made of them.

MPI only moves bytes here. Every sum is made by `reduce_ranks` in rank order, by the one rank that owns the
elements, and then copied: so all ranks hold the same bits. The methods are generators for the communication
thread (src/_comm.pyx): they yield False while ranks are awaited and True while data is moving.
"""

import contextlib
import ctypes

import numpy as np

from ._errors import DistBackendError
from ._levels import Levels
from ._request import HEADER, INLINE, ITEM_BYTES, describe
from ._slices import GATHER_ALL, split

LINK_BROADCAST = 128 << 10  # bytes from which a broadcast in shared memory beats MPI's
DATA_TAGS = 30000  # point-to-point data messages take turns with this many tags, above the signatures' own


class Moves(Levels):
    """The part of a transport that moves data: over its communicators, or the shared memory of a node."""

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
        """All get the bytes of all; `sizes` where they differ, `send` None when they are in place."""
        send = self.MPI.IN_PLACE if send is None else [send, self.MPI.BYTE]
        if sizes is None:
            return self.wait(self.comm.Iallgather(send, [receive, receive.size // self.size, self.MPI.BYTE]))
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
        return self.wait(self.comm.Iallgatherv(send, [receive, (sizes, starts), self.MPI.BYTE]))

    def broadcast(self, data, root):
        """The root's bytes go to all."""
        if self.link is None or self.nodes is not None or data.size < LINK_BROADCAST:
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
        self.fold(dtype, op, mine, [base + r * mine * item for r in range(self.size)], out)

    def all_reduce(self, headers, source, out, count, dtype, op):
        """out = sum of all ranks' `count` elements at `source`, on every rank."""
        item = ITEM_BYTES[dtype]
        size = count * item
        if size <= INLINE:
            base, step = headers.ctypes.data + HEADER.itemsize - INLINE, HEADER.itemsize
            self.fold(dtype, op, count, [base + r * step for r in range(self.size)], out)
        elif self.size == 1:
            self.fold(dtype, op, count, [source], out)
        elif self.nodes is not None:
            yield from self.sum_staged(source, out, count, dtype, op)
        elif self.link is not None:
            self.link.start_sum(source, out, count, dtype, op)
            yield from self._advance_link()
        elif size <= GATHER_ALL:
            parts = self.scratch(size * self.size)
            yield from self.all_gather(self.view(source, size), parts)
            self.fold(dtype, op, count, [parts.ctypes.data + r * size for r in range(self.size)], out)
        else:
            counts, starts = split(count, self.size)
            yield from self.reduce_slices(source, count, dtype, op, out + starts[self.rank] * item)
            yield from self.all_gather(None, self.view(out, size), [c * item for c in counts])

    def all_reduce_in_place(self, parts, count, dtype, op):
        """The sum of buffers that lie in memory shared by the node's ranks, at these addresses."""
        if self.nodes is not None:
            yield from self.sum_parts(parts, count, dtype, op)
            return
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
        """Receives `size` bytes from a rank of the group, or from any (None); request.peer says who."""
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
