"""Products with Jacobians and Hessians, edges of the graph, and hooks around it."""

import pytest

import nnlib
from nnlib.autograd import functional, graph

F64 = nnlib.float64


def vectors():
    nnlib.manual_seed(0)
    return [nnlib.rand(3, dtype=F64) for _ in range(4)]


def two(x, y):
    return x.exp() * y, (x * y * y).sum()


def one(x, y):
    return (x.exp() * y * y).sum()


def test_jvp_is_the_jacobian_times_v():
    x, y, v, w = vectors()
    outputs, products = functional.jvp(two, (x, y), (v, w))
    jacobian = functional.jacobian(two, (x, y))
    for out, product, row, value in zip(outputs, products, jacobian, two(x, y), strict=True):
        assert out.equal(value) and not product.requires_grad
        nnlib.testing.assert_close(product, row[0] @ v + row[1] @ w)


@pytest.mark.parametrize("product", [functional.hvp, functional.vhp])
def test_products_with_the_hessian(product):
    x, y, v, w = vectors()
    value, products = product(one, (x, y), (v, w))
    assert value.equal(one(x, y))
    hessian = functional.hessian(one, (x, y))
    for part, row in zip(products, hessian, strict=True):
        nnlib.testing.assert_close(part, row[0] @ v + row[1] @ w)


def test_results_may_be_differentiated():
    x, _, v, _ = vectors()
    for product, exact in (
        (lambda z: functional.jvp(lambda t: t**3, z, v, create_graph=True)[1], lambda z: 3 * z**2 * v),
        (
            lambda z: functional.hvp(lambda t: (t**4).sum(), z, v, create_graph=True)[1],
            lambda z: 12 * z**2 * v,
        ),
        (
            lambda z: functional.vhp(lambda t: (t**4).sum(), z, v, create_graph=True)[1],
            lambda z: 12 * z**2 * v,
        ),
    ):
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        ga, gb = nnlib.autograd.grad(product(a).sum(), a)[0], nnlib.autograd.grad(exact(b).sum(), b)[0]
        nnlib.testing.assert_close(ga, gb)


def test_what_has_no_influence_gives_zeros_or_an_error():
    x, y, v, w = vectors()
    assert functional.jvp(lambda a: nnlib.ones(2), x, v)[1].tolist() == [0, 0]
    assert functional.hvp(lambda a: (2 * a).sum(), x, v)[1].tolist() == [0, 0, 0]
    first = lambda a, b: (a**2).sum()  # noqa: E731
    assert functional.vhp(first, (x, y), (v, w))[1][1].tolist() == [0, 0, 0]
    for call in (
        lambda: functional.jvp(lambda a: nnlib.ones(2), x, v, strict=True),
        lambda: functional.jvp(first, (x, y), (v, w), strict=True),
        lambda: functional.hvp(lambda a: (2 * a).sum(), x, v, strict=True),
        lambda: functional.vhp(first, (x, y), (v, w), strict=True),
    ):
        with pytest.raises(RuntimeError, match="strict mode"):
            call()


def test_vectors_that_do_not_fit():
    x, _, v, _ = vectors()
    for inputs, vector, error, message in (
        (x, None, RuntimeError, "can only be None"),
        (x, v[:2], RuntimeError, "invalid size"),
        (x, (v, v), RuntimeError, "single Tensor"),
        ([x], v, TypeError, "tuple of Tensors"),
    ):
        with pytest.raises(error, match=message):
            functional.jvp(lambda a: a * 2, inputs, vector)
    with pytest.raises(RuntimeError, match="single element"):
        functional.hvp(lambda a: a * 2, x, v)
    with pytest.raises(RuntimeError, match="return a single Tensor"):
        functional.vhp(lambda a: (a.sum(), a.sum()), x, v)
    assert functional.jvp(lambda a: a**2, nnlib.tensor(3.0))[1] == 6


