"""Times of the cases: both libraries in turn, results compared before anything is timed."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass

from .case import Work
from .peer import Failed, differences


@dataclass
class Row:
    """One way of one case. Times are of one call in seconds; ``ratio`` is the peer's time over nnlib's.

    spread: half the distance of the quartiles over the median. limit: what bounds the work ("FMA" or a level of the
    memory); share: the least time that it allows over the time taken.
    """

    case: str
    group: str
    way: str
    seconds: float | None = None
    spread: float | None = None
    flop: float = 0
    bytes: float = 0
    limit: str | None = None
    share: float | None = None
    peer_seconds: float | None = None
    peer_spread: float | None = None
    ratio: float | None = None
    error: str | None = None

    @property
    def rate(self):
        """Operations, or bytes, a second: what the limit counts."""
        if self.limit is None or not self.seconds:
            return None
        return (self.flop if self.limit == "FMA" else self.bytes) / self.seconds

    def as_json(self):
        return {**asdict(self), "rate": self.rate, "unit": "flop" if self.limit == "FMA" else "byte"}


def spread(samples):
    """Half the distance of the quartiles, over the median."""
    ordered = sorted(samples)
    quarter = len(ordered) // 4
    return (ordered[-1 - quarter] - ordered[quarter]) / 2 / statistics.median(ordered)


def time_way(row, libraries, way, seconds, rounds):
    """Fill a row's times, the libraries in turn."""
    samples = [[] for _ in libraries]
    medians = [[] for _ in libraries]
    for _ in range(rounds):
        for library, all_, median in zip(libraries, samples, medians, strict=True):
            got = library.ask("time", way=way, seconds=seconds)["seconds"]
            all_ += got
            median.append(statistics.median(got))
    row.seconds, row.spread = statistics.median(samples[0]), spread(samples[0])
    if len(libraries) > 1:
        row.peer_seconds, row.peer_spread = statistics.median(samples[1]), spread(samples[1])
        row.ratio = statistics.median(b / a for a, b in zip(*medians, strict=True))


def run_case(case, libraries, limits, seconds, rounds, tolerance):
    """Yield a row for each way of a case; one row with an error where a library cannot run it or is wrong."""
    try:
        built = [library.ask("build", case=case.name) for library in libraries]
        if len(built) > 1:
            wrong = differences(built[0]["results"], built[1]["results"], tolerance)
            if wrong:
                raise Failed(f"results differ from {libraries[1].name}'s (number {wrong}, outputs first)")
    except Failed as error:
        yield Row(case.name, case.group, "", error=str(error))
        return
    for way in built[0]["ways"]:
        work = Work(*built[0]["work"].get(way, (0, 0)))
        row = Row(case.name, case.group, way, flop=work.flop, bytes=work.bytes)
        try:
            time_way(row, libraries, way, seconds, rounds)
        except Failed as error:
            row.error = str(error)
        else:
            least, row.limit = limits.least_seconds(work)
            row.share = least / row.seconds if least else None
        yield row


def summary(rows):
    """(group, geometric mean of the ratios, worst ratio, rows, errors) for each group, then for all."""
    groups = [*dict.fromkeys(row.group for row in rows)]
    lines = []
    for name in [*groups, "all"]:
        own = [row for row in rows if name in (row.group, "all")]
        ratios = [row.ratio for row in own if row.ratio is not None]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None
        lines.append(
            (name, mean, min(ratios, default=None), len(own), sum(row.error is not None for row in own))
        )
    return lines
