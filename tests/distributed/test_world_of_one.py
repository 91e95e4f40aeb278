"""Without mpi4py and without a launcher the process is a world of one; arguments are checked all the same."""

import datetime
import sys

import pytest

import nnlib as torch
import nnlib.distributed as dist
from nnlib.distributed import _runtime, initialize
from nnlib.nn.parallel import DistributedDataParallel as DDP


@pytest.fixture(autouse=True)
def without_mpi(monkeypatch, without_launcher):
    monkeypatch.setattr(initialize, "is_mpi4py_installed", lambda: False)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture
def world():
    dist.init_process_group()


def test_before_initialization():
    assert dist.is_available() and not dist.is_initialized()
    assert not dist.is_nccl_available() and dist.group.WORLD is None
    with pytest.raises(ValueError, match="has not been initialized"):
        dist.get_rank()
    with pytest.raises(ValueError, match="has not been initialized"):
        DDP(torch.nn.Linear(1, 1))


def test_a_world_of_one(world):
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "mpi")
    assert dist.group.WORLD is dist.GroupMember.WORLD and dist.get_process_group_ranks() == [0]
    with pytest.raises(RuntimeError, match="twice"):
        dist.init_process_group()
    dist.destroy_process_group()
    assert not dist.is_initialized()


@pytest.mark.parametrize("backend", ["nccl", "gloo", "ucc", "cpu:gloo,cuda:nccl"])
def test_other_backends_are_told_about_mpi(backend):
    with pytest.raises(ValueError, match='init_process_group\\("mpi"\\)'):
        dist.init_process_group(backend)


def test_mpi_without_mpi4py_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setattr(_runtime, "_runtime", None)  # another test of this process may have made it
    with pytest.raises(RuntimeError, match=r'pip install "nnlib\[mpi\]"'):
        dist.init_process_group("mpi")
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(RuntimeError, match=r'pip install "nnlib\[mpi\]"'):
        dist.init_process_group()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"init_method": "tcp://host:1"}, NotImplementedError, "init_method='tcp://host:1'"),
        ({"store": object()}, NotImplementedError, "store"),
        ({"pg_options": object()}, NotImplementedError, "pg_options"),
        ({"device_id": "cuda:0"}, ValueError, "CPU device"),
        ({"world_size": 4}, ValueError, "world_size=4.*world_size=1"),
        ({"rank": 3}, ValueError, "rank=3.*rank=0"),
        ({"rank": "0"}, TypeError, "rank"),
        ({"timeout": "soon"}, TypeError, "timedelta"),
        ({"timeout": 0}, ValueError, "above zero"),
        ({"backend": 5}, TypeError, "backend"),
    ],
)
def test_arguments_of_init_process_group(arguments, error, words):
    with pytest.raises(error, match=words):
        dist.init_process_group(**arguments)
    assert not dist.is_initialized()


def test_arguments_that_agree():
    dist.init_process_group(
        init_method="env://", timeout=datetime.timedelta(seconds=5), world_size=1, rank=0, group_name="mine"
    )
    assert dist.group.WORLD.group_name == "mine" and dist.group.WORLD.timeout == 5.0


def test_collectives_are_copies(world):
    for count in (3, 5000):
        t = torch.arange(float(count))
        dist.all_reduce(t, op=dist.ReduceOp.AVG)
        dist.broadcast(t, 0)
        out = [torch.zeros(count)]
        dist.all_gather(out, t)
        assert out[0].tolist() == t.tolist()
        whole = torch.zeros(1, count)
        dist.all_gather_into_tensor(whole, t)
        assert whole[0].tolist() == t.tolist()
        dist.reduce_scatter_tensor(out[0], t)
        dist.all_to_all_single(out[0], t)
        dist.scatter(out[0], [t], 0)
        dist.gather(t, out, 0)
        dist.reduce(t, 0)
        assert out[0].tolist() == t.tolist()
    work = dist.all_reduce(t, async_op=True)
    assert work.wait(datetime.timedelta(seconds=5)) and work.is_success() and work.result()[0] is t
    seen = [None]
    dist.all_gather_object(seen, "x")
    assert seen == ["x"]
    dist.monitored_barrier(timeout=1)
    group = dist.new_group([0])
    assert dist.get_rank(group) == 0 and dist.get_global_rank(group, 0) == 0 == dist.get_group_rank(group, 0)
    dist.destroy_process_group(group)
    with pytest.raises(ValueError, match="destroyed"):
        dist.all_reduce(t, group=group)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: dist.all_reduce([t]), TypeError, "to be a Tensor"),
        (lambda t: dist.all_reduce(t, op="sum"), TypeError, "ReduceOp"),
        (lambda t: dist.all_reduce(t, op=dist.ReduceOp.BOR), ValueError, "BOR.*float32"),
        (lambda t: dist.all_reduce(t.long(), op=dist.ReduceOp.AVG), ValueError, "AVG.*int64"),
        (lambda t: dist.all_reduce(t, group="world"), TypeError, "ProcessGroup"),
        (lambda t: dist.broadcast(t), ValueError, "src or group_src"),
        (lambda t: dist.broadcast(t, 1), ValueError, "rank 1 is not part of group"),
        (lambda t: dist.broadcast(t, group_src=2), ValueError, "group_src"),
        (lambda t: dist.broadcast(t, 0, group_src=0), ValueError, "not both"),
        (lambda t: dist.all_gather([t, t], t), ValueError, "each of the 1 ranks"),
        (lambda t: dist.all_gather(t, t), TypeError, "list of Tensors"),
        (lambda t: dist.all_gather([t.long()], t), TypeError, "float32"),
        (lambda t: dist.all_gather([t[:2]], t), ValueError, "4 values"),
        (lambda t: dist.gather(t), ValueError, "gather_list"),
        (lambda t: dist.scatter(t), ValueError, "scatter_list"),
        (lambda t: dist.all_gather_into_tensor(t[:3], t), ValueError, "once for each rank"),
        (lambda t: dist.all_to_all_single(t, t, [3], None), RuntimeError, "Split sizes"),
        (lambda t: dist.send(t, 0), ValueError, "same as the rank"),
        (lambda t: dist.barrier(device_ids=[0]), ValueError, "device_ids"),
        (lambda t: dist.new_group([0, 0]), ValueError, "more than once"),
        (lambda t: dist.new_group([3]), ValueError, "from 0 to 0"),
        (lambda t: dist.new_group(use_local_synchronization=True), NotImplementedError, "all ranks"),
        (lambda t: dist.P2POp(dist.send, t, 0), ValueError, "isend"),
        (lambda t: dist.batch_isend_irecv([]), ValueError, "non-empty"),
        (lambda t: dist.all_gather_object([], 1), ValueError, "one place for each"),
    ],
)
def test_bad_arguments(world, call, error, words):
    with pytest.raises(error, match=words):
        call(torch.ones(4))
    dist.barrier()  # nothing was left in the queue


