"""Recurrent layers against a walk through each sequence alone, in float64 and with plain operators."""

import numpy as np
import pytest

import nnlib
from nnlib import nn
from nnlib.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

rng = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order():
    """Rounded to bfloat16, a number near 0 may fall on either side of relu's kink, whatever tests ran before."""
    global rng
    rng = np.random.default_rng(3)
    nnlib.manual_seed(3)


def step(kind, x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr):
    a, b = w_ih @ x + b_ih, w_hh @ h + b_hh
    if kind == "LSTM":
        i, f, g, o = (a + b).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (h if w_hr is None else w_hr @ h), c
    if kind == "GRU":
        (r, z, n), (rh, zh, nh) = a.chunk(3), b.chunk(3)
        r, z = (r + rh).sigmoid(), (z + zh).sigmoid()
        n = (n + r * nh).tanh()
        return (1 - z) * n + z * h, c
    return ((a + b).tanh() if kind == "tanh" else (a + b).relu()), c


def walk(net, kind, sequence, states, n):
    """Output and last states of sequence n, (length, I)."""
    last = []
    for layer in range(net.num_layers):
        outputs = []
        for d, suffix in enumerate(("", "_reverse")[: 1 + net.bidirectional]):
            names = [f"{name}_l{layer}{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            w_ih, w_hh = (getattr(net, name) for name in names[:2])
            zero = nnlib.zeros(w_ih.size(0), dtype=w_ih.dtype)
            b_ih, b_hh = (getattr(net, name) if net.bias else zero for name in names[2:])
            w_hr = getattr(net, f"weight_hr_l{layer}{suffix}", None)
            at = layer * (1 + net.bidirectional) + d
            h, c = states[0][at, n], states[-1][at, n]
            out = []
            for x in sequence.flip(0) if d else sequence:
                h, c = step(kind, x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr)
                out.append(h)
            outputs.append(nnlib.stack(out[::-1] if d else out))
            last.append((h, c))
        sequence = nnlib.cat(outputs, 1)
    return sequence, last


def make(kind, hidden, dtype="float64", **kw):
    if kind in ("tanh", "relu"):
        return nn.RNN(3, hidden, nonlinearity=kind, dtype=getattr(nnlib, dtype), **kw)
    return getattr(nn, kind)(3, hidden, dtype=getattr(nnlib, dtype), **kw)


FORMS = {
    "plain": {},
    "no bias": {"bias": False},
    "two ways": {"bidirectional": True},
    "deep": {"num_layers": 2, "bidirectional": True},
    "batch first": {"batch_first": True},
    "projected": {"proj_size": 2},
    "projected deep": {"proj_size": 2, "num_layers": 2, "bidirectional": True},
}
LENGTHS = {"even": [4, 4, 4], "one step": [1, 1], "one": [5], "uneven": [6, 4, 4, 1], "falling": [3, 2, 1]}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh", "relu"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_values_and_gradients(kind, form, lengths, dtype):
    kw = FORMS[form]
    if "proj_size" in kw and kind != "LSTM":
        pytest.skip("projections are an LSTM's")
    hidden, lengths = 5, LENGTHS[lengths]
    net = make(kind, hidden, dtype, **kw)
    twin = make(kind, hidden, **kw)
    twin.load_state_dict({k: v.double() for k, v in net.state_dict().items()})
    batch, layers = len(lengths), net.num_layers * (1 + net.bidirectional)
    x = nnlib.tensor(
        rng.standard_normal((max(lengths), batch, 3)), dtype=getattr(nnlib, dtype)
    ).requires_grad_()
    sizes = [(net.proj_size or hidden)] + [hidden] * (kind == "LSTM")
    states = [
        nnlib.tensor(rng.standard_normal((layers, batch, s)), dtype=x.dtype).requires_grad_() for s in sizes
    ]
    doubles = [t.detach().double().requires_grad_() for t in (x, *states)]

    packed = len(set(lengths)) > 1
    given = x.transpose(0, 1) if net.batch_first else x
    if packed:
        given = pack_padded_sequence(given, lengths, batch_first=net.batch_first)
    y, last = net(given, tuple(states) if kind == "LSTM" else states[0])
    if packed:
        y = pad_packed_sequence(y, batch_first=net.batch_first)[0]
    y = y.transpose(0, 1) if net.batch_first else y
    last = last if kind == "LSTM" else (last,)

    walks = [walk(twin, kind, doubles[0][: lengths[n], n], doubles[1:], n) for n in range(batch)]
    limit = {"float64": 1e-11, "float32": 2e-5, "bfloat16": 0.1, "float16": 2e-2}[dtype]

    def close(got, want, what):
        want = want.detach().numpy()
        np.testing.assert_allclose(
            got.detach().double().numpy(), want, rtol=limit, atol=limit * (1 + abs(want).max()), err_msg=what
        )

    total, expected = 0, 0
    for n, (out, ends) in enumerate(walks):
        close(y[: lengths[n], n], out, "output")
        assert not y[lengths[n] :, n].any()
        g = nnlib.tensor(rng.standard_normal(tuple(out.shape)))
        total, expected = total + (y[: lengths[n], n] * g).sum(), expected + (out * g).sum()
        for k, ends_of in enumerate(zip(*ends, strict=True)):
            if k >= len(last):
                break
            want = nnlib.stack(ends_of)
            close(last[k][:, n], want, "last state")
            g = nnlib.tensor(rng.standard_normal(tuple(want.shape)))
            total, expected = total + (last[k][:, n] * g).sum(), expected + (want * g).sum()
    total.backward()
    expected.backward()
    for name, a, b in zip(("input", "h", "c"), (x, *states), doubles, strict=False):
        close(a.grad, b.grad, name)
    for (name, a), b in zip(net.named_parameters(), twin.parameters(), strict=True):
        close(a.grad, b.grad, name)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh", "relu"])
@pytest.mark.parametrize("only", ["output", "state"])
def test_a_gradient_of_one_result_alone(kind, only):
    net = make(kind, 4)
    x = nnlib.tensor(rng.standard_normal((3, 2, 3)), requires_grad=True)
    y, last = net(x)
    last = last[0] if kind == "LSTM" else last
    (y[-1] if only == "output" else last[0]).square().sum().backward()
    got = x.grad
    x.grad = None
    y, _ = net(x)
    y[-1].square().sum().backward()
    np.testing.assert_allclose(got.numpy(), x.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh", "relu"])
@pytest.mark.parametrize("proj", [0, 2])
def test_gradients_of_gradients(kind, proj):
    if proj and kind != "LSTM":
        pytest.skip("projections are an LSTM's")
    net = make(kind, 3, bidirectional=True, **({"proj_size": proj} if proj else {}))
    parameters = list(net.parameters())

    def f(x, *parameters):
        y, last = net(pack_padded_sequence(x, [3, 2, 2]))
        return y.data, last[0]

    x = nnlib.tensor(rng.standard_normal((3, 3, 3)), requires_grad=True)
    if kind == "relu":  # away from its corner
        assert nnlib.autograd.gradcheck(f, [x, *parameters], eps=1e-7, atol=1e-4)
        return
    assert nnlib.autograd.gradcheck(f, [x, *parameters])
    assert nnlib.autograd.gradgradcheck(f, [x, *parameters])


CELLS = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell, "tanh": nn.RNNCell, "relu": nn.RNNCell}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("sizes", [(1, 7, 5), (4, 3, 130), (0, 3, 4)], ids=str)
def test_cells(kind, bias, sizes):
    n, inputs, hidden = sizes
    kw = {"nonlinearity": kind} if kind in ("tanh", "relu") else {}
    cell = CELLS[kind](inputs, hidden, bias, dtype=nnlib.float64, **kw)
    x, h, c = (
        nnlib.tensor(rng.standard_normal((n, s)), requires_grad=True) for s in (inputs, hidden, hidden)
    )
    got = cell(x, (h, c)) if kind == "LSTM" else cell(x, h)
    zero = nnlib.zeros(cell.weight_ih.size(0), dtype=nnlib.float64)
    biases = (cell.bias_ih, cell.bias_hh) if bias else (zero, zero)
    rows = [step(kind, x[i], h[i], c[i], cell.weight_ih, cell.weight_hh, *biases, None) for i in range(n)]
    leaves = [x, h, *([c] if kind == "LSTM" else []), *cell.parameters()]
    for k, y in enumerate(got if kind == "LSTM" else (got,)):
        assert y.shape == (n, hidden)
        if not n:
            grads = nnlib.autograd.grad(y.sum(), leaves, retain_graph=True, materialize_grads=True)
            assert not any(g.any() for g in grads)
            continue
        want = nnlib.stack([row[k] for row in rows])
        np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), atol=1e-12)
        g = nnlib.tensor(rng.standard_normal((n, hidden)))
        pairs = zip(
            nnlib.autograd.grad(y, leaves, g, retain_graph=True),
            nnlib.autograd.grad(want, leaves, g, retain_graph=True, allow_unused=True),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_allclose(a.numpy(), 0 if b is None else b.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh"])
@pytest.mark.parametrize("packed", [False, True])
def test_inference_gives_the_bits_of_training(kind, packed):
    net = make(kind, 70, "float32", num_layers=2, bidirectional=True)
    x = nnlib.randn(9, 6, 3)
    given = pack_padded_sequence(x, [9, 7, 7, 4, 2, 1]) if packed else x
    y, last = net(given)
    with nnlib.no_grad():
        z, end = net(given)
    pairs = [(y.data, z.data)] if packed else [(y, z)]
    pairs += zip(last, end, strict=True) if kind == "LSTM" else [(last, end)]
    for a, b in pairs:
        assert a.detach().numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "tanh"])
