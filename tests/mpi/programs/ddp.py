"""DistributedDataParallel on every rank; each check is named by an argument or all are run."""

import copy
import pickle
import sys

from across import bits, everywhere

import nnlib as torch
import nnlib.distributed as dist
from nnlib import nn
from nnlib.distributed.algorithms.ddp_comm_hooks import default_hooks
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def fresh(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 3))


def batches(steps, seed=1):
    torch.manual_seed(seed)
    return [(torch.randn(4 * world, 6), torch.randn(4 * world, 3)) for _ in range(steps)]


def mine(tensor):
    return tensor[4 * rank : 4 * rank + 4]


def train(net, steps=4, local=True):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for x, y in batches(steps):
        optimizer.zero_grad()
        x, y = (mine(x), mine(y)) if local else (x, y)
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return net


def close(a, b):
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert float((p - q).detach().abs().max()) < 1e-5


@check
def training_equals_one_process_with_the_whole_batch():
    together = train(DDP(fresh(rank)))  # rank 0's start weights go to all
    alone = train(fresh(0), local=False)
    close(together, alone)
    assert len(set(everywhere(bits(together)))) == 1


@check
def bucket_sizes_and_views_do_not_change_a_bit():
    results = set()
    for options in (
        {},
        {"bucket_cap_mb": 0.0001},
        {"bucket_cap_mb": 0.002},
        {"bucket_cap_mb_list": [0.001, 0.004]},
        {"gradient_as_bucket_view": True},
        {"static_graph": True},
        {"find_unused_parameters": True},
        {"gradient_as_bucket_view": True, "bucket_cap_mb": 0.0005},
    ):
        results.add(bits(train(DDP(fresh(), **options))))
    assert len(results) == 1


@check
def gradients_are_made_in_the_buckets_that_the_ranks_share():
    group = dist.group.WORLD
    results = set()
    for view in (False, True):
        net = DDP(fresh(), gradient_as_bucket_view=view, bucket_cap_mb=0.002)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for x, y in batches(4):
            optimizer.zero_grad()
            nn.functional.mse_loss(net(mine(x)), mine(y)).backward()
            assert net.communication_stats()["copied"] == 0
            for p in net.parameters():
                shared = view and group.shares_memory()
                assert not shared or group._transport.arenas.locate(p.grad.data_ptr()) is not None
            optimizer.step()
        results.add(bits(net))
    assert len(results) == 1


@check
def a_gradient_that_is_kept_is_not_overwritten():
    net, kept = DDP(fresh()), []
    for x, y in batches(4):
        net.zero_grad()
        nn.functional.mse_loss(net(mine(x)), mine(y)).backward()
        first = net.module[0].weight
        kept.append((first.grad, first.grad.clone(), first.grad[:2].numpy(), first.grad[:2].clone()))
        assert len(set(everywhere(first.grad.clone().numpy().tobytes()))) == 1
    for grad, copy_of_grad, array, copy_of_array in kept:
        assert torch.equal(grad, copy_of_grad) and (array == copy_of_array.numpy()).all()


@check
def no_sync_adds_up_and_the_next_pass_averages():
    net, reference = DDP(fresh()), fresh()
    steps = batches(3)
    with net.no_sync():
        for x, y in steps[:2]:
            nn.functional.mse_loss(net(mine(x)), mine(y)).backward()
    local = everywhere(net.module[0].weight.grad.numpy().tobytes())
    assert world == 1 or len(set(local)) > 1
    x, y = steps[2]
    nn.functional.mse_loss(net(mine(x)), mine(y)).backward()
    for x, y in steps:
        nn.functional.mse_loss(reference(x), y).backward()
    for p, q in zip(net.parameters(), reference.parameters(), strict=True):
        assert float((p.grad - q.grad).abs().max()) < 1e-5


@check
def a_forward_without_gradients_does_not_stop_the_average():
    net = DDP(fresh())
    x, y = (mine(part) for part in batches(1)[0])
    out = net(x)
    with torch.no_grad():
        target = net(x + 1)
    nn.functional.mse_loss(out, y + target).backward()
    assert len(set(everywhere(net.module[0].weight.grad.clone().numpy().tobytes()))) == 1


