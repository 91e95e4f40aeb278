"""A linear layer and the cross-entropy of its outputs in one."""

import math

from .. import functional as F
from ._loss_base import _WeightedLoss
from .linear import Linear

__all__ = ["LinearCrossEntropyLoss"]


class LinearCrossEntropyLoss(_WeightedLoss):
    """The cross-entropy of a linear layer's outputs, which never exist for the whole batch.

    Args:
        in_features (int): size D of each input vector.
        num_classes (int): number of classes C.
        out_features (tuple): sizes d1, ..., dK of a loss with K further dimensions. Default: none.
        bias (bool): a bias in the layer. Default: ``False``.
        device, dtype: of the parameters.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``. Default: ``'mean'``.
        weight (Tensor, optional): a factor for each class, shape (C).
        ignore_index (int, optional): a target class that counts for nothing. Default: -100.
        label_smoothing (float): this share of the target is spread evenly over the classes. Default: 0.
        options (LinearCrossEntropyOptions, optional): how the rows are cut into chunks.

    Shape:
        input (N, D) or (D); target (N), () or (N, d1, ..., dK) of classes, or probabilities.

    Raises:
        RuntimeError: a `weight` of another shape, or a smoothing that is not between 0 and 1.

    Example::

        >>> import nnlib
        >>> head = nnlib.nn.LinearCrossEntropyLoss(8, 100)
        >>> head(nnlib.zeros(3, 8), nnlib.tensor([1, 2, 3])).item() == nnlib.tensor(100.0).log().item()
        True
    """

    __constants__ = ["num_classes", "out_features", "reduction", "ignore_index", "label_smoothing"]

    def __init__(
        self,
        in_features,
        num_classes,
        *,
        out_features=(),
        bias=False,
        device=None,
        dtype=None,
        reduction="mean",
        weight=None,
        ignore_index=None,
        label_smoothing=0.0,
        options=None,
    ):
        if weight is not None and tuple(weight.shape) != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}")
        if not 0.0 <= label_smoothing <= 1.0:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        super().__init__(weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        outputs = math.prod(self.out_features, start=num_classes)
        self.options = options
        self.linear = Linear(in_features, outputs, bias=bias, device=device, dtype=dtype)

    def forward(self, input, target):
        sizes = (self.num_classes, *self.out_features)
        weight, bias = self.linear.weight, self.linear.bias
        return F.linear_cross_entropy(
            input,
            weight.reshape(*sizes, self.linear.in_features),
            target,
            linear_bias=None if bias is None else bias.reshape(sizes),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self):
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, "
            f"options={self.options}"
        )
