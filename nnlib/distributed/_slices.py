"""How a sum is cut into slices."""

GATHER_ALL = 16 << 10  # bytes up to which all get all contributions and sum them themselves


def split(count, parts):
    """Cuts `count` elements into slices that start at multiples of 64; returns counts and starts."""
    step = -(-count // parts)
    step = -(-step // 64) * 64
    starts = [min(i * step, count) for i in range(parts)]
    return [min(s + step, count) - s for s in starts], starts
