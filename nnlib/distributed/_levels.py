"""Sums over ranks on several nodes: shared memory within a node, MPI between nodes.

Note [Two levels]
A sum is cut into lanes, one for each rank of the smallest node. The rank at position k of each node adds up
its node's values of lane k, straight from the memory that the node's ranks share, exchanges the results with
the ranks at position k of the other nodes, adds these up in the order of the nodes, and writes the total where
all ranks of its node find it. Sums between nodes travel in the type in which they are made (float32 for
16 bits) and are rounded once. Whatever the size and the way that data took, an element's sum is made in one
order: within the nodes, then over the nodes. Lanes are summed in slices: while the network has one, the processor
adds up the next and copies the last.
"""

import collections

from .. import _comm
from ._request import DTYPES, ITEM_BYTES, WIDE_BYTES
from ._slices import GATHER_ALL, split

SLICE = 1 << 20  # bytes of a lane that are exchanged at once
MOVED = 2  # yielded where True would be, after a part of the data
FLOATS = (DTYPES.index("float32"), DTYPES.index("float64"))  # dtypes that are summed as they are


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
        if max(self.nodes.sizes) == 1:  # on every node: all cut the sum in the same places
            if out != source:
                self.view(out, count * item)[:] = self.view(source, count * item)
            yield from self.sum_parts([out], count, dtype, op)
            return
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
        wide, n = WIDE_BYTES[dtype], self.nodes.count()
        size = count * wide
        if size * n <= GATHER_ALL:  # then each node sums all of it: one message's time less
            memory = self.scratch(size + n * size)
            sent, came = memory[:size], memory[size:]
            _comm.reduce_node(dtype, op, count, parts, sent.ctypes.data)
            byte = self.MPI.BYTE
            yield from self.wait(self.nodes.lane.Iallgather([sent, byte], [came, size, byte]))
            _comm.reduce_nodes(dtype, op, count, _addresses(came, size, n), parts, self.size)
        else:
            yield from self._sum_in_slices(parts, count, dtype, op)

    def _sum_in_slices(self, parts, count, dtype, op):
        """Slice by slice: while one is exchanged, the next is summed within the node, and the last comes back."""
        step = SLICE // WIDE_BYTES[dtype]
        exchanged, returned = collections.deque(), collections.deque()
        room = 2 * SLICE + 64 * self.nodes.count() * WIDE_BYTES[dtype]
        memory = self.scratch(2 * room)
        for turn, start in enumerate(range(0, count, step)):
            places = [part + start * ITEM_BYTES[dtype] for part in parts]
            one = _Slice(self, places, min(step, count - start), dtype, op)
            one.exchange(memory[turn % 2 * room :][:room])
            exchanged.append(one)
            if len(exchanged) == 2:
                returned.append(exchanged.popleft())
                yield from returned[-1].total()
            if len(returned) == 2:
                yield from returned.popleft().finish()
                yield MOVED
        for one in exchanged:
            yield from one.total()
        for one in (*returned, *exchanged):
            yield from one.finish()


class _Slice:
    """A piece of a lane on its way: each node's sum to the nodes that own a part of it, and the totals back."""

    def __init__(self, transport, parts, count, dtype, op):
        self.transport, self.parts, self.count, self.dtype, self.op = transport, parts, count, dtype, op
        self.counts, self.starts = split(count, transport.nodes.count())
        self.mine = parts[transport.nodes.position]

    def exchange(self, memory):
        """Sums within the node, and starts to send."""
        nodes, wide, byte = self.transport.nodes, WIDE_BYTES[self.dtype], self.transport.MPI.BYTE
        size, n = self.count * wide, nodes.count()
        slot = self.counts[nodes.index] * wide
        sent, came = memory[:size], memory[size : size + n * slot]
        if len(self.parts) == 1 and self.dtype in FLOATS:
            sent = self.transport.view(self.mine, size)  # there is nothing to add
        else:
            _comm.reduce_node(self.dtype, self.op, self.count, self.parts, sent.ctypes.data)
        out = ([c * wide for c in self.counts], [s * wide for s in self.starts])
        into = ([slot] * n, [i * slot for i in range(n)])
        self.came = _addresses(came, slot, n)
        self.request = nodes.lane.Ialltoallv([sent, out, byte], [came, into, byte])

    def total(self):
        """Adds up what has come, and starts to send the totals back; generator."""
        yield from self.transport.wait(self.request)
        nodes, item = self.transport.nodes, ITEM_BYTES[self.dtype]
        own = self.mine + self.starts[nodes.index] * item
        count = self.counts[nodes.index]
        _comm.reduce_nodes(self.dtype, self.op, count, self.came, [own], self.transport.size)
        self.whole = self.transport.view(self.mine, self.count * item)
        sizes = ([c * item for c in self.counts], [s * item for s in self.starts])
        MPI = self.transport.MPI
        self.request = nodes.lane.Iallgatherv(MPI.IN_PLACE, [self.whole, sizes, MPI.BYTE])

    def finish(self):
        """Waits for all totals and gives them to the node's other ranks; generator."""
        yield from self.transport.wait(self.request)
        for part in self.parts:
            if part != self.mine:
                self.transport.view(part, self.whole.size)[:] = self.whole


def _addresses(memory, step, n):
    return [memory.ctypes.data + i * step for i in range(n)]
