"""PowerSGD: gradients travel as products of two thin matrices.

Vogels, Karimireddy and Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization",
NeurIPS 2019.

Note [One bucket after the other]
A bucket takes two sums over the ranks, and the second is started when the first is there, whenever that is. All
ranks must start their sums in the same order. So they go through a group that only this state uses, and a bucket
starts when the one before it has ended.
"""

import logging
import math

import numpy as np

from .... import Generator, bfloat16, bmm, cat, float16, linalg, randn, stack, zeros
from ....futures import Future
from ...collectives import ReduceOp, all_reduce
from ...initialize import twin_group
from ...process_group import resolve
from .default_hooks import allreduce_hook

__all__ = ["PowerSGDState", "batched_powerSGD_hook", "powerSGD_hook"]

logger = logging.getLogger(__name__)
SETTLING_PASSES = 2  # after which DistributedDataParallel keeps its buckets


class PowerSGDState:
    """What :func:`powerSGD_hook` is told, and what it remembers. Used for one module.

    Args:
        process_group (ProcessGroup): the module's group; None for the default one.
        matrix_approximation_rank (int): columns of the thin matrices. More is closer and costs more.
        start_powerSGD_iter (int): passes that are averaged without compression at first; at least 2 with error
            feedback or a warm start, because buckets change after the first pass.
        min_compression_rate (float): a tensor with n rows and m columns is compressed when
            ``(n + m) * rank * min_compression_rate < n * m``; others, such as biases, are averaged as they are.
        use_error_feedback (bool): add what compression left out to the next gradient.
        warm_start (bool): go on from the last pass's matrices instead of random ones.
        orthogonalization_epsilon (float): added to norms of columns; above 0 where columns may be all zeros.
        random_seed (int): for the first matrices; the same on all ranks.
        compression_stats_logging_frequency (int): passes from one line of log to the next.
        batch_tensors_with_same_shape (bool): multiply matrices of the same shape together.

    A state can be pickled, to go on from a checkpoint. Its process group is then the default one, and the first two
    passes are averaged without compression: the new module finds its buckets in them, the ones that the memory of
    the state is about.

    Example::

        >>> from nnlib.distributed.algorithms.ddp_comm_hooks import powerSGD_hook
        >>> state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2, start_powerSGD_iter=100)
        >>> net.register_comm_hook(state, powerSGD_hook.powerSGD_hook)  # doctest: +SKIP
    """

    _SAVED = ("matrix_approximation_rank", "start_powerSGD_iter", "min_compression_rate", "use_error_feedback",
              "warm_start", "orthogonalization_epsilon", "rng", "compression_stats_logging_frequency",
              "batch_tensors_with_same_shape", "error_dict", "q_memory_dict", "iter",
              "total_numel_before_compression", "total_numel_after_compression", "next_stats_report")  # fmt: skip

    def __init__(
        self,
        process_group,
        matrix_approximation_rank=1,
        start_powerSGD_iter=1_000,
        min_compression_rate=2,
        use_error_feedback=True,
        warm_start=True,
        orthogonalization_epsilon=0,
        random_seed=0,
        compression_stats_logging_frequency=10_000,
        batch_tensors_with_same_shape=False,
    ):
        if (use_error_feedback or warm_start) and start_powerSGD_iter <= 1:
            raise ValueError(
                "Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled, because "
                "PowerSGD can only be applied after the first two iterations in DDP."
            )
        if matrix_approximation_rank < 1:
            raise ValueError(
                f"expected a matrix_approximation_rank of at least 1, but got {matrix_approximation_rank}"
            )
        self.process_group = process_group
        self.matrix_approximation_rank = matrix_approximation_rank
        self.start_powerSGD_iter = start_powerSGD_iter
        self.min_compression_rate = min_compression_rate
        self.use_error_feedback, self.warm_start = use_error_feedback, warm_start
        self.orthogonalization_epsilon = orthogonalization_epsilon
        self.batch_tensors_with_same_shape = batch_tensors_with_same_shape
        self.compression_stats_logging_frequency = max(1, compression_stats_logging_frequency)
        self.rng = np.random.RandomState(random_seed)
        self.error_dict, self.q_memory_dict = {}, {}  # by bucket
        self.iter = self.next_stats_report = 0
        self.total_numel_before_compression = self.total_numel_after_compression = 0
        self._group = self._last = None
        self._settling = 0  # passes until the buckets are those that were remembered

    def __getstate__(self):
        return {name: getattr(self, name) for name in self._SAVED}

    def __setstate__(self, saved):
        self.process_group = self._group = self._last = None
        self._settling = SETTLING_PASSES if saved["error_dict"] or saved["q_memory_dict"] else 0
        for name, value in saved.items():
            setattr(self, name, value)

    def maybe_increase_iter(self, bucket):
        """Counts passes."""
        if bucket.is_last():
            self._settling = max(0, self._settling - 1)
            self.iter += 1
            if self.iter == self.start_powerSGD_iter:
                logger.info("Start to apply PowerSGD after %s iterations.", self.iter)

    def waits(self):
        """Whether this pass is averaged without compression."""
        return self.iter < self.start_powerSGD_iter or self._settling > 0

    def compression_stats(self):
        """(rate, values before compression, values after) of all compressed passes."""
        before, after = self.total_numel_before_compression, self.total_numel_after_compression
        return (before / after if after > 0 else 0), before, after

    def _count(self, bucket, before, after):
        self.total_numel_before_compression += before
        self.total_numel_after_compression += after
        if bucket.is_last() and self.iter >= self.next_stats_report:
            rate, before, after = self.compression_stats()
            logger.info(
                "Compression stats: iter %s, %s values as %s, rate %s", self.iter, before, after, rate
            )
            self.next_stats_report = self.iter + self.compression_stats_logging_frequency

    def _sum(self, flat):
        """A Future of the sum of `flat` over the ranks."""
        if self._group is None:
            self._group = twin_group(resolve(self.process_group))
        return all_reduce(flat, ReduceOp.SUM, self._group, async_op=True).get_future()

    def _size(self):
        return resolve(self.process_group).size()


