"""SyncBatchNorm on parts of a batch against BatchNorm on the whole, parts of different sizes."""

import nnlib
from nnlib import distributed, nn

distributed.init_process_group("mpi")
rank, world = distributed.get_rank(), distributed.get_world_size()
nnlib.manual_seed(0)
rows = [r + 1 for r in range(world)]
x, grad = nnlib.randn(sum(rows), 3, 4), nnlib.randn(sum(rows), 3, 4)

whole = nn.BatchNorm1d(3)
whole.weight.data.uniform_(0.5, 2)
sync = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(3)))[0]
assert type(sync) is nn.SyncBatchNorm
sync.load_state_dict(whole.state_dict())

all_rows = x.clone().requires_grad_()
expected = whole(all_rows)
(expected * grad).sum().backward()

own = slice(sum(rows[:rank]), sum(rows[: rank + 1]))
own_rows = x[own].clone().requires_grad_()
output = sync(own_rows)
(output * grad[own]).sum().backward()

assert nnlib.allclose(output, expected[own], atol=1e-5)
assert nnlib.allclose(own_rows.grad, all_rows.grad[own], atol=1e-5)
for name in ("running_mean", "running_var"):
    assert nnlib.allclose(getattr(sync, name), getattr(whole, name), atol=1e-6), name
weight_grad = sync.weight.grad.clone()
distributed.all_reduce(weight_grad)
assert nnlib.allclose(weight_grad, whole.weight.grad, atol=1e-4)
sync.eval()
assert nnlib.allclose(sync(x), whole.eval()(x), atol=1e-5)
print("RANK DONE")
distributed.destroy_process_group()
