"""How the ranks of a group lie on nodes, and the communicators that follow from it."""

import os

SIZE_VARIABLE = "NNLIB_DISTRIBUTED_NODE_SIZE"


def pretended_size(environ=os.environ):
    """How many ranks at most are to count as one node; None for all that share a host."""
    text = environ.get(SIZE_VARIABLE, "")
    if not text:
        return None
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{SIZE_VARIABLE} must be a number of ranks above zero, but is {text!r}")
    return int(text)


def pretended_node(world, MPI):
    """The number of the pretended node on this host that this process counts to; 0 where nothing is pretended."""
    size = pretended_size()
    host = world.Split_type(MPI.COMM_TYPE_SHARED, world.rank)
    place = host.rank
    host.Free()
    return 0 if size is None else place // size


class Nodes:
    """The nodes of a communicator's ranks; made by all of them, each with its pretended node on its host.

    members: the ranks on each node, in order; nodes come in the order of their first ranks.
    index, position: this rank's node, and its place among the node's ranks.
    inside: the communicator of this node's ranks.
    lanes: how many ranks of each node speak to other nodes: as many as the smallest node has.
    lane: the communicator of the ranks at this position on all nodes, in node order; None from `lanes` on.
    """

    def __init__(self, comm, MPI, pretended=0):
        host = comm.Split_type(MPI.COMM_TYPE_SHARED, comm.rank)
        self.inside = host.Split(pretended, comm.rank)
        host.Free()
        self.position = self.inside.rank
        first_of = comm.allgather(self.inside.bcast(comm.rank, 0))
        self.members = [
            [r for r, first in enumerate(first_of) if first == node] for node in sorted(set(first_of))
        ]
        self.index = next(i for i, ranks in enumerate(self.members) if comm.rank in ranks)
        self.sizes = [len(ranks) for ranks in self.members]
        self.lanes = min(self.sizes)
        self.lane = None
        if len(self.members) > 1:
            lane = comm.Split(self.position if self.position < self.lanes else MPI.UNDEFINED, self.index)
            self.lane = lane if self.position < self.lanes else None

    def count(self):
        """The number of nodes."""
        return len(self.members)

    def here(self):
        """This node's ranks."""
        return self.members[self.index]

    def elsewhere(self):
        """The other nodes' ranks, in order."""
        mine = set(self.here())
        return [r for r in range(sum(self.sizes)) if r not in mine]

    def in_order(self):
        """All ranks, node by node: the order of sums."""
        return [r for ranks in self.members for r in ranks]

    def contact(self, node, position):
        """The rank of another node that a rank at this position sends its signatures to."""
        return self.members[node][position % self.sizes[node]]

    def contacts(self):
        """The ranks to which this rank sends its signatures: one on each other node."""
        return [self.contact(n, self.position) for n in range(self.count()) if n != self.index]

    def receives_from(self):
        """The ranks of other nodes whose signatures this rank receives for its node."""
        return [
            rank
            for n, ranks in enumerate(self.members)
            if n != self.index
            for position, rank in enumerate(ranks)
            if self.contact(self.index, position) == self.here()[self.position]
        ]

    def receiver_of(self, rank):
        """The rank of this node that receives the signatures of a rank elsewhere."""
        node = next(ranks for ranks in self.members if rank in ranks)
        return self.contact(self.index, node.index(rank))

    def free(self):
        """Gives the communicators back."""
        for comm in (self.inside, self.lane):
            if comm is not None:
                comm.Free()
