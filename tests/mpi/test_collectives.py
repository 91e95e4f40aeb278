"""Collectives at 1, 2 and 4 ranks, in shared memory and through MPI."""

import platform
import re

import pytest
from launch import check_ranks, has_mpi, is_open_mpi, needs_mpi, run_ranks

pytestmark = needs_mpi


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_collectives(ranks):
    check_ranks("collectives.py", ranks)


@pytest.mark.parametrize("ranks", [2, 3])
def test_collectives_without_shared_memory(ranks):
    check_ranks("collectives.py", ranks, env={"NNLIB_DISTRIBUTED_SHM": "0"})


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


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_gradients_through_collectives(ranks):
    check_ranks("functional.py", ranks)
