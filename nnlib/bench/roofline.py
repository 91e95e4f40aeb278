"""The roofline plot: the rate of each case over its operations a byte, under the machine's limits."""

from __future__ import annotations

import importlib.util

# One colour and one mark a group.
MARKS = "os^vDPX*"


def require_matplotlib():
    """Raise ImportError with what to do where matplotlib is missing; imports nothing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError('the plot needs matplotlib: pip install "nnlib[bench]"')


def intensity(row):
    """Operations for each byte that has to be moved; what only moves counts one operation a value."""
    return (row.flop or row.bytes / 4) / row.bytes


def draw(path, limits, rows):
    """Write a PNG with the rows that state both operations and bytes, or bytes alone."""
    require_matplotlib()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in rows if row.error is None and row.bytes]
    figure, axes = pyplot.subplots(figsize=(11, 7), layout="constrained")
    peak = limits.fma[limits.isa][1]
    points = [intensity(row) for row in rows]
    low, high = min([0.1, *points]) / 2, max([100.0, *points]) * 2
    for level, style in zip(limits.levels, (":", "-.", "--", "-"), strict=True):
        ridge = peak / level.all_threads
        xs = [low, ridge, high]
        ys = [low * level.all_threads, peak, peak]
        label = f"{level.name}, {level.all_threads / 1e9:.0f} GB/s"
        axes.plot(xs, [y / 1e9 for y in ys], style, color="0.45", linewidth=1.2, label=label)
    axes.annotate(
        f"FMA {limits.isa}, {peak / 1e9:.0f} GFLOP/s",
        (high, peak / 1e9),
        ha="right",
        va="bottom",
        xytext=(-6, 3),
        textcoords="offset points",
    )
    groups = list(dict.fromkeys(row.group for row in rows))
    for number, group in enumerate(groups):
        for way, filled in (("forward", False), ("train", True), ("step", True)):
            own = [row for row in rows if row.group == group and row.way == way]
            if own:
                axes.scatter(
                    [intensity(row) for row in own],
                    [intensity(row) * row.bytes / row.seconds / 1e9 for row in own],
                    marker=MARKS[number % len(MARKS)],
                    s=42,
                    facecolors=f"C{number}" if filled else "none",
                    edgecolors=f"C{number}",
                    label=f"{group}, {way}",
                )
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(low, high),
        xlabel="operations for each byte that has to be read or written",
        ylabel="GFLOP/s",
        title=f"nnlib, {limits.threads} threads, {limits.isa}",
    )
    axes.grid(True, which="major", color="0.9")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
