"""The memory that steps take, each in a process of its own, and the page faults that they go on to have."""

from __future__ import annotations

from .peer import Failed, Library

MIB = 1 << 20


def heading():
    return f"{'case':40s} {'way':8s} {'library':8s} {'before':>10s} {'peak':>10s} {'grown':>10s} {'faults a step':>14s}"


def row_text(row):
    head = f"{row['case'][:40]:40s} {row['way']:8s} {row['library']:8s}"
    if "error" in row:
        return f"{head} ERROR {row['error']}"
    sizes = "".join(f" {row[key] / MIB:6.1f} MiB" for key in ("before", "peak", "grown"))
    return f"{head}{sizes} {row['faults']:14.1f}"


def measure(cases, names, threads, precision):
    """Yield a row for each case, way that trains, and library: what stood before the case was built, the peak while
    it ran, what the case added, and minor page faults a step after three steps."""
    for case in cases:
        with Library(names[0], threads, precision) as library:
            ways = library.ask("build", case=case.name, compare=False)["ways"]
        for way in [w for w in ways if w in ("train", "step")] or ways[:1]:
            for name in names:
                row = {"case": case.name, "group": case.group, "way": way, "library": name}
                try:
                    with Library(name, threads, precision if name == "nnlib" else "") as library:
                        row |= library.ask("memory", case=case.name, way=way)
                except Failed as error:
                    row["error"] = str(error)
                yield row
