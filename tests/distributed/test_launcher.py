"""The checks of launcher and cores, on made-up environments."""

import types

import pytest

from nnlib.distributed import _launcher as launcher


@pytest.mark.parametrize(
    ("environ", "size"),
    [
        ({}, None),
        ({"PMI_SIZE": "4", "PMI_RANK": "1"}, 4),
        ({"OMPI_COMM_WORLD_SIZE": "8"}, 8),
        ({"SLURM_NTASKS": "16"}, None),  # a batch script, not a step
        ({"SLURM_NTASKS": "16", "SLURM_STEP_ID": "0"}, 16),
        ({"SLURM_STEP_NUM_TASKS": "2", "PMI_SIZE": "64"}, 64),  # mpirun's own proxies are a Slurm step
        ({"WORLD_SIZE": "3"}, None),
        ({"WORLD_SIZE": "3", "RANK": "0"}, 3),
        ({"PMI_SIZE": "many"}, None),
    ],
)
def test_announced_size(environ, size):
    found = launcher.announced_size(environ)
    assert (found[0] if found else None) == size


def test_agreement_is_silent():
    launcher.check_launcher(1, "MPICH", {})
    launcher.check_launcher(4, "MPICH", {"PMI_SIZE": "4"})
    launcher.check_launcher(4, "Open MPI", {"PMIX_RANK": "3"})


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "4"}, ["OMPI_COMM_WORLD_SIZE=4", "Open MPI's mpirun"]),
        ({"PMI_SIZE": "2"}, ["PMI_SIZE=2", "MPICH"]),
        ({"PMIX_RANK": "3"}, ["PMIX_RANK=3"]),
        ({"SLURM_STEP_NUM_TASKS": "64"}, ["SLURM_STEP_NUM_TASKS=64", "srun"]),
        ({"WORLD_SIZE": "2", "RANK": "1"}, ["WORLD_SIZE=2", "torchrun"]),
    ],
)
def test_disagreement_names_both(environ, words):
    with pytest.raises(RuntimeError) as caught:
        launcher.check_launcher(1, "MPICH Version: 5.0", environ)
    for word in [*words, "MPICH Version: 5.0", "world of 1"]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "library, ranks, small", [("MPICH", "8", True), ("MPICH", "1", False), ("Open MPI", "8", False)]
)
def test_mpich_gets_small_buffers_in_a_small_shm(library, ranks, small, monkeypatch, caplog):
    whole = types.SimpleNamespace(f_blocks=1024, f_frsize=4096)
    monkeypatch.setattr(launcher.os, "statvfs", lambda folder: whole)
    environ = {"MPI_LOCALNRANKS": ranks, "MPI_LOCALRANKID": "0"}
    launcher.fit_shared_memory(library, environ, folder="/")
    assert ("MPIR_CVAR_CH4_SHM_POSIX_IQUEUE_NUM_CELLS" in environ) == small
    assert ("/ has 4096 KiB" in caplog.text) == small


def test_mpich_under_open_mpis_launcher():
    launcher.check_library("MPICH Version: 5.0", {"PMI_SIZE": "2"})
    launcher.check_library("Open MPI v5", {"OMPI_COMM_WORLD_SIZE": "2"})
    with pytest.raises(RuntimeError, match="OMPI_COMM_WORLD_SIZE=2.*MPICH Version: 5.0"):
        launcher.check_library("MPICH Version: 5.0", {"OMPI_COMM_WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    ("mine", "all_masks", "threads"),
    [
        ({0, 1}, [{0, 1}, {0, 1}], 1),
        ({0, 1, 2, 3}, [{0, 1, 2, 3}] * 2, 2),
        ({0, 1}, [{0, 1}, {2, 3}], 2),  # bound already
        ({0}, [{0}] * 3, 1),
        ({0, 1, 2, 3}, [{0, 1, 2, 3}, {2, 3}], 3),
    ],
)
def test_share_of_cores(mine, all_masks, threads):
    assert launcher.share_of_cores(mine, all_masks) == threads


class Threads:
    def __init__(self, count):
        self.count = count

    def get(self):
        return self.count

    def set(self, count):
        self.count = count


def test_cores_are_divided_and_it_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    threads = Threads(4)
    launcher.divide_cores([{0, 1, 2, 3}] * 2, 0, threads.get, threads.set, {})
    assert threads.count == 2
    assert "each runs 2 threads" in caplog.text
    caplog.clear()
    threads = Threads(4)
    launcher.divide_cores([{0, 1, 2, 3}] * 2, 1, threads.get, threads.set, {})
    assert threads.count == 2 and caplog.text == ""


@pytest.mark.parametrize(("environ", "before"), [({"OMP_NUM_THREADS": "4"}, 4), ({}, 3)])
def test_a_choice_of_the_user_stays(monkeypatch, environ, before):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    threads = Threads(before)
    launcher.divide_cores([{0, 1, 2, 3}] * 2, 0, threads.get, threads.set, environ)
    assert threads.count == before
