"""What DistributedDataParallel does besides averaging: agreeing on the start, keeping buffers together."""

import inspect

from .. import _C, cat, empty_like, int64, no_grad, sparse_coo_tensor, tensor, zeros
from ..futures import Future
from .collectives import broadcast
from .gathers import all_gather
from .objects import all_gather_object, broadcast_object_list

COALESCE_BYTES = 32 << 20
MIB = 1 << 20


def bucket_limits(bucket_cap_mb, bucket_cap_mb_list, first_mb):
    """Bucket sizes in bytes: of the first ones, and last that of all others."""
    if bucket_cap_mb_list is not None:
        sizes = list(bucket_cap_mb_list)
    else:
        cap = 25 if bucket_cap_mb is None else bucket_cap_mb
        sizes = [min(first_mb, cap), cap]
    if not sizes or any(isinstance(s, bool) or not isinstance(s, (int, float)) or s <= 0 for s in sizes):
        raise ValueError(f"expected bucket sizes above zero, in MiB, but got {sizes}")
    return [int(size * MIB) for size in sizes]


def trainable(module, ignore):
    """(name, parameter) of all parameters that require a gradient, each once."""
    return [(n, p) for n, p in module.named_parameters() if p.requires_grad and n not in ignore]


def sparse_flags(module, named):
    """For each parameter, whether a module says that its gradient will be sparse."""
    sparse = {
        id(parameter)
        for part in module.modules()
        if getattr(part, "sparse", False) is True
        for parameter in part.parameters(recurse=False)
    }
    return [id(parameter) in sparse for _, parameter in named]


def _described(module, ignore):
    return [
        (name, tuple(p.shape), str(p.dtype), bool(p.requires_grad), tuple(p.stride()))
        for name, p in module.named_parameters()
        if name not in ignore
    ]


def check_agreement(module, ignore, group):
    """Raises the same error on all ranks unless their parameters fit those of the group's first rank."""
    if group.size() == 1:
        return
    mine = _described(module, ignore)
    first = [mine]
    broadcast_object_list(first, group=group, group_src=0)
    problems = [None] * group.size()
    all_gather_object(problems, _difference(first[0], mine), group)
    wrong = [f"rank {group.ranks[r]} {problem}" for r, problem in enumerate(problems) if problem is not None]
    if wrong:
        raise RuntimeError(
            f"DistributedDataParallel needs the same parameters on every rank. Rank {group.ranks[0]} has "
            f"{len(first[0])} parameters; " + "; ".join(wrong)
        )


def _difference(first, mine):
    what = ("name", "shape", "dtype", "requires_grad", "strides")
    for i, (theirs, own) in enumerate(zip(first, mine, strict=False)):
        for label, a, b in zip(what, theirs, own, strict=True):
            if a != b:
                return f"has {label} {b} at parameter {i} ({own[0]}), where it is {a} ({theirs[0]}) there"
    if len(first) != len(mine):
        return f"has {len(mine)} parameters"
    return None


def agree(active, sync, group):
    """Over all ranks: how many are active, whether any averages, and the last active rank of the group."""
    seen = [empty_like(mine := tensor([int(active), int(sync)])) for _ in range(group.size())]
    all_gather(seen, mine, group)
    flags = [part.tolist() for part in seen]
    root = max((rank for rank, (alive, _) in enumerate(flags) if alive), default=0)
    return sum(alive for alive, _ in flags), any(sync for _, sync in flags), root


def broadcast_state(module, ignore, group, root=0):
    """Gives all ranks the weights and buffers of one rank of the group."""
    tensors = [p.detach() for n, p in module.named_parameters() if n not in ignore]
    broadcast_coalesced(tensors + _buffers(module, ignore), group, root)


def broadcast_buffers(module, ignore, group, root=0):
    """Gives all ranks the buffers of one rank of the group."""
    broadcast_coalesced(_buffers(module, ignore), group, root)


