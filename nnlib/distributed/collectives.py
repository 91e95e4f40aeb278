"""The collectives of nnlib.distributed: all ranks of a group call the same one, with tensors that fit."""

import enum
import warnings

from ._buffers import Target, check_tensor
from ._request import INLINE, ITEM_BYTES, REDUCE_OPS, Request
from ._slices import split
from ._transport import all_reduce_request
from ._work import seconds_of
from .process_group import resolve


class ReduceOp(enum.IntEnum):
    """How the values of the ranks are combined: SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR.

    Values are combined in rank order, float16 and bfloat16 in float32; AVG is for floating-point dtypes, the
    bitwise ones for integers and bool.

    Example::

        >>> t = torch.tensor([3.0])
        >>> dist.all_reduce(t, op=dist.ReduceOp.AVG)
        >>> t
        tensor([3.])
    """

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = range(8)


assert [op.name for op in ReduceOp] == list(REDUCE_OPS)


def member(group, what):
    """The group to communicate in; None, with a warning, on a rank outside of it."""
    group = resolve(group)
    if group is None:
        warnings.warn(
            f"Running {what} on global rank outside of the given group: nothing is done", stacklevel=3
        )
    return group


def root_of(group, rank, group_rank, name, default=None):
    """The group's rank of a root given as `src`/`dst` (a rank of the world) or as `group_src`/`group_dst`."""
    if rank is not None and group_rank is not None:
        raise ValueError(f"give {name} or group_{name}, not both")
    if group_rank is not None:
        if not 0 <= group_rank < group.size():
            raise ValueError(
                f"expected group_{name} to be from 0 to {group.size() - 1}, but got {group_rank}"
            )
        return group_rank
    if rank is None:
        rank = default
    if rank is None:
        raise ValueError(f"{name} or group_{name} must be given")
    return group.group_rank(rank)


def reduce_op(op, dtype_number, tensor):
    """The number of a ReduceOp; raises when it has no meaning for the tensor's dtype."""
    if not isinstance(op, ReduceOp):
        raise TypeError(f"expected op to be a ReduceOp, but got {op!r}")
    floating = dtype_number >= 6
    if op is ReduceOp.AVG and not floating:
        raise ValueError(f"ReduceOp.AVG needs a floating-point dtype, but got {tensor.dtype}")
    if op >= ReduceOp.BAND and floating:
        raise ValueError(f"ReduceOp.{op.name} needs an integer or bool dtype, but got {tensor.dtype}")
    return int(op)


def broadcast(tensor, src=None, group=None, async_op=False, group_src=None):
    """Gives every rank the root's values.

    Args:
        tensor (Tensor): sent on rank `src`, filled on the others.
        src (int): the root, a rank of the world; or group_src, a rank of the group.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a Work handle at once.

    Example::

        >>> t = torch.tensor([1.0, 2.0])
        >>> dist.broadcast(t, src=0)
        >>> t  # rank 0's, on every rank
        tensor([1., 2.])
    """
    check_tensor(tensor, "tensor")
    if (group := member(group, "broadcast")) is None:
        return None
    root = root_of(group, src, group_src, "src")
    target = Target(tensor)

    def body(transport, headers):
        if target.size <= INLINE:
            target.bytes()[:] = headers["payload"][root, : target.size]
        else:
            yield from transport.broadcast(target.bytes(), root)

    request = Request(
        "broadcast",
        dtype=target.dtype,
        root=root,
        count=target.count,
        timeout=group.timeout,
        payload=target.inline(),
        body=body,
        finish=target.commit,
        keep=(target,),
    )
    return group.submit(request, async_op, [tensor])


def all_reduce(tensor, op=ReduceOp.SUM, group=None, async_op=False):
    """Combines the tensors of all ranks, in place: every rank gets the same bits.

    Args:
        tensor (Tensor): any shape and dtype, the same on all ranks.
        op (ReduceOp): SUM by default.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a Work handle at once.

    Example::

        >>> import nnlib as torch
        >>> t = torch.tensor([1.0, 2.0]) * (dist.get_rank() + 1)  # doctest: +SKIP
        >>> dist.all_reduce(t)  # of two ranks  # doctest: +SKIP
        >>> t  # doctest: +SKIP
        tensor([3., 6.])
    """
    check_tensor(tensor, "tensor")
    if (group := member(group, "all_reduce")) is None:
        return None
    target = Target(tensor)
    number = reduce_op(op, target.dtype, tensor)
    request = all_reduce_request(
        target.address,
        target.address,
        target.count,
        target.dtype,
        number,
        group.timeout,
        finish=target.commit,
        keep=(target,),
    )
    return group.submit(request, async_op, [tensor])


def reduce(tensor, dst=None, op=ReduceOp.SUM, group=None, async_op=False, group_dst=None):
    """Combines the tensors of all ranks into the root's tensor; the others keep theirs.

    Args:
        tensor (Tensor): any shape and dtype, the same on all ranks.
        dst (int): the root, a rank of the world; or group_dst, a rank of the group.
        op (ReduceOp): SUM by default.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> t = torch.ones(2)
        >>> dist.reduce(t, dst=0, op=dist.ReduceOp.MAX)
        >>> t
        tensor([1., 1.])
    """
    check_tensor(tensor, "tensor")
    if (group := member(group, "reduce")) is None:
        return None
    root = root_of(group, dst, group_dst, "dst")
    target = Target(tensor)
    number = reduce_op(op, target.dtype, tensor)
    mine = group.rank() == root

    def body(transport, headers):
        item = ITEM_BYTES[target.dtype]
        counts, _ = split(target.count, transport.size)
        if target.size <= INLINE:
            base, step = headers.ctypes.data + headers.dtype.itemsize - INLINE, headers.dtype.itemsize
            if mine:
                sources = [base + r * step for r in range(transport.size)]
                transport.fold(target.dtype, number, target.count, sources, target.address)
            return
        part = transport.buffer(counts[transport.rank] * item)
        yield from transport.reduce_slices(
            target.address, target.count, target.dtype, number, part.ctypes.data
        )
        whole = target.bytes() if mine else None
        yield from transport.gather(part, whole, root, [c * item for c in counts])

    request = Request(
        "reduce",
        dtype=target.dtype,
        reduce_op=number,
        root=root,
        count=target.count,
        timeout=group.timeout,
        payload=target.inline(),
        body=body,
        finish=target.commit if mine else None,
        keep=(target,),
    )
    return group.submit(request, async_op, [tensor])


def barrier(group=None, async_op=False, device_ids=None, timeout=None):
    """Waits until all ranks of the group have come here.

    Args:
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.
        device_ids: must be None: it is about GPUs.
        timeout (timedelta or float): seconds after which the wait is an error that names the absent ranks; by
            default the group's.

    Example::

        >>> dist.barrier(timeout=30)
    """
    if device_ids is not None:
        raise ValueError("device_ids is for the nccl backend: on the CPU it must be None")
    if (group := member(group, "barrier")) is None:
        return None
    return group.submit(Request("barrier", timeout=seconds_of(timeout, group.timeout)), async_op)


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False):
    """A :func:`barrier` whose error names the ranks that did not come. Here every collective's does.

    Args:
        group (ProcessGroup): None for the default one.
        timeout (timedelta or float): by default the group's.
        wait_all_ranks (bool): taken for PyTorch's sake; all absent ranks are named in either case.

    Example::

        >>> dist.monitored_barrier(timeout=30)
    """
    barrier(group, timeout=timeout)
