"""What goes with training on several ranks: clipped gradients, the sampler, old argument orders, handles."""

import warnings

import nnlib
import nnlib.distributed as dist
from nnlib import nn
from nnlib.nn.parallel import DistributedDataParallel
from nnlib.utils.data import DistributedSampler

dist.init_process_group("mpi")
rank, world = dist.get_rank(), dist.get_world_size()


def on_all_ranks(value):
    seen = [None] * world
    dist.all_gather_object(seen, value)
    return seen


def clipped_norms_agree():
    nnlib.manual_seed(0)
    net = DistributedDataParallel(nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)))
    x = nnlib.randn(4 * world, 5)
    for norm_type in (2.0, 1.0, float("inf")):
        net.zero_grad()
        net(x[rank::world]).pow(2).mean().backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 0.01, norm_type)
        bits = norm.item().hex() + "".join(p.grad.numpy().tobytes().hex() for p in net.parameters())
        assert len(set(on_all_ranks(bits))) == 1
        after = nn.utils.get_total_norm([p.grad for p in net.parameters()], norm_type)
        assert abs(after.item() - 0.01) < 1e-5
        alone = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
        alone.load_state_dict(net.module.state_dict())
        alone(x).pow(2).mean().backward()
        assert abs(nn.utils.get_total_norm([p.grad for p in alone.parameters()], norm_type) - norm) < 1e-5


def clipping_fails_on_all_ranks_together():
    net = DistributedDataParallel(nn.Linear(2, 1))
    x = nnlib.full((1, 2), float("nan") if rank == world - 1 else 1.0)
    net(x).sum().backward()
    try:
        nn.utils.clip_grad_norm_(net.parameters(), 1.0, error_if_nonfinite=True)
    except RuntimeError as error:
        assert "non-finite" in str(error)
    else:
        raise AssertionError("the average of a NaN is one on every rank")


def sampler_deals_to_the_group():
    sampler = DistributedSampler(range(13), seed=2)
    assert (sampler.rank, sampler.num_replicas) == (rank, world)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        dealt = on_all_ranks(list(sampler))
        assert len({len(part) for part in dealt}) == 1 and {i for part in dealt for i in part} == set(
            range(13)
        )
    cut = on_all_ranks(list(DistributedSampler(range(13), drop_last=True)))
    together = [i for part in cut for i in part]
    assert len(together) == len(set(together)) == 13 // world * world


def old_argument_orders():
    net, group = nn.Linear(2, 2), dist.group.WORLD
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        second = nn.DistributedDataParallel(net, group)
        sixth = nn.parallel.DistributedDataParallel(net, None, None, 0, False, group, 13, True, True)
    texts = [str(w.message) for w in seen if w.category is DeprecationWarning]
    assert sum("by position" in text for text in texts) == len(texts) == 2, texts
    assert second.process_group is sixth.process_group is group
    assert sixth.bucket_bytes_cap == 13 << 20 and sixth.find_unused_parameters and not sixth.broadcast_buffers
    assert sixth.check_reduction and not second.check_reduction
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        today = nn.parallel.DistributedDataParallel(net, None, None, 0, True, True, group, 13)
    assert today.process_group is group and today.bucket_bytes_cap == 13 << 20
    for wrong in ({"device_ids": [0]}, {"output_device": 0}):
        try:
            nn.parallel.DistributedDataParallel(net, **wrong)
        except ValueError as error:
            assert "must be None" in str(error)
        else:
            raise AssertionError(f"{wrong} was taken")
    nn.parallel.DistributedDataParallel(net, device_ids=[])


def handles():
    values = [nnlib.full((n,), float(rank + 1)) for n in (1, 1000, 300_000)]
    works = [dist.all_reduce(v, async_op=True) for v in values]
    for work, value in zip(works[::-1], values[::-1], strict=True):
        assert work.wait() and work.wait() and work.is_completed() and work.is_success()
        assert value.eq(world * (world + 1) / 2).all() and work.result()[0] is value
        assert work.exception() is None
    parts = [nnlib.empty(3) for _ in range(world)]
    future = dist.all_gather(parts, nnlib.full((3,), float(rank)), async_op=True).get_future()
    assert future.then(lambda f: len(f.value())).wait() == world
    assert [p[0].item() for p in parts] == list(range(world))
    group = dist.new_group([0])
    if rank == 0:
        assert dist.barrier(group, async_op=True).wait()
    else:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert dist.all_reduce(nnlib.ones(1), group=group, async_op=True) is None
        assert "outside of the given group" in str(seen[0].message)


def devices():
    nnlib.set_device_partition(2)
    for view in (False, True):
        net = DistributedDataParallel(nn.Linear(3, 2).to("cpu:1"), gradient_as_bucket_view=view)
        for _ in range(2):
            net.zero_grad()
            net(nnlib.full((1, 3), float(rank))).sum().backward()
            assert {p.grad.device.index for p in net.parameters()} == {1}
            assert net.module.weight.grad.eq((world - 1) / 2).all()
    inner = nn.DataParallel(nn.Linear(3, 2), [0, 1])
    net = DistributedDataParallel(inner)
    net(nnlib.full((4, 3), float(rank))).sum().backward()
    assert inner.module.weight.grad.eq(2 * (world - 1)).all()


for part in (
    devices,
    clipped_norms_agree,
    clipping_fails_on_all_ranks_together,
    sampler_deals_to_the_group,
    old_argument_orders,
    handles,
):
    try:
        part()
    except BaseException:
        print("in", part.__name__, flush=True)
        raise
print("RANK DONE", flush=True)