@check
def buffers_are_those_of_rank_0():
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    net = DDP(module)
    x = mine(batches(1)[0][0])
    net(x + rank).sum().backward()
    own = everywhere(module[1].running_mean.numpy().tobytes())
    assert world == 1 or len(set(own)) > 1  # each rank saw other data
    net(x)
    with torch.no_grad():
        net.module[1].running_mean += 0
    kept = DDP(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)), broadcast_buffers=False)
    for _ in range(2):
        kept(x + rank).sum().backward()
    assert world == 1 or len(set(everywhere(kept.module[1].running_mean.numpy().tobytes()))) > 1
    counted = everywhere(int(module[1].num_batches_tracked.item()))
    assert counted == [2] * world


class Branches(nn.Module):
    """Uses one of two layers, and returns an output that the loss may leave out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Linear(6, 3), nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x, branch):
        layer = (self.a, self.b)[branch]
        return {"out": layer(x), "aside": [self.c(x)]}


@check
def unused_parameters_are_found():
    x = mine(batches(1)[0][0])
    net = DDP(Branches(), find_unused_parameters=True)
    for step in range(3):
        net.zero_grad()
        branch = (rank + step) % 2  # the ranks use different layers
        net(x, branch)["out"].sum().backward()
        assert net.module.c.weight.grad is None  # no rank used it in the loss
        if world > 1:
            assert net.module.a.weight.grad is not None and net.module.b.weight.grad is not None
            assert len(set(everywhere(net.module.a.weight.grad.numpy().tobytes()))) == 1
    net.zero_grad()
    net(x, 0)["out"].sum().backward()
    assert net.module.a.weight.grad is not None and net.module.b.weight.grad is None


@check
def unused_parameters_without_the_flag_are_named():
    x = mine(batches(1)[0][0])
    net = DDP(Branches())
    net(x, 0)["out"].sum().backward()
    try:
        net(x, 0)
    except RuntimeError as error:
        assert (
            "b.weight" in str(error)
            and "c.bias" in str(error)
            and "find_unused_parameters=True" in str(error)
        )
    else:
        raise AssertionError("nothing was said")


@check
def parameters_that_differ_are_named():
    if world == 1:
        return

    def differs(make, *words):
        try:
            DDP(make())
        except RuntimeError as error:
            text = str(error)
        else:
            raise AssertionError("nothing was said")
        assert all(word in text for word in words), text
        assert len(set(everywhere(text))) == 1

    odd = rank == world - 1
    named = f"rank {world - 1} has"
    differs(lambda: nn.Linear(3, 4 + odd), named, "shape (5, 3)", "(weight)", "(4, 3)")
    differs(lambda: nn.Linear(3, 4).double() if odd else nn.Linear(3, 4), named, "float64", "float32")
    differs(lambda: nn.Linear(3, 4, bias=not odd), named, "1 parameters", "2 parameters")
    first, second = ("one", nn.Linear(2, 2)), ("two", nn.Linear(2, 2))
    ordered = [second, first] if odd else [first, second]

    def in_order():
        module = nn.Module()
        for name, layer in ordered:
            module.add_module(name, layer)
        return module

    differs(in_order, named, "name two.weight", "one.weight")


@check
def communication_hooks():
    plain = train(DDP(fresh()))
    net = DDP(fresh())
    net.register_comm_hook(None, default_hooks.allreduce_hook)
    assert bits(train(net)) == bits(plain)
    for hook in (default_hooks.fp16_compress_hook, default_hooks.bf16_compress_hook):
        net = DDP(fresh(), bucket_cap_mb=0.001)
        net.register_comm_hook(None, hook)
        train(net)
        assert len(set(everywhere(bits(net)))) == 1
        worst = max(
            float((p - q).detach().abs().max())
            for p, q in zip(net.parameters(), plain.parameters(), strict=True)
        )
        assert 0 < worst < 0.05
    net = DDP(fresh())
    net.register_comm_hook(None, default_hooks.fp16_compress_wrapper(default_hooks.allreduce_hook))
    train(net)
    assert len(set(everywhere(bits(net)))) == 1


@check
def several_dtypes_and_memory_formats():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
            self.layer64 = nn.Linear(4, 2).double()
            self.scale16 = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))

        def forward(self, x):
            x = self.conv(x).mean((2, 3)).double()
            return self.layer64(x) * self.scale16.double()

    net = DDP(Mixed(), bucket_cap_mb=0.0001)
    torch.manual_seed(rank)
    net(torch.randn(2, 4, 5, 5)).sum().backward()
    for p in net.parameters():
        assert p.grad.dtype == p.dtype
        assert len(set(everywhere(p.grad.float().contiguous().numpy().tobytes()))) == 1


@check
def the_cost_of_communication_can_be_read():
    net = train(DDP(fresh(), bucket_cap_mb=0.002))
    stats = net.communication_stats()
    values = sum(p.numel() for p in net.parameters())
    assert stats["bytes"] == (4 * values if world > 1 else 0)
    assert stats["buckets"] == (len(net.reducer.bucket_sizes()) if world > 1 else 0)
    assert 0.0 <= stats["hidden"] <= 1.0 and stats["communicating"] >= 0.0 <= stats["waited"]


@check
def copies_and_pickles():
    net = DDP(fresh())
    again = pickle.loads(pickle.dumps(net))
    deep = copy.deepcopy(net)
    for other in (again, deep):
        train(other)
    train(net)
    assert bits(again) == bits(net) == bits(deep)
    assert all(name.startswith("module.") for name in net.state_dict())


@check
def uneven_inputs_with_join():
    steps = batches(3 + rank)

    def run(net, scale=1.0):
        with net.join(divide_by_initial_world_size=scale == 1.0):
            for x, _ in steps:
                net.zero_grad()
                net(mine(x)).sum().backward()
                with torch.no_grad():
                    for p in net.parameters():
                        p -= 0.01 * p.grad
        return net

    for options in ({}, {"find_unused_parameters": True}, {"static_graph": True}, {"bucket_cap_mb": 0.001}):
        net = run(DDP(nn.Sequential(fresh(), nn.BatchNorm1d(3)), **options))
        assert len(set(everywhere(bits(net)))) == 1
    net = DDP(nn.Linear(1, 1, bias=False))
    ones = torch.ones(1, 1)
    with net.join(divide_by_initial_world_size=False):
        for _ in range(2 + rank):
            net.zero_grad()
            net(ones).sum().backward()
            assert float(net.module.weight.grad) == 1.0  # the average over those that are left
    with net.join():
        for step in range(2 + rank):
            net.zero_grad()
            net(ones).sum().backward()
            left = world - max(0, step - 1)
            assert abs(float(net.module.weight.grad) - left / world) < 1e-6
    if world > 1:
        try:
            with net.join(throw_on_early_termination=True):
                for _ in range(2 + rank):
                    net(ones).sum().backward()
        except RuntimeError as error:
            assert "exhausted" in str(error)
        else:
            raise AssertionError("nothing was said")
    net(ones).sum().backward()  # and on as before


@check
def sparse_gradients():
    torch.manual_seed(0)
    net = DDP(nn.EmbeddingBag(10, 3, mode="sum", sparse=True))
    dense = DDP(nn.EmbeddingBag(10, 3, mode="sum"))
    dense.load_state_dict(net.state_dict())
    words = torch.tensor([[rank, rank + 1], [5, 5]])
    for module in (net, dense):
        (module(words) * (rank + 1)).sum().backward()
    grad = net.module.weight.grad
    assert grad.is_sparse
    assert float((grad.to_dense() - dense.module.weight.grad).abs().max()) < 1e-6


@check
def a_group_of_its_own():
    pair = dist.new_group([0, world - 1] if world > 1 else [0])
    if pair is dist.GroupMember.NON_GROUP_MEMBER:
        return
    net = DDP(fresh(rank), process_group=pair)
    train(net)
    seen = [None] * pair.size()
    dist.all_gather_object(seen, bits(net), pair)
    assert len(set(seen)) == 1


@check
def two_modules_in_groups_of_their_own_train_side_by_side():
    """One averages over all ranks, one over pairs that differ from pair to pair."""
    everyone = dist.new_group()
    pairs = [dist.new_group(list(range(first, min(first + 2, world)))) for first in range(0, world, 2)]
    mate = pairs[rank // 2]
    wide, narrow = DDP(fresh(), process_group=everyone), DDP(fresh(), process_group=mate)
    for x, y in batches(3):
        loss = nn.functional.mse_loss(wide(mine(x)), mine(y)) + nn.functional.mse_loss(
            narrow(mine(x)), mine(y)
        )
        loss.backward()
        with torch.no_grad():
            for p in (*wide.parameters(), *narrow.parameters()):
                p -= 0.1 * p.grad
    assert len(set(everywhere(bits(wide)))) == 1
    by_rank = everywhere(bits(narrow))
    assert len(set(by_rank)) == len(pairs)
    assert all(by_rank[r] == by_rank[r - r % 2] for r in range(world))


wanted = sys.argv[1:]
for function in CHECKS:
    if not wanted or function.__name__ in wanted:
        function()
        dist.barrier()
print("RANK DONE", flush=True)
