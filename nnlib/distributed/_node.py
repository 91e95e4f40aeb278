"""Shared memory between the ranks of one node.

The memory has no name: the rank that gives it makes it (memfd_create), the others open it through /proc while
all of them wait. So nothing is left behind when a job is killed, and the size of /dev/shm does not matter.
Where that is not possible (another operating system, ranks in separate containers, too little memory) data
goes through MPI.
"""

import ctypes
import logging
import mmap
import os
import weakref

from .. import _comm

logger = logging.getLogger("nnlib.distributed")


def link_ranks(comm, nodes, MPI):
    """A NodeLink for this node's ranks of a communicator; None when no two share a node, or some cannot share.

    Called by all ranks, which agree on the answer. NNLIB_DISTRIBUTED_SHM=0 on any of them says no.
    """
    if max(nodes.sizes) == 1:
        return None
    if not comm.allreduce(os.environ.get("NNLIB_DISTRIBUTED_SHM", "1") != "0", MPI.LAND):
        return None
    inside, elsewhere = len(nodes.here()), len(nodes.elsewhere())
    memory = share(nodes.inside, _comm.NodeLink.bytes(inside, elsewhere) if nodes.position == 0 else 0)
    if not comm.allreduce(memory is not None, MPI.LAND):
        return None
    return _comm.NodeLink(memory[0], address_of(memory[0]), nodes.position, inside, elsewhere)


def address_of(memory):
    """Where a writable buffer lies."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def share(comm, size):
    """Every rank gives `size` bytes of memory and maps what the others give; the mappings in rank order.

    None, with one warning, when some rank cannot: all ranks then get None. Ranks that give nothing are None.
    """
    handle, offer = _make(size) if size else (None, {})
    offers = comm.allgather(offer)
    problem = next((o["problem"] for o in offers if "problem" in o), None)
    memory = []
    if problem is None:
        try:
            memory = [_open(o) if o else None for o in offers]
        except OSError as error:
            problem = f"they cannot open each other's memory ({error})"
    problems = [p for p in comm.allgather(problem) if p]  # by now all have opened what they could
    if handle is not None:
        os.close(handle)
    if problems and comm.rank == 0:
        logger.warning("nnlib.distributed: ranks of this node exchange data through MPI: %s", problems[0])
    return None if problems else memory


def _make(size):
    """Makes memory with a token at its end, by which the others know that they found the right one."""
    try:
        whole = -(-(size + 16) // mmap.PAGESIZE) * mmap.PAGESIZE
        handle = os.memfd_create("nnlib.distributed", os.MFD_CLOEXEC)
        os.posix_fallocate(handle, 0, whole)  # an error now rather than a signal when a page is missing later
        token = os.urandom(16)
        os.pwrite(handle, token, whole - 16)
    except (OSError, AttributeError) as error:
        return None, {"problem": f"no shared memory could be made ({error})"}
    return handle, {"path": f"/proc/{os.getpid()}/fd/{handle}", "token": token, "size": whole}


def _open(offer):
    handle = os.open(offer["path"], os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.pread(handle, 16, offer["size"] - 16) != offer["token"]:
            raise OSError("what was opened is not what was given")
        return mmap.mmap(handle, offer["size"])
    finally:
        os.close(handle)


class Arenas:
    """Memory for buckets that the ranks of a group share, found by address."""

    def __init__(self):
        self._known = {}  # number -> (this rank's address, size, all ranks' addresses, the others' mappings)
        self._made = 0

    def add(self, memory, rank):
        """Remembers the mappings of all ranks for as long as this rank's own lives; returns that one."""
        mine, number = memory[rank], self._made
        self._made += 1
        others = [part for part in memory if part is not mine]
        addresses = [address_of(part) for part in memory]
        self._known[number] = (addresses[rank], len(mine), addresses, others)
        weakref.finalize(mine, self._known.pop, number, None)
        return mine

    def locate(self, address):
        """(mark, addresses of all ranks' counterparts) of memory at `address`; None when it is private.

        The mark is the same on all ranks that speak of the same place, and never 0.
        """
        for number, (start, size, addresses, _) in self._known.items():
            if start <= address < start + size:
                offset = address - start
                return (number << 44) + offset + 1, [other + offset for other in addresses]
        return None
