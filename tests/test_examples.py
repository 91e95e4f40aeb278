"""Short runs of the examples, and a killed run that goes on as if it had not been."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nnlib

EXAMPLES = Path(__file__).parents[1] / "examples"
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")


def mpirun():
    """The launcher beside this interpreter, or the one on the path; skips the test where there is none."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if not found:
        pytest.skip("mpirun is not installed")
    return found


def run(*arguments, ranks=0, cwd, ok=True):
    command = [sys.executable, *map(str, arguments)]
    if ranks:
        command = [mpirun(), "-n", str(ranks), *command]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert (result.returncode == 0) == ok, result.stdout + result.stderr
    return result


def history(folder):
    return nnlib.load(folder / "digits.pt")["history"]


@pytest.mark.parametrize("ranks", [0, 2])
def test_a_stopped_run_goes_on_bit_by_bit(ranks, tmp_path):
    digits = (EXAMPLES / "digits.py", "--epochs", 4, "--output")
    whole = run(*digits, tmp_path / "whole", ranks=ranks, cwd=tmp_path)
    run(*digits, tmp_path / "parts", "--stop-after", 2, ranks=ranks, cwd=tmp_path)
    assert len(history(tmp_path / "parts")["loss"]) == 2
    run(*digits, tmp_path / "parts", "--resume", ranks=ranks, cwd=tmp_path)
    assert history(tmp_path / "parts") == history(tmp_path / "whole")
    assert len(history(tmp_path / "whole")["loss"]) == 4
    assert re.fullmatch(r"test accuracy: \d+\.\d%", whole.stdout.splitlines()[-1])
    assert (tmp_path / "whole" / "digits.png").read_bytes().startswith(b"\x89PNG")
    assert "step" in whole.stderr  # the progress bar


def test_inference_from_the_saved_file(tmp_path):
    run(EXAMPLES / "digits.py", "--epochs", 6, cwd=tmp_path)
    found = run(EXAMPLES / "infer.py", cwd=tmp_path).stdout
    right, total = map(int, re.search(r"(\d+) of (\d+) test images", found).groups())
    assert total == 360 and right / total > 0.9
    missing = run(EXAMPLES / "infer.py", "nothing.pt", cwd=tmp_path, ok=False)
    assert "there is no file nothing.pt" in missing.stderr


def test_resume_without_a_checkpoint_says_so(tmp_path):
    result = run(EXAMPLES / "digits.py", "--resume", cwd=tmp_path, ok=False)
    assert "there is no checkpoint" in result.stderr


@pytest.mark.parametrize("ranks", [0, 2])
def test_gpt_learns_and_writes(ranks, tmp_path):
    small = ("--steps", 20, "--batch-size", 4, "--context", 16, "--width", 16, "--heads", 2, "--layers", 1)
    result = run(EXAMPLES / "gpt.py", *small, "--sample", 20, ranks=ranks, cwd=tmp_path)
    assert result.stdout.startswith("def ")
    loss = float(re.search(r"loss: ([\d.]+) nats a byte after 20 steps", result.stdout).group(1))
    assert loss < 5.5  # a guess without learning costs ln 256 = 5.55
