"""Every collective, on small and large tensors, against what it has to give."""

import nnlib as torch
import nnlib.distributed as dist

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()
total = world * (world + 1) // 2
SIZES = (3, 1000, 70_000)  # inside the signature, one message, slices


def full(count, value, dtype=torch.float32):
    return torch.full((count,), value, dtype=dtype)


def same(tensor, value):
    assert bool((tensor == value).all()), (tensor, value)


def reductions():
    dtypes = (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.uint8,
    )
    for count in SIZES:
        for dtype in dtypes:
            t = full(count, rank + 1, dtype)
            dist.all_reduce(t)
            same(t, total)
        for op, expected in (("MAX", world), ("MIN", 1), ("AVG", total / world)):
            t = full(count, rank + 1.0)
            dist.all_reduce(t, op=getattr(dist.ReduceOp, op))
            same(t, expected)
        bits = full(count, 1 << rank, torch.int64)
        dist.all_reduce(bits, op=dist.ReduceOp.BOR)
        same(bits, (1 << world) - 1)
        t = full(count, rank + 1.0)
        dist.reduce(t, world - 1)
        same(t, total if rank == world - 1 else rank + 1.0)
        t = full(count, 0.0)
        dist.reduce_scatter(t, [full(count, float(r)) for r in range(world)])
        same(t, rank * world)
        dist.reduce_scatter_tensor(t, torch.cat([full(count, float(r)) for r in range(world)]))
        same(t, rank * world)
    strided = torch.arange(12.0).reshape(3, 4).t() * (rank + 1)
    dist.all_reduce(strided)
    same(strided, torch.arange(12.0).reshape(3, 4).t() * total)
    nothing = torch.empty(0)
    dist.all_reduce(nothing)


def half_sums_are_made_in_float():
    """1024 + 0.5 * (world - 1) is lost when every step is rounded to float16, 0.5 being half a unit there."""
    t = full(20_000, 2048.0 if rank == 0 else 1.0, torch.float16)
    dist.all_reduce(t)
    expected = torch.tensor(2048.0 + (world - 1)).to(torch.float16)
    same(t, expected.item())


def moves():
    for count in SIZES:
        t = full(count, float(rank))
        dist.broadcast(t, world - 1)
        same(t, world - 1)
        mine = full(count, float(rank))
        parts = [full(count, -1.0) for _ in range(world)]
        dist.all_gather(parts, mine)
        for r, part in enumerate(parts):
            same(part, r)
        whole = torch.empty(world, count)
        dist.all_gather_into_tensor(whole, mine)
        for r in range(world):
            same(whole[r], r)
        parts = [full(count, -1.0) for _ in range(world)] if rank == 0 else None
        dist.gather(mine, parts, 0)
        for r, part in enumerate(parts or ()):
            same(part, r)
        dist.scatter(t, [full(count, float(r)) for r in range(world)] if rank == 0 else None, 0)
        same(t, rank)
        out = torch.empty(world * count)
        dist.all_to_all_single(out, torch.cat([full(count, float(10 * rank + r)) for r in range(world)]))
        same(out, torch.cat([full(count, float(10 * r + rank)) for r in range(world)]))
    outs = [torch.empty(r + 1) for r in range(world)]
    dist.all_to_all(outs, [full(rank + 1, float(rank)) for _ in range(world)])
    for r, out in enumerate(outs):
        same(out, r)


def messages():
    if world == 1:
        return
    right, left = (rank + 1) % world, (rank - 1) % world
    for count in (10, 100_000):
        t = full(count, -1.0)
        works = [dist.isend(full(count, float(rank)), right), dist.irecv(t, left)]
        for work in works:
            assert work.wait() and work.is_completed() and work.exception() is None
        same(t, left)
        ops = [dist.P2POp(dist.irecv, t, right), dist.P2POp(dist.isend, full(count, float(rank)), left)]
        for work in dist.batch_isend_irecv(ops):
            work.wait()
        same(t, right)
        if rank == 0:
            seen = {dist.recv(t) for _ in range(world - 1)}
            assert seen == set(range(1, world))
        else:
            dist.send(t, 0)
        dist.barrier()


def objects():
    seen = [None] * world
    dist.all_gather_object(seen, {"rank": rank, "text": "x" * 1000 * rank})
    assert [s["rank"] for s in seen] == list(range(world)) and len(seen[-1]["text"]) == 1000 * (world - 1)
    values = [rank, "a" * rank]
    dist.broadcast_object_list(values, world - 1)
    assert values == [world - 1, "a" * (world - 1)]
    got = [None]
    dist.scatter_object_list(got, [f"for {r}" for r in range(world)] if rank == 0 else None)
    assert got == [f"for {rank}"]
    seen = [None] * world if rank == 0 else None
    dist.gather_object(rank**2, seen)
    assert seen is None or seen == [r**2 for r in range(world)]
    if world > 1 and rank == 0:
        dist.send_object_list([1, "two"], 1)
    elif rank == 1:
        got = [None, None]
        assert dist.recv_object_list(got, 0) == 0 and got == [1, "two"]


def groups():
    evens = dist.new_group(list(range(0, world, 2)), group_desc="evens")
    if rank % 2 == 0:
        t = full(5000, 1.0)
        dist.all_reduce(t, group=evens)
        same(t, (world + 1) // 2)
        assert dist.get_rank(evens) == rank // 2
    else:
        assert evens is dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(evens) == -1
    everyone = dist.new_group()
    works = []
    tensors = [full(1000 * (i + 1), float(rank)) for i in range(6)]
    for i, t in enumerate(tensors):  # two groups, many at once
        works.append(dist.all_reduce(t, group=everyone if i % 2 else None, async_op=True))
    for work, t in zip(works, tensors, strict=True):
        assert work.get_future().wait()[0] is t and work.wait()
        same(t, world * (world - 1) / 2)
    dist.destroy_process_group(everyone)


def same_bits_everywhere():
    torch.manual_seed(rank)
    t = torch.randn(50_001)
    whole, pieces = t.clone(), t.clone()
    dist.all_reduce(whole)
    for start in range(0, t.numel(), 777):
        dist.all_reduce(pieces[start : start + 777])
    assert whole.numpy().tobytes() == pieces.numpy().tobytes()
    seen = [None] * world
    dist.all_gather_object(seen, whole.numpy().tobytes())
    assert len(set(seen)) == 1


for check in (
    reductions,
    half_sums_are_made_in_float,
    moves,
    messages,
    objects,
    groups,
    same_bits_everywhere,
):
    check()
dist.destroy_process_group()
dist.init_process_group()  # once more
dist.barrier()
print("RANK DONE", flush=True)
