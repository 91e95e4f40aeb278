"""A job that is killed anywhere goes on as if it had not been; checkpoints fit any number of ranks."""

import os
import re

import pytest
from launch import check_ranks, needs_mpi, run_ranks

pytestmark = needs_mpi


def losses(output):
    return dict(re.findall(r"LOSS (\d+) (\S+)", output))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    found = losses(check_ranks("checkpoint.py", 2, folder / "run.pt", 8, "never"))
    assert len(found) == 8
    return found


@pytest.mark.parametrize("death, resumed_at", [("step:5", 5), ("write:1", 1), ("write:3", 5)])
def test_a_killed_run_goes_on_bit_by_bit(death, resumed_at, unbroken, tmp_path):
    path = tmp_path / "run.pt"
    status, output = run_ranks("checkpoint.py", 2, path, 8, death)
    assert "is gone without a word" in output, output[-3000:]
    assert status != 0 and losses(output).items() <= unbroken.items()
    resumed = losses(check_ranks("checkpoint.py", 2, path, 8, "never"))
    assert resumed == {step: loss for step, loss in unbroken.items() if int(step) >= resumed_at}
    assert os.listdir(tmp_path) == ["run.pt"]  # what the killed writer left is gone


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_checkpoint_fits_another_number_of_ranks(ranks, tmp_path):
    path = tmp_path / "run.pt"
    check_ranks("checkpoint.py", 2, path, 3, "never")
    more = losses(check_ranks("checkpoint.py", ranks, path, 6, "never"))
    assert list(more) == ["3", "4", "5", "6"]


@pytest.mark.parametrize("ranks", [1, 3])
def test_every_rank_is_told_of_errors(ranks, tmp_path):
    check_ranks("checkpoint_errors.py", ranks, tmp_path)
