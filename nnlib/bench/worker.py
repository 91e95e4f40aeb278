"""The process in which one library is measured. It reads requests from its input, a JSON object a line.

It is started by path (see ``peer.py``) and imports no nnlib of its own: PyTorch's process holds PyTorch alone.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time

import numpy as np

from .cases import CASES


def resident(field):
    """VmRSS or VmHWM (the most that VmRSS has been) of this process, in bytes."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def fingerprint(arrays):
    """Two numbers for each array, by which results of two processes are compared."""
    seen = []
    for x in arrays:
        x = np.asarray(x, "float64").ravel()
        norm = float(np.linalg.norm(x))
        direction = np.random.default_rng(5).standard_normal(x.size)
        seen.append([norm, float(x @ direction) / max(norm, 1e-30)])
    return seen


def once(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def timed(call, seconds):
    """Times of single calls (averages of several where they are short), for about ``seconds``."""
    call()
    loops = max(1, int(seconds / 10 / max(once(call), 1e-7)))
    samples, stop = [], time.perf_counter() + seconds
    while len(samples) < 3 or time.perf_counter() < stop:
        start = time.perf_counter()
        for _ in range(loops):
            call()
        samples.append((time.perf_counter() - start) / loops)
    return samples


class Worker:
    """Answers requests about one library."""

    def __init__(self, name, threads, precision):
        self.lib = importlib.import_module(name)
        for part in ("nn", "nn.functional", "optim"):
            importlib.import_module(f"{name}.{part}")
        self.lib.set_num_threads(threads)
        if precision:
            self.lib.set_float32_matmul_precision(precision)
        self.ready = None

    def build(self, case, compare=True):
        self.ready = None  # the last case's memory goes first
        case = next(c for c in CASES if c.name == case)
        self.lib.manual_seed(0)
        self.ready = case.build(self.lib)
        seen = fingerprint(self.ready.results()) if compare and not case.random else []
        work = {way: [w.flop, w.bytes] for way, w in self.ready.work.items()}
        return {"ways": list(self.ready.ways), "work": work, "results": seen}

    def time(self, way, seconds):
        samples = timed(self.ready.ways[way], seconds)
        return {"seconds": [s / self.ready.repeats for s in samples]}

    def memory(self, case, way, warm=3, steps=5):
        """The most memory that steps take over what stood before the case was built, and their page faults."""
        before = resident("VmRSS")
        self.build(case, compare=False)
        step = self.ready.ways[way]
        for _ in range(warm):
            step()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(steps):
            step()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        peak = resident("VmHWM")
        return {"before": before, "peak": peak, "grown": peak - before, "faults": faults / steps}

    def steps(self, way, seconds):
        """Times of single steps: an average would hide the slow ones."""
        step = self.ready.ways[way]
        step()
        samples, stop = [], time.perf_counter() + seconds
        while len(samples) < 3 or time.perf_counter() < stop:
            samples.append(once(step))
        return {"seconds": samples}


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    name, threads, precision = sys.argv[1:4]
    try:
        worker = Worker(name, int(threads), precision)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        return
    print(json.dumps({"version": str(worker.lib.__version__)}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # a case that a library cannot run is a result
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers)
