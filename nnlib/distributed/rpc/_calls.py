"""What a worker does for a call: runs the function, and gives the result or keeps it."""

from ...futures import Future
from ._agent import arriving, handler
from ._rref import invoke_method


def run(function, args, kwargs):
    """The function's result; the Future of it where it is decorated with async_execution."""
    if function is invoke_method:
        rref, name, args, kwargs = args
        function = getattr(rref.local_value(), name)
    result = function(*args, **kwargs)
    waits = getattr(function, "_wrapped_async_rpc_function", None) is not None
    if waits != isinstance(result, Future):
        raise RuntimeError(
            "Functions decorated with @rpc.functions.async_execution must return a Future, but "
            f"{function!r} returned {type(result).__name__}"
            if waits
            else f"{function!r} returned a Future: it has to be decorated with @rpc.functions.async_execution"
        )
    return result


@handler("call")
def _call(agent, source, facts, call):
    return run(*call)


@arriving("make")
def _expect_value(agent, source, message):
    key, fork = message.facts
    if source != agent.me.id:
        agent.values.add_fork(key, fork)
        agent.tell(source, "confirmed", (fork,))
    message.facts = (agent.values.entry(key),)


@handler("make")
def _make(agent, source, facts, call):
    """Answers when the value is there; what went wrong is kept for those who ask for it, and told."""
    (entry,) = facts
    try:
        result = run(*call)
    except Exception as error:
        entry.future.set_exception(error)
        raise
    if not isinstance(result, Future):
        entry.future.set_result(result)
        return None
    result.add_done_callback(lambda done: entry.future._settle(done._value, done._error))
    return result.then(lambda done: done.value() and None)
