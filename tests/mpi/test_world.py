"""deterministic="world": the same bits on 1, 2 and 4 ranks."""

import re

from launch import check_ranks, needs_mpi

pytestmark = needs_mpi


def bits(ranks, **options):
    return re.search(r"BITS (.*)", check_ranks("world.py", ranks, **options)).group(1)


def test_weights_have_the_same_bits_on_1_2_and_4_ranks():
    alone = bits(1)
    assert bits(2) == alone
    assert bits(4) == alone


def test_nor_do_nodes_and_threads_matter():
    split = {"NNLIB_DISTRIBUTED_NODE_SIZE": "1", "NNLIB_DISTRIBUTED_SHM": "0"}
    assert bits(2, env=split) == bits(1)
