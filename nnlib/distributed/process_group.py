"""Process groups: who talks to whom, and the queue and thread through which they do."""

import threading

from .. import _comm
from ._errors import DistBackendError
from ._launcher import announced_size, check_launcher, divide_cores
from ._request import Request
from ._runtime import is_mpi4py_installed, runtime
from ._transport import LocalTransport, Transport
from ._work import Work, seconds_of

DEFAULT_TIMEOUT = 1800.0
_state = {"world": None, "names": 0, "groups": []}


class GroupMember:
    """Constants for the ``group`` argument: the world, and what a process outside of a group holds."""

    NON_GROUP_MEMBER = -100
    WORLD = None


class _GroupMeta(type):
    @property
    def WORLD(cls):
        """The default group, or None before init_process_group."""
        return _state["world"]


class group(metaclass=_GroupMeta):
    """``group.WORLD`` is the default process group."""


class ProcessGroup:
    """A set of ranks with a queue of collectives, in program order, and a thread that runs them.

    Made by :func:`init_process_group` and :func:`new_group`.
    """

    def __init__(self, name, ranks, transport, timeout, backend):
        self.group_name, self.ranks, self.timeout, self.backend = name, ranks, timeout, backend
        self._transport = transport
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
        """A writable buffer of `size` bytes that the other ranks see too; None where they cannot. A
        collective.
        """
        made = []

        def share(transport, headers):
            made.append(transport.share_memory(size))
            return
            yield

        self.submit(Request("share_memory", digest=size, timeout=self.timeout, body=share))
        return made[0]

    def shares_memory(self):
        """Whether the ranks are on one node and exchange data in shared memory."""
        return self._transport.link is not None

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


def is_available():
    """True: the package is part of every nnlib. Whether MPI can be reached is said by is_mpi_available."""
    return True


def is_mpi_available():
    """True when mpi4py is installed, so that the backend "mpi" can be asked for."""
    return is_mpi4py_installed()


def is_nccl_available():
    """False: nnlib runs on CPUs, where the backend is "mpi"."""
    return False


def is_gloo_available():
    """False: the backend is "mpi"."""
    return False


def is_initialized():
    """True between init_process_group and destroy_process_group."""
    return _state["world"] is not None


def is_torchelastic_launched():
    """False: ranks are started by mpirun or srun."""
    return False


def _check_backend(backend):
    if backend is None:
        return None
    if not isinstance(backend, str):
        raise TypeError(f"expected backend to be a string, but got {type(backend).__name__}")
    name = backend.lower()
    if name in ("cpu:mpi", "mpi"):
        return "mpi"
    raise ValueError(
        f'nnlib has the backend "mpi" alone, but got {backend!r}: it runs on CPUs, and its ranks are '
        'started by mpirun or srun. Call init_process_group("mpi")'
    )


def _check_arguments(init_method, store, pg_options, device_id):
    if init_method not in (None, "env://"):
        raise NotImplementedError(
            f"init_method={init_method!r} is not supported: MPI's launcher tells each process its rank and "
            "where the "
            'others are. Leave init_method out, or give "env://"'
        )
    for name, value in (("store", store), ("pg_options", pg_options)):
        if value is not None:
            raise NotImplementedError(f'{name} is not supported by the backend "mpi", but got {value!r}')
    if device_id is not None and not str(device_id).startswith("cpu"):
        raise ValueError(f"expected device_id to be None or a CPU device, but got {device_id!r}")


def _check_place(size, rank, world_size, given_rank):
    for name, given, real in (("world_size", world_size, size), ("rank", given_rank, rank)):
        if not isinstance(given, int):
            raise TypeError(f"expected {name} to be an int, but got {type(given).__name__}")
        if given not in (-1, real):
            raise ValueError(
                f"init_process_group was called with {name}={given}, but MPI gives this process "
                f"{name}={real}; "
                "start as many ranks as you want with mpirun, and leave the argument out"
            )


def init_process_group(
    backend=None,
    init_method=None,
    timeout=None,
    world_size=-1,
    rank=-1,
    store=None,
    group_name="",
    pg_options=None,
    device_id=None,
):
    """Makes this process a rank of the job that mpirun or srun started; the default group holds all ranks.

    Without a launcher it is a world of one rank, and the same script runs.

    Args:
        backend (str): "mpi", or None: MPI where mpi4py is installed, else a world of one. There is no other.
        init_method (str): None or "env://"; MPI's launcher does what the other methods are for.
        timeout (timedelta): after how long a collective that waits for others is an error. Default 30
        minutes.
        world_size, rank (int): -1, or what MPI says; anything else is an error.
        store, pg_options: must be None.
        group_name (str): a name for the default group, used in messages.
        device_id: None or a CPU device.

    Raises:
        RuntimeError: the group exists already, mpi4py is missing, or the launcher and the MPI library
        disagree
            about the number of ranks.
        ValueError: another backend, or a rank or world size that is not MPI's.

    The cores of a node are divided among its ranks unless OMP_NUM_THREADS or set_num_threads() chose a
    number.

    Example::

        >>> import nnlib.distributed as dist
        >>> dist.init_process_group("mpi")  # doctest: +SKIP
        >>> dist.get_rank(), dist.get_world_size()  # doctest: +SKIP
        (0, 1)
    """
    if _state["world"] is not None:
        raise RuntimeError("trying to initialize the default process group twice!")
    backend = _check_backend(backend)
    _check_arguments(init_method, store, pg_options, device_id)
    seconds = seconds_of(timeout, DEFAULT_TIMEOUT)
    name = group_name or "world"
    announced = announced_size()
    if backend is None and not is_mpi4py_installed() and (announced is None or announced[0] == 1):
        _check_place(1, 0, world_size, rank)
        transport = LocalTransport(name, seconds)
    else:
        transport = _mpi_world(name, seconds, world_size, rank)
    _state["world"] = ProcessGroup(name, transport.ranks, transport, seconds, "mpi")
    _state["groups"].append(_state["world"])
    GroupMember.WORLD = _state["world"]


