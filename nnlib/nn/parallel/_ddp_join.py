"""DistributedDataParallel on uneven inputs: ranks that have none left answer those that have some."""

from ...distributed import _ddp
from ...distributed.algorithms.join import Join, Joinable, JoinHook
from ._world import refuse


class _JoinHook(JoinHook):
    def __init__(self, net):
        self.net = net

    def main_hook(self):
        """Answers the collectives of another rank's forward and backward."""
        net = self.net
        sync, root = net._agree_in_join(active=False, sync=False)
        net._sync_buffers(root)
        net.require_forward_param_sync = sync
        if sync:
            net.reducer.shadow_pass()

    def post_hook(self, is_last_joiner):
        """Gives all ranks the module of one that trained to the end."""
        net = self.net
        _, _, root = _ddp.agree(is_last_joiner, False, net.process_group)
        _ddp.broadcast_state(net.module, net.parameters_to_ignore, net.process_group, root)
        net.reducer.set_divisor(0)
        net._forwards = 0  # the ranks had different numbers


class Uneven(Joinable):
    """The part of DistributedDataParallel that :class:`Join` calls."""

    def _agree_in_join(self, active, sync):
        """Whether gradients are averaged in this iteration, and the group's rank whose buffers count."""
        count, sync, root = _ddp.agree(active, sync, self.process_group)
        if self._divide_by_active:
            self.reducer.set_divisor(count)
        return sync, root

    def join(self, divide_by_initial_world_size=True, enable=True, throw_on_early_termination=False):
        """A context in which ranks may have different numbers of inputs; see :class:`Join`.

        Ranks that have run out of inputs take part in the averages with zeros. At the end all ranks get the
        module of one that trained to the end. Buckets are not rebuilt inside.

        Args:
            divide_by_initial_world_size (bool): divide gradients by the number of ranks, or by the number of
                those that still have inputs (not together with a communication hook).
            enable (bool): False makes the context do nothing.
            throw_on_early_termination (bool): raise on all ranks as soon as one has run out of inputs.

        Example::

            >>> with net.join():  # doctest: +SKIP
            ...     for x in inputs:
            ...         net(x).sum().backward()
        """
        return Join(
            [self],
            enable,
            throw_on_early_termination,
            divide_by_initial_world_size=divide_by_initial_world_size,
        )

    def join_hook(self, *, divide_by_initial_world_size=True, **kwargs):
        """The hook by which :class:`Join` keeps this rank answering."""
        if kwargs:
            raise TypeError(f"join_hook got unexpected arguments {sorted(kwargs)}")
        if self._world is not None:
            refuse("join()")
        if not divide_by_initial_world_size and self._comm_hook is not None:
            raise NotImplementedError(
                "divide_by_initial_world_size=False does not work with a communication hook"
            )
        self._divide_by_active = not divide_by_initial_world_size
        return _JoinHook(self)

    @property
    def join_device(self):
        """The device of the parameters."""
        return self.device

    @property
    def join_process_group(self):
        """The process group."""
        return self.process_group
