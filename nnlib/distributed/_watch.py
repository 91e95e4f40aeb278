"""A rank's line to the warden of its node; see Note [The warden] in _warden.py."""

import contextlib
import os
import socket
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("_warden.py")
START_SECONDS = 10.0  # for the warden to start: without it the job goes on, but nobody watches


class Watch:
    """Who on this node is gone without a word. Made by all ranks of the node together."""

    def __init__(self, node, rank, MPI):
        self._line = None
        if node.size == 1:
            return
        name = node.bcast(_start_warden(node.size) if node.rank == 0 else None)
        if name is not None:
            self._line = _greet(name, rank)
        # Nobody goes on before all are watched.
        if not node.allreduce(self._line is not None, MPI.LAND):
            self._hang_up()

    def lost(self):
        """The ranks that were reported since the last time; does not wait."""
        ranks = []
        while self._line is not None:
            try:
                text = self._line.recv(4096)
            except BlockingIOError:
                break
            except OSError:
                text = b""
            if not text:  # the warden has ended: nobody watches any more
                self._hang_up()
            ranks += map(int, text.split()[1:])
        return ranks

    def farewell(self, failed):
        """Says that this process is about to leave; `failed` that the whole job ends because of that."""
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.send(b"failed" if failed else b"goodbye")

    def _hang_up(self):
        if self._line is not None:
            self._line.close()
        self._line = None


def _start_warden(ranks):
    """Starts the warden; the name under which it listens, or None where it cannot be started."""
    if not sys.executable or getattr(sys, "frozen", False) or not hasattr(os, "pidfd_open"):
        return None
    try:
        name = f"\0nnlib.distributed.{os.urandom(16).hex()}"  # in no folder: nothing of it stays
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(name)
            listener.listen(ranks)
            # It must not hold the standard output: whoever reads that to its end waits for the ranks alone.
            nothing = [(os.POSIX_SPAWN_OPEN, i, os.devnull, os.O_RDWR, 0) for i in (0, 1)]
            os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", str(PROGRAM), str(ranks)],
                os.environ,
                file_actions=[*nothing, (os.POSIX_SPAWN_DUP2, listener.fileno(), 3)],
                setsid=True,
            )
    except (OSError, NotImplementedError, AttributeError):
        return None
    return name


def _greet(name, rank):
    """The line to the warden of that name, or None."""
    launcher = os.environ.get("PMI_FD", "")
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.settimeout(START_SECONDS)
        line.connect(name)
        socket.send_fds(line, [str(rank).encode()], [int(launcher)] if launcher.isdigit() else [])
        if line.recv(64) == b"ready":
            line.setblocking(False)
            return line
    except OSError:
        pass
    line.close()
    return None
