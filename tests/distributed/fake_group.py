"""A process group without other ranks: a queue, its thread, and a transport that records."""

import threading

import numpy as np

import nnlib as torch
from nnlib import _C, _comm
from nnlib.distributed._request import DTYPES, ITEM_BYTES, Request

native = _C._distributed


class FakeTransport:
    """Adds `shift` to every buffer instead of averaging it, once `gate` is open."""

    def __init__(self, shift=0.0):
        self.shift = shift
        self.started, self.dtypes, self.places = [], [], []
        self.first_start = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.error = None

    def native_request(self, address, count, dtype, reduce_op, forwards):
        request = Request("all_reduce", timeout=10.0, dtype=dtype, reduce_op=reduce_op, count=count)
        request.peer = address
        self.places.append((address, count * ITEM_BYTES[dtype]))
        return request

    def run(self, request):
        self.started.append(request.count)
        self.dtypes.append(DTYPES[request.dtype])
        self.first_start.set()
        while not self.gate.is_set():
            yield False
        if self.error is not None:
            raise self.error
        if self.shift and self.dtypes[-1] == "float32":
            memory = torch.distributed._transport.Transport.view(request.peer, 4 * request.count)
            memory.view(np.float32)[:] += self.shift

    def gone_error(self, request):
        return None

    def idle(self):
        pass

    def timeout_error(self, request):
        return TimeoutError("too late")

    def closed_error(self, reason):
        return RuntimeError(reason)


class FakeGroup:
    """`with FakeGroup() as group`: group.native goes to a Reducer, group.transport says what came."""

    def __init__(self, size=2, shift=0.0):
        self.queue, self.transport = _comm.Queue(), FakeTransport(shift)
        self.native = native.QueueGroup(self.queue.capsule(), size)
        self.thread = threading.Thread(target=self.queue.serve, args=(self.transport,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *problem):
        self.transport.gate.set()
        self.queue.drain(5.0)
        self.queue.close("the test is over")
        self.thread.join(5.0)
        assert not self.thread.is_alive()


class Link(torch.autograd.Function):
    """One step of a chain: passes its input on and gives the parameter a gradient of `scale` everywhere."""

    @staticmethod
    def forward(ctx, parameter, before, scale, on_backward):
        ctx.shape, ctx.scale, ctx.on_backward = parameter.shape, scale, on_backward
        return torch.from_numpy(np.ones(1, np.float32))

    @staticmethod
    def backward(ctx, grad):
        if ctx.on_backward is not None:
            ctx.on_backward()
        mine = None
        if ctx.scale is not None:
            mine = torch.from_numpy(np.full(tuple(ctx.shape), ctx.scale, np.float32))
        return mine, grad, None, None


def parameters(*sizes):
    return [torch.from_numpy(np.zeros(n, np.float32)).requires_grad_() for n in sizes]


def chain(params, scales=None, callbacks=None):
    """A scalar whose backward reaches the parameters in reverse order."""
    value = torch.from_numpy(np.ones(1, np.float32)).requires_grad_()
    for i, parameter in enumerate(params):
        scale = (i + 1.0) if scales is None else scales[i]
        value = Link.apply(parameter, value, scale, None if callbacks is None else callbacks.get(i))
    return value


def backward(value):
    value.backward(torch.from_numpy(np.ones(1, np.float32)))


def make_reducer(params, buckets, group, **options):
    given = {"find_unused": False, "static_graph": False, "bucket_view": False, **options}
    names = [f"p{i}" for i in range(len(params))]
    return native.Reducer(params, names, [False] * len(params), buckets, group.native, *given.values())
