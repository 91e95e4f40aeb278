"""Gradients through collectives: each rank's loss is a weighted sum of what it got, the weights differ by rank."""

import nnlib as torch
import nnlib.distributed as dist
from nnlib.distributed.nn import functional as F

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()
SHAPE = (3, 50)  # above what travels with a signature


def draw(seed, *shape):
    torch.manual_seed(seed)
    return torch.randn(*(shape or SHAPE))


def values(r, place=0):
    return draw(100 + 10 * r + place)


def weights(r, place=0):
    return draw(500 + 10 * r + place)


def close(a, b):
    torch.testing.assert_close(a, b)


def leaf(place=0):
    return values(rank, place).requires_grad_()


def total(of, ranks=range(world)):
    return sum(of(r) for r in ranks)


def one_tensor():
    last = world - 1
    x = leaf()
    y = F.all_reduce(x)
    close(y.detach(), total(values))
    close(x.detach(), values(rank))
    (y * weights(rank)).sum().backward()
    close(x.grad, total(weights))
    x = leaf()
    (F.all_reduce(x, dist.ReduceOp.AVG) * weights(rank)).sum().backward()
    close(x.grad, total(weights) / world)
    x = leaf()
    y = F.broadcast(x, last)
    close(y.detach(), values(last))
    (y * weights(rank)).sum().backward()
    close(x.grad, total(weights) if rank == last else torch.zeros(SHAPE))
    x = leaf()
    y = F.reduce(x, last)
    if rank == last:
        close(y.detach(), total(values))
    (y * weights(rank)).sum().backward()
    close(x.grad, weights(last))
    try:
        F.all_reduce(x, dist.ReduceOp.MAX)
    except NotImplementedError as error:
        assert "SUM and AVG alone" in str(error)
    else:
        raise AssertionError("nothing was said")


def lists():
    last = world - 1
    x = leaf()
    parts = F.all_gather(x)
    assert len(parts) == world
    sum((p * weights(rank, place)).sum() for place, p in enumerate(parts)).backward()
    for r, part in enumerate(parts):
        close(part.detach(), values(r))
    close(x.grad, total(lambda r: weights(r, rank)))
    x = leaf()
    parts = F.gather(x, last)
    sum((p * weights(rank, place)).sum() for place, p in enumerate(parts)).backward()
    close(x.grad, weights(last, rank))
    xs = [leaf(place) for place in range(world)]
    y = F.scatter(xs, last)
    close(y.detach(), values(last, rank))
    (y * weights(rank)).sum().backward()
    for r, x in enumerate(xs):
        close(x.grad, weights(r) if rank == last else torch.zeros(SHAPE))
    for op, share in ((dist.ReduceOp.SUM, 1), (dist.ReduceOp.AVG, world)):
        xs = [leaf(place) for place in range(world)]
        y = F.reduce_scatter(torch.empty(SHAPE), xs, op)
        close(y.detach(), total(lambda r: values(r, rank)) / share)
        (y * weights(rank)).sum().backward()
        for r, x in enumerate(xs):
            close(x.grad, weights(r) / share)
    xs = [leaf(place) for place in range(world)]
    ys = F.all_to_all([torch.empty(SHAPE) for _ in range(world)], xs)
    sum((y * weights(rank, place)).sum() for place, y in enumerate(ys)).backward()
    for r, (x, y) in enumerate(zip(xs, ys, strict=True)):
        close(y.detach(), values(r, rank))
        close(x.grad, weights(r, rank))


def uneven_rows():
    """Rank r sends r + 1 rows to every rank."""
    x = draw(rank, world * (rank + 1), 40).requires_grad_()
    sizes = [r + 1 for r in range(world)]
    like = torch.empty(sum(sizes), 40)
    y = F.all_to_all_single(like, x, sizes, [rank + 1] * world)
    expected = [draw(r, world * (r + 1), 40)[rank * (r + 1) : (rank + 1) * (r + 1)] for r in range(world)]
    close(y.detach(), torch.cat(expected))
    (y * (rank + 1.0)).sum().backward()
    for r in range(world):
        rows = x.grad[r * (rank + 1) : (r + 1) * (rank + 1)]
        close(rows, torch.full((rank + 1, 40), r + 1.0))


for check in (one_tensor, lists, uneven_rows):
    check()
print("RANK DONE", flush=True)
