"""How `linear_cross_entropy` cuts a batch into chunks."""

from dataclasses import dataclass

from nnlib import _C
from nnlib.nn.functional._linear_cross_entropy import rows_of_chunk

__all__ = ["LinearCrossEntropyOptions"]

_POLICIES = ("auto", "accurate", "balanced", "compact")


@dataclass(frozen=True)
class LinearCrossEntropyOptions:
    """How `linear_cross_entropy` cuts a batch into chunks, and in which dtype it adds up gradients.

    Args:
        allow_retain_graph (bool): PyTorch's permission for a second backward pass, which always works here.
        batch_chunk_size (int, optional): rows in a chunk; excludes a `chunking_method` other than ``'auto'``.
        chunking_method (str, optional): ``'aspect_ratio'``, or ``'aspect_ratio:N'`` for N times smaller chunks: the
            scores of a chunk take about as much memory as the input. ``'auto'``: what fits into a processor's cache.
        acc_policy (str): one of PyTorch's policies of what is kept in `acc_dtype`: ``'auto'``, ``'accurate'``,
            ``'balanced'`` or ``'compact'``. Here sums over chunks always are.
        acc_dtype (dtype, optional): of the sums of gradients over chunks. Default: at least float32.

    Raises:
        ValueError: a value that is not among these.

    Example::

        >>> import nnlib
        >>> nnlib.nn.LinearCrossEntropyOptions(batch_chunk_size=64).rows(1000, 8, 100)
        64
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: object = None

    def __post_init__(self):
        if self.acc_policy not in _POLICIES:
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        size = self.batch_chunk_size
        if size is not None and (not isinstance(size, int) or size <= 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, factor = self.chunking_method.partition(":")
            if name != "aspect_ratio" or (colon and not (factor.isdigit() and int(factor) > 0)):
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
            if size is not None:
                raise ValueError("batch_chunk_size and chunking_method cannot both be set")
        floats = (None, _C.float16, _C.bfloat16, _C.float32, _C.float64)
        if self.acc_dtype not in floats:
            raise ValueError(f"acc_dtype must be a floating-point dtype or None, got {self.acc_dtype!r}")

    def rows(self, batch, features, classes):
        """Rows in a chunk, for a batch of so many rows, features and classes; None to leave it open."""
        return rows_of_chunk(self, batch, features, classes)
