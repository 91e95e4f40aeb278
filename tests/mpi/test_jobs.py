"""Starting a job, leaving it, and what it says of itself."""

import platform
import re

import pytest
from launch import check_ranks, has_mpi, is_open_mpi, needs_mpi, run_ranks

pytestmark = needs_mpi


def test_without_destroy_the_program_ends_well():
    check_ranks("leaves.py", 2)


def test_info_says_what_each_rank_sees():
    output = check_ranks("info.py", 2)
    abi = "openmpi" if is_open_mpi() else "mpich"
    assert re.search(rf"nnlib \S+, mpi4py \S+ with ABI {abi}, MPI standard \d\.\d: \S+", output), output
    for rank in range(2):
        line = rf"rank {rank} of 2: host {platform.node()}, cores [\d,-]+, 1 threads, process \d+, \w+=2, "
        line += "library /.*libmpi"
        assert re.search(line + ".*, talks through shared memory", output), output


@pytest.mark.skipif(has_mpi() and is_open_mpi(), reason="Open MPI's mpirun sets the variable itself")
def test_a_launcher_of_another_mpi_is_an_error():
    status, output = run_ranks("leaves.py", 2, env={"OMPI_COMM_WORLD_SIZE": "5"})
    assert status != 0
    assert "OMPI_COMM_WORLD_SIZE=5" in output and "world of 2" in output
