"""The model of a step's time, where its result is known, and the program around it."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from nnlib.distributed.scaling import Machine, Program, best_bucket, predict
from nnlib.distributed.scaling.model import MIB, buckets_of

# Eight gradients of 4 MiB, one every 10 ms.
PROGRAM = Program(0.03, 0.08, 0.01, tuple((0.01 * (i + 1), 4 * MIB) for i in range(8)))
NODE = Machine(cores=4, ranks=4, crowding=1.0, meeting=0.0, sum_rate=1e12)


def test_buckets_fill_as_those_of_ddp():
    assert buckets_of(PROGRAM, 25) == [(0.01, 4 * MIB), (0.08, 28 * MIB)]
    assert buckets_of(PROGRAM, 8) == [(0.01, 4 * MIB)] + [(0.01 * i, 8 * MIB) for i in (3, 5, 7)] + [
        (0.08, 4 * MIB)
    ]


def test_one_rank_takes_its_own_time():
    assert predict(PROGRAM, NODE, 1).step == pytest.approx(0.12)
    assert predict(PROGRAM, NODE, 1).averaging == 0


def test_ranks_share_cores():
    shared = replace(NODE, ranks=100)
    assert predict(PROGRAM, shared, 8).step == pytest.approx(0.24, rel=1e-3)
    assert predict(PROGRAM, replace(shared, crowding=1.5), 4).step == pytest.approx(0.18, rel=1e-3)
    assert predict(PROGRAM, replace(shared, crowding=1.6), 2).step == pytest.approx(0.144, rel=1e-3)


def test_the_slowest_rank_holds_up_the_others_unless_they_share_cores():
    shared = replace(NODE, ranks=100, crowding=1.5, uneven=1.2)
    assert predict(PROGRAM, shared, 1).step == pytest.approx(0.12)
    assert predict(PROGRAM, shared, 4).step == pytest.approx(0.12 * 1.5 * 1.2, rel=1e-3)
    assert predict(PROGRAM, shared, 8).step == pytest.approx(0.12 * 1.5 * 2, rel=1e-3)


def test_the_processor_is_not_free_for_averages_on_a_full_node():
    slow = replace(NODE, sum_rate=2 * 32 * MIB / 0.02)  # all averages together take 20 ms
    full, spare = predict(PROGRAM, slow, 4), predict(PROGRAM, slow, 2)
    assert full.step == pytest.approx(0.14) and full.hidden == pytest.approx(0)
    assert spare.step == pytest.approx(0.12 + 0.02 * 28 / 32)  # the last bucket comes when backward ends


def test_the_network_is_hidden_behind_backward():
    net = replace(NODE, cores=8, bandwidth=2 * 4 * MIB / 2 / 0.005)  # 5 ms for 4 MiB between two nodes
    p = predict(PROGRAM, net, 8, bucket_mb=4)
    assert p.step == pytest.approx(0.125, rel=1e-3) and p.hidden == pytest.approx(7 / 8, rel=1e-2)
    assert predict(PROGRAM, net, 8, bucket_mb=25).step == pytest.approx(0.12 + 0.035, rel=1e-3)


def test_latency_wants_larger_buckets():
    net = replace(NODE, cores=8, bandwidth=1e9)
    quick = best_bucket(PROGRAM, net, 64)[0]
    slow, steps = best_bucket(PROGRAM, replace(net, latency=0.01), 64)
    assert quick < slow and steps[slow] <= 1.001 * min(steps.values())


def run(*args):
    done = subprocess.run(
        [sys.executable, "-m", "nnlib.distributed.scaling", *args], capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_the_program(tmp_path):
    path, picture = tmp_path / "here.json", tmp_path / "scaling.png"
    status, output = run("--json", str(path), "--rounds", "3", "--steps", "2", "--model", "mlp")
    assert status == 0 and "3 rounds of up to 1 ranks" in output, output
    found = json.loads(path.read_text())
    status, output = run("--read", str(path))
    assert status != 0 and "the file lacks steps of two ranks" in output
    found.update(cores=2, meeting=1e-4, message=[1e-4, 1e9])
    for slower, one in zip((1, 4, 2), found["rounds"], strict=True):  # the machine's mood
        alone = sum(one["parts"])
        one["parts"] = [slower * part for part in one["parts"]]
        one["crowded"], one["slowest"] = slower * 1.2 * alone, slower * 1.32 * alone
        one["steps"] = {"1": slower * 1.1 * alone, "2": slower * 1.5 * alone}
    path.write_text(json.dumps(found))
    pytest.importorskip("matplotlib")
    status, output = run("--read", str(path), "--plot", str(picture))
    assert (
        status == 0
        and "1.20 times as long" in output
        and "1.10 times that" in output
        and "best bucket" in output
    ), output
    assert re.search(r"\n +1 .* -9\.1%\n", output), output  # 1 / 1.1, whatever the mood
    assert picture.read_bytes()[:4] == b"\x89PNG"
