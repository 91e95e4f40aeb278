"""Importing nnlib: OpenMP's threads are told to sleep soon, and the environment stays as it was."""

import os
import subprocess
import sys

import pytest

from nnlib import _load


@pytest.mark.parametrize("setting", [{}, {"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_the_spin_is_short_only_while_loading(setting, monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    seen = {}
    monkeypatch.setattr(_load.importlib, "import_module", lambda name: seen.update(os.environ))
    _load.load_native("some.module")
    assert dict(os.environ) == before
    assert seen.get("GOMP_SPINCOUNT") == (setting.get("GOMP_SPINCOUNT") if setting else _load.SPIN_COUNT)


def test_a_failed_load_restores_the_environment(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with pytest.raises(ImportError):
        _load.load_native("nnlib._no_such_module")
    assert "GOMP_SPINCOUNT" not in os.environ


def test_openmp_takes_the_setting():
    """libgomp prints what it read when OMP_DISPLAY_ENV asks for it."""
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    env["OMP_DISPLAY_ENV"] = "verbose"
    run = subprocess.run([sys.executable, "-c", "import nnlib"], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert f"GOMP_SPINCOUNT = '{_load.SPIN_COUNT}'" in run.stderr


def test_import_brings_little():
    code = "import sys, nnlib; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "scipy", "sklearn", "matplotlib", "mpi4py", "tqdm"} & set(run.stdout.split())
