"""The backward pass over several workers.

Note [A pass over workers]
Where tensors went from one worker to another in a context, the sender keeps their edges under the message's
number, and the receiver's tensors come out of a node that knows it. A pass has two rounds. In the first, the
roots' graph is walked, and for each such node in it the sender is told that gradients will come for that
message; it walks its own graph from there, and so on. So each worker knows what will reach a node of its graph,
also when parts of what was sent lead to no root. In the second round the gradients go the same way, and a node
runs when all that will come has come. A request of either round is answered when everything that followed from
it has been answered; nobody waits in between.

The scheme is that of Shah et al., "Distributed Autograd Design" (PyTorch's notes), whose simpler mode leaves
out the first round and so needs every message of a context to lead to a root.
"""

import itertools
import threading

from ... import _C, ones_like
from ...futures import Future, collect_all
from ..rpc import _state
from ..rpc._agent import handler

_passes = itertools.count()
_thread = threading.local()


def run_backward(context_id, roots, retain_graph):
    """One pass; returns when its gradients are in the context's stores on all workers."""
    agent = _state.agent()
    context = agent.contexts.get(context_id)
    key = agent.me.id, next(_passes)
    start = _C._distributed.SendRpcBackward(roots)
    _announce(agent, context, key, start, retain_graph).wait()
    _feed(agent, context, key, start, [ones_like(root) for root in roots]).wait()


def _all(futures):
    """A Future that is done when all are, with the error of the first that has one."""
    together = Future()

    def settle(done):
        errors = [f._error for f in done.value() if f._error is not None]
        if errors:
            together.set_exception(errors[0])
        else:
            together.set_result(None)

    collect_all(futures).add_done_callback(settle)
    return together


def _announce(agent, context, key, sent, retain_graph):
    with context.lock:
        ends = context.share(key, retain_graph).announce(sent)
    return _all(
        [
            agent.request(
                agent.workers[worker], "announce", (context.id, key, number, retain_graph), timeout=0
            )
            for worker, number in ends
        ]
    )


def _feed(agent, context, key, sent, grads):
    with context.lock:
        before = getattr(_thread, "running", None)
        _thread.running = key, []
        try:
            context.shares[key].feed(sent, grads)
            return _all(_thread.running[1])
        finally:
            _thread.running = before


def send_gradients(agent, context_id, worker, number, grads):
    """What the node of tensors that came from a worker does with their gradients."""
    running = getattr(_thread, "running", None)
    if running is None:
        raise RuntimeError(
            "these tensors came from another worker: gradients go there in a pass of "
            "nnlib.distributed.autograd.backward(context_id, roots), not in a plain backward()"
        )
    key, asked = running
    to = agent.workers[worker]
    asked.append(agent.request(to, "feed", (context_id, key, number), list(grads), timeout=0))


@handler("announce", urgent=True)
def _take_announcement(agent, source, facts, value):
    context_id, key, number, retain_graph = facts
    context = agent.contexts.get(context_id)
    return _announce(agent, context, key, context.sent[number], retain_graph)


@handler("feed")
def _take_gradients(agent, source, facts, grads):
    context_id, key, number = facts
    context = agent.contexts.get(context_id)
    return _feed(agent, context, key, context.sent[number], grads)
