"""The Optimizer base class: groups, errors, state dicts, hooks."""

import copy
import pickle
import warnings

import pytest

import nnlib
from nnlib.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
    required,
)

OPTIMIZERS = {
    "SGD": dict(momentum=0.9),
    "Adam": dict(amsgrad=True),
    "AdamW": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "Adagrad": {},
    "Adadelta": {},
    "RMSprop": dict(momentum=0.9, centered=True),
    "Rprop": {},
    "ASGD": {},
    "Adafactor": {},
    "Muon": {},
}
every = pytest.mark.parametrize(("name", "options"), OPTIMIZERS.items(), ids=OPTIMIZERS)


def leaf(*shape, value=1.0):
    return nnlib.full(shape, value).requires_grad_(True)


def make(name, params, **options):
    return getattr(nnlib.optim, name)(params, **options)


def step(opt, times=1):
    for t in range(times):
        for group in opt.param_groups:
            for i, p in enumerate(group["params"]):
                p.grad = nnlib.full(tuple(p.shape), 0.1 * (t + i + 1))
        opt.step()


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("SGD", dict(lr=-1), "Invalid learning rate: -1"),
        ("SGD", dict(momentum=-1), "Invalid momentum value: -1"),
        ("SGD", dict(weight_decay=-1), "Invalid weight_decay value: -1"),
        ("SGD", dict(nesterov=True), "Nesterov momentum requires a momentum and zero dampening"),
        ("Adam", dict(lr=-1), "Invalid learning rate: -1"),
        ("Adam", dict(eps=-1), "Invalid epsilon value: -1"),
        ("Adam", dict(betas=(1.0, 0.9)), "Invalid beta parameter at index 0: 1.0"),
        ("Adam", dict(betas=(0.9, -0.1)), "Invalid beta parameter at index 1: -0.1"),
        ("Adam", dict(weight_decay=-1), "Invalid weight_decay value: -1"),
        ("AdamW", dict(betas=(0.9, 1.0)), "Invalid beta parameter at index 1: 1.0"),
        ("Adamax", dict(betas=(0.9, 1.0)), "Invalid beta parameter at index 1: 1.0"),
        ("NAdam", dict(momentum_decay=-1), "Invalid momentum_decay value: -1"),
        ("RAdam", dict(eps=-1), "Invalid epsilon value: -1"),
        ("Adagrad", dict(lr_decay=-0.5), "Invalid lr_decay value: -0.5"),
        ("Adagrad", dict(initial_accumulator_value=-1), "Invalid initial_accumulator_value value: -1"),
        ("Adadelta", dict(rho=1.1), "Invalid rho value: 1.1"),
        ("RMSprop", dict(alpha=-1), "Invalid alpha value: -1"),
        ("RMSprop", dict(momentum=-1.0), "Invalid momentum value: -1.0"),
        ("Rprop", dict(etas=(1.0, 0.5)), "Invalid eta values: 1.0, 0.5"),
        ("ASGD", dict(weight_decay=-1), "Invalid weight_decay value: -1"),
        ("SparseAdam", dict(lr=0.0), "Invalid learning rate: 0.0"),
        ("SparseAdam", dict(betas=(-0.1, 0.9)), "Invalid beta parameter at index 0: -0.1"),
        ("Adafactor", dict(lr=-1), "Learning rate should be >= 0 but is: -1"),
        ("Adafactor", dict(beta2_decay=0.8), "beta2_decay should be <= 0 but is: 0.8"),
        ("Adafactor", dict(eps=(-1e-30, 1e-3)), "epsilon1 should be >= 0 but is: -1e-30"),
        ("Adafactor", dict(d=0.0), "Clipping threshold d should be >= 1 but is: 0.0"),
        ("Muon", dict(momentum=-0.1), "momentum should be >= 0 but is: -0.1"),
        ("Muon", dict(adjust_lr_fn="arbitrary"), "Adjust learning rate function arbitrary is not supported"),
        ("LBFGS", dict(lr=-1), "Invalid learning rate: -1"),
    ],
)
def test_option_out_of_range(name, options, text):
    with pytest.raises(ValueError) as e:
        make(name, [leaf(2, 2)], **options)
    assert text in str(e.value)


