"""Linear maps, convolutions and embeddings."""

from nnlib import _C
from nnlib.autograd import no_grad

linear = _C.linear
bilinear = _C.bilinear
conv1d = _C.conv1d
conv2d = _C.conv2d
conv3d = _C.conv3d
conv_transpose1d = _C.conv_transpose1d
conv_transpose2d = _C.conv_transpose2d
conv_transpose3d = _C.conv_transpose3d
one_hot = _C.one_hot


def _padding_row(padding_idx, weight):
    """`padding_idx` counted from the front; AssertionError if there is no such row."""
    if padding_idx is None:
        return None
    rows = weight.size(0)
    if not -rows <= padding_idx < rows:
        raise AssertionError(
            f"Padding_idx must be within num_embeddings: got {padding_idx} for {rows} embeddings"
        )
    return padding_idx % rows


def embedding(
    input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False
):
    """The rows of `weight` whose numbers stand in `input`.

    Args:
        input (Tensor): integers, any shape.
        weight (Tensor): shape (V, D).
        padding_idx (int, optional): the row that gets no gradient.
        max_norm (float, optional): rows that are looked up are first scaled down to this norm, in place.
        norm_type (float): p of that norm. Default: 2.
        scale_grad_by_freq (bool): divide a row's gradient by how often it was looked up. Default: ``False``.
        sparse (bool): make the weight's gradient a sparse tensor. Default: ``False``.

    Returns:
        Tensor: the shape of `input` with D added.

    Raises:
        IndexError: a number outside of [0, V). AssertionError: no such padding row.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.embedding(nnlib.tensor([1, 0]), nnlib.eye(2))
        tensor([[0., 1.],
                [1., 0.]])
    """
    if padding_idx is not None:
        padding_idx = _padding_row(padding_idx, weight)
    return _C.embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)


def _bags(input, offsets, per_sample_weights):
    """One-dimensional input, offsets and weights, from either form that embedding_bag takes."""
    if per_sample_weights is not None and input.size() != per_sample_weights.size():
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must "
            f"have the same shape as the input ({input.shape})"
        )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed "
                f"length sequences. However, found offsets of type {type(offsets)}"
            )
        rows, length = input.shape
        offsets = _C.arange(0, rows, dtype=input.dtype) * length
        weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
        return input.reshape(-1), offsets, weights
    if input.dim() != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if offsets is None or offsets.dim() != 1:
        found = "None" if offsets is None else f"a {offsets.dim()}D Tensor"
        raise ValueError(f"offsets has to be a 1D Tensor but got {found}")
    return input, offsets, per_sample_weights


def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm=None,
    norm_type=2,
    scale_grad_by_freq=False,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """Sums, means or maxima of bags of rows of `weight`.

    Args:
        input (Tensor): integers, shape (B, N): a bag a row; or one dimension, cut into bags by `offsets`.
        weight (Tensor): shape (V, D).
        offsets (Tensor, optional): the position in `input` where each bag starts.
        max_norm, norm_type, scale_grad_by_freq, sparse: as in `embedding`.
        mode (str): ``'sum'``, ``'mean'`` or ``'max'``. Default: ``'mean'``.
        per_sample_weights (Tensor, optional): a factor for each number of `input`, only with ``'sum'``.
        include_last_offset (bool): `offsets` ends with the length of `input`. Default: ``False``.
        padding_idx (int, optional): a row that is left out of its bag.

    Returns:
        Tensor: shape (number of bags, D); zeros for an empty bag.

    Raises:
        ValueError: shapes or a mode that do not fit. NotImplementedError: weights with another mode than sum.

    Example::

        >>> import nnlib
        >>> nnlib.nn.functional.embedding_bag(nnlib.tensor([[0, 1]]), nnlib.eye(2), mode="sum")
        tensor([[1., 1.]])
    """
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    two_dimensional = input.dim() == 2
    input, offsets, per_sample_weights = _bags(input, offsets, per_sample_weights)
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"mode has to be one of sum, mean or max, got {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
            f"mode='sum' (got mode='{mode}')."
        )
    if max_norm is not None:
        with no_grad():
            _C.embedding_renorm_(weight.detach(), input, max_norm, norm_type)
    if padding_idx is not None:
        padding_idx = _padding_row(padding_idx, weight)
    include_last_offset = include_last_offset and not two_dimensional
    return _C.embedding_bag(
        input,
        weight,
        offsets,
        scale_grad_by_freq,
        mode,
        sparse,
        per_sample_weights,
        include_last_offset,
        padding_idx,
    )
