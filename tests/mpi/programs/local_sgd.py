"""Local SGD on every rank: gradients of the subgroup, parameters of all now and then."""

import copy
import warnings

from across import bits, everywhere

import nnlib as torch
import nnlib.distributed as dist
from nnlib import nn
from nnlib.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import (
    PostLocalSGDState,
    post_localSGD_hook,
)
from nnlib.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from nnlib.distributed.optim import PostLocalSGDOptimizer
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()


def train(net, optimizer, steps, first=0):
    """Whether all ranks had the same weights after each step."""
    same = []
    for step in range(first, first + steps):
        torch.manual_seed(100 * step + rank)
        optimizer.zero_grad()
        net(torch.randn(4, 6)).square().mean().backward()
        optimizer.step()
        same.append(len(set(everywhere(bits(net)))) == 1)
    return same


alone = [dist.new_group([r]) for r in range(world)][rank]
for options in ({"subgroup": alone}, {"subgroup": None, "post_local_gradient_allreduce": False}):
    torch.manual_seed(0)
    net = DDP(nn.Linear(6, 3))
    state = PostLocalSGDState(None, start_localSGD_iter=3, **options)
    net.register_comm_hook(state, post_localSGD_hook)
    averager = PeriodicModelAverager(period=2, warmup_steps=3)
    optimizer = PostLocalSGDOptimizer(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), averager)
    same = train(net, optimizer, 8)
    apart = world > 1
    assert same == [True, True, True, True, not apart, True, not apart, True]
    assert averager.step == state.iter == 8

# The average is that of the parameters.
layer = nn.Linear(2, 1)
with torch.no_grad():
    for p in layer.parameters():
        p.fill_(float(rank))
layer.weight.grad = torch.ones(1, 2)
PeriodicModelAverager(1).average_parameters(layer.parameters())
assert layer.weight.tolist() == [[(world - 1) / 2] * 2]
assert layer.bias.tolist() == [float(rank)]  # has no gradient

# The ranks of a node are the default.
state = PostLocalSGDState(None, None, 0)
assert state.subgroup.ranks == list(range(world))

# Saving.
saved = copy.deepcopy(optimizer.state_dict())
assert saved["step"] == 8
averager.step = 0
optimizer.load_state_dict(saved)
assert averager.step == 8 and optimizer.state_dict()["state"].keys() == saved["state"].keys()
del saved["step"]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    optimizer.load_state_dict(saved)
assert "step counter" in str(caught[0].message) and averager.step == 0
for arguments in ((0,), (1, -1)):
    try:
        PeriodicModelAverager(*arguments)
    except ValueError:
        continue
    raise AssertionError("nothing was said")
dist.barrier()
print("RANK DONE", flush=True)
