"""nnlib.bench: its cases compute what they should, and the command line does what it says. No times."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnlib
from nnlib.bench import cli, limits, load, measure, memory, report, roofline
from nnlib.bench.case import Work
from nnlib.bench.cases import CASES, GROUPS, choose
from nnlib.bench.limits import Level, Limits
from nnlib.bench.measure import Row
from nnlib.bench.peer import Failed, Library, differences

ROOT = Path(__file__).parents[1]
LIMITS = Limits(
    "avx2",
    2,
    {"avx2": (100e9, 200e9)},
    {"avx2": (1e12, 2e12)},
    [
        Level("L1", 1, 2e11, 4e11),
        Level("L2", 2, 1e11, 2e11),
        Level("L3", 3, 5e10, 1e11),
        Level("memory", 4, 2e10, 4e10),
    ],
    [1e5, 1e6, 3e7, math.inf],
)
QUICK = ["--seconds", "0.001", "--rounds", "1", "--threads", "1"]


@pytest.fixture
def fast_limits(monkeypatch):
    monkeypatch.setattr(limits, "measure", lambda threads: LIMITS)


# ---- the cases


def test_names_are_unique_and_groups_known():
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.group for case in CASES} == set(GROUPS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_runs_and_states_its_work(case):
    """Each way runs; the results are those of float64 kernels, which share nothing with float32's."""
    if "50257" in case.name or "1000000" in case.name:
        pytest.skip("the same code as its smaller neighbours, on half a gigabyte")
    nnlib.manual_seed(0)
    ready = case.build(nnlib)
    assert ready.ways and ready.repeats >= 1
    for way, run in ready.ways.items():
        run()
        work = ready.work.get(way, Work())
        assert (work.flop or work.bytes) or case.group == "call"
    if case.random:
        return
    results = case.build(nnlib).results()
    exact = case.build(nnlib, "float64").results()
    assert len(results) == len(exact) > 0
    for i, (a, b) in enumerate(zip(results, exact, strict=True)):
        assert a.shape == b.shape
        error = np.linalg.norm((a - b).ravel()) / max(np.linalg.norm(b.ravel()), 1e-12)
        assert error < 2e-3, f"result {i} differs from float64's by {error}"


def test_results_that_differ_are_noticed():
    ours = [[1.0, 0.5], [2.0, 0.1]]
    assert differences(ours, ours) == []
    assert differences(ours, [[1.0, 0.5], [2.1, 0.1]]) == [1]
    assert differences(ours, [[1.0, -0.5], [2.0, 0.1]]) == [0]
    assert differences(ours, ours[:1]) == [0, 1]
    assert differences([[math.nan, 0.5]], [[1.0, 0.5]]) == [0]


def test_choose():
    assert {case.group for case in choose(["conv", "model"])} == {"conv", "model"}
    assert [case.name for case in choose(match="mlp")] == ["mlp"]
    assert choose(["conv"], "mlp") == []


# ---- limits and shares


def test_a_limit_is_the_larger_bound():
    assert LIMITS.least_seconds(Work(flop=2e9)) == (2e9 / 200e9, "FMA")
    assert LIMITS.least_seconds(Work(bytes=4e4)) == (4e4 / 4e11, "L1")
    assert LIMITS.least_seconds(Work(bytes=4e8)) == (4e8 / 4e10, "memory")
    assert LIMITS.least_seconds(Work(flop=2e9, bytes=4e4))[1] == "FMA"
    assert LIMITS.least_seconds(Work(flop=2, bytes=4e4))[1] == "L1"
    assert LIMITS.least_seconds(Work()) == (None, None)


def test_measured_limits():
    before = nnlib.get_num_threads()
    found = limits.measure(1, seconds=0.002)
    assert nnlib.get_num_threads() == before
    assert [level.name for level in found.levels] == ["L1", "L2", "L3", "memory"]
    assert all(level.one_thread > 0 and level.all_threads > 0 for level in found.levels)
    assert found.isa in found.fma and all(rate > 0 for rates in found.fma.values() for rate in rates)
    json.dumps(found.as_json())


@pytest.mark.parametrize("arguments", [("avx9", 1, 0.01), ("baseline", 0, 0.01), ("baseline", 1, 0.0)])
def test_probes_refuse_nonsense(arguments):
    with pytest.raises(ValueError):
        nnlib._C._fma_rate(*arguments)


def test_spread_and_summary():
    assert measure.spread([1.0, 1.0, 1.0]) == 0
    assert measure.spread([1.0, 2.0, 3.0, 4.0]) == pytest.approx(0.2)
    rows = [
        Row("a", "g", "train", 1.0, ratio=2.0),
        Row("b", "g", "train", 1.0, ratio=0.5),
        Row("c", "g", "", error="x"),
    ]
    assert measure.summary(rows) == [("g", 1.0, 0.5, 3, 1), ("all", 1.0, 0.5, 3, 1)]


# ---- libraries in processes of their own


