"""Sums over nodes of two ranks (NNLIB_DISTRIBUTED_NODE_SIZE=2): which ranks meet where, and the bits of each sum."""

import numpy as np

import nnlib as torch
import nnlib.distributed as dist
from nnlib import nn
from nnlib.distributed import _levels
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()
nodes = [list(range(first, min(first + 2, world))) for first in range(0, world, 2)]
SIZES = (
    5,
    1000,
    10_007,
    300_001,
    1_500_000,
)  # in the signature, in one message, in slices, in several stages


def values(r, count, dtype):
    """What a rank brings; float16 and bfloat16 as the float32 numbers that they are."""
    rng = np.random.default_rng(100 * count + r)
    if np.issubdtype(np.dtype(dtype), np.integer):
        return rng.integers(-100, 100, count).astype(dtype)
    return rng.standard_normal(count).astype(dtype)


def in_node_order(parts, add=np.add):
    """((0 + 1) + (2 + 3)), in the type of the parts."""
    sums = []
    for members in nodes:
        total = parts[members[0]]
        for r in members[1:]:
            total = add(total, parts[r])
        sums.append(total)
    total = sums[0]
    for more in sums[1:]:
        total = add(total, more)
    return total


def all_ranks_meet_where_they_lie():
    assert dist.group.WORLD.nodes() == nodes
    pair = dist.new_group([0, world - 1])
    if rank in (0, world - 1):
        assert pair.nodes() == [[0], [world - 1]]
        t = torch.full((5000,), float(rank))
        dist.all_reduce(t, group=pair)
        assert bool((t == world - 1).all())
        for dtype in ("float32", "float16", "int64"):  # a node's sum is one rank's values, in several slices
            first, last = (values(r, 300_001, dtype) for r in (0, world - 1))
            t = torch.from_numpy(values(rank, 300_001, dtype))
            dist.all_reduce(t, group=pair)
            wide = np.float32 if dtype == "float16" else dtype
            expected = (first.astype(wide) + last.astype(wide)).astype(dtype)
            assert t.numpy().tobytes() == expected.tobytes(), dtype
    others = dist.new_group(list(range(1, world)))
    if rank > 0:
        assert others.nodes() == ([[1], [2, 3]] if world == 4 else [[1], [2]])
        t = torch.full((50_000,), float(rank))
        dist.all_reduce(t, group=others)
        assert bool((t == world * (world - 1) / 2).all())


def sums_have_the_bits_of_their_order():
    for count in SIZES:
        for dtype in ("float32", "float64", "int64"):
            parts = [values(r, count, dtype) for r in range(world)]
            t = torch.from_numpy(parts[rank].copy())
            dist.all_reduce(t)
            assert t.numpy().tobytes() == in_node_order(parts).tobytes(), (count, dtype)
        parts = [values(r, count, "float32") for r in range(world)]
        t = torch.from_numpy(parts[rank].copy())
        dist.all_reduce(t, op=dist.ReduceOp.AVG)
        assert t.numpy().tobytes() == (in_node_order(parts) / np.float32(world)).tobytes()
        t = torch.from_numpy(parts[rank].copy())
        dist.all_reduce(t, op=dist.ReduceOp.MAX)
        assert t.numpy().tobytes() == in_node_order(parts, np.maximum).tobytes()
        parts = [values(r, count, "float16") for r in range(world)]
        t = torch.from_numpy(parts[rank].copy())
        dist.all_reduce(t)
        once = in_node_order([p.astype("float32") for p in parts]).astype("float16")
        assert t.numpy().tobytes() == once.tobytes(), count
    strided = torch.arange(12_000.0).reshape(3, 4000).t() * (rank + 1)
    dist.all_reduce(strided)
    assert bool((strided == torch.arange(12_000.0).reshape(3, 4000).t() * (world * (world + 1) / 2)).all())


def bfloat16_is_rounded_once():
    """256 + 1 + ... is lost when partial sums are rounded to bfloat16, whose unit is 2 there."""
    for count in (3, 700, 20_000):
        t = torch.full((count,), 256.0 if rank == 0 else 1.0, dtype=torch.bfloat16)
        dist.all_reduce(t)
        expected = torch.tensor(256.0 + world - 1).to(torch.bfloat16)
        assert bool((t == expected).all()), count


def every_way_gives_the_same_bits():
    """all_reduce, reduce and reduce_scatter, whole and in pieces of any size."""
    mine = torch.from_numpy(values(rank, 12_288, "float32"))
    whole = mine.clone()
    dist.all_reduce(whole)
    for step in (77, 1000, 5000):
        pieces = mine.clone()
        for start in range(0, pieces.numel(), step):
            dist.all_reduce(pieces[start : start + step])
        assert pieces.numpy().tobytes() == whole.numpy().tobytes(), step
    for count in (64, 12_288):
        t = mine[:count].clone()
        dist.reduce(t, world - 1)
        if rank == world - 1:
            assert t.numpy().tobytes() == whole[:count].numpy().tobytes()
    part = torch.empty(12_288 // world)
    dist.reduce_scatter_tensor(part, mine)
    assert part.numpy().tobytes() == whole.reshape(world, -1)[rank].contiguous().numpy().tobytes()


def train(dtype=torch.float32, **options):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 300), nn.Tanh(), nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 5))
    net = DDP(module.to(dtype), **options)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(rank + 1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(4, 30).to(dtype)).float().square().mean().backward()
        optimizer.step()
    return b"".join(p.detach().float().numpy().tobytes() for p in module.parameters())


def bucket_sizes_do_not_change_a_bit():
    sizes = (0.00005, 0.0003, 0.01, 0.1, 1, 25)  # MiB: a few values, up to everything together
    for dtype in (torch.float32, torch.bfloat16):
        seen = [None] * world
        mine = [train(dtype, bucket_cap_mb=size) for size in sizes]
        mine.append(train(dtype, gradient_as_bucket_view=True))
        whole, _levels.SLICE = _levels.SLICE, 8 << 10
        mine.append(train(dtype))
        _levels.SLICE = whole
        dist.all_gather_object(seen, mine)
        assert len({bits for results in seen for bits in results}) == 1, dtype


for check in (
    all_ranks_meet_where_they_lie,
    sums_have_the_bits_of_their_order,
    bfloat16_is_rounded_once,
    every_way_gives_the_same_bits,
    bucket_sizes_do_not_change_a_bit,
):
    check()
print("RANK DONE", flush=True)
