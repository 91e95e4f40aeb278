"""Trains with a checkpoint after every second step; goes on from the one that is there.

Arguments: the file, the number of steps, and where to be killed: "never", "step:N" (after step N), or "write:N"
(in the middle of the N-th write). Rank 0 prints every loss as bits.
"""

import os
import signal
import sys

import nnlib as torch
import nnlib.distributed as dist
import nnlib.distributed.checkpoint as dcp
from nnlib import _pickle_zip
from nnlib.distributed.optim import ZeroRedundancyOptimizer
from nnlib.nn.parallel import DistributedDataParallel
from nnlib.utils.data import DataLoader, DistributedSampler, TensorDataset

path, steps, death = sys.argv[1], int(sys.argv[2]), sys.argv[3]
kind, _, when = death.partition(":")
dist.init_process_group("mpi", timeout=20)
rank, world = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
images = TensorDataset(torch.randn(24, 6), torch.randint(0, 3, (24,)))
module = torch.nn.Sequential(
    torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
)
net = DistributedDataParallel(module)
torch.manual_seed(1 + rank)
optimizer = ZeroRedundancyOptimizer(net.parameters(), torch.optim.Adam, lr=0.01)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
sampler = DistributedSampler(images, seed=4)
loader = DataLoader(images, batch_size=12 // world // 2, sampler=sampler)
state = {"model": module, "optimizer": optimizer, "scheduler": scheduler, "sampler": sampler,
         "random": dcp.RandomState(), "step": 0, "epoch": 0}  # fmt: skip


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_the_write(number):
    """From now on the N-th file that rank 0 writes is cut off in the middle."""
    write, count = _pickle_zip.RecordWriter.write, [0]

    def cut(writer, name, data):
        count[0] += name == "data.pkl"
        if count[0] == number and name == "data/0":
            die()
        return write(writer, name, data)

    _pickle_zip.RecordWriter.write = cut


if os.path.exists(path):
    dcp.load(state, checkpoint_id=path)
if kind == "write" and rank == 0:
    die_in_the_write(int(when))
while state["step"] < steps:
    sampler.set_epoch(state["epoch"])
    for x, y in loader:
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        sampler.advance(len(x))
        state["step"] += 1
        total = loss.detach().clone()
        dist.all_reduce(total)
        if rank == 0:
            print(f"LOSS {state['step']} {total.item().hex()}", flush=True)
        if kind == "step" and state["step"] == int(when) and rank == world - 1:
            die()
        if state["step"] % 2 == 0:
            dcp.save(state, checkpoint_id=path)
        if state["step"] == steps:
            break
    else:
        state["epoch"] += 1
print("RANK DONE", flush=True)
