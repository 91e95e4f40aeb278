"""Which tests have to run in one process where several run them side by side (pytest-xdist)."""

from pathlib import Path

import pytest

MPI = Path(__file__).parent / "mpi"


def pytest_configure(config):
    config.addinivalue_line("markers", "xdist_group(name): the tests of a group run in one process")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the marks
def pytest_collection_modifyitems(items):
    """Those of a file, for its fixtures; and all that start jobs of several ranks, which need the cores."""
    for item in items:
        group = "mpi" if MPI in item.path.parents else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
