"""Training on several ranks, each with a copy of the module and a part of the batch."""

import contextlib

from ... import distributed as dist
from ... import is_grad_enabled
from ...distributed import _ddp
from ...distributed.algorithms.join import Join
from ...distributed.process_group import resolve
from ..modules.module import Module
from ._ddp_arguments import settle_arguments
from ._ddp_delayed import Delayed
from ._ddp_join import Uneven
from ._ddp_reducer import Reducing
from ._outputs import find_tensors, pass_through_sink
from ._world import check_choice, refuse

FIRST_BUCKET_MB = 1.0


class DistributedDataParallel(Reducing, Uneven, Module):
    r"""Trains a module on all ranks of a process group: gradients are averaged during backward.

    Each rank runs the module on its own part of the data. Rank 0's weights and buffers are given to all ranks
    when the module is wrapped; gradients are collected in buckets, in reverse order of the parameters, and a
    bucket is averaged while backward computes the next. All ranks hold the same bits after every step, from
    run to run, and for any bucket size: sums are made in rank order, in float32 for float16 and bfloat16.

    :func:`nnlib.distributed.init_process_group` comes first. Construction, forward and backward are
    synchronization points: every rank must reach them in the same order. Gradients are averaged when they are
    accumulated in ``.grad`` or in a context of :mod:`nnlib.distributed.autograd`; :func:`nnlib.autograd.grad` is
    not seen. Parameters must not be added, removed or changed in shape afterwards.

    Args:
        module (Module): the module; at least one parameter must require a gradient.
        device_ids, output_device: None (or an empty list): a CPU module has no others.
        dim (int): must be 0.
        broadcast_buffers (bool): give all ranks rank 0's buffers at the beginning of forward. Default True.
        init_sync (bool): check that the ranks' parameters have the same names, shapes and dtypes, and give
            them rank 0's weights and buffers. Default True.
        process_group (ProcessGroup): None for the default group.
        bucket_cap_mb (float): the size of a bucket in MiB. Default 25; the first one is at most 1 MiB.
        find_unused_parameters (bool): look through the graph of the outputs for parameters that will get no
            gradient; otherwise such parameters are an error in the next forward.
        check_reduction (bool): make it an error to run forward in training mode again when no backward has
            followed the last time. A backward that was reduced in part is always an error.
        gradient_as_bucket_view (bool): let gradients be views of the buckets for good, also when somebody holds
            them or knows their address: the next backward overwrites them.
        static_graph (bool): every iteration uses the same parameters in the same way: allows parameters that
            are used more than once under checkpointing, and finds unused ones in the first iteration only.
        bucket_cap_mb_list (list of float): sizes of the first buckets one by one, the last for all others.
        deterministic (str): ``"world"``: weights have the same bits for any number of ranks (a power of two) that
            divide the same global batch. See below.
        virtual_shards (int): with ``deterministic="world"``, into how many parts the global batch is cut, a power
            of two and no fewer than there are ranks. The bits depend on it. Default 4.
        shard_order (str): with ``deterministic="world"``: which samples a rank has: ``"blocks"``, rank r has the
            r-th block of the global batch, or ``"interleaved"``, every world-size-th sample from the r-th on, as
            :class:`~nnlib.utils.data.DistributedSampler` deals them.
        forward_sync_buffers (bool): today's name of ``broadcast_buffers``; not together with it.
        delay_all_reduce_named_params (list of (str, Parameter)), param_to_hook_all_reduce (Parameter): parameters that
            are in no bucket: their gradients are averaged together when that of the other one comes, which must be
            after theirs.
        device_mesh (DeviceMesh): one of one dimension, in place of `process_group`.
        skip_all_reduce_unused_params (bool): with `find_unused_parameters`: do not average buckets of which a pass uses
            no parameter. All ranks must use the same parameters in each pass, and none may have joined.
        mixed_precision, batched_grad_copy: must be left at their defaults; there is :class:`nnlib.autocast`.

    With ``deterministic="world"``, forward cuts this rank's part of the batch (the first dimension of all tensor
    arguments) into its share of the virtual shards, runs the module on one after the other and puts the outputs
    together (scalars become a vector). Each shard's gradients are kept apart, and added up in a binary tree over
    the shards of all ranks. Random numbers follow the shard and the step, counted in :attr:`shard_step`, which a
    checkpoint has to keep where there is dropout. The bits are the same when every rank's part has the same
    size, the loss is a mean over samples, and all else that the program does (start weights, order of the
    data, optimizer) is the same. Refused, as they depend on the division: statistics of the batch, changes of
    parameters and buffers in forward, ``no_sync``, ``join``, sparse gradients and communication hooks. It costs
    one pass for each shard, and averages travel unsummed to all ranks, beside the backward of a rank's last shard.

    The sixth positional argument may also be a process group, and the second one too, as older code gives
    them; both warn.

    Attributes:
        module (Module): the wrapped module; its entries in :meth:`state_dict` begin with ``module.``.

    Raises:
        NotImplementedError: an argument that is not supported was given.
        RuntimeError: no parameter requires a gradient, or the ranks' parameters differ (the error says which).

    Example::

        >>> import nnlib as torch
        >>> import nnlib.distributed as dist
        >>> dist.init_process_group("mpi")  # doctest: +SKIP
        >>> model = torch.nn.Linear(4, 2)
        >>> net = torch.nn.parallel.DistributedDataParallel(model)  # doctest: +SKIP
        >>> net(torch.randn(8, 4)).sum().backward()  # doctest: +SKIP

    Method: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020.
    """

    def __init__(
        self,
        module,
        device_ids=None,
        output_device=None,
        dim=0,
        broadcast_buffers=None,
        init_sync=True,
        process_group=None,
        bucket_cap_mb=None,
        find_unused_parameters=False,
        check_reduction=False,
        gradient_as_bucket_view=False,
        static_graph=False,
        delay_all_reduce_named_params=None,
        param_to_hook_all_reduce=None,
        mixed_precision=None,
        device_mesh=None,
        skip_all_reduce_unused_params=False,
        bucket_cap_mb_list=None,
        batched_grad_copy=False,
        forward_sync_buffers=None,
        deterministic=None,
        virtual_shards=4,
        shard_order="blocks",
    ):
        given = dict(locals())
        super().__init__()
        settle_arguments(given)
        self.process_group = resolve(given["process_group"])
        if self.process_group is None:
            raise ValueError(
                "DistributedDataParallel was made on a rank that is not part of its process group"
            )
        self.module = module
        self.device_ids = self.output_device = None
        self.dim = dim
        self.broadcast_buffers = all(flag is not False for flag in (broadcast_buffers, forward_sync_buffers))
        self.find_unused_parameters = bool(given["find_unused_parameters"])
        self.check_reduction = bool(given["check_reduction"])
        self.gradient_as_bucket_view = bool(gradient_as_bucket_view)
        self.static_graph = bool(static_graph)
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self.parameters_to_ignore = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        delayed = list(delay_all_reduce_named_params or ())
        self.parameters_to_ignore.update(name for name, _ in delayed)
        self.skip_all_reduce_unused_params = bool(skip_all_reduce_unused_params)
        self._bucket_limits = _ddp.bucket_limits(given["bucket_cap_mb"], bucket_cap_mb_list, FIRST_BUCKET_MB)
        self.bucket_bytes_cap = self._bucket_limits[-1]
        self._comm_hook = None
        self._divide_by_active = False
        self._forwards = 0
        self._keeps_buckets = False
        check_choice(deterministic, virtual_shards, shard_order, self.process_group.size())
        self.deterministic, self.virtual_shards, self.shard_order = deterministic, virtual_shards, shard_order
        self._world = None
        self._start(given["init_sync"])
        self._delayed = Delayed(self, delayed, param_to_hook_all_reduce, init_sync) if delayed else None

    def forward(self, *inputs, **kwargs):
        """Runs the module. With gradients enabled, the backward pass that follows is averaged over ranks."""
        sync = is_grad_enabled() and self.require_backward_grad_sync
        in_shards = self._world is not None and is_grad_enabled()
        if in_shards and not sync:
            refuse("no_sync(): take more virtual shards to use less memory")
        root = 0
        if sync:
            self._check_last_pass()
        if self._join_config.enable:
            Join.notify_join_context(self)
            _, root = self._agree_in_join(active=True, sync=sync)
        elif sync:
            self._rebuild_buckets()
        self._sync_buffers(root)
        output = self._world.run(inputs, kwargs) if in_shards else self.module(*inputs, **kwargs)
        self.require_forward_param_sync = sync
        if not sync:
            if is_grad_enabled():  # without gradients a backward of before may still be to come
                self.reducer.expect_nothing()
            return output
        search = self.find_unused_parameters and not self.static_graph
        self.reducer.prepare_for_backward(list(find_tensors(output)) if search else [], self._count_forward())
        if search or (self.static_graph and not self.reducer.graph_known()):
            output = pass_through_sink(output)
        return output

    def _check_last_pass(self):
        self.reducer.check_finished()
        if self.check_reduction and self.training and self.reducer.awaits_backward():
            raise RuntimeError(
                f"Not all gradients have been reduced from the backward of the previous iteration: rank "
                f"{dist.get_rank()} runs forward again although no backward followed the last one. Forward passes "
                "without a backward belong under no_grad() or no_sync()"
            )

    def _count_forward(self):
        """How often forward was run to train; 0, which says nothing, while ranks have joined."""
        if self._join_config.enable:
            return 0
        self._forwards += self.training
        return self._forwards

    def _sync_buffers(self, root):
        if self.broadcast_buffers and self.require_forward_param_sync:
            _ddp.broadcast_buffers(self.module, self.parameters_to_ignore, self.process_group, root)

    @contextlib.contextmanager
    def no_sync(self):
        """A context in which forward and backward stay local and gradients add up.

        The first pass outside of it averages the sum. The forward pass must be inside the context too.

        Example::

            >>> with net.no_sync():  # doctest: +SKIP
            ...     for part in parts:
            ...         net(part).sum().backward()
            >>> net(last).sum().backward()  # doctest: +SKIP
        """
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def register_comm_hook(self, state, hook):
        """Replaces the averaging of a bucket by ``hook(state, bucket)``.

        Args:
            state (object): passed to the hook.
            hook (callable): takes the state and a :class:`nnlib.distributed.GradBucket`, called during
                backward; returns a :class:`nnlib.futures.Future` of the tensor that the bucket's gradients become.
        """
        _ddp.check_comm_hook(hook)
        if self._comm_hook is not None and self._world is not None:
            refuse("communication hooks")
        if self._comm_hook is not None:
            raise RuntimeError(
                "register_comm_hook or register_builtin_comm_hook can only be called once per "
                "DistributedDataParallel"
            )
        self._comm_hook = (state, hook)
        self.reducer.set_comm_hook(_ddp.native_hook(state, hook))

    def communication_stats(self):
        """What averaging cost in the last pass: a dict.

        ``buckets`` and ``bytes`` that were averaged; ``copied``: bytes that were copied into the buckets or out of
        them; ``communicating``: seconds that the averages took, waiting for other ranks included; ``waited``:
        seconds of those when backward had nothing left to do; ``hidden``: the share that was hidden behind
        backward, from 0 to 1 (1 where nothing was averaged).

        Example::

            >>> net(x).sum().backward()  # doctest: +SKIP
            >>> net.communication_stats()["hidden"]  # doctest: +SKIP
            0.83
        """
        stats = self.reducer.stats()
        spent = stats["communicating"]
        stats["hidden"] = max(0.0, 1.0 - stats["waited"] / spent) if spent > 0 else 1.0
        return stats

    @property
    def forward_sync_buffers(self):
        """Whether buffers are broadcast at the beginning of forward."""
        return self.broadcast_buffers
