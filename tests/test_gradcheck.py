"""The checks of gradients find what is wrong, whole and projected."""

import pytest

import nnlib
from nnlib.autograd import Function, GradcheckError, gradcheck, gradgradcheck

MODES = pytest.mark.parametrize("fast", [False, True], ids=["whole", "projected"])


class Cube(Function):
    """x ** 3, with a factor on the first and on the second derivative."""

    @staticmethod
    def forward(ctx, x, first, second):
        ctx.save_for_backward(x)
        ctx.factors = first, second
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        first, second = ctx.factors
        # The value with `first`, the derivative of it with `second`.
        square = (x * x).detach() + second * (x * x - (x * x).detach())
        return 3 * first * square * g, None, None


def values(*shape):
    return (nnlib.rand(*shape, dtype=nnlib.float64) + 0.5).requires_grad_()


@MODES
def test_right_gradients_pass_and_leave_the_inputs(fast):
    x, y = values(3, 4), values(4)
    before = x.detach().clone()

    def f(x, y):
        return x * y, (x @ y).sin(), x.sum()

    assert gradcheck(f, (x, y), fast_mode=fast)
    assert gradgradcheck(f, (x, y), fast_mode=fast)
    assert x.equal(before) and x.grad is None


@MODES
def test_a_wrong_gradient_is_found(fast):
    x = values(2, 3)
    assert gradcheck(lambda x: Cube.apply(x, 1.0, 1.0), x, fast_mode=fast)
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"):
        gradcheck(lambda x: Cube.apply(x, 1.01, 1.0), x, fast_mode=fast)
    assert not gradcheck(lambda x: Cube.apply(x, 1.01, 1.0), x, fast_mode=fast, raise_exception=False)


@MODES
def test_a_wrong_second_derivative_is_found(fast):
    x = values(2, 3)
    assert gradgradcheck(lambda x: Cube.apply(x, 1.0, 1.0), x, fast_mode=fast)
    assert gradcheck(lambda x: Cube.apply(x, 1.0, 1.1), x, fast_mode=fast)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(lambda x: Cube.apply(x, 1.0, 1.1), x, fast_mode=fast)


@MODES
def test_gradients_that_change_between_passes_are_found(fast):
    class Moody(Function):
        calls = 0

        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            Moody.calls += 1
            return g * (1 + 1e-3 * Moody.calls)

    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Moody.apply, values(3), fast_mode=fast)


@MODES
def test_an_error_leaves_the_inputs(fast):
    x, calls = values(3), []
    before = x.detach().clone()

    def f(x):
        calls.append(x)
        if len(calls) == 2:  # the first with a changed input
            raise ArithmeticError
        return x * 2

    with pytest.raises(ArithmeticError):
        gradcheck(f, x, fast_mode=fast)
    assert x.equal(before)


@MODES
def test_the_input_of_the_second_output_is_named(fast):
    def f(x, y):
        return x * 2, Cube.apply(y, 1.1, 1.0)

    with pytest.raises(GradcheckError, match="output 1 with respect to input 1"):
        gradcheck(f, (values(3), values(3)), fast_mode=fast)


@MODES
@pytest.mark.parametrize("shape", [(), (0,), (2, 0)], ids=str)
def test_one_number_and_none(fast, shape):
    x = nnlib.ones(shape, dtype=nnlib.float64).requires_grad_()
    assert gradcheck(lambda x: (x * 2, x.sum()), x, fast_mode=fast)


def test_the_whole_jacobian_needs_contiguous_inputs():
    x = values(3, 4).detach().t().requires_grad_()
    with pytest.raises(ValueError, match="contiguous"):
        gradcheck(lambda x: x * 2, x)
    assert gradcheck(lambda x: x * 2, x, fast_mode=True)


@MODES
def test_something_has_to_require_grad(fast):
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(lambda x: x * 2, nnlib.ones(2, dtype=nnlib.float64), fast_mode=fast)
