"""What the machine can do at most, measured in the same run as the cases."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import _C, get_num_threads, set_num_threads

KIB = 1024
MOST = 1 << 28  # bytes of an array: much memory and a large cache take no longer


@dataclass(frozen=True)
class Level:
    """A level of the memory: copies of arrays that fit it, ``bytes`` a thread, in bytes a second."""

    name: str
    bytes: int
    one_thread: float
    all_threads: float


@dataclass(frozen=True)
class Limits:
    """fma: float32 operations a second by instruction set, on one thread and on all; tiles: those of bfloat16, where
    there are any; levels: copies, the nearest first; capacity: the bytes that each level holds for all threads.
    """

    isa: str
    threads: int
    fma: dict[str, tuple[float, float]]
    tiles: dict[str, tuple[float, float]]
    levels: list[Level]
    capacity: list[float]

    def level(self, moved):
        """The level that holds what a call reads and writes."""
        for level, holds in zip(self.levels, self.capacity, strict=True):
            if moved <= holds:
                return level
        return self.levels[-1]

    def least_seconds(self, work):
        """The least time for the work, and which limit sets it; (None, None) without work."""
        bounds = []
        if work.flop:
            bounds.append((work.flop / self.fma[self.isa][1], "FMA"))
        if work.bytes:
            level = self.level(work.bytes)
            bounds.append((work.bytes / level.all_threads, level.name))
        return max(bounds, default=(None, None))

    def as_json(self):
        def rates(by_isa):
            return {isa: {"one_thread": one, "all_threads": all_} for isa, (one, all_) in by_isa.items()}

        levels = [asdict(level) for level in self.levels]
        return {"fma_flops": rates(self.fma), "tile_flops": rates(self.tiles), "copy_bytes": levels}


def cache_size(level, fallback):
    """The bytes of a data cache: a core's own, or the one that cores share."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            about = {name: (index / name).read_text().strip() for name in ("level", "type", "size")}
        except OSError:
            continue
        if about["level"] == str(level) and about["type"] in ("Data", "Unified"):
            return int(about["size"].removesuffix("K")) * KIB
    return fallback


def copy_rate(isa, threads, size, seconds):
    """The better of plain stores and of stores past the caches."""
    return max(_C._copy_rate(isa, threads, size, past, seconds) for past in (False, True))


def measure(threads, seconds=0.2):
    """Measure the limits; takes a few seconds."""
    before = get_num_threads()
    set_num_threads(threads)
    try:
        isas = [isa for isa in _C._isas() if isa != "reference"]
        fma = {isa: tuple(_C._fma_rate(isa, n, seconds) for n in (1, threads)) for isa in isas}
        tiles = {isa: tuple(_C._tile_rate(isa, n, seconds) for n in (1, threads)) for isa in isas}
        tiles = {isa: rates for isa, rates in tiles.items() if rates[0]}
        l1, l2 = cache_size(1, 32 * KIB), cache_size(2, 512 * KIB)
        l3 = cache_size(3, 8 * KIB * KIB)
        isa = _C._isa() if _C._isa() in fma else isas[-1]
        levels = []
        for name, size in (("L1", l1 // 4), ("L2", l2 // 4), ("L3", l3 // 4), ("memory", 4 * l3)):
            # Two arrays a thread; the shared levels' sizes are divided among the threads.
            share = size if name in ("L1", "L2") else max(size // threads, l2)
            alone, together = (
                copy_rate(isa, n, min(b, MOST), seconds) for n, b in ((1, size), (threads, share))
            )
            levels.append(Level(name, min(share, MOST), alone, together))
    finally:
        set_num_threads(before)
    capacity = [threads * l1, threads * l2, max(l3, threads * l2), float("inf")]
    return Limits(isa, threads, fma, tiles, levels, capacity)


def machine():
    """What the numbers belong to."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            name = next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": name, "cores": cores}