@every
def test_learning_rate_tensor_of_two_elements(name, options):
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        make(name, [leaf(2, 2)], lr=nnlib.tensor([0.1, 0.2]), **options)


@every
def test_learning_rate_tensor(name, options):
    a, b = leaf(2, 3), leaf(2, 3)
    step(make(name, [a], lr=0.25, **options), 3)
    step(make(name, [b], lr=nnlib.tensor(0.25), **options), 3)
    assert a.tolist() == b.tolist()


def test_nan_learning_rate():
    with pytest.raises(ValueError, match="Invalid learning rate"):
        nnlib.optim.SGD([leaf(1)], lr=float("nan"))


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n not in ("Muon",)])
def test_foreach_gives_the_same_numbers(name):
    results = []
    for foreach in (None, True, False):
        p = leaf(2, 3)
        step(make(name, [p], foreach=foreach, **OPTIMIZERS[name]), 3)
        results.append(p.tolist())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_fused(name):
    results = []
    for fused in (None, True, False):
        p = leaf(2, 3)
        step(make(name, [p], fused=fused), 3)
        results.append(p.tolist())
    assert results[0] == results[1] == results[2]
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together."):
        make(name, [leaf(1)], fused=True, foreach=True)
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        make(name, [leaf(1)], fused=True, differentiable=True)


@pytest.mark.parametrize(
    "name", ["Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adadelta", "RMSprop", "Rprop", "ASGD"]
)
def test_capturable_is_refused_in_the_step(name):
    opt = make(name, [leaf(2)], capturable=True)
    with pytest.raises(AssertionError, match="capturable"):
        step(opt)


def test_parameter_errors():
    sgd = nnlib.optim.SGD
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts"):
        sgd(leaf(1), lr=1)
    with pytest.raises(ValueError, match="empty parameter list"):
        sgd([], lr=1)
    with pytest.raises(TypeError, match="optimizer can only optimize Tensors, but one of the params is int"):
        sgd([1], lr=1)
    with pytest.raises(TypeError, match="ordered collections"):
        sgd([{"params": {leaf(1)}}], lr=1)
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        sgd([leaf(1) * 2], lr=1)
    p = leaf(1)
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        sgd([{"params": [p]}, {"params": p}], lr=1)
    with pytest.warns(UserWarning, match="duplicate parameters"):
        sgd([p, p], lr=1)
    with pytest.raises(TypeError, match="param_group must be a dict"):
        sgd([p], lr=1).add_param_group([leaf(1)])
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        nnlib.optim.Optimizer([p], {"lr": required})
    with pytest.raises(NotImplementedError):
        nnlib.optim.Optimizer([p], {}).step()


def test_groups_keep_their_options():
    a, b, c = leaf(1), leaf(1), leaf(1)
    opt = nnlib.optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.5)
    opt.add_param_group({"params": c, "lr": 0.25})
    step(opt)
    assert [round(x.item(), 6) for x in (a, b, c)] == [0.95, 0.9, 0.975]
    text = repr(opt)
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n") and "Parameter Group 2" in text


def test_named_parameters():
    opt = nnlib.optim.SGD([("w", leaf(1)), ("b", leaf(2))], lr=1)
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["w", "b"]
    with pytest.raises(ValueError, match="Some param names are missing"):
        nnlib.optim.SGD([("w", leaf(1)), leaf(2)], lr=1)
    with pytest.raises(ValueError, match="cannot add param group without names"):
        opt.add_param_group({"params": [leaf(1)]})


