"""Ranks that disagree: every rank gets an error that says who and what, and the job goes on."""

import re

import nnlib as torch
import nnlib.distributed as dist
from nnlib.nn.parallel import DistributedDataParallel

dist.init_process_group("mpi", timeout=5)
rank, world = dist.get_rank(), dist.get_world_size()
last = world - 1
odd_one = rank == last
t = torch.ones(20_000)
others = f"rank{'s' * (world > 2)} {', '.join(map(str, range(last)))}"


def refused(call, pattern, kind=dist.DistBackendError):
    """The call must fail on this rank, with such a message."""
    try:
        call()
    except kind as error:
        assert re.search(pattern, str(error)), f"rank {rank}: {error} does not match {pattern}"
    else:
        raise AssertionError(f"rank {rank}: no error, where {pattern} was expected")


def in_another_order():
    calls = [lambda: dist.all_reduce(t), lambda: dist.broadcast(t, 0)]
    first, second = calls[::-1] if odd_one else calls
    sums, copies = r"all_reduce\(SUM, float32, 20000 values\)", r"broadcast\(float32, 20000 values, root 0\)"
    refused(first, f"{others} called {sums} as number \\d+; rank {last} called {copies}")
    refused(second, f"{others} called {copies} as number \\d+; rank {last} called {sums}")


def of_another_size_dtype_or_root():
    refused(
        lambda: dist.all_reduce(t[:11] if odd_one else t[:10]),
        rf"SUM, float32, 10 values\).*rank {last} called all_reduce\(SUM, float32, 11 values",
    )
    refused(
        lambda: dist.all_reduce(t.to(torch.float64) if odd_one else t),
        rf"float32, 20000 values\).*rank {last} called all_reduce\(SUM, float64",
    )
    refused(lambda: dist.broadcast(t, int(odd_one)), rf"root 0\).*rank {last} called broadcast\(.*root 1\)")
    refused(
        lambda: dist.all_reduce(t, dist.ReduceOp.MAX if odd_one else dist.ReduceOp.SUM),
        rf"\(SUM, .*rank {last} called all_reduce\(MAX",
    )


def of_a_message_of_another_size():
    if odd_one:
        dist.send(t, 0)
    elif rank == 0:
        refused(
            lambda: dist.recv(t[:10], last), rf"rank {last} called send\(float32, 20000 .* rank 0 called recv"
        )


def models(usual, odd, pattern):
    """Wrapping must fail on all ranks when the last one brings another model."""
    refused(lambda: DistributedDataParallel(odd() if odd_one else usual()), pattern, RuntimeError)


def parameters_differ():
    nn = torch.nn
    usual = lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, bias=False))  # noqa: E731
    me = f"rank {last} has"
    models(usual, lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4, bias=False)),
           rf"{me} shape \(4, 5\) at parameter 0 \(0.weight\), where it is \(4, 4\)")  # fmt: skip
    models(usual, lambda: usual().double(), rf"{me} dtype torch.float64 at parameter 0 \(0.weight\)")
    models(
        usual,
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)),
        rf"has 3 parameters; {me} 4 parameters",
    )
    models(usual, lambda: nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4)),
           rf"{me} name 1.weight at parameter 1 \(1.weight\), where it is 0.bias")  # fmt: skip


class Branches(torch.nn.Module):
    """Two layers, of which a pass can leave one out."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)

    def forward(self, x, both):
        return self.second(self.first(x)) if both else self.first(x)


def parameters_are_unused():
    net = DistributedDataParallel(Branches())
    x = torch.ones(2, 3)
    net(x, False).sum().backward()
    refused(lambda: net(x, True), r"find_unused_parameters.*second\.weight, second\.bias|"
            r"second\.weight, second\.bias.*find_unused_parameters", RuntimeError)  # fmt: skip


in_another_order()
of_another_size_dtype_or_root()
of_a_message_of_another_size()
parameters_differ()
parameters_are_unused()
dist.barrier()
print("RANK DONE", flush=True)
