"""What the model needs, measured: a step of one rank alone, sums, meetings and messages; and whole steps."""

import time

import numpy as np

from ... import _comm, manual_seed, nn, no_grad, optim, randint, randn, zeros
from ... import distributed as dist
from ...nn.parallel import DistributedDataParallel
from .model import Program

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

    def __init__(self, kind, average=False):
        self.module, self.x, self.t = make_model(kind)
        self.net = DistributedDataParallel(self.module) if average else self.module
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


def measure_program(kind, steps):
    """The Program of one rank alone."""
    trainer = Trainer(kind)
    for _ in range(3):
        trainer.step()
    parts = [undisturbed(part) for part in zip(*[trainer.step() for _ in range(steps)], strict=True)]
    seen = []
    for p in trainer.module.parameters():
        size = p.numel() * p.element_size()
        p.register_post_accumulate_grad_hook(
            lambda _, size=size: seen.append((time.perf_counter() - trainer.began, size))
        )
    trainer.step()
    stretch = parts[1] / seen[-1][0]  # that one pass may have been slower
    return Program(*parts, tuple((at * min(1.0, stretch), size) for at, size in seen))


def steps_together(trainer, warm, steps):
    """Seconds of a step that all ranks begin together."""
    for _ in range(warm):
        trainer.step()
    times = []
    for _ in range(steps):
        dist.barrier()
        times.append(sum(trainer.step()))
    return undisturbed(times)


def measure_computing(kind, steps):
    """Seconds of a step without averaging, while all ranks do the same."""
    return steps_together(Trainer(kind), 3, steps)


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


def measure_meeting(rounds=200):
    """Seconds of an agreement of all ranks, the smallest collective."""
    t = zeros(1)
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        dist.all_reduce(t)
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


def measure_step(kind, steps):
    """Seconds of a step of all ranks, with averaging."""
    return steps_together(Trainer(kind, average=True), 4, steps)