def _buffers(module, ignore):
    return [b.detach() for n, b in module.named_buffers() if b is not None and n not in ignore]


def broadcast_coalesced(tensors, group, root=0):
    """Broadcasts many tensors in few messages: small ones of one dtype travel together."""
    if group.size() == 1:
        return
    parts, sizes = {}, {}
    with no_grad():
        for part in tensors:
            key = part.dtype
            size = part.numel() * part.element_size()
            if size >= COALESCE_BYTES:
                broadcast(part, group=group, group_src=root)
                continue
            if sizes.get(key, 0) + size > COALESCE_BYTES:
                _broadcast_together(parts.pop(key), group, root)
                sizes[key] = 0
            parts.setdefault(key, []).append(part)
            sizes[key] = sizes.get(key, 0) + size
        for together in parts.values():
            _broadcast_together(together, group, root)


def _broadcast_together(tensors, group, root):
    if len(tensors) == 1:
        broadcast(tensors[0], group=group, group_src=root)
        return
    flat = cat([part.reshape(-1) for part in tensors])
    broadcast(flat, group=group, group_src=root)
    if group.rank() == root:
        return
    start = 0
    for part in tensors:
        part.copy_(flat[start : start + part.numel()].view(part.shape))
        start += part.numel()


def average_sparse(grad, parameter, group):
    """The average of the ranks' sparse gradients of a parameter; None stays None when no rank has one."""
    counts = [None] * group.size()
    if grad is not None:
        grad = grad.coalesce()
    all_gather_object(counts, None if grad is None else grad.indices().shape, group)
    known = [count for count in counts if count is not None]
    if not known:
        return None
    sparse_dim, longest = known[0][0], max(count for _, count in known)
    indices = zeros((sparse_dim, longest), dtype=int64)
    values = zeros((longest, *parameter.shape[sparse_dim:]), dtype=parameter.dtype)
    if grad is not None:
        mine = grad.indices().shape[1]
        indices[:, :mine] = grad.indices()
        values[:mine] = grad.values()
    lengths = [0 if count is None else count[1] for count in counts]
    indices = cat([part[:, :n] for part, n in _gathered(indices, lengths, group)], 1)
    values = cat([part[:n] for part, n in _gathered(values, lengths, group)])
    return sparse_coo_tensor(indices, values / group.size(), parameter.shape).coalesce()


def _gathered(mine, lengths, group):
    parts = [empty_like(mine) for _ in lengths]
    all_gather(parts, mine, group)
    return zip(parts, lengths, strict=True)


def native_group(group, bucket_bytes):
    """The native side of a process group: what the reducer hands its buckets to.

    Where the ranks share memory the buckets lie in it, so that they are summed in place.
    """
    memory = group.share_memory(bucket_bytes) if group.shares_memory() and bucket_bytes > 0 else None
    return _C._distributed.QueueGroup(group.queue.capsule(), group.size(), memory)


def check_comm_hook(hook):
    """Raises unless the hook can be called with (state, bucket) and says nothing else about its types."""
    from . import GradBucket

    if not callable(hook):
        raise TypeError("Communication hook must be callable.")
    signature = inspect.signature(hook)
    bucket = list(signature.parameters.values())[1:2]
    if bucket and bucket[0].annotation not in (
        inspect.Parameter.empty,
        GradBucket,
        "GradBucket",
        "dist.GradBucket",
    ):
        raise ValueError("Communication hook: bucket annotation should be dist.GradBucket.")


def native_hook(state, hook):
    """The hook as the reducer calls it, during backward: with a bucket that has to be finished later."""

    def call(bucket):
        future = hook(state, bucket)
        if not isinstance(future, Future):
            raise RuntimeError(
                "callback must return a torch.futures.Future object, but got " + type(future).__name__
            )

        def finish(done):
            try:
                bucket._finish(done.value())
            except Exception as error:
                bucket._fail(f"{type(error).__name__}: {error}")

        future.add_done_callback(finish)

    return call
