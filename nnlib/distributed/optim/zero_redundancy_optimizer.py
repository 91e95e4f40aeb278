"""An optimizer whose state is spread over the ranks.

Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", SC 2020; this is its
first stage.
"""

import functools
import warnings

from ... import cat, no_grad
from ...optim import LBFGS, Optimizer
from .._ddp import broadcast_coalesced
from ..algorithms.join import Join, Joinable, JoinHook
from ..collectives import broadcast
from ..objects import gather_object
from ..process_group import resolve

__all__ = ["ZeroRedundancyOptimizer"]


class _StepHook(JoinHook):
    def __init__(self, zero):
        self.zero = zero

    def main_hook(self):
        """Steps with the others: their parameters are needed here too."""
        self.zero.step()


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """Each rank keeps the optimizer's state of a part of the parameters, steps it, and gives it to the others.

    For parameters that all ranks hold, with gradients that are averaged, as DistributedDataParallel leaves them.
    After a step all ranks have the weights that the plain optimizer would give, to the bit. Parameters are handed
    out whole, large ones first, each to the rank that has least.

    Args:
        params (iterable): tensors, or dicts of groups, the same on all ranks.
        optimizer_class (type): the optimizer of each part. Not LBFGS, which looks at all parameters at once.
        process_group (ProcessGroup): None for the default one.
        parameters_as_bucket_view (bool): let parameters be views of one flat tensor for each rank and dtype, which
            saves copies when they are given to the others.
        overlap_with_ddp (bool): step during backward, bucket by bucket, from a hook of DistributedDataParallel that
            :func:`~nnlib.distributed.algorithms.ddp_comm_hooks.ddp_zero_hook.hook_with_zero_step` makes; the hook
            also hands the parameters out, and :meth:`step` is not called.
        defaults: given to the optimizer.

    Example::

        >>> import nnlib as torch
        >>> from nnlib.distributed.optim import ZeroRedundancyOptimizer
        >>> optimizer = ZeroRedundancyOptimizer(  # doctest: +SKIP
        ...     net.parameters(), torch.optim.Adam, lr=0.01
        ... )
        >>> net(x).sum().backward()  # doctest: +SKIP
        >>> optimizer.step()  # doctest: +SKIP
        >>> optimizer.consolidate_state_dict(to=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        params,
        optimizer_class,
        process_group=None,
        parameters_as_bucket_view=False,
        overlap_with_ddp=False,
        **defaults,
    ):
        if not (isinstance(optimizer_class, type) and issubclass(optimizer_class, Optimizer)):
            raise TypeError(f"expected a class of optimizers, but got {optimizer_class!r}")
        if issubclass(optimizer_class, LBFGS):
            raise ValueError("LBFGS looks at all parameters at once: its state cannot be spread over ranks")
        self.process_group = resolve(process_group)
        self.rank, self.world_size = self.process_group.rank(), self.process_group.size()
        if overlap_with_ddp and parameters_as_bucket_view:
            warnings.warn("overlap_with_ddp=True does without parameters_as_bucket_view", stacklevel=2)
        self.parameters_as_bucket_view = bool(parameters_as_bucket_view) and not overlap_with_ddp
        self._overlap_with_ddp = bool(overlap_with_ddp)
        self.optim = None
        self._parts = []  # by group: the indices of its parameters for each rank
        self._sizes = [0] * self.world_size
        self._flat = []  # with views: a list for each rank
        self._all_states = None
        super().__init__(params, defaults)
        self._make_optim = functools.partial(optimizer_class, **defaults)
        if not self._overlap_with_ddp:
            self._parts = [self._hand_out(group["params"]) for group in self.param_groups]
            self._start()

    def _start(self):
        self.optim = self._make_optim(self._part_groups(self.rank))
        self.state = self.optim.state
        self._take_options(self.optim.param_groups, self.param_groups)
        self._make_views()

    def _check_started(self):
        if self.optim is None:
            raise RuntimeError(
                "This method should not be called until this ZeroRedundancyOptimizer instance has been fully "
                "initialized: with overlap_with_ddp=True hook_with_zero_step hands its parameters out"
            )

    # Who has what.

    def add_param_group(self, param_group):
        """Adds a group, on all ranks; its parameters are handed out too."""
        if self.optim is not None and self._overlap_with_ddp:
            raise RuntimeError(
                "with overlap_with_ddp=True no group can be added: its gradients are in no bucket"
            )
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        self._all_states = None
        if self.optim is not None:  # the first ones are given to it when it is made
            self._parts.append(self._hand_out(group["params"]))
            self.optim.add_param_group(self._part(group, self._parts[-1][self.rank]))
            self._take_options(self.optim.param_groups[-1:], self.param_groups[-1:])
            self._make_views()

    def _hand_out(self, params):
        parts = [[] for _ in range(self.world_size)]
        for i in sorted(range(len(params)), key=lambda i: -params[i].numel()):
            rank = self._sizes.index(min(self._sizes))
            parts[rank].append(i)
            self._sizes[rank] += params[i].numel()
        return parts

    def _give_to(self, owner):
        """Starts with the parameters handed out as `owner` says, a dict from their ids to ranks."""
        for group in self.param_groups:
            parts = [[] for _ in range(self.world_size)]
            for i, param in enumerate(group["params"]):
                parts[owner[id(param)]].append(i)
            self._parts.append(parts)
        self._start()

    @staticmethod
    def _part(group, indices):
        return {**group, "params": [group["params"][i] for i in indices]}

    def _part_groups(self, rank):
        pairs = zip(self.param_groups, self._parts, strict=True)
        return [self._part(group, parts[rank]) for group, parts in pairs]

    def _params_of(self, rank):
        return [param for group in self._part_groups(rank) for param in group["params"]]

    def _make_views(self):
        """Lays each rank's parameters of a dtype one after the other in memory."""
        if not self.parameters_as_bucket_view:
            return
        self._flat = []
        for rank in range(self.world_size):
            by_dtype = {}
            for param in self._params_of(rank):
                by_dtype.setdefault(param.dtype, []).append(param)
            self._flat.append([self._lay_out(params) for params in by_dtype.values()])

    @staticmethod
    def _lay_out(params):
        with no_grad():
            flat = cat([param.detach().reshape(-1) for param in params])
        start = 0
        for param in params:
            param.data = flat[start : start + param.numel()].view(param.shape)
            start += param.numel()
        return flat

    # Steps.

    def step(self, closure=None, **kwargs):
        """Steps this rank's part, and takes the other parts from their ranks.

        Args:
            closure (callable): computes the loss anew and returns it; called on every rank.
            kwargs: given to the optimizer's ``step``.

        Returns the closure's loss on this rank, or None.
        """
        if self._overlap_with_ddp:
            warnings.warn(
                "`step()` should not be called with `overlap_with_ddp=True`: backward() steps", stacklevel=3
            )
            return None
        Join.notify_join_context(self)
        self._take_options(self.param_groups, self.optim.param_groups)  # a scheduler may have changed them
        loss = self.optim.step(**kwargs) if closure is None else self.optim.step(closure, **kwargs)
        self._take_options(self.optim.param_groups, self.param_groups)
        self._all_states = None
        self._share()
        return loss

    def _step_some(self, params, grads):
        """Steps these of this rank's parameters, with these gradients."""
        groups = self.optim.param_groups
        self._take_options(self.param_groups, groups)
        wanted = {id(param) for param in params}
        kept, whole = [param.grad for param in params], [group["params"] for group in groups]
        try:
            for param, grad in zip(params, grads, strict=True):
                param.grad = grad
            for group in groups:
                group["params"] = [param for param in group["params"] if id(param) in wanted]
            self.optim.step()
        finally:
            for param, grad in zip(params, kept, strict=True):
                param.grad = grad
            for group, its in zip(groups, whole, strict=True):
                group["params"] = its
        self._take_options(groups, self.param_groups)

    def _after_steps(self):
        """All parameters have been stepped in parts."""
        self._all_states = None
        self._opt_called = True  # what a scheduler looks at

    def _share(self):
        if self.world_size == 1:
            return
        if not self.parameters_as_bucket_view:
            for rank in range(self.world_size):
                params = [param.detach() for param in self._params_of(rank)]
                broadcast_coalesced(params, self.process_group, rank)
            return
        works = [
            broadcast(flat, group=self.process_group, group_src=rank, async_op=True)
            for rank, flats in enumerate(self._flat)
            for flat in flats
        ]
        for work in works:
            work.wait()

    @staticmethod
    def _take_options(source, target):
        for one, other in zip(source, target, strict=True):
            other.update({key: value for key, value in one.items() if key != "params"})

    # Saving.

    def consolidate_state_dict(self, to=0):
        """Brings the state of all ranks to one, whose :meth:`state_dict` then has everything.

        Args:
            to (int): the rank of the group that gets it. All ranks call this.
        """
        self._check_started()
        self._take_options(self.param_groups, self.optim.param_groups)
        states = [None] * self.world_size if self.rank == to else None
        gather_object(self.optim.state_dict(), states, group=self.process_group, group_dst=to)
        self._all_states = states

    def state_dict(self):
        """The state as the plain optimizer has it, on the rank that :meth:`consolidate_state_dict` named.

        Raises RuntimeError where it has not been brought together since the last step.
        """
        self._check_started()
        if self._all_states is None:
            raise RuntimeError(
                f"Optimizer state has not been consolidated on this rank (rank {self.rank}). Please call "
                "`consolidate_state_dict(to=...)` on all ranks beforehand if you meant to save the global state."
            )
        whole = super().state_dict()
        whole["state"] = {}
        for rank, part in enumerate(self._all_states):
            places = [i for indices in self._global_indices(rank) for i in indices]
            own = [i for group in part["param_groups"] for i in group["params"]]
            place_of = dict(zip(own, places, strict=True))
            whole["state"].update({place_of[i]: state for i, state in part["state"].items()})
        whole["state"] = dict(sorted(whole["state"].items()))
        return whole

    def _global_indices(self, rank):
        """By group: the indices among all parameters of those that a rank has."""
        start, found = 0, []
        for group, parts in zip(self.param_groups, self._parts, strict=True):
            found.append([start + i for i in parts[rank]])
            start += len(group["params"])
        return found

    def load_state_dict(self, state_dict):
        """Takes a whole state, of :meth:`state_dict` or of the plain optimizer; each rank keeps its part.

        All ranks call it with the same state, whatever their number was when it was saved.
        """
        self._check_started()
        lengths = [len(group["params"]) for group in state_dict["param_groups"]]
        if lengths != [len(group["params"]) for group in self.param_groups]:
            raise ValueError("loaded state dict has parameter groups that do not fit the optimizer's")
        names = [name for group in state_dict["param_groups"] for name in group["params"]]
        part, groups, count = {}, [], 0
        for group, places in zip(state_dict["param_groups"], self._global_indices(self.rank), strict=True):
            groups.append({**group, "params": list(range(count, count + len(places)))})
            for place in places:
                if names[place] in state_dict["state"]:
                    part[count] = state_dict["state"][names[place]]
                count += 1
        self.optim.load_state_dict({"state": part, "param_groups": groups})
        self.state = self.optim.state
        self._take_options(self.optim.param_groups, self.param_groups)
        self._all_states = None

    # Uneven inputs.

    def join_hook(self, **kwargs):
        """The hook by which :class:`Join` keeps this rank stepping."""
        return _StepHook(self)

    @property
    def join_device(self):
        """The device of the parameters."""
        return self.param_groups[0]["params"][0].device

    @property
    def join_process_group(self):
        """The process group."""
        return self.process_group
