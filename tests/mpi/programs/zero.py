"""ZeroRedundancyOptimizer on every rank, against the plain optimizer."""

import copy
import warnings

from across import bits, everywhere

import nnlib as torch
import nnlib.distributed as dist
from nnlib import nn
from nnlib.distributed.algorithms.ddp_comm_hooks import ddp_zero_hook, default_hooks
from nnlib.distributed.algorithms.join import Join
from nnlib.distributed.optim import ZeroRedundancyOptimizer
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()


def fresh():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 3))


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
    ((torch.optim.SGD,), {"lr": -1}, ValueError),
):
    try:
        ZeroRedundancyOptimizer(net.parameters(), *arguments, **options)
    except error:
        continue
    raise AssertionError("nothing was said")

# Steps during backward give the bits of steps after it.


def overlapped(make_hook, kind, sharded, inner=default_hooks.allreduce_hook, views=False, **options):
    net = DDP(fresh(), bucket_cap_mb=0.0002, gradient_as_bucket_view=views)
    groups = [{"params": list(net.parameters())[:2], "lr": 0.02}, {"params": list(net.parameters())[2:]}]
    zero = ZeroRedundancyOptimizer(groups, kind, overlap_with_ddp=True, **options)
    for early in (zero.consolidate_state_dict, zero.state_dict, lambda: zero.load_state_dict({})):
        expect(RuntimeError, "fully initialized", early)
    net.register_comm_hook(None, make_hook(inner, net, zero, shard_buckets=sharded))
    return net, zero


def expect(kind, words, call, *args, **options):
    try:
        call(*args, **options)
    except kind as error:
        assert words in str(error), error
        return
    raise AssertionError("nothing was said")


def run(net, zero, overlap, passes):
    scheduler = torch.optim.lr_scheduler.StepLR(zero, 2, 0.5)
    for step in range(passes):
        torch.manual_seed(100 * step + rank)
        net.zero_grad()
        net(torch.randn(4, 6)).square().mean().backward()
        if not overlap:
            zero.step()
        scheduler.step()
    return bits(net)


steps_of = ddp_zero_hook.hook_with_zero_step, ddp_zero_hook.hook_with_zero_step_interleaved
for inner in (default_hooks.allreduce_hook, default_hooks.bf16_compress_hook):
    for kind, options in (
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
        (torch.optim.AdamW, {"lr": 0.01}),
    ):
        net = DDP(fresh(), bucket_cap_mb=0.0002)
        net.register_comm_hook(None, inner)
        groups = [{"params": list(net.parameters())[:2], "lr": 0.02}, {"params": list(net.parameters())[2:]}]
        plain = kind(groups, **options)
        expected = run(net, plain, False, 5)
        for make_hook in steps_of:
            for sharded, views in ((False, True), (True, False)):
                net, zero = overlapped(make_hook, kind, sharded, inner, views, **options)
                assert len(net.reducer.bucket_sizes()) > 2
                assert run(net, zero, True, 5) == expected
                kept = everywhere(sum(p.numel() for p in zero.state))
                assert sum(kept) == sum(p.numel() for p in net.parameters())
                assert world == 1 or max(kept) < sum(kept)
                zero.consolidate_state_dict()
                if rank == 0:
                    assert list(zero.state_dict()["state"]) == list(plain.state_dict()["state"])

# Ranks without inputs take part; what cannot be overlapped is refused.
net, zero = overlapped(steps_of[1], torch.optim.SGD, True, lr=0.1)
with net.join():
    for _ in range(2 + rank):
        net.zero_grad()
        net(torch.ones(3, 6)).sum().backward()
assert len(set(everywhere(bits(net)))) == 1
expect(RuntimeError, "another hook", steps_of[0], default_hooks.allreduce_hook, net, zero)
expect(RuntimeError, "no group can be added", zero.add_param_group, {"params": [torch.ones(1)]})
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    assert zero.step() is None and "overlap_with_ddp" in str(seen[0].message)
for change, words, options in (
    ({"overlap_with_ddp": False}, "`overlap_with_ddp=True`", {}),
    ({}, "find_unused_parameters", {"find_unused_parameters": True}),
    ({"params": [torch.ones(1, requires_grad=True)]}, "exactly the parameters", {}),
):
    net = DDP(fresh(), **options)
    given = {"params": net.parameters(), "lr": 0.1, "overlap_with_ddp": True, **change}
    zero = ZeroRedundancyOptimizer(given.pop("params"), torch.optim.SGD, **given)
    expect(ValueError, words, steps_of[0], default_hooks.allreduce_hook, net, zero)

dist.barrier()
print("RANK DONE", flush=True)