def test_packed_sequences_give_the_same_bits_on_any_threads(kind):
    net = make(kind, 130, "float32", bidirectional=True)
    x = nnlib.randn(12, 40, 3)
    lengths = sorted(rng.integers(1, 13, 39).tolist() + [12], reverse=True)

    def run():
        net.zero_grad()
        y, _ = net(pack_padded_sequence(x, lengths))
        y.data.square().sum().backward()
        return [t.numpy().tobytes() for t in (y.data.detach(), *(p.grad for p in net.parameters()))]

    before = nnlib.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            nnlib.set_num_threads(threads)
            results.append(run())
        assert results[0] == results[1] == results[2]
    finally:
        nnlib.set_num_threads(before)


def test_a_recorded_layer_is_one_step_of_the_graph_for_each_direction():
    net = nn.RNN(3, 4)
    y, _ = net(nnlib.randn(50, 2, 3))
    names, stack = set(), [y.grad_fn]
    while stack:
        node = stack.pop()
        if node not in names:
            names.add(node)
            stack += [n for n, _ in node.next_functions if n is not None]
    assert len(names) < 12


def test_wrong_sizes_are_errors():
    x, h = nnlib.zeros(2, 3), nnlib.zeros(2, 4)
    w_ih, w_hh = nnlib.zeros(4, 3), nnlib.zeros(4, 4)
    for call in (
        lambda: nnlib._C.rnn_tanh_cell(x, nnlib.zeros(3, 4), w_ih, w_hh),
        lambda: nnlib._C.rnn_tanh_cell(x, nnlib.zeros(2, 5), w_ih, w_hh),
        lambda: nnlib._C.rnn_tanh_cell(x, h, nnlib.zeros(5, 3), w_hh),
        lambda: nnlib._C.gru_cell(x, h, w_ih, w_hh),
        lambda: nnlib._C.lstm_cell(x, [h], nnlib.zeros(16, 3), nnlib.zeros(16, 4)),
        lambda: nnlib._C.lstm_cell(x, [h, nnlib.zeros(2, 5)], nnlib.zeros(16, 3), nnlib.zeros(16, 4)),
        lambda: nnlib._C.rnn_tanh_cell(x, h, w_ih, w_hh, None, nnlib.zeros(5)),
        lambda: nnlib._C.rnn_tanh_cell(x, h.double(), w_ih, w_hh),
    ):
        with pytest.raises(RuntimeError):
            call()
