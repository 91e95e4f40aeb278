"""Module: registration, traversal, state, conversion, hooks, repr, copies and pickles."""

import copy
import gc
import pickle
import warnings
import weakref
from collections import OrderedDict

import pytest

import nnlib
from nnlib import nn
from nnlib.nn.modules import module as module_file


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.scale = nn.Parameter(nnlib.ones(1))
        self.register_buffer("steps", nnlib.zeros(1))
        self.register_buffer("scratch", nnlib.zeros(2), persistent=False)

    def forward(self, x, bonus=0.0):
        return self.inner(self.first(x)) * self.scale + bonus


# -- registration


def test_assignment_registers_and_replaces():
    m = nn.Module()
    m.x = 3
    m.x = nn.Parameter(nnlib.zeros(2))
    assert list(m._parameters) == ["x"] and "x" not in m.__dict__
    with pytest.raises(TypeError):
        m.x = nn.Linear(1, 1)
    del m.x
    m.x = nn.Linear(1, 1)
    assert not m._parameters and list(m._modules) == ["x"]
    m.x = None
    assert m.x is None and list(m._modules) == ["x"]
    m.y = nn.Buffer(nnlib.ones(1), persistent=False)
    assert list(m._buffers) == ["y"] and not m.state_dict()
    m.y = nnlib.zeros(3)
    assert m._buffers["y"].shape == (3,) and not m.state_dict()
    del m.y
    assert not hasattr(m, "y") and not m._non_persistent_buffers_set


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda m: m.register_parameter("a.b", None), KeyError, 'contain "."'),
        (lambda m: m.register_parameter("", None), KeyError, "be empty string"),
        (lambda m: m.register_parameter("forward", None), KeyError, "attribute 'forward' already exists"),
        (lambda m: m.register_parameter(3, None), TypeError, "parameter name should be a string. Got int"),
        (
            lambda m: m.register_parameter("p", nnlib.zeros(1)),
            TypeError,
            "torch.nn.Parameter or None required",
        ),
        (lambda m: m.register_buffer("a.b", None), KeyError, "buffer name"),
        (lambda m: m.register_buffer("b", 3), TypeError, "torch Tensor or None required"),
        (lambda m: m.add_module("m", 3), TypeError, "int is not a Module subclass"),
        (lambda m: m.add_module("a.b", None), KeyError, "got: a.b"),
        (lambda m: setattr(m, "scale", 3), TypeError, "cannot assign 'int' as parameter 'scale'"),
        (lambda m: setattr(m, "first", 3), TypeError, "cannot assign 'int' as child module 'first'"),
        (lambda m: setattr(m, "steps", 3), TypeError, "cannot assign 'int' as buffer 'steps'"),
        (lambda m: m.missing, AttributeError, "'Net' object has no attribute 'missing'"),
        (lambda m: m.train("yes"), ValueError, "training mode is expected to be boolean"),
        (lambda m: m.load_state_dict([]), TypeError, "Expected state_dict to be dict-like"),
        (lambda m: m.to(nnlib.int64), TypeError, "only accepts floating point"),
        (lambda m: m.get_submodule("first.nothing"), AttributeError, "Linear has no attribute `nothing`"),
        (lambda m: m.get_submodule("scale"), AttributeError, "`scale` is not an nn.Module"),
        (lambda m: m.get_parameter("steps"), AttributeError, "`steps` is not an nn.Parameter"),
        (lambda m: m.get_buffer("scale"), AttributeError, "`scale` is not a buffer"),
        (lambda m: m.set_submodule("", nn.ReLU()), ValueError, "without a target name"),
        (lambda m: m.set_submodule("first", 3), ValueError, "is not an nn.Module"),
        (lambda m: m.set_submodule("other", nn.ReLU(), strict=True), AttributeError, "no attribute `other`"),
        (lambda m: nn.Module()(1), NotImplementedError, 'missing the required "forward"'),
        (lambda m: nn.Module(3), TypeError, "takes 1 positional argument but 2 were given"),
        (lambda m: nn.Module(x=3), TypeError, "unexpected keyword argument 'x'"),
    ],
)
def test_errors(action, error, message):
    with pytest.raises(error) as caught:
        action(Net())
    assert message in str(caught.value)


def test_parameter_must_be_a_leaf():
    p = nn.Parameter(nnlib.ones(1))
    q = nnlib.Tensor._make_subclass(nn.Parameter, nnlib.ones(1), True)
    assert isinstance(q, nn.Parameter)
    with pytest.raises(TypeError):
        nn.Module().register_parameter("w", p * 2)


