"""Names for annotations: what counts as a number, a device, a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Union

from ._C import device as _device
from ._C import layout as _layout  # noqa: F401
from ._size import Size
from ._tensor import Tensor

__all__ = ["Device", "FileLike", "Number"]

Number = Union[int, float, bool]  # noqa: UP007
_Number = (int, float, bool)
Device = Union[_device, str, int, None]  # noqa: UP007
FileLike = Union[str, "os.PathLike[str]", IO[bytes]]

_int, _float, _bool, _str, _bytes = int, float, bool, str, bytes
_size = Union[Size, list[int], tuple[int, ...]]  # noqa: UP007
_TensorOrTensors = Union[Tensor, Sequence[Tensor]]  # noqa: UP007
_TensorOrOptionalTensors = Union[Tensor, Sequence[Union[Tensor, None]]]  # noqa: UP007
