"""Messages between two ranks. They share the queue of their group with the collectives, in program order."""

from ._buffers import Source, Target, check_tensor
from ._request import Request
from .collectives import member, root_of


def _peer(group, rank, group_rank, name):
    peer = root_of(group, rank, group_rank, name)
    if peer == group.rank():
        raise ValueError(
            f"Invalid {name} rank: {name} rank should not be the same as the rank of the current process."
        )
    return peer


def _send(tensor, dst, group, tag, group_dst, async_op):
    check_tensor(tensor, "tensor")
    if (group := member(group, "send")) is None:
        return None
    source, peer = Source(tensor), _peer(group, dst, group_dst, "dst")
    request = Request(
        "send", dtype=source.dtype, count=source.count, timeout=group.timeout, peer=peer, keep=(source,)
    )
    request.body = lambda transport, _: transport.send(request, source.address, source.size, peer, tag)
    return group.submit(request, async_op, [tensor])


def _recv(tensor, src, group, tag, group_src, async_op):
    check_tensor(tensor, "tensor")
    if (group := member(group, "recv")) is None:
        return None
    target = Target(tensor)
    peer = None if src is None and group_src is None else _peer(group, src, group_src, "src")
    request = Request(
        "recv",
        dtype=target.dtype,
        count=target.count,
        timeout=group.timeout,
        peer=peer,
        finish=target.commit,
        keep=(target,),
    )
    request.body = lambda transport, _: transport.recv(request, target.address, target.size, peer, tag)
    work = group.submit(request, True, [tensor])
    work.sources = group.ranks
    return work if async_op else work.wait() and work.source_rank()


def send(tensor, dst=None, group=None, tag=0, group_dst=None):
    """Sends a tensor; it may be changed afterwards.

    Args:
        tensor (Tensor): what is sent.
        dst (int): the receiver, a rank of the world; or group_dst, a rank of the group. Not this rank.
        group (ProcessGroup): None for the default one.
        tag (int): a message goes to a receive with the same tag.

    Example::

        >>> if dist.get_rank() == 0:  # doctest: +SKIP
        ...     dist.send(torch.ones(2), dst=1)
        ... else:
        ...     dist.recv(t := torch.empty(2), src=0)
    """
    _send(tensor, dst, group, tag, group_dst, False)


def recv(tensor, src=None, group=None, tag=0, group_src=None):
    """Fills a tensor with what a rank sends; returns the sender's rank.

    Args:
        tensor (Tensor): filled.
        src (int): the sender, a rank of the world, None for any; or group_src, a rank of the group.
        group (ProcessGroup): None for the default one.
        tag (int): that of the send.

    Raises:
        DistBackendError: the sender's tensor has another dtype or number of values.

    Example::

        >>> dist.recv(torch.empty(2), src=0)  # on rank 1, see send  # doctest: +SKIP
        0
    """
    rank = _recv(tensor, src, group, tag, group_src, False)
    return -1 if rank is None else rank


def isend(tensor, dst=None, group=None, tag=0, group_dst=None):
    """As :func:`send`, at once: returns a :class:`Work` handle. The tensor must be left alone until that is over.

    Args are those of :func:`send`.

    Example::

        >>> work = dist.isend(torch.ones(2), dst=1)  # doctest: +SKIP
        >>> work.wait()  # doctest: +SKIP
        True
    """
    return _send(tensor, dst, group, tag, group_dst, True)


def irecv(tensor, src=None, group=None, tag=0, group_src=None):
    """As :func:`recv`, at once: returns a :class:`Work` handle, whose ``source_rank()`` says who sent.

    Args are those of :func:`recv`.

    Example::

        >>> work = dist.irecv(t := torch.empty(2), src=0)  # doctest: +SKIP
        >>> work.wait()  # doctest: +SKIP
        True
    """
    return _recv(tensor, src, group, tag, group_src, True)


class P2POp:
    """One entry of :func:`batch_isend_irecv`.

    Args:
        op: isend or irecv.
        tensor (Tensor): what is sent or filled.
        peer (int): the other rank, of the world; or group_peer, of the group.
        group, tag: as in :func:`isend`.

    Example::

        >>> op = dist.P2POp(dist.isend, torch.ones(2), peer=1)
        >>> op.peer
        1
    """

    def __init__(self, op, tensor, peer=None, group=None, tag=0, group_peer=None):
        if op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                "``torch.distributed.irecv``."
            )
        check_tensor(tensor, "tensor")
        self.op, self.tensor, self.peer, self.group, self.tag, self.group_peer = (
            op,
            tensor,
            peer,
            group,
            tag,
            group_peer,
        )


def batch_isend_irecv(p2p_op_list):
    """Starts sends and receives together, in whatever order they pair up.

    Args:
        p2p_op_list (list of P2POp): all of one group.

    Returns their :class:`Work` handles.

    Example::

        >>> right = (dist.get_rank() + 1) % dist.get_world_size()
        >>> left = (dist.get_rank() - 1) % dist.get_world_size()
        >>> ops = [
        ...     dist.P2POp(dist.isend, torch.ones(2), right),
        ...     dist.P2POp(dist.irecv, torch.empty(2), left),
        ... ]
        >>> for work in dist.batch_isend_irecv(ops):  # of two ranks or more  # doctest: +SKIP
        ...     work.wait()
    """
    if (
        not isinstance(p2p_op_list, list)
        or not p2p_op_list
        or not all(isinstance(o, P2POp) for o in p2p_op_list)
    ):
        raise ValueError("expected p2p_op_list to be a non-empty list of P2POp")
    if len({id(o.group) for o in p2p_op_list}) > 1:
        raise ValueError("All ops need to use the same group.")
    works = [o.op(o.tensor, o.peer, o.group, o.tag, o.group_peer) for o in p2p_op_list]
    return [work for work in works if work is not None]
