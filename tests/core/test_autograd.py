"""The backward engine: accumulation, hooks, views and in-place changes, switches, custom functions."""

import threading

import pytest

import nnlib
import nnlib.nn.functional as F


def leaf(*values):
    return nnlib.tensor(values, requires_grad=True)


def test_gradients_accumulate():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]


def test_shared_nodes_are_summed_once():
    x = leaf(2.0)
    y = x * x
    z = y * y + y
    z.sum().backward()
    assert x.grad.item() == pytest.approx(4 * 8 + 2 * 2)


def test_broadcast_gradients_have_the_input_sizes():
    a, b = nnlib.ones(3, 1, requires_grad=True), nnlib.ones(4, requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.tolist() == [[4.0]] * 3 and b.grad.tolist() == [3.0] * 4


def test_graph_is_freed_unless_kept():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    assert x.grad.item() == 12.0


def test_grad_leaves_the_leaves_alone():
    x, unused = leaf(3.0), leaf(1.0)
    (g,) = nnlib.autograd.grad((x * x).sum(), x)
    assert g.item() == 6.0 and x.grad is None
    with pytest.raises(RuntimeError, match="not have been used"):
        nnlib.autograd.grad((x * x).sum(), [x, unused])
    assert nnlib.autograd.grad((x * x).sum(), [x, unused], allow_unused=True)[1] is None
    assert nnlib.autograd.grad((x * x).sum(), [x, unused], materialize_grads=True)[1].item() == 0.0


def test_grad_of_an_intermediate():
    x = leaf(3.0)
    y = x * 2
    z = (y * y).sum()
    gy, gx = nnlib.autograd.grad(z, [y, x])
    assert gy.item() == 12.0 and gx.item() == 24.0


def test_backward_into_chosen_inputs():
    x, w = leaf(3.0), leaf(4.0)
    (x * w).sum().backward(inputs=[w])
    assert x.grad is None and w.grad.item() == 3.0


def test_second_derivative():
    x = leaf(2.0)
    (g,) = nnlib.autograd.grad((x * x * x).sum(), x, create_graph=True)
    (h,) = nnlib.autograd.grad(g.sum(), x)
    assert g.item() == 12.0 and h.item() == 12.0


def test_errors_of_backward():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        nnlib.ones(1).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * 2).backward(nnlib.ones(3))
    with pytest.raises(RuntimeError, match="floating point"):
        nnlib.tensor([1]).requires_grad_()
    with pytest.raises(RuntimeError, match="different size"):
        x.grad = nnlib.ones(3)
    with pytest.raises(TypeError):
        x.grad = 1.0


# ---- hooks


def test_hooks_change_gradients_and_can_be_removed():
    x = leaf(1.0)
    y = x * 2
    handle = y.register_hook(lambda g: g * 10)
    seen = []
    x.register_hook(lambda g: seen.append(g.item()))
    y.sum().backward()
    handle.remove()
    (x * 2).sum().backward()
    assert seen == [20.0, 2.0] and x.grad.item() == 22.0


def test_post_accumulate_hook_sees_the_sum():
    x = leaf(1.0)
    seen = []
    x.register_post_accumulate_grad_hook(lambda p: seen.append((p is x, p.grad.item())))
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert seen == [(True, 2.0), (True, 5.0)]


def test_post_accumulate_hook_returns_nothing():
    x = leaf(1.0)
    x.register_post_accumulate_grad_hook(lambda p: p.grad * 2)
    with pytest.raises(RuntimeError, match="should return None"):
        (x * 2).sum().backward()


def test_retain_grad_and_node_hooks():
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    order = []
    y.grad_fn.register_hook(lambda gi, go: order.append("post"))
    y.grad_fn.register_prehook(lambda go: order.append("pre"))
    (y * y).sum().backward()
    assert y.grad.item() == 4.0 and order == ["pre", "post"]


def test_an_error_in_a_hook_reaches_the_caller():
    x = leaf(1.0)
    x.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (x * 2).sum().backward()


# ---- views and in-place changes


def test_in_place_on_a_view_changes_the_bases_history():
    x = leaf(1.0, 2.0, 3.0)
    base = x * 1
    view = base[1:]
    view.mul_(10)
    base.sum().backward()
    assert base.tolist() == [1.0, 20.0, 30.0] and x.grad.tolist() == [1.0, 10.0, 10.0]


