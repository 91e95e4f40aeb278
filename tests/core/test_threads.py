"""Threads: how many, that they survive a fork, and that importing nnlib brings little."""

import os
import subprocess
import sys
import threading

import pytest

import nnlib


def run(code: str, **env: str) -> str:
    environ = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "NNLIB_SPIN_US")} | env
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("setting", ["1", "1,4", "0", "-2", "many", ""])
def test_the_environment_gives_the_number(setting):
    got = int(run("import nnlib; print(nnlib.get_num_threads())", OMP_NUM_THREADS=setting))
    assert got == (1 if setting.startswith("1") else len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("spin", ["0", "1000", "soon"])
def test_any_spin_gives_the_same_result(spin):
    code = """
import nnlib
nnlib.set_num_threads(3)
nnlib.manual_seed(0)
x = nnlib.randn(300, 301)
for _ in range(20):
    x = nnlib.tanh(x @ x.t() @ x)
print(x.double().sum().item().hex())
"""
    assert run(code, NNLIB_SPIN_US=spin) == run(code, OMP_NUM_THREADS="1")


def test_idle_threads_sleep():
    code = """
import time, nnlib
nnlib.set_num_threads(3)
x = nnlib.ones(300, 300)
for _ in range(50):
    x @ x
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
"""
    assert float(run(code)) < 0.1  # of the processor, for all threads together


def test_a_wrong_number_is_refused():
    before = nnlib.get_num_threads()
    with pytest.raises(RuntimeError, match="positive integer, got 0"):
        nnlib.set_num_threads(0)
    assert nnlib.get_num_threads() == before


def test_a_forked_child_computes_alone_until_it_asks_for_threads():
    code = """
import os, nnlib
nnlib.set_num_threads(3)
x = nnlib.ones(500, 500)
want = (x @ x).sum()
pid = os.fork()
if pid == 0:
    good = nnlib.get_num_threads() == 1 and (x @ x).sum() == want
    nnlib.set_num_threads(3)
    good = good and nnlib.get_num_threads() == 3 and (x @ x).sum() == want
    os._exit(0 if good else 1)
print(os.waitpid(pid, 0)[1], float((x @ x).sum() - want))
"""
    assert run(code).split() == ["0", "0.0"]


def test_python_threads_compute_at_once():
    x = nnlib.randn(200, 200)
    want = x @ x
    wrong = []

    def work():
        for _ in range(20):
            if not nnlib.equal(x @ x, want):
                wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_import_brings_little():
    modules = run("import sys, nnlib; print(*sorted({m.split('.')[0] for m in sys.modules}))").split()
    assert not {"torch", "scipy", "sklearn", "matplotlib", "mpi4py", "tqdm"} & set(modules)
