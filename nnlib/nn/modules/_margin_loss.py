"""Losses that ask for a margin, between classes or between distances."""

from .. import functional as F
from ._loss_base import _documented, _Loss, _WeightedLoss
from .distance import PairwiseDistance


def _positive(name, margin):
    if margin <= 0:
        raise ValueError(f"{name}: expected margin to be greater than 0, got {margin} instead")
    return margin


class _MarginLoss(_Loss):
    def __init__(self, margin=0.0, size_average=None, reduce=None, reduction="mean"):
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


@_documented
class HingeEmbeddingLoss(_MarginLoss):
    """x where the target is 1, :math:`max(0, margin - x)` where it is -1.

    Args:
        margin (float): Default: 1.
        {reduction}
    """

    def __init__(self, margin=1.0, size_average=None, reduce=None, reduction="mean"):
        super().__init__(margin, size_average, reduce, reduction)

    def forward(self, input, target):
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


@_documented
class CosineEmbeddingLoss(_MarginLoss):
    """:math:`1 - cos(x_1, x_2)` where the target is 1, :math:`max(0, cos(x_1, x_2) - margin)` where it is -1.

    Args:
        margin (float): from -1 to 1. Default: 0.
        {reduction}

    Shape:
        inputs (N, D) or (D), target (N) or ().
    """

    def forward(self, input1, input2, target):
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


@_documented
class MarginRankingLoss(_MarginLoss):
    """:math:`max(0, -y (x_1 - x_2) + margin)`: the first is to rank above the second where y is 1, below
    where -1.

    Args:
        margin (float): Default: 0.
        {reduction}
    """

    def forward(self, input1, input2, target):
        return F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


@_documented
class SoftMarginLoss(_Loss):
    """:math:`log(1 + exp(-y x))` for targets 1 and -1.

    Args:
        {reduction}
    """

    def forward(self, input, target):
        return F.soft_margin_loss(input, target, reduction=self.reduction)


@_documented
class MultiLabelMarginLoss(_Loss):
    """:math:`sum_{j in y, i not in y} max(0, 1 - (x_j - x_i)) / C` for a set y of classes.

    Args:
        {reduction}

    Shape:
        input and target (N, C) or (C); a target row lists classes, and ends at the first -1.
    """

    def forward(self, input, target):
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


@_documented
class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over classes of the binary cross-entropy of logits.

    Args:
        weight (Tensor, optional): a factor for each class.
        {reduction}

    Shape:
        input and target (N, C).
    """

    def forward(self, input, target):
        return F.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


@_documented
class MultiMarginLoss(_WeightedLoss):
    """:math:`sum_{i != y} max(0, margin - x_y + x_i)^p / C` for a class y.

    Args:
        p (int): 1 or 2. Default: 1.
        margin (float): Default: 1.
        weight (Tensor, optional): a factor for each class, shape (C).
        {reduction}

    Shape:
        input (N, C) or (C), target (N) or ().
    """

    def __init__(self, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError(f"only p == 1 and p == 2 supported, got {p}")
        if weight is not None and weight.dim() != 1:
            raise ValueError(
                f"MultiMarginLoss: expected weight to be None or 1D tensor, got {weight.dim()}D instead"
            )
        self.p, self.margin = p, margin

    def forward(self, input, target):
        return F.multi_margin_loss(
            input, target, p=self.p, margin=self.margin, weight=self.weight, reduction=self.reduction
        )


@_documented
class TripletMarginLoss(_Loss):
    """:math:`max(0, |a - p| - |a - n| + margin)`: an anchor is to lie nearer to a positive than to a
    negative.

    Args:
        margin (float): positive. Default: 1.
        p (float): of the norm. Default: 2.
        eps (float): added to the differences. Default: 1e-6.
        swap (bool): take the distance of positive and negative if it is the smaller one. Default: ``False``.
        {reduction}

    Source: Balntas, Riba, Ponsa and Mikolajczyk, "Learning local feature descriptors with triplets" (2016).
    """

    def __init__(
        self,
        margin=1.0,
        p=2.0,
        eps=1e-6,
        swap=False,
        size_average=None,
        reduce=None,
        reduction="mean",
    ):
        super().__init__(size_average, reduce, reduction)
        self.margin = _positive("TripletMarginLoss", margin)
        self.p, self.eps, self.swap = p, eps, swap

    def forward(self, anchor, positive, negative):
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """`TripletMarginLoss` with a distance of one's own.

    Args:
        distance_function (callable, optional): of two tensors. Default: `nnlib.nn.PairwiseDistance`.
        margin (float): positive. Default: 1.
        swap (bool): take the distance of positive and negative if it is the smaller one. Default: ``False``.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``. Default: ``'mean'``.
    """

    def __init__(self, *, distance_function=None, margin=1.0, swap=False, reduction="mean"):
        super().__init__(reduction=reduction)
        self.margin = _positive("TripletMarginWithDistanceLoss", margin)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.swap = swap

    def forward(self, anchor, positive, negative):
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
