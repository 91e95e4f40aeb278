"""Collectives of Python objects. They travel pickled: use them between ranks of your own program only."""

import pickle

import numpy as np

from .. import from_numpy
from .collectives import broadcast, member, root_of
from .gathers import all_gather, gather, scatter
from .p2p import recv, send


def _check_device(device):
    if device is not None and not str(device).startswith("cpu"):
        raise ValueError(f"expected device to be None or a CPU device, but got {device!r}")


def _pack(value):
    return from_numpy(np.frombuffer(pickle.dumps(value, protocol=5), np.uint8).copy())


def _unpack(tensor, size):
    return pickle.loads(tensor.numpy()[:size].tobytes())


def _empty(size):
    return from_numpy(np.zeros(size, np.uint8))


def _numbers(values):
    return from_numpy(np.array(values, np.int64))


def _padded(value, group):
    """The pickled object, padded to the longest of all ranks; with all ranks' sizes."""
    packed = _pack(value)
    sizes = [_numbers([0]) for _ in range(group.size())]
    all_gather(sizes, _numbers([packed.numel()]), group)
    sizes = [int(size.item()) for size in sizes]
    whole = _empty(max(sizes))
    whole[: packed.numel()].copy_(packed)
    return whole, sizes


def all_gather_object(object_list, obj, group=None):
    """Fills a list with the objects of all ranks, in rank order.

    Args:
        object_list (list): with a place for each rank.
        obj: anything that can be pickled.
        group (ProcessGroup): None for the default one.

    Example::

        >>> seen = [None] * dist.get_world_size()
        >>> dist.all_gather_object(seen, {"rank": dist.get_rank()})
        >>> seen  # of one rank; of two there is a 1 too
        [{'rank': 0}]
    """
    if (group := member(group, "all_gather_object")) is None:
        return
    _check_places(object_list, group.size(), "object_list")
    whole, sizes = _padded(obj, group)
    parts = [_empty(whole.numel()) for _ in sizes]
    all_gather(parts, whole, group)
    for i, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        object_list[i] = _unpack(part, size)


def gather_object(obj, object_gather_list=None, dst=None, group=None, group_dst=None):
    """Brings the objects of all ranks to the root.

    Args:
        obj: anything that can be pickled.
        object_gather_list (list): on the root, with a place for each rank, filled in rank order; None elsewhere.
        dst (int): the root, a rank of the world, by default the group's first; or group_dst, a rank of the group.
        group (ProcessGroup): None for the default one.

    Example::

        >>> seen = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
        >>> dist.gather_object({"rank": dist.get_rank()}, seen)
        >>> seen
        [{'rank': 0}]
    """
    if (group := member(group, "gather_object")) is None:
        return
    root = root_of(group, dst, group_dst, "dst", group.ranks[0])
    mine = group.rank() == root
    if mine:
        _check_places(object_gather_list, group.size(), "object_gather_list")
    elif object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must NOT be specified on non-destination ranks.")
    whole, sizes = _padded(obj, group)
    parts = [_empty(whole.numel()) for _ in sizes] if mine else None
    gather(whole, parts, group=group, group_dst=root)
    for i, (part, size) in enumerate(zip(parts or (), sizes, strict=False)):
        object_gather_list[i] = _unpack(part, size)


def broadcast_object_list(object_list, src=None, group=None, device=None, group_src=None):
    """Replaces the objects of the lists by those of the root's list.

    Args:
        object_list (list): objects that can be pickled; equally long on all ranks.
        src (int): the root, by default the group's first; or group_src, a rank of the group.
        group (ProcessGroup): None for the default one.
        device: None or a CPU device.

    Example::

        >>> settings = [{"seed": 7}] if dist.get_rank() == 0 else [None]
        >>> dist.broadcast_object_list(settings, src=0)
        >>> settings
        [{'seed': 7}]
    """
    _check_device(device)
    if (group := member(group, "broadcast_object_list")) is None:
        return
    root = root_of(group, src, group_src, "src", group.ranks[0])
    mine = group.rank() == root
    packed = [_pack(value) for value in object_list] if mine else []
    sizes = _numbers([p.numel() for p in packed] or [0] * len(object_list))
    broadcast(sizes, group=group, group_src=root)
    sizes = sizes.tolist()
    whole = _join(packed) if mine else _empty(sum(sizes))
    broadcast(whole, group=group, group_src=root)
    if not mine:
        for i, part in enumerate(_cut(whole, sizes)):
            object_list[i] = part


