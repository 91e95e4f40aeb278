"""A library in a process of its own, as the measuring process sees it."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PATIENCE = 300  # seconds that an answer may take

# Starts worker.py as a part of a package "bench" that stands alone: the parent package, nnlib, stays outside.
STARTER = """
import sys, types
package = types.ModuleType("bench")
package.__path__ = [sys.argv.pop(1)]
sys.modules["bench"] = package
from bench.worker import main
main()
"""


class Failed(RuntimeError):
    """The library could not do what it was asked."""


class Library:
    """``nnlib`` or ``torch`` in a process that answers requests; a context manager that ends it."""

    def __init__(self, name, threads, precision=""):
        self.name = name
        self.command = [sys.executable, "-c", STARTER, str(FOLDER), name, str(threads), precision]
        paths = [str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment
        )
        try:
            self.version = self.answer()["version"]
        except Failed:
            self.close()
            raise

    def answer(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(PATIENCE):
                self.close()
                raise Failed(f"{self.name} gave no answer in {PATIENCE} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name}'s process died with code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, do, **arguments):
        if self.process.poll() is not None:
            self.start()
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name}'s process died") from None
        return self.answer()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def differences(ours, theirs, tolerance=1e-3):
    """Which of two lists of results differ, given their fingerprints."""
    if len(ours) != len(theirs):
        return list(range(max(len(ours), len(theirs))))
    return [
        i
        for i, ((norm, along), (norm2, along2)) in enumerate(zip(ours, theirs, strict=True))
        if not (abs(norm - norm2) <= tolerance * norm2 + 1e-12 and abs(along - along2) <= 20 * tolerance)
    ]
