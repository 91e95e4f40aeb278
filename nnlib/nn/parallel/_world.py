"""``deterministic="world"``: the same bits for any number of ranks on the same global batch.

Note [Virtual shards]
The global batch is cut into a fixed number of shards, the same ones for any number of ranks: each rank runs
those that lie in its part of the batch, one after the other. Every shard has its own gradient of each
parameter, and the gradients are added up in one binary tree over all shards: the lower levels on each rank,
the upper ones over the ranks. What is left of the number of ranks is a power of two: a mean over a rank's part
has a gradient larger by it than the mean over the whole batch, and the average over the ranks divides by it.
Powers of two change no digits.
"""

import contextlib

from ... import _C
from ... import distributed as dist
from ...autograd import Function
from ...distributed.gathers import all_gather
from ...distributed.objects import broadcast_object_list
from ...random import fork_rng, initial_seed, manual_seed
from ..modules.batchnorm import _BatchNorm
from ..modules.instancenorm import _InstanceNorm
from ..utils.stateless import _replaced
from ._outputs import find_tensors, replace_tensors
from .scatter_gather import gather

ORDERS = ("blocks", "interleaved")
_MASK = (1 << 64) - 1
_AT_ONCE = (
    _MASK - 1
)  # the sequence number of nodes that run before all others but those that accumulate gradients


def check_choice(deterministic, virtual_shards, shard_order, size):
    """Raises where the arguments of DistributedDataParallel do not fit each other or the number of ranks."""
    if deterministic not in (None, "world"):
        raise ValueError(f'expected deterministic to be None or "world", but got {deterministic!r}')
    if isinstance(virtual_shards, bool) or not isinstance(virtual_shards, int):
        raise TypeError(f"expected virtual_shards to be an int, but got {virtual_shards!r}")
    if virtual_shards < 1 or virtual_shards & (virtual_shards - 1):
        raise ValueError(f"expected virtual_shards to be a power of two, but got {virtual_shards}")
    if shard_order not in ORDERS:
        raise ValueError(f"expected shard_order to be one of {ORDERS}, but got {shard_order!r}")
    if deterministic and virtual_shards % size:
        raise ValueError(
            f'deterministic="world" divides {virtual_shards} virtual shards among the ranks of the group, but '
            f"there are {size}: their number must be a power of two, and no more than the shards"
        )


def refuse(what):
    """Raises for what depends on how the batch is divided."""
    raise RuntimeError(f'deterministic="world" does not work with {what}')


def in_pairs(values, stride):
    """The sum of values (None: nothing) in a binary tree that adds value i and i + `stride` first.

    `stride` 1 adds neighbours, then neighbouring pairs; half of the number adds the two halves, then theirs.
    """
    values = list(values)
    while len(values) > 1:
        half = len(values) // 2
        pairs = [(2 * i, 2 * i + 1) if stride == 1 else (i, i + half) for i in range(half)]
        values = [_add(values[a], values[b]) for a, b in pairs]
    return values[0]


def _add(a, b):
    if a is None or b is None:
        return b if a is None else a
    return a + b


class _Shards(Function):
    """Each parameter once for every shard, as an alias. Backward adds the shards' gradients in the tree."""

    @staticmethod
    def forward(ctx, n, stride, *parameters):
        ctx.set_materialize_grads(False)
        ctx.n, ctx.stride, ctx.count = n, stride, len(parameters)
        return tuple(p.detach() for _ in range(n) for p in parameters)

    @staticmethod
    def backward(ctx, *grads):
        sums = (in_pairs(grads[i :: ctx.count], ctx.stride) for i in range(ctx.count))
        return (None, None, *sums)


