"""The schedules: closed formulas, PyTorch's numbers, saving, loading, and warnings."""

import copy
import math

import pytest

import nnlib
from nnlib.optim import lr_scheduler as sched

CASES = [
    ("StepLR", dict(step_size=3, gamma=0.5)),
    ("MultiStepLR", dict(milestones=[2, 5, 5], gamma=0.1)),
    ("ConstantLR", dict(factor=0.5, total_iters=4)),
    ("LinearLR", dict(start_factor=0.3, end_factor=0.8, total_iters=5)),
    ("ExponentialLR", dict(gamma=0.9)),
    ("PolynomialLR", dict(total_iters=6, power=2.0)),
    ("CosineAnnealingLR", dict(T_max=5, eta_min=0.01)),
    ("CosineAnnealingWarmRestarts", dict(T_0=4, eta_min=0.1)),
    ("CosineAnnealingWarmRestarts", dict(T_0=2, T_mult=2)),
    ("OneCycleLR", dict(max_lr=1.0, total_steps=14)),
    (
        "OneCycleLR",
        dict(max_lr=[1.0, 0.5], epochs=2, steps_per_epoch=7, three_phase=True, anneal_strategy="linear"),
    ),
    ("CyclicLR", dict(base_lr=0.01, max_lr=0.1, step_size_up=3)),
    ("CyclicLR", dict(base_lr=0.01, max_lr=[0.1, 0.2], step_size_up=2, step_size_down=3, mode="triangular2")),
    ("CyclicLR", dict(base_lr=0.01, max_lr=0.1, step_size_up=2, mode="exp_range", gamma=0.9)),
    (
        "CyclicLR",
        dict(base_lr=0.01, max_lr=0.1, step_size_up=2, scale_fn=lambda x: 0.5**x, cycle_momentum=False),
    ),
    ("LambdaLR", dict(lr_lambda=lambda e: 0.95**e)),
    ("LambdaLR", dict(lr_lambda=[lambda e: 0.95**e, lambda e: 1.0])),
    ("MultiplicativeLR", dict(lr_lambda=lambda e: 0.9)),
    ("SWALR", dict(swa_lr=0.05, anneal_epochs=4)),
    ("SWALR", dict(swa_lr=[0.05, 0.5], anneal_epochs=3, anneal_strategy="linear")),
    ("SWALR", dict(swa_lr=0.05, anneal_epochs=0)),
]
every = pytest.mark.parametrize(("name", "options"), CASES, ids=lambda x: x if isinstance(x, str) else None)


def optimizer(lib=nnlib, name="SGD", **options):
    options = options or dict(momentum=0.9)
    params = [
        {"params": lib.zeros(1, requires_grad=True)},
        {"params": lib.zeros(1, requires_grad=True), "lr": 0.2},
    ]
    return getattr(lib.optim, name)(params, lr=0.5, **options)


def make(name, opt, options, lib=nnlib):
    cls = lib.optim.swa_utils.SWALR if name == "SWALR" else getattr(lib.optim.lr_scheduler, name)
    return cls(opt, **options)


def rates(opt, schedule, steps=12):
    out = [[g["lr"] for g in opt.param_groups]]
    for _ in range(steps):
        opt.step()
        schedule.step()
        out.append([float(g["lr"]) for g in opt.param_groups] + [momentum(g) for g in opt.param_groups])
        assert schedule.get_last_lr() == [g["lr"] for g in opt.param_groups]
    return out


def momentum(group):
    return group["betas"][0] if "betas" in group else group["momentum"]


