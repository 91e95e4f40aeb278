"""What happens when a worker of RPC fails."""

import re

import pytest
from launch import needs_mpi, run_ranks

pytestmark = needs_mpi


FAILURES = {
    "raises_while_it_is_called": r"w1 did not answer: rank 1 has left the job: it ended with ValueError: the data is",
    "raises_while_others_shut_down": r"shutdown of w0 cannot wait .* rank 1 has left .* ValueError: the data is bad",
    "raises_while_others_compute": r"rank 1 leaves \(ValueError: the data is bad\), but ranks .*do not",
    "an_answer_is_an_error_that_nobody_catches": r"rank 0 has left the job: it ended with TypeError: On WorkerInfo",
    "exits_early": r"w1 did not answer: rank 1 has left the job: its program ended",
    "is_killed": r"(?i)killed|terminat",
    "is_interrupted": r"KeyboardInterrupt",
    "does_not_shut_down": r"shutdown of w0 waited for 1 s: w1 did not call shutdown",
    "leaves_without_grace": r"w1 did not answer: w1 has called shutdown\(graceful=False\)",
    "two_have_one_name": r"the workers of ranks 0, 1 have the same name 'same'",
}


@pytest.mark.ahead(lambda case: run_ranks("rpc_failures.py", 2, case, timeout=30))
@pytest.mark.parametrize("case", FAILURES)
def test_failure_ends_all_ranks(case, outcome):
    status, output = outcome
    assert status != 0
    assert re.search(FAILURES[case], output), output[-3000:]
