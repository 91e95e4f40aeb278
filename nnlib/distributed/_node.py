"""Shared memory between the ranks of one node.

The memory has no name: one rank makes it (memfd_create), the others open it through /proc while they start.
So nothing is left behind when a job is killed, and the size of /dev/shm does not matter. Where that is not
possible (another operating system, ranks in separate containers, too little memory) the group goes through
MPI.
"""

import ctypes
import logging
import mmap
import os

from .. import _comm

logger = logging.getLogger("nnlib.distributed")


def link_ranks(comm, MPI):
    """A NodeLink for the ranks of a communicator; None when they are not all on one node or cannot share
    memory.

    Called by all ranks, which agree on the answer. NNLIB_DISTRIBUTED_SHM=0 on any of them says no.
    """
    if comm.size == 1:
        return None
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    together = node.size == comm.size
    node.Free()
    if not together:
        return None
    wanted = os.environ.get("NNLIB_DISTRIBUTED_SHM", "1") != "0"
    if not comm.allreduce(wanted, MPI.LAND):
        return None
    memory, problem = _share(comm)
    problems = [p for p in comm.allgather(problem) if p]
    if problems:
        if comm.rank == 0:
            logger.warning("nnlib.distributed: ranks of this node exchange data through MPI: %s", problems[0])
        return None
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return _comm.NodeLink(memory, address, comm.rank, comm.size)


def _share(comm):
    """Memory that all ranks have mapped, and None; or None and why not."""
    size = _comm.NodeLink.bytes(comm.size) + mmap.PAGESIZE
    made, offer = _make(size) if comm.rank == 0 else (None, None)
    offer = comm.bcast(offer, 0)
    memory, problem = None, offer.get("problem")
    if problem is None:
        memory, problem = _open(offer, size)
    comm.Barrier()  # the others have opened it
    if made is not None:
        os.close(made)
    return memory, problem


def _make(size):
    """Makes the memory with a token at its end, by which the others know that they found the right one."""
    try:
        handle = os.memfd_create("nnlib.distributed", os.MFD_CLOEXEC)
        os.posix_fallocate(handle, 0, size)  # an error now rather than a signal when a page is missing later
        token = os.urandom(16)
        os.pwrite(handle, token, size - 16)
    except (OSError, AttributeError) as error:
        return None, {"problem": f"no shared memory could be made ({error})"}
    return handle, {"path": f"/proc/{os.getpid()}/fd/{handle}", "token": token}


def _open(offer, size):
    try:
        handle = os.open(offer["path"], os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.pread(handle, 16, size - 16) != offer["token"]:
                return None, "they do not see each other's memory"
            return mmap.mmap(handle, size), None
        finally:
            os.close(handle)
    except OSError as error:
        return None, f"they cannot open each other's memory ({error})"
