"""Switches of how operators are computed.

``nnlib.backends.conv``: convolutions.
"""

from . import conv

__all__ = ["conv"]