def test_view_follows_its_base():
    x = leaf(1.0, 2.0)
    base = x * 1
    view = base[:1]
    base.mul_(3)
    view.sum().backward()
    assert x.grad.tolist() == [3.0, 0.0]


def test_writing_a_gradient_into_a_plain_tensor():
    w = leaf(2.0, 3.0)
    x = nnlib.zeros(2, 2)
    x[0] = w * w
    assert x.requires_grad
    x.sum().backward()
    assert w.grad.tolist() == [4.0, 6.0]


def test_in_place_of_a_saved_tensor_is_noticed():
    x = leaf(1.0)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_in_place_that_needs_the_old_value_works():
    x, w = leaf(3.0), leaf(4.0)
    y = x * 1
    y.mul_(w)
    y.sum().backward()
    assert x.grad.item() == 4.0 and w.grad.item() == 3.0


def test_in_place_on_leaves_is_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="view of a leaf"):
        x[0].add_(1)
    with pytest.raises(RuntimeError, match="single memory location"):
        nnlib.zeros(1).expand(3).add_(1)
    with nnlib.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 3.0]


def test_views_made_without_gradients():
    p = leaf(1.0, 2.0)
    with nnlib.no_grad():
        view = p.view(-1)
    assert view.requires_grad
    with nnlib.no_grad():
        p.add_(1)
        assert view.sum().item() == 5.0
    for _ in range(2):
        with pytest.raises(RuntimeError, match="created in no_grad mode"):
            view * 2


def test_several_views_of_one_call_cannot_be_changed_in_place():
    parts = (leaf(1.0, 2.0) * 2).unbind(0)
    with pytest.raises(RuntimeError, match="Output 1 of UnbindBackward0 is a view"):
        parts[1].add_(1)


def test_versions_count_through_views():
    x = nnlib.zeros(4)
    view = x[:2]
    before = x._version
    view.add_(1)
    assert x._version == before + 1 == view._version
    x.data.add_(1)
    assert x._version == before + 1


# ---- switches


