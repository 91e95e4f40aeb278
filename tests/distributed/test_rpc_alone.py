"""RPC in a world of one, without MPI: a worker that calls itself. Between workers: tests/mpi/test_rpc.py."""

import os
import pickle
import threading
import time
import types
import warnings

import numpy as np
import pytest

import nnlib as torch
import nnlib.distributed.autograd as dist_autograd
import nnlib.distributed.rpc as rpc
from nnlib.distributed.optim import DistributedOptimizer
from nnlib.distributed.rpc import _link, _pool, _state, _wire, setup


@pytest.fixture(autouse=True)
def without_mpi(monkeypatch, without_launcher):
    monkeypatch.setattr(setup, "is_mpi4py_installed", lambda: False)
    yield
    if _state.is_initialized():
        rpc.shutdown(timeout=10)


@pytest.fixture
def worker():
    rpc.init_rpc("me", rpc_backend_options=rpc.RpcBackendOptions(num_worker_threads=2, rpc_timeout=20))


def call_again(depth):
    return 0 if depth == 0 else 1 + rpc.rpc_sync("me", call_again, (depth - 1,))


def change(t):
    return t.add_(1)


def test_before_and_after():
    assert rpc.is_available() and dist_autograd.is_available()
    calls = [(rpc.rpc_sync, "me", abs, (1,)), (rpc.get_worker_info,), (rpc.shutdown,), (rpc.RRef, 1)]
    for call, *args in calls:
        with pytest.raises(RuntimeError, match="has not been initialized"):
            call(*args)
    rpc.init_rpc("me")
    rref = rpc.RRef(1)
    rpc.shutdown()
    rpc.init_rpc("me")
    with pytest.raises(RuntimeError, match="was shut down"):
        rpc.rpc_sync("me", abs, (rref,))


def test_calls(worker):
    assert rpc.rpc_sync("me", torch.add, (torch.ones(2), 1)).tolist() == [2, 2]
    assert rpc.rpc_sync("me", call_again, (20,)) == 20  # with two threads
    t = torch.zeros(9000)
    assert float(rpc.rpc_sync("me", change, (t,)).sum()) == 9000 and float(t.sum()) == 0  # a copy went
    assert rpc.remote("me", abs, (-3,)).to_here() == 3


