"""Sums over ranks on several nodes: shared memory within a node, MPI between nodes.

Note [Two levels]
A sum is cut into lanes, one for each rank of the smallest node. The rank at position k of each node adds up
its node's values of lane k, straight from the memory that the node's ranks share, exchanges the results with
the ranks at position k of the other nodes, adds these up in the order of the nodes, and writes the total where
all ranks of its node find it. Sums between nodes travel in the type in which they are made (float32 for
16 bits) and are rounded once. Whatever the size and the way that data took, an element's sum is made in one
order: within the nodes, then over the nodes.
"""

from .. import _comm
from ._request import ITEM_BYTES, WIDE_BYTES
from ._slices import GATHER_ALL, split


class Levels:
    """The part of a transport that sums over nodes; `self.nodes` is None where there is one level only."""

    def fold(self, dtype, op, count, sources, out):
        """Combines what all ranks have, given by addresses in rank order, in the order of this group's sums."""
        groups = None
        if self.nodes is not None:
            groups = self.nodes.sizes
            sources = [sources[r] for r in self.nodes.in_order()]
        _comm.reduce_ranks(dtype, op, count, sources, out, groups)

    def meet(self):
        """Waits for the ranks of the node; generator."""
        self.link.start_meeting()
        yield from self._advance_link()

    def sum_staged(self, source, out, count, dtype, op):
        """out = the sum of all ranks' `count` elements at `source`, through the node's staging memory; generator."""
        item = ITEM_BYTES[dtype]
        parts = [self.link.staging(position) for position in range(len(self.nodes.here()))]
        mine = parts[self.nodes.position]
        step = self.link.staging_bytes() // item
        for start in range(0, count, step):
            n = min(step, count - start)
            size = n * item
            self.view(mine, size)[:] = self.view(source + start * item, size)
            yield from self.meet()
            yield from self.sum_parts(parts, n, dtype, op)
            self.view(out + start * item, size)[:] = self.view(mine, size)

    def sum_parts(self, parts, count, dtype, op):
        """The sum over all ranks in place of this node's buffers, which all of it can reach; generator.

        The buffers are known to be filled.
        """
        item, nodes = ITEM_BYTES[dtype], self.nodes
        lanes = 1 if count * item <= GATHER_ALL else nodes.lanes
        counts, starts = split(count, lanes)
        if nodes.position < lanes and counts[nodes.position] > 0:
            start = starts[nodes.position] * item
            lane = [part + start for part in parts]
            yield from self._sum_lane(lane, counts[nodes.position], dtype, op)
        yield from self.meet()

    def _sum_lane(self, parts, count, dtype, op):
        MPI, nodes = self.MPI, self.nodes
        item, wide, n = ITEM_BYTES[dtype], WIDE_BYTES[dtype], nodes.count()
        size = count * wide
        every = size * n <= GATHER_ALL  # then each node sums all of it: one message's time less
        counts, starts = split(count, n)
        slot = size if every else counts[nodes.index] * wide
        memory = self.scratch(size + n * slot)
        sent, came = memory[:size], memory[size:]
        _comm.reduce_node(dtype, op, count, parts, sent.ctypes.data)
        if every:
            yield from self.wait(nodes.lane.Iallgather([sent, MPI.BYTE], [came, slot, MPI.BYTE]))
            _comm.reduce_nodes(dtype, op, count, _addresses(came, slot, n), parts, self.size)
            return
        out = ([c * wide for c in counts], [s * wide for s in starts])
        into = ([slot] * n, [i * slot for i in range(n)])
        yield from self.wait(nodes.lane.Ialltoallv([sent, out, MPI.BYTE], [came, into, MPI.BYTE]))
        mine = parts[nodes.position]
        total = mine + starts[nodes.index] * item
        _comm.reduce_nodes(dtype, op, counts[nodes.index], _addresses(came, slot, n), [total], self.size)
        whole = self.view(mine, count * item)
        sizes = ([c * item for c in counts], [s * item for s in starts])
        yield from self.wait(nodes.lane.Iallgatherv(MPI.IN_PLACE, [whole, sizes, MPI.BYTE]))
        for part in parts:
            if part != mine:
                self.view(part, count * item)[:] = whole


def _addresses(memory, step, n):
    return [memory.ctypes.data + i * step for i in range(n)]