def _then(future, step):
    """The value of the Future that step(value of `future`) gives, as a Future."""
    after = Future()

    def run(done):
        try:
            step(done.value()).add_done_callback(finish)
        except Exception as error:
            after.set_exception(error)

    def finish(done):
        if done._error is None:
            after.set_result(done._value)
        else:
            after.set_exception(done._error)

    future.add_done_callback(run)
    return after


def _orthogonalize(matrices, epsilon):
    """An orthonormal basis of the columns of each matrix of a batch."""
    columns = matrices.shape[2]
    if columns > 2 and matrices.dtype not in (float16, bfloat16):
        return linalg.qr(matrices)[0]
    done = []
    rest = matrices
    for _ in range(columns):
        column = rest[:, :, :1]
        norm = column.norm(dim=1, keepdim=True) + epsilon
        done.append(column / norm)
        rest = rest[:, :, 1:] - (done[-1] * rest[:, :, 1:]).sum(1, keepdim=True) * done[-1]
    return cat(done, 2)


def _flat(tensors):
    return cat([t.reshape(-1) for t in tensors])


def _unflat(flat, like):
    """Parts of a flat tensor, with these shapes."""
    start, parts = 0, []
    for shape in like:
        count = math.prod(shape)
        parts.append(flat[start : start + count].view(shape))
        start += count
    return parts


def _start_qs(state, index, shapes, dtype):
    """The right-hand matrices to begin with: the last pass's, or random ones that all ranks have alike."""
    qs = state.q_memory_dict.get(index) if state.warm_start else None
    if qs is None:
        generator = Generator()
        generator.manual_seed(int(state.rng.randint(1_000_000_000)))
        qs = [randn(*shape, generator=generator).to(dtype) for shape in shapes]
    return [_orthogonalize(q, state.orthogonalization_epsilon) for q in qs]


def _average(state, index, plain, matrices, ranks):
    """A Future of (averages of the plain tensors, low-rank averages of the batches of matrices)."""
    dtype = (matrices or plain)[0].dtype
    qs = _start_qs(
        state, index, [(m.shape[0], m.shape[2], r) for m, r in zip(matrices, ranks, strict=True)], dtype
    )
    ps = [bmm(m, q) for m, q in zip(matrices, qs, strict=True)]
    first = _flat(plain + ps)
    shapes = [t.shape for t in plain + ps]
    averages = []

    def sum_qs(sums):
        parts = _unflat(sums[0], shapes)
        averages.extend(part / state._size() for part in parts[: len(plain)])
        ps[:] = [_orthogonalize(p, state.orthogonalization_epsilon) for p in parts[len(plain) :]]
        if not ps:
            return _done([])
        return state._sum(_flat([bmm(m.transpose(1, 2), p) for m, p in zip(matrices, ps, strict=True)]))

    def multiply(sums):
        products = []
        if ps:
            new = _unflat(sums[0] / state._size(), [q.shape for q in qs])
            products = [bmm(p, q.transpose(1, 2)) for p, q in zip(ps, new, strict=True)]
            if state.warm_start:
                state.q_memory_dict[index] = new
        return _done((averages, products))

    before = _done(None) if state._last is None else state._last
    whole = _then(_then(_then(before, lambda _: state._sum(first)), sum_qs), multiply)
    state._last = whole
    return whole


def _done(value):
    future = Future()
    future.set_result(value)
    return future


