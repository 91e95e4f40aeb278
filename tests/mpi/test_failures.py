"""Nothing hangs: whatever one rank does, all ranks end soon, with a reason that names who and what."""

import re
import signal

import pytest
from launch import check_ranks, finish_ranks, is_open_mpi, needs_mpi, start_ranks

pytestmark = needs_mpi

SUM = r"all_reduce\(SUM, float32, 20000 values\)"
BAD = "ValueError: the data is bad"
ENDED = "rank {odd} has left the job: its program ended"
GONE = r"rank {odd} \(process \d+ on .*\) (is|are) gone without a word"
LAST_CALLS = rf"Last calls: {SUM}, number 1; {SUM}, number 2"

# For each way to fail what the job has to say. odd: the rank that misbehaves, the last one.
CASES = {
    "raises_before_a_collective": rf"{SUM}, number 2 .*rank {{odd}} has left the job: it ended with {BAD}",
    "raises_while_others_compute": rf"rank {{odd}} leaves \({BAD}\), but ranks \[0.*\] do not",
    "raises_in_backward": rf"all_reduce\(AVG.*rank {{odd}} has left the job: it ended with {BAD}",
    "is_killed_between_steps": GONE,
    "is_killed_in_a_collective": GONE,
    "is_killed_in_backward": GONE,
    "is_killed_while_others_compute": GONE,
    "calls_sys_exit": ENDED,
    "comes_to_its_end": ENDED,
    "calls_os_exit": GONE,
    "calls_os_exit_while_others_compute": GONE,
    "calls_os_exit_while_others_leave": GONE,
    "one_is_interrupted": r"rank {odd} leaves \(KeyboardInterrupt\), but ranks \[0.*\] do not",
    "never_arrives": rf"{SUM}, number 2 of group 'world' timed out after 2 s on rank \d: "
    rf"rank {{odd}} did not arrive. {LAST_CALLS}",
    "misses_the_barrier": r"barrier\(\), number 2 .* timed out after 1 s on rank \d: rank {odd} did not arrive",
    "nobody_sends": "recv of group 'world' timed out after 2 s on rank 0: rank {odd} did not answer",
    "calls_another_collective": rf"rank.* called {SUM} as number 2; rank {{odd}} called broadcast",
    "runs_out_of_data": rf"all_reduce\(AVG.* on rank \d cannot go on: {ENDED}",
    "skips_backward": r"(?s)come on ranks? 0.* after 3 forward passes, on rank {odd} after 4 forward passes: was a "
    rf"backward pass skipped\?.*all_reduce\(AVG.* on rank \d cannot go on: {ENDED}\. Before that, gradients were",
    "skips_backward_under_check_reduction": r"rank {odd} has left the job: it ended with RuntimeError: Not all "
    "gradients have been reduced from the backward of the previous iteration: rank {odd} runs forward again",
}


def check(ends, expected):
    """Each job (status and output, by number of ranks) must have failed, and said so."""
    for ranks, (status, output) in ends.items():
        assert status != 0, f"{ranks} ranks: {output[-3000:]}"
        assert re.search(expected.format(odd=ranks - 1), output), f"{ranks} ranks: {output[-3000:]}"


def run_at(sizes, case, **options):
    """Runs a case with each number of ranks, all at once: most of the time is spent waiting."""
    jobs = {ranks: start_ranks("failures.py", ranks, case, **options) for ranks in sizes}
    return {ranks: finish_ranks(process, timeout=30) for ranks, process in jobs.items()}


@pytest.mark.ahead(lambda case: run_at((2, 4), case))
@pytest.mark.parametrize("case", CASES)
def test_failure_ends_all_ranks(case, outcome):
    check(outcome, CASES[case])


def test_ctrl_c_ends_all_ranks():
    # Open MPI's mpirun sends SIGTERM instead, which ends a Python at once, and shows nothing any more.
    expected = "" if is_open_mpi() else r"rank \d ends with KeyboardInterrupt"
    for ranks in (2, 4):
        process = start_ranks("failures.py", ranks, "all_are_interrupted")
        while "WAITING" not in (line := process.stdout.readline()):
            assert line, "the job ended by itself"
        process.send_signal(signal.SIGINT)
        check({ranks: finish_ranks(process, timeout=30)}, expected)


@pytest.mark.ahead(lambda case: run_at((2, 3), case, env={"NNLIB_DISTRIBUTED_SHM": "0"}))
@pytest.mark.parametrize("case", ["never_arrives", "calls_sys_exit", "calls_another_collective"])
def test_failures_without_shared_memory(case, outcome):
    check(outcome, CASES[case])


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_that_disagree_are_told(ranks):
    check_ranks("refusals.py", ranks)


def test_ranks_that_disagree_are_told_without_shared_memory():
    check_ranks("refusals.py", 3, env={"NNLIB_DISTRIBUTED_SHM": "0"})
