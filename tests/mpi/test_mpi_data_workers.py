"""The DataLoader's workers beside MPI."""

from launch import check_ranks, needs_mpi

pytestmark = needs_mpi


def test_workers_after_mpi_has_started():
    check_ranks("data_workers.py", 2)
