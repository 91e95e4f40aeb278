"""Checkpoints in one process: states, positions, and files that are damaged or not ours."""

import os
import random

import numpy as np
import pytest

import nnlib
import nnlib.distributed.checkpoint as dcp
from nnlib.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from nnlib.utils.data import DistributedSampler


def draws():
    return (
        nnlib.rand(3).tolist(),
        random.random(),
        np.random.rand(),
        nnlib.nn.Dropout()(nnlib.ones(50)).tolist(),
    )


def test_objects_tensors_and_data_come_back(tmp_path):
    path = tmp_path / "run.pt"
    net = nnlib.nn.BatchNorm1d(3)
    net(nnlib.randn(4, 3))
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    saved = {"model": net, "epoch": 4, "mean": nnlib.arange(3.0), "deep": {"a": [1, "b"], "t": nnlib.ones(2)}}
    dcp.save(saved, checkpoint_id=path)
    other = nnlib.nn.BatchNorm1d(3)
    mean, inner = nnlib.zeros(3), nnlib.zeros(2)
    state = {"model": other, "epoch": 0, "mean": mean, "deep": {"a": None, "t": inner}}
    dcp.load(state, checkpoint_id=path)
    assert state["model"] is other and all(other.state_dict()[n].equal(v) for n, v in weights.items())
    assert state["epoch"] == 4 and state["deep"]["a"] == [1, "b"]
    assert state["mean"] is mean and mean.tolist() == [0, 1, 2] and inner.tolist() == [1, 1]
    assert (
        nnlib.load(path)["mean"].tolist() == [0, 1, 2] and nnlib.load(path)["model"].keys() == weights.keys()
    )
    part = {"epoch": 0}
    dcp.load(part, checkpoint_id=path)
    assert part == {"epoch": 4}


def test_random_states_go_on(tmp_path):
    dcp.save({"random": dcp.RandomState()}, checkpoint_id=tmp_path / "run.pt")
    expected = draws()
    assert draws() != expected
    dcp.load({"random": dcp.RandomState()}, checkpoint_id=tmp_path / "run.pt")
    assert draws() == expected


