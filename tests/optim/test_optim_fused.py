"""The fused C++ steps: memory layouts, versions, threads and special values."""

import numpy as np
import optim_cases
import pytest

import nnlib

hot = pytest.mark.parametrize(("name", "formula", "options"), optim_cases.CASES, ids=optim_cases.IDS)


def steps(params, name, options, grads):
    opt = getattr(nnlib.optim, name)(params, **options)
    for row in grads:
        for p, g in zip(params, row, strict=True):
            p.grad = g
        opt.step()
    return [p.detach().numpy().copy() for p in params]


@hot
def test_layouts_give_the_same_numbers(name, formula, options):
    value = nnlib.tensor(optim_cases.values((2, 3, 4, 5), 0), dtype=nnlib.float32)
    grads = [nnlib.tensor(optim_cases.values((2, 3, 4, 5), 1 + t), dtype=nnlib.float32) for t in range(3)]
    (want,) = steps([value.clone().requires_grad_(True)], name, options, [[g] for g in grads])

    def strided(t):  # every second element of a larger block
        block = nnlib.zeros(2, 3, 4, 10)
        block[..., ::2] = t
        return block[..., ::2]

    forms = {
        "transposed": lambda t: t.transpose(1, 3).contiguous().transpose(1, 3),
        "with gaps": strided,
    }
    for form in forms.values():
        param = form(value).detach().requires_grad_(True)
        assert not param.is_contiguous()
        for grad_form in (lambda g: g, form):
            with nnlib.no_grad():
                param.copy_(value)
            (got,) = steps([param], name, options, [[grad_form(g)] for g in grads])
            np.testing.assert_array_equal(got, want)


def test_gaps_between_elements_stay_as_they_are():
    block = nnlib.ones(4, 6)
    param = block[:, ::2].detach().requires_grad_(True)
    param.grad = nnlib.ones(4, 3)
    nnlib.optim.SGD([param], lr=1.0).step()
    assert block[:, ::2].abs().sum().item() == 0
    assert block[:, 1::2].sum().item() == 12


def test_expanded_gradient():
    p = nnlib.zeros(3, 4).requires_grad_(True)
    p.grad = nnlib.tensor([[1.0], [2.0], [3.0]]).expand(3, 4)
    nnlib.optim.SGD([p], lr=1.0).step()
    assert p[:, 2].tolist() == [-1.0, -2.0, -3.0]


@hot
def test_step_counts_versions(name, formula, options):
    p = nnlib.ones(3).requires_grad_(True)
    p.grad = nnlib.ones(3)
    opt = getattr(nnlib.optim, name)([p], **options)
    opt.step()
    before = p._version
    states = [s for s in opt.state[p].values() if isinstance(s, nnlib.Tensor)]
    versions = [s._version for s in states]
    opt.step()
    assert p._version > before
    assert all(s._version > v for s, v in zip(states, versions, strict=True))
    assert p.grad._version == 0


