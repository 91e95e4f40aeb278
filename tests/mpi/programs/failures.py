"""One way to fail, named by the first argument. The last rank is the one that misbehaves."""

import os
import signal
import sys
import threading
import time

import nnlib as torch
import nnlib.distributed as dist

case = sys.argv[1]
dist.init_process_group("mpi", timeout=2)
rank, world = dist.get_rank(), dist.get_world_size()
odd_one = rank == world - 1
t = torch.ones(20_000)
dist.all_reduce(t)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def complain():
    raise ValueError("the data is bad")


def soon(act):
    """Calls it on the odd rank while that waits in a collective."""
    if odd_one:
        threading.Timer(0.3, act).start()


def compute():
    """What no news of other ranks can interrupt."""
    time.sleep(40)


# A rank raises.


def raises_before_a_collective():
    if odd_one:
        complain()
    dist.all_reduce(t)


def raises_while_others_compute():
    if odd_one:
        complain()
    compute()


def raises_in_backward():
    train(2, act=complain)


# A rank is killed.


def is_killed_between_steps():
    train(2)
    if odd_one:
        kill()
    train(2)


def is_killed_in_a_collective():
    soon(kill)
    if rank == 0:
        time.sleep(1)  # the others wait in the collective
    dist.all_reduce(t)


def is_killed_in_backward():
    train(2, act=kill)


def is_killed_while_others_compute():
    if odd_one:
        kill()
    compute()


# A rank leaves early.


def calls_sys_exit():
    if odd_one:
        sys.exit(0)
    dist.all_reduce(t)


def comes_to_its_end():
    if not odd_one:
        dist.all_reduce(t)


def calls_os_exit():
    if odd_one:
        os._exit(0)
    dist.all_reduce(t)


def calls_os_exit_while_others_compute():
    if odd_one:
        os._exit(0)
    compute()


def calls_os_exit_while_others_leave():
    if odd_one:
        os._exit(0)


# Ctrl-C.


def one_is_interrupted():
    soon(lambda: os.kill(os.getpid(), signal.SIGINT))
    if odd_one:
        dist.recv(t, 0)
    compute()


def all_are_interrupted():
    if odd_one:
        print("WAITING", flush=True)
        compute()
    dist.all_reduce(t)


# A rank never arrives.


def never_arrives():
    if odd_one:
        compute()
    dist.all_reduce(t)


def misses_the_barrier():
    if odd_one:
        compute()
    dist.barrier(timeout=1)


def nobody_sends():
    if rank == 0:
        dist.recv(t, world - 1)
    else:
        compute()


# Ranks disagree: see refusals.py for more of these.


def calls_another_collective():
    if odd_one:
        dist.broadcast(t, 0)
    else:
        dist.all_reduce(t)


# Backward passes that do not fit together.


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


def train(steps, act=lambda: None, skip=None, **options):
    module = torch.nn.Sequential(torch.nn.Linear(300, 200), torch.nn.ReLU(), torch.nn.Linear(200, 10))
    net = torch.nn.parallel.DistributedDataParallel(module, bucket_cap_mb=0.01, **options)
    for step in range(steps):
        loss = Act.apply(net(torch.randn(4, 300)), act).sum()
        if not (odd_one and step == skip):
            loss.backward()


def runs_out_of_data():
    train(2 if odd_one else 4)


def skips_backward():
    train(4, skip=2)


def skips_backward_under_check_reduction():
    train(4, skip=2, check_reduction=True)


globals()[case]()
