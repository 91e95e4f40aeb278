"""Runs a program on several ranks, with a hard end.

NNLIB_TEST_MPI_PYTHON names the Python that runs the ranks, with the mpirun beside it: the interpreter of an
environment with another MPI. By default it is the one that runs the tests.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
PYTHON = os.environ.get("NNLIB_TEST_MPI_PYTHON") or sys.executable

# Open MPI refuses root and more ranks than cores unless it is told; other launchers do not know these.
OPEN_MPI_MAY = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}


def mpirun_of(python):
    """The mpirun beside a Python, or the one on the path; None where there is none."""
    beside = Path(python).parent / "mpirun"
    return str(beside) if beside.exists() else shutil.which("mpirun")


def find_mpirun():
    """The mpirun of the ranks' Python."""
    return mpirun_of(PYTHON)


@functools.cache
def has_mpi(python=PYTHON):
    """Whether a Python has mpi4py and an mpirun."""
    found = subprocess.run([python, "-c", "import mpi4py"], capture_output=True).returncode == 0
    return found and mpirun_of(python) is not None


@functools.cache
def is_open_mpi():
    """Whether the ranks' mpirun is Open MPI's."""
    said = subprocess.run([find_mpirun(), "--version"], capture_output=True, text=True)
    return "Open MPI" in said.stdout


needs_mpi = pytest.mark.skipif(
    not has_mpi(), reason="mpi4py or mpirun is not installed (pip install nnlib[mpi])"
)


def has_command(*words):
    """Whether a command can be run and ends well."""
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        return False


def environment(more=None):
    """The variables of a rank: this nnlib, one thread."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    ours = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"}
    return {**os.environ, **OPEN_MPI_MAY, **ours, **(more or {})}


def start_ranks(program, ranks, *args, env=None, before=(), python=PYTHON, mpirun=None):
    """Starts a program under tests/mpi/programs in a session of its own; both streams go to one pipe.

    before: words in front of the launcher. python, mpirun: of another MPI.
    """
    command = [*before, mpirun or mpirun_of(python), "-n", str(ranks), python, str(PROGRAMS / program)]
    return subprocess.Popen(
        [*command, *map(str, args)],
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish_ranks(process, timeout=60):
    """The exit status and the output of what start_ranks started; fails when it is not over in time."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        command = " ".join(map(str, process.args))
        pytest.fail(f"{command} was not over after {timeout} s:\n{output[-3000:]}")
    return process.returncode, output


def run_ranks(program, ranks, *args, timeout=60, **options):
    """The exit status and the output (both streams together) of a program under tests/mpi/programs."""
    return finish_ranks(start_ranks(program, ranks, *args, **options), timeout)


def check_ranks(program, ranks, *args, **options):
    """Fails unless all ranks end well and say so."""
    status, output = run_ranks(program, ranks, *args, **options)
    done = output.count("RANK DONE")
    assert status == 0 and done == ranks, f"status {status}, {done} of {ranks} ranks done:\n{output[-3000:]}"
    return output
