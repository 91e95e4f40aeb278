"""Averages of weights."""

import copy

import pytest

import nnlib
from nnlib import nn
from nnlib.optim.swa_utils import (
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
    get_swa_avg_fn,
    get_swa_multi_avg_fn,
    update_bn,
)


def averaged(values, **options):
    model = nn.Linear(2, 1)
    average = AveragedModel(model, **options)
    for value in values:
        for p in model.parameters():
            nn.init.constant_(p, value)
        average.update_parameters(model)
    return average.module.weight.detach().tolist()[0][0], average


@pytest.mark.parametrize(
    "options", [{}, dict(avg_fn=get_swa_avg_fn()), dict(multi_avg_fn=get_swa_multi_avg_fn())]
)
def test_mean(options):
    value, average = averaged([1.0, 2.0, 6.0], **options)
    assert value == pytest.approx(3.0)
    assert average.n_averaged.item() == 3


@pytest.mark.parametrize(
    "options", [dict(avg_fn=get_ema_avg_fn(0.75)), dict(multi_avg_fn=get_ema_multi_avg_fn(0.75))]
)
def test_moving_average(options):
    value, _ = averaged([1.0, 2.0, 6.0], **options)
    assert value == pytest.approx(0.75 * (0.75 * 1 + 0.25 * 2) + 0.25 * 6)


def test_own_function_and_forward():
    value, average = averaged([1.0, 2.0], avg_fn=lambda old, new, n: old + 10 * new)
    assert value == 21
    assert average(nnlib.ones(1, 2)).shape == (1, 1)
    other = copy.deepcopy(average)
    other.load_state_dict(average.state_dict())
    assert "n_averaged" in average.state_dict() and "module.weight" in average.state_dict()


def test_buffers():
    model = nn.BatchNorm1d(1)
    plain, whole = AveragedModel(model), AveragedModel(model, use_buffers=True)
    for mean in (1.0, 3.0):
        model.running_mean.fill_(mean)
        plain.update_parameters(model)
        whole.update_parameters(model)
    assert plain.module.running_mean.item() == 3.0
    assert whole.module.running_mean.item() == 2.0
    assert whole.module.num_batches_tracked.dtype == nnlib.int64


def test_errors():
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        AveragedModel(nn.Linear(1, 1), avg_fn=get_swa_avg_fn(), multi_avg_fn=get_swa_multi_avg_fn())
    with pytest.raises(ValueError, match="Invalid decay value 2 provided"):
        get_ema_avg_fn(2)


def test_update_bn():
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1))
    model.eval()
    batches = [nnlib.tensor([[1.0], [3.0]]), [nnlib.tensor([[5.0], [7.0]]), "target"]]
    update_bn(batches, model)
    norm = model[0]
    assert norm.running_mean.item() == pytest.approx(4.0)
    assert norm.running_var.item() == pytest.approx(2.0)
    assert norm.momentum == 0.1 and not model.training
    plain = nn.Linear(1, 1)
    update_bn(batches, plain)
