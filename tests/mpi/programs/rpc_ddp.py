"""Trainers with DistributedDataParallel, and a worker that keeps an embedding for them."""

import nnlib as torch
import nnlib.distributed as dist
import nnlib.distributed.autograd as dist_autograd
import nnlib.distributed.rpc as rpc
from nnlib import nn
from nnlib.distributed.nn import RemoteModule
from nnlib.distributed.optim import DistributedOptimizer
from nnlib.nn.parallel import DistributedDataParallel as DDP

dist.init_process_group("mpi", timeout=30)
rank, world = dist.get_rank(), dist.get_world_size()
trainers = list(range(world - 1))
group = dist.new_group(trainers)
rpc.init_rpc("keeper" if rank == world - 1 else f"trainer{rank}")
LR = 0.5


def layers(sparse):
    torch.manual_seed(0)
    return nn.EmbeddingBag(20, 6, mode="sum", sparse=sparse), nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)
    )


def make_embedding(sparse):
    return layers(sparse)[0]


def inputs(trainer, step):
    torch.manual_seed(10 * step + trainer)
    return torch.randint(0, 20, (4, 3)), torch.randn(4, 2)


def weight(rref):
    return rref.local_value().weight.detach().clone()


def has_no_grad(rref):
    return rref.local_value().weight.grad is None


handed_over = []


def hand_over(rref):
    handed_over.append(rref)


def train(remote, back):
    """The embedding takes each trainer's step, one after the other; the rest the average of the gradients."""
    net = DDP(nn.Sequential(nn.Identity(), back), process_group=group, bucket_cap_mb=0.0001)
    rrefs = remote.remote_parameters() + [rpc.RRef(p) for p in net.parameters()]
    optimizer = DistributedOptimizer(torch.optim.SGD, rrefs, lr=LR)
    for step in range(3):
        words, target = inputs(rank, step)
        with dist_autograd.context() as context_id:
            hidden = rpc.rpc_sync("keeper", torch.mul, (remote(words), 2.0))  # two ways there and back
            loss = nn.functional.mse_loss(net(hidden), target)
            dist_autograd.backward(context_id, [loss])
            dist.barrier(group)  # all have read the embedding
            for turn in trainers:
                if turn == rank:
                    optimizer.step(context_id)
                dist.barrier(group)
    assert all(p.grad is None for p in net.parameters())
    return net.module[1]


def reference(sparse):
    """The same in one process."""
    embedding, back = layers(sparse)
    for step in range(3):
        for module in (embedding, back):
            module.zero_grad()
        for trainer in trainers:
            words, target = inputs(trainer, step)
            nn.functional.mse_loss(back(2.0 * embedding(words)), target).backward()
        with torch.no_grad():
            grad = embedding.weight.grad
            embedding.weight -= LR * (grad.to_dense() if sparse else grad)
            for p in back.parameters():
                p -= LR * p.grad / len(trainers)
    return embedding, back


def close(a, b):
    assert float((a - b).detach().abs().max()) < 1e-5


if rank in trainers:
    for sparse in (False, True):
        owned = [None]
        if rank == 0:
            owned = [rpc.remote("keeper", make_embedding, (sparse,))]
            for other in trainers[1:]:
                rpc.rpc_sync(f"trainer{other}", hand_over, (owned[0],))
        dist.barrier(group)
        remote = RemoteModule.init_from_module_rref(
            "keeper/cpu", owned[0] if rank == 0 else handed_over.pop()
        )
        back = train(remote, layers(sparse)[1])
        embedding, expected = reference(sparse)
        close(rpc.rpc_sync("keeper", weight, (remote.get_module_rref(),)), embedding.weight)
        assert rpc.rpc_sync("keeper", has_no_grad, (remote.get_module_rref(),))
        for p, q in zip(back.parameters(), expected.parameters(), strict=True):
            close(p, q)
        dist.barrier(group)

    # A remote module by itself.
    remote = RemoteModule(f"rank:{world - 1}/cpu", nn.Dropout, (0.999,))
    ones = torch.ones(50)
    assert remote.on == "keeper" and "keeper" in repr(remote)
    assert float(remote(ones).max()) != 1.0
    remote.eval()
    assert bool((remote.forward_async(ones).wait() == 1).all()) and remote.remote_parameters() == []
    other = rpc.rpc_sync("trainer0", getattr, (remote, "on"))  # goes as an argument
    assert other == "keeper"
    for call, error in (
        (remote.parameters, ValueError),
        (remote.state_dict, ValueError),
        (lambda: RemoteModule("keeper", torch.ones, (2,)), ValueError),
        (lambda: RemoteModule("keeper/cuda:0", nn.Identity), ValueError),
        (lambda: RemoteModule("nobody", nn.Identity), RuntimeError),
        (lambda: RemoteModule(3, nn.Identity), TypeError),
        (lambda: RemoteModule.init_from_module_rref("trainer0", remote.module_rref), ValueError),
    ):
        try:
            call()
        except error:
            continue
        raise AssertionError("nothing was said")
rpc.shutdown()
print("RANK DONE", flush=True)