def test_edges_stand_for_tensors():
    x = nnlib.ones(4, requires_grad=True)
    edge = graph.get_gradient_edge(x)
    assert edge.node is graph.get_gradient_edge(x).node and edge.output_nr == 0
    parts = x.unbind()
    assert graph.get_gradient_edge(parts[2]).output_nr == 2
    y = x * 2
    (g,) = nnlib.autograd.grad((y * 3).sum(), graph.get_gradient_edge(y), retain_graph=True)
    assert g.tolist() == [3] * 4
    (y * 3).sum().backward(inputs=[edge])
    assert x.grad.tolist() == [6] * 4
    edge = graph.get_gradient_edge(y)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        nnlib.autograd.grad(y.sum(), edge)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        graph.get_gradient_edge(nnlib.ones(2))


def test_a_hook_for_several_gradients():
    seen = []
    a, b = nnlib.ones(2, requires_grad=True), nnlib.ones(2, requires_grad=True)
    c, d = a * b, a + b
    hook = graph.register_multi_grad_hook(
        (a, b, c, d), lambda grads: seen.append([g is not None for g in grads])
    )
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    assert seen == [[True, True, True, False], [True, False, True, False]]
    hook.remove()
    c.sum().backward()
    assert len(seen) == 2


def test_a_hook_for_the_first_gradient():
    seen = []
    a, b = nnlib.ones(2, requires_grad=True), nnlib.ones(2, requires_grad=True)
    with graph.register_multi_grad_hook((a, b, nnlib.ones(1)), lambda g: seen.append(g.tolist()), mode="any"):
        (a * 3 + b * 3).sum().backward()
        (b * 2).sum().backward()
    assert seen == [[3, 3], [2, 2]]
    with pytest.raises(ValueError, match="mode"):
        graph.register_multi_grad_hook((a,), print, mode="some")


def test_a_pass_that_fails_leaves_the_hook_ready():
    seen, failing = [], [True]
    a, b = nnlib.ones(2, requires_grad=True), nnlib.ones(2, requires_grad=True)
    graph.register_multi_grad_hook((a, b), lambda grads: seen.append(grads))
    for t in (a, b):  # whichever comes first, the hook has seen its gradient when this one fails
        t.register_hook(lambda g: 1 / 0 if failing else None)
    with pytest.raises(ZeroDivisionError):
        (a * b).sum().backward()
    failing.clear()
    (a * 2).sum().backward()
    assert len(seen) == 1 and seen[0][0].tolist() == [2, 2] and seen[0][1] is None


def test_saved_tensors_may_change_in_the_region():
    with graph.allow_mutation_on_saved_tensors():
        x = nnlib.ones(2, requires_grad=True)
        y = x.clone()
        z = (y**2).sum()
        y.sin_()
        z.backward()
        with pytest.raises(RuntimeError, match="nested"), graph.allow_mutation_on_saved_tensors():
            pass
    assert x.grad.tolist() == [2, 2]


def test_hooks_can_be_refused():
    with graph.disable_saved_tensors_hooks("none here"):
        with pytest.raises(RuntimeError, match="none here"), graph.save_on_cpu():
            pass
        with graph.disable_saved_tensors_hooks("inner"):
            pass
        with pytest.raises(RuntimeError, match="none here"), graph.save_on_cpu():
            pass
    with graph.save_on_cpu():
        assert nnlib.ones(2, requires_grad=True).exp().sum() > 0


def test_versions_can_be_counted_up():
    x = nnlib.ones(2, requires_grad=True)
    y = x * 1
    z = (y * y).sum()
    graph.increment_version(y)
    assert y._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    graph.increment_version([y, y])
    assert y._version == 3


def test_the_old_name_of_functions():
    class Double(nnlib.autograd.function.InplaceFunction):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    x = nnlib.ones(2, requires_grad=True)
    Double.apply(x.clone()).sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_saved_tensors_of_a_context_whose_node_is_gone():
    class Kept(nnlib.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            result = x * y
            ctx.save_for_backward(y, result)
            return result

        @staticmethod
        def backward(ctx, grad):
            return grad, grad

    x, y = nnlib.ones(2, requires_grad=True), nnlib.ones(2, requires_grad=True) * 1
    context = Kept.apply(x, y).grad_fn  # its node goes with the result
    first, second = context.saved_tensors
    assert first.tolist() == [1, 1] and second.tolist() == [1, 1]
    y.add_(1)
    with pytest.raises(RuntimeError, match="an input of a step of the graph that is gone, is at version 1"):
        context.saved_tensors  # noqa: B018
