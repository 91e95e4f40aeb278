"""The model: what a step takes on a machine, from the arrivals of its gradients and the cost of their averages.

Note [Time of a step]
A rank computes forward, backward and the optimizer's step. Ranks that share a machine slow each other down
(`crowding` times where each core has one: they share memory, caches and clock), and with more ranks than
cores they share the cores' time: r ranks of one thread on c cores take crowding * r / c times as long as one
alone. A step lasts as long as that of the slowest rank, which is `uneven` times the average one's; ranks that share
cores are even, as those who wait leave their time to those who are late. During backward a bucket is averaged as soon
as its last gradient is there and the bucket before is done. An average costs

- the processor: every rank reads its slice of the node's buffers and writes the sums, together once the bucket each
  way, and the ranks meet twice (`meeting` seconds each);
- the network, between N nodes: the signatures, a message to each other node; then the nodes' sums to the ones that add
  them up and the totals back, each (N - 1) / N of the bucket through the node's link, which its ranks share, and
  N - 1 messages.

What the processor does for an average is hidden behind backward only where a core is free for it; the network's
part always is, as long as backward lasts. Collectives of Hockney's kind: latency + bytes / bandwidth for a
message (Hockney, "The communication challenge for MPP", 1994); the ring of messages of Patarasuk and Yuan,
"Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009.
"""

from dataclasses import dataclass, replace

MIB = 1 << 20


@dataclass(frozen=True)
class Machine:
    """Nodes of `cores` cores and a network between them.

    crowding: how much longer a step takes when every core computes one. uneven: how much longer than that the slowest
    of the ranks needs, for which the others wait. meeting: seconds until ranks of a
    node have met. sum_rate: bytes a second that a core reads and writes when it sums. latency, bandwidth: of a
    message between nodes, in seconds and bytes a second; message: what each further message in the air costs.
    ranks: ranks on each node.

    Example::

        >>> Machine(cores=2, ranks=2, crowding=1.5, meeting=1e-4, sum_rate=2e10).cores
        2
    """

    cores: int
    ranks: int
    crowding: float
    meeting: float
    sum_rate: float
    uneven: float = 1.0
    latency: float = 0.0
    message: float = 0.0
    bandwidth: float = float("inf")


@dataclass(frozen=True)
class Program:
    """A training step of one rank alone: seconds before backward, of backward and after it.

    arrivals: (seconds since backward began, bytes) of each gradient, in order.

    Example::

        >>> Program(0.03, 0.05, 0.01, ((0.02, 1 << 20), (0.05, 1 << 20))).bytes()
        2097152
    """

    before: float
    backward: float
    after: float
    arrivals: tuple

    def bytes(self):
        """Bytes of all gradients."""
        return sum(size for _, size in self.arrivals)


@dataclass(frozen=True)
class Prediction:
    """Seconds of a step; of computing; of averages, added up; and the share of these that backward hides."""

    step: float
    computing: float
    averaging: float
    hidden: float


def buckets_of(program, bucket_mb, first_mb=1.0):
    """(seconds since backward began, bytes) of the buckets that DistributedDataParallel would fill."""
    full, size = [], 0
    for at, count in program.arrivals:
        size += count
        if size >= (bucket_mb if full else min(first_mb, bucket_mb)) * MIB:
            full.append((at, size))
            size = 0
    if size:
        full.append((program.arrivals[-1][0], size))
    return full


def slowdown(machine, ranks):
    """How many times as long a rank computes as one alone on the machine."""
    local = min(ranks, machine.ranks)
    if local > machine.cores:
        return machine.crowding * local / machine.cores if machine.cores > 1 else float(local)
    if local == 1:
        return 1.0
    return 1.0 + (machine.crowding * machine.uneven - 1.0) * (local - 1) / (machine.cores - 1)


def average_cost(machine, ranks, size):
    """(processor's seconds, network's seconds) of one average of `size` bytes."""
    if ranks == 1:
        return 0.0, 0.0
    local = min(ranks, machine.ranks)
    nodes = -(-ranks // machine.ranks)
    share = slowdown(machine, ranks)
    work = share * 2 * size / machine.sum_rate if local > 1 else size / machine.sum_rate
    processor = work + 2 * machine.meeting * share
    if nodes == 1:
        return processor, 0.0
    others = nodes - 1
    signatures = machine.latency + others * machine.message
    moved = 2 * size * others / nodes / machine.bandwidth
    return processor, signatures + moved + 2 * machine.latency + 2 * others * machine.message


def predict(program, machine, ranks, bucket_mb=25.0):
    """The step of so many ranks, which fill the nodes one after the other.

    Args:
        program (Program), machine (Machine): what runs, and where.
        ranks (int): how many.
        bucket_mb (float): DistributedDataParallel's ``bucket_cap_mb``.

    Returns Prediction.

    Example::

        >>> machine = Machine(cores=2, ranks=2, crowding=1.5, meeting=0.0, sum_rate=2e10)
        >>> round(predict(Program(0.03, 0.05, 0.02, ((0.05, 4),)), machine, 2).step, 6)
        0.15
    """
    share = slowdown(machine, ranks)
    spare = machine.cores > min(ranks, machine.ranks)
    free = taken = averaging = 0.0
    for at, size in buckets_of(program, bucket_mb):
        processor, network = average_cost(machine, ranks, size)
        ready = share * (program.before + at) + taken
        free = max(free, ready) + processor + network
        averaging += processor + network
        if not spare:
            taken += processor
    computing = share * (program.before + program.backward + program.after)
    end = max(share * (program.before + program.backward) + taken, free)
    step = end + share * program.after
    hidden = 1.0 - (step - computing) / averaging if averaging > 0 else 1.0
    return Prediction(step, computing, averaging, min(1.0, max(0.0, hidden)))


def best_bucket(program, machine, ranks, sizes=(0.25, 0.5, 1, 2, 4, 8, 16, 25, 50, 100)):
    """The ``bucket_cap_mb`` with the shortest step, the largest of those within 0.1 %; and all steps by size.

    Args:
        program (Program), machine (Machine), ranks (int): as in :func:`predict`.
        sizes (tuple of float): what to choose from.

    Example::

        >>> machine = Machine(cores=2, ranks=2, crowding=1.5, meeting=0.0, sum_rate=2e10)
        >>> best_bucket(Program(0.03, 0.05, 0.02, ((0.05, 4),)), machine, 2)[0]
        100
    """
    steps = {size: predict(program, machine, ranks, size).step for size in sizes}
    shortest = min(steps.values())
    return max(size for size, step in steps.items() if step <= 1.001 * shortest), steps


def cluster(machine, ranks_on_node, latency, message, bandwidth):
    """A cluster of nodes like this machine, with a core for each rank."""
    return replace(
        machine,
        cores=ranks_on_node,
        ranks=ranks_on_node,
        latency=latency,
        message=message,
        bandwidth=bandwidth,
    )
