"""Dimensions that count from the end, for what is written in Python."""


def wrapped_dim(dim: int, ndim: int) -> int:
    """A dimension counted from 0; IndexError where there is none of that number."""
    if not -ndim <= dim < ndim:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})"
        )
    return dim % ndim


def wrapped_dims(dims, ndim: int) -> list[int]:
    """Dimensions counted from 0; RuntimeError where one is named twice."""
    wrapped = [wrapped_dim(dim, ndim) for dim in dims]
    for dim in wrapped:
        if wrapped.count(dim) > 1:
            raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    return wrapped
