"""The collectives of nnlib.distributed: all ranks of a group call the same one, with tensors that fit."""

import enum
import warnings

from .. import _comm
from ._buffers import Source, Target, check_list, check_tensor, commit_all
from ._request import INLINE, ITEM_BYTES, REDUCE_OPS, Request
from ._transport import all_reduce_request, split
from ._work import seconds_of
from .process_group import resolve


class ReduceOp(enum.IntEnum):
    """How the values of the ranks are combined: SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR.

    Values are combined in rank order, float16 and bfloat16 in float32; AVG is for floating-point dtypes, the
    bitwise ones for integers and bool.
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
    """Combines the tensors of all ranks into the root's tensor; the others keep theirs."""
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
                _comm.reduce_ranks(target.dtype, number, target.count, sources, target.address)
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


def _gather_parts(operation, group, source, targets, root, async_op, result):
    """all_gather and gather: `targets` (None on ranks that get nothing) are filled with the ranks' parts."""

    def body(transport, headers):
        if source.size <= INLINE:
            parts = headers["payload"][:, : source.size]
        else:
            parts = transport.scratch(source.size * transport.size) if targets is not None else None
            if root < 0:
                yield from transport.all_gather(source.bytes(), parts)
            else:
                yield from transport.gather(source.bytes(), parts, root)
        if targets is not None:
            for target, part in zip(targets, parts.reshape(transport.size, source.size), strict=True):
                target.bytes()[:] = part

    request = Request(
        operation,
        dtype=source.dtype,
        root=root,
        count=source.count,
        timeout=group.timeout,
        payload=source.inline(),
        body=body,
        finish=commit_all(targets or ()),
        keep=(source, targets),
    )
    return group.submit(request, async_op, result)


def all_gather(tensor_list, tensor, group=None, async_op=False):
    """Gives every rank the tensors of all ranks.

    Args:
        tensor_list (list of Tensor): one for each rank, filled in rank order.
        tensor (Tensor): this rank's part; dtype and number of values are the same on all ranks.
    """
    check_tensor(tensor, "tensor")
    if (group := member(group, "all_gather")) is None:
        return None
    check_list(tensor_list, "tensor_list", group.size(), tensor)
    targets = [Target(t) for t in tensor_list]
    return _gather_parts("all_gather", group, Source(tensor), targets, -1, async_op, tensor_list)


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """Collects the tensors of all ranks on the root (rank 0 by default), in `gather_list`, None elsewhere."""
    check_tensor(tensor, "tensor")
    if (group := member(group, "gather")) is None:
        return None
    root = root_of(group, dst, group_dst, "dst", group.ranks[0])
    targets = None
    if group.rank() == root:
        if gather_list is None:
            raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
        check_list(gather_list, "gather_list", group.size(), tensor)
        targets = [Target(t) for t in gather_list]
    elif gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    return _gather_parts("gather", group, Source(tensor), targets, root, async_op, gather_list or ())


def all_gather_into_tensor(output_tensor, input_tensor, group=None, async_op=False):
    """As :func:`all_gather`, into one tensor: the ranks' values one after the other (concatenated or
    stacked).
    """
    check_tensor(output_tensor, "output_tensor")
    check_tensor(input_tensor, "input_tensor")
    if (group := member(group, "all_gather_into_tensor")) is None:
        return None
    check_whole(output_tensor, input_tensor, group.size(), "output_tensor", "input_tensor")
    source, target = Source(input_tensor), Target(output_tensor)

    def body(transport, headers):
        if source.size <= INLINE:
            target.bytes().reshape(transport.size, source.size)[:] = headers["payload"][:, : source.size]
            return
        parts = transport.scratch(target.size) if overlap(source, target) else target.bytes()
        yield from transport.all_gather(source.bytes(), parts)
        target.bytes()[:] = parts

    request = Request(
        "all_gather",
        dtype=source.dtype,
        count=source.count,
        timeout=group.timeout,
        payload=source.inline(),
        body=body,
        finish=target.commit,
        keep=(source, target),
    )
    return group.submit(request, async_op, [output_tensor])


