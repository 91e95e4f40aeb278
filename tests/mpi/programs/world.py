"""Trains with deterministic="world" and prints a digest of the weights: the same on any number of ranks."""

import hashlib
import sys

import nnlib
import nnlib.distributed as dist
from nnlib import nn
from nnlib.nn import functional as F
from nnlib.nn.parallel import DistributedDataParallel
from nnlib.utils.data import DataLoader, DistributedSampler, TensorDataset

dist.init_process_group("mpi")
rank, size = dist.get_rank(), dist.get_world_size()


def digest(net):
    state = hashlib.sha256()
    for value in net.state_dict().values():
        state.update(value.float().numpy().tobytes())
    return state.hexdigest()[:24]


def data(*shape, classes=5):
    g = nnlib.Generator().manual_seed(11)
    return nnlib.randn(*shape, generator=g), nnlib.randint(classes, (shape[0],), generator=g)


def block(x):
    n = len(x) // size
    return x[rank * n : (rank + 1) * n]


def train(make, batch, loss_of, steps=4, **options):
    """The weights after some steps on one global batch, of which each rank has its block."""
    nnlib.manual_seed(7 + rank)  # rank 0's weights and seed count
    net = DistributedDataParallel(make(), deterministic="world", **options)
    optimizer = nnlib.optim.AdamW(net.parameters(), lr=0.02)
    nnlib.rand(rank + 1)  # what ranks draw themselves is no part of it
    mine = [block(t) for t in batch]
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(net, *mine).backward()
        optimizer.step()
    assert net.shard_step == steps
    weights = digest(net.module)
    everyone = [None] * size
    dist.all_gather_object(everyone, weights)
    assert len(set(everyone)) == 1, everyone
    return weights


def classify(net, x, y):
    out = net(x)
    assert len(out) == len(x)
    return F.cross_entropy(out, y)


class ConvNet(nn.Module):
    def __init__(self, unused=False):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.GELU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.InstanceNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip
        self.head = nn.Linear(8, 5)
        self.unused = nn.Linear(2, 2) if unused else None

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 7, batch_first=True)
        self.attention = nn.TransformerEncoderLayer(7, 1, 9, dropout=0.2, batch_first=True)
        self.head = nn.Linear(7, 7)
        self.tied = nn.Linear(7, 7)
        self.tied.weight = self.head.weight

    def forward(self, x):
        return self.tied(self.head(self.attention(self.lstm(x)[0])))[:, -1, :5]


class WithLoss(nn.Module):
    """Gives the loss of each shard, and something nested."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 5)

    def forward(self, x, *, target):
        return {"loss": F.cross_entropy(self.net(x["x"]), target), "x": (x["x"],)}


def with_loss(net, x, y):
    out = net({"x": x}, target=y)
    assert nnlib.equal(out["x"][0], x)
    return out["loss"].mean()


def sampled():
    """Interleaved: what a DistributedSampler deals, shuffled, over two epochs with a small last batch."""
    nnlib.manual_seed(7)
    model = nn.Sequential(nn.Linear(6, 9), nn.Dropout(0.5), nn.Tanh(), nn.Linear(9, 5))
    net = DistributedDataParallel(model, deterministic="world", shard_order="interleaved")
    optimizer = nnlib.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    rows = TensorDataset(*data(44, 6))
    sampler = DistributedSampler(rows, shuffle=True, seed=3)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for x, y in DataLoader(rows, batch_size=16 // size, sampler=sampler):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    return digest(model)


def order_of_outputs():
    """The outputs are those of the module for the rank's samples, in their order."""
    net = nn.Linear(3, 2)
    x = nnlib.randn(7, 3)
    for order in ("blocks", "interleaved"):
        wrapped = DistributedDataParallel(net, deterministic="world", virtual_shards=8, shard_order=order)
        assert nnlib.allclose(wrapped(x), net(x), atol=1e-6), order
        assert wrapped(x[:0]).shape == (0, 2) and wrapped(x[:1]).shape == (1, 2)
        with nnlib.no_grad():
            assert nnlib.equal(wrapped(x), net(x))


def averages_begin_during_backward():
    """When the input gets its gradient, last of all, most buckets are on their way."""
    net = DistributedDataParallel(mlp(), deterministic="world", bucket_cap_mb=1e-5)
    started = []
    for _ in range(3):
        x = data(16, 6)[0].requires_grad_()
        x.register_hook(lambda _: started.append(net.reducer.buckets_started()))
        net(x).sum().backward()
        assert started[-1] >= len(net.reducer.bucket_sizes()) - 2 > 0, started


def mlp():
    layers = [nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.LayerNorm(16), nn.Linear(16, 5)]
    return nn.Sequential(*layers)


found = {
    "mlp": train(mlp, data(16, 6), classify),
    "views": train(mlp, data(16, 6), classify, gradient_as_bucket_view=True, bucket_cap_mb=0.0001),
    "eight": train(mlp, data(20, 6), classify, virtual_shards=8),
    "double": train(lambda: mlp().double(), [data(8, 6)[0].double(), data(8, 6)[1]], classify),
    "conv": train(ConvNet, data(12, 3, 8, 8), classify),
    "unused": train(lambda: ConvNet(True), data(12, 3, 8, 8), classify, find_unused_parameters=True),
    "static": train(ConvNet, data(12, 3, 8, 8), classify, static_graph=True),
    "recurrent": train(Recurrent, data(8, 4, 6), classify),
    "loss": train(WithLoss, data(16, 6), with_loss),
    "sampled": sampled(),
}
assert found["mlp"] == found["views"] != found["eight"]
assert found["conv"] == found["static"]
order_of_outputs()
averages_begin_during_backward()
# In one piece: lines of several ranks mix.
sys.stdout.write((f"BITS {sorted(found.items())}\n" if rank == 0 else "") + "RANK DONE\n")
sys.stdout.flush()
