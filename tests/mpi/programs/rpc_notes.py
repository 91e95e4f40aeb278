"""The example of RPC together with DistributedDataParallel in PyTorch's notes, as it stands there."""

import nnlib
import nnlib as torch
import nnlib.distributed as dist
import nnlib.distributed.rpc as rpc

dist.init_process_group("mpi")
rank, world = dist.get_rank(), dist.get_world_size()
rpc.init_rpc(f"worker{rank}", rank=rank, world_size=world)
torch.manual_seed(rank)
my_model = torch.nn.Linear(3, 3)
loss = torch.rand(3, 3)  # the notes give their loss function what they call loss; it is the target
loss_func = torch.nn.MSELoss()

EXAMPLE = """
import torch.distributed.autograd as dist_autograd
from torch.nn.parallel import DistributedDataParallel as DDP
from torch import optim
from torch.distributed.optim import DistributedOptimizer
from torch.distributed.rpc import RRef

t1 = torch.rand((3, 3), requires_grad=True)
t2 = torch.rand((3, 3), requires_grad=True)
rref = rpc.remote("worker1", torch.add, args=(t1, t2))
ddp_model = DDP(my_model)

# Setup optimizer
optimizer_params = [rref]
for param in ddp_model.parameters():
    optimizer_params.append(RRef(param))

dist_optim = DistributedOptimizer(
    optim.SGD,
    optimizer_params,
    lr=0.05,
)

with dist_autograd.context() as context_id:
    pred = ddp_model(rref.to_here())
    loss = loss_func(pred, loss)
    dist_autograd.backward(context_id, loss)
    dist_optim.step()
"""
target = loss
exec(EXAMPLE.replace("torch", nnlib.__name__))

# What it has to come to: the model's gradients averaged over the ranks, the sum's own for each.
ddp_model = globals()["ddp_model"]
start = torch.nn.Linear(3, 3)
torch.manual_seed(0)
start.reset_parameters()
assert all(p.grad is None for p in ddp_model.parameters())
moved = globals()["rref"].to_here()
summed = (globals()["t1"] + globals()["t2"]).detach().requires_grad_()
loss_func(start(summed), target).backward()
assert float((moved.detach() - (summed - 0.05 * summed.grad).detach()).abs().max()) < 1e-6
for p, q in zip(ddp_model.parameters(), start.parameters(), strict=True):
    dist.all_reduce(q.grad)
    assert float((p - (q - 0.05 * q.grad / world)).detach().abs().max()) < 1e-6
rpc.shutdown()
print("RANK DONE", flush=True)
