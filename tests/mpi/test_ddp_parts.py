"""Compressed gradients, an optimizer that is spread over the ranks, and what else goes with training on them."""

import pytest
from launch import check_ranks, needs_mpi

pytestmark = needs_mpi


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_zero_redundancy_optimizer(ranks):
    check_ranks("zero.py", ranks)


@pytest.mark.parametrize("ranks", [1, 2])
def test_power_sgd(ranks):
    check_ranks("power_sgd.py", ranks)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_local_sgd(ranks):
    check_ranks("local_sgd.py", ranks)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_clipping_samplers_old_arguments_and_handles(ranks):
    check_ranks("ddp_rules.py", ranks)


def test_power_sgd_without_shared_memory():
    check_ranks("power_sgd.py", 2, env={"NNLIB_DISTRIBUTED_SHM": "0"})
