"""The queue of a group and the handles of what is in it."""

import datetime
import threading

import pytest
from fake_group import FakeGroup

from nnlib.distributed._errors import DistTimeoutError
from nnlib.distributed._request import Request
from nnlib.distributed._work import Work, seconds_of


def submit(group, operation="all_reduce", **options):
    return Work(group.queue.submit(Request(operation, timeout=10.0, dtype=8, count=1, **options)))


def test_requests_run_in_program_order():
    done = []
    with FakeGroup() as group:
        works = [submit(group, finish=lambda i=i: done.append(i)) for i in range(20)]
        for work in works:
            assert work.wait()
    assert done == list(range(20))


def test_a_wait_has_a_deadline():
    with FakeGroup() as group:
        group.transport.gate.clear()
        work = submit(group)
        assert not work.is_completed() and work.exception() is None and not work.is_success()
        with pytest.raises(DistTimeoutError):
            work.wait(datetime.timedelta(milliseconds=20))
        group.transport.gate.set()
        assert work.wait(timeout=10) and work.is_success()


def test_a_collective_has_a_deadline_of_its_own():
    with FakeGroup() as group:
        group.transport.gate.clear()
        work = Work(group.queue.submit(Request("all_reduce", timeout=0.05, dtype=8, count=1)))
        with pytest.raises(TimeoutError, match="too late"):
            work.wait()
        assert isinstance(work.exception(), TimeoutError) and not work.is_success()


def test_point_to_point_does_not_block_the_queue():
    with FakeGroup() as group:
        group.transport.gate.clear()
        works = [submit(group, "recv"), submit(group, "send")]
        while len(group.transport.started) < 2:  # the second has started although the first is not over
            threading.Event().wait(0.001)
        group.transport.gate.set()
        assert all(work.wait() for work in works)


def test_an_error_reaches_who_waits():
    with FakeGroup() as group:
        group.transport.error = ValueError("broken")
        work = submit(group)
        with pytest.raises(ValueError, match="broken"):
            work.wait()
        with pytest.raises(ValueError, match="broken"):
            work.get_future().wait()


def test_a_closed_queue_takes_nothing_and_drops_what_waits():
    with FakeGroup() as group:
        group.transport.gate.clear()
        work = submit(group)
        group.transport.first_start.wait(10)
        group.queue.close("going away")
        with pytest.raises(RuntimeError, match="going away"):
            work.wait()
        with pytest.raises(RuntimeError, match="going away"):
            submit(group)


def test_waiting_in_the_communication_thread_is_an_error():
    with FakeGroup() as group:
        group.transport.gate.clear()
        future = submit(group).get_future().then(lambda _: submit(group).wait())
        group.transport.gate.set()
        with pytest.raises(RuntimeError, match=r"communication thread.*then\(\)"):
            future.wait()


def test_drain_waits_for_all():
    with FakeGroup() as group:
        group.transport.gate.clear()
        submit(group)
        assert not group.queue.drain(0.05)
        group.transport.gate.set()
        assert group.queue.drain(10.0)


def test_timeouts():
    assert seconds_of(None, 3.0) == 3.0 and seconds_of(2) == 2.0
    assert seconds_of(datetime.timedelta(minutes=1)) == 60.0
    for wrong, error in ((True, TypeError), ("1", TypeError), (0, ValueError), (-1.0, ValueError)):
        with pytest.raises(error):
            seconds_of(wrong)
