"""nnlib.futures."""

import threading

import pytest

from nnlib.futures import Future, collect_all, wait_all


def test_a_value_set_by_another_thread():
    future = Future()
    threading.Timer(0.01, future.set_result, (5,)).start()
    assert future.wait() == 5 and future.done() and future.value() == 5


def test_callbacks_run_once_before_or_after():
    seen = []
    future = Future()
    future.add_done_callback(lambda f: seen.append(f.value()))
    future.set_result(1)
    future.add_done_callback(lambda f: seen.append(f.value() + 1))
    assert seen == [1, 2]


def test_then_carries_values_and_errors():
    future = Future()
    doubled = future.then(lambda f: 2 * f.value())
    failed = doubled.then(lambda f: 1 // 0)
    future.set_result(4)
    assert doubled.wait() == 8
    with pytest.raises(ZeroDivisionError):
        failed.wait()


def test_misuse():
    future = Future()
    with pytest.raises(RuntimeError, match="not done"):
        future.value()
    with pytest.raises(TypeError):
        future.set_exception("no")
    future.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        future.wait()
    with pytest.raises(RuntimeError, match="once"):
        future.set_result(1)
    with pytest.raises(ValueError, match="devices"):
        Future(devices=["cuda:0"])


def test_all_of_several():
    futures = [Future() for _ in range(3)]
    together = collect_all(futures)
    for i, future in enumerate(futures):
        assert not together.done()
        future.set_result(i)
    assert together.done() and wait_all(futures) == [0, 1, 2]
    assert wait_all([]) == []
