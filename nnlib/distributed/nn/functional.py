"""Collectives through which gradients flow, as in torch.distributed.nn.functional.

What the ranks compute together is differentiated as one program whose loss is the sum of the losses of all ranks. The
backward of a collective is a collective too: every rank must run backward through it, and in the same order.
"""

from ... import empty_like, zeros_like
from ...autograd import Function
from .. import collectives, exchanges, gathers
from ..collectives import ReduceOp
from ..process_group import resolve

__all__ = ["all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce",
           "reduce_scatter", "scatter"]  # fmt: skip


def _member(group):
    group = resolve(group)
    if group is None:
        raise ValueError("this rank is not part of the group")
    return group


def _linear(op, what):
    if op not in (ReduceOp.SUM, ReduceOp.AVG):
        raise NotImplementedError(f"{what}: gradients flow through SUM and AVG alone, but got {op!r}")
    return op


def broadcast(tensor, src, group=None):
    """The root's values on every rank; the root's gradient is the sum of all ranks' gradients.

    Args:
        tensor (Tensor): on the root what is sent; of the same shape and dtype elsewhere.
        src (int): the root, a rank of the world.
        group (ProcessGroup): None for the default one.

    Example::

        >>> from nnlib.distributed.nn.functional import broadcast
        >>> x = torch.ones(2, requires_grad=True)
        >>> broadcast(x, src=0).sum().backward()
        >>> x.grad  # of n ranks: n on the root, 0 elsewhere
        tensor([1., 1.])
    """
    group = _member(group)
    return _Broadcast.apply(group.group_rank(src), group, tensor)


def reduce(tensor, dst, op=ReduceOp.SUM, group=None):
    """The sum (or AVG) of all ranks' tensors on rank `dst`, the rank's own elsewhere (it has no gradient).

    Args:
        tensor (Tensor): of the same shape and dtype on all ranks.
        dst (int): the root, a rank of the world.
        op (ReduceOp): SUM or AVG.
        group (ProcessGroup): None for the default one.

    Raises:
        NotImplementedError: another op.

    Example::

        >>> from nnlib.distributed.nn.functional import reduce
        >>> x = torch.ones(2, requires_grad=True)
        >>> reduce(x, dst=0).sum().backward()
        >>> x.grad
        tensor([1., 1.])
    """
    group = _member(group)
    return _Reduce.apply(group.group_rank(dst), _linear(op, "reduce"), group, tensor)


def all_reduce(tensor, op=ReduceOp.SUM, group=None):
    """The sum (or AVG) of all ranks' tensors on every rank. A new tensor: the argument stays as it is.

    Args:
        tensor (Tensor): of the same shape and dtype on all ranks.
        op (ReduceOp): SUM or AVG.
        group (ProcessGroup): None for the default one.

    Raises:
        NotImplementedError: another op.

    Example::

        >>> from nnlib.distributed.nn.functional import all_reduce
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> all_reduce(x).sum().backward()  # on every rank
        >>> x.grad  # of n ranks, each of which uses the sum, n
        tensor([1., 1.])
    """
    return _AllReduce.apply(_linear(op, "all_reduce"), _member(group), tensor)


def all_gather(tensor, group=None):
    """The tensors of all ranks, as a tuple in rank order, on every rank.

    Args:
        tensor (Tensor): of the same shape and dtype on all ranks.
        group (ProcessGroup): None for the default one.

    Example::

        >>> from nnlib.distributed.nn.functional import all_gather
        >>> x = torch.tensor([1.0], requires_grad=True)
        >>> sum(all_gather(x)).backward()
        >>> x.grad
        tensor([1.])
    """
    return _AllGather.apply(_member(group), tensor)


