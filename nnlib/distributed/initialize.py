"""Making and ending process groups."""

from ._launcher import announced_size, check_launcher, divide_cores
from ._local import LocalTransport
from ._request import Request
from ._runtime import is_mpi4py_installed, library_name, runtime
from ._transport import Transport
from ._work import seconds_of
from .process_group import GroupMember, ProcessGroup, resolve, state, world

DEFAULT_TIMEOUT = 1800.0


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
        timeout (timedelta): when a collective that waits for others is an error. Default 30 minutes.
        world_size, rank (int): -1, or what MPI says; anything else is an error.
        store, pg_options: must be None.
        group_name (str): a name for the default group, used in messages.
        device_id: None or a CPU device.

    Raises:
        RuntimeError: the group exists already, mpi4py is missing, or the launcher and the MPI library
            disagree about the number of ranks.
        ValueError: another backend, or a rank or world size that is not MPI's.

    The cores of a node are divided among its ranks unless OMP_NUM_THREADS or set_num_threads() chose a
    number.

    Example::

        >>> import nnlib.distributed as dist
        >>> dist.init_process_group("mpi")  # doctest: +SKIP
        >>> dist.get_rank(), dist.get_world_size()  # doctest: +SKIP
        (0, 1)
    """
    if state["world"] is not None:
        raise RuntimeError("trying to initialize the default process group twice!")
    backend = _check_backend(backend)
    _check_arguments(init_method, store, pg_options, device_id)
    seconds = seconds_of(timeout, DEFAULT_TIMEOUT)
    name = group_name or "world"
    announced = announced_size()
    if backend is None and not is_mpi4py_installed() and (announced is None or announced[0] == 1):
        _check_place(1, 0, world_size, rank)
        transport = LocalTransport(name, _next_number(), seconds)
    else:
        transport = _mpi_world(name, seconds, world_size, rank)
    state["world"] = ProcessGroup(name, transport.ranks, transport, seconds, "mpi")
    state["groups"].append(state["world"])
    GroupMember.WORLD = state["world"]


def _mpi_world(name, seconds, world_size, rank):
    run = runtime()
    check_launcher(run.size, library_name(run.MPI))
    _check_place(run.size, run.rank, world_size, rank)
    run.farewell_timeout = seconds
    run.divide_cores_once(divide_cores)
    return Transport(run.world.Dup(), run, name, _next_number(), list(range(run.size)), seconds)


def _next_number():
    """Groups are made in the same order on all ranks: so the numbers agree."""
    state["made"] += 1
    return state["made"]


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

    Raises:
        ValueError: ranks that are not there or come twice.

    Example::

        >>> group = dist.new_group([0])
        >>> dist.all_reduce(torch.ones(1), group=group)
    """
    everyone = world()
    _check_backend(backend)
    _check_arguments(None, None, pg_options, device_id)
    if use_local_synchronization:
        raise NotImplementedError(
            "use_local_synchronization=True is not supported: all ranks must call new_group"
        )
    members = list(range(everyone.size())) if ranks is None else sorted(ranks)
    if len(set(members)) != len(members):
        raise ValueError(f"new_group got a rank more than once: {list(ranks)}")
    if not members or members[0] < 0 or members[-1] >= everyone.size():
        raise ValueError(f"new_group needs ranks from 0 to {everyone.size() - 1}, but got {members}")
    seconds = seconds_of(timeout, everyone.timeout)
    number = _next_number()
    name = group_desc or f"group {number}"
    made = []

    def split(transport, headers):
        made.append(transport.subgroup(name, number, members, seconds))
        return
        yield

    digest = hash((tuple(members), number))
    everyone.submit(
        Request("new_group", digest=digest, count=len(members), timeout=everyone.timeout, body=split)
    )
    if made[0] is None:
        return GroupMember.NON_GROUP_MEMBER
    group = ProcessGroup(name, members, made[0], seconds, "mpi")
    state["groups"].append(group)
    return group


def twin_group(group):
    """Another group of the same ranks, with a queue of its own. Called by all of them, in the same order."""
    group.twins += 1
    number, name = (group.number, group.twins), f"{group.group_name}, twin {group.twins}"
    made = []

    def split(transport, headers):
        members = list(range(group.size()))
        made.append(transport.subgroup(name, number, members, group.timeout))
        return
        yield

    group.submit(
        Request("new_group", digest=hash(number), count=group.size(), timeout=group.timeout, body=split)
    )
    twin = ProcessGroup(name, group.ranks, made[0], group.timeout, group.backend)
    state["groups"].append(twin)
    return twin


def destroy_process_group(group=None):
    """Ends a group, or with None all of them, after what was queued is done.

    A script that never calls it ends well too: leaving the program does the same.

    Args:
        group (ProcessGroup): None for the default one, and with it all others.

    Example::

        >>> group = dist.new_group([0])
        >>> dist.destroy_process_group(group)
    """
    everyone = world()
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    ending = [resolve(group)] if group is not None and group is not everyone else list(state["groups"][::-1])
    for one in ending:
        state["groups"].remove(one)
        if one is everyone:
            state["world"] = GroupMember.WORLD = None
        one.close()
