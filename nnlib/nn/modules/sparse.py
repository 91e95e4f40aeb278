"""Embeddings: lookup tables whose rows are learned."""

from nnlib.autograd import no_grad

from .. import functional as F
from .. import init
from ..functional._linear import _padding_row
from ..parameter import Parameter
from .module import Module
from .utils import new_parameter

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """What both embeddings share: the weight and where its start values come from."""

    __constants__ = [
        "num_embeddings",
        "embedding_dim",
        "padding_idx",
        "max_norm",
        "norm_type",
        "scale_grad_by_freq",
        "sparse",
    ]

    def _make_weight(self, weight, trained, device, dtype):
        shape = (self.num_embeddings, self.embedding_dim)
        if weight is None:
            self.weight = new_parameter(shape, device, dtype)
            self.reset_parameters()
        else:
            if tuple(weight.shape) != shape:
                raise AssertionError(
                    "Shape of weight does not match num_embeddings and embedding_dim: got "
                    f"{tuple(weight.shape)}, expected {shape}"
                )
            self.weight = Parameter(weight)
        self.weight.requires_grad_(trained)
        if self.padding_idx is not None:
            self.padding_idx = _padding_row(self.padding_idx, self.weight)

    def reset_parameters(self):
        """Draw new values from N(0, 1); the padding row becomes zero."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self):
        if self.padding_idx is not None:
            with no_grad():
                self.weight[_padding_row(self.padding_idx, self.weight)].fill_(0)

    def extra_repr(self):
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        for name, usual in self._repr_fields:
            if getattr(self, name) != usual:
                parts.append(f"{name}={getattr(self, name)!r}")
        return ", ".join(parts)

    @staticmethod
    def _check_table(embeddings):
        if embeddings.dim() != 2:
            raise AssertionError(
                f"Embeddings parameter is expected to be 2-dimensional, got {embeddings.dim()} dimensions"
            )


class Embedding(_Table):
    """A table of vectors; the input says which rows to take.

    Args:
        num_embeddings (int): number of rows V.
        embedding_dim (int): size D of each.
        padding_idx (int, optional): the row that starts as zero and gets no gradient.
        max_norm (float, optional): rows that are looked up are first scaled down to this norm, in place.
        norm_type (float): p of that norm. Default: 2.
        scale_grad_by_freq (bool): divide a row's gradient by how often it was looked up. Default: ``False``.
        sparse (bool): make the weight's gradient a sparse tensor; the optimizers SGD, SparseAdam and Adagrad
            take it.
            Default: ``False``.
        device, dtype: of the table.

    Shape:
        input :math:`(*)` of integers, output :math:`(*, D)`.

    Attributes:
        weight: the table, shape (V, D), drawn from N(0, 1).

    Raises:
        AssertionError: `padding_idx` is no row.

    Example::

        >>> import nnlib
        >>> table = nnlib.nn.Embedding(10, 3, padding_idx=0)
        >>> table(nnlib.tensor([0]))
        tensor([[0., 0., 0.]], grad_fn=<EmbeddingBackward0>)
    """

    _repr_fields = (
        ("padding_idx", None),
        ("max_norm", None),
        ("norm_type", 2),
        ("scale_grad_by_freq", False),
        ("sparse", False),
    )

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        padding_idx=None,
        max_norm=None,
        norm_type=2.0,
        scale_grad_by_freq=False,
        sparse=False,
        _weight=None,
        _freeze=False,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self._make_weight(_weight, not _freeze, device, dtype)

    def forward(self, input):
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings,
        freeze=True,
        padding_idx=None,
        max_norm=None,
        norm_type=2.0,
        scale_grad_by_freq=False,
        sparse=False,
    ):
        """An embedding with a ready table.

        Args:
            embeddings (Tensor): the table, shape (V, D); shared, not copied.
            freeze (bool): do not train it. Default: ``True``.
            padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: as in the class.
        """
        cls._check_table(embeddings)
        return cls(
            *embeddings.shape,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            _weight=embeddings,
            _freeze=freeze,
        )


class EmbeddingBag(_Table):
    """Sums, means or maxima of bags of rows of a table, without making the rows themselves.

    Args:
        num_embeddings (int): number of rows V.
        embedding_dim (int): size D of each.
        max_norm, norm_type, scale_grad_by_freq: as in `Embedding`; the last not with mode ``'max'``.
        mode (str): ``'sum'``, ``'mean'`` or ``'max'``. Default: ``'mean'``.
        sparse (bool): make the weight's gradient a sparse tensor; not with mode ``'max'``. Default:
            ``False``.
        include_last_offset (bool): the offsets end with the length of the input. Default: ``False``.
        padding_idx (int, optional): a row that is left out of its bag.
        device, dtype: of the table.

    Shape:
        input (B, N), a bag a row; or (N), with offsets (B) that say where each bag starts. Output (B, D).

    Attributes:
        weight: the table, shape (V, D), drawn from N(0, 1).

    Example::

        >>> import nnlib
        >>> bags = nnlib.nn.EmbeddingBag(10, 3, mode="sum")
        >>> bags(nnlib.tensor([1, 2, 4, 5]), nnlib.tensor([0, 3])).shape
        torch.Size([2, 3])
    """

    _repr_fields = (
        ("max_norm", None),
        ("norm_type", 2),
        ("scale_grad_by_freq", False),
        ("mode", None),
        ("padding_idx", None),
    )

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        max_norm=None,
        norm_type=2.0,
        scale_grad_by_freq=False,
        mode="mean",
        sparse=False,
        _weight=None,
        include_last_offset=False,
        padding_idx=None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.mode, self.include_last_offset = mode, include_last_offset
        self._make_weight(_weight, True, device, dtype)

    def forward(self, input, offsets=None, per_sample_weights=None):
        """Look up bags; `per_sample_weights`, of the input's shape, are factors for mode ``'sum'``."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings,
        freeze=True,
        max_norm=None,
        norm_type=2.0,
        scale_grad_by_freq=False,
        mode="mean",
        sparse=False,
        include_last_offset=False,
        padding_idx=None,
    ):
        """A bag with a ready table of shape (V, D), shared, and not trained if `freeze`; the rest as in the
        class.
        """
        cls._check_table(embeddings)
        bag = cls(
            *embeddings.shape,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
        )
        bag.weight.requires_grad_(not freeze)
        return bag
