"""How convolutions are computed.

``nnlib.backends.conv.winograd`` (bool, on at first) allows Winograd's algorithm for float32 convolutions with square
kernels of 2 to 5 taps each way, their transposes and their gradients, in any layout. With a stride of s kernels have up
to 5 s taps (remainders of pixels modulo s become channels); dilated and three-dimensional ones are taken apart in
like ways. It needs down to a quarter of the multiplications and is taken where a model of the sizes says that it is
quicker. Its rounding errors are larger: relative to the root mean square of the output
about 1e-6, where a matrix product has 2e-7. An error is relative to the largest values nearby (in the same tile of
6x6 pixels, over the input channels), so a small output beside very large inputs loses more.
Where a result would not be finite, because of infinities, NaNs or numbers near the largest, the whole call is
computed again as a matrix product: they spread no further than they do there.

The switch holds for all threads of the process, and for a backward pass by when it runs.

    >>> import nnlib
    >>> nnlib.backends.conv.winograd
    True
    >>> with nnlib.backends.conv.flags(winograd=False):
    ...     y = nnlib.conv2d(nnlib.ones(1, 64, 16, 16), nnlib.ones(64, 64, 3, 3), padding=1)
    >>> y[0, 0, 0, 0].item()
    256.0

After Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, with other points.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import ModuleType

from .. import _C

__all__ = ["flags"]


class _ConvBackend(ModuleType):
    @property
    def winograd(self) -> bool:
        """Whether Winograd's algorithm may be taken."""
        return _C._winograd()

    @winograd.setter
    def winograd(self, on: bool) -> None:
        if not isinstance(on, bool):
            raise TypeError(f"nnlib.backends.conv.winograd must be a bool, got {type(on).__name__}")
        _C._set_winograd(on)

    def __setattr__(self, name: str, value) -> None:
        if name != "winograd" and not name.startswith("__"):
            raise AttributeError(f"nnlib.backends.conv has no setting {name!r}")
        super().__setattr__(name, value)


@contextmanager
def flags(winograd: bool = True):
    """Sets the switches while a ``with`` block runs, and puts back what they were.

    Args:
        winograd: whether Winograd's algorithm may be taken.

    Raises:
        TypeError: ``winograd`` is not a bool.
    """
    module = sys.modules[__name__]
    before = module.winograd
    module.winograd = winograd
    try:
        yield
    finally:
        module.winograd = before


sys.modules[__name__].__class__ = _ConvBackend
