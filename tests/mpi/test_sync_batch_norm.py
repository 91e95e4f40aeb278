"""SyncBatchNorm normalises with the statistics of all ranks' batches together."""

import pytest
from launch import check_ranks, needs_mpi

pytestmark = needs_mpi


@pytest.mark.parametrize("ranks", [2, 4])
def test_sync_batch_norm(ranks):
    check_ranks("sync_batch_norm.py", ranks)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_empty_parts_layouts_groups_and_conversion(ranks):
    check_ranks("sync_batch_norm_rules.py", ranks)
