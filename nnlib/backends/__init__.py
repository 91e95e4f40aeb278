"""Switches of how operators are computed, and what there is to compute with.

``nnlib.backends.conv``: convolutions. ``cpu``: the instruction set. ``cuda``, ``cudnn``, ``mkl``, ``mkldnn`` and
``mps`` say that they are not there, as in a PyTorch without them; programs may set their switches.
"""

from . import conv, cpu, cuda, cudnn, mkl, mkldnn, mps

__all__ = ["conv", "cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps"]
