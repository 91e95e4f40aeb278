"""ZeroRedundancyOptimizer on every rank, against the plain optimizer."""

import copy

import nnlib as torch
import nnlib.distributed as dist
from nnlib import nn
from nnlib.distributed.algorithms.join import Join
from nnlib.distributed.optim import ZeroRedundancyOptimizer
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()


def fresh():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 3))


def bits(module):
    return b"".join(p.detach().contiguous().numpy().tobytes() for p in module.parameters())


def everywhere(value):
    seen = [None] * world
    dist.all_gather_object(seen, value)
    return seen


def train(net, optimizer, steps, first=0, scheduler=None):
    for step in range(first, first + steps):
        torch.manual_seed(100 * step + rank)
        optimizer.zero_grad()
        net(torch.randn(4, 6)).square().mean().backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return net


def both(kind, views=False, groups=False, schedule=False, **options):
    """A plain optimizer and a spread one, each with a module."""
    made = []
    for make in (kind, lambda p, **o: ZeroRedundancyOptimizer(p, kind, parameters_as_bucket_view=views, **o)):
        net = DDP(fresh())
        params = list(net.parameters())
        params = [{"params": params[:2], "lr": 0.02}, {"params": params[2:]}] if groups else params
        optimizer = make(params, **options)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5) if schedule else None
        made.append((net, optimizer, scheduler))
    return made


for kind, options in (
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (torch.optim.Adam, {"lr": 0.01}),
    (torch.optim.AdamW, {"lr": 0.01, "views": True, "groups": True}),
    (torch.optim.Adam, {"lr": 0.01, "schedule": True, "groups": True}),
):
    plain, spread = both(kind, **options)
    for net, optimizer, scheduler in (plain, spread):
        train(net, optimizer, 5, scheduler=scheduler)
    assert bits(plain[0]) == bits(spread[0])
    assert len(set(everywhere(bits(spread[0])))) == 1
    assert plain[1].param_groups[0]["lr"] == spread[1].param_groups[0]["lr"]

    # Each rank has a part of the state; together they have the plain optimizer's.
    kept = everywhere(sum(p.numel() for p in spread[1].state))
    assert sum(kept) == sum(p.numel() for p in spread[0].parameters())
    assert world == 1 or max(kept) < sum(kept)
    for to in {0, world - 1}:
        spread[1].consolidate_state_dict(to)
        if rank != to:
            try:
                spread[1].state_dict()
            except RuntimeError as error:
                assert "consolidate_state_dict" in str(error)
            else:
                raise AssertionError("nothing was said")
    whole = [spread[1].state_dict() if rank == world - 1 else None]
    dist.broadcast_object_list(whole, world - 1)
    whole, expected = whole[0], plain[1].state_dict()
    assert whole["param_groups"] == expected["param_groups"] and list(whole["state"]) == list(
        expected["state"]
    )
    for i, state in expected["state"].items():
        for name, value in state.items():
            assert bool(torch.as_tensor(value == whole["state"][i][name]).all()), (i, name)

    # A spread optimizer goes on from the state, as the plain one does.
    again_plain, again = both(kind, **{k: v for k, v in options.items() if k != "schedule"})
    for net, optimizer, _ in (again_plain, again):
        net.load_state_dict(plain[0].state_dict())
        optimizer.load_state_dict(copy.deepcopy(whole))  # they would share its tensors
        train(net, optimizer, 3, first=5)
    assert bits(again_plain[0]) == bits(again[0])
    assert again[1].param_groups[0]["lr"] == whole["param_groups"][0]["lr"]

# A group that is added later.
plain, spread = both(torch.optim.Adam, views=True, lr=0.01)
for net, optimizer, _ in (plain, spread):
    torch.manual_seed(5)
    extra = nn.Parameter(torch.randn(9, 7))
    optimizer.add_param_group({"params": [extra], "lr": 0.5})
    for _ in range(2):
        optimizer.zero_grad()
        (extra.square().sum() + net(torch.ones(2, 6)).sum()).backward()
        optimizer.step()
    net.extra = extra
assert bits(plain[0]) == bits(spread[0])

# A closure, and different numbers of inputs.
net = DDP(fresh())
optimizer = ZeroRedundancyOptimizer(net.parameters(), torch.optim.SGD, lr=0.1)


def closure():
    optimizer.zero_grad()
    loss = net(torch.ones(2, 6)).square().mean()
    loss.backward()
    return loss


assert float(optimizer.step(closure)) > float(closure())
with Join([net, optimizer]):
    for _ in range(2 + rank):
        optimizer.zero_grad()
        net(torch.randn(3, 6)).sum().backward()
        optimizer.step()
assert len(set(everywhere(bits(net)))) == 1

for arguments, options, error in (
    ((torch.optim.LBFGS,), {}, ValueError),
    ((len,), {}, TypeError),
    ((torch.optim.SGD,), {"overlap_with_ddp": True, "lr": 1}, NotImplementedError),
    ((torch.optim.SGD,), {"lr": -1}, ValueError),
):
    try:
        ZeroRedundancyOptimizer(net.parameters(), *arguments, **options)
    except error:
        continue
    raise AssertionError("nothing was said")
dist.barrier()
print("RANK DONE", flush=True)
