"""How much slower a step gets when another process keeps one core busy."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys

from .peer import Failed
from .report import duration

SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print("ready", flush=True)
while True:
    pass
"""


class BusyCore:
    """A process that computes on the last of our cores while ``on`` is true."""

    def __init__(self):
        core = max(os.sched_getaffinity(0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", SPIN, str(core)], stdout=subprocess.PIPE, text=True
        )
        self.process.stdout.readline()
        self.on(False)

    def on(self, busy):
        os.kill(self.process.pid, signal.SIGCONT if busy else signal.SIGSTOP)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def heading():
    columns = ("alone", "busy", "times", "mean", "slow 10%")
    return f"{'case':40s} {'way':8s} {'library':8s}" + "".join(f" {name:>9s}" for name in columns)


def row_text(row):
    head = f"{row['case'][:40]:40s} {row['way']:8s} {row['library']:8s}"
    if "error" in row:
        return f"{head} ERROR {row['error']}"
    times = "".join(f" {row[key]:9.2f}" for key in ("median_times", "mean_times", "p90_times"))
    return f"{head} {duration(row['alone']['median']):>9s} {duration(row['busy']['median']):>9s}{times}"


def summary(samples):
    """The middle, the mean, and where the slowest tenth begins."""
    ordered = sorted(samples)
    return {
        "median": statistics.median(ordered),
        "mean": statistics.fmean(ordered),
        "p90": ordered[len(ordered) * 9 // 10],
    }


def measure(cases, libraries, seconds, rounds):
    """Yield a row for each case, way and library: single steps alone and beside a busy core, in turn.

    The ``_times`` say how many times the median alone each of the figures beside the busy core is.
    """
    with BusyCore() as core:
        for case in cases:
            for library in libraries:
                row = {"case": case.name, "group": case.group, "library": library.name}
                try:
                    ways = library.ask("build", case=case.name, compare=False)["ways"]
                except Failed as error:
                    yield {**row, "way": "", "error": str(error)}
                    continue
                for way in ways:
                    yield {**row, "way": way, **time_beside(core, library, way, seconds, rounds)}


def time_beside(core, library, way, seconds, rounds):
    """Single steps alone and beside the busy core."""
    samples = {False: [], True: []}
    try:
        for _ in range(rounds):
            for occupied in (False, True):
                core.on(occupied)
                samples[occupied] += library.ask("steps", way=way, seconds=seconds)["seconds"]
    except Failed as error:
        return {"error": str(error)}
    finally:
        core.on(False)
    alone, busy = summary(samples[False]), summary(samples[True])
    times = {f"{key}_times": busy[key] / alone["median"] for key in busy}
    return {"alone": alone, "busy": busy, **times}
