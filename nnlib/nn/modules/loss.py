"""Loss modules. Each holds the arguments of a function of `nnlib.nn.functional` and calls it."""

from .. import functional as F
from ._loss_base import _documented, _Loss, _WeightedLoss
from ._margin_loss import (
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SoftMarginLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
)

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "NLLLoss2d",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


@_documented
class L1Loss(_Loss):
    """:math:`|x - y|`, element by element.

    Args:
        {reduction}

    Example::

        >>> import nnlib
        >>> nnlib.nn.L1Loss()(nnlib.zeros(2), nnlib.ones(2))
        tensor(1.)
    """

    def forward(self, input, target):
        return F.l1_loss(input, target, reduction=self.reduction)


@_documented
class MSELoss(_Loss):
    """:math:`(x - y)^2`, element by element.

    Args:
        {reduction}

    Example::

        >>> import nnlib
        >>> nnlib.nn.MSELoss()(nnlib.zeros(2), nnlib.full((2,), 3.0))
        tensor(9.)
    """

    def forward(self, input, target):
        return F.mse_loss(input, target, reduction=self.reduction)


@_documented
class SmoothL1Loss(_Loss):
    """:math:`(x - y)^2 / (2 beta)` where :math:`|x - y| < beta`, else :math:`|x - y| - beta / 2`.

    Args:
        {reduction}
        beta (float): where the two forms meet; 0 gives the L1 loss. Default: 1.

    Source: Girshick, "Fast R-CNN" (2015).
    """

    def __init__(self, size_average=None, reduce=None, reduction="mean", beta=1.0):
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input, target):
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """:math:`(x - y)^2 / 2` where :math:`|x - y| < delta`, else :math:`delta (|x - y| - delta / 2)`.

    Args:
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``. Default: ``'mean'``.
        delta (float): where the two forms meet, positive. Default: 1.

    Source: Huber, "Robust estimation of a location parameter" (1964).
    """

    def __init__(self, reduction="mean", delta=1.0):
        if not isinstance(delta, int | float):
            raise TypeError(f"delta must be a float or int, got: {type(delta)}")
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input, target):
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


@_documented
class CrossEntropyLoss(_WeightedLoss):
    r"""The cross-entropy between unnormalised scores and a target class or distribution.

    For a class y it is :math:`-w_y \log(\exp(x_y) / \sum_c \exp(x_c))`; for probabilities p it is
    :math:`-\sum_c w_c\, p_c \log(\exp(x_c) / \sum_k \exp(x_k))`.

    Args:
        weight (Tensor, optional): a factor for each class, shape (C).
        {reduction} For classes the mean divides by the sum of the weights
            that count, for probabilities by the number of samples.
        ignore_index (int): a target class that counts for nothing. Default: -100.
        label_smoothing (float): this share of the target, 0 to 1, is spread evenly over the classes. Default:
            0.

    Shape:
        input (C), (N, C) or (N, C, d1, ..., dK); target (), (N) or (N, d1, ..., dK) of classes, or the shape
        of the input for probabilities; output a scalar, or the shape of class targets for ``'none'``.

    Example::

        >>> import nnlib
        >>> loss = nnlib.nn.CrossEntropyLoss(reduction="none")
        >>> loss(nnlib.eye(3), nnlib.arange(3))
        tensor([0.5514, 0.5514, 0.5514])
    """

    __constants__ = ["ignore_index", "reduction", "label_smoothing"]

    def __init__(
        self,
        weight=None,
        size_average=None,
        ignore_index=-100,
        reduce=None,
        reduction="mean",
        label_smoothing=0.0,
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


@_documented
class NLLLoss(_WeightedLoss):
    """:math:`-w_y x_y` for log-probabilities x and a class y.

    Args:
        weight (Tensor, optional): a factor for each class, shape (C).
        {reduction} The mean divides by the sum of the weights that count.
        ignore_index (int): a target class that counts for nothing. Default: -100.

    Shape:
        input (C), (N, C) or (N, C, d1, ..., dK); target (), (N) or (N, d1, ..., dK).
    """

    __constants__ = ["ignore_index", "reduction"]

    def __init__(self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input, target):
        return F.nll_loss(
            input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class NLLLoss2d(NLLLoss):
    """The older name of `NLLLoss` for images."""


@_documented
class PoissonNLLLoss(_Loss):
    r"""The negative log likelihood of counts y under a Poisson distribution.

    :math:`\exp(x) - y x` if the input is the logarithm of the rate, :math:`x - y \log(x + eps)` otherwise.

    Args:
        log_input (bool): Default: ``True``.
        full (bool): add Stirling's approximation of :math:`\log y!`. Default: ``False``.
        {reduction}
        eps (float): Default: 1e-8.
    """

    def __init__(
        self,
        log_input=True,
        full=False,
        size_average=None,
        eps=1e-8,
        reduce=None,
        reduction="mean",
    ):
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input, target):
        return F.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    r"""The negative log likelihood under a normal distribution: :math:`(\log v + (x - y)^2 / v) / 2`.

    Args:
        full (bool): add the constant :math:`\log(2 \pi) / 2`. Default: ``False``.
        eps (float): least variance. Default: 1e-6.
        reduction (str): ``'none'``, ``'mean'`` or ``'sum'``. Default: ``'mean'``.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution" (1994).
    """

    def __init__(self, *, full=False, eps=1e-6, reduction="mean"):
        super().__init__(None, None, reduction)
        self.full, self.eps = full, eps

    def forward(self, input, target, var):
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


@_documented
class KLDivLoss(_Loss):
    r"""The Kullback-Leibler divergence: :math:`y (\log y - x)` for log-probabilities x.

    Args:
        {reduction} Also ``'batchmean'``, which divides
            the sum by the first size and so is the divergence itself.
        log_target (bool): the target holds log-probabilities too. Default: ``False``.
    """

    def __init__(self, size_average=None, reduce=None, reduction="mean", log_target=False):
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input, target):
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


@_documented
class BCELoss(_WeightedLoss):
    r"""The cross-entropy of probabilities: :math:`-w (y \log x + (1 - y) \log(1 - x))`, logarithms not below
    -100.

    Args:
        weight (Tensor, optional): a factor for each element of a sample.
        {reduction}
    """

    def forward(self, input, target):
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


@_documented
class BCEWithLogitsLoss(_Loss):
    """`BCELoss` of the sigmoid of the input, in a form that does not overflow.

    Args:
        weight (Tensor, optional): a factor for each element of a sample.
        {reduction}
        pos_weight (Tensor, optional): a factor for positive targets, one for each class.
    """

    def __init__(self, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input, target):
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class CTCLoss(_Loss):
    """Connectionist temporal classification: minus the log-probability of a target sequence, summed over
    every way in which it can be spread over the input's time steps.

    Args:
        blank (int): the class that stands for no label. Default: 0.
        reduction (str): ``'none'``, ``'sum'``, or ``'mean'``, which divides by target lengths first.
            Default: ``'mean'``.
        zero_infinity (bool): an input too short for its target counts for nothing. Default: ``False``.

    Shape:
        log_probs (T, N, C) or (T, C); targets (N, S) or one after the other; input_lengths, target_lengths
        (N) or ().

    Source: Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification" (2006).
    """

    def __init__(self, blank=0, reduction="mean", zero_infinity=False):
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(self, log_probs, targets, input_lengths, target_lengths):
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


# Pickles name the module in which PyTorch has these classes.
for _class in (
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SoftMarginLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
):
    _class.__module__ = __name__
