"""Further arguments of DistributedDataParallel, and groups made of groups, on every rank."""

import warnings

from across import everywhere

import nnlib as torch
import nnlib.distributed as dist
from nnlib import nn
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()


def fresh(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))


def inputs(step):
    torch.manual_seed(10 * step + rank)
    return torch.randn(3, 6)


def gradients(net, step=0):
    net.zero_grad()
    net(inputs(step)).square().sum().backward()
    return [p.grad.clone().contiguous().numpy().tobytes() for p in net.parameters()]


def expect(kind, words, call, *args, **options):
    try:
        call(*args, **options)
    except kind as error:
        assert words in str(error), error
        return
    raise AssertionError(f"no error about {words!r}")


def delayed_parameters_are_averaged_together():
    expected = [gradients(DDP(fresh()), step) for step in range(3)]
    module = fresh(rank)  # rank 0's go to all, those that are delayed too
    named = list(module.named_parameters())
    net = DDP(module, delay_all_reduce_named_params=named[2:], param_to_hook_all_reduce=named[0][1])
    assert sum(net.reducer.bucket_sizes()) == sum(4 * p.numel() for _, p in named[:2])
    assert [gradients(net, step) for step in range(3)] == expected
    for given in ({"delay_all_reduce_named_params": named}, {"param_to_hook_all_reduce": named[0][1]}):
        expect(ValueError, "need to be set at the same time", DDP, fresh(), **given)


def delayed_parameters_stay_local_without_sync():
    module = fresh()
    named = list(module.named_parameters())
    net = DDP(module, delay_all_reduce_named_params=named[2:], param_to_hook_all_reduce=named[0][1])
    with net.no_sync():
        local = everywhere(gradients(net)[-2])
    assert len(set(local)) == world
    assert len(set(everywhere(gradients(net)[-2]))) == 1


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.halves = nn.ModuleList([nn.Linear(6, 5), nn.Linear(6, 5)])

    def forward(self, x, which):
        return self.halves[which](x)


def buckets_without_a_used_parameter_are_left_out():
    for skip in (False, True):
        net = DDP(
            Halves(), find_unused_parameters=True, bucket_cap_mb=1e-5, skip_all_reduce_unused_params=skip
        )
        for step in range(4):
            net.zero_grad()
            used, other = net.module.halves[step % 2], net.module.halves[1 - step % 2]
            net(inputs(step), step % 2).square().sum().backward()
            assert net.communication_stats()["buckets"] == (0 if world == 1 else 2 if skip else 4)
            assert other.weight.grad is None and other.bias.grad is None
            assert len(set(everywhere(used.weight.grad.clone().numpy().tobytes()))) == 1
    expect(ValueError, "find_unused_parameters=True", DDP, fresh(), skip_all_reduce_unused_params=True)


def start_weights_are_kept_without_init_sync():
    net = DDP(fresh(rank), init_sync=False)
    first = everywhere(net.module[0].weight.detach().numpy().tobytes())
    assert len(set(first)) == world
    assert len(set(everywhere(gradients(net)[0]))) == 1


class Reused(nn.Module):
    """Uses a layer twice, and never uses another one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.used, self.idle = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.used(self.used(x))


def a_static_graph_may_leave_parameters_out():
    net, reference = DDP(Reused(), static_graph=True), Reused()
    for step in range(3):
        net.zero_grad()
        reference.zero_grad()
        net(inputs(step)).square().sum().backward()
        for r in range(world):
            torch.manual_seed(10 * step + r)
            (reference(torch.randn(3, 6)).square().sum() / world).backward()
        assert net.module.idle.weight.grad is None
        difference = (net.module.used.weight.grad - reference.used.weight.grad).abs().max()
        assert float(difference) < 1e-5 * float(reference.used.weight.grad.abs().max())


def channels_last_gradients_keep_their_values_and_strides():
    def conv():
        torch.manual_seed(0)
        return nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last)

    expected = conv()
    for r in range(world):
        torch.manual_seed(r)
        (expected(torch.randn(2, 3, 5, 5)).square().sum() / world).backward()
    for view in (False, True):
        net = DDP(conv(), gradient_as_bucket_view=view)
        for _ in range(2):
            net.zero_grad()
            torch.manual_seed(rank)
            net(torch.randn(2, 3, 5, 5)).square().sum().backward()
            grad = net.module.weight.grad
            assert grad.stride() == net.module.weight.stride()
            assert float((grad - expected.weight.grad).abs().max()) < 1e-4
        if world > 1:
            expect(
                RuntimeError,
                "strides",
                DDP,
                nn.Conv2d(3, 8, 3) if rank else conv(),
            )


def meshes():
    mesh = dist.init_device_mesh("cpu", (world,), mesh_dim_names=("data",))
    net = DDP(fresh(rank), device_mesh=mesh)
    assert net.process_group is mesh.get_group("data") and mesh.get_local_rank() == rank
    assert len(set(everywhere(gradients(net)[0]))) == 1
    group = dist.group.WORLD
    expect(
        RuntimeError,
        "both process_group and device_mesh",
        DDP,
        fresh(),
        device_mesh=mesh,
        process_group=group,
    )
    expect(RuntimeError, "expected a mesh of", dist.init_device_mesh, "cpu", (world + 1,))
    if world % 2 == 0:
        grid = dist.init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("outer", "inner"))
        assert grid.get_coordinate() == [rank // (world // 2), rank % (world // 2)]
        assert grid["outer"].get_group().ranks == [rank % (world // 2), rank % (world // 2) + world // 2]
        assert len(set(everywhere(grid.get_group("inner").ranks[0], grid.get_group("inner")))) == 1
        expect(RuntimeError, "Only 1D device mesh", DDP, fresh(), device_mesh=grid)


def parts_of_groups():
    mine, groups = dist.new_subgroups(group_size=1)
    assert mine.ranks == [rank] and len(groups) == world and groups[rank] is mine
    assert dist.new_subgroups()[0].size() == world  # of one node
    if world > 2:
        expect(ValueError, "must be divisible", dist.new_subgroups, world - 1)
    if world > 1:
        expect(ValueError, "must not exceed", dist.new_subgroups, world + 1)
        first, rest = [0], list(range(1, world))
        part = dist.split_group(split_ranks=[first, rest])
        t = torch.full((1000,), float(rank))
        dist.all_reduce(t, group=part)
        assert part.ranks == (first if rank == 0 else rest) and float(t[0]) == sum(part.ranks)
        if rank > 0:  # a part of a part, which rank 0 knows nothing of
            lone = dist.split_group(part, [[0]])
            assert (lone is None) == (rank != 1) and (lone is None or lone.ranks == [1])
        assert dist.split_group(split_ranks=[[0]]) is None or rank == 0
    expect(ValueError, "more than one", dist.new_subgroups_by_enumeration, [[0], [0]])
    expect(ValueError, "split_ranks", dist.split_group)
    assert dist.get_node_local_rank() == rank


for part in (
    delayed_parameters_are_averaged_together,
    delayed_parameters_stay_local_without_sync,
    buckets_without_a_used_parameter_are_left_out,
    start_weights_are_kept_without_init_sync,
    a_static_graph_may_leave_parameters_out,
    channels_last_gradients_keep_their_values_and_strides,
    meshes,
    parts_of_groups,
):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            part()
    except BaseException:
        print("in", part.__name__, flush=True)
        raise
print("RANK DONE", flush=True)