def _join(packed):
    return from_numpy(np.concatenate([p.numpy() for p in packed])) if packed else _empty(0)


def _cut(whole, sizes):
    start = 0
    for size in sizes:
        yield _unpack(whole[start : start + size], size)
        start += size


def scatter_object_list(
    scatter_object_output_list, scatter_object_input_list=None, src=None, group=None, group_src=None
):
    """Puts this rank's object of the root's list into the first place of the output list.

    Args:
        scatter_object_output_list (list): with at least one place.
        scatter_object_input_list (list): on the root, an object for each rank.
        src (int): the root, by default the group's first; or group_src, a rank of the group.
        group (ProcessGroup): None for the default one.

    Example::

        >>> mine = [None]
        >>> dist.scatter_object_list(mine, ["a"])  # in a world of one
        >>> mine
        ['a']
    """
    if (group := member(group, "scatter_object_list")) is None:
        return
    if not isinstance(scatter_object_output_list, list) or len(scatter_object_output_list) < 1:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    root = root_of(group, src, group_src, "src", group.ranks[0])
    mine = group.rank() == root
    packed = []
    if mine:
        _check_places(scatter_object_input_list, group.size(), "scatter_object_input_list")
        packed = [_pack(value) for value in scatter_object_input_list]
    sizes = _numbers([p.numel() for p in packed] or [0] * group.size())
    broadcast(sizes, group=group, group_src=root)
    sizes = sizes.tolist()
    parts = [_empty(max(sizes)) for _ in packed]
    for part, one in zip(parts, packed, strict=True):
        part[: one.numel()].copy_(one)
    came = _empty(max(sizes))
    scatter(came, parts if mine else None, group=group, group_src=root)
    scatter_object_output_list[0] = _unpack(came, sizes[group.rank()])


def send_object_list(object_list, dst=None, group=None, device=None, group_dst=None):
    """Sends objects to one rank, which calls :func:`recv_object_list` with a list as long.

    Args:
        object_list (list): objects that can be pickled.
        dst (int): the receiver, a rank of the world; or group_dst, a rank of the group.
        group (ProcessGroup): None for the default one.
        device: None or a CPU device.

    Example::

        >>> dist.send_object_list([{"step": 3}], dst=1)  # doctest: +SKIP
    """
    _check_device(device)
    if (group := member(group, "send_object_list")) is None:
        return
    packed = [_pack(value) for value in object_list]
    send(_numbers([p.numel() for p in packed]), dst, group, group_dst=group_dst)
    send(_join(packed), dst, group, group_dst=group_dst)


def recv_object_list(object_list, src=None, group=None, device=None, group_src=None):
    """Fills a list with the objects that a rank sends; returns the sender's rank.

    Args:
        object_list (list): as long as what is sent.
        src (int): the sender, a rank of the world, None for any; or group_src, a rank of the group.
        group (ProcessGroup): None for the default one.
        device: as in :func:`send_object_list`.

    Example::

        >>> came = [None]
        >>> dist.recv_object_list(came, src=0)  # doctest: +SKIP
        0
    """
    _check_device(device)
    if (group := member(group, "recv_object_list")) is None:
        return -1
    sizes = _numbers([0] * len(object_list))
    sender = recv(sizes, src, group, group_src=group_src)
    sizes = sizes.tolist()
    whole = _empty(sum(sizes))
    recv(whole, sender, group)
    for i, value in enumerate(_cut(whole, sizes)):
        object_list[i] = value
    return sender


def _check_places(objects, ranks, name):
    if not isinstance(objects, list) or len(objects) != ranks:
        raise ValueError(f"expected `{name}` to be a list with one place for each of the {ranks} ranks")
