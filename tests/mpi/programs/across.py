"""What the programs ask of all ranks."""

import nnlib.distributed as dist


def everywhere(value, group=None):
    """The value of each rank, on all of them."""
    seen = [None] * dist.get_world_size(group)
    dist.all_gather_object(seen, value, group)
    return seen


def bits(module):
    """All parameters, byte for byte."""
    return b"".join(p.detach().contiguous().numpy().tobytes() for p in module.parameters())
