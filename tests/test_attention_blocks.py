"""Attention never holds the scores as a whole: masks of every kind, dropout, shared heads, and how much memory."""

import warnings

import numpy as np
import pytest
from allocated import added

import nnlib
import nnlib.nn.functional as F
from nnlib import nn

rng = np.random.default_rng(11)


def tensors(*shapes, dtype="float64", grad=True):
    return [
        nnlib.tensor(rng.standard_normal(s), dtype=getattr(nnlib, dtype), requires_grad=grad) for s in shapes
    ]


def written_out(q, k, v, mask=None, kept=None, causal=False):
    """The definition by plain operators, in float64, which autograd differentiates."""
    group = q.size(-3) // k.size(-3) if min(q.dim(), k.dim()) > 2 else 1
    if group > 1:
        k, v = k.repeat_interleave(group, -3), v.repeat_interleave(group, -3)
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if causal:
        s = s.masked_fill(nnlib.ones(s.shape[-2:], dtype=nnlib.bool).tril().logical_not(), -np.inf)
    if mask is not None:
        s = s.masked_fill(~mask, -np.inf) if mask.dtype == nnlib.bool else s + mask
    p = nnlib.softmax(s, -1).nan_to_num(0.0)
    return (p if kept is None else p * kept) @ v


def compare(got, want, inputs, doubles, limit):
    """Values and gradients of two computations from inputs and the same inputs in float64."""
    g = rng.standard_normal(tuple(got.shape))
    got.backward(nnlib.tensor(g, dtype=got.dtype))
    want.backward(nnlib.tensor(g))
    pairs = [(got, want)] + [
        (a.grad, b.grad) for a, b in zip(inputs, doubles, strict=True) if a.requires_grad
    ]
    for a, b in pairs:
        assert a.shape == b.shape
        b = b.detach().numpy()
        np.testing.assert_allclose(
            a.detach().double().numpy(), b, rtol=limit, atol=limit * (1 + np.abs(b).max())
        )


def doubled(ts):
    return [t.detach().double().requires_grad_(t.requires_grad) for t in ts]


LIMIT = {"float64": 1e-11, "float32": 3e-5, "bfloat16": 6e-2, "float16": 1e-2}


def drawn(q, k, p, seed):
    """What dropout multiplies the probabilities by: read off with values that are the identity."""
    B, H, L, S = q.size(0), q.size(1), q.size(2), k.size(2)
    even = nnlib.zeros(B, H, L, 8, dtype=nnlib.float64), nnlib.zeros(B, H, S, 8, dtype=nnlib.float64)
    nnlib.manual_seed(seed)
    eye = nnlib.eye(S, dtype=nnlib.float64).expand(B, H, S, S)
    return F.scaled_dot_product_attention(*even, eye, dropout_p=p) * S


SIZES = [(2, 2, 3, 70, 16), (2, 4, 5, 70, 16), (1, 3, 33, 130, 24), (2, 2, 140, 300, 8), (1, 1, 9, 1, 5)]


@pytest.mark.parametrize("dtype", LIMIT)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_dropout_is_the_same_in_backward(sizes, dtype, causal):
    B, H, L, S, E = sizes
    inputs = tensors((B, H, L, E), (B, H, S, E), (B, H, S, E), dtype=dtype)
    kept = drawn(*inputs[:2], 0.3, 5).detach()
    values = np.unique(kept.numpy().round(9))
    assert set(values) <= {0.0, round(1 / 0.7, 9)}
    nnlib.manual_seed(5)
    got = F.scaled_dot_product_attention(*inputs, dropout_p=0.3, is_causal=causal)
    doubles = doubled(inputs)
    compare(got, written_out(*doubles, kept=kept, causal=causal), inputs, doubles, LIMIT[dtype])


def test_dropout_drops_as_many_as_asked():
    q, k = tensors((2, 4, 200, 8), (2, 4, 333, 8), grad=False)
    kept = drawn(q, k, 0.25, 1) != 0
    assert abs(kept.double().mean().item() - 0.75) < 5 * (0.25 * 0.75 / kept.numel()) ** 0.5
    for axis in (0, 1, 2, 3):  # no two heads, queries or keys have the same
        rows = kept.transpose(0, axis).reshape(kept.size(axis), -1).numpy()
        assert len(np.unique(rows, axis=0)) == len(rows)
    assert not F.scaled_dot_product_attention(q, k, k, dropout_p=1.0).any()


