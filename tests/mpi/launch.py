"""Runs a program on several ranks, with a hard end."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"


def find_mpirun():
    """The mpirun beside this Python, or the one on the path."""
    beside = Path(sys.executable).parent / "mpirun"
    return str(beside) if beside.exists() else shutil.which("mpirun")


needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or find_mpirun() is None,
    reason="mpi4py or mpirun is not installed (pip install nnlib[mpi])",
)


def run_ranks(program, ranks, *args, timeout=60, env=None):
    """The exit status and the output (both streams together) of a program under tests/mpi/programs."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = dict(
        os.environ, OMP_NUM_THREADS="1", PYTHONPATH=path, PYTHONFAULTHANDLER="1", **(env or {})
    )
    command = [find_mpirun(), "-n", str(ranks), sys.executable, str(PROGRAMS / program), *map(str, args)]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"{program} {args} on {ranks} ranks was not over after {timeout} s:\n{output[-3000:]}")
    return process.returncode, output


def check_ranks(program, ranks, *args, **options):
    """Fails unless all ranks end well and say so."""
    status, output = run_ranks(program, ranks, *args, **options)
    done = output.count("RANK DONE")
    assert status == 0 and done == ranks, f"status {status}, {done} of {ranks} ranks done:\n{output[-3000:]}"
    return output
