"""What the model needs, measured: a step of one rank alone, sums, meetings and messages; and whole steps."""

import os
import statistics
import time

import numpy as np

from ... import _comm, manual_seed, nn, no_grad, optim, randint, randn, zeros
from ... import distributed as dist
from ...nn.parallel import DistributedDataParallel

WIDTH, VOCABULARY, CONTEXT = 256, 512, 64


def undisturbed(times):
    """The lower quartile: what a machine that is shared takes when it is left alone."""
    return sorted(times)[len(times) // 4]


class Block(nn.Module):
    """A layer of a small GPT."""

    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        """(N, T, WIDTH) to the same."""
        n, t, c = x.size()
        q, k, v = (z.view(n, t, 4, c // 4).transpose(1, 2) for z in self.qkv(self.ln1(x)).split(c, 2))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(n, t, c))
        return x + self.down(nn.functional.gelu(self.up(self.ln2(x))))


def make_model(kind):
    """(module, inputs, targets) of a small GPT or of a wide MLP."""
    manual_seed(0)
    if kind == "gpt":
        module = nn.Sequential(
            nn.Embedding(VOCABULARY, WIDTH), *[Block() for _ in range(4)], nn.Linear(WIDTH, VOCABULARY)
        )
        words = randint(0, VOCABULARY, (4, CONTEXT))
        return module, words, words.view(-1)
    sizes = (784, 2048, 2048, 10)
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in zip(sizes, sizes[1:], strict=False)]
    return nn.Sequential(*layers), randn(64, 784), randint(0, 10, (64,))


class Trainer:
    """Runs steps and times their parts."""

    def __init__(self, kind, group=None):
        self.module, self.x, self.t = make_model(kind)
        self.net = self.module if group is None else DistributedDataParallel(self.module, process_group=group)
        self.optimizer = optim.SGD(self.module.parameters(), lr=1e-3, momentum=0.9)
        self.began = 0.0

    def step(self):
        """(before backward, backward, after it) in seconds."""
        t0 = time.perf_counter()
        self.optimizer.zero_grad()
        out = self.net(self.x)
        loss = nn.functional.cross_entropy(out.view(-1, out.size(-1)), self.t)
        self.began = t1 = time.perf_counter()
        loss.backward()
        t2 = time.perf_counter()
        self.optimizer.step()
        return t1 - t0, t2 - t1, time.perf_counter() - t2


def measure_arrivals(kind):
    """(share of backward that is over, bytes) of each gradient, in order, of one rank alone."""
    trainer, seen = Trainer(kind), []
    for _ in range(3):
        trainer.step()
    for p in trainer.module.parameters():
        size = p.numel() * p.element_size()
        p.register_post_accumulate_grad_hook(
            lambda _, size=size: seen.append((time.perf_counter() - trainer.began, size))
        )
    backward = trainer.step()[1]
    return [(min(1.0, at / backward), size) for at, size in seen]


class Team:
    """Ranks 0 to n - 1, who train together, and the other ranks, who wait meanwhile."""

    def __init__(self, n, kind, average=True):
        self.n, self.group = n, dist.new_group(list(range(n)))
        if dist.get_rank() < n:
            self.trainer = Trainer(kind, self.group if average else None)
            self.run(4)
        dist.barrier()

    def run(self, steps):
        """The parts of steps that all of the team begin together, each in seconds, by step and rank."""
        taken = []
        for _ in range(steps):
            dist.barrier(self.group)
            taken.append(self.trainer.step())
        every = [None] * self.n
        dist.all_gather_object(every, taken, self.group)
        return list(zip(*every, strict=True))

    def turn(self, steps):
        """As `run`, while the other ranks wait; their result is None."""
        dist.barrier()
        taken = self.run(steps) if dist.get_rank() < self.n else None
        dist.barrier()
        return taken


def measure_rounds(kind, rounds, steps):
    """What each number of ranks takes, in turn, again and again: what slows the machine down meets all of them.

    For each round a dict: ``parts`` of a step of one rank alone; ``crowded`` and ``slowest``, a step without averages
    when every core computes one, of a rank on average and of the slowest (absent with too few ranks); ``steps`` by the
    number of ranks.
    """
    world, cores = dist.get_world_size(), len(os.sched_getaffinity(0))
    alone = Team(1, kind, average=False)
    crowd = Team(cores, kind, average=False) if cores <= world else None
    teams = [Team(n, kind) for n in sizes_up_to(world)]
    found = []
    for _ in range(rounds):
        one = {"steps": {}}
        for team in (alone, crowd, *teams):
            taken = None if team is None else team.turn(steps)
            if taken is None:
                continue
            wholes = [[sum(parts) for parts in ranks] for ranks in taken]
            slowest = undisturbed(list(map(max, wholes)))  # it holds up the rest
            if team is alone:
                one["parts"] = [
                    undisturbed(part) for part in zip(*(ranks[0] for ranks in taken), strict=True)
                ]
            elif team is crowd:
                one["crowded"], one["slowest"] = undisturbed(list(map(statistics.mean, wholes))), slowest
            else:
                one["steps"][str(team.n)] = slowest
        found.append(one)
    return found


def sizes_up_to(world):
    """The numbers of ranks that are measured: powers of two, and all."""
    return sorted({1 << i for i in range(world.bit_length()) if 1 << i <= world} | {world})


def measure_sum_rate(size=8 << 20):
    """Bytes that one core reads and writes a second when it sums two buffers into both."""
    buffers = [np.ones(size // 4, np.float32) for _ in range(2)]
    places = [b.ctypes.data for b in buffers]
    best = float("inf")
    for _ in range(8):
        began = time.perf_counter()
        _comm.reduce_nodes(8, 0, size // 4, places, places, 2)
        best = min(best, time.perf_counter() - began)
        for b in buffers:
            b[:] = 1
    return 4 * size / best


def measure_meeting(group, rounds=200):
    """Seconds of an agreement of a group, the smallest collective."""
    t = zeros(1)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        dist.all_reduce(t, group=group)
        times.append(time.perf_counter() - began)
    return undisturbed(times)


def measure_messages(size=8 << 20):
    """(latency in seconds, bandwidth in bytes a second) of messages through MPI between ranks 0 and 1."""
    rank = dist.get_rank()

    def turn(t, rounds):
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            for source in (0, 1):
                move = dist.send if rank == source else dist.recv
                move(t, 1 - rank)
            times.append((time.perf_counter() - began) / 2)
        return undisturbed(times)

    with no_grad():
        latency = turn(zeros(1), 100)
        return latency, size / max(turn(zeros(size // 4), 10) - latency, 1e-9)