@pytest.mark.parametrize("threads", [2, 3])
def test_dropout_and_masks_give_the_same_bits_on_any_threads(threads):
    q, k, v = tensors((2, 3, 150, 16), (2, 3, 170, 16), (2, 3, 170, 16), dtype="float32")
    mask = nnlib.randn(1, 3, 150, 170, requires_grad=True)

    def run():
        nnlib.manual_seed(3)
        for t in (q, k, v, mask):
            t.grad = None
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=0.2)
        y.square().sum().backward()
        return [t.numpy().tobytes() for t in (y.detach(), q.grad, k.grad, v.grad, mask.grad)]

    before = nnlib.get_num_threads()
    try:
        nnlib.set_num_threads(1)
        want = run()
        nnlib.set_num_threads(threads)
        assert run() == want
    finally:
        nnlib.set_num_threads(before)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [(1, 1), (3, 1), (6, 2)], ids=str)
def test_few_heads_are_split_into_parts_of_their_keys(heads, causal):
    """Several threads share the backward pass of a head, and the bits are those of one thread."""
    (H, Hk), L, S, E = heads, 300, 530, 12
    q, k, v = inputs = tensors((1, H, L, E), (1, Hk, S, E), (1, Hk, S, 20), dtype="float32")
    g = nnlib.randn(1, H, L, 20)

    def run():
        for t in inputs:
            t.grad = None
        F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=H != Hk).backward(g)
        return [t.grad.numpy().copy() for t in inputs]

    before = nnlib.get_num_threads()
    try:
        bits = []
        for threads in (1, 2, 3):
            nnlib.set_num_threads(threads)
            bits.append(run())
    finally:
        nnlib.set_num_threads(before)
    for got in bits[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(got, bits[0], strict=True))
    doubles = doubled(inputs)
    written_out(*doubles, causal=causal).backward(g.double())
    for a, b in zip(bits[0], doubles, strict=True):
        np.testing.assert_allclose(a, b.grad.numpy(), rtol=LIMIT["float32"], atol=LIMIT["float32"])


@pytest.mark.parametrize(
    "sizes", [(1, 16, 8, 1, 300, 64, 64), (3, 4, 4, 7, 37, 20, 33), (2, 8, 4, 3, 5, 3, 1)], ids=str
)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", LIMIT)
def test_few_queries_train_by_rows_of_scores(sizes, causal, dtype):
    """Enough heads for threads to share: keys and values beside those of other heads, as projections give them."""
    B, H, Hk, L, S, E, Ev = sizes
    leaves = tensors((B, L, H, E), (B, S, Hk, E), (B, S, Hk, Ev), dtype=dtype)
    doubles = doubled(leaves)

    def heads(ts):
        return [t.transpose(1, 2) for t in ts]

    before = nnlib.get_num_threads()
    bits = []
    try:
        for threads in (1, 3):
            nnlib.set_num_threads(threads)
            for t in leaves:
                t.grad = None
            got = F.scaled_dot_product_attention(*heads(leaves), is_causal=causal, enable_gqa=H != Hk)
            if threads == 3:
                compare(got, written_out(*heads(doubles), causal=causal), leaves, doubles, LIMIT[dtype])
            got = F.scaled_dot_product_attention(*heads(leaves), is_causal=causal, enable_gqa=H != Hk)
            bits.append([g.float().numpy().tobytes() for g in nnlib.autograd.grad(got.sum(), leaves)])
    finally:
        nnlib.set_num_threads(before)
    assert bits[0] == bits[1]


@pytest.mark.parametrize("L", [5, 33, 300])
def test_large_scores_cost_gradients_no_digits(L):
    """Scores of about 100 that float32 holds exactly: what is lost, normalising lost."""
    S, E = 70, 16
    random = np.random.default_rng(3)
    q, k = (nnlib.tensor((random.standard_normal((1, 8, n, E)) * 6).round()) for n in (L, S))
    assert 100 < (q @ k.transpose(-2, -1)).abs().max() / E**0.5 < 250
    v, g = (nnlib.tensor(random.standard_normal((1, 8, n, E))) for n in (S, L))
    grads = []
    for dtype in (nnlib.float32, nnlib.float64):
        inputs = [t.to(dtype).float().to(dtype).requires_grad_() for t in (q, k, v)]
        F.scaled_dot_product_attention(*inputs).backward(g.float().to(dtype))
        grads.append([t.grad.double().numpy() for t in inputs])
    for a, b in zip(*grads, strict=True):
        assert np.abs(a - b).max() < 2e-6 * np.abs(b).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("E", [16, 33])
