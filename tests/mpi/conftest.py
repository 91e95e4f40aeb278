"""Jobs that are started ahead of the tests that look at them."""

import concurrent.futures

import pytest

AT_ONCE = 4  # jobs; most of their time they wait for a timeout, for a goodbye, or for each other to start


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "ahead(run): run(**parameters of the test) is what the fixture `outcome` gives"
    )


@pytest.fixture(scope="module")
def _outcomes(request):
    """For each test of the module that is marked, a future; some run at once, in the tests' order."""
    marked = [
        (item, mark.args[0])
        for item in request.session.items
        if item.path == request.path and (mark := item.get_closest_marker("ahead")) is not None
    ]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield {item.nodeid: pool.submit(run, **item.callspec.params) for item, run in marked}
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def outcome(request, _outcomes):
    """What the `run` of the test's mark returned for its parameters."""
    return _outcomes[request.node.nodeid].result()
