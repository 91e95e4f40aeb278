"""Prints what each rank sees: ``mpirun -n 4 python -m nnlib.distributed.info``.

The first thing to look at when a job starts as several worlds of one rank, or runs slowly: the launcher's
word, the MPI library that was loaded, the host, the cores that the rank may use and the threads that it will.
"""

import os
import platform
import re

from .. import __version__, get_num_threads
from ._launcher import announced_size
from ._runtime import is_mpi4py_installed, library_name
from .initialize import destroy_process_group, init_process_group
from .objects import gather_object
from .process_group import get_rank, get_world_size, group


def cores():
    """The cores that this process may run on, as ranges: "0-3,8"."""
    if not hasattr(os, "sched_getaffinity"):
        return f"{os.cpu_count()} in all"
    ranges = []
    for core in sorted(os.sched_getaffinity(0)):
        if ranges and core == ranges[-1][1] + 1:
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def loaded_library():
    """The file of the MPI library that this process has loaded; None where that cannot be seen."""
    try:
        with open("/proc/self/maps") as maps:
            found = re.search(r"/\S*/libmpi[^/\s]*\.so\S*", maps.read())
    except OSError:
        return None
    return found and found.group()


def abi(MPI):
    """The binary interface that mpi4py speaks: "mpich", "openmpi", ..., or what its extension was built for."""
    parts = os.path.basename(MPI.__file__).split(".")
    return parts[1] if len(parts) > 3 else "of the build"


def describe_rank():
    """What this rank sees, as a line of text."""
    launcher = announced_size()
    said = f"{launcher[1]}={launcher[0]}" if launcher else "no launcher"
    link = "shared memory" if group.WORLD.shares_memory() else "MPI" if get_world_size() > 1 else "nobody"
    nodes = group.WORLD.nodes()
    if link == "shared memory" and len(nodes) > 1:
        node = next(ranks for ranks in nodes if get_rank() in ranks)
        link = f"shared memory with ranks {', '.join(map(str, node))} and MPI with the other nodes"
    return (
        f"rank {get_rank()} of {get_world_size()}: host {platform.node()}, cores {cores()}, "
        f"{get_num_threads()} threads, process {os.getpid()}, {said}, library {loaded_library()}, "
        f"talks through {link}"
    )


def describe_job():
    """What is the same for all ranks: versions and the MPI library."""
    if not is_mpi4py_installed():
        return f"nnlib {__version__}, mpi4py is not installed"
    import mpi4py
    from mpi4py import MPI

    library = library_name(MPI)
    standard = f"MPI standard {MPI.VERSION}.{MPI.SUBVERSION}"
    return f"nnlib {__version__}, mpi4py {mpi4py.__version__} with ABI {abi(MPI)}, {standard}: {library}"


def main():
    """Prints a line about the job and a line for each rank, from rank 0."""
    init_process_group()
    lines = [None] * get_world_size() if get_rank() == 0 else None
    gather_object(describe_rank(), lines)
    if lines:
        print("\n".join([describe_job(), *lines]))
    destroy_process_group()


if __name__ == "__main__":
    main()
