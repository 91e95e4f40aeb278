"""Averages over two hosts; with a folder as argument it goes on until the link is cut, and writes its end there.

What a rank prints after the cut cannot reach mpirun, so each has a file of its own.
"""

import os
import platform
import signal
import sys

import nnlib as torch
import nnlib.distributed as dist
from nnlib.nn.parallel import DistributedDataParallel

folder = sys.argv[1] if len(sys.argv) > 1 else None
if folder is not None:  # as a file for its errors has it, from the first message to the last
    log = os.open(
        os.path.join(folder, os.environ.get("PMI_RANK") or os.environ["OMPI_COMM_WORLD_RANK"]),
        os.O_CREAT | os.O_WRONLY,
    )
    os.dup2(log, 2)
dist.init_process_group("mpi", timeout=3)
rank, world = dist.get_rank(), dist.get_world_size()

names = [None] * world
dist.all_gather_object(names, platform.node())
assert names == ["nnlib-a"] * 2 + ["nnlib-b"] * 2, names

module = torch.nn.Sequential(torch.nn.Linear(100, 200), torch.nn.Linear(200, 10))
net = DistributedDataParallel(module, bucket_cap_mb=0.03)
torch.manual_seed(rank)
x = torch.randn(4, 100)
net(x).sum().backward()
mine = [p.grad.clone() for p in module.parameters()]
parts = [torch.empty_like(x) for _ in range(world)]
dist.all_gather(parts, x)
module.zero_grad()
module(torch.cat(parts)).sum().backward()
for averaged, p in zip(mine, module.parameters(), strict=True):
    torch.testing.assert_close(averaged * world, p.grad, rtol=1e-4, atol=1e-4)
bits = [None] * world
dist.all_gather_object(bits, [g.numpy().tobytes() for g in mine])
assert all(each == bits[0] for each in bits)

if folder is not None:
    t = torch.ones(20_000)
    signal.alarm(60)  # should nobody cut it
    print("GOING", flush=True)
    while True:
        dist.all_reduce(t, dist.ReduceOp.AVG)
print("RANK DONE", flush=True)
