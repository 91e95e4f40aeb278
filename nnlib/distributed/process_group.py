"""Process groups: who talks to whom, and the queue and thread through which they do."""

import threading

from .. import _comm
from ._request import Request
from ._runtime import is_mpi4py_installed
from ._work import Work

# What this process knows: the default group, how many groups were made, and which live.
state = {"world": None, "made": 0, "groups": []}


class GroupMember:
    """Constants for the ``group`` argument: the world, and what a process outside of a group holds.

    Example::

        >>> dist.new_group([0]) is dist.GroupMember.NON_GROUP_MEMBER  # on rank 0
        False
    """

    NON_GROUP_MEMBER = -100
    WORLD = None


class _GroupMeta(type):
    @property
    def WORLD(cls):
        """The default group, or None before init_process_group."""
        return state["world"]


class group(metaclass=_GroupMeta):
    """``group.WORLD`` is the default process group.

    Example::

        >>> dist.group.WORLD.size() == dist.get_world_size()
        True
    """


class ProcessGroup:
    """A set of ranks with a queue of collectives, in program order, and a thread that runs them.

    Made by :func:`init_process_group` and :func:`new_group`.

    Attributes:
        ranks (list of int): the world's ranks that it has, in order. group_name, timeout, backend: as it was made.

    Example::

        >>> pair = dist.new_group([0])
        >>> pair.rank(), pair.size(), pair.ranks
        (0, 1, [0])
    """

    def __init__(self, name, ranks, transport, timeout, backend):
        self.group_name, self.ranks, self.timeout, self.backend = name, ranks, timeout, backend
        self._transport, self.number, self.twins = transport, transport.number, 0
        self.queue = _comm.Queue()
        self._thread = threading.Thread(
            target=self.queue.serve, args=(transport,), name=f"nnlib-comm-{name}", daemon=True
        )
        self._thread.start()
        if transport.runtime is not None:
            transport.runtime.servers.append((name, self.queue, self._thread, transport))

    def rank(self):
        """This process's rank within the group."""
        return self._transport.rank

    def size(self):
        """The number of ranks of the group."""
        return self._transport.size

    def share_memory(self, size):
        """A buffer of `size` bytes that the other ranks see too, or None. A collective."""
        made = []

        def share(transport, headers):
            made.append(transport.share_memory(size))
            return
            yield

        self.submit(Request("share_memory", digest=size, timeout=self.timeout, body=share))
        return made[0]

    def shares_memory(self):
        """Whether this rank exchanges data with others of its node in shared memory."""
        return self._transport.link is not None

    def nodes(self):
        """The world's ranks that exchange data in shared memory, a list for each node."""
        transport = self._transport
        if transport.nodes is not None:
            return [[self.ranks[r] for r in members] for members in transport.nodes.members]
        return [list(self.ranks)] if transport.link is not None else [[rank] for rank in self.ranks]

    def name(self):
        """The backend's name."""
        return self.backend

    def __repr__(self):
        return f"ProcessGroup({self.group_name!r}, ranks={self.ranks}, backend={self.backend!r})"

    def group_rank(self, rank):
        """The rank within the group of a rank of the world."""
        if rank not in self.ranks:
            raise ValueError(
                f"rank {rank} is not part of group {self.group_name!r}, whose ranks are {self.ranks}"
            )
        return self.ranks.index(rank)

    def submit(self, request, async_op=False, result=()):
        """Queues a request; waits for it unless async_op, then returns the handle."""
        work = Work(self.queue.submit(request), result)
        if async_op:
            return work
        work.wait()
        return None

    def close(self):
        """Lets everything queued end, then ends the thread and gives the communicators back."""
        drained = self.queue.drain(self.timeout)
        self.queue.close("the process group was destroyed")
        self._thread.join(5.0)
        if drained and not self._thread.is_alive():
            self._transport.free()


class Backend(str):
    """The name of a backend. There is one: ``Backend.MPI``.

    Example::

        >>> dist.Backend("MPI") == dist.Backend.MPI == "mpi"
        True
    """

    MPI = "mpi"
    UNDEFINED = "undefined"

    def __new__(cls, name):
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