@pytest.mark.parametrize("L", [1, 5, 33, 300])
def test_certain_probabilities_leave_no_gradient(L, E, dtype):
    """Each query meets one key alone: backward finds a probability of 1, and what cancels does to the last bit."""
    S = 70
    k, v = tensors((2, 4, S, E), (2, 4, S, 20), dtype=dtype)
    k = (200 * F.normalize(k, dim=-1)).detach().requires_grad_()
    chosen = rng.integers(0, S, L)
    q = k.detach()[:, :, chosen].requires_grad_()
    out = F.scaled_dot_product_attention(q, k, v)
    assert out.equal(v[:, :, chosen])
    g = nnlib.tensor(rng.standard_normal(tuple(out.shape)), dtype=out.dtype)
    out.backward(g)
    assert not q.grad.any() and not k.grad.any()
    want = nnlib.zeros_like(v).double().index_add_(2, nnlib.tensor(chosen), g.double())
    np.testing.assert_allclose(v.grad.numpy(), want.numpy(), rtol=1e-5, atol=1e-6)


MASKS = {
    "queries and keys": lambda L, S: (L, S),
    "padded keys": lambda L, S: (2, 1, 1, S),
    "padded queries": lambda L, S: (2, 1, L, 1),
    "heads": lambda L, S: (4, 1, S),
    "one batch": lambda L, S: (1, 4, L, S),
    "all": lambda L, S: (2, 4, L, S),
    "keys": lambda L, S: (S,),
    "one": lambda L, S: (1, 1),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("form", ["bool", "float", "turned bool", "turned float", "every other"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("lengths", [(5, 21, 2), (67, 260, 2), (3, 37, 4)], ids=str)
def test_masks(kind, form, dtype, lengths):
    L, S, heads = lengths
    inputs = tensors((2, 4, L, 8), (2, heads, S, 8), (2, heads, S, 8), dtype=dtype)
    shape = MASKS[kind](L, S)
    if "turned" in form and len(shape) > 1:
        shape = shape[:-2] + shape[:-3:-1]
    if form == "every other":
        shape = shape[:-1] + (2 * shape[-1],)
    raw = rng.standard_normal(shape)
    if "bool" in form:
        mask = nnlib.tensor(raw > -0.4)
    else:
        mask = nnlib.tensor(raw, dtype=getattr(nnlib, dtype) if dtype == "bfloat16" else nnlib.float32)
    if "turned" in form and len(shape) > 1:
        mask = mask.transpose(-1, -2)
    if form == "every other":
        mask = mask[..., ::2]
    got = F.scaled_dot_product_attention(*inputs, mask, enable_gqa=True)
    doubles = doubled(inputs)
    wide = mask if mask.dtype == nnlib.bool else mask.double()
    compare(got, written_out(*doubles, mask=wide), inputs, doubles, max(LIMIT[dtype], 3e-7))


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("lengths", [(5, 21), (140, 67)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_of_a_mask(kind, dropout, lengths, dtype):
    L, S = lengths
    inputs = tensors((2, 4, L, 8), (2, 4, S, 8), (2, 4, S, 8), MASKS[kind](L, S), dtype=dtype)
    kept = drawn(*inputs[:2], dropout, 7).detach() if dropout else None
    nnlib.manual_seed(7)
    got = F.scaled_dot_product_attention(*inputs, dropout_p=dropout)
    doubles = doubled(inputs)
    compare(got, written_out(*doubles, kept=kept), inputs, doubles, LIMIT[dtype])


@pytest.mark.parametrize("E", [1, 16, 31, 64, 100, 128, 256])
@pytest.mark.parametrize("Ev", [16, 37, 256])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_head_sizes(E, Ev, dtype):
    inputs = tensors((1, 2, 70, E), (1, 2, 40, E), (1, 2, 40, Ev), dtype=dtype)
    doubles = doubled(inputs)
    got = F.scaled_dot_product_attention(*inputs, is_causal=True)
    compare(got, written_out(*doubles, causal=True), inputs, doubles, LIMIT[dtype])


@pytest.mark.parametrize(
    "shapes",
    [
        ((9, 8), (11, 8), (11, 5)),
        ((3, 9, 8), (3, 11, 8), (3, 11, 5)),
        ((3, 9, 8), (11, 8), (1, 11, 5)),
        ((2, 1, 9, 8), (1, 3, 11, 8), (3, 11, 5)),
        ((2, 3, 2, 9, 8), (2, 3, 2, 11, 8), (1, 2, 11, 5)),
        ((9, 8), (4, 3, 11, 8), (4, 3, 11, 5)),
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True])
def test_any_number_of_dimensions(shapes, masked):
    inputs = tensors(*shapes)
    doubles = doubled(inputs)
    mask = nnlib.tensor(rng.random((9, 11)) > 0.3) if masked else None
    got = F.scaled_dot_product_attention(*inputs, mask, dropout_p=0.0)
    compare(got, written_out(*doubles, mask=mask), inputs, doubles, 1e-11)


def test_a_mask_with_more_dimensions_than_the_operands():
    inputs = tensors((9, 8), (11, 8), (11, 8))
    doubles = doubled(inputs)
    mask = nnlib.tensor(rng.random((2, 3, 9, 11)) > 0.3)
    got = F.scaled_dot_product_attention(*inputs, mask)
    assert got.shape == (2, 3, 9, 8)
    compare(got, written_out(*doubles, mask=mask), inputs, doubles, 1e-11)


def test_heads_of_keys_and_values_may_differ_in_number():
    inputs = tensors((2, 4, 9, 8), (2, 2, 11, 8), (2, 1, 11, 8))
    doubles = doubled(inputs)
    got = F.scaled_dot_product_attention(*inputs, enable_gqa=True)
    q, k, v = doubles
    compare(got, written_out(q, k.repeat_interleave(2, 1), v.repeat_interleave(4, 1)), inputs, doubles, 1e-11)
    with pytest.raises(RuntimeError, match="must divide"):
        F.scaled_dot_product_attention(*tensors((2, 4, 9, 8), (2, 3, 11, 8), (2, 3, 11, 8)), enable_gqa=True)


def test_gradients_of_gradients_draw_the_same_dropout():
    def f(q, k, v, mask):
        nnlib.manual_seed(2)
        return F.scaled_dot_product_attention(q, k, v, mask, dropout_p=0.4)

    inputs = tensors((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 3), (3, 5))
    assert nnlib.autograd.gradcheck(f, inputs)
    assert nnlib.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["dropout", "bool", "float", "causal", "gqa", "2d", "3d", "learned"])
def test_memory_stays_far_below_that_of_the_scores(kind, dtype):
    L, H = 1024, 4
    lead = {"2d": (), "3d": (H,)}.get(kind, (1, H))
    shape = (*lead, L, 16)
    keys = (1, 2, L, 16) if kind == "gqa" else shape
    q, k, v = tensors(shape, keys, keys, dtype=dtype)
    mask = {
        "bool": lambda: nnlib.ones(L, L, dtype=nnlib.bool).tril(),
        "float": lambda: nnlib.zeros(L, L, dtype=getattr(nnlib, dtype)),
        "learned": lambda: nnlib.zeros(1, L, requires_grad=True),
    }.get(kind, lambda: None)()

    def step():
        y = F.scaled_dot_product_attention(
            q, k, v, mask, dropout_p=0.1, is_causal=kind == "causal", enable_gqa=kind == "gqa"
        )
        y.backward(y.detach())

    step()
    for t in (q, k, v):
        t.grad = None
    scores = max(1, np.prod(lead, dtype=int)) * L * L * q.element_size()
    limit = 20 * q.numel() * max(4, q.element_size())
    assert limit < scores / 1.5
    assert added(step) < limit


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masks", ["none", "attn", "heads", "padding", "both", "bool and float"])
def test_multi_head_attention_without_weights(masks, batch_first):
    N, L, S, E, heads = 3, 7, 9, 12, 4
    m = nn.MultiheadAttention(E, heads, batch_first=batch_first, dtype=nnlib.float64).eval()
    q, k = tensors((N, L, E), (N, S, E), grad=False)
    if not batch_first:
        q, k = q.transpose(0, 1), k.transpose(0, 1)
    attn = nnlib.tensor(rng.random((N * heads, L, S) if masks == "heads" else (L, S)) > 0.7)
    padding = nnlib.tensor(rng.random((N, S)) > 0.7)
    if masks == "bool and float":
        attn = nnlib.zeros(L, S, dtype=nnlib.float64).masked_fill(attn, -np.inf)
    attn[..., 0], padding[:, 0] = 0, False
    kw = {
        "attn_mask": attn if masks in ("attn", "heads", "both", "bool and float") else None,
        "key_padding_mask": padding if masks in ("padding", "both", "bool and float") else None,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = m(q, k, k, need_weights=True, **kw)[0]
        got, weights = m(q, k, k, need_weights=False, **kw)
    assert weights is None
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), atol=1e-12)


def test_padded_positions_of_an_encoder_are_zero_in_inference():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    x = nnlib.randn(3, 5, 8)
    padding = nnlib.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] + [True] * 4])
    recorded = encoder(x, src_key_padding_mask=padding).detach()
    with nnlib.no_grad():
        y = encoder(x, src_key_padding_mask=padding)
        np.testing.assert_allclose(y[~padding].numpy(), recorded[~padding].numpy(), atol=1e-6)
        assert not y[padding].any() and recorded[padding].all()
        # Padding in front is no case of it, nor is an encoder that does without.
        assert encoder(x, src_key_padding_mask=padding.flip(1))[padding.flip(1)].all()
        encoder.enable_nested_tensor = False
        assert encoder(x, src_key_padding_mask=padding)[padding].all()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        encoder = nn.TransformerEncoder(layer, 2).eval()
        assert encoder(x, src_key_padding_mask=padding)[padding].all()
