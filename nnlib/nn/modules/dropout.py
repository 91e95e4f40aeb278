"""Dropout modules."""

from .. import functional as F
from .module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    __constants__ = ["p", "inplace"]

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


_DOC = """{what}

    In evaluation mode the input is returned as it is.

    Args:
        p (float): the probability, from 0 to 1; ValueError otherwise. Default: 0.5.
        inplace (bool): overwrite the input. Default: ``False``.

    Shape:
        {shape}; the output is the same.

    Source: {source}

    Example::

        >>> import nnlib
        >>> nnlib.nn.{name}(0.2).eval()(nnlib.ones({size}))[0].sum()
        tensor({total})
    """

_HINTON = (
    'Hinton and others, "Improving neural networks by preventing co-adaptation of feature detectors" (2012).'
)
_TOMPSON = 'Tompson and others, "Efficient object localization using convolutional networks" (2015).'
_KLAMBAUER = 'Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks" (2017).'


def _channels(name, shape, size, total):
    what = "In training, zeroes whole channels with probability `p`, and divides the rest by 1 - p."
    return _DOC.format(what=what, shape=f"input {shape}", source=_TOMPSON, name=name, size=size, total=total)


class Dropout(_DropoutNd):
    __doc__ = _DOC.format(
        what="In training, zeroes each element with probability `p`, and divides the rest by 1 - p.",
        shape="any",
        source=_HINTON,
        name="Dropout",
        size="1, 3",
        total="3.",
    )

    def forward(self, input):
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    __doc__ = _channels("Dropout1d", "(N, C, L) or (C, L)", "1, 2, 3", "6.")

    def forward(self, input):
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    __doc__ = _channels("Dropout2d", "(N, C, H, W), or (N, C, L) with a warning", "1, 2, 3, 4", "24.")

    def forward(self, input):
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    __doc__ = _channels("Dropout3d", "(N, C, D, H, W) or (C, D, H, W)", "1, 1, 2, 3, 4", "24.")

    def forward(self, input):
        return F.dropout3d(input, self.p, self.training, self.inplace)


_ALPHA = (
    "In training, sets {what} with probability `p` to the value that SELU approaches for large negative "
    "inputs,\n    then scales and shifts all so that mean 0 and variance 1 are kept."
)


class AlphaDropout(_DropoutNd):
    __doc__ = _DOC.format(
        what=_ALPHA.format(what="each element"),
        shape="any",
        source=_KLAMBAUER,
        name="AlphaDropout",
        size="1, 3",
        total="3.",
    )

    def forward(self, input):
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_DropoutNd):
    __doc__ = _DOC.format(
        what=_ALPHA.format(what="whole channels"),
        shape="(N, C, \\*)",
        source=_KLAMBAUER,
        name="FeatureAlphaDropout",
        size="1, 2, 3",
        total="6.",
    )

    def forward(self, input):
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