def linear():
    return torch.nn.Linear(3, 2)


def test_ddp_in_a_world_of_one(world):
    net = DDP(linear())
    net(torch.ones(4, 3)).sum().backward()
    assert net.module.bias.grad.tolist() == [4.0, 4.0]
    assert list(net.state_dict()) == ["module.weight", "module.bias"]
    with torch.no_grad():
        assert net(torch.ones(1, 3)).shape == (1, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"dim": 1},
        {"mixed_precision": object()},
        {"batched_grad_copy": True},
    ],
)
def test_ddp_refuses_what_it_does_not_do(world, arguments):
    with pytest.raises(NotImplementedError, match=next(iter(arguments))):
        DDP(linear(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"device_ids": [0]}, ValueError, "device_ids"),
        ({"output_device": 0}, ValueError, "output_device 0"),
        ({"bucket_cap_mb": 0}, ValueError, "above zero"),
        ({"bucket_cap_mb": 1, "bucket_cap_mb_list": [1]}, ValueError, "not both"),
        ({"broadcast_buffers": True, "forward_sync_buffers": True}, ValueError, "not both"),
        ({"process_group": 3}, TypeError, "ProcessGroup"),
        ({"delay_all_reduce_named_params": []}, ValueError, "at the same time"),
        ({"param_to_hook_all_reduce": torch.ones(1)}, ValueError, "at the same time"),
        ({"skip_all_reduce_unused_params": True}, ValueError, "find_unused_parameters"),
    ],
)
def test_ddp_arguments(world, arguments, error, words):
    with pytest.raises(error, match=words):
        DDP(linear(), **arguments)


def test_ddp_takes_empty_device_ids(world):
    assert DDP(linear(), device_ids=[]).device_ids is None


def test_ddp_without_trainable_parameters(world):
    with pytest.raises(RuntimeError, match="not needed"):
        DDP(linear().requires_grad_(False))


def test_old_argument_orders_are_told_apart_by_type(world):
    group = dist.new_group()
    with pytest.warns(DeprecationWarning, match="process_group="):
        assert DDP(linear(), group).process_group is group
    with pytest.warns(DeprecationWarning, match="process_group="):
        net = DDP(linear(), None, None, 0, True, group, 3, True)
    assert net.process_group is group and net.bucket_bytes_cap == 3 << 20 and net.find_unused_parameters
    with pytest.warns(DeprecationWarning, match="process_group="):
        net = DDP(linear(), None, None, 0, False, group, find_unused_parameters=True)
    assert net.process_group is group and net.find_unused_parameters and not net.broadcast_buffers


def test_check_reduction_wants_a_backward_after_each_forward(world):
    net, x = DDP(linear(), check_reduction=True), torch.ones(1, 3)
    for _ in range(2):
        net(x).sum().backward()
    out = net(x)
    with torch.no_grad():
        net(x)
    net.eval()(x)
    with pytest.raises(RuntimeError, match="rank 0 runs forward again although no backward followed"):
        net.train()(x)
    out.sum().backward()
    net(x)
    unchecked = DDP(linear())
    for _ in range(2):
        unchecked(x)


def test_communication_hook_arguments(world):
    net = DDP(linear())
    with pytest.raises(TypeError, match="callable"):
        net.register_comm_hook(None, 3)

    def annotated(state, bucket: int): ...

    with pytest.raises(ValueError, match=r"dist\.GradBucket"):
        net.register_comm_hook(None, annotated)
    net.register_comm_hook(None, lambda state, bucket: 5)
    with pytest.raises(RuntimeError, match="once"):
        net.register_comm_hook(None, lambda state, bucket: None)
    with pytest.raises(RuntimeError, match=r"torch\.futures\.Future"):
        net(torch.ones(1, 3)).sum().backward()