def test_closed_formulas():
    # After epoch t, from a first learning rate of 0.5.
    formulas = {
        "StepLR": (dict(step_size=3, gamma=0.5), lambda t: 0.5 ** (t // 3)),
        "MultiStepLR": (dict(milestones=[2, 5], gamma=0.1), lambda t: 0.1 ** ((t >= 2) + (t >= 5))),
        "ConstantLR": (dict(factor=0.25, total_iters=4), lambda t: 0.25 if t < 4 else 1),
        "LinearLR": (dict(start_factor=0.5, total_iters=5), lambda t: 0.5 + 0.5 * min(t, 5) / 5),
        "ExponentialLR": (dict(gamma=0.9), lambda t: 0.9**t),
        "PolynomialLR": (dict(total_iters=6, power=2.0), lambda t: (1 - min(t, 6) / 6) ** 2),
        "CosineAnnealingLR": (dict(T_max=5), lambda t: (1 + math.cos(math.pi * t / 5)) / 2),
        "CosineAnnealingWarmRestarts": (dict(T_0=4), lambda t: (1 + math.cos(math.pi * (t % 4) / 4)) / 2),
        "LambdaLR": (dict(lr_lambda=lambda t: 1 / (1 + t)), lambda t: 1 / (1 + t)),
    }
    for name, (options, formula) in formulas.items():
        opt = optimizer()
        got = rates(opt, make(name, opt, options))
        for t, row in enumerate(got):
            assert row[0] == pytest.approx(0.5 * formula(t), rel=1e-9, abs=1e-12), (name, t)
            assert row[1] == pytest.approx(0.2 * formula(t), rel=1e-9, abs=1e-12), (name, t)


@every
def test_torch(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    for opt_name, opt_options in (("SGD", {}), ("Adam", dict(betas=(0.9, 0.99)))):
        results = []
        for lib in (nnlib, torch):
            opt = optimizer(lib, opt_name, **opt_options)
            results.append(rates(opt, make(name, opt, dict(options), lib)))
        for ours, theirs in zip(*results, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)


@every
def test_learning_rate_tensor_changes_in_place(name, options):
    opt, plain = optimizer(), optimizer()
    for group in opt.param_groups:
        group["lr"] = nnlib.tensor(group["lr"], dtype=nnlib.float64)
    tensors = [group["lr"] for group in opt.param_groups]
    schedule, other = make(name, opt, options), make(name, plain, options)
    for _ in range(4):
        for o, s in ((opt, schedule), (plain, other)):
            o.step()
            s.step()
    for tensor, group, want in zip(tensors, opt.param_groups, plain.param_groups, strict=True):
        assert group["lr"] is tensor
        assert tensor.item() == pytest.approx(want["lr"])


@every
def test_state_dict_round_trip(name, options):
    opt = optimizer()
    schedule = make(name, opt, options)
    for _ in range(5):
        opt.step()
        schedule.step()
    saved, saved_opt = copy.deepcopy(schedule.state_dict()), copy.deepcopy(opt.state_dict())
    want = rates(opt, schedule, 4)
    other = optimizer()
    resumed = make(name, other, options)
    resumed.load_state_dict(saved)
    other.load_state_dict(saved_opt)
    assert "optimizer" not in saved
    assert rates(other, resumed, 4) == want


@every
def test_state_dict_keys_are_torchs(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    keys = []
    for lib in (nnlib, torch):
        state = make(name, optimizer(lib), dict(options), lib).state_dict()
        keys.append({k for k in state if k not in ("_is_initial", "_get_lr_called_within_step")})
    assert keys[0] == keys[1]


def test_callable_object_is_saved_by_its_attributes():
    class Factor:
        def __init__(self, base):
            self.base = base

        def __call__(self, epoch):
            return self.base**epoch

    schedule = sched.LambdaLR(optimizer(), [Factor(0.5), lambda e: 1])
    state = schedule.state_dict()
    assert state["lr_lambdas"] == [{"base": 0.5}, None]
    other = sched.LambdaLR(optimizer(), [Factor(0.1), lambda e: 1])
    other.load_state_dict(state)
    assert other.lr_lambdas[0].base == 0.5
    assert state["lr_lambdas"] == [{"base": 0.5}, None]


def test_step_with_an_epoch():
    for name, options in [c for c in CASES[:7]]:
        opt, plain = optimizer(), optimizer()
        schedule, other = make(name, opt, options), make(name, plain, options)
        opt.step()
        with pytest.warns(UserWarning, match="epoch parameter"):
            schedule.step(4)
        for _ in range(4):
            plain.step()
            other.step()
        assert schedule.get_last_lr() == pytest.approx(other.get_last_lr()), name
    opt = optimizer()
    restarts = sched.CosineAnnealingWarmRestarts(opt, T_0=2, T_mult=2)
    for epoch, share in ((0.5, 0.25), (1.0, 0.5), (3.0, 0.25), (6.0, 0), (10.0, 0.5)):
        restarts.step(epoch)
        assert opt.param_groups[0]["lr"] == pytest.approx(0.25 * (1 + math.cos(math.pi * share)))
    with pytest.raises(ValueError, match="Expected non-negative epoch"):
        restarts.step(-1)


def test_resuming_with_last_epoch():
    opt = optimizer()
    with pytest.raises(KeyError, match="param 'initial_lr' is not specified in param_groups"):
        sched.ExponentialLR(opt, gamma=0.5, last_epoch=3)
    for group in opt.param_groups:
        group["initial_lr"] = 8 * group["lr"]
    schedule = sched.CosineAnnealingLR(opt, T_max=10, last_epoch=3)
    assert schedule.last_epoch == 4 and schedule.base_lrs == [4.0, 1.6]


def test_warning_about_the_order():
    opt = optimizer()
    schedule = sched.ExponentialLR(opt, gamma=0.5)
    with pytest.warns(UserWarning, match="before `optimizer.step\\(\\)`"):
        schedule.step()
    opt = optimizer()
    schedule = sched.ExponentialLR(opt, gamma=0.5)
    opt.step()
    opt.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden"):
        schedule.step()
    with pytest.warns(UserWarning, match="get_last_lr"):
        schedule.get_lr()


def test_sequential():
    opt = optimizer()
    parts = [sched.LinearLR(opt, start_factor=0.1, total_iters=4), sched.ExponentialLR(opt, gamma=0.5)]
    schedule = sched.SequentialLR(opt, parts, milestones=[4])
    got = [row[0] for row in rates(opt, schedule, 7)]
    assert got == pytest.approx([0.05, 0.1625, 0.275, 0.3875, 0.5, 0.25, 0.125, 0.0625])


def test_composites_like_torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    results = []
    for lib in (nnlib, torch):
        s = lib.optim.lr_scheduler
        opt = optimizer(lib)
        parts = [s.ConstantLR(opt, 0.1, 3), s.StepLR(opt, 2), s.CosineAnnealingLR(opt, T_max=3)]
        out = rates(opt, s.SequentialLR(opt, parts, milestones=[3, 7]))
        opt = optimizer(lib)
        chained = s.ChainedScheduler(
            [s.ConstantLR(opt, factor=0.1, total_iters=2), s.ExponentialLR(opt, gamma=0.9)], optimizer=opt
        )
        results.append(out + rates(opt, chained))
    for ours, theirs in zip(*results, strict=True):
        assert ours == pytest.approx(theirs)


def test_nested_sequential():
    opt = optimizer()
    inner = sched.SequentialLR(
        opt, [sched.ConstantLR(opt, 0.5, 1), sched.StepLR(opt, 2, 0.1)], milestones=[3]
    )
    outer = sched.SequentialLR(opt, [sched.ConstantLR(opt, 0.1, 9), inner], milestones=[2])
    got = [row[0] for row in rates(opt, outer, 7)]
    assert got == pytest.approx([0.05, 0.05, 0.25, 0.5, 0.5, 0.5, 0.5, 0.05])


def test_composites_are_saved_with_their_parts():
    def build():
        opt = optimizer()
        parts = [sched.ConstantLR(opt, factor=0.1, total_iters=2), sched.ExponentialLR(opt, gamma=0.9)]
        return opt, sched.SequentialLR(opt, parts, milestones=[3])

    opt, schedule = build()
    for _ in range(4):
        opt.step()
        schedule.step()
    other_opt, other = build()
    other.load_state_dict(copy.deepcopy(schedule.state_dict()))
    other_opt.load_state_dict(copy.deepcopy(opt.state_dict()))
    assert rates(opt, schedule, 3) == rates(other_opt, other, 3)


def test_composite_errors():
    opt, stranger = optimizer(), optimizer()
    part = sched.ExponentialLR(opt, gamma=0.9)
    with pytest.raises(ValueError, match="expects at least one scheduler"):
        sched.SequentialLR(opt, [], [])
    with pytest.raises(ValueError, match="one more than the number of milestone points"):
        sched.SequentialLR(opt, [part], [3])
    with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
        sched.ChainedScheduler([sched.ReduceLROnPlateau(opt)])
    with pytest.raises(ValueError, match="to belong to the same optimizer"):
        sched.ChainedScheduler([part, sched.ExponentialLR(stranger, gamma=0.9)])
    with pytest.raises(TypeError, match="should have `optimizer` as its attribute"):
        sched.ChainedScheduler([part, object()])


@pytest.mark.parametrize(
    "options",
    [
        dict(patience=1, factor=0.3),
        dict(mode="max", patience=0),
        dict(threshold_mode="abs", threshold=0.5, patience=1),
        dict(mode="max", threshold_mode="abs", threshold=0.5, patience=0),
        dict(patience=0, cooldown=2, min_lr=[0.1, 0.01]),
        dict(patience=0, factor=0.5, eps=0.2),
    ],
)
def test_plateau_like_torch(options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    losses = [3.0, 2.0, 2.0, 1.9, 2.0, float("nan"), 1.0, 1.0, 1.0, 0.9, 1.0, 1.0]
    results = []
    for lib in (nnlib, torch):
        opt = optimizer(lib)
        schedule = lib.optim.lr_scheduler.ReduceLROnPlateau(opt, **options)
        out = []
        for loss in losses:
            schedule.step(lib.tensor(loss))
            out.append([*schedule.get_last_lr(), schedule.num_bad_epochs, schedule.cooldown_counter])
        results.append((out, set(schedule.state_dict())))
    assert results[0] == results[1]


def test_plateau():
    opt = optimizer()
    schedule = sched.ReduceLROnPlateau(opt, factor=0.5, patience=2)
    for loss in (1.0, 0.5, 0.5, 0.5):
        schedule.step(loss)
    assert schedule.get_last_lr() == [0.5, 0.2]
    schedule.step(0.5)
    assert schedule.get_last_lr() == [0.25, 0.1]
    other = sched.ReduceLROnPlateau(optimizer(), factor=0.5, patience=2)
    other.load_state_dict(schedule.state_dict())
    assert other.best == 0.5 and not other.in_cooldown
    opt.add_param_group({"params": nnlib.zeros(1, requires_grad=True), "lr": 1.0})
    for _ in range(3):
        schedule.step(0.5)
    assert schedule.get_last_lr() == [0.125, 0.05, 0.5]


@pytest.mark.parametrize(
    ("name", "options", "error", "text"),
    [
        ("ConstantLR", dict(factor=1.5), ValueError, "expected to be between 0 and 1"),
        ("LinearLR", dict(start_factor=0), ValueError, "expected to be greater than 0"),
        ("LinearLR", dict(end_factor=2), ValueError, "expected to be between 0 and 1"),
        ("LambdaLR", dict(lr_lambda=[abs]), ValueError, "Expected 2 lr_lambdas, but got 1"),
        ("MultiplicativeLR", dict(lr_lambda=0.9), TypeError, "lr_lambda should be a function, but got float"),
        ("CosineAnnealingWarmRestarts", dict(T_0=0), ValueError, "Expected positive integer T_0"),
        ("CosineAnnealingWarmRestarts", dict(T_0=1, T_mult=0.5), ValueError, "Expected integer T_mult >= 1"),
        ("CyclicLR", dict(base_lr=[1], max_lr=1), ValueError, "base_lr must have the same length"),
        ("CyclicLR", dict(base_lr=1, max_lr=1, mode="square"), ValueError, "mode is invalid"),
        ("OneCycleLR", dict(max_lr=1), ValueError, "You must define either total_steps OR"),
        ("OneCycleLR", dict(max_lr=1, total_steps=0), ValueError, "Expected positive integer total_steps"),
        (
            "OneCycleLR",
            dict(max_lr=1, total_steps=5, pct_start=2.0),
            ValueError,
            "Expected float between 0 and 1",
        ),
        ("OneCycleLR", dict(max_lr=1, total_steps=5, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        ("ReduceLROnPlateau", dict(factor=1.0), ValueError, "Factor should be < 1.0"),
        ("ReduceLROnPlateau", dict(mode="up"), ValueError, "mode up is unknown!"),
        ("ReduceLROnPlateau", dict(threshold_mode="x"), ValueError, "threshold mode x is unknown!"),
        ("ReduceLROnPlateau", dict(min_lr=[1]), ValueError, "expected 2 min_lrs, got 1"),
        ("SWALR", dict(swa_lr=1, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        ("SWALR", dict(swa_lr=1, anneal_epochs=-1), ValueError, "equal or greater than 0"),
    ],
)
def test_errors(name, options, error, text):
    with pytest.raises(error) as e:
        make(name, optimizer(), options)
    assert text in str(e.value)


def test_other_errors():
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        sched.StepLR(3, 1)
    no_momentum = optimizer(name="Adagrad", lr_decay=0)
    with pytest.raises(ValueError, match="optimizer must support momentum or beta1"):
        sched.CyclicLR(no_momentum, 0.1, 1)
    opt = optimizer()
    schedule = sched.OneCycleLR(opt, max_lr=1, total_steps=1)
    opt.step()
    schedule.step()
    with pytest.raises(ValueError, match="Tried to step 2 times"):
        schedule.step()
    with pytest.raises(NotImplementedError):
        sched.LRScheduler(optimizer())
    assert sched._LRScheduler is sched.LRScheduler
