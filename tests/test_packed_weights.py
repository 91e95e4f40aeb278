"""Packings of weights that are kept: the same bits as without, and never stale."""

import copy

import pytest

import nnlib as torch
from nnlib import _C

ROWS, IN, OUT = 17, 300, 90  # a size at which a kept packing pays


@pytest.fixture(autouse=True)
def empty():
    _C.empty_cache()
    yield
    _C.empty_cache()


def layer():
    torch.manual_seed(3)
    return torch.nn.Linear(IN, OUT), torch.randn(ROWS, IN)


def expected(m, x):
    """The product through fresh memory, of which nothing is kept."""
    return x @ m.weight.detach().clone().t() + m.bias.detach()


def infer(m, x, times=3):
    with torch.no_grad():
        for _ in range(times):
            y = m(x)
    return y


def test_a_weight_seen_twice_is_kept_and_gives_the_same_bits():
    m, x = layer()
    with torch.no_grad():
        first = m(x)
        assert _C._packed_bytes() == 0
        second = m(x)
        assert _C._packed_bytes() > 0
        third = m(x)
    assert torch.equal(first, second) and torch.equal(first, third)


def test_training_keeps_nothing():
    m, _ = layer()
    opt = torch.optim.SGD(m.parameters(), lr=0.1)
    for _ in range(3):
        opt.zero_grad()
        m(torch.randn(ROWS, IN)).sum().backward()
        opt.step()
        assert _C._packed_bytes() == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.weight.detach().mul_(2),
        lambda m: m.weight.data.mul_(2),
        lambda m: m.weight.data[3].fill_(1),
        lambda m: m.load_state_dict({"weight": torch.ones(OUT, IN), "bias": torch.zeros(OUT)}),
        lambda m: torch.nn.init.constant_(m.weight, 0.5),
        lambda m: setattr(m.weight, "data", torch.ones(OUT, IN)),
        lambda m: m.weight.detach().numpy().fill(2),
        lambda m: torch.nn.utils.vector_to_parameters(torch.ones(OUT * IN + OUT), m.parameters()),
    ],
)
def test_changes_are_noticed(change):
    m, x = layer()
    infer(m, x)
    assert _C._packed_bytes() > 0
    with torch.no_grad():
        change(m)
    torch.testing.assert_close(infer(m, x), expected(m, x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(infer(m, x), expected(m, x), rtol=1e-4, atol=1e-4)


def test_optimizer_steps_and_inference_mode_are_noticed():
    m, x = layer()
    infer(m, x)
    m(x).square().sum().backward()
    torch.optim.Adam(m.parameters(), lr=0.1).step()
    torch.testing.assert_close(infer(m, x), expected(m, x), rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        w, x = torch.randn(IN, OUT), torch.randn(ROWS, IN)
        for _ in range(3):
            x @ w
        w.mul_(3)
        torch.testing.assert_close(x @ w, x @ w.clone())


def test_memory_that_numpy_writes_is_not_kept():
    m, x = layer()
    view = m.weight.detach().numpy()
    infer(m, x)
    view[:] = 1
    torch.testing.assert_close(infer(m, x), expected(m, x), rtol=1e-4, atol=1e-4)
    assert _C._packed_bytes() == 0


def test_the_limit_can_be_set_and_dead_weights_are_forgotten():
    before = _C._packed_limit()
    m, x = layer()
    try:
        _C._set_packed_limit(0)
        infer(m, x)
        assert _C._packed_bytes() == 0
    finally:
        _C._set_packed_limit(before)
    infer(m, x)
    assert _C._packed_bytes() > 0
    del m
    assert _C._packed_bytes() == 0
    with pytest.raises(ValueError, match="must not be negative"):
        _C._set_packed_limit(-1)


CONVS = {
    "few pixels": (torch.nn.Conv2d(96, 48, 1), (1, 96, 5, 5)),
    "pixels": (torch.nn.Conv2d(96, 48, 1), (2, 96, 14, 14)),
    "lines": (torch.nn.Conv1d(24, 40, 5, stride=3), (2, 24, 50)),
    "groups": (torch.nn.Conv2d(60, 60, 3, stride=2, groups=3), (1, 60, 9, 9)),
    "depth": (torch.nn.Conv3d(16, 32, 3, padding=1), (1, 16, 2, 6, 6)),
    "transposed": (torch.nn.ConvTranspose2d(30, 20, 3, stride=2), (1, 30, 6, 6)),
    "transposed in three": (torch.nn.ConvTranspose3d(20, 40, 4, stride=2), (1, 20, 3, 4, 5)),
}


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels_last"])
@pytest.mark.parametrize("name", CONVS)
def test_convolutions_keep_theirs_and_notice_changes(name, last):
    layer, sizes = CONVS[name]
    m = copy.deepcopy(layer)
    x = torch.randn(sizes)
    if last and len(sizes) > 3:
        form = torch.channels_last if len(sizes) == 4 else torch.channels_last_3d
        m, x = m.to(memory_format=form), x.to(memory_format=form)
    with torch.no_grad():
        first = m(x)
        for _ in range(2):
            assert torch.equal(m(x), first)
        m.weight.mul_(-1)
        m.bias.mul_(-1)
        for _ in range(3):
            assert torch.equal(m(x), -first)
        twice = m(torch.cat([x, x]))  # what is kept serves other sizes too, or is not taken for them
        torch.testing.assert_close(twice[: sizes[0]], -first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_convolutions_of_16_bits_keep_their_casts(dtype):
    m, x = torch.nn.Conv2d(96, 48, 1).to(dtype), torch.randn(1, 96, 5, 5).to(dtype)
    with torch.no_grad():
        first = m(x)
        kept = [_C._packed_bytes()]
        for _ in range(3):
            assert torch.equal(m(x), first)
            kept.append(_C._packed_bytes())
        assert kept[0] == 0 < kept[1] < kept[-1]  # the cast, and then its packing
        m.weight.mul_(-1)
        m.bias.mul_(-1)
        for _ in range(4):
            assert torch.equal(m(x), -first)
    del m
    assert _C._packed_bytes() == 0


def test_convolutions_of_halves_of_a_weight_keep_both():
    m = torch.nn.Conv2d(64, 96, 1)
    x = torch.randn(1, 64, 12, 12)
    with torch.no_grad():
        whole = m(x)
        for _ in range(3):
            for part in (slice(0, 48), slice(48, 96)):
                y = torch.nn.functional.conv2d(x, m.weight[part], m.bias[part])
                torch.testing.assert_close(y, whole[:, part], rtol=1e-4, atol=1e-5)
