"""A world of one rank, without MPI."""

from ._transport import Transport


class LocalTransport(Transport):
    """The transport of a world of one rank: no MPI, every collective is a copy."""

    def __init__(self, name, number, timeout):
        self.runtime = None
        self._start(name, number, [0], timeout, 0)

    def subgroup(self, name, number, members, timeout):
        """A group of the one rank that there is."""
        return LocalTransport(name, number, timeout)

    def share_memory(self, size):
        """None: there is nobody to share it with."""
        return None

    def free(self):
        """Nothing to give back."""

    def gone_error(self, request):
        """None: there is nobody who could leave."""
        return None

    def idle(self):
        """Nobody to look after."""

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
