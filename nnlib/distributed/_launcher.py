"""What the launcher and the machine say about this process: the size of the job, and the cores of a rank."""

import logging
import os

logger = logging.getLogger("nnlib.distributed")

INSTALL = (
    'MPI is reached through mpi4py, which is not installed. `pip install "nnlib[mpi]"` brings mpi4py and '
    "an MPI "
    'with its mpirun; where the site has an MPI of its own, `pip install "nnlib[mpi-site]"` brings mpi4py '
    "alone"
)

MPICH_BYTES = 2 << 20  # of /dev/shm for each rank: about twice what was seen

# Variables by which a launcher tells each process the size of the job. Slurm's are those of a step: inside a
# batch script they are absent, and mpirun started there sets its own, which come first.
_SIZES = (
    ("OMPI_COMM_WORLD_SIZE", "Open MPI's mpirun"),
    ("PMI_SIZE", "an MPICH or Intel MPI mpirun"),
    ("PMIX_SIZE", "a PMIx launcher"),
    ("SLURM_STEP_NUM_TASKS", "Slurm's srun"),
    ("WORLD_SIZE", "torchrun or a script of that kind"),
)


def announced_size(environ=os.environ):
    """What a launcher announced, as (number of ranks, variable, launcher); None without one."""
    for variable, launcher in _SIZES:
        value = environ.get(variable, "")
        if not value.isdigit():
            continue
        if variable == "WORLD_SIZE" and "RANK" not in environ:
            continue
        return int(value), variable, launcher
    if environ.get("SLURM_STEP_ID", "").isdigit() and environ.get("SLURM_NTASKS", "").isdigit():
        return int(environ["SLURM_NTASKS"]), "SLURM_NTASKS", "Slurm's srun"
    return None


# Variables by which it tells each process its place on its host.
_LOCAL_RANKS = (
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "PMIX_LOCAL_RANK",
    "SLURM_LOCALID",
    "LOCAL_RANK",
)


def announced_local_rank(environ=os.environ):
    """The place of this process among those of its host, as a launcher announced it; None without one."""
    values = (environ.get(variable, "") for variable in _LOCAL_RANKS)
    return next((int(value) for value in values if value.isdigit()), None)


def check_launcher(world_size, library, environ=os.environ):
    """Raises when the launcher announced another number of ranks than MPI found.

    That happens when the mpirun of one MPI starts a program that loads the library of another: each process
    then is alone in its world, and N trainings of one rank each would run without a word.
    """
    announced = announced_size(environ)
    if announced is None:
        rank = environ.get("PMIX_RANK", "0")
        if not rank.isdigit() or int(rank) < world_size:
            return
        announced = (int(rank) + 1, "PMIX_RANK", "a PMIx launcher")
    size, variable, launcher = announced
    if size == world_size or (variable == "PMIX_RANK" and size <= world_size):
        return
    raise RuntimeError(
        f"the launcher and the MPI library disagree: {launcher} set {variable}={environ[variable]}, "
        f"but MPI ({library}) counts a world of {world_size}. Start the program with the mpirun (or the "
        "srun --mpi=... "
        "plugin) that belongs to this MPI library, or load the library that belongs to the launcher"
    )


def check_library(library, environ=os.environ):
    """Raises when Open MPI's launcher has started a program that loads MPICH, which would abort in MPI_Init."""
    variable = "OMPI_COMM_WORLD_SIZE"
    if variable in environ and "PMI_SIZE" not in environ and "MPICH" in library:
        raise RuntimeError(
            f"the launcher and the MPI library disagree: Open MPI's mpirun set {variable}={environ[variable]}, "
            f"but the library is {library}. Start the program with the mpirun that belongs to this library"
        )


def fit_shared_memory(library, environ=os.environ, folder="/dev/shm"):
    """Lets MPICH take small buffers where /dev/shm cannot hold its usual ones: it would die of a bus error.

    Decided by the size, which is the same for all ranks of a host, while the free space changes as they start.
    """
    ranks = environ.get("MPI_LOCALNRANKS", "")
    if "MPICH" not in library or not ranks.isdigit() or not os.path.isdir(folder):
        return
    whole = os.statvfs(folder)
    size = whole.f_blocks * whole.f_frsize
    if size >= int(ranks) * MPICH_BYTES:
        return
    environ.setdefault("MPIR_CVAR_CH4_SHM_POSIX_IQUEUE_NUM_CELLS", "2")
    environ.setdefault("MPIR_CVAR_CH4_SHM_POSIX_IQUEUE_CELL_SIZE", "4096")
    if environ.get("MPI_LOCALRANKID") == "0":
        logger.warning(
            "nnlib.distributed: %s has %d KiB, too little for the usual buffers of MPICH for %s ranks: it gets "
            "small ones. Containers take another size as --shm-size.",
            folder,
            size >> 10,
            ranks,
        )


def share_of_cores(mine, of_neighbours):
    """How many threads a rank may run: its cores, each shared with the ranks that have it too.

    `mine` is this rank's set of cores, `of_neighbours` the sets of all ranks of the node, this one included.
    """
    share = sum(1.0 / sum(core in other for other in of_neighbours) for core in mine)
    return max(1, int(share + 1e-6))


def divide_cores(masks, rank, get_threads, set_threads, environ=os.environ):
    """Gives this rank its share of the node's cores, unless the user has chosen a number of threads.

    MPICH's mpirun binds nothing, so that every rank would start a thread on each core; OMP_NUM_THREADS or an
    earlier set_num_threads() is taken as the user's choice. Rank 0 says once what was done.
    """
    mine = os.sched_getaffinity(0)
    if environ.get("OMP_NUM_THREADS", "").strip() or get_threads() != len(mine):
        return
    threads = share_of_cores(mine, masks)
    if threads == len(mine):
        return
    set_threads(threads)
    if rank == 0:
        logger.warning(
            "nnlib.distributed: %d ranks share the cores of this node; each runs %d thread%s. "
            "OMP_NUM_THREADS chooses another number.",
            len(masks),
            threads,
            "s" * (threads > 1),
        )