def is_available():
    """True: the package is part of every nnlib. Whether MPI can be reached is said by is_mpi_available.

    Example::

        >>> dist.is_available()
        True
    """
    return True


def is_mpi_available():
    """True when mpi4py is installed, so that the backend "mpi" can be asked for.

    Example::

        >>> backend = "mpi" if dist.is_mpi_available() else None
    """
    return is_mpi4py_installed()


def is_nccl_available():
    """False: nnlib runs on CPUs, where the backend is "mpi".

    Example::

        >>> dist.is_nccl_available()
        False
    """
    return False


def is_gloo_available():
    """False: the backend is "mpi".

    Example::

        >>> dist.is_gloo_available()
        False
    """
    return False


def is_ucc_available():
    """False: the backend is "mpi".

    Example::

        >>> dist.is_ucc_available()
        False
    """
    return False


def is_xccl_available():
    """False: the backend is "mpi".

    Example::

        >>> dist.is_xccl_available()
        False
    """
    return False


def is_backend_available(backend):
    """Whether :func:`init_process_group` takes a backend, given by name.

    Example::

        >>> dist.is_backend_available("gloo")
        False
    """
    return backend.lower() == "mpi" and is_mpi_available()


def is_initialized():
    """True between init_process_group and destroy_process_group.

    Example::

        >>> dist.is_initialized()
        True
    """
    return state["world"] is not None


def is_torchelastic_launched():
    """False: ranks are started by mpirun or srun.

    Example::

        >>> dist.is_torchelastic_launched()
        False
    """
    return False


def world():
    if state["world"] is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call init_process_group."
        )
    return state["world"]


def resolve(group=None):
    """The group meant by a ``group`` argument; None when this process is not part of it."""
    if group is None:
        return world()
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    if not isinstance(group, ProcessGroup):
        raise TypeError(f"expected group to be a ProcessGroup, but got {type(group).__name__}")
    if group not in state["groups"]:
        raise ValueError(f"the process group {group.group_name!r} has been destroyed")
    return group


def get_rank(group=None):
    """This process's rank within the group (the default one), or -1 when it is not part of it.

    Args:
        group (ProcessGroup): None for the default one.

    Example::

        >>> dist.get_rank()
        0
    """
    group = resolve(group)
    return -1 if group is None else group.rank()


def get_world_size(group=None):
    """The number of ranks of the group (the default one), or -1 when this process is not part of it.

    Args:
        group (ProcessGroup): None for the default one.

    Example::

        >>> dist.get_world_size()
        1
    """
    group = resolve(group)
    return -1 if group is None else group.size()


def get_backend(group=None):
    """The name of the group's backend: "mpi".

    Args:
        group (ProcessGroup): None for the default one.

    Raises:
        ValueError: this process is not part of the group.

    Example::

        >>> dist.get_backend()
        'mpi'
    """
    group = resolve(group)
    if group is None:
        raise ValueError("Invalid process group specified: this process is not part of it")
    return group.backend


def get_process_group_ranks(group=None):
    """The world's ranks that make up the group, in group order.

    Args:
        group (ProcessGroup): None for the default one.

    Example::

        >>> dist.get_process_group_ranks(dist.group.WORLD)
        [0]
    """
    return list(resolve(group).ranks)


def get_group_rank(group, global_rank):
    """The rank within the group of a rank of the world.

    Args:
        group (ProcessGroup): the group.
        global_rank (int): a rank of the world.

    Raises:
        ValueError: the group does not have that rank.

    Example::

        >>> dist.get_group_rank(dist.group.WORLD, 0)
        0
    """
    return resolve(group).group_rank(global_rank)


def get_global_rank(group, group_rank):
    """The rank in the world of a rank of the group.

    Args:
        group (ProcessGroup): the group.
        group_rank (int): a rank within it.

    Raises:
        ValueError: the group does not have that rank.

    Example::

        >>> dist.get_global_rank(dist.group.WORLD, 0)
        0
    """
    ranks = resolve(group).ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(
            f"group rank {group_rank} is not part of group {group.group_name!r} of {len(ranks)} ranks"
        )
    return ranks[group_rank]
