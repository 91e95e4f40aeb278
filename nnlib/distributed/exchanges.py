"""Collectives in which every rank has a part for every other: reduce_scatter and all_to_all."""

from ._buffers import Source, Target, check_list, check_tensor, commit_all
from ._request import Request
from .collectives import ReduceOp, member, reduce_op
from .gathers import check_whole


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
        transport.fold(target.dtype, number, target.count, addresses, target.address)

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
    """Combines the lists of all ranks element by element; rank r gets the r-th result.

    Args:
        output (Tensor): filled with this rank's result.
        input_list (list of Tensor): one for each rank, each with the dtype and number of values of `output`.
        op (ReduceOp): SUM by default.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> mine = torch.empty(1)
        >>> dist.reduce_scatter(mine, [torch.tensor([5.0])])  # in a world of one
        >>> mine
        tensor([5.])
    """
    check_tensor(output, "output")
    if (group := member(group, "reduce_scatter")) is None:
        return None
    check_list(input_list, "input_list", group.size(), output)
    return _reduce_parts(group, [Source(t) for t in input_list], Target(output), op, async_op, output)


def reduce_scatter_tensor(output, input, op=ReduceOp.SUM, group=None, async_op=False):
    """As :func:`reduce_scatter`, from one tensor that holds the parts of all ranks one after the other.

    Args:
        output (Tensor): filled with this rank's result.
        input (Tensor): as many values as all ranks' results together.
        op (ReduceOp): SUM by default.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> mine = torch.empty(2)
        >>> dist.reduce_scatter_tensor(mine, torch.ones(2 * dist.get_world_size()))
        >>> mine  # each value the number of ranks
        tensor([1., 1.])
    """
    check_tensor(output, "output")
    check_tensor(input, "input")
    if (group := member(group, "reduce_scatter_tensor")) is None:
        return None
    check_whole(input, output, group.size(), "input", "output")
    return _reduce_parts(group, [Source(input)], Target(output), op, async_op, output)


def all_to_all(output_tensor_list, input_tensor_list, group=None, async_op=False):
    """Sends the r-th input to rank r, and fills the r-th output with what rank r sent here.

    The tensors may differ in size; what one rank sends must have the size of what the other expects.

    Args:
        output_tensor_list, input_tensor_list (list of Tensor): one for each rank.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> came = [torch.empty(2)]
        >>> dist.all_to_all(came, [torch.tensor([1.0, 2.0])])  # in a world of one
        >>> came
        [tensor([1., 2.])]
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
        output, input (Tensor): cut into `output_split_sizes` and `input_split_sizes` rows for the ranks,
            evenly where these are None.

    Example::

        >>> came = torch.empty(2 * dist.get_world_size())
        >>> dist.all_to_all_single(came, torch.arange(2.0 * dist.get_world_size()))
        >>> came
        tensor([0., 1.])
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