def test_a_forked_child_is_no_worker(worker):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn about threads
        child = os.fork()
    if child == 0:
        try:
            rpc.rpc_sync("me", abs, (1,))
        except RuntimeError as error:
            os._exit(17 if "has not been initialized" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
    assert rpc.rpc_sync("me", abs, (-1,)) == 1


def test_gradients_and_optimizer(worker):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    optimizer = DistributedOptimizer(torch.optim.SGD, [rpc.RRef(x)], lr=0.5)
    with dist_autograd.context() as context_id:
        y = rpc.rpc_sync("me", torch.mul, (x, rpc.rpc_sync("me", torch.exp, (x,))))
        dist_autograd.backward(context_id, [y.sum()])
        grads = dist_autograd.get_gradients(context_id)
        expected = ((1 + x) * torch.exp(x)).detach()
        assert list(grads) == [x] and torch.allclose(grads[x], expected)
        optimizer.step(context_id)
    assert x.grad is None
    assert torch.allclose(x.detach(), torch.tensor([1.0, 2.0]) - 0.5 * expected)


def test_gradients_of_a_context_leave_grad_alone(worker):
    x = torch.ones(2, requires_grad=True)
    h = 2 * x
    h.retain_grad()
    with dist_autograd.context() as context_id:
        dist_autograd.backward(context_id, h.sum(), retain_graph=True)
        grads = dist_autograd.get_gradients(context_id)
        assert x.grad is None and h.grad is None
        assert grads[x].tolist() == [2, 2] and grads[h].tolist() == [1, 1]
    h.sum().backward()
    assert x.grad.tolist() == [2, 2] and h.grad.tolist() == [1, 1]


def test_an_error_in_backward_comes_to_the_caller(worker):
    x = torch.ones(2, requires_grad=True)

    def fail(grad):
        raise ValueError("no gradient today")

    x.register_hook(fail)
    with dist_autograd.context() as context_id:
        y = rpc.rpc_sync("me", torch.exp, (x,)).sum()
        with pytest.raises(ValueError, match="no gradient today"):
            dist_autograd.backward(context_id, [y])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"backend": rpc.BackendType.TENSORPIPE}, ValueError, "BackendType.MPI"),
        ({"backend": "MPI"}, TypeError, "BackendType"),
        ({"rank": 1}, ValueError, "rank=1, but MPI gives this process rank=0"),
        ({"world_size": 2}, ValueError, "world_size=2"),
        ({"world_size": "2"}, TypeError, "int"),
        ({"rpc_backend_options": 3}, TypeError, "RpcBackendOptions"),
        ({"name": "a b"}, ValueError, "Worker name must match"),
        ({"name": "x" * 129}, ValueError, "at most 128"),
        ({"name": 3}, TypeError, "string"),
    ],
)
def test_arguments_of_init_rpc(arguments, error, text):
    with pytest.raises(error, match=text):
        rpc.init_rpc(**{"name": "me", **arguments})
    assert not _state.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"num_worker_threads": 0}, ValueError, "at least one"),
        ({"num_worker_threads": 1.5}, TypeError, "int"),
        ({"rpc_timeout": -1}, ValueError, "timeout"),
        ({"rpc_timeout": "1"}, TypeError, "seconds"),
        ({"init_method": "tcp://localhost:1"}, NotImplementedError, "launcher"),
        ({"device_maps": {"w": {0: 1}}}, ValueError, "GPU"),
        ({"devices": ["cuda:0"]}, ValueError, "GPU"),
        ({"_transports": ["uv"]}, ValueError, "MPI"),
    ],
)
def test_options_say_what_is_wrong(arguments, error, text):
    with pytest.raises(error, match=text):
        rpc.TensorPipeRpcBackendOptions(**arguments)


def test_names_are_checked():
    message = _wire.Message("call")
    _wire.put_body(message, (len, np.float32(2), types.SimpleNamespace(a=1), {1: torch.float32}))
    function, number, space, dtypes = _wire.get_body(message)
    assert function is len and number == 2 and space.a == 1 and dtypes[1] is torch.float32
    message.body = pickle.dumps((1,)).replace(b"K\x01", b"ctests.nowhere\nthing\n")
    with pytest.raises(pickle.UnpicklingError, match="cannot be imported here"):
        _wire.get_body(message)
    message.body = b"cos\nsep\n."
    with pytest.raises(pickle.UnpicklingError, match="neither a function nor a class"):
        _wire.get_body(message)
    with pytest.raises(pickle.UnpicklingError, match="frame may not name"):
        _wire.from_frame(np.frombuffer(b"cos\nsystem\n.", np.uint8))


def test_one_message_in_many_pieces(monkeypatch):
    monkeypatch.setattr(_link, "PIECE", 1000)
    parts = _link.pieces(np.arange(2500, dtype=np.uint8))
    assert [part.size for part in parts] == [1000, 1000, 500] and parts[2][0] == 2000 % 256


def test_the_pool_runs_as_many_as_it_may():
    pool, running, most = _pool.Pool(2), [], []
    lock, gate = threading.Lock(), threading.Event()

    def task():
        with lock:
            running.append(1)
            most.append(len(running))
        gate.wait(5)
        with lock:
            running.pop()

    for _ in range(5):
        pool.submit(task)
    time.sleep(0.1)
    assert len(most) == 2 and pool.busy()
    urgent = threading.Event()
    pool.submit(urgent.set, urgent=True)
    assert urgent.wait(5)
    gate.set()
    end = time.monotonic() + 10
    while pool.busy() and time.monotonic() < end:
        time.sleep(0.01)
    assert len(most) == 5 and max(most) == 2 and not pool.busy()
    pool.close()
