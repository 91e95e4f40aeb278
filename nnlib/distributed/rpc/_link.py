"""How messages move between workers: frames of plain bytes, and the bytes of large tensors beside them.

All on a communicator that only RPC uses, point to point. Messages from one worker come in the order in which
they were sent, each when its tensors are there. Nothing here waits: one thread calls `step` again and again.
"""

import collections
import threading

import numpy as np

FRAME, DATA = 1, 2  # tags
PIECE = 1 << 30  # bytes of a tensor that go in one MPI message


def pieces(data):
    """An array of bytes in parts that MPI's 32-bit counts can hold."""
    return [data[i : i + PIECE] for i in range(0, data.size, PIECE)]


class Incoming:
    """A message on its way in: first its frame, then its tensors."""

    def __init__(self, frame, request):
        self.frame, self.requests = frame, [request]
        self.message = None


class LocalLink:
    """The link of a world of one: a worker that sends to itself."""

    rank, size = 0, 1

    def __init__(self):
        self._loop = collections.deque()

    def send(self, to, frame, arrays):
        """Sends a frame, and arrays of bytes that must not change until they have gone."""
        self._loop.append((frame, [array.copy() for array in arrays]))

    def step(self, unpack, deliver):
        """Moves what can be moved; True when something has.

        unpack(frame) gives a message and the arrays of bytes to be filled before deliver(source, message).
        """
        moved = False
        while self._loop:
            frame, arrays = self._loop.popleft()
            message, targets = unpack(frame)
            for target, array in zip(targets, arrays, strict=True):
                target[:] = array
            deliver(self.rank, message)
            moved = True
        return moved

    def unsent(self):
        """Whether something that was sent has not gone yet."""
        return bool(self._loop)

    def free(self):
        """Gives the communicator back; only when nothing is in the air."""


class MPILink(LocalLink):
    """The link between the ranks of an MPI communicator, which is this link's own from now on."""

    def __init__(self, MPI, comm):
        super().__init__()
        self._mpi, self._comm = MPI, comm
        self.rank, self.size = comm.rank, comm.size
        self._lock = threading.Lock()
        self._outgoing = []  # (requests, what they send)
        self._incoming = collections.defaultdict(collections.deque)

    def send(self, to, frame, arrays):
        if to == self.rank:
            super().send(to, frame, arrays)
            return
        byte = self._mpi.BYTE
        with self._lock:  # a message's parts stay together
            requests = [self._comm.Isend([frame, byte], to, FRAME)]
            for array in arrays:
                requests += [self._comm.Isend([part, byte], to, DATA) for part in pieces(array)]
            self._outgoing.append((requests, frame, arrays))

    def step(self, unpack, deliver):
        moved = super().step(unpack, deliver)
        with self._lock:
            left = [entry for entry in self._outgoing if not self._mpi.Request.Testall(entry[0])]
            moved = moved or len(left) < len(self._outgoing)
            self._outgoing = left
        status = self._mpi.Status()
        while (message := self._comm.Improbe(self._mpi.ANY_SOURCE, FRAME, status)) is not None:
            frame = np.empty(status.Get_count(self._mpi.BYTE), np.uint8)
            request = message.Irecv([frame, self._mpi.BYTE])
            self._incoming[status.Get_source()].append(Incoming(frame, request))
            moved = True
        for source, waiting in self._incoming.items():
            while waiting and self._complete(source, waiting[0], unpack):
                deliver(source, waiting.popleft().message)
                moved = True
        return moved

    def _complete(self, source, incoming, unpack):
        if not self._mpi.Request.Testall(incoming.requests):
            return False
        if incoming.message is None:
            incoming.message, arrays = unpack(incoming.frame)
            incoming.requests = [
                self._comm.Irecv([part, self._mpi.BYTE], source, DATA)
                for array in arrays
                for part in pieces(array)
            ]
        return self._mpi.Request.Testall(incoming.requests)

    def unsent(self):
        return super().unsent() or bool(self._outgoing)

    def free(self):
        self._comm.Free()
