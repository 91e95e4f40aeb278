"""SyncBatchNorm normalises with the statistics of all ranks' batches together."""

import pytest
from launch import check_ranks, needs_mpi

pytestmark = needs_mpi


@pytest.mark.parametrize("ranks", [2, 4])
def test_sync_batch_norm(ranks):
    check_ranks("sync_batch_norm.py", ranks)