def overlap(a, b):
    """Whether two buffers share memory."""
    return a.address < b.address + b.size and b.address < a.address + a.size


def check_whole(whole, part, ranks, whole_name, part_name):
    """Raises unless `whole` has the dtype of `part` and as many values as `ranks` parts."""
    if whole.dtype != part.dtype:
        raise TypeError(
            f"expected `{whole_name}` and `{part_name}` to have one dtype, but got {whole.dtype} and "
            f"{part.dtype}"
        )
    if whole.numel() != ranks * part.numel():
        raise ValueError(
            f"`{whole_name}` must hold the values of `{part_name}` {ranks} times (once for each rank), "
            f"but got {whole.numel()} and {part.numel()} values"
        )


def scatter(tensor, scatter_list=None, src=None, group=None, async_op=False, group_src=None):
    """Gives each rank its tensor of the root's `scatter_list` (the root is rank 0 by default)."""
    check_tensor(tensor, "tensor")
    if (group := member(group, "scatter")) is None:
        return None
    root = root_of(group, src, group_src, "src", group.ranks[0])
    sources = []
    if group.rank() == root:
        if scatter_list is None:
            raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
        check_list(scatter_list, "scatter_list", group.size(), tensor)
        sources = [Source(t) for t in scatter_list]
    elif scatter_list:
        raise ValueError("Argument ``scatter_list`` must NOT be specified on non-source ranks.")
    target = Target(tensor)

    def body(transport, headers):
        parts = None
        if sources:
            parts = transport.scratch(target.size * transport.size)
            for row, source in zip(parts.reshape(transport.size, target.size), sources, strict=True):
                row[:] = source.bytes()
        yield from transport.scatter(parts, target.bytes(), root)

    request = Request(
        "scatter",
        dtype=target.dtype,
        root=root,
        count=target.count,
        timeout=group.timeout,
        body=body,
        finish=target.commit,
        keep=(target, sources),
    )
    return group.submit(request, async_op, [tensor])


def _reduce_parts(group, parts, target, op, async_op, tensor):
    """reduce_scatter: `parts` are the sources of all ranks' parts, `target` takes the sum of this rank's."""
    number = reduce_op(op, target.dtype, tensor)

    def body(transport, headers):
        size, ranks = target.size, transport.size
        send = parts[0].bytes()
        if len(parts) > 1:
            send = transport.buffer(size * ranks)
            for row, part in zip(send.reshape(ranks, size), parts, strict=True):
                row[:] = part.bytes()
        came = transport.scratch(size * ranks)
        yield from transport.all_to_all(send, [size] * ranks, came, [size] * ranks)
        addresses = [came.ctypes.data + r * size for r in range(ranks)]
        _comm.reduce_ranks(target.dtype, number, target.count, addresses, target.address)

    request = Request(
        "reduce_scatter",
        dtype=target.dtype,
        reduce_op=number,
        count=target.count,
        timeout=group.timeout,
        body=body,
        finish=target.commit,
        keep=(parts, target),
    )
    return group.submit(request, async_op, [tensor])


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None, async_op=False):
    """Combines the lists of all ranks element by element; rank r gets the r-th result in `output`."""
    check_tensor(output, "output")
    if (group := member(group, "reduce_scatter")) is None:
        return None
    check_list(input_list, "input_list", group.size(), output)
    return _reduce_parts(group, [Source(t) for t in input_list], Target(output), op, async_op, output)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """As :func:`reduce_scatter`, from one tensor that holds the parts of all ranks one after the other."""
    check_tensor(output, "output")
    check_tensor(input, "input")
    if (group := member(group, "reduce_scatter_tensor")) is None:
        return None
    check_whole(input, output, group.size(), "input", "output")
    return _reduce_parts(group, [Source(input)], Target(output), op, async_op, output)


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """Sends the r-th input to rank r, and fills the r-th output with what rank r sent here.

    The tensors may differ in size; what one rank sends must have the size of what the other expects.
    """
    if (group := member(group, "all_to_all")) is None:
        return None
    check_list(output_tensor_list, "output_tensor_list", group.size())
    check_list(input_tensor_list, "input_tensor_list", group.size())
    for tensor in [*output_tensor_list, *input_tensor_list]:
        if tensor.dtype != input_tensor_list[0].dtype:
            raise TypeError(
                f"expected all tensors to be {input_tensor_list[0].dtype}, but got {tensor.dtype}"
            )
    sources, targets = [Source(t) for t in input_tensor_list], [Target(t) for t in output_tensor_list]
    return _exchange(
        group,
        sources,
        targets,
        [s.size for s in sources],
        [t.size for t in targets],
        async_op,
        output_tensor_list,
    )


