"""DistributedDataParallel at 1, 2 and 4 ranks."""

import pytest
from launch import check_ranks, needs_mpi

pytestmark = needs_mpi


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ddp(ranks):
    check_ranks("ddp.py", ranks)


def test_ddp_without_shared_memory():
    check_ranks("ddp.py", 2, env={"NNLIB_DISTRIBUTED_SHM": "0"})
