"""What a job does with /dev/shm: it needs little of it, and leaves nothing there."""

import pytest
from launch import finish_ranks, has_command, is_open_mpi, needs_mpi, start_ranks

MOUNT = "mount -t tmpfs -o size={} none /dev/shm"
pytestmark = [
    needs_mpi,
    pytest.mark.skipif(
        not has_command("unshare", "--mount", "sh", "-c", MOUNT.format("1m")),
        reason="a /dev/shm of its own needs unshare (util-linux) and the permission to mount",
    ),
]


def run_with_shm(size, script, program, ranks, *args):
    """Runs a job with a /dev/shm of that size; `script` has the launcher's command as "$@"."""
    before = ["unshare", "--mount", "sh", "-c", f"{MOUNT.format(size)} || exit 99; {script}", "sh"]
    return finish_ranks(start_ranks(program, ranks, *args, before=before), timeout=60)


def test_a_small_one_is_enough():
    status, output = run_with_shm("256k", 'exec "$@"', "collectives.py", 2)
    assert status == 0 and output.count("RANK DONE") == 2, output[-3000:]
    assert "/dev/shm" in output and ("small ones" in output or is_open_mpi()), output[-3000:]


def test_nothing_is_left_by_a_job_that_ends():
    status, output = run_with_shm("64m", '"$@" && echo LEFT: && ls -A /dev/shm', "leaves.py", 2)
    assert status == 0 and output.endswith("LEFT:\n"), output[-3000:]


@pytest.mark.parametrize("case", ["is_killed_in_a_collective", "calls_os_exit"])
def test_nothing_is_left_when_a_rank_is_killed(case):
    script = '"$@"; status=$?; echo LEFT:; ls -A /dev/shm; exit $status'
    status, output = run_with_shm("64m", script, "failures.py", 2, case)
    assert status != 0 and output.endswith("LEFT:\n"), output[-3000:]


def test_nothing_is_left_when_all_are_killed():
    script = (
        'setsid "$@" > /dev/shm/output & job=$!; until grep -q WAITING /dev/shm/output; do sleep 0.1; done; '
        "kill -9 -- -$job; wait; sleep 1; rm /dev/shm/output; echo LEFT:; ls -A /dev/shm"
    )
    status, output = run_with_shm("64m", script, "failures.py", 2, "all_are_interrupted")
    assert status == 0 and output.endswith("LEFT:\n"), output[-3000:]
