"""The algorithms of attention that sdpa_kernel chooses from."""

import threading

import pytest

import nnlib
from nnlib.nn.attention import SDPBackend, sdpa_kernel
from nnlib.nn.functional import scaled_dot_product_attention

FLASH, MATH = SDPBackend.FLASH_ATTENTION, SDPBackend.MATH


def inputs(*lead):
    nnlib.manual_seed(0)
    return [nnlib.rand(*lead, n, 8, requires_grad=True) for n in (5, 7, 7)]


def operators(y):
    """The names of the nodes behind a tensor."""
    seen, todo = set(), [y.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node.name() not in seen:
            seen.add(node.name())
            todo += [n for n, _ in node.next_functions]
    return seen


@pytest.mark.parametrize("lead", [(2,), (2, 3)])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": nnlib.ones(5, 7).tril() > 0}])
def test_they_agree_and_are_what_ran(lead, options):
    values, gradients = [], []
    for kernel in (FLASH, MATH, [MATH, FLASH]):
        q, k, v = inputs(*lead)
        with sdpa_kernel(kernel):
            y = scaled_dot_product_attention(q, k, v, **options)
        assert any("Flash" in name for name in operators(y)) == (kernel != MATH)
        y.square().sum().backward()
        values.append(y.detach())
        gradients.append(q.grad)
    for a, b in (values[:2], values[1:], gradients[:2]):
        nnlib.testing.assert_close(a, b)


def test_the_order_may_count():
    q, k, v = inputs(2, 3)
    with sdpa_kernel([MATH, FLASH], set_priority=True):
        y = scaled_dot_product_attention(q, k, v)
    assert not any("Flash" in name for name in operators(y))


def test_what_blocks_cannot_do():
    q, k, v = inputs(2, 3)
    with sdpa_kernel(FLASH):
        for options in ({"dropout_p": 0.5}, {"attn_mask": nnlib.zeros(5, 7, requires_grad=True)}):
            with pytest.raises(RuntimeError, match="No available kernel"):
                scaled_dot_product_attention(q, k, v, **options)
        with pytest.raises(RuntimeError, match="No available kernel"):
            scaled_dot_product_attention(q[0, 0], k[0, 0], v[0, 0])
    with sdpa_kernel([FLASH, MATH]):
        assert scaled_dot_product_attention(q, k, v, dropout_p=0.5).shape == (2, 3, 5, 8)


def test_no_kernel_at_all():
    q, k, v = inputs(2, 3)
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION]), pytest.raises(RuntimeError, match="No viable backend"):
        scaled_dot_product_attention(q, k, v)
    with pytest.raises(AssertionError, match="Backend must be an instance"), sdpa_kernel("flash"):
        pass
    assert scaled_dot_product_attention(q, k, v).shape == (2, 3, 5, 8)


def test_heads_that_share_and_modules():
    q, k = nnlib.rand(1, 4, 5, 8), nnlib.rand(1, 2, 5, 8)
    with sdpa_kernel(MATH):
        a = scaled_dot_product_attention(q, k, k, enable_gqa=True)
    nnlib.testing.assert_close(a, scaled_dot_product_attention(q, k, k, enable_gqa=True))
    layer = nnlib.nn.MultiheadAttention(8, 2)
    x = nnlib.rand(5, 3, 8, requires_grad=True)
    with sdpa_kernel(MATH):
        y = layer(x, x, x, need_weights=False)[0]
    assert not any("Flash" in name for name in operators(y))


def test_it_holds_for_one_thread():
    q, k, v = inputs(2, 3)
    found = []
    with sdpa_kernel(MATH):
        thread = threading.Thread(target=lambda: found.append(scaled_dot_product_attention(q, k, v)))
        thread.start()
        thread.join()
    assert any("Flash" in name for name in operators(found[0]))