@pytest.mark.parametrize("value", [nn.Parameter(nnlib.zeros(1)), nn.ReLU()])
def test_assignment_before_init(value):
    class Early(nn.Module):
        def __init__(self):
            self.x = value

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


def test_call_before_init():
    class Early(nn.Module):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match="did not call super"):
        Early()(1)


def test_call_super_init():
    class Mixin:
        def __init__(self, value):
            self.value = value

    class Both(nn.Module, Mixin):
        call_super_init = True

        def __init__(self):
            super().__init__(7)

    assert Both().value == 7


# -- traversal


def test_named_members():
    m = Net()
    assert [n for n, _ in m.named_parameters()] == [
        "scale", "first.weight", "first.bias", "inner.0.weight", "inner.0.bias"]  # fmt: skip
    assert [n for n, _ in m.named_parameters(prefix="p", recurse=False)] == ["p.scale"]
    assert [n for n, _ in m.named_buffers()] == ["steps", "scratch"]
    assert [n for n, _ in m.named_children()] == ["first", "inner"]
    assert [n for n, _ in m.named_modules()] == ["", "first", "inner", "inner.0", "inner.1"]
    assert len(list(m.modules())) == 5 and len(list(m.children())) == 2 and len(list(m.buffers())) == 2


def test_shared_modules_and_parameters_appear_once():
    shared = nn.Linear(2, 2)
    m = nn.Sequential(shared, shared)
    assert len(list(m.parameters())) == 2 and len(list(m.children())) == 1
    assert len(list(m.named_parameters(remove_duplicate=False))) == 4
    assert len(list(m.modules())) == 2 and len(list(m.modules(remove_duplicate=False))) == 3
    assert list(m.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_lookup_by_dotted_name():
    m = Net()
    assert m.get_submodule("") is m and m.get_submodule("inner.0") is m.inner[0]
    assert m.get_parameter("inner.0.weight") is m.inner[0].weight
    assert m.get_buffer("steps") is m.steps
    m.set_submodule("inner.1", nn.Tanh())
    assert isinstance(m.inner[1], nn.Tanh)


def test_dir_and_iterators_are_lazy():
    m = nn.Sequential(nn.Linear(2, 2))
    assert "0" not in dir(m) and "weight" in dir(m[0]) and "forward" in dir(m)
    assert type(m.children()).__name__ == "generator"


# -- modes, gradients, conversion


def test_train_and_eval_reach_every_module():
    m = Net()
    assert m.eval() is m and not any(k.training for k in m.modules())
    assert m.train() is m and all(k.training for k in m.modules())


def test_apply_goes_from_the_leaves_up():
    seen = []
    m = Net()
    assert m.apply(lambda k: seen.append(type(k).__name__)) is m
    assert seen == ["Linear", "Linear", "ReLU", "Sequential", "Net"]


def test_requires_grad_and_zero_grad():
    m = nn.Linear(2, 2)
    m(nnlib.ones(1, 2)).sum().backward()
    grad = m.weight.grad
    m.zero_grad(set_to_none=False)
    assert m.weight.grad is grad and not grad.any()
    m.zero_grad()
    assert m.weight.grad is None
    m.requires_grad_(False)
    assert not m.weight.requires_grad


@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16"])
def test_dtype_conversion_keeps_parameters_and_integers(name):
    dtype = getattr(nnlib, name)
    m = nn.BatchNorm1d(2)
    weight = m.weight
    grad = m.weight.grad = nnlib.ones(2)
    convert = {"float64": m.double, "float16": m.half, "bfloat16": m.bfloat16}[name]
    assert convert() is m
    assert m.weight is weight and weight.dtype == dtype and weight.grad is grad and grad.dtype == dtype
    assert m.running_mean.dtype == dtype and m.num_batches_tracked.dtype == nnlib.int64
    assert m.to(nnlib.float32).weight.dtype == nnlib.float32
    assert m.to(nnlib.zeros(1, dtype=dtype)).weight.dtype == dtype
    assert m.to("cpu", dtype=nnlib.float32).float().weight.dtype == nnlib.float32
    assert m.type(nnlib.float64).num_batches_tracked.dtype == nnlib.float64


def test_to_memory_format():
    m = nn.Conv2d(2, 3, 3).to(memory_format=nnlib.channels_last)
    assert m.weight.is_contiguous(memory_format=nnlib.channels_last) and m.bias.is_contiguous()


# -- state


def test_state_dict_keys_metadata_and_sharing():
    m = Net()
    state = m.state_dict()
    assert isinstance(state, OrderedDict)
    assert list(state) == ["scale", "steps", "first.weight", "first.bias", "inner.0.weight", "inner.0.bias"]
    assert state._metadata["inner.0"] == {"version": 1}
    assert not state["scale"].requires_grad and m.state_dict(keep_vars=True)["scale"] is m.scale
    state["scale"].fill_(5)
    assert m.scale.item() == 5
    target = {}
    assert m.state_dict(destination=target, prefix="x.") is target and "x.scale" in target
    assert "y.scale" in m.state_dict({}, "y.")


def test_load_state_dict_lists_every_problem_at_once():
    m = Net()
    state = m.state_dict()
    state["first.weight"] = nnlib.zeros(9, 9)
    state["inner.0.bias"] = "text"
    state["alien.weight"] = state.pop("scale")
    state["stranger"] = nnlib.zeros(1)
    with pytest.raises(RuntimeError) as caught:
        m.load_state_dict(state)
    text = str(caught.value)
    for part in (
        "Error(s) in loading state_dict for Net:",
        'Missing key(s) in state_dict: "scale". ',
        'Unexpected key(s) in state_dict: "alien.weight", "stranger". ',
        "size mismatch for first.weight: copying a param with shape torch.Size([9, 9]) from checkpoint, "
        "the shape in current model is torch.Size([4, 3]).",
        'While copying the parameter named "inner.0.bias", expected torch.Tensor',
    ):
        assert part in text, part
    assert text.index("Missing") < text.index("Unexpected") < text.index("size mismatch")


def test_load_state_dict_not_strict_returns_the_keys():
    m = nn.Linear(2, 2)
    result = m.load_state_dict({"weight": nnlib.ones(2, 2), "extra": nnlib.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"] and result.unexpected_keys == ["extra"]
    assert result == (["bias"], ["extra"]) and m.weight.sum().item() == 4
    assert repr(m.load_state_dict(m.state_dict())) == "<All keys matched successfully>"


def test_load_state_dict_copies_or_assigns():
    m = nn.Linear(2, 1)
    weight, new = m.weight, nnlib.ones(1, 2, dtype=nnlib.float64)
    m.load_state_dict({"weight": new, "bias": nnlib.zeros(1)})
    assert m.weight is weight and m.weight.dtype == nnlib.float32 and m.weight.sum().item() == 2
    m.weight.requires_grad_(False)
    m.load_state_dict({"weight": new, "bias": nnlib.zeros(1)}, assign=True)
    assert m.weight is not weight and m.weight.dtype == nnlib.float64 and not m.weight.requires_grad
    assert isinstance(m.weight, nn.Parameter) and m.bias.requires_grad


def test_extra_state_and_versions():
    class Counter(nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    a, b = Counter(), Counter()
    a.count = 5
    b.load_state_dict(a.state_dict())
    assert b.count == 5 and a.state_dict()._metadata[""] == {"version": 2}
    with pytest.raises(RuntimeError, match="_extra_state"):
        b.load_state_dict({})


def test_batch_norm_takes_states_from_before_the_counter():
    m = nn.BatchNorm1d(2)
    state = m.state_dict()
    del state["num_batches_tracked"]
    del state._metadata
    m.load_state_dict(state)
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        new = m.state_dict()
        del new["num_batches_tracked"]
        m.load_state_dict(new)


def test_state_dict_hooks():
    calls = []
    m = nn.Linear(1, 1)
    m.register_state_dict_pre_hook(lambda module, prefix, keep_vars: calls.append(("pre", prefix, keep_vars)))
    m.register_state_dict_post_hook(
        lambda module, state, prefix, metadata: state.pop(prefix + "bias") and None
    )
    m.register_load_state_dict_pre_hook(
        lambda module, state, prefix, *_: state.update({prefix + "bias": m.bias})
    )
    m.register_load_state_dict_post_hook(lambda module, keys: keys.unexpected_keys.clear())
    state = nn.Sequential(m).state_dict()
    assert calls == [("pre", "0.", False)] and list(state) == ["0.weight"]
    state["0.more"] = nnlib.zeros(1)
    assert nn.Sequential(m).load_state_dict(state) == ([], [])


# -- hooks


def test_forward_hooks_order_results_and_removal():
    m, seen = Net(), []
    first = m.register_forward_pre_hook(lambda module, args: seen.append("second"))
    m.register_forward_pre_hook(lambda module, args: seen.append("first"), prepend=True)
    m.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "bonus": 1.0}), with_kwargs=True
    )
    m.register_forward_hook(lambda module, args, output: output * 0)
    m.register_forward_hook(lambda module, args, kwargs, output: output + kwargs["bonus"], with_kwargs=True)
    assert m(nnlib.ones(2, 3)).unique().tolist() == [1.0] and seen == ["first", "second"]
    first.remove()
    first.remove()
    seen.clear()
    m(nnlib.ones(2, 3))
    assert seen == ["first"]
    with m.register_forward_hook(lambda *_: seen.append("with")):
        m(nnlib.ones(2, 3))
    m(nnlib.ones(2, 3))
    assert seen.count("with") == 1


def test_pre_hook_result_replaces_args():
    m = nn.Identity()
    m.register_forward_pre_hook(lambda module, args: args[0] + 1)
    assert m(nnlib.zeros(1)).item() == 1
    m.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="must return None or a tuple"):
        m(nnlib.zeros(1))