def test_backward_notices_a_step():
    p = nnlib.ones(3).requires_grad_(True)
    loss = (p * p).sum()
    p.grad = nnlib.ones(3)
    nnlib.optim.Adam([p]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@hot
def test_threads_do_not_change_bits(name, formula, options):
    sizes = [70000, 3, 16384, 16385]
    params = [nnlib.tensor(optim_cases.values(n, i), dtype=nnlib.float32) for i, n in enumerate(sizes)]
    grads = [
        [nnlib.tensor(optim_cases.values(n, 10 * t + i), dtype=nnlib.float32) for i, n in enumerate(sizes)]
        for t in range(2)
    ]
    threads, results = nnlib.get_num_threads(), []
    try:
        for n in (1, 2):
            nnlib.set_num_threads(n)
            results.append(steps([p.clone().requires_grad_(True) for p in params], name, options, grads))
    finally:
        nnlib.set_num_threads(threads)
    for one, two, value in zip(*results, params, strict=True):
        np.testing.assert_array_equal(one, two)
        assert (one != value.numpy()).mean() > 0.9


def test_infinite_parameter_stays_without_decay():
    for name in sorted({case[0] for case in optim_cases.CASES} - {"AdamW"}):
        for dtype in (nnlib.float32, nnlib.float64):
            p = nnlib.tensor([float("-inf"), 1.0], dtype=dtype).requires_grad_(True)
            p.grad = nnlib.ones(2, dtype=dtype)
            getattr(nnlib.optim, name)([p], lr=0.1).step()
            assert p[0].item() == float("-inf") and p[1].item() < 1


def test_amsgrad_keeps_nan():
    p = nnlib.ones(2).requires_grad_(True)
    opt = nnlib.optim.Adam([p], amsgrad=True)
    for g in (float("nan"), 1.0):
        p.grad = nnlib.tensor([g, 1.0])
        opt.step()
    top = opt.state[p]["max_exp_avg_sq"]
    assert np.isnan(top.tolist()[0]) and np.isfinite(top.tolist()[1])


@pytest.mark.parametrize("name", sorted({case[0] for case in optim_cases.CASES}))
@pytest.mark.parametrize("special", [float("nan"), float("inf"), 0.0])
def test_special_gradients_as_in_torch(name, special):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    results = []
    for lib in (nnlib, torch):
        p = lib.ones(3).requires_grad_(True)
        opt = getattr(lib.optim, name)([p], lr=0.1)
        for g in ([special, 1.0, 0.0], [1.0, special, -1.0], [-1.0, 1.0, special]):
            p.grad = lib.tensor(g)
            opt.step()
        state = {k: v for k, v in opt.state[p].items() if isinstance(v, lib.Tensor)}
        results.append((p.tolist(), {k: state[k].tolist() for k in sorted(state)}))
    (got, got_state), (want, want_state) = results
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert got_state.keys() == want_state.keys()
    for key, value in want_state.items():
        np.testing.assert_allclose(got_state[key], value, rtol=1e-5, err_msg=key)


def test_empty_parameter_and_scalar():
    params = [nnlib.zeros(0, 3).requires_grad_(True), nnlib.ones(()).requires_grad_(True)]
    for p in params:
        p.grad = nnlib.ones_like(p.detach())
    nnlib.optim.AdamW(params, lr=0.5, weight_decay=0.0).step()
    assert params[1].item() == pytest.approx(0.5)


def test_momentum_starts_for_a_late_gradient():
    a, b = nnlib.zeros(1).requires_grad_(True), nnlib.zeros(1).requires_grad_(True)
    opt = nnlib.optim.SGD([a, b], lr=1.0, momentum=0.5, dampening=0.5)
    a.grad = nnlib.ones(1)
    opt.step()
    b.grad = nnlib.ones(1)
    opt.step()
    # a: 1, then 0.5 * 1 + 0.5 * 1 = 1; b: its first buffer is the gradient, without dampening.
    assert (a.item(), b.item()) == (-2.0, -1.0)


def test_wrong_state_is_an_error_that_changes_nothing():
    p = nnlib.ones(3).requires_grad_(True)
    p.grad = nnlib.ones(3)
    opt = nnlib.optim.Adam([p], lr=0.1)
    opt.step()
    opt.state[p]["exp_avg_sq"] = nnlib.ones(4)
    before = p.tolist()
    with pytest.raises(RuntimeError, match=r"expected gradient and state of size \[3\] but got \[4\]"):
        opt.step()
    assert p.tolist() == before
    assert opt.state[p]["step"].item() == 1


def test_integer_parameter_is_refused():
    p = nnlib.ones(3, dtype=nnlib.int64)
    p.grad = nnlib.ones(3, dtype=nnlib.int64)
    with pytest.raises(RuntimeError):
        nnlib.optim.SGD([p], lr=1.0).step()
    with pytest.raises(RuntimeError, match="`fused=True` requires all the params to be floating point"):
        nnlib.optim.SGD([p], lr=1.0, fused=True).step()
