"""Tensors that share memory with those of other libraries, by DLPack.

Source: the DLPack standard, https://dmlc.github.io/dlpack/latest/
"""

from __future__ import annotations

import enum

from .. import _C

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]

from_dlpack = _C.from_dlpack


class DLDeviceType(enum.IntEnum):
    """The standard's numbers of kinds of devices; tensors here are always on ``kDLCPU``."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


def to_dlpack(tensor: _C.TensorBase):
    """A capsule that describes the memory of ``tensor``; one library may take it, once.

    RuntimeError for a tensor that requires grad.

    >>> capsule = nnlib.utils.dlpack.to_dlpack(nnlib.arange(2))
    >>> nnlib.from_dlpack(capsule)
    tensor([0, 1])
    """
    return _C._to_dlpack(tensor)
