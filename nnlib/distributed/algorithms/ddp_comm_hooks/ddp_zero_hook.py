"""Communication hooks that step a ZeroRedundancyOptimizer while gradients are still being averaged."""

from .... import cat, empty, no_grad
from ...collectives import broadcast

__all__ = ["hook_with_zero_step", "hook_with_zero_step_interleaved"]


def _owners(buckets, ranks, shard):
    """Which rank steps which parameter, a dict by their ids: buckets whole, or cut into parts of equal size."""
    sizes = [sum(param.numel() for param in bucket) for bucket in buckets]
    if shard:
        owner, before, total = {}, 0, sum(sizes)
        for param in (param for bucket in buckets for param in bucket):
            owner[id(param)] = min(ranks - 1, before * ranks // max(total, 1))
            before += param.numel()
        return owner
    loads, owner = [0] * ranks, {}
    for i in sorted(range(len(buckets)), key=lambda i: -sizes[i]):
        rank = loads.index(min(loads))
        loads[rank] += sizes[i]
        owner.update({id(param): rank for param in buckets[i]})
    return owner


class _Share:
    """Parameters of one bucket on their way from the rank that has stepped them to the others."""

    def __init__(self, params, group, root):
        self.params, self.mine = [param.detach() for param in params], group.rank() == root
        with no_grad():
            flat = [param.reshape(-1) for param in self.params]
            count = sum(part.numel() for part in flat)
            self.flat = cat(flat) if self.mine else empty(count, dtype=flat[0].dtype)
        self.work = broadcast(self.flat, group=group, group_src=root, async_op=True)

    def finish(self):
        """Puts what came in its places."""
        self.work.wait()
        if self.mine:
            return
        with no_grad():
            parts = self.flat.split([param.numel() for param in self.params])
            for param, part in zip(self.params, parts, strict=True):
                param.copy_(part.view(param.shape))


class _Steps:
    """The steps of one backward pass, bucket by bucket; called on the thread that runs backward."""

    def __init__(self, ddp, zero, shard):
        if not zero._overlap_with_ddp:
            raise ValueError(
                "ZeroRedundancyOptimizer must be constructed with `overlap_with_ddp=True` to use this hook properly"
            )
        if zero.optim is not None:
            raise RuntimeError("this ZeroRedundancyOptimizer steps in another hook already")
        if ddp.find_unused_parameters or any(ddp._sparse):
            raise ValueError(
                "steps during backward need a dense gradient of each parameter in each pass: they do not go with "
                "find_unused_parameters=True or sparse gradients"
            )
        if zero.process_group is not ddp.process_group:
            raise ValueError("the optimizer and DistributedDataParallel have different process groups")
        theirs = {id(param) for group in zero.param_groups for param in group["params"]}
        if theirs != {id(param) for _, param in ddp._named}:
            raise ValueError(
                "the optimizer must have exactly the parameters that DistributedDataParallel averages"
            )
        self.zero, self.buckets = zero, ddp._keep_buckets()
        self.owner = _owners(self.buckets, zero.world_size, shard)
        zero._give_to(self.owner)
        self.clear()

    def clear(self):
        """Begins a pass."""
        self.waiting, self.shares = [], []

    def add(self, bucket, future):
        """A bucket that is being averaged."""
        if list(map(id, bucket.parameters())) != list(map(id, self.buckets[bucket.index()])):
            raise RuntimeError("DistributedDataParallel has other buckets than when the hook was made")
        self.waiting.append((bucket, future))

    def step(self):
        """Waits for the first bucket that has not been stepped, steps what is this rank's, and starts to share it."""
        bucket, future = self.waiting.pop(0)
        bucket._finish(future.wait())
        zero = self.zero
        by_rank = {}
        for param, grad in zip(bucket.parameters(), bucket.gradients(), strict=True):
            by_rank.setdefault(self.owner[id(param)], []).append((param, grad))
        if zero.rank in by_rank:
            zero._step_some(*zip(*by_rank[zero.rank], strict=True))
        if zero.world_size > 1:
            group = zero.process_group
            for rank in sorted(by_rank):
                self.shares.append(_Share([param for param, _ in by_rank[rank]], group, rank))

    def finish(self):
        """Steps what is left; afterwards all ranks have all parameters."""
        while self.waiting:
            self.step()
        for share in self.shares:
            share.finish()
        self.clear()
        self.zero._after_steps()


def _stepping(hook, steps, interleaved):
    """The hook that averages a bucket by `hook` and has `steps` follow."""

    def stepping(state, bucket):
        if bucket.index() == 0:
            steps.clear()
        elif interleaved and steps.waiting:
            steps.step()
        future = hook(state, bucket)
        steps.add(bucket, future)
        if bucket.is_last():
            steps.finish()
        return future

    return stepping


def hook_with_zero_step(hook, ddp, zero, shard_buckets=False):
    """A hook that averages a bucket as `hook` does, and steps `zero` when the last one has begun.

    The steps of the first buckets run while later ones are still being averaged. After ``backward()`` all ranks
    have the new parameters, with the bits that ``zero.step()`` would give without overlap; ``zero.step()`` is not
    called. Other than in PyTorch the first passes step too: the buckets stay as they are when the hook is made.

    Args:
        hook (callable): the hook to be modified, such as ``default_hooks.allreduce_hook``.
        ddp (DistributedDataParallel): the module that it will be registered with. Each pass must give every
            parameter a gradient.
        zero (ZeroRedundancyOptimizer): made with ``overlap_with_ddp=True``, of all parameters of `ddp`.
        shard_buckets (bool): hand parameters out one by one, so that ranks get parts of about the same size.
            Otherwise each bucket is stepped by one rank, with fewer messages.

    Returns the modified hook.

    Raises:
        ValueError: `zero` was made without overlap, has other parameters or another group than `ddp`, or `ddp` looks
            for unused parameters or has sparse gradients.
        RuntimeError: `zero` belongs to another hook.

    Example::

        >>> from nnlib.distributed.algorithms.ddp_comm_hooks.ddp_zero_hook import hook_with_zero_step
        >>> zero = ZeroRedundancyOptimizer(  # doctest: +SKIP
        ...     net.parameters(), nnlib.optim.Adam, lr=0.01, overlap_with_ddp=True
        ... )
        >>> net.register_comm_hook(None, hook_with_zero_step(allreduce_hook, net, zero))  # doctest: +SKIP
        >>> net(x).sum().backward()  # averages and steps  # doctest: +SKIP
    """
    return _stepping(hook, _Steps(ddp, zero, shard_buckets), interleaved=False)


def hook_with_zero_step_interleaved(hook, ddp, zero, shard_buckets=False):
    """As :func:`hook_with_zero_step`, but each bucket is stepped before the next one's average begins.

    Steps and their broadcasts are spread over backward: for networks that are quick compared with the computation,
    since backward waits where an average is not over when the next bucket is full. A parameter changes while
    backward runs: the graph must not need it afterwards (no ``retain_graph``).

    Args, result and errors are those of :func:`hook_with_zero_step`.

    Example::

        >>> from nnlib.distributed.algorithms.ddp_comm_hooks import ddp_zero_hook
        >>> hook = ddp_zero_hook.hook_with_zero_step_interleaved(allreduce_hook, net, zero)  # doctest: +SKIP
        >>> net.register_comm_hook(None, hook)  # doctest: +SKIP
    """
    return _stepping(hook, _Steps(ddp, zero, shard_buckets), interleaved=True)