def test_the_worker_of_another_library_holds_no_nnlib():
    """A stand-in for PyTorch: its process must not pay for nnlib's memory."""
    with pytest.raises(Failed, match="ModuleNotFoundError"):
        Library("no_such_library", 1)
    with Library("nnlib", 1) as library:
        assert library.version == nnlib.__version__
        with pytest.raises(Failed, match="StopIteration"):
            library.ask("build", case="no such case")
        assert library.ask("build", case="add of 8")["ways"] == ["call"]
        assert all(s > 0 for s in library.ask("time", way="call", seconds=0.001)["seconds"])
    from nnlib.bench import peer

    program = peer.STARTER.replace(
        "\nmain()", "\nprint(sorted(m for m in sys.modules if m.startswith('nnlib')))"
    )
    command = [sys.executable, "-c", program, str(peer.FOLDER), "torch", "1", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_memory_and_faults():
    rows = list(memory.measure(choose(match="lenet"), ["nnlib"], 1, ""))
    assert [row["way"] for row in rows] == ["train"]
    assert rows[0]["peak"] >= rows[0]["before"] + rows[0]["grown"] > rows[0]["before"] > 0
    assert rows[0]["faults"] < 50  # memory is kept from step to step
    assert "lenet" in memory.row_text(rows[0])


def test_steps_beside_a_busy_core():
    with Library("nnlib", 1) as library:
        rows = list(load.measure(choose(match="mlp"), [library], 0.01, 2))
    assert [row["way"] for row in rows] == ["train", "infer"]
    assert all(row["busy"]["median"] > 0 and row["median_times"] > 0 for row in rows)
    assert "mlp" in load.row_text(rows[0])


# ---- the command line


def test_list(capsys):
    assert cli.main(["--list", "--group", "optim"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(choose(["optim"])) and all(line.startswith("optim") for line in lines)


def test_times_as_text_and_json(fast_limits, capsys, tmp_path):
    file = tmp_path / "rows.json"
    options = ["--match", "linear 32x256", "--no-compare", "--json", str(file), *QUICK]
    assert cli.main(options) == 0
    out = capsys.readouterr().out
    assert "linear 32x256->10" in out and "% of FMA" in out and "GFLOP/s" in out
    content = json.loads(file.read_text())
    assert content["schema"] == report.SCHEMA and content["nnlib"] == nnlib.__version__
    assert content["libraries"] == {"nnlib": nnlib.__version__} and content["isa"] == "avx2"
    assert content["limits"]["fma_flops"]["avx2"] == {"one_thread": 100e9, "all_threads": 200e9}
    assert [row["way"] for row in content["rows"]] == ["forward", "train"]
    for row in content["rows"]:
        assert row["seconds"] > 0 and row["error"] is None and row["ratio"] is None
        least, limit = LIMITS.least_seconds(Work(row["flop"], row["bytes"]))
        assert row["share"] == pytest.approx(least / row["seconds"]) and row["limit"] == limit


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_beside_pytorch(fast_limits, capsys, tmp_path):
    file = tmp_path / "rows.json"
    assert cli.main(["--match", "cross-entropy 64x10", "--json", str(file), *QUICK]) == 0
    assert "torch" in capsys.readouterr().out
    content = json.loads(file.read_text())
    assert set(content["libraries"]) == {"nnlib", "torch"}
    assert all(row["ratio"] > 0 and row["peer_seconds"] > 0 for row in content["rows"])


def test_a_case_that_fails_is_a_row_with_an_error(fast_limits, monkeypatch, capsys):
    monkeypatch.setattr(measure, "differences", lambda *results: [0])

    class Twin(Library):
        def __init__(self, name, *rest):
            super().__init__("nnlib", *rest)

    monkeypatch.setattr(cli, "Library", Twin)
    monkeypatch.setattr(cli, "library_names", lambda *_: ["nnlib", "torch"])
    assert cli.main(["--match", "add of 8", *QUICK]) == 1
    assert "ERROR results differ" in capsys.readouterr().out


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib")
def test_plot(tmp_path):
    rows = [
        Row("a", "linear", "forward", 1e-3, flop=1e8, bytes=1e6),
        Row("b", "layers", "train", 1e-3, bytes=1e7),
        Row("c", "call", "call", 1e-6),
        Row("d", "conv", "", error="broken"),
    ]
    roofline.draw(tmp_path / "roofline.png", LIMITS, rows)
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(roofline.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        cli.main(["--plot", str(tmp_path / "x.png"), "--no-compare"])
    assert 'pip install "nnlib[bench]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--speed"], "unrecognized arguments: --speed"),
        (["--group", "gpu"], "invalid choice: 'gpu'"),
        (["--match", "no such thing"], "has 'no such thing' in its name"),
        (["--threads", "0"], "must lie above 0"),
        (["--threads", "two"], "invalid int value"),
        (["--seconds", "-1"], "must lie above 0"),
        (["--json", "/no/such/folder/file.json"], "does not exist"),
        (["--plot", "roofline.pdf"], "has to end in .png"),
        (["--memory", "--load"], "not allowed with"),
        (["--memory", "--plot", "x.png"], "cannot go with"),
        (["--compare", "torch", "--no-compare"], "not allowed with"),
        (["--compare", "jax"], "invalid choice"),
        (["--list", "--json", "x.json"], "nothing to write"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(options, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_pytorch_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        cli.main(["--compare", "torch"])
    assert "PyTorch is not installed" in capsys.readouterr().err
