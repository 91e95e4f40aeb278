"""Collectives at 1, 2 and 4 ranks, in shared memory and through MPI."""

import pytest
from launch import check_ranks, needs_mpi, run_ranks

pytestmark = needs_mpi


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_collectives(ranks):
    check_ranks("collectives.py", ranks)


@pytest.mark.parametrize("ranks", [2, 3])
def test_collectives_without_shared_memory(ranks):
    check_ranks("collectives.py", ranks, env={"NNLIB_DISTRIBUTED_SHM": "0"})


def test_without_destroy_the_program_ends_well():
    check_ranks("leaves.py", 2)


def test_a_launcher_of_another_mpi_is_an_error():
    status, output = run_ranks("leaves.py", 2, env={"OMPI_COMM_WORLD_SIZE": "5"})
    assert status != 0
    assert "OMPI_COMM_WORLD_SIZE=5" in output and "world of 2" in output
