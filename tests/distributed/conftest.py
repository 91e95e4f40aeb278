import pytest


@pytest.fixture
def without_launcher(monkeypatch):
    """A process that no launcher started."""
    for variable in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "RANK"):
        monkeypatch.delenv(variable, raising=False)