def test_zero_grad():
    p, q = leaf(2), leaf(2)
    (p * q).sum().backward()
    opt = nnlib.optim.SGD([p, q], lr=1)
    grad = p.grad
    opt.zero_grad(set_to_none=False)
    assert p.grad is grad and grad.tolist() == [0, 0]
    opt.zero_grad()
    assert p.grad is None and q.grad is None


def test_closure_runs_with_gradients():
    p = leaf(1)
    opt = nnlib.optim.SGD([p], lr=0.5)

    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with nnlib.no_grad():
        assert opt.step(closure).item() == 1
    assert p.item() == 0
    assert opt.step() is None


@every
def test_state_dict_round_trip(name, options):
    a = [leaf(2, 3), leaf(3, 2)]
    one = make(name, a, **options)
    step(one, 2)
    b = [p.detach().clone().requires_grad_(True) for p in a]
    two = make(name, b, **options)
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    for opt in (one, two):
        step(opt, 2)
    for x, y in zip(a, b, strict=True):
        assert x.tolist() == y.tolist()


@every
def test_state_dict_has_torch_keys(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    dicts = []
    for lib in (nnlib, torch):
        p = lib.ones(2, 3).requires_grad_(True)
        opt = getattr(lib.optim, name)([p], **options)
        p.grad = lib.ones(2, 3)
        opt.step()
        dicts.append(opt.state_dict())
    ours, theirs = dicts
    assert ours.keys() == theirs.keys()
    assert ours["param_groups"] == theirs["param_groups"]
    assert list(ours["state"]) == list(theirs["state"])
    for key, value in theirs["state"][0].items():
        mine = ours["state"][0][key]
        assert type(mine).__name__ == type(value).__name__, key
        if isinstance(value, torch.Tensor):
            assert str(mine.dtype).split(".")[-1] == str(value.dtype).split(".")[-1], key
            assert tuple(mine.shape) == tuple(value.shape), key
    assert ours["state"][0].keys() == theirs["state"][0].keys()


def test_state_is_cast_to_the_parameter_but_the_step():
    p = nnlib.ones(2).requires_grad_(True)
    opt = nnlib.optim.Adam([p])
    step(opt)
    q = nnlib.ones(2, dtype=nnlib.float64).requires_grad_(True)
    other = nnlib.optim.Adam([q])
    other.load_state_dict(opt.state_dict())
    assert other.state[q]["exp_avg"].dtype == nnlib.float64
    assert other.state[q]["step"].dtype == nnlib.float32
    h = nnlib.ones(2, dtype=nnlib.bfloat16).requires_grad_(True)
    other = nnlib.optim.Adam([h])
    other.load_state_dict(opt.state_dict())
    assert other.state[h]["step"].dtype == nnlib.float32


def test_step_saved_as_a_number_becomes_a_tensor():
    p = leaf(2)
    opt = nnlib.optim.Adam([p])
    step(opt)
    saved = opt.state_dict()
    saved["state"][0]["step"] = 7
    del saved["param_groups"][0]["maximize"]
    opt.load_state_dict(saved)
    assert opt.state[p]["step"].item() == 7 and isinstance(opt.state[p]["step"], nnlib.Tensor)
    assert opt.param_groups[0]["maximize"] is False


def test_loading_a_state_that_does_not_fit():
    one = nnlib.optim.SGD([leaf(1), leaf(1)], lr=1)
    two = nnlib.optim.SGD([leaf(1)], lr=1)
    three = nnlib.optim.SGD([{"params": leaf(1)}, {"params": leaf(1)}], lr=1)
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        two.load_state_dict(one.state_dict())
    with pytest.raises(ValueError, match="different number of parameter groups"):
        two.load_state_dict(three.state_dict())


def test_step_hooks():
    p, calls = leaf(1), []
    opt = nnlib.optim.SGD([p], lr=1)
    handles = [
        register_optimizer_step_pre_hook(lambda o, a, k: calls.append("global pre")),
        opt.register_step_pre_hook(lambda o, a, k: calls.append("pre")),
        opt.register_step_post_hook(lambda o, a, k: calls.append("post")),
        register_optimizer_step_post_hook(lambda o, a, k: calls.append("global post")),
    ]
    step(opt)
    assert calls == ["global pre", "pre", "post", "global post"]
    for handle in handles:
        handle.remove()
    step(opt)
    assert len(calls) == 4
    opt.register_step_pre_hook(lambda o, a, k: ((o, lambda: "closure"), {}))
    assert opt.step() == "closure"
    opt.register_step_pre_hook(lambda o, a, k: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        opt.step()


def test_state_dict_hooks():
    p, calls = leaf(1), []
    opt = nnlib.optim.SGD([p], lr=1)
    opt.register_state_dict_pre_hook(lambda o: calls.append("b"))
    opt.register_state_dict_pre_hook(lambda o: calls.append("a"), prepend=True)
    opt.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    opt.register_load_state_dict_pre_hook(lambda o, d: calls.append(d.pop("extra")))
    opt.register_load_state_dict_post_hook(lambda o: calls.append("loaded"))
    saved = opt.state_dict()
    opt.load_state_dict(saved)
    assert calls == ["a", "b", 1, "loaded"]
    assert saved["extra"] == 1


def test_pickle_and_deepcopy():
    opt = nnlib.optim.Adam([leaf(2)], lr=0.5)
    step(opt)
    for other in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        step(other)
        assert other.param_groups[0]["params"][0].tolist() != opt.param_groups[0]["params"][0].tolist()
        assert other.state_dict()["state"][0]["step"].item() == 2
    assert opt.state_dict()["state"][0]["step"].item() == 1


def test_subclass_with_its_own_step():
    class Plain(nnlib.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 1.0})

        def step(self, closure=None):
            with nnlib.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p -= group["lr"] * p.grad
            return "done"

    p = leaf(1)
    opt = Plain([p])
    calls = []
    opt.register_step_post_hook(lambda o, a, k: calls.append(1))
    p.grad = nnlib.ones(1)
    assert opt.step() == "done" and p.item() == 0 and calls == [1]


def test_tensor_betas():
    betas = (nnlib.tensor([0.5]), nnlib.tensor(0.75))
    a, b = leaf(2), leaf(2)
    step(nnlib.optim.Adam([a], betas=betas, lr=0.1), 3)
    step(nnlib.optim.Adam([b], betas=(0.5, 0.75), lr=0.1), 3)
    assert a.tolist() == b.tolist()
    with pytest.raises(ValueError, match="betas must be either both floats or both Tensors"):
        nnlib.optim.Adam([a], betas=(0.5, nnlib.tensor(0.75)))


def test_no_warning_in_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(nnlib.optim.AdamW([leaf(2)]))


def test_swap_in():
    p = leaf(2)
    opt = nnlib.optim.Adam([p], lr=0.5)
    with pytest.raises(RuntimeError, match="requires initialized optimizer state"):
        with nnlib.optim.swap_in_optimizer_params_and_state(opt, {}, opt.state_dict()):
            pass
    step(opt)
    before, group = p.tolist(), dict(opt.param_groups[0])
    other, state = leaf(2, value=5.0), copy.deepcopy(opt.state_dict())
    state["param_groups"][0]["lr"] = 1.0
    with nnlib.optim.swap_in_optimizer_params_and_state(opt, {"p": other}, state):
        step(opt)
    assert p.tolist() == before and dict(opt.param_groups[0]) == group
    assert other[0].item() == pytest.approx(4.0) and state["state"][0]["step"].item() == 2
    assert opt.state[p]["step"].item() == 1
    for broken in ({}, {"state": {}, "param_groups": []}, {**state, "state": {9: {}}}):
        with pytest.raises(RuntimeError, match="swap_in_optimizer_params_and_state requires"):
            with nnlib.optim.swap_in_optimizer_params_and_state(opt, {"p": other}, broken):
                pass
