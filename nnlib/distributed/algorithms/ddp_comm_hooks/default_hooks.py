"""Hooks for ``DistributedDataParallel.register_comm_hook(process_group, hook)``.

Example::

    >>> from nnlib.distributed.algorithms.ddp_comm_hooks import default_hooks
    >>> net.register_comm_hook(None, default_hooks.bf16_compress_hook)  # doctest: +SKIP
"""

from .... import bfloat16, float16
from ...collectives import ReduceOp, all_reduce


def allreduce_hook(process_group, bucket):
    """The average over the ranks, as without a hook.

    Args:
        process_group (ProcessGroup): None for the default one.
        bucket (GradBucket): given by DistributedDataParallel.

    Example::

        >>> net.register_comm_hook(None, default_hooks.allreduce_hook)  # doctest: +SKIP
    """
    work = all_reduce(bucket.buffer(), ReduceOp.AVG, process_group, async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def _compress(process_group, bucket, dtype):
    buffer = bucket.buffer()
    compressed = buffer.to(dtype)
    work = all_reduce(compressed, ReduceOp.AVG, process_group, async_op=True)
    return work.get_future().then(lambda done: buffer.copy_(done.value()[0]))


def fp16_compress_hook(process_group, bucket):
    """The average of the gradients rounded to float16: half the bytes. Sums are still made in float32.

    Args:
        process_group (ProcessGroup): None for the default one.
        bucket (GradBucket): given by DistributedDataParallel.

    Example::

        >>> net.register_comm_hook(None, default_hooks.fp16_compress_hook)  # doctest: +SKIP
    """
    return _compress(process_group, bucket, float16)


def bf16_compress_hook(process_group, bucket):
    """The average of the gradients rounded to bfloat16: half the bytes, with float32's range.

    Args:
        process_group (ProcessGroup): None for the default one.
        bucket (GradBucket): given by DistributedDataParallel.

    Example::

        >>> net.register_comm_hook(None, default_hooks.bf16_compress_hook)  # doctest: +SKIP
    """
    return _compress(process_group, bucket, bfloat16)


def _wrap(hook, dtype):
    def wrapped(state, bucket):
        original = bucket.buffer()
        bucket.set_buffer(original.to(dtype))
        return hook(state, bucket).then(lambda done: original.copy_(done.value()))

    return wrapped


def fp16_compress_wrapper(hook):
    """Wraps another hook: it works on gradients rounded to float16.

    Args:
        hook (callable): the hook of the rounded gradients.

    Example::

        >>> net.register_comm_hook(state, default_hooks.fp16_compress_wrapper(powerSGD_hook))  # doctest: +SKIP
    """
    return _wrap(hook, float16)


def bf16_compress_wrapper(hook):
    """Wraps another hook: it works on gradients rounded to bfloat16.

    Args:
        hook (callable): the hook of the rounded gradients.

    Example::

        >>> net.register_comm_hook(state, default_hooks.bf16_compress_wrapper(powerSGD_hook))  # doctest: +SKIP
    """
    return _wrap(hook, bfloat16)