def test_always_called_hooks_run_after_an_error():
    seen = []

    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    m = Broken()
    m.register_forward_hook(lambda *args: seen.append("not this"))
    m.register_forward_hook(lambda module, args, output: seen.append(output), always_call=True)
    with pytest.raises(ValueError, match="broken"):
        m(1)
    assert seen == [None]

    def bad(module, args, output):
        raise KeyError("silenced")

    m.register_forward_hook(bad, always_call=True)
    with pytest.raises(ValueError, match="broken"), pytest.warns(UserWarning, match="silenced"):
        m(1)


def test_full_backward_hooks_see_and_change_gradients():
    m, seen = nn.Linear(2, 3, bias=False), {}
    m.weight.data.fill_(1)

    def pre(module, grad_output):
        seen["pre"] = grad_output[0].clone()
        return (grad_output[0] * 2,)

    def hook(module, grad_input, grad_output):
        seen["in"], seen["out"] = grad_input[0].clone(), grad_output[0].clone()
        return (grad_input[0] * 10,)

    m.register_full_backward_pre_hook(pre)
    m.register_full_backward_hook(hook)
    x = nnlib.ones(1, 2, requires_grad=True)
    m(x).sum().backward()
    assert seen["pre"].tolist() == [[1, 1, 1]] and seen["out"].tolist() == [[2, 2, 2]]
    assert seen["in"].tolist() == [[6, 6]] and x.grad.tolist() == [[60, 60]]
    assert m.weight.grad.tolist() == [[2, 2]] * 3


