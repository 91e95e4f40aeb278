"""Groups that span nodes: one host whose ranks are counted as nodes of two."""

import re

import pytest
from launch import needs_mpi, run_ranks

pytestmark = needs_mpi

NODES = {"NNLIB_DISTRIBUTED_NODE_SIZE": "2"}


def test_nodes_without_shared_memory():
    status, output = run_ranks("ddp.py", 3, env={**NODES, "NNLIB_DISTRIBUTED_SHM": "0"})
    assert status == 0 and output.count("RANK DONE") == 3, output[-3000:]


def test_a_node_size_that_is_no_number():
    status, output = run_ranks("leaves.py", 2, env={"NNLIB_DISTRIBUTED_NODE_SIZE": "two"})
    assert status != 0
    assert "NNLIB_DISTRIBUTED_NODE_SIZE must be a number of ranks above zero, but is 'two'" in output


SUM = r"all_reduce\(SUM, float32, 20000 values\)"
FAILURES = {
    "raises_before_a_collective": r"rank {odd} has left the job: it ended with ValueError: the data is bad",
    "calls_sys_exit": r"rank {odd} has left the job: its program ended",
    "is_killed_in_a_collective": r"rank {odd} \(process \d+ on .*\) (is|are) gone without a word",
    "is_killed_in_backward": r"rank {odd} \(process \d+ on .*\) (is|are) gone without a word",
    "never_arrives": SUM + r", number 2 of group 'world' timed out after 2 s on rank \d: rank {odd} did not",
    "calls_another_collective": r"ranks {most} called " + SUM + r" as number 2; rank {odd} called broadcast",
    "runs_out_of_data": r"all_reduce\(AVG.* on rank \d cannot go on: rank {odd} has left the job: its program",
    "raises_in_backward": r"rank {odd} has left the job: it ended with ValueError: the data is bad",
}


def size_for(case):
    return 3 if case in ("never_arrives", "raises_in_backward") else 4


@pytest.mark.ahead(lambda case: run_ranks("failures.py", size_for(case), case, timeout=30, env=NODES))
@pytest.mark.parametrize("case", FAILURES)
def test_failure_ends_the_ranks_of_all_nodes(case, outcome):
    (status, output), ranks = outcome, size_for(case)
    odd, most = ranks - 1, ", ".join(map(str, range(ranks - 1)))
    assert status != 0
    assert re.search(FAILURES[case].format(odd=odd, most=most), output), output[-3000:]
