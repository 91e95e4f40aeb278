"""SyncBatchNorm's other rules: empty parts, channels last, groups, conversion of whole models."""

import nnlib
from nnlib import distributed, nn

distributed.init_process_group("mpi")
rank, world = distributed.get_rank(), distributed.get_world_size()


def parts(rows):
    return slice(sum(rows[:rank]), sum(rows[: rank + 1]))


def compare(rows, shape, layout=None, group=None, mine=None, kind=nn.BatchNorm2d, **options):
    """One step on parts of a batch against a step on all rows of the group."""
    nnlib.manual_seed(1)
    x, grad = nnlib.randn(sum(rows), *shape) * 3 + 1, nnlib.randn(sum(rows), *shape)
    own = parts(rows)
    x, grad, own = (x, grad, own) if mine is None else (x[mine], grad[mine], slice(None))
    if layout is not None:
        x, grad = x.contiguous(memory_format=layout), grad.contiguous(memory_format=layout)
    whole = kind(shape[0], **options)
    sync = nn.SyncBatchNorm(shape[0], process_group=group, **options)
    everything, part = x.clone().requires_grad_(), x[own].clone().requires_grad_()
    expected, output = whole(everything), sync(part)
    (expected * grad).sum().backward()
    (output * grad[own]).sum().backward()
    assert nnlib.allclose(output, expected[own], atol=1e-5)
    assert nnlib.allclose(part.grad, everything.grad[own], atol=1e-5)
    if layout is not None and len(output):
        assert output.is_contiguous(memory_format=layout) and part.grad.is_contiguous(memory_format=layout)
    for name, buffer in whole.named_buffers():
        assert nnlib.allclose(getattr(sync, name).double(), buffer.double(), atol=1e-5), name
    for name, parameter in whole.named_parameters():
        total = getattr(sync, name).grad.clone()
        distributed.all_reduce(total, group=group)
        assert nnlib.allclose(total, parameter.grad, atol=1e-3), name


rows = [3 + r for r in range(world)]
compare(rows, (4, 5, 3))
compare(rows, (4, 5, 3), momentum=None)
compare(rows, (4, 5, 3), affine=False, eps=0.1)
compare(rows, (4, 5, 3), track_running_stats=False)
compare(rows, (4, 5, 3), layout=nnlib.channels_last)
compare(rows, (2, 3, 2, 2), kind=nn.BatchNorm3d, layout=nnlib.channels_last_3d)
compare(rows, (6,), kind=nn.BatchNorm1d)
if world > 1:
    compare([0] + rows[1:], (4, 2, 2))  # one rank has nothing
    compare([1] + [0] * (world - 1), (4, 3, 3))  # only one has something
    alone = [distributed.new_group([r]) for r in range(world)][rank]
    compare([4] * world, (3, 2, 2), group=alone, mine=slice(4 * rank, 4 * rank + 4))


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm3d(2, eps=0.01, momentum=0.3)
        self.kept = nn.GroupNorm(1, 2)


net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, affine=False), Inner()).eval()
weight = net[2].norm.weight
group = distributed.new_group(list(range(world)))
converted = nn.SyncBatchNorm.convert_sync_batchnorm(net, group)
assert converted is net and type(net[1]) is type(net[2].norm) is nn.SyncBatchNorm
assert net[2].norm.weight is weight and net[2].norm.eps == 0.01 and net[2].norm.momentum == 0.3
assert net[1].weight is None and not net[1].training and net[1].process_group is group
assert isinstance(net[2].kept, nn.GroupNorm)
try:
    nn.SyncBatchNorm(2)(nnlib.zeros(3))
except ValueError as error:
    assert "at least 2D" in str(error)
else:
    raise AssertionError("one dimension is too few")
print("RANK DONE", flush=True)
