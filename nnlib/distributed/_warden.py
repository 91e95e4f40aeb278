"""A small process on each node that notices when a rank is gone without a word; started by _watch.py.

Note [The warden]
A rank that is killed (by the kernel, when memory runs out) or that calls os._exit has no exit hook that could
tell the others. Its process is watched from outside of the job: launchers kill the remaining ranks of a node
within microseconds of a death, so none of them could report it, but they do not know of this process, which
has a session of its own. It says which rank is gone, tells the ranks that are left, and ends with the last.
It also keeps the ranks' connections to MPICH's launcher open: the launcher takes one that closes without
MPI_Finalize as the end of the job, kills the other ranks, and reports success where the exit status was 0.
What is left then is MPI_Abort by a rank that was told, with a status that is no success.

Run as a program with the standard library alone; its argument is the number of ranks, and its listening
socket is file descriptor 3.
"""

import os
import platform
import select
import socket
import sys

GREETING_SECONDS = 60.0  # how long it waits for ranks to come


class Member:
    """A rank: its socket, its process, and whether it has said that it leaves."""

    def __init__(self, connection):
        self.connection = connection
        greeting, self.kept, _, _ = socket.recv_fds(connection, 64, 1)
        self.rank = int(greeting)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.process = int.from_bytes(credentials[:4], sys.byteorder)
        try:
            self.handle = os.pidfd_open(self.process)
        except ProcessLookupError:
            self.handle = None  # it has ended before this process could look
        self.spoken = False
        connection.setblocking(False)

    def listen(self):
        """What the rank has said since the last time."""
        said = []
        try:
            while word := self.connection.recv(64):
                said.append(word)
        except OSError:
            pass
        self.spoken = self.spoken or bool(said)
        return said

    def tell(self, text):
        """A message to the rank; one that does not listen misses it."""
        try:
            self.connection.send(text.encode())
        except OSError:
            pass

    def close(self):
        """Lets the rank go, but not what is kept of it: closing that would be the news to the launcher."""
        self.connection.close()
        if self.handle is not None:
            os.close(self.handle)


class Warden:
    """The ranks that are there, and what was said of those that are not."""

    def __init__(self, listener, count):
        self.listener, self.awaited = listener, count
        self.members = []
        self.quiet = False  # a rank has told the others why it leaves: what ends now ends because of that
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)

    def admit(self):
        """Takes a rank in; one that cannot be watched is left out."""
        connection, _ = self.listener.accept()
        self.awaited -= 1
        try:
            member = Member(connection)
        except (OSError, ValueError):
            connection.close()
            return
        self.members.append(member)
        if member.handle is not None:
            self.poll.register(member.handle, select.POLLIN)
        member.tell("ready")

    def part(self, gone):
        """Reports ranks whose processes are gone, unless they had said that they would be."""
        for member in self.members:
            self.quiet = self.quiet or b"failed" in member.listen()
        for member in gone:
            self.members.remove(member)
            if member.handle is not None:
                self.poll.unregister(member.handle)
        silent = [member for member in gone if not member.spoken]
        if silent:
            text = "gone " + " ".join(str(member.rank) for member in silent)
            for member in self.members:
                member.tell(text)
            if not self.quiet:
                report(silent)
            self.quiet = True
        for member in gone:
            member.close()

    def serve(self):
        """Until the last rank has ended."""
        while self.members or self.awaited:
            events = self.poll.poll(GREETING_SECONDS * 1000 if self.awaited else None)
            handles = {None, *(handle for handle, _ in events)}
            if self.listener.fileno() in handles:
                self.admit()
            gone = [member for member in self.members if member.handle in handles]
            if gone:
                self.part(gone)
            if not events or (gone and not self.members):
                return  # the ranks that have not come by now will not


def report(members):
    """Says on the job's error stream who is gone."""
    who = ", ".join(f"rank {m.rank} (process {m.process} on {platform.node()})" for m in members)
    verb = "is" if len(members) == 1 else "are"
    text = f"nnlib.distributed: {who} {verb} gone without a word: killed, or ended by os._exit\n"
    try:
        os.write(2, text.encode())
    except OSError:
        pass


if __name__ == "__main__":
    os.closerange(4, 65536)  # nothing of the rank that started it stays open here
    Warden(socket.socket(fileno=3), int(sys.argv[1])).serve()