def test_no_grad_as_context_and_decorator():
    x = leaf(1.0)

    @nnlib.no_grad()
    def double(v):
        return v * 2

    @nnlib.no_grad
    def triple(v):
        return v * 3

    assert not double(x).requires_grad and not triple(x).requires_grad
    with nnlib.no_grad():
        with nnlib.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_switches_are_per_thread():
    seen = []
    with nnlib.no_grad():
        thread = threading.Thread(target=lambda: seen.append(nnlib.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_inference_mode():
    x = leaf(1.0)
    with nnlib.inference_mode():
        y = x * 2
        assert y.is_inference()
    with pytest.raises(RuntimeError, match="[Ii]nference"):
        y.add_(1)
    with pytest.raises(RuntimeError, match="saved for backward"):
        (leaf(1.0) * y).sum()


def test_anomaly_mode_names_the_failing_step():
    x = leaf(0.0)
    with nnlib.autograd.set_detect_anomaly(True):
        y = (x / x).sum()
        with (
            pytest.warns(UserWarning, match="Error detected in DivBackward0"),
            pytest.raises(RuntimeError, match="nan"),
        ):
            y.backward()


# ---- custom functions


class Scale(nnlib.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        assert x.shape == grad.shape
        return grad * ctx.factor, None


def test_custom_function():
    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 3.0)
    assert repr(y) == "tensor([3., 6.], grad_fn=<ScaleBackward>)"
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert nnlib.autograd.gradcheck(
        lambda x: Scale.apply(x, 2.0), nnlib.ones(2, dtype=nnlib.float64, requires_grad=True)
    )


def test_custom_function_with_several_outputs_and_setup_context():
    class SumDiff(nnlib.autograd.Function):
        @staticmethod
        def forward(a, b):
            return a + b, a - b

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx, gs, gd):
            assert gd is None
            return gs, gs

    a, b = leaf(1.0), leaf(2.0)
    s, _ = SumDiff.apply(a, b)
    s.sum().backward()
    assert a.grad.item() == 1.0 and b.grad.item() == 1.0


def test_custom_function_in_place():
    class Double(nnlib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    x = leaf(1.0)
    y = x * 1
    z = Double.apply(y)
    assert z is y
    z.sum().backward()
    assert x.grad.item() == 2.0


def test_custom_function_errors():
    class Wrong(nnlib.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, grad):
            return grad

    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        Wrong.apply(leaf(1.0), leaf(1.0)).sum().backward()
    with pytest.raises(RuntimeError, match="should not be instantiated"):
        Wrong()


def test_saved_tensor_hooks():
    x = leaf(2.0)
    stored = {}

    def pack(t):
        stored[len(stored)] = t.clone()
        return len(stored) - 1

    with nnlib.autograd.graph.saved_tensors_hooks(pack, lambda key: stored[key]):
        y = x * x
    y.sum().backward()
    assert len(stored) == 2 and x.grad.item() == 4.0
    with pytest.raises(RuntimeError, match="no hooks of saved tensors"):
        nnlib.autograd.graph.saved_tensors_hooks(pack, pack).__exit__()


def test_backward_inside_backward():
    class Checkpoint(nnlib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.detach() ** 2

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            with nnlib.enable_grad():
                inner = x.detach().requires_grad_()
                (inner**2).backward(grad)
            return inner.grad

    x = leaf(3.0)
    Checkpoint.apply(x).sum().backward()
    assert x.grad.item() == 6.0


def test_a_long_chain_does_not_exhaust_the_stack():
    x = leaf(1.0)
    y = x
    for _ in range(50_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1.0
    del y


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(nnlib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 3

    x = nnlib.ones(2, dtype=nnlib.float64, requires_grad=True)
    with pytest.raises(nnlib.autograd.GradcheckError):
        nnlib.autograd.gradcheck(Wrong.apply, x)
    assert not nnlib.autograd.gradcheck(Wrong.apply, x, raise_exception=False)


def test_jacobian_and_hessian():
    x = nnlib.tensor([1.0, 2.0])
    assert nnlib.autograd.functional.jacobian(lambda x: x * x, x).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert nnlib.autograd.functional.hessian(lambda x: (x * x * x).sum(), x).tolist() == [
        [6.0, 0.0],
        [0.0, 12.0],
    ]


def test_a_node_is_of_the_class_of_its_operator():
    x = nnlib.ones(2, requires_grad=True)
    times, other = (x * x).grad_fn, (x * 2).grad_fn
    assert type(times).__name__ == "MulBackward0" and type(times) is type(other)
    assert isinstance(times, nnlib.autograd.graph.Node) and type(times) is not type(x.exp().grad_fn)
    leaf = times.next_functions[0][0]
    assert type(leaf).__name__ == "AccumulateGrad" and leaf.variable is x
    assert not hasattr(times, "__dict__")


STRAIGHT_PIECES = {
    "relu": F.relu,
    "relu in place": lambda x: F.relu_(x * 1.0),
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "hardtanh": F.hardtanh,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "threshold": lambda x: F.threshold(x, 0.1, 2.0),
    "prelu": lambda x: F.prelu(x, nnlib.tensor([0.3], dtype=x.dtype)),
    "avg_pool": lambda x: F.avg_pool2d(x, 2),
    "max_pool": lambda x: F.max_pool2d(x, 3, 1),
    "max_pool of 2 x 2": lambda x: F.max_pool2d(x, 2),
    "adaptive_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 3),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, 3),
    "reflect": lambda x: F.pad(x, (1, 1, 1, 1), "reflect"),
    "replicate": lambda x: F.pad(x, (1, 1, 1, 1), "replicate"),
}


@pytest.mark.parametrize("name", STRAIGHT_PIECES)
@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.float64])
def test_second_derivatives_of_straight_pieces_are_zeros(name, dtype):
    nnlib.manual_seed(0)
    x = nnlib.randn(2, 3, 6, 4, dtype=dtype, requires_grad=True)
    y = STRAIGHT_PIECES[name](x)
    weights = nnlib.randn(y.shape, dtype=dtype, requires_grad=True)
    (slope,) = nnlib.autograd.grad((y * weights).sum(), x, create_graph=True)
    (plain,) = nnlib.autograd.grad((STRAIGHT_PIECES[name](x) * weights).sum(), x)
    assert nnlib.equal(slope, plain)
    curvature, of_weights = nnlib.autograd.grad((slope * slope).sum(), [x, weights])
    assert curvature.dtype == dtype and curvature.shape == x.shape and not curvature.any()
    assert of_weights.any()


def test_a_penalty_on_gradients_of_a_net_with_relu_reaches_its_biases():
    net = nnlib.nn.Sequential(nnlib.nn.Linear(2, 8), nnlib.nn.ReLU(), nnlib.nn.Linear(8, 1))
    first = [*net.parameters()]
    slopes = nnlib.autograd.grad(net(nnlib.ones(4, 2)).pow(2).mean(), first, create_graph=True)
    second = nnlib.autograd.grad(sum((s * s).sum() for s in slopes), first)
    assert [s.shape for s in second] == [p.shape for p in first]


def test_recorded_gradients_are_those_of_an_ordinary_pass():
    """With create_graph=True too nothing comes through where the slope is 0 or nothing counts."""
    F = nnlib.nn.functional
    mask = nnlib.tensor([[True, False], [False, False]])
    cases = [
        lambda x: (F.relu(x) ** 0.5).sum(),  # an infinity from above, times 0
        lambda x: (F.hardtanh(x, 0, 2) ** 0.5).sum(),
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=mask).sum(),
        lambda x: F.cross_entropy(x, nnlib.tensor([1, 1]), ignore_index=1),
        lambda x: F.nll_loss(x, nnlib.tensor([1, 1]), ignore_index=1),
    ]
    for case in cases:
        x = nnlib.tensor([[0.0, 1.0], [-1.0, 4.0]], dtype=nnlib.float64, requires_grad=True)
        (plain,) = nnlib.autograd.grad(case(x), x)
        (recorded,) = nnlib.autograd.grad(case(x), x, create_graph=True)
        assert nnlib.allclose(recorded, plain) and recorded.isfinite().all()


def test_second_gradients_of_logcumsumexp():
    x = nnlib.tensor([2.7, 1.9, 1.4, 0.2], dtype=nnlib.float64, requires_grad=True)
    weights = nnlib.tensor([1.0, -0.5, 0.25, -2.0], dtype=nnlib.float64)
    assert nnlib.autograd.gradgradcheck(lambda t: nnlib.logcumsumexp(t, 0) * weights, (x,))
    (first,) = nnlib.autograd.grad(nnlib.logcumsumexp(x, 0), x, nnlib.ones_like(x), create_graph=True)
    # A gradient of ones is shared out among the places: its sum stays.
    (second,) = nnlib.autograd.grad(first.sum(), x)
    assert second.abs().max() < 1e-12


@pytest.mark.parametrize(
    "call",
    [
        lambda y, x: nnlib.autograd.backward(y, ["x"]),
        lambda y, x: nnlib.autograd.backward([1]),
        lambda y, x: nnlib.autograd.backward(y, inputs=["x"]),
        lambda y, x: nnlib.autograd.grad(y, "x"),
        lambda y, x: nnlib.autograd.grad(y, [None]),
        lambda y, x: nnlib.autograd.grad([None], [x]),
    ],
)
def test_what_is_no_tensor_is_refused(call):
    x = leaf(1.0)
    with pytest.raises(TypeError, match="Tensors only"):
        call(x * x, x)


@pytest.mark.parametrize("mark", ["mark_dirty", "mark_non_differentiable"])
def test_only_tensors_are_marked(mark):
    class Marks(nnlib.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            getattr(ctx, mark)(None)
            return x * 2

    with pytest.raises(TypeError, match=f"{mark} can only take variables"):
        Marks.apply(leaf(1.0))


@pytest.mark.parametrize("other", [lambda t: t[:1], lambda t: t.double(), lambda t: t.to_sparse()])
def test_what_was_saved_keeps_its_geometry(other):
    x, w = nnlib.rand(2, 4, 9, 9), nnlib.rand(4, 1, 3, 3)
    with nnlib.autograd.graph.saved_tensors_hooks(lambda t: t, other):
        y = F.conv2d(x, w.requires_grad_(), groups=4)
    with pytest.raises(RuntimeError, match="gradient computation has"):
        y.sum().backward()
    y = F.conv2d(x.requires_grad_(), w, groups=4)
    kept = w.data
    w.data = other(kept)
    with pytest.raises(RuntimeError, match="gradient computation has"):
        y.sum().backward()
    y = F.conv2d(x, kept.requires_grad_(), groups=4)
    kept.data = kept.data.clone()  # other values of the same geometry are the caller's decision
    y.sum().backward()
