"""Runs the programs beside this one that the arguments name, one after the other, in one job."""

import runpy
import sys
from pathlib import Path

import nnlib
import nnlib.distributed as dist

for name in sys.argv[1:]:
    if (
        dist.is_initialized()
    ):  # what the one before has left; what the last one leaves, leaving the job must end
        dist.destroy_process_group()
    nnlib.set_device_partition(0)
    path = str(Path(__file__).with_name(name))
    print(f"BEGUN {name}\n", end="", flush=True)  # in one piece: lines of ranks may mix
    sys.argv = [path]
    runpy.run_path(path, run_name="__main__")
    print(f"DONE {name}\n", end="", flush=True)