def test_full_backward_hook_places_and_missing_gradients():
    class Pair(nn.Module):
        def forward(self, a, b, c):
            return a * 2, b * 3

    m, seen = Pair(), []
    m.register_full_backward_hook(lambda module, gi, go: seen.append((gi, go)))
    a = nnlib.ones(2, requires_grad=True)
    out = m(a, nnlib.ones(2), "text")
    out[0].sum().backward()
    grad_in, grad_out = seen[0]
    assert [g is None for g in grad_in] == [False, True, True]
    assert grad_in[0].tolist() == [2, 2] and grad_out[0].tolist() == [1, 1] and grad_out[1] is None


def test_full_backward_hook_without_grad_input():
    m, seen = nn.Linear(2, 1), []
    m.register_full_backward_hook(lambda module, gi, go: seen.append((gi, go[0].tolist())))
    out = m(nnlib.ones(1, 2))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        out.sum().backward()
    assert seen == [((None,), [[1.0]])] and m.weight.grad is not None


def test_backward_hook_with_a_wrong_count():
    m = nn.Linear(1, 1)
    m.register_full_backward_hook(lambda module, gi, go: (gi[0], gi[0]))
    with pytest.raises(RuntimeError, match="invalid number of grad_input, got 2, but expected 1"):
        m(nnlib.ones(1, 1, requires_grad=True)).sum().backward()


def test_regular_and_full_backward_hooks_exclude_each_other():
    m = nn.Linear(1, 1)
    m.register_full_backward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="Cannot use both"):
        m.register_backward_hook(lambda *_: None)


def test_older_backward_hook():
    m, seen = nn.ReLU(), []
    m.register_backward_hook(lambda module, gi, go: seen.append((type(module).__name__, go[0].tolist())))
    m(nnlib.ones(2, requires_grad=True)).sum().backward()
    assert seen == [("ReLU", [1.0, 1.0])]


