"""Local SGD after a while: gradients are averaged over few ranks, and parameters over all now and then.

Lin et al., "Don't Use Large Mini-Batches, Use Local SGD", ICLR 2020.
"""

import platform

from ....futures import Future
from ...initialize import new_group
from ...objects import all_gather_object
from ...process_group import get_rank, resolve
from .default_hooks import allreduce_hook

__all__ = ["PostLocalSGDState", "post_localSGD_hook"]


class PostLocalSGDState:
    """What :func:`post_localSGD_hook` is told.

    Args:
        process_group (ProcessGroup): the group of the first passes; None for the default one.
        subgroup (ProcessGroup): the group of the later ones; None for the ranks of this node, for which all
            ranks of the world must make a state.
        start_localSGD_iter (int): the pass from which gradients are averaged over the subgroup alone.
        post_local_gradient_allreduce (bool): False for not averaging them at all from then on.

    Example::

        >>> from nnlib.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState
        >>> PostLocalSGDState(None, None, start_localSGD_iter=100).iter
        0
    """

    def __init__(self, process_group, subgroup, start_localSGD_iter, post_local_gradient_allreduce=True):
        self.process_group = resolve(process_group)
        self.start_localSGD_iter = start_localSGD_iter
        self.post_local_gradient_allreduce = post_local_gradient_allreduce
        if subgroup is None and post_local_gradient_allreduce:
            subgroup = _node_group()
        self.subgroup = subgroup
        self.iter = 0

    def maybe_increase_iter(self, bucket):
        """Counts passes."""
        if bucket.is_last():
            self.iter += 1


def _node_group():
    """A group of the world's ranks on this node; all ranks of the world make theirs together."""
    world = resolve(None)
    nodes = [None] * world.size()
    all_gather_object(nodes, platform.node())
    mine = None
    for node in sorted(set(nodes)):
        group = new_group([rank for rank, its in enumerate(nodes) if its == node])
        if nodes[get_rank()] == node:
            mine = group
    return mine


def post_localSGD_hook(state, bucket):
    """The average over the process group at first, and over the subgroup from ``start_localSGD_iter`` on.

    Goes together with :class:`nnlib.distributed.optim.PostLocalSGDOptimizer`, which then averages parameters.

    Example::

        >>> from nnlib.distributed.algorithms.ddp_comm_hooks import post_localSGD_hook as post
        >>> state = post.PostLocalSGDState(None, None, start_localSGD_iter=100)  # doctest: +SKIP
        >>> net.register_comm_hook(state, post.post_localSGD_hook)  # doctest: +SKIP
    """
    local = state.iter >= state.start_localSGD_iter
    state.maybe_increase_iter(bucket)
    if not local:
        return allreduce_hook(state.process_group, bucket)
    if state.post_local_gradient_allreduce:
        return allreduce_hook(state.subgroup, bucket)
    done = Future()
    done.set_result(bucket.buffer())
    return done
