"""What deterministic="world" does not take, with the reason, on every rank."""

import nnlib
import nnlib.distributed as dist
from nnlib import nn
from nnlib.nn.parallel import DistributedDataParallel

dist.init_process_group("mpi")
rank, size = dist.get_rank(), dist.get_world_size()


def refused(error, text, f):
    try:
        f()
    except error as caught:
        assert text in str(caught), f"expected {text!r} in {caught}"
    else:
        raise AssertionError(f"no error about {text!r}")


def wrap(net, **options):
    return DistributedDataParallel(net, deterministic="world", **options)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("seen", nnlib.zeros(1))

    def forward(self, x):
        self.seen += 1
        return self.linear(x)


x = nnlib.rand(8, 2)
if size == 3:
    refused(ValueError, "but there are 3", lambda: wrap(nn.Linear(2, 2)))
    refused(ValueError, "power of two", lambda: wrap(nn.Linear(2, 2), virtual_shards=6))
else:
    for norm in (nn.BatchNorm1d(2), nn.SyncBatchNorm(2), nn.BatchNorm1d(2, track_running_stats=False).eval()):
        net = wrap(nn.Sequential(nn.Linear(2, 2), norm))
        refused(RuntimeError, 'which "1"', lambda net=net: net(x))
    net = wrap(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval()))
    net(x).sum().backward()  # running statistics do not depend on the batch
    refused(RuntimeError, '"seen" was changed', lambda: wrap(Counting())(x))
    refused(RuntimeError, "sparse gradients", lambda: wrap(nn.Embedding(4, 2, sparse=True)))
    net = wrap(nn.Linear(2, 2))
    with net.no_sync():
        refused(RuntimeError, "no_sync", lambda: net(x))

    def join():
        with net.join():
            net(x)

    refused(RuntimeError, "join()", join)
    refused(RuntimeError, "communication hooks", lambda: net.register_comm_hook(None, lambda s, b: None))
    net = wrap(nn.Bilinear(2, 2, 1))
    refused(ValueError, "sizes are [4, 8]", lambda: net(x, x[:4]))
    refused(ValueError, "sizes are []", lambda: net())
    for wrong, error in (
        ({"virtual_shards": 0}, ValueError),
        ({"virtual_shards": 2.0}, TypeError),
        ({"shard_order": "random"}, ValueError),
    ):
        refused(error, next(iter(wrong)), lambda wrong=wrong: wrap(nn.Linear(2, 2), **wrong))
    refused(
        ValueError, "deterministic", lambda: DistributedDataParallel(nn.Linear(2, 2), deterministic="all")
    )
    refused(
        RuntimeError, "shard_step", lambda: setattr(DistributedDataParallel(nn.Linear(1, 1)), "shard_step", 1)
    )
    net = wrap(nn.Linear(2, 2))
    net.shard_step = 5
    net(x)
    assert net.shard_step == 6
print("RANK DONE", flush=True)