def halves(length, n):
    """The lengths of n parts (a power of two), cut in half again and again, so that halves have equal parts."""
    if n == 1:
        return [length]
    return halves(length - length // 2, n // 2) + halves(length // 2, n // 2)


def _mixed(value):
    """A 64-bit number of which every bit depends on every bit of `value` (splitmix64, Steele et al., 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class WorldShards:
    """Runs a module shard by shard. See note [Virtual shards].

    Args:
        module (Module): the module; `named` its (name, parameter) pairs that are trained.
        group (ProcessGroup): the ranks.
        count (int): shards of the global batch, over all ranks.
        order (str): which samples of the global batch a rank has: "blocks" or "interleaved".
        buckets (list of list of int): which of the parameters travel together.
    """

    def __init__(self, module, named, group, count, order, buckets):
        self.module, self.named, self.order, self.buckets = module, named, order, buckets
        self.size, self.rank = group.size(), group.rank()
        self.local = count // self.size
        self.stride = 1 if order == "blocks" else 2
        seed = [initial_seed()]
        if self.size > 1:
            broadcast_object_list(seed, group=group, group_src=0)
        self.seed, self.step = seed[0], 0

    def run(self, inputs, kwargs):
        """What the module returns for a rank's part of the batch."""
        self._refuse_batch_statistics()
        versions = self._versions()
        parts = self._split(inputs, kwargs)
        forms = self._forms()
        outputs = []
        for s, (args, named) in enumerate(parts):
            if args is not None:
                with self._generator(s), self._in_place_of_parameters(forms[s]):
                    outputs.append(self.module(*args, **named))
        self.step += 1
        self._refuse_changes(versions)
        return outputs[0] if self.local == 1 else self._join(outputs, [size for size in self.sizes if size])

    def _forms(self):
        """For each local shard the parameters' aliases. Those of a bucket have a node of the graph together, which runs
        as soon as their gradients are there: their average then goes on beside the rest of backward."""
        forms = [[None] * len(self.named) for _ in range(self.local)]
        for members in self.buckets:
            flat = _Shards.apply(self.local, self.stride, *(self.named[i][1] for i in members))
            flat[0].grad_fn._set_sequence_nr(_AT_ONCE)
            for k, form in enumerate(flat):
                forms[k // len(members)][members[k % len(members)]] = form
        return forms

    # ---- what a shard is

    def _split(self, inputs, kwargs):
        """The arguments of each local shard; None in their place for a shard without samples."""
        tensors = [t for t in find_tensors((inputs, kwargs)) if t.dim() > 0]
        lengths = {len(t) for t in tensors}
        if len(lengths) != 1:
            raise ValueError(
                'with deterministic="world" the tensors given to the module are split along their first '
                f"dimension, which must be the batch in all of them, but their sizes are {sorted(lengths)}"
            )
        length = lengths.pop()
        if self.order == "blocks":
            self.sizes = halves(length, self.local)
            starts = [sum(self.sizes[:s]) for s in range(self.local)]
            cuts = [slice(start, start + n) for start, n in zip(starts, self.sizes, strict=True)]
        else:
            cuts = [slice(s, None, self.local) for s in range(self.local)]
            self.sizes = [len(range(length)[cut]) for cut in cuts]
        if length == 0:  # somebody has to make an output of no samples
            return [(inputs, kwargs)] + [(None, None)] * (self.local - 1)
        found = list(find_tensors((inputs, kwargs)))
        return [
            replace_tensors((inputs, kwargs), iter([t[cut] if t.dim() > 0 else t for t in found]))
            if n
            else (None, None)
            for cut, n in zip(cuts, self.sizes, strict=True)
        ]

    def _join(self, outputs, sizes):
        """The shards' outputs in the order of the rank's samples; scalars as a vector."""
        joined = gather(outputs)
        if self.order == "blocks" or len(outputs) == 1:
            return joined
        total = sum(sizes)
        places = [place for s in range(len(sizes)) for place in range(s, total, self.local)]
        back = _C.tensor(sorted(range(total), key=places.__getitem__))
        tensors = list(find_tensors(joined))
        scalars = [t.dim() == 0 for t in find_tensors(outputs[0])]
        return replace_tensors(
            joined, iter([t if one else t[back] for t, one in zip(tensors, scalars, strict=True)])
        )

    @contextlib.contextmanager
    def _generator(self, s):
        """Random numbers of the s-th local shard: those of its place in the global batch and of the step."""
        shard = self.rank * self.local + s if self.order == "blocks" else s * self.size + self.rank
        with fork_rng():
            manual_seed(_mixed(_mixed(self.seed + self.step) + shard) >> 1)
            yield

    def _in_place_of_parameters(self, tensors):
        by_parameter = {id(p): t for (_, p), t in zip(self.named, tensors, strict=True)}
        places = self.module.named_parameters(remove_duplicate=False)
        return _replaced(
            self.module, {name: by_parameter[id(p)] for name, p in places if id(p) in by_parameter}
        )

    # ---- what cannot be the same for any number of ranks

    def _refuse_batch_statistics(self):
        for name, part in self.module.named_modules():
            if not isinstance(part, _BatchNorm | _InstanceNorm):
                continue
            instance = isinstance(part, _InstanceNorm)
            if (part.training and (part.track_running_stats or not instance)) or (
                not instance and part.running_mean is None
            ):
                raise RuntimeError(
                    f'deterministic="world" does not work with statistics of the batch, which "{name}" '
                    f"({type(part).__name__}) takes: they depend on how the batch is divided. Use GroupNorm or "
                    "LayerNorm, or call eval() on it"
                )

    def _versions(self):
        tensors = {**dict(self.module.named_buffers()), **dict(self.module.named_parameters())}
        return {name: (t, t._version) for name, t in tensors.items()}

    def _refuse_changes(self, before):
        for name, (tensor, version) in before.items():
            if tensor._version != version:
                raise RuntimeError(
                    f'deterministic="world" does not work with changes in forward, but "{name}" was changed in '
                    "place: each shard would find what the shards before it on its rank left"
                )


def tree_average_hook(order, bucket, group):
    """The average of a bucket over the ranks, summed in the upper levels of the tree."""
    buffer, size = bucket.buffer(), group.size()
    if size == 1:
        work = dist.all_reduce(buffer, dist.ReduceOp.SUM, group, async_op=True)
        return work.get_future().then(lambda done: done.value()[0])
    parts = [_C.empty_like(buffer) for _ in range(size)]
    work = all_gather(parts, buffer, group, async_op=True)
    stride = 1 if order == "blocks" else 2

    def finish(done):
        done.value()
        return buffer.copy_(in_pairs(parts, stride).div_(size))

    return work.get_future().then(finish)