def gather(tensor, dst=0, group=None):
    """The tensors of all ranks, as a tuple, on rank `dst`; zeros (which have no gradient) elsewhere.

    Args:
        tensor (Tensor): of the same shape and dtype on all ranks.
        dst (int): the root, a rank of the world.
        group (ProcessGroup): None for the default one.

    Example::

        >>> from nnlib.distributed.nn.functional import gather
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> [part.tolist() for part in gather(x)]
        [[3.0]]
    """
    group = _member(group)
    return _Gather.apply(group.group_rank(dst), group, tensor)


def scatter(tensors, src=0, group=None):
    """This rank's tensor of the root's list.

    Args:
        tensors (list of Tensor): one for each rank; on ranks that are not the root any of the same shapes.
        src (int): the root, a rank of the world.
        group (ProcessGroup): None for the default one.

    Example::

        >>> from nnlib.distributed.nn.functional import scatter
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> scatter([x])  # in a world of one
        tensor([3.], grad_fn=<_ScatterBackward>)
    """
    group = _member(group)
    return _Scatter.apply(group.group_rank(src), group, *tensors)


def reduce_scatter(output, input_list, op=ReduceOp.SUM, group=None):
    """The sum (or AVG) over the ranks of the tensors at this rank's place in their lists.

    Args:
        output (Tensor): only its shape and dtype matter.
        input_list (list of Tensor): one for each rank.
        op (ReduceOp): SUM or AVG.
        group (ProcessGroup): None for the default one.

    Raises:
        NotImplementedError: another op.

    Example::

        >>> from nnlib.distributed.nn.functional import reduce_scatter
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> reduce_scatter(torch.empty(1), [x]).backward()  # in a world of one
        >>> x.grad
        tensor([1.])
    """
    return _ReduceScatter.apply(_linear(op, "reduce_scatter"), _member(group), output, *input_list)


def all_to_all(output_tensor_list, input_tensor_list, group=None):
    """Sends the r-th tensor to rank r; what came, as a tuple.

    Args:
        output_tensor_list (list of Tensor): one for each rank; only shapes and dtypes matter.
        input_tensor_list (list of Tensor): one for each rank.
        group (ProcessGroup): None for the default one.

    Example::

        >>> from nnlib.distributed.nn.functional import all_to_all
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> all_to_all([torch.empty(1)], [x])[0].backward()  # in a world of one
        >>> x.grad
        tensor([1.])
    """
    return _AllToAll.apply(_member(group), list(output_tensor_list), *input_tensor_list)


def all_to_all_single(output, input, output_split_sizes=None, input_split_sizes=None, group=None):
    """Cuts `input` into rows for the ranks and joins what came, shaped as `output`.

    Args:
        output (Tensor): only its shape and dtype matter.
        input (Tensor): cut along its first dimension.
        output_split_sizes, input_split_sizes (list of int): rows from and for each rank; None for equal parts.
        group (ProcessGroup): None for the default one.

    Example::

        >>> from nnlib.distributed.nn.functional import all_to_all_single
        >>> x = torch.arange(2.0).requires_grad_()
        >>> all_to_all_single(torch.empty(2), x).sum().backward()
        >>> x.grad
        tensor([1., 1.])
    """
    return _AllToAllSingle.apply(_member(group), output, output_split_sizes, input_split_sizes, input)


def _copy(tensor):
    return tensor.detach().clone()


class _Broadcast(Function):
    @staticmethod
    def forward(ctx, root, group, tensor):
        ctx.root, ctx.group = root, group
        out = _copy(tensor)
        collectives.broadcast(out, group=group, group_src=root)
        return out

    @staticmethod
    def backward(ctx, grad):
        return None, None, _reduced(grad, ctx.root, ReduceOp.SUM, ctx.group)


def _reduced(tensor, root, op, group):
    """The sum on the root; zeros elsewhere."""
    out = _copy(tensor)
    collectives.reduce(out, op=op, group=group, group_dst=root)
    return out if group.rank() == root else zeros_like(out)