def all_to_all_single(
    output, input, output_split_sizes=None, input_split_sizes=None, group=None, async_op=False
):
    """Cuts `input` along its first dimension, sends a piece to each rank, and puts what comes into `output`.

    Args:
        output, input (Tensor): cut into `output_split_sizes` and `input_split_sizes` rows for the ranks;
        evenly
            where these are None.
    """
    check_tensor(output, "output")
    check_tensor(input, "input")
    if (group := member(group, "all_to_all_single")) is None:
        return None
    if output.dtype != input.dtype:
        raise TypeError(
            f"expected output and input to have one dtype, but got {output.dtype} and {input.dtype}"
        )
    source, target = Source(input), Target(output)
    sizes = [
        _row_bytes(buffer, tensor, given, group.size(), name)
        for buffer, tensor, given, name in (
            (source, input, input_split_sizes, "input"), (target, output, output_split_sizes, "output"),
        )
    ]  # fmt: skip
    return _exchange(group, [source], [target], *sizes, async_op, [output])


def _row_bytes(buffer, tensor, split_sizes, ranks, name):
    rows = tensor.shape[0] if tensor.dim() else 1
    if split_sizes is None or len(split_sizes) == 0:
        if rows % ranks:
            raise RuntimeError(
                f"Tensor's dim 0 does not divide equally across group size: `{name}` has {rows} rows "
                f"for {ranks} ranks"
            )
        split_sizes = [rows // ranks] * ranks
    if len(split_sizes) != ranks or sum(split_sizes) != rows:
        raise RuntimeError(
            f"Split sizes doesn't match total dim 0 size: `{name}` has {rows} rows for {ranks} ranks, "
            f"but the split sizes are {list(split_sizes)}"
        )
    return [n * (buffer.size // rows if rows else 0) for n in split_sizes]


def _exchange(group, sources, targets, sizes, receive_sizes, async_op, result):
    def body(transport, headers):
        # Both ends of each pair must speak of the same number of bytes before MPI is told to move them.
        yield from transport.check_pairs(sizes, receive_sizes)
        send = sources[0].bytes()
        if len(sources) > 1:
            send = transport.join([s.bytes() for s in sources])
        came = transport.scratch(sum(receive_sizes))
        yield from transport.all_to_all(send, sizes, came, receive_sizes)
        start = 0
        for target in targets:
            target.bytes()[:] = came[start : start + target.size]
            start += target.size

    request = Request(
        "all_to_all",
        dtype=sources[0].dtype,
        timeout=group.timeout,
        body=body,
        finish=commit_all(targets),
        keep=(sources, targets),
    )
    return group.submit(request, async_op, result)


def barrier(group=None, async_op=False, device_ids=None, timeout=None):
    """Waits until all ranks of the group have come here.

    Args:
        device_ids: must be None: it is about GPUs.
        timeout (timedelta or float): seconds after which the wait is an error that names the absent ranks; by
            default the group's.
    """
    if device_ids is not None:
        raise ValueError("device_ids is for the nccl backend: on the CPU it must be None")
    if (group := member(group, "barrier")) is None:
        return None
    return group.submit(Request("barrier", timeout=seconds_of(timeout, group.timeout)), async_op)


def monitored_barrier(group=None, timeout=None, wait_all_ranks=False):
    """A :func:`barrier` whose error names the ranks that did not come. Here every collective's does.

    Args:
        timeout (timedelta or float): by default the group's.
        wait_all_ranks (bool): taken for PyTorch's sake; all absent ranks are named in either case.
    """
    barrier(group, timeout=timeout)
