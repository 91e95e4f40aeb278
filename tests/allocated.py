"""What the allocator says of a piece of a program."""

import nnlib


def added(f):
    """Bytes in tensors that `f` adds at the most."""
    nnlib._C._reset_peak_allocated()
    before = nnlib._C._allocator_stats()["allocated"]
    f()
    return nnlib._C._allocator_stats()["peak_allocated"] - before
