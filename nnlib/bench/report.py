"""The measurements as lines of text and as JSON."""

from __future__ import annotations

import json

from .. import __version__
from .limits import machine

SCHEMA = 1  # of the JSON file; docs/performance.md describes it


def duration(seconds):
    """
    >>> duration(1.5e-6), duration(0.0234), duration(2.0)
    ('1.50 us', '23.4 ms', '2.00 s')
    """
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds / size >= 10 else f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def limits_text(limits):
    """The machine and its limits, a line each."""
    about = machine()
    yield f"{about['processor']}, {about['cores']} cores; kernels for {limits.isa}, {limits.threads} threads"
    for what, rates in (("FMA", limits.fma), ("bfloat16 tiles", limits.tiles)):
        for isa, (one, all_) in rates.items():
            yield f"  {what} {isa:9s} {one / 1e9:8.1f} GFLOP/s on one thread {all_ / 1e9:8.1f} on all"
    for level in limits.levels:
        yield (
            f"  copy {level.name:8s} {level.one_thread / 1e9:8.1f} GB/s    on one thread "
            f"{level.all_threads / 1e9:8.1f} on all   (two arrays of {level.bytes >> 10} KiB a thread)"
        )


def heading(peer):
    line = f"{'case':44s} {'way':8s} {'time':>9s} {'spread':>6s} {'rate':>14s} {'share of limit':>16s}"
    return line + (f" {peer:>9s} {'ratio':>6s}" if peer else "")


def row_text(row):
    """One row of the table."""
    head = f"{row.case[:44]:44s} {row.way:8s} "
    if row.error:
        return f"{head}ERROR {row.error}"
    rate = share = ""
    if row.rate:
        rate = f"{row.rate / 1e9:.1f} {'GFLOP/s' if row.limit == 'FMA' else 'GB/s'}"
        share = f"{row.share:.0%} of {row.limit}"
    line = f"{head}{duration(row.seconds):>9s} {row.spread:6.0%} {rate:>14s} {share:>16s}"
    return line + (f" {duration(row.peer_seconds):>9s} {row.ratio:6.2f}" if row.ratio is not None else "")


def summary_text(lines, peer):
    """The groups' means."""
    for name, mean, worst, count, errors in lines:
        ratios = f"{peer}'s time is {mean:.2f} of nnlib's, at worst {worst:.2f}" if mean else ""
        yield f"{name:14s} {count:3d} rows, {errors} errors   {ratios}".rstrip()


def write_json(path, limits, versions, key, rows):
    """Everything in one file, the rows under ``key``."""
    content = {
        "schema": SCHEMA,
        "nnlib": __version__,
        "libraries": versions,
        "isa": limits.isa if limits else None,
        "threads": limits.threads if limits else None,
        "machine": machine(),
        "limits": limits.as_json() if limits else None,
        key: rows,
    }
    with open(path, "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
