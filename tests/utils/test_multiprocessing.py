"""Tensors that go between processes share their memory; a process that fails ends the others."""

import copy
import gc
import os
import pickle
import signal
import time

import pytest

import nnlib
import nnlib.multiprocessing as mp


def work(i, values, parameter, queue, done):
    values[i] += 10
    parameter.data[0] = 7
    queue.put((i, values[i : i + 1], nnlib.full((2,), i, dtype=nnlib.bfloat16)))
    assert done.wait(60)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_both_sides_see_what_is_written(method):
    context = mp.get_context(method)
    values, parameter = nnlib.zeros(3), nnlib.nn.Parameter(nnlib.zeros(2))
    queue, done = context.Queue(), context.Event()
    started = mp.start_processes(
        work,
        (values.share_memory_(), parameter.share_memory_(), queue, done),
        nprocs=2,
        join=False,
        start_method=method,
    )
    got = sorted([queue.get(timeout=60) for _ in range(2)], key=lambda item: item[0])
    done.set()
    while not started.join():
        pass
    assert values.tolist() == [10, 10, 0] and parameter.tolist() == [7, 0]
    assert [view.item() for _, view, _ in got] == [10, 10] and got[1][2].tolist() == [1, 1]
    got[1][1].fill_(5)  # a view of the tensor that went there and came back
    assert values[1] == 5


def test_pipes_keep_class_layout_and_gradients_wanted():
    a, b = mp.Pipe()
    sparse = nnlib.sparse_coo_tensor([[0, 2]], [1.0, 5.0], (4,)).coalesce()
    for t in (
        nnlib.nn.Parameter(nnlib.ones(2)), nnlib.arange(12).reshape(3, 4).t(), nnlib.zeros(0, 3), nnlib.tensor(3),
        nnlib.ones(2, requires_grad=True), nnlib.tensor([True, False]),
    ):  # fmt: skip
        a.send(t)
        r = b.recv()
        assert type(r) is type(t) and nnlib.equal(r, t) and r.dtype == t.dtype
        assert r.requires_grad == t.requires_grad and r.is_shared() and t.is_shared()
    a.send(sparse)
    assert nnlib.equal(b.recv().to_dense(), sparse.to_dense())
    with pytest.raises(RuntimeError, match="non-leaf"):
        a.send(nnlib.ones(2, requires_grad=True) * 2)


def test_shared_tensors_copy_and_pickle_as_others():
    t = nnlib.arange(4.0).share_memory_()
    assert t.is_shared() and t[1:].is_shared() and not t.clone().is_shared()
    assert not copy.deepcopy(t).is_shared() and pickle.loads(pickle.dumps(t)).tolist() == [0, 1, 2, 3]
    address = t.data_ptr()
    assert t.share_memory_().data_ptr() == address


def test_descriptors_are_given_back():
    before = len(os.listdir("/proc/self/fd"))
    tensors = [nnlib.ones(3).share_memory_() for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) > before
    del tensors
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def raises(i):
    if i == 1:
        raise ValueError("no more")
    time.sleep(60)


def leaves(i):
    os._exit(3)


def is_killed(i):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_failure_ends_all():
    start = time.monotonic()
    with pytest.raises(mp.ProcessRaisedException, match="ValueError: no more") as error:
        mp.start_processes(raises, nprocs=2, start_method="fork")
    assert error.value.error_index == 1 and time.monotonic() - start < 50
    with pytest.raises(mp.ProcessExitedException, match="exit code 3") as error:
        mp.start_processes(leaves, start_method="fork")
    assert error.value.exit_code == 3
    with pytest.raises(mp.ProcessExitedException, match="SIGKILL") as error:
        mp.start_processes(is_killed, start_method="fork")
    assert pickle.loads(pickle.dumps(error.value)).signal_name == "SIGKILL"


def test_choices_that_are_not_there():
    with pytest.raises(ValueError, match="use start_processes"):
        mp.spawn(raises, start_method="fork")
    with pytest.raises(AssertionError, match="invalid sharing strategy"):
        mp.set_sharing_strategy("file_system")
    mp.set_sharing_strategy(mp.get_sharing_strategy())
