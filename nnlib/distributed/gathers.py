"""Collectives that bring the tensors of all ranks together, or hand them out."""

from ._buffers import Source, Target, check_list, check_tensor, commit_all
from ._request import INLINE, Request
from .collectives import member, root_of


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
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> parts = [torch.empty(2) for _ in range(dist.get_world_size())]
        >>> dist.all_gather(parts, torch.tensor([1.0, 2.0]))
        >>> parts[0]
        tensor([1., 2.])
    """
    check_tensor(tensor, "tensor")
    if (group := member(group, "all_gather")) is None:
        return None
    check_list(tensor_list, "tensor_list", group.size(), tensor)
    targets = [Target(t) for t in tensor_list]
    return _gather_parts("all_gather", group, Source(tensor), targets, -1, async_op, tensor_list)


def gather(tensor, gather_list=None, dst=None, group=None, async_op=False, group_dst=None):
    """Collects the tensors of all ranks on the root.

    Args:
        tensor (Tensor): this rank's part; dtype and number of values are the same on all ranks.
        gather_list (list of Tensor): on the root, one for each rank, filled in rank order; None elsewhere.
        dst (int): the root, a rank of the world, by default the group's first; or group_dst, a rank of the group.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> parts = [torch.empty(1) for _ in range(dist.get_world_size())] if dist.get_rank() == 0 else None
        >>> dist.gather(torch.ones(1), parts, dst=0)
        >>> parts
        [tensor([1.])]
    """
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
    """As :func:`all_gather`, into one tensor: the ranks' values one after the other.

    Args:
        output_tensor (Tensor): as many values as the parts of all ranks.
        input_tensor (Tensor): this rank's part.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> whole = torch.empty(2 * dist.get_world_size())
        >>> dist.all_gather_into_tensor(whole, torch.tensor([1.0, 2.0]))
        >>> whole
        tensor([1., 2.])
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
    """Gives each rank its tensor of the root's list.

    Args:
        tensor (Tensor): filled with this rank's part.
        scatter_list (list of Tensor): on the root, one for each rank; None elsewhere.
        src (int): the root, a rank of the world, by default the group's first; or group_src, a rank of the group.
        group (ProcessGroup): None for the default one.
        async_op (bool): return a :class:`Work` handle at once.

    Example::

        >>> mine = torch.empty(1)
        >>> dist.scatter(mine, [torch.tensor([5.0])], src=0)  # in a world of one
        >>> mine
        tensor([5.])
    """
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
