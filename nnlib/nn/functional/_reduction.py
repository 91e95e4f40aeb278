"""How losses reduce: the three names, and the two older arguments that stood for them."""

import warnings

_NAMES = ("none", "mean", "sum")


def legacy(size_average, reduce, reduction):
    """The reduction that the older arguments ask for; they override `reduction` and warn. None means not
    given.
    """
    if size_average is None and reduce is None:
        return reduction
    # As numbers too: the third argument was size_average.
    averages, reduces = size_average is None or size_average, reduce is None or reduce
    new = "none" if not reduces else "mean" if averages else "sum"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{new}' instead.",
        DeprecationWarning,
        stacklevel=3,
    )
    return new


def check(reduction):
    """Raise ValueError unless `reduction` is one of the three names."""
    if reduction not in _NAMES:
        raise ValueError(
            f"{reduction} is not a valid value for reduction: expected one of 'none', 'mean', 'sum'"
        )


def reduce_loss(loss, reduction):
    """Apply `reduction` to the loss of every element."""
    check(reduction)
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()
