"""PowerSGD's arithmetic in a world of one, against PyTorch's where that is installed. See also tests/mpi."""

import numpy as np
import pytest

import nnlib
import nnlib.distributed as dist
from nnlib.distributed import initialize
from nnlib.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as ours

SHAPES = [(8, 6), (5,), (3, 4, 2, 2), (8, 6), (1, 9)]


class Bucket:
    """What a hook sees of a bucket."""

    def __init__(self, flat, parts):
        self._flat, self._parts = flat, parts

    def buffer(self):
        return self._flat

    def gradients(self):
        return self._parts

    def index(self):
        return 0

    def is_last(self):
        return True


def bucket(library, values):
    flat = library.tensor(values)
    parts, start = [], 0
    for shape in SHAPES:
        count = int(np.prod(shape))
        parts.append(flat[start : start + count].view(shape))
        start += count
    return Bucket(flat, parts)


def gradients(passes):
    count = sum(int(np.prod(shape)) for shape in SHAPES)
    return np.random.default_rng(0).standard_normal((passes, count)).astype(np.float32)


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(initialize, "is_mpi4py_installed", lambda: False)
    for variable in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "RANK"):
        monkeypatch.delenv(variable, raising=False)
    dist.init_process_group()
    yield
    dist.destroy_process_group()


def run(library, module, options, name="powerSGD_hook", passes=5):
    state = module.PowerSGDState(None, **{"start_powerSGD_iter": 2, "min_compression_rate": 1, **options})
    results = [getattr(module, name)(state, bucket(library, g)).wait() for g in gradients(passes)]
    return np.stack([r.numpy() for r in results]), state


# Kept: gloo's own thread may drop the last reference to its group, and cannot end itself.
GROUPS_OF_PYTORCH = []

OPTIONS = [
    {},
    {"matrix_approximation_rank": 2},
    {"matrix_approximation_rank": 3, "batch_tensors_with_same_shape": True},
    {"warm_start": False},
    {"use_error_feedback": False},
    {"orthogonalization_epsilon": 1e-3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_hook_computes_what_pytorch_does(world, options):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook")
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    GROUPS_OF_PYTORCH.append(torch.distributed.group.WORLD)
    try:
        expected, their_state = run(torch, theirs, options)
    finally:
        torch.distributed.destroy_process_group()
    got, state = run(nnlib, ours, options)
    assert np.abs(got - expected).max() < 1e-4
    assert state.compression_stats() == their_state.compression_stats()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_error_feedback_loses_nothing(world, options):
    got, state = run(nnlib, ours, options)
    if state.use_error_feedback:
        left = gradients(5).sum(0) - got.sum(0)  # what is still to come is what is remembered
        assert np.abs(left - state.error_dict[0].numpy()).max() < 1e-4
    assert np.abs(got[:2] - gradients(2)).max() == 0 and np.abs(got[2:] - gradients(5)[2:]).max() > 0.1


def test_the_batched_hook_approximates_the_whole_bucket(world):
    got, state = run(nnlib, ours, {"matrix_approximation_rank": 2}, "batched_powerSGD_hook")
    side = int(np.ceil(np.sqrt(got.shape[1])))
    left = gradients(5).sum(0) - got.sum(0)
    assert np.abs(left - state.error_dict[0].numpy()[: got.shape[1]]).max() < 1e-4
    full, _ = run(nnlib, ours, {"matrix_approximation_rank": side}, "batched_powerSGD_hook")
    assert np.abs(full - gradients(5)).max() < 1e-4  # with all columns nothing is left out
    square = np.zeros(side * side, np.float32)
    square[: got.shape[1]] = got[2]
    assert state.q_memory_dict[0][0].shape == (1, side, 2)
    assert state.compression_stats() == (got.shape[1] / (4 * side), 3 * got.shape[1], 3 * 4 * side)


def test_gradients_that_are_laid_out_in_another_way(world):
    """The matrix is that of the parameter's own dimensions."""
    flat = nnlib.tensor(np.random.default_rng(1).standard_normal(24).astype(np.float32))
    transposed = flat.view(4, 6).t()
    state = ours.PowerSGDState(None, 1, 0, min_compression_rate=1, use_error_feedback=False, warm_start=False)
    got = ours.powerSGD_hook(state, Bucket(flat, [transposed])).wait().view(4, 6).t()
    assert np.linalg.matrix_rank(got.numpy(), tol=1e-4) == 1
