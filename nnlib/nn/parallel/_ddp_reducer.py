"""The native reducer of DistributedDataParallel: how it is made, made again, and left out of pickles."""

import copy

from ... import _C
from ... import distributed as dist
from ...distributed import _ddp
from ...distributed.process_group import resolve
from ._world import WorldShards, refuse, tree_average_hook


class Reducing:
    """The part of DistributedDataParallel that keeps its reducer."""

    def _start(self, init_sync):
        named = _ddp.trainable(self.module, self.parameters_to_ignore)
        if not named:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter that "
                "requires a gradient."
            )
        self._named = named
        self.device = named[0][1].device
        if init_sync:
            _ddp.check_agreement(self.module, self.parameters_to_ignore, self.process_group)
            _ddp.broadcast_state(self.module, self.parameters_to_ignore, self.process_group)
        self._make_reducer()
        if self.deterministic:
            self._make_world()

    def _make_world(self):
        if any(self._sparse):
            refuse("sparse gradients")
        group, order = self.process_group, self.shard_order
        self._world = WorldShards(
            self.module, self._named, group, self.virtual_shards, order, self._assignment
        )
        self.register_comm_hook(order, lambda order, bucket: tree_average_hook(order, bucket, group))

    def _make_reducer(self):
        self._sparse = _ddp.sparse_flags(self.module, self._named)
        order = list(range(len(self._named)))[::-1]
        self._rebuilt = self._keeps_buckets
        buckets = self._assignment = self._assign(order)
        self.reducer = _C._distributed.Reducer(
            self._parameters_in_order(),
            [name for name, _ in self._named],
            self._sparse,
            buckets,
            self._native_group(buckets),
            self.find_unused_parameters and not self.static_graph,
            self.static_graph,
            self.gradient_as_bucket_view,
            self.skip_all_reduce_unused_params,
        )
        group = self.process_group  # the reducer must not hold this module
        self.reducer.set_sparse_average(lambda grad, parameter: _ddp.average_sparse(grad, parameter, group))
        if self._comm_hook is not None:
            self.reducer.set_comm_hook(_ddp.native_hook(*self._comm_hook))

    def _parameters_in_order(self):
        return [parameter for _, parameter in self._named]

    def _assign(self, order):
        parameters = self._parameters_in_order()
        return _C._distributed.assign_buckets(parameters, order, self._sparse, self._bucket_limits)

    def _native_group(self, buckets):
        size = _C._distributed.arena_bytes(self._parameters_in_order(), self._sparse, buckets)
        return _ddp.native_group(self.process_group, size)

    def _rebuild_buckets(self):
        """Once, after the first averaged backward: buckets in the order in which rank 0's gradients came."""
        if self._rebuilt or self.find_unused_parameters or not self.reducer.arrivals_known():
            return
        self._rebuilt = True
        order = [self.reducer.arrival_order()]
        dist.broadcast_object_list(order, group=self.process_group, group_src=0)
        order = order[0] + sorted(set(range(len(self._named))) - set(order[0]))
        buckets = self._assignment = self._assign(order)
        self.reducer.rebuild(buckets, self._native_group(buckets))
        if self._world is not None:
            self._world.buckets = buckets

    def _keep_buckets(self):
        """From now on the buckets stay as they are; gives the parameters of each."""
        self._keeps_buckets = self._rebuilt = True
        parameters = self._parameters_in_order()
        return [[parameters[i] for i in bucket] for bucket in self._assignment]

    @property
    def shard_step(self):
        """With ``deterministic="world"``: how many batches there were, which random numbers follow. Settable."""
        return None if self._world is None else self._world.step

    @shard_step.setter
    def shard_step(self, step):
        if self._world is None:
            raise RuntimeError('shard_step belongs to deterministic="world"')
        self._world.step = int(step)

    def _set_static_graph(self):
        """As ``static_graph=True``, on a module that has been wrapped already."""
        if not self.static_graph:
            self.static_graph = True
            self._make_reducer()

    def __getstate__(self):
        if self.process_group is not dist.group.WORLD:
            raise RuntimeError(
                "DDP Pickling/Unpickling are only supported when using DDP with the default process group."
            )
        state = dict(self.__dict__)
        for name in ("process_group", "reducer", "_named", "_world"):
            del state[name]
        if self._world is not None:
            state["_comm_hook"] = None
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.process_group = resolve(None)
        self._named = _ddp.trainable(self.module, self.parameters_to_ignore)
        self._world = None
        self._make_reducer()
        if self.deterministic:
            self._make_world()

    def __deepcopy__(self, memo):
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made
