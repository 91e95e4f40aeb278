"""One way to fail, named by the first argument. The last rank is the one that misbehaves."""

import os
import signal
import sys
import threading
import time

import nnlib as torch
import nnlib.distributed as dist

case = sys.argv[1]
dist.init_process_group("mpi", timeout=5)
rank, world = dist.get_rank(), dist.get_world_size()
odd_one = rank == world - 1
t = torch.ones(20_000)
dist.all_reduce(t)


def raises_before_a_collective():
    if odd_one:
        raise ValueError("the data is bad")
    dist.all_reduce(t)


def raises_while_others_compute():
    if odd_one:
        raise ValueError("the data is bad")
    time.sleep(40)


def exits_early():
    if odd_one:
        sys.exit(0)
    dist.all_reduce(t)


def is_killed():
    if odd_one:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.all_reduce(t)


def never_arrives():
    if odd_one:
        time.sleep(40)
    dist.all_reduce(t)


def misses_the_barrier():
    if odd_one:
        time.sleep(40)
    dist.barrier(timeout=1)


def calls_another_collective():
    if odd_one:
        dist.broadcast(t, 0)
    else:
        dist.all_reduce(t)


def brings_another_size():
    dist.all_reduce(t[:11] if odd_one else t[:10])


def brings_another_dtype():
    dist.all_reduce(t.to(torch.float64) if odd_one else t)


def sends_another_size():
    if odd_one:
        dist.send(t, 0)
    elif rank == 0:
        dist.recv(t[:10], world - 1)
    dist.barrier()


def nobody_sends():
    if rank == 0:
        dist.recv(t, world - 1)
    else:
        time.sleep(40)


def is_interrupted():
    if odd_one:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        dist.recv(t, 0)
    time.sleep(40)


class Act(torch.autograd.Function):
    """Passes its input on; on the odd rank backward does what it was given."""

    @staticmethod
    def forward(ctx, x, act):
        ctx.act = act
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        if odd_one:
            ctx.act()
        return grad, None


def train(steps, act=lambda: None):
    module = torch.nn.Sequential(torch.nn.Linear(300, 200), torch.nn.ReLU(), torch.nn.Linear(200, 10))
    net = torch.nn.parallel.DistributedDataParallel(module, bucket_cap_mb=0.01)
    for _ in range(steps):
        hidden = Act.apply(net(torch.randn(4, 300)), act)
        hidden.sum().backward()


def runs_out_of_data():
    train(2 if odd_one else 4)


def raises_in_backward():
    def act():
        raise ValueError("the data is bad")

    train(2, act)


def is_killed_in_backward():
    train(2, lambda: os.kill(os.getpid(), signal.SIGKILL))


globals()[case]()