class _Reduce(Function):
    @staticmethod
    def forward(ctx, root, op, group, tensor):
        ctx.root, ctx.op, ctx.group = root, op, group
        out = _copy(tensor)
        collectives.reduce(out, op=op, group=group, group_dst=root)
        return out

    @staticmethod
    def backward(ctx, grad):
        out = _copy(grad)
        collectives.broadcast(out, group=ctx.group, group_src=ctx.root)
        return None, None, None, out / ctx.group.size() if ctx.op is ReduceOp.AVG else out


class _AllReduce(Function):
    @staticmethod
    def forward(ctx, op, group, tensor):
        ctx.op, ctx.group = op, group
        out = _copy(tensor)
        collectives.all_reduce(out, op, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        out = _copy(grad)
        collectives.all_reduce(out, ctx.op, ctx.group)
        return None, None, out


class _AllGather(Function):
    @staticmethod
    def forward(ctx, group, tensor):
        ctx.group = group
        parts = [empty_like(tensor) for _ in range(group.size())]
        gathers.all_gather(parts, tensor, group)
        return tuple(parts)

    @staticmethod
    def backward(ctx, *grads):
        out = empty_like(grads[0])
        exchanges.reduce_scatter(out, list(grads), group=ctx.group)
        return None, out


class _Gather(Function):
    @staticmethod
    def forward(ctx, root, group, tensor):
        ctx.root, ctx.group = root, group
        parts = [zeros_like(tensor) for _ in range(group.size())]
        gathers.gather(tensor, parts if group.rank() == root else None, group=group, group_dst=root)
        return tuple(parts)

    @staticmethod
    def backward(ctx, *grads):
        out, mine = empty_like(grads[0]), ctx.group.rank() == ctx.root
        gathers.scatter(out, list(grads) if mine else None, group=ctx.group, group_src=ctx.root)
        return None, None, out


class _Scatter(Function):
    @staticmethod
    def forward(ctx, root, group, *tensors):
        ctx.root, ctx.group = root, group
        out = empty_like(tensors[group.rank()])
        gathers.scatter(out, list(tensors) if group.rank() == root else None, group=group, group_src=root)
        return out

    @staticmethod
    def backward(ctx, grad):
        parts = [zeros_like(grad) for _ in range(ctx.group.size())]
        mine = ctx.group.rank() == ctx.root
        gathers.gather(grad, parts if mine else None, group=ctx.group, group_dst=ctx.root)
        return None, None, *parts


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx, op, group, like, *tensors):
        ctx.op, ctx.group = op, group
        out = empty_like(like)
        exchanges.reduce_scatter(out, list(tensors), op, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        grad = grad / ctx.group.size() if ctx.op is ReduceOp.AVG else grad
        parts = [empty_like(grad) for _ in range(ctx.group.size())]
        gathers.all_gather(parts, grad, ctx.group)
        return None, None, None, *parts


class _AllToAll(Function):
    @staticmethod
    def forward(ctx, group, like, *tensors):
        ctx.group, ctx.like = group, [empty_like(t) for t in tensors]
        outs = [empty_like(t) for t in like]
        exchanges.all_to_all(outs, list(tensors), group)
        return tuple(outs)

    @staticmethod
    def backward(ctx, *grads):
        outs = [empty_like(t) for t in ctx.like]
        exchanges.all_to_all(outs, list(grads), ctx.group)
        return None, None, *outs


class _AllToAllSingle(Function):
    @staticmethod
    def forward(ctx, group, like, out_sizes, in_sizes, tensor):
        ctx.group, ctx.sizes, ctx.like = group, (out_sizes, in_sizes), empty_like(tensor)
        out = empty_like(like)
        exchanges.all_to_all_single(out, tensor, out_sizes, in_sizes, group)
        return out

    @staticmethod
    def backward(ctx, grad):
        out_sizes, in_sizes = ctx.sizes
        out = empty_like(ctx.like)
        exchanges.all_to_all_single(out, grad, in_sizes, out_sizes, ctx.group)
        return None, None, None, None, out
