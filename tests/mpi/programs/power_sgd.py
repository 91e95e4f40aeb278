"""PowerSGD on every rank."""

import copy
import pickle

from across import bits, everywhere

import nnlib as torch
import nnlib.distributed as dist
from nnlib import nn
from nnlib.distributed.algorithms.ddp_comm_hooks import default_hooks
from nnlib.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import (
    PowerSGDState,
    batched_powerSGD_hook,
    powerSGD_hook,
)
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()


def fresh():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 3))


def train(net, steps, first=0, samples=8):
    """Learns a function; gives the losses of the last batches."""
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.1), []
    for step in range(first, first + steps):
        torch.manual_seed(100 * step + rank)
        x = torch.randn(samples, 30)
        optimizer.zero_grad()
        loss = (net(x) - x[:, :3]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return sum(losses[-5:]) / 5


def wrapped(hook, state, **options):
    net = DDP(fresh(), bucket_cap_mb=0.005, **options)  # several buckets
    net.register_comm_hook(state, hook)
    return net


# What has a low rank is averaged as it is: a sample gives each layer a gradient of rank one.
plain = DDP(fresh())
exact = wrapped(
    powerSGD_hook, PowerSGDState(None, world, 2, min_compression_rate=0.5, orthogonalization_epsilon=1e-12)
)
for net in (plain, exact):
    train(net, 6, samples=1)
assert len(set(everywhere(bits(exact)))) == 1
for p, q in zip(plain.parameters(), exact.parameters(), strict=True):
    assert float((p - q).detach().abs().max()) < 1e-4

# What has not is approximated: all ranks alike, and what was left out comes later.
for hook, options, wrapper in (
    (powerSGD_hook, {}, None),
    (powerSGD_hook, {"matrix_approximation_rank": 3, "batch_tensors_with_same_shape": True}, None),
    (powerSGD_hook, {"warm_start": False}, None),
    (powerSGD_hook, {"use_error_feedback": False, "warm_start": False, "start_powerSGD_iter": 0}, None),
    (batched_powerSGD_hook, {"matrix_approximation_rank": 2}, None),
    (powerSGD_hook, {}, default_hooks.bf16_compress_wrapper),
):
    state = PowerSGDState(None, **{"start_powerSGD_iter": 3, "min_compression_rate": 1.5, **options})
    net = wrapped(wrapper(hook) if wrapper else hook, state)
    before = train(net, 5)
    assert len(set(everywhere(bits(net)))) == 1
    assert bits(net) != bits(DDP(fresh())) and state.iter == 5
    after = train(net, 60, first=5)
    assert after < 0.8 * before, (hook, options, before, after)
    rate, values, sent = state.compression_stats()
    assert rate > 1.4 and values / sent == rate
    assert (
        bool(state.error_dict) == state.use_error_feedback and bool(state.q_memory_dict) == state.warm_start
    )

# A saved state goes on with another module, whose buckets are those of the first after two passes.
state = PowerSGDState(None, 2, 2)
net = wrapped(powerSGD_hook, state)
train(net, 5)
saved, module = pickle.loads(pickle.dumps(state)), copy.deepcopy(net.module)
assert saved.iter == 5 and saved.process_group is None
again = DDP(module, bucket_cap_mb=0.005)
again.register_comm_hook(saved, powerSGD_hook)
train(again, 2)
assert saved.iter == 7
for i, error in state.error_dict.items():
    assert bool((saved.error_dict[i] == error).all())  # as it was, for two passes without compression
train(again, 3)
assert all(bool((saved.error_dict[i] != error).any()) for i, error in state.error_dict.items())
assert len(set(everywhere(bits(again)))) == 1

for arguments in ((1, 1), (0, 5)):
    try:
        PowerSGDState(None, *arguments)
    except ValueError:
        continue
    raise AssertionError("nothing was said")
dist.barrier()
print("RANK DONE", flush=True)