def _mpi_world(name, seconds, world_size, rank):
    run = runtime()
    library = run.MPI.Get_library_version().split("\n")[0].strip("\0 ")
    check_launcher(run.size, library)
    _check_place(run.size, run.rank, world_size, rank)
    run.farewell_timeout = seconds
    run.divide_cores_once(divide_cores)
    return Transport(run.world.Dup(), run, name, list(range(run.size)), seconds)


def _world():
    if _state["world"] is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call init_process_group."
        )
    return _state["world"]


def resolve(group=None):
    """The group meant by a ``group`` argument; None when this process is not part of it."""
    if group is None:
        return _world()
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    if not isinstance(group, ProcessGroup):
        raise TypeError(f"expected group to be a ProcessGroup, but got {type(group).__name__}")
    if group not in _state["groups"]:
        raise ValueError(f"the process group {group.group_name!r} has been destroyed")
    return group


def get_rank(group=None):
    """This process's rank within the group (the default one), or -1 when it is not part of it."""
    group = resolve(group)
    return -1 if group is None else group.rank()


def get_world_size(group=None):
    """The number of ranks of the group (the default one), or -1 when this process is not part of it."""
    group = resolve(group)
    return -1 if group is None else group.size()


def get_backend(group=None):
    """The name of the group's backend: "mpi"."""
    group = resolve(group)
    if group is None:
        raise ValueError("Invalid process group specified: this process is not part of it")
    return group.backend


def get_process_group_ranks(group=None):
    """The world's ranks that make up the group, in group order."""
    return list(resolve(group).ranks)


def get_group_rank(group, global_rank):
    """The rank within the group of a rank of the world."""
    return resolve(group).group_rank(global_rank)


def get_global_rank(group, group_rank):
    """The rank in the world of a rank of the group."""
    ranks = resolve(group).ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(
            f"group rank {group_rank} is not part of group {group.group_name!r} of {len(ranks)} ranks"
        )
    return ranks[group_rank]


def new_group(
    ranks=None,
    timeout=None,
    backend=None,
    pg_options=None,
    use_local_synchronization=False,
    group_desc=None,
    device_id=None,
):
    """Makes a group of some of the world's ranks. All ranks of the world must call it, in the same order.

    Args:
        ranks (list of int): the members; None for all.
        timeout (timedelta): as in init_process_group; by default the world's.
        backend (str): "mpi" or None.
        pg_options: must be None. use_local_synchronization: must be False.
        group_desc (str): a name for the group, used in messages.
        device_id: None or a CPU device.

    Returns the group, or ``GroupMember.NON_GROUP_MEMBER`` on ranks outside of it.
    """
    world = _world()
    _check_backend(backend)
    _check_arguments(None, None, pg_options, device_id)
    if use_local_synchronization:
        raise NotImplementedError(
            "use_local_synchronization=True is not supported: all ranks must call new_group"
        )
    members = list(range(world.size())) if ranks is None else sorted(ranks)
    if len(set(members)) != len(members):
        raise ValueError(f"new_group got a rank more than once: {list(ranks)}")
    if not members or members[0] < 0 or members[-1] >= world.size():
        raise ValueError(f"new_group needs ranks from 0 to {world.size() - 1}, but got {members}")
    seconds = seconds_of(timeout, world.timeout)
    _state["names"] += 1
    name = group_desc or f"group {_state['names']}"
    made = []

    def split(transport, headers):
        made.append(transport.subgroup(name, members, seconds))
        return
        yield

    digest = hash((tuple(members), _state["names"]))
    world.submit(Request("new_group", digest=digest, count=len(members), timeout=world.timeout, body=split))
    if made[0] is None:
        return GroupMember.NON_GROUP_MEMBER
    group = ProcessGroup(name, members, made[0], seconds, "mpi")
    _state["groups"].append(group)
    return group


def destroy_process_group(group=None):
    """Ends a group, or with None all of them, after what was queued is done.

    A script that never calls it ends well too: leaving the program does the same.
    """
    world = _world()
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    ending = [resolve(group)] if group is not None and group is not world else list(_state["groups"][::-1])
    for one in ending:
        _state["groups"].remove(one)
        if one is world:
            _state["world"] = GroupMember.WORLD = None
        one.close()


def check_member(group, what):
    """The group to communicate in; raises for a process that is not part of it."""
    group = resolve(group)
    if group is None:
        raise DistBackendError(f"{what} was called on a rank that is not part of the group")
    return group
