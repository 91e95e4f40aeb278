"""Nothing hangs: whatever one rank does, all ranks end soon, with a reason that names who and what."""

import re

import pytest
from launch import needs_mpi, run_ranks

pytestmark = needs_mpi

SUM = r"all_reduce\(SUM, float32, 20000 values\)"
CASES = {
    "raises_before_a_collective": r"rank {odd} has left the job: it ended with ValueError: the data is bad",
    "raises_while_others_compute": r"rank {odd} leaves \(ValueError: the data is bad\), but ranks .*do not",
    "exits_early": r"rank {odd} has left the job: its program ended",
    "is_killed": r"(?i)killed|terminat",
    "never_arrives": SUM + r", number 2 of group 'world' timed out after 5 s on rank 0: rank {odd} did not",
    "misses_the_barrier": r"barrier\(\), number 2 .* timed out after 1 s on rank 0: rank {odd} did not",
    "calls_another_collective": r"rank{s} {most} called " + SUM + r" as number 2; rank {odd} called broad",
    "brings_another_size": r"SUM, float32, 10 values\).*rank {odd} called all_reduce\(SUM, float32, 11",
    "brings_another_dtype": SUM + r".*rank {odd} called all_reduce\(SUM, float64, 20000",
    "sends_another_size": r"rank {odd} called send\(float32, 20000 values\) but rank 0 called recv",
    "nobody_sends": r"recv of group 'world' timed out after 5 s on rank 0: rank {odd} did not answer",
    "is_interrupted": r"KeyboardInterrupt",
    "runs_out_of_data": r"all_reduce\(AVG.* on rank 0 cannot go on: rank {odd} has left the job: its program",
    "raises_in_backward": r"rank {odd} has left the job: it ended with ValueError: the data is bad",
    "is_killed_in_backward": r"(?i)killed|terminat",
}


@pytest.mark.parametrize("case", CASES)
def test_failure_ends_all_ranks(case):
    ranks = 4 if case in ("calls_another_collective", "raises_before_a_collective") else 2
    status, output = run_ranks("failures.py", ranks, case, timeout=30)
    most = ", ".join(map(str, range(ranks - 1)))
    expected = CASES[case].format(odd=ranks - 1, most=most, s="s" if ranks > 2 else "")
    assert status != 0
    assert re.search(expected, output), output[-3000:]


def test_failures_without_shared_memory():
    env = {"NNLIB_DISTRIBUTED_SHM": "0"}
    for case in ("never_arrives", "exits_early", "calls_another_collective"):
        status, output = run_ranks("failures.py", 2, case, timeout=30, env=env)
        expected = CASES[case].format(odd=1, most="0", s="")
        assert status != 0
        assert re.search(expected, output), output[-3000:]