def test_what_cannot_be_loaded_changes_nothing(tmp_path):
    path = tmp_path / "run.pt"
    dcp.save({"epoch": 4, "t": nnlib.ones(2), "random": dcp.RandomState()}, checkpoint_id=path)
    state = {"epoch": 0, "name": ""}
    with pytest.raises(dcp.CheckpointException, match="has no entry 'name'"):
        dcp.load(state, checkpoint_id=path)
    assert state == {"epoch": 0, "name": ""}
    with pytest.raises(dcp.CheckpointException, match=r"t is a tensor of \(3,\), but \(2,\) was saved"):
        dcp.load({"t": nnlib.ones(3)}, checkpoint_id=path)
    with pytest.raises(dcp.CheckpointException, match="'random' was saved by each rank"):
        dcp.load({"random": None}, checkpoint_id=path)
    with pytest.raises(dcp.CheckpointException, match="FileNotFoundError"):
        dcp.load(state, checkpoint_id=tmp_path / "nothing.pt")
    with pytest.raises(dcp.CheckpointException, match="'epoch' was saved once for all ranks"):
        dcp.load({"epoch": dcp.RandomState()}, checkpoint_id=path)
    nnlib.save({"epoch": 4}, path)
    with pytest.raises(dcp.CheckpointException, match="not a file that"):
        dcp.load(state, checkpoint_id=path)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(dcp.CheckpointException, match="could not read the checkpoint"):
        dcp.load(state, checkpoint_id=path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "run.pt"
    dcp.save({"epoch": 4}, checkpoint_id=path)
    with pytest.raises(dcp.CheckpointException, match="could not write the checkpoint"):
        dcp.save({"epoch": lambda: None}, checkpoint_id=path)
    state = {"epoch": 0}
    dcp.load(state, checkpoint_id=path)
    assert state == {"epoch": 4} and os.listdir(tmp_path) == ["run.pt"]


def test_leftovers_of_killed_writers_go(tmp_path):
    (tmp_path / ".run.pt.123.abc.tmp").write_bytes(b"half")
    (tmp_path / ".other.pt.123.abc.tmp").write_bytes(b"half")
    dcp.save({"epoch": 4}, checkpoint_id=tmp_path / "run.pt")
    assert sorted(os.listdir(tmp_path)) == [".other.pt.123.abc.tmp", "run.pt"]


def test_optimizers_go_by_names():
    net = nnlib.nn.Sequential(nnlib.nn.Linear(2, 2), nnlib.nn.Linear(2, 1))
    first, second = list(net[0].parameters()), list(net[1].parameters())
    optimizer = nnlib.optim.SGD([{"params": first, "lr": 0.5}, {"params": second}], lr=0.1, momentum=0.9)
    net(nnlib.ones(1, 2)).sum().backward()
    optimizer.step()
    weights, steps = get_state_dict(nnlib.nn.DataParallel(net), optimizer)
    assert list(weights) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert [group["params"] for group in steps["param_groups"]] == [
        ["0.weight", "0.bias"],
        ["1.weight", "1.bias"],
    ]
    other = nnlib.nn.Sequential(nnlib.nn.Linear(2, 2), nnlib.nn.Linear(2, 1))
    turned = [{"params": list(other[1].parameters())}, {"params": list(other[0].parameters())}]
    resumed = nnlib.optim.SGD(turned, lr=0.3, momentum=0.9)
    set_state_dict(other, resumed, model_state_dict=weights, optim_state_dict=steps)
    assert [group["lr"] for group in resumed.param_groups] == [0.1, 0.5]
    for mine, theirs in zip(other.parameters(), net.parameters(), strict=True):
        assert mine.equal(theirs)
        assert resumed.state[mine]["momentum_buffer"].equal(optimizer.state[theirs]["momentum_buffer"])
    alone = nnlib.optim.SGD(other.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="no parameter group of 0.bias, 0.weight, 1.bias, 1.weight"):
        set_optimizer_state_dict(other, alone, steps)
    with pytest.raises(ValueError, match="parameter 0 is not a parameter of the model"):
        get_optimizer_state_dict(net, alone)


@pytest.mark.parametrize("before, after", [(2, 2), (2, 4), (4, 2), (4, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("length, taken", [(24, 3), (23, 3), (24, 0), (24, 6)])
def test_the_rest_of_an_epoch_on_other_ranks(before, after, length, taken):
    data = range(length)
    ranks = [DistributedSampler(data, before, rank, seed=3) for rank in range(before)]
    seen, states = [], []
    for sampler in ranks:
        sampler.set_epoch(5)
        order = iter(sampler)
        seen += [next(order) for _ in range(taken)]
        sampler.advance(taken)
        states.append(sampler.state_dict())
    assert all(state == states[0] for state in states)
    left = []
    for rank in range(after):
        sampler = DistributedSampler(data, after, rank, seed=3)
        sampler.load_state_dict(states[0])
        sampler.set_epoch(5)  # as every epoch begins
        promised = len(sampler)
        left.append(list(sampler))
        assert len(left[-1]) == promised
        assert len(list(sampler)) == len(sampler) == -(-length // after)  # the next one is whole again
    assert len({len(part) for part in left}) == 1
    rest = [index for part in zip(*left, strict=True) for index in part]
    assert len(seen) == len(set(seen)) and set(seen) | set(rest) == set(data)
    assert len(seen) + len(rest) - length < after  # only the last round is filled up


def test_a_position_of_other_data_is_refused():
    state = DistributedSampler(range(10), 2, 0, seed=1).state_dict()
    with pytest.raises(ValueError, match="seed 1, but this one has 2"):
        DistributedSampler(range(10), 2, 0, seed=2).load_state_dict(state)
    with pytest.raises(ValueError, match="length 10, but this one has 11"):
        DistributedSampler(range(11), 2, 0, seed=1).load_state_dict(state)


def test_a_new_epoch_begins_at_its_beginning():
    sampler = DistributedSampler(range(10), 2, 0)
    sampler.load_state_dict({**sampler.state_dict(), "done": 4})
    assert len(sampler) == 3
    sampler.set_epoch(1)
    assert len(sampler) == 5 and sampler.state_dict()["done"] == 0
