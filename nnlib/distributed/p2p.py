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
    """Sends a tensor to rank `dst` of the world (or `group_dst` of the group); it may be reused then.

    Args:
        tag (int): a message goes to a receive with the same tag.
    """
    _send(tensor, dst, group, tag, group_dst, False)


def recv(tensor, src=None, group=None, tag=0, group_src=None):
    """Fills a tensor with what rank `src` sends, or any rank with None; returns the sender's rank.

    The sender's tensor must have the same dtype and number of values: otherwise this raises.
    """
    rank = _recv(tensor, src, group, tag, group_src, False)
    return -1 if rank is None else rank


def isend(tensor, dst=None, group=None, tag=0, group_dst=None):
    """As :func:`send`, at once: returns a Work handle."""
    return _send(tensor, dst, group, tag, group_dst, True)


def irecv(tensor, src=None, group=None, tag=0, group_src=None):
    """As :func:`recv`, at once: returns a Work handle."""
    return _recv(tensor, src, group, tag, group_src, True)


class P2POp:
    """One entry of :func:`batch_isend_irecv`.

    Args:
        op: isend or irecv.
        tensor (Tensor): what is sent or filled.
        peer (int): the other rank, of the world; or group_peer, of the group.
        group, tag: as in :func:`isend`.
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
    """Starts all the given sends and receives, in whatever order they pair up; returns their Work handles."""
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