def test_global_hooks():
    seen = []
    handles = [
        module_file.register_module_forward_pre_hook(lambda m, args: seen.append("pre")),
        module_file.register_module_forward_hook(lambda m, args, out: seen.append("post")),
        module_file.register_module_full_backward_hook(lambda m, gi, go: seen.append("backward")),
        module_file.register_module_parameter_registration_hook(lambda m, n, p: seen.append(n)),
        module_file.register_module_module_registration_hook(lambda m, n, p: seen.append(n)),
        module_file.register_module_buffer_registration_hook(lambda m, n, p: seen.append(n)),
    ]
    try:
        m = nn.Identity()
        m(nnlib.ones(1, requires_grad=True)).backward()
        m.p, m.child = nn.Parameter(nnlib.zeros(1)), nn.ReLU()
        m.register_buffer("b", None)
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["pre", "post", "backward", "p", "child", "b"]
    nn.Identity()(nnlib.ones(1))
    assert len(seen) == 6


def test_hook_does_not_keep_its_module_alive():
    m = nn.Linear(1, 1)
    handle = m.register_forward_hook(lambda *_: None)
    ref = weakref.ref(m)
    del m
    gc.collect()
    assert ref() is None
    handle.remove()


# -- looks, copies, pickles


def test_repr_is_nested():
    class Extra(nn.Module):
        def extra_repr(self):
            return "a=1\nb=2"

    assert repr(nn.Module()) == "Module()"
    assert repr(Extra()) == "Extra(\n  a=1\n  b=2\n)"
    assert repr(nn.Sequential(nn.Conv2d(3, 64, 3), nn.Sequential(nn.ReLU()))) == (
        "Sequential(\n"
        "  (0): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1))\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        ")"
    )


def test_deepcopy_and_pickle_keep_values_and_sharing():
    m = Net()
    m.alias = m.first
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert other.first is other.alias and other.first is not m.first
        assert isinstance(other.scale, nn.Parameter) and other.scale.requires_grad
        for (name, a), (_, b) in zip(m.state_dict().items(), other.state_dict().items(), strict=True):
            assert a.tolist() == b.tolist() and a.data_ptr() != b.data_ptr(), name
        x = nnlib.ones(1, 3)
        assert nnlib.equal(m(x), other(x))
    shallow = copy.copy(m)
    assert shallow.scale is m.scale


def test_parameter_and_buffer_objects():
    data = nnlib.zeros(2)
    p = nn.Parameter(data)
    assert p.data_ptr() == data.data_ptr() and p.requires_grad and p.is_leaf
    assert repr(p) == "Parameter containing:\ntensor([0., 0.], requires_grad=True)"
    assert not isinstance(p * 2, nn.Parameter) and isinstance(copy.deepcopy(p), nn.Parameter)
    with nnlib.no_grad():
        assert nn.Parameter(nnlib.zeros(1)).requires_grad
    with pytest.raises(TypeError, match="should be a Tensor"):
        nn.Parameter([1.0])
    b = nn.Buffer(nnlib.zeros(2))
    assert isinstance(b, nn.Buffer) and not isinstance(nnlib.zeros(1), nn.Buffer) and b.persistent


# -- lazy modules


def test_lazy_module_takes_shape_from_its_input_or_a_state():
    lazy = nn.LazyLinear(3)
    assert repr(lazy.weight) == "<UninitializedParameter>" and lazy.has_uninitialized_params()
    with pytest.raises(RuntimeError, match="Can't access the shape"):
        _ = lazy.weight.shape
    with pytest.raises(ValueError, match="before it has a shape"):
        _ = lazy.weight + 1
    assert lazy(nnlib.ones(2, 5)).shape == (2, 3)
    assert type(lazy) is nn.Linear and type(lazy.weight) is nn.Parameter and lazy.in_features == 5
    assert not lazy._forward_pre_hooks
    loaded = nn.LazyLinear(3)
    loaded.load_state_dict(lazy.state_dict())
    assert nnlib.equal(loaded(nnlib.ones(1, 5)), lazy(nnlib.ones(1, 5)))
    batch = nn.LazyBatchNorm1d()
    assert batch(nnlib.rand(4, 6)).shape == (4, 6) and batch.running_mean.shape == (6,)
    assert type(batch) is nn.BatchNorm1d


def test_lazy_module_says_what_is_missing():
    class Partial(nn.modules.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            pass

        def forward(self, x):
            return x

    with pytest.raises(RuntimeError, match="has not been fully initialized"):
        Partial()(1)


def test_no_warnings_from_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = Net()
        m(nnlib.ones(2, 3)).sum().backward()
        m.load_state_dict(m.state_dict())