def _with_error(state, index, flat):
    """The gradients and what was left out of the last ones; a copy, since `flat` changes."""
    if state.use_error_feedback and index in state.error_dict:
        flat = flat.add_(state.error_dict[index])
    return flat.clone() if state.use_error_feedback else None


def _remember_error(state, index, wanted, flat):
    if wanted is not None:
        state.error_dict[index] = wanted - flat


def _batches(matrices, together):
    """Indices of matrices that are multiplied together: those of the same shape, or each alone."""
    groups = {}
    for i, matrix in enumerate(matrices):
        groups.setdefault(tuple(matrix.shape), []).append(i)
    return list(groups.values()) if together else [[i] for members in groups.values() for i in members]


def powerSGD_hook(state, bucket):
    """The average of the gradients, with matrices approximated by products of thin ones.

    Each gradient of two or more dimensions is a matrix M of ``shape[0]`` rows. With a thin orthonormal Q, the
    ranks sum P = M Q, orthogonalize it, sum Q = M' P, and take P Q' for the average. Other gradients, and those
    where it would save too little, are averaged with the Ps. The first ``start_powerSGD_iter`` passes are averaged
    as without a hook.

    Example::

        >>> from nnlib.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power
        >>> state = power.PowerSGDState(None, matrix_approximation_rank=2, start_powerSGD_iter=10)
        >>> net.register_comm_hook(state, power.powerSGD_hook)  # doctest: +SKIP
    """
    if state.waits():
        state.maybe_increase_iter(bucket)
        return allreduce_hook(state.process_group, bucket)
    flat, index = bucket.buffer(), bucket.index()
    wanted = _with_error(state, index, flat)
    gradients = _gradients(bucket, flat)
    plain, thin = _split(state, bucket, gradients)
    views = [gradients[i].reshape(gradients[i].shape[0], -1) for i in thin]
    batches = _batches(views, state.batch_tensors_with_same_shape)
    matrices = [stack([views[i] for i in members]) for members in batches]
    ranks = [min(*m.shape[1:], state.matrix_approximation_rank) for m in matrices]

    def put_back(done):
        averages, products = done.value()
        for i, average in zip(plain, averages, strict=True):
            gradients[i].copy_(average)
        for members, product in zip(batches, products, strict=True):
            for member, one in zip(members, product, strict=True):
                target = gradients[thin[member]]
                target.copy_(one.view(target.shape))
        _remember_error(state, index, wanted, flat)
        state.maybe_increase_iter(bucket)
        return flat

    return _average(state, index, [gradients[i] for i in plain], matrices, ranks).then(put_back)


def _gradients(bucket, flat):
    """The parts of the buffer that are the parameters' gradients, also of one that replaced the bucket's own."""
    parts, start = [], flat.storage_offset()
    for gradient in bucket.gradients():
        parts.append(flat.as_strided(gradient.shape, gradient.stride(), start))
        start += gradient.numel()
    return parts


def _split(state, bucket, gradients):
    """Indices of the gradients that are averaged as they are, and of those that are worth compressing."""
    plain, thin, after = [], [], 0
    for i, gradient in enumerate(gradients):
        rows = gradient.shape[0] if gradient.dim() > 1 and gradient.numel() > 0 else 1
        columns = gradient.numel() // rows
        compressed = (rows + columns) * min(rows, columns, state.matrix_approximation_rank)
        worth = compressed * state.min_compression_rate < gradient.numel()
        (thin if worth else plain).append(i)
        after += compressed if worth else gradient.numel()
    state._count(bucket, sum(g.numel() for g in gradients), after)
    return plain, thin


def batched_powerSGD_hook(state, bucket):
    """As :func:`powerSGD_hook`, with the whole bucket as one square matrix, filled up with zeros.

    Quicker, since there is one product for all gradients, and less exact: rows and columns mean nothing.

    Args:
        state (PowerSGDState), bucket (GradBucket): as in :func:`powerSGD_hook`.

    Example::

        >>> net.register_comm_hook(state, powerSGD_hook.batched_powerSGD_hook)  # doctest: +SKIP
    """
    if state.waits():
        state.maybe_increase_iter(bucket)
        return allreduce_hook(state.process_group, bucket)
    flat, index = bucket.buffer(), bucket.index()
    count = flat.numel()
    side = math.ceil(math.sqrt(count))
    rank = min(side, state.matrix_approximation_rank)
    state._count(bucket, count, 2 * side * rank)
    square = cat([flat, zeros(side * side - count, dtype=flat.dtype)])
    wanted = _with_error(state, index, square)

    def put_back(done):
        product = done.value()[1][0].view(-1)
        flat.copy_(product[:count])
        _remember_error(state, index, wanted, product)
        state.maybe_increase_iter(bucket)
        return flat

    return _average(state, index, [], [square.view(1, side, side)], [rank]).then(put_back)
