"""RPC between the workers; the first one makes the calls. Each check is named by an argument or all are run."""

import gc
import pickle
import sys
import threading
import time
import weakref

import nnlib as torch
import nnlib.distributed.autograd as dist_autograd
import nnlib.distributed.rpc as rpc
from nnlib import nn
from nnlib.distributed import DistTimeoutError, _runtime
from nnlib.distributed.optim import DistributedOptimizer
from nnlib.futures import Future, wait_all

CHECKS = []
RANK, WORLD = _runtime.runtime().rank, _runtime.runtime().size
NEXT = f"w{(RANK + 1) % WORLD}"
LAST = f"w{WORLD - 1}"


def check(function):
    CHECKS.append(function)
    return function


def raises(kind, text, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as error:
        assert text in str(error), error
        return error
    raise AssertionError("nothing was raised")


def eventually(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


class Counter:
    """Something that lives on one worker."""

    alive = weakref.WeakSet()

    def __init__(self, start=0):
        self.value = start
        Counter.alive.add(self)

    def add(self, n=1):
        self.value += n
        return self.value

    @rpc.functions.async_execution
    def add_later(self, n):
        return rpc.rpc_async("w0", abs, args=(-n,)).then(lambda done: self.add(done.value()))

    @staticmethod
    def count():
        return len(Counter.alive)

    @classmethod
    def name(cls):
        return cls.__name__


class OwnError(Exception):
    """An error with a constructor that takes no text."""

    def __init__(self, a, b):
        super().__init__(a, b)


def fail(kind):
    if kind == "own":
        raise OwnError(1, 2)
    if kind == "exit":
        sys.exit(3)
    raise ValueError(f"no {kind} here")


def who():
    return rpc.get_worker_info()


def give(thing):
    return thing


def nested(depth):
    """Calls back and forth; each level holds a handler."""
    return 0 if depth == 0 else 1 + rpc.rpc_sync(NEXT, nested, (depth - 1,))


# Calls.


@check
def calls_by_name_rank_and_info():
    info = rpc.get_worker_info(NEXT)
    assert (info.name, info.id) == (NEXT, (RANK + 1) % WORLD)
    assert repr(info) == f"WorkerInfo(id={info.id}, name={NEXT})"
    for to in (NEXT, info.id, info):
        assert rpc.rpc_sync(to, who) == info
    assert rpc.get_worker_info() == who()
    raises(RuntimeError, "Unknown destination worker nobody", rpc.rpc_sync, "nobody", who)
    raises(RuntimeError, "Unknown destination worker", rpc.rpc_sync, WORLD, who)
    raises(TypeError, "callable", rpc.rpc_sync, NEXT, 3)


@check
def kinds_of_functions():
    t = torch.ones(2)
    assert rpc.rpc_sync(NEXT, torch.add, (t, 1)).tolist() == [2, 2]
    assert rpc.rpc_sync(NEXT, torch.add, (t,), {"other": t, "alpha": 2}).tolist() == [3, 3]
    assert rpc.rpc_sync(NEXT, nn.functional.relu, (-t,)).tolist() == [0, 0]
    assert rpc.rpc_sync(NEXT, torch.Tensor.add, (t, 1)).tolist() == [2, 2]
    assert rpc.rpc_sync(NEXT, len, ([1, 2],)) == 2
    assert rpc.rpc_sync(NEXT, Counter.name) == "Counter"
    assert rpc.rpc_sync(NEXT, Counter(4).add, (3,)) == 7  # the object goes with its method
    assert type(rpc.rpc_sync(NEXT, nn.Linear, (2, 3))) is nn.Linear


@check
def values_come_as_they_went():
    plain = [1, 2.5, "x", b"y", None, True, {"a": (1, {2})}, 3 + 4j, range(3)]
    assert rpc.rpc_sync(NEXT, give, (plain,)) == plain
    big = torch.arange(3_000_000).reshape(1000, 3000).t()
    shared = torch.randn(5)
    for t in (big, shared, torch.empty(0, 3), torch.tensor(2.0), torch.ones(3, dtype=torch.bfloat16),
              torch.tensor([True, False]), torch.ones(9000, requires_grad=True)):  # fmt: skip
        got = rpc.rpc_sync(NEXT, give, (t,))
        assert got.shape == t.shape and got.dtype == t.dtype and got.requires_grad == t.requires_grad
        assert bool((got == t).all())
    first, second = rpc.rpc_sync(NEXT, give, ([shared, shared],))
    assert first is second
    layer = rpc.rpc_sync(NEXT, give, (nn.Linear(200, 100),))
    assert isinstance(layer.weight, nn.Parameter) and len(list(layer.parameters())) == 2
    sparse = torch.sparse_coo_tensor([[0, 2]], torch.tensor([1.0, 2.0]), (4,))
    assert rpc.rpc_sync(NEXT, give, (sparse,)).to_dense().tolist() == [1, 0, 2, 0]


@check
def many_at_once():
    futures = [rpc.rpc_async(f"w{i % WORLD}", torch.mul, (torch.full((20_000,), i), 2)) for i in range(60)]
    for i, result in enumerate(wait_all(futures)):
        assert bool((result == 2 * i).all())
    results = []

    def work(i):
        results.append(rpc.rpc_sync(NEXT, torch.add, (torch.full((9000,), i), 1)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(r[0]) for r in results) == list(range(1, 9))


@check
def errors_come_back():
    error = raises(ValueError, "no sugar here", rpc.rpc_sync, NEXT, fail, ("sugar",))
    assert f"On WorkerInfo(id={(RANK + 1) % WORLD}, name={NEXT})" in str(error) and "in fail" in str(error)
    raises(RuntimeError, "OwnError(1, 2)", rpc.rpc_sync, NEXT, fail, ("own",))
    raises(RuntimeError, "SystemExit(3)", rpc.rpc_sync, NEXT, fail, ("exit",))
    raises(TypeError, "missing", rpc.rpc_async(NEXT, torch.add, (1,)).wait)
    raises(pickle.PicklingError, "travel by name", rpc.rpc_sync, NEXT, lambda: 1)
    raises(pickle.PicklingError, "picklable", rpc.rpc_sync, NEXT, give, (threading.Lock(),))
    raises(pickle.PicklingError, "picklable", rpc.rpc_sync, NEXT, threading.Lock)  # of the result
    raises(RuntimeError, "async_execution", rpc.rpc_sync, NEXT, Future)
    raises(RuntimeError, "can be sent in the arguments", pickle.dumps, rpc.RRef(1))
    rref = rpc.remote(NEXT, fail, ("salt",))
    raises(ValueError, "no salt here", rref.to_here)
    raises(ValueError, "no salt here", rref.to_here)


@check
def timeouts():
    raises(DistTimeoutError, "set timeout (100 ms)", rpc.rpc_sync, NEXT, time.sleep, (0.4,), timeout=0.1)
    assert rpc.rpc_sync(NEXT, time.sleep, (0.05,), timeout=0) is None
    before = rpc.get_rpc_timeout()
    rpc._set_rpc_timeout(0.1)
    raises(DistTimeoutError, NEXT, rpc.rpc_sync, NEXT, time.sleep, (0.4,))
    rpc._set_rpc_timeout(before)
    slow = rpc.remote(NEXT, time.sleep, (0.4,), timeout=0.05)
    time.sleep(0.2)
    raises(DistTimeoutError, NEXT, slow.to_here if WORLD > 1 else slow._get_future().wait)
    raises(ValueError, "timeout", rpc.rpc_sync, NEXT, who, timeout=-2)


@check
def nested_calls_do_not_wait_for_threads():
    assert rpc.rpc_sync(NEXT, nested, (50,)) == 50
    assert [f.wait() for f in [rpc.rpc_async(NEXT, nested, (5,)) for _ in range(20)]] == [5] * 20


@rpc.functions.async_execution
def chained(to, x):
    return rpc.rpc_async(to, torch.add, (x, 1)).then(lambda done: done.value() * 10)


@rpc.functions.async_execution
def not_a_future():
    return 3


@check
def async_execution():
    assert rpc.rpc_sync(NEXT, chained, ("w0", torch.ones(2))).tolist() == [20, 20]
    assert rpc.remote(NEXT, chained, ("w0", torch.ones(2))).to_here().tolist() == [20, 20]
    raises(RuntimeError, "must return a Future", rpc.rpc_sync, NEXT, not_a_future)
    rref = rpc.remote(NEXT, Counter, (1,))
    assert rref.rpc_sync().add_later(4) == 5
    assert rref.rpc_async().add_later(4).wait() == 9
    assert rref.remote().add_later(1).to_here() == 10


# References.


held = []


def hold(rref):
    held.append(rref)


def use(rref):
    return rref.to_here().tolist(), rref.is_owner(), rref.owner_name()


def passed_on(rref, to):
    """Sends a reference further than it came."""
    return rpc.rpc_sync(to, use, (rref,))


def own(start):
    return rpc.RRef(Counter(start))


def let_go():
    held.clear()
    gc.collect()


def counters(worker):
    return rpc.rpc_sync(worker, Counter.count)


@check
def references():
    rref = rpc.remote(NEXT, torch.add, (torch.ones(2), 1))
    assert rref.to_here().tolist() == [2, 2] and rref.owner() == rpc.get_worker_info(NEXT)
    assert rref.is_owner() == (WORLD == 1)
    eventually(rref.confirmed_by_owner)
    rref._get_future().wait()
    if WORLD > 1:
        raises(RuntimeError, "only its owner", rref.local_value)
    mine = rpc.RRef([1])
    assert mine.local_value() is mine.to_here() and mine.confirmed_by_owner() and mine.is_owner()
    for worker in range(WORLD):
        assert rpc.rpc_sync(worker, passed_on, (rref, (worker + 1) % WORLD))[0] == [2, 2]
    assert rpc.rpc_sync(NEXT, give, (mine,)).local_value() == [1]
    counter = rpc.remote(NEXT, Counter, (5,))
    assert counter.rpc_sync().add(2) == 7 and counter.rpc_async().add().wait() == 8
    assert counter.remote().add(n=2).to_here() == 10
    raises(AttributeError, "nothing", counter.rpc_sync().nothing)
    assert rpc.RRef[int] is rpc.RRef


@check
def values_live_as_long_as_references():
    gc.collect()
    eventually(lambda: counters(NEXT) == 0)
    a = rpc.remote(NEXT, Counter)
    b = rpc.rpc_sync(NEXT, own, (3,))  # the owner's own reference is gone when the call is over
    eventually(lambda: counters(NEXT) == 2)
    assert b.rpc_sync().add() == 4
    rpc.rpc_sync(LAST, hold, (a,))
    del a, b
    eventually(lambda: counters(NEXT) == 1)
    time.sleep(0.1)
    assert counters(NEXT) == 1
    rpc.rpc_sync(LAST, let_go)
    eventually(lambda: counters(NEXT) == 0)
    for _ in range(5):  # references that are gone before the value is made
        rpc.remote(NEXT, Counter)
    eventually(lambda: counters(NEXT) == 0)
    eventually(lambda: rpc.rpc_sync(NEXT, kept) == (0, 0))


def kept():
    from nnlib.distributed.rpc import _state

    values = _state.agent().values
    return len(values.pinned), len(values.parents)


# Gradients.


def close(a, b):
    assert float((a - b).detach().abs().max()) < 1e-5 * max(1.0, float(b.detach().abs().max())), (a, b)


def square_there(x, hops):
    """x * x, by way of other workers."""
    return x * x if hops == 0 else rpc.rpc_sync(NEXT, square_there, (x, hops - 1))


class Layer(nn.Module):
    """A layer that lives on one worker."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return torch.tanh(self.linear(x))

    def parameter_rrefs(self):
        return [rpc.RRef(p) for p in self.parameters()]

    def gradients(self, context_id):
        grads = dist_autograd.get_gradients(context_id)
        return [grads[p] for p in self.parameters()]

    def plain_grads(self):
        return [p.grad for p in self.parameters()]


@check
def gradients_go_back_through_workers():
    for hops in (1, 2, 5):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        with dist_autograd.context() as context_id:
            y = square_there(x, hops)
            dist_autograd.backward(context_id, [(y * x).sum()])
            close(dist_autograd.get_gradients(context_id)[x], 3 * x * x)
        assert x.grad is None
    raises(RuntimeError, "Could not find autograd context", dist_autograd.get_gradients, context_id)


@check
def a_value_that_is_used_in_several_calls():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with dist_autograd.context() as context_id:
        h = torch.exp(x)  # must wait for the gradients of all three uses
        a = rpc.rpc_sync(NEXT, torch.mul, (h, h))
        b = rpc.rpc_sync(LAST, torch.mul, (a, h))
        unused = rpc.rpc_sync(NEXT, torch.mul, (h, 7))  # leads to no root: nothing may wait for it
        dist_autograd.backward(context_id, [(a + b).sum()])
        got = dist_autograd.get_gradients(context_id)[x]
    close(got, 2 * torch.exp(2 * x) + 3 * torch.exp(3 * x))
    assert unused.requires_grad


@check
def a_model_on_two_workers_learns_as_on_one():
    front = rpc.remote(NEXT, Layer, (1,))
    front._get_future().wait()  # a worker of its own draws its weights from the same stream
    back = Layer(2)
    alone = nn.Sequential(Layer(1), Layer(2))
    rrefs = front.rpc_sync().parameter_rrefs() + back.parameter_rrefs()
    distributed = DistributedOptimizer(torch.optim.SGD, rrefs, lr=0.1, momentum=0.9)
    plain = torch.optim.SGD(alone.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(0)
    for _ in range(4):
        x = torch.randn(5, 3)
        plain.zero_grad()
        loss = alone(x).square().mean()
        loss.backward()
        with dist_autograd.context() as context_id:
            other = back(front.rpc_sync().forward(x)).square().mean()
            close(loss, other)
            dist_autograd.backward(context_id, [other])
            for mine, theirs in zip(
                front.rpc_sync().gradients(context_id), alone[0].parameters(), strict=True
            ):
                close(mine, theirs.grad)
            distributed.step(context_id)
        plain.step()
    assert front.rpc_sync().plain_grads() == [None, None] and back.linear.weight.grad is None
    for p, q in zip(back.parameters(), alone[1].parameters(), strict=True):
        close(p, q)


@check
def passes_of_a_context_add_up():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with dist_autograd.context() as context_id:
        y = square_there(x, 2).sum()
        dist_autograd.backward(context_id, [y], retain_graph=True)
        dist_autograd.backward(context_id, [y])
        close(dist_autograd.get_gradients(context_id)[x], 4 * x)
        raises(RuntimeError, "second time", dist_autograd.backward, context_id, [y])
        rref = rpc.remote(NEXT, torch.sum, (x * 3,))
        rref.backward(context_id)
        close(dist_autograd.get_gradients(context_id)[x], 4 * x + 3)


@rpc.functions.async_execution
def squared_twice(x):
    """The second call is made when the first has been answered."""
    after = Future()

    def go_on(done):
        rpc.rpc_async("w0", torch.mul, (done.value(), done.value())).add_done_callback(
            lambda last: after.set_result(last.value())
        )

    rpc.rpc_async(NEXT, torch.mul, (x, x)).add_done_callback(go_on)
    return after


@check
def callbacks_are_in_the_context_too():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with dist_autograd.context() as context_id:
        y = rpc.rpc_sync(NEXT, squared_twice, (x,))
        dist_autograd.backward(context_id, [y.sum()])
        close(dist_autograd.get_gradients(context_id)[x], 4 * x**3)


def contexts():
    from nnlib.distributed.rpc import _state

    return len(_state.agent().contexts._known)


@check
def contexts_and_what_cannot_be():
    x = torch.ones(2, requires_grad=True)
    with dist_autograd.context() as context_id:
        raises(RuntimeError, "Already have an autograd context", dist_autograd.context().__enter__)
        y = square_there(x, 1)
        raises(RuntimeError, "another worker", y.sum().backward)
        raises(RuntimeError, "scalar", dist_autograd.backward, context_id, [y])
        raises(RuntimeError, "requires_grad not set", dist_autograd.backward, context_id, [torch.ones(1)])
        raises(RuntimeError, "No tensors", dist_autograd.backward, context_id, [])
        with torch.no_grad():
            assert rpc.rpc_sync(NEXT, contexts) == 1
        assert rpc.rpc_sync(NEXT, torch.mul, (torch.ones(2), 2)).requires_grad is False
    raises(RuntimeError, "Could not find", dist_autograd.backward, context_id, [y.sum()])
    eventually(lambda: rpc.rpc_sync(NEXT, contexts) == 0)
    assert square_there(x, 1).is_leaf  # outside of a context a copy has no history


@check
def optimizers_say_what_is_wrong():
    raises(TypeError, "RRefs", DistributedOptimizer, torch.optim.SGD, [torch.ones(1)], lr=0.1)
    raises(ValueError, "empty", DistributedOptimizer, torch.optim.SGD, [])
    rref = rpc.remote(NEXT, torch.ones, (2,), {"requires_grad": True})
    raises(ValueError, "Invalid learning rate", DistributedOptimizer, torch.optim.SGD, [rref], lr=-1.0)
    raises(TypeError, "class of optimizers", DistributedOptimizer, len, [rref])
    raises(RuntimeError, "in no context", DistributedOptimizer(torch.optim.SGD, [rref], lr=0.1).step)


def late(to, seconds):
    """What a worker still does when all have called shutdown."""
    time.sleep(seconds)
    rpc.rpc_sync(to, hold, (seconds,))


wanted = sys.argv[1:]
options = rpc.TensorPipeRpcBackendOptions(num_worker_threads=3, rpc_timeout=20)
rpc.init_rpc(f"w{RANK}", rank=RANK, world_size=WORLD, rpc_backend_options=options)
raises(RuntimeError, "already initialized", rpc.init_rpc, "again")
if RANK == 0:
    for function in CHECKS:
        if not wanted or function.__name__ in wanted:
            function()
    rpc.rpc_async(NEXT, late, (LAST, 0.2))
rpc.shutdown()
assert RANK != WORLD - 1 or held == [0.2]  # the end waited for it
raises(RuntimeError, "has not been initialized", rpc.rpc_sync, "w0", who)
rpc.init_rpc(f"again{RANK}")  # and once more
assert rpc.rpc_sync(f"again{(RANK + 1) % WORLD}", len, ("abc",)) == 3
rpc.shutdown(timeout=20)
print("RANK DONE", flush=True)
