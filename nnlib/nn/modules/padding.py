"""Padding modules: five ways to fill, each for one, two and three spatial dimensions."""

from .. import functional as F
from .._tuples import to_ntuple
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _PadNd(Module):
    """Pads the last {n} dimension(s) {with_what}.

    Args:
        padding (int or tuple): the same on every side, or {sides} numbers: left, right of the last dimension,
            then of the one before it, and so on.

    Shape:
        input (N, C, \\*) or (C, \\*) with {n} dimension(s) after C.

    Example::

        >>> import nnlib
        >>> nnlib.nn.{name}(1)(nnlib.zeros({shape})).shape
        torch.Size([{padded}])
    """

    _dims = 0
    _mode = "constant"
    __constants__ = ["padding"]

    def __init__(self, padding):
        super().__init__()
        self.padding = to_ntuple(padding, 2 * self._dims)

    def forward(self, input):
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self):
        return f"{self.padding}"


class _ReflectionPadNd(_PadNd):
    _mode, _with_what = "reflect", "with a mirror image that does not repeat the edge"


class _ReplicationPadNd(_PadNd):
    _mode, _with_what = "replicate", "with the values at the edge"


class _CircularPadNd(_PadNd):
    _mode, _with_what = "circular", "with the values from the other side"

    def forward(self, input):
        n = self._dims
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")
        return F.pad(input, self.padding, "circular")


class _ConstantPadNd(_PadNd):
    __doc__ = _PadNd.__doc__.replace(
        "and so on.\n", "and so on.\n        value (float): what to pad with.\n"
    ).replace("(1)(", "(1, 2.0)(")
    __constants__ = ["padding", "value"]
    _with_what = "with a number"

    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


def _pad(base, n):
    name = base.__name__[1:-2] + f"{n}d"
    words = {
        "n": n,
        "with_what": base._with_what,
        "sides": 2 * n,
        "name": name,
        "shape": ", ".join(["1, 2"] + ["3"] * n),
        "padded": ", ".join(["1, 2"] + ["5"] * n),
    }
    doc = base.__doc__ or _PadNd.__doc__
    for key, value in words.items():
        doc = doc.replace("{" + key + "}", str(value))
    return type(base)(name, (base,), {"__doc__": doc, "__module__": __name__, "_dims": n})


CircularPad1d, CircularPad2d, CircularPad3d = (_pad(_CircularPadNd, n) for n in (1, 2, 3))
ConstantPad1d, ConstantPad2d, ConstantPad3d = (_pad(_ConstantPadNd, n) for n in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (_pad(_ReflectionPadNd, n) for n in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (_pad(_ReplicationPadNd, n) for n in (1, 2, 3))


class _ZeroPadNd(_ConstantPadNd):
    __doc__ = _PadNd.__doc__
    _with_what = "with zeros"

    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


ZeroPad1d, ZeroPad2d, ZeroPad3d = (_pad(_ZeroPadNd, n) for n in (1, 2, 3))
