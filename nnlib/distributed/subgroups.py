"""Dividing a group into smaller ones."""

from ._launcher import announced_local_rank
from ._request import Request
from ._work import seconds_of
from .initialize import _check_backend, new_group
from .process_group import GroupMember, ProcessGroup, resolve, state, world

__all__ = ["get_node_local_rank", "new_subgroups", "new_subgroups_by_enumeration", "split_group"]


def new_subgroups(group_size=None, group=None, timeout=None, backend=None, pg_options=None, group_desc=None):
    """Divides the ranks into groups of the same size, neighbours together. All ranks of the world call it.

    Args:
        group_size (int): ranks of each group. Default: the ranks of a node, where all nodes have as many.
        group (ProcessGroup): the ranks that are divided; None for all.
        timeout, backend, pg_options, group_desc: as in :func:`new_group`.

    Returns (ProcessGroup, list of ProcessGroup): this rank's group, and all groups (on ranks outside of a group
    ``GroupMember.NON_GROUP_MEMBER`` stands in its place).

    Raises:
        ValueError: the ranks cannot be divided so.

    Example::

        >>> mine, all_of_them = dist.new_subgroups(group_size=1)
        >>> mine.size(), len(all_of_them) == dist.get_world_size()
        (1, True)
    """
    whole = resolve(group)
    if whole is None:
        raise ValueError("new_subgroups must be called with a group that this process is part of")
    if group_size is None:
        sizes = {len(node) for node in whole.nodes()}
        if len(sizes) != 1:
            raise ValueError(f"nodes have different numbers of ranks, {sorted(sizes)}: give group_size")
        group_size = sizes.pop()
    if not isinstance(group_size, int) or isinstance(group_size, bool):
        raise TypeError(f"expected group_size to be an int, but got {type(group_size).__name__}")
    if group_size <= 0:
        raise ValueError(f"The arg 'group_size' ({group_size}) must be positive")
    size = whole.size()
    if size < group_size:
        raise ValueError(f"The arg 'group_size' ({group_size}) must not exceed the world size ({size})")
    if size % group_size != 0:
        raise ValueError(f"The world size ({size}) must be divisible by 'group_size={group_size}'")
    lists = [whole.ranks[first : first + group_size] for first in range(0, size, group_size)]
    return new_subgroups_by_enumeration(lists, timeout, backend, pg_options, group_desc)


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list, timeout=None, backend=None, pg_options=None, group_desc=None
):
    """Makes a group of each list of ranks. All ranks of the world call it, with the same lists.

    Args:
        ranks_per_subgroup_list (list of list of int): the world's ranks of each group, none in two of them.
        timeout, backend, pg_options, group_desc: as in :func:`new_group`.

    Returns (ProcessGroup or None, list of ProcessGroup): the group of which this rank is part, and all groups.

    Raises:
        ValueError: no list, or a rank in two of them.

    Example::

        >>> mine, groups = dist.new_subgroups_by_enumeration([[0]])
        >>> dist.get_process_group_ranks(mine), len(groups)
        ([0], 1)
    """
    lists = [list(ranks) for ranks in ranks_per_subgroup_list or ()]
    if not lists:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    every = [rank for ranks in lists for rank in ranks]
    twice = sorted({rank for rank in every if every.count(rank) > 1})
    if twice:
        raise ValueError(f"ranks {twice} are in more than one of the groups {lists}")
    groups = [
        new_group(ranks, timeout, backend, pg_options, group_desc=group_desc and f"{group_desc} {i}")
        for i, ranks in enumerate(lists)
    ]
    mine = next((group for group in groups if group is not GroupMember.NON_GROUP_MEMBER), None)
    return mine, groups


def split_group(parent_pg=None, split_ranks=None, timeout=None, pg_options=None, group_desc=None):
    """Divides a group; its ranks call it, and no others.

    Args:
        parent_pg (ProcessGroup): the group that is divided; None for the default one.
        split_ranks (list of list of int): ranks of the parent for each new group, the same on all ranks.
        timeout (timedelta or float): of the new groups; by default the parent's.
        pg_options: must be None.
        group_desc (str): a name for the new groups, used in messages.

    Returns the group of which this rank is part, or None.

    Raises:
        ValueError: no lists, a rank twice, or one that the parent does not have.

    Example::

        >>> dist.split_group(split_ranks=[[0]]).ranks
        [0]
    """
    parent = world() if parent_pg is None else resolve(parent_pg)
    if parent is None:
        raise ValueError("split_group must be called with a group that this process is part of")
    _check_backend(parent.backend)
    if pg_options is not None:
        raise NotImplementedError(f'pg_options is not supported by the backend "mpi", but got {pg_options!r}')
    lists = [sorted(ranks) for ranks in split_ranks or ()]
    if not lists or not all(lists):
        raise ValueError("split_ranks cannot be None or empty")
    every = [rank for ranks in lists for rank in ranks]
    if len(set(every)) != len(every):
        raise ValueError(f"split_ranks has a rank more than once: {lists}")
    if min(every) < 0 or max(every) >= parent.size():
        raise ValueError(f"split_ranks needs ranks from 0 to {parent.size() - 1}, but got {lists}")
    seconds = seconds_of(timeout, parent.timeout)
    mine = None
    for members in lists:
        made = _part(parent, members, seconds, group_desc)
        mine = made if made is not None else mine
    return mine


def _part(parent, members, seconds, name):
    """The group of these ranks of the parent, on those; None on its others."""
    parent.twins += 1
    number, name = (parent.number, parent.twins), name or f"{parent.group_name}, part {parent.twins}"
    made = []

    def split(transport, headers):
        made.append(transport.subgroup(name, number, members, seconds))
        return
        yield

    digest = hash((number, tuple(members)))
    parent.submit(Request("new_group", digest=digest, count=len(members), timeout=parent.timeout, body=split))
    if made[0] is None:
        return None
    group = ProcessGroup(name, [parent.ranks[r] for r in members], made[0], seconds, parent.backend)
    state["groups"].append(group)
    return group


def get_node_local_rank(fallback_rank=None):
    """This process's place among the ranks of its host, from 0 on.

    Args:
        fallback_rank (int): what is returned where neither MPI nor a launcher's variable tells.

    Raises:
        RuntimeError: it is not known, and no fallback was given.

    Example::

        >>> dist.get_node_local_rank(fallback_rank=0)
        0
    """
    group = state["world"]
    if group is not None:
        run = group._transport.runtime
        return 0 if run is None else run.node.rank
    rank = announced_local_rank()
    if rank is None:
        rank = fallback_rank
    if rank is None:
        raise RuntimeError(
            "LOCAL_RANK is not in the environment, and init_process_group has not been called: call it, start "
            "the ranks with a launcher, or pass fallback_rank"
        )
    return int(rank)
