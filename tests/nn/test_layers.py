"""Every layer: the shape of its output, and its values, gradients and buffers against PyTorch."""

import warnings

import numpy as np
import pytest
from layer_cases import CASES, Ints, Signs, Unit

import nnlib
from nnlib import nn

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="compares with PyTorch, which is not installed")
IDS = [f"{case[0]}-{i}" for i, case in enumerate(CASES)]
LENGTHS = {"CTCLoss"}


def arrays(case):
    """The inputs of a row as NumPy arrays; lengths stay tuples."""
    rng = np.random.RandomState(sum(map(ord, case[0])) + len(str(case)))
    made = []
    for i, spec in enumerate(case[2]):
        if case[0] in LENGTHS and i >= 2:
            made.append(spec)
        elif isinstance(spec, Ints):
            made.append(np.array(rng.randint(spec.low, spec.high, spec.shape)))
        elif isinstance(spec, Unit):
            made.append(rng.uniform(0.05, 0.95, spec.shape).astype(np.float32))
        elif isinstance(spec, Signs):
            made.append((rng.randint(0, 2, spec.shape) * 2 - 1).astype(np.float32))
        else:
            made.append(rng.standard_normal(spec).astype(np.float32))
    return made


def build(lib, case):
    args = list(case[1])
    kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if lib is torch else "error")
        return getattr(lib.nn, case[0])(*args, **kwargs)


def inputs(lib, case):
    made = []
    for spec, value in zip(case[2], arrays(case), strict=True):
        if isinstance(value, tuple):
            made.append(value)
            continue
        tensor = lib.from_numpy(value.copy())
        # Only plain inputs are differentiated; the helpers make targets and indices.
        made.append(tensor.requires_grad_() if isinstance(spec, tuple) else tensor)
    return made


def leaves(output):
    if isinstance(output, tuple | list):
        return [leaf for part in output for leaf in leaves(part)]
    return [] if output is None else [output]


def run(lib, case, state=None):
    """(module, inputs, outputs) of one call."""
    module = build(lib, case)
    if state is not None:
        module.load_state_dict({k: lib.from_numpy(v.copy()) for k, v in state.items()})
    values = inputs(lib, case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if lib is torch else "error")
        return module, values, leaves(module(*values))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_shape(case):
    _, _, outputs = run(nnlib, case)
    assert tuple(outputs[0].shape) == case[3]


def close(actual, expected, what):
    assert actual.shape == expected.shape, what
    scale = max(1.0, float(np.abs(expected).max())) if expected.size else 1.0
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5 * scale, err_msg=what)


@needs_torch
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_same_as_torch(case):
    torch.manual_seed(1)
    reference = build(torch, case)
    state = {k: v.numpy().copy() for k, v in reference.state_dict().items()}
    assert repr(build(nnlib, case)) == repr(reference)
    results = []
    for lib in (nnlib, torch):
        module, values, outputs = run(lib, case, state)
        total = sum((o * o).sum() for o in outputs if o.requires_grad)
        if not isinstance(total, int):
            total.backward()
        found = {f"output {i}": o for i, o in enumerate(outputs)}
        for i, value in enumerate(values):
            if not isinstance(value, tuple) and value.grad is not None:
                found[f"gradient of input {i}"] = value.grad
        for name, param in module.named_parameters():
            if param.grad is not None:
                found[f"gradient of {name}"] = param.grad
        found.update(module.named_buffers())
        results.append({key: value.detach().numpy() for key, value in found.items()})
    ours, theirs = results
    assert ours.keys() == theirs.keys()
    for key in ours:
        close(ours[key], theirs[key], key)


@needs_torch
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_same_seed_same_start_values(case):
    torch.manual_seed(7)
    expected = build(torch, case).state_dict()
    nnlib.manual_seed(7)
    actual = build(nnlib, case).state_dict()
    assert list(actual) == list(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key].numpy(), value.numpy(), rtol=1e-6, atol=1e-7, err_msg=key)


# -- random layers: held to their definition


@pytest.mark.parametrize(
    ("name", "shape", "channels"),
    [
        ("Dropout", (64, 100), False),
        ("Dropout1d", (64, 40, 5), True),
        ("Dropout2d", (64, 40, 3, 3), True),
        ("Dropout3d", (32, 40, 2, 2, 2), True),
    ],
)
def test_dropout(name, shape, channels):
    nnlib.manual_seed(0)
    layer, x = getattr(nn, name)(0.25), nnlib.ones(shape, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    values = y.detach().numpy()
    assert np.unique(values) == pytest.approx([0, 4 / 3])
    assert nnlib.equal(x.grad, y.detach())
    flat = values.reshape(*shape[:2], -1) if channels else values
    if channels:
        assert (flat == flat[..., :1]).all()
    assert abs((flat == 0).mean() - 0.25) < 0.05
    assert layer.eval()(x) is x
    assert not getattr(nn, name)(1.0)(x).any() and repr(layer) == f"{name}(p=0.25, inplace=False)"
    z = nnlib.ones(shape)
    assert getattr(nn, name)(0.5, inplace=True)(z).data_ptr() == z.data_ptr() and (z == 0).any()
    with pytest.raises(ValueError, match="between 0 and 1"):
        getattr(nn, name)(1.5)


@pytest.mark.parametrize(
    ("name", "shape"), [("AlphaDropout", (300, 300)), ("FeatureAlphaDropout", (300, 300, 2))]
)
def test_alpha_dropout_keeps_mean_and_variance(name, shape):
    nnlib.manual_seed(0)
    y = getattr(nn, name)(0.3)(nnlib.randn(shape))
    assert abs(y.mean().item()) < 0.03 and abs(y.var().item() - 1) < 0.05
    assert getattr(nn, name)(0.3).eval()(y) is y


def test_rrelu():
    nnlib.manual_seed(0)
    x = nnlib.full((100, 100), -1.0)
    slopes = -nn.RReLU(0.1, 0.5)(x)
    assert 0.1 <= slopes.min().item() < 0.12 and 0.48 < slopes.max().item() <= 0.5
    assert nn.RReLU(0.1, 0.5).eval()(x).unique().numpy() == pytest.approx([-0.3])


def test_inplace_activations_overwrite_their_input():
    for name in ("ReLU", "ReLU6", "ELU", "SELU", "CELU", "LeakyReLU", "SiLU", "Mish", "Hardtanh", "Hardswish",
                 "Hardsigmoid"):  # fmt: skip
        x = nnlib.tensor([-1.0, 0.5, 7.0])
        expected = getattr(nn, name)()(x)
        y = getattr(nn, name)(inplace=True)(x)
        assert y.data_ptr() == x.data_ptr() and nnlib.equal(x, expected), name
        assert name in ("Hardswish", "Hardsigmoid") or "inplace=True" in repr(getattr(nn, name)(inplace=True))


# -- pairs of layers that undo each other, options beyond the table


def test_max_unpool_undoes_max_pool():
    x = nnlib.arange(16.0).reshape(1, 1, 4, 4)
    pooled, where = nn.MaxPool2d(2, return_indices=True)(x)
    back = nn.MaxUnpool2d(2)(pooled, where)
    assert where.flatten().tolist() == [5, 7, 13, 15]
    assert back.shape == x.shape and back.sum().item() == 5 + 7 + 13 + 15
    assert nn.MaxUnpool2d(2)(pooled, where, output_size=(5, 5)).shape == (1, 1, 5, 5)
    with pytest.raises(ValueError, match="invalid output_size"):
        nn.MaxUnpool2d(2)(pooled, where, output_size=(9, 9))


def test_fractional_pool():
    x = nnlib.rand(2, 3, 8, 8)
    y, where = nn.FractionalMaxPool2d(2, output_ratio=0.5, return_indices=True)(x)
    assert y.shape == (2, 3, 4, 4) and nnlib.equal(x.flatten(2).gather(2, where.flatten(2)), y.flatten(2))
    with pytest.raises(ValueError, match="only one of"):
        nn.FractionalMaxPool2d(2, output_size=3, output_ratio=0.5)


def test_cross_map_lrn_is_local_response_norm_for_odd_sizes():
    x = nnlib.randn(2, 6, 3, 3)
    expected = nn.LocalResponseNorm(3, 0.1, 0.5, 2.0)(x)
    assert nnlib.allclose(nn.CrossMapLRN2d(3, 0.1, 0.5, 2.0)(x), expected, atol=1e-6)


def test_conv_transpose_output_size():
    down, up = nn.Conv2d(2, 2, 3, stride=2, padding=1), nn.ConvTranspose2d(2, 2, 3, stride=2, padding=1)
    x = nnlib.rand(1, 2, 12, 12)
    assert up(down(x), output_size=x.size()).shape == x.shape
    with pytest.raises(ValueError, match="requested an output size"):
        up(down(x), output_size=(20, 20))


def test_embedding_options():
    table = nn.Embedding(4, 2, padding_idx=1)
    table(nnlib.tensor([0, 1, 1, 3])).sum().backward()
    assert table.weight[1].tolist() == [0, 0] and table.weight.grad.tolist() == [
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
    ]
    sparse = nn.Embedding(4, 2, sparse=True)
    sparse(nnlib.tensor([0, 3, 3])).sum().backward()
    assert sparse.weight.grad.is_sparse and sparse.weight.grad.to_dense()[3].tolist() == [2, 2]
    fixed = nn.Embedding.from_pretrained(nnlib.eye(3))
    assert not fixed.weight.requires_grad and fixed(nnlib.tensor([2])).tolist() == [[0, 0, 1]]
    assert repr(nn.Embedding(4, 2, padding_idx=-1)) == "Embedding(4, 2, padding_idx=3)"
    bags = nn.EmbeddingBag.from_pretrained(nnlib.eye(3), mode="sum")
    offsets = nnlib.tensor([0, 2, 2])
    assert bags(nnlib.tensor([0, 1, 2]), offsets).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    weights = nnlib.tensor([1.0, 2.0, 3.0])
    assert bags(nnlib.tensor([0, 1, 2]), offsets, weights).tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 3]]


def test_packed_sequences_through_a_recurrent_network():
    from nnlib.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    nnlib.manual_seed(0)
    net, x, lengths = nn.LSTM(3, 4, bidirectional=True), nnlib.rand(5, 3, 3), [2, 5, 3]
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    output, (h, c) = net(packed)
    padded, found = pad_packed_sequence(output)
    assert found.tolist() == lengths and padded.shape == (5, 3, 8)
    for i, n in enumerate(lengths):
        alone, (h_alone, c_alone) = net(x[:n, i])
        assert nnlib.allclose(padded[:n, i], alone, atol=1e-6) and not padded[n:, i].any()
        assert nnlib.allclose(h[:, i], h_alone, atol=1e-6) and nnlib.allclose(c[:, i], c_alone, atol=1e-6)


def test_attention_masks():
    nnlib.manual_seed(0)
    attention, x = nn.MultiheadAttention(4, 2, batch_first=True), nnlib.rand(2, 3, 4)
    padding = nnlib.tensor([[False, False, True], [False, False, False]])
    _, weights = attention(x, x, x, key_padding_mask=padding)
    assert not weights[0, :, 2].any() and weights.sum(-1).flatten().tolist() == pytest.approx([1.0] * 6)
    causal = nn.Transformer.generate_square_subsequent_mask(3)
    with_weights, _ = attention(x, x, x, attn_mask=causal)
    without, nothing = attention(x, x, x, attn_mask=causal, need_weights=False, is_causal=True)
    assert nothing is None and nnlib.allclose(with_weights, without, atol=1e-6)
    per_head = attention(x, x, x, average_attn_weights=False)[1]
    assert per_head.shape == (2, 2, 3, 3)


def test_ctc_loss_of_a_path_that_is_certain():
    log_probs = nnlib.full((3, 1, 3), -1e4)
    for t, label in enumerate((1, 0, 2)):
        log_probs[t, 0, label] = 0.0
    targets, lengths = nnlib.tensor([[1, 2]]), nnlib.tensor([3])
    assert nn.CTCLoss()(log_probs, targets, lengths, nnlib.tensor([2])).item() == pytest.approx(0, abs=1e-6)
    too_long = nn.CTCLoss(zero_infinity=True)
    assert too_long(log_probs, nnlib.tensor([[1, 1, 1, 1]]), lengths, nnlib.tensor([4])).item() == 0


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_linear_cross_entropy_in_chunks(reduction):
    """Small chunks give what the whole batch gives at once, ignored rows and class weights included."""
    nnlib.manual_seed(0)
    target = nnlib.tensor([0, 4, -100, 2, 1, 3, 3])
    head = nn.LinearCrossEntropyLoss(
        6, 5, bias=True, weight=nnlib.rand(5), reduction=reduction,
        options=nn.LinearCrossEntropyOptions(batch_chunk_size=2),
    )  # fmt: skip
    results = []
    for whole in (False, True):
        x = nnlib.linspace(-1, 1, 42).reshape(7, 6).requires_grad_()
        head.zero_grad()
        if whole:
            loss = nn.functional.cross_entropy(head.linear(x), target, head.weight, reduction=reduction)
        else:
            loss = head(x, target)
        loss.pow(2).sum().backward()
        results.append([loss, x.grad, head.linear.weight.grad, head.linear.bias.grad])
    for ours, expected in zip(*results, strict=True):
        assert nnlib.allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_linear_cross_entropy_options():
    options = nn.LinearCrossEntropyOptions
    assert options().rows(100, 8, 16) is None and options(chunking_method=None).rows(100, 8, 16) == 100
    assert options(chunking_method="aspect_ratio").rows(100, 8, 64) == 16
    assert options(chunking_method="aspect_ratio:4").rows(100, 8, 64) == 4
    for wrong in (
        {"acc_policy": "most"},
        {"batch_chunk_size": 0},
        {"chunking_method": "halves"},
        {"chunking_method": "aspect_ratio:0"},
        {"acc_dtype": nnlib.int64},
        {"batch_chunk_size": 3, "chunking_method": "aspect_ratio"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            options(**wrong)


@pytest.mark.parametrize("name", ["L1Loss", "MSELoss", "CrossEntropyLoss", "KLDivLoss"])
def test_older_reduction_arguments_warn(name):
    cls = getattr(nn, name)
    with pytest.warns(DeprecationWarning, match="size_average and reduce args will be deprecated"):
        assert cls(size_average=False).reduction == "sum"
    with pytest.warns(DeprecationWarning):
        assert cls(reduce=False).reduction == "none" and cls(size_average=True).reduction == "mean"


ERRORS = [
    (lambda: nn.Linear(3, 2)(nnlib.ones(2, 4)), RuntimeError),
    (lambda: nn.Conv2d(4, 4, 3, groups=3), ValueError),
    (lambda: nn.Conv2d(4, 4, 3, padding="most"), ValueError),
    (lambda: nn.Conv2d(4, 4, 3, stride=2, padding="same"), ValueError),
    (lambda: nn.Conv2d(4, 4, 3, padding_mode="none"), ValueError),
    (lambda: nn.Conv2d(4, 4, 3)(nnlib.ones(1, 3, 5, 5)), RuntimeError),
    (lambda: nn.Conv2d(4, 4, 3)(nnlib.ones(4, 4)), RuntimeError),
    (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), ValueError),
    (lambda: nn.Bilinear(0, 1, 1), ValueError),
    (lambda: nn.BatchNorm1d(3)(nnlib.ones(1, 3)), ValueError),
    (lambda: nn.BatchNorm2d(3)(nnlib.ones(2, 3)), ValueError),
    (lambda: nn.GroupNorm(3, 4), ValueError),
    (lambda: nn.InstanceNorm2d(3)(nnlib.ones(2, 3)), ValueError),
    (lambda: nn.Embedding(3, 2, padding_idx=5), AssertionError),
    (lambda: nn.Embedding(3, 2)(nnlib.tensor([3])), IndexError),
    (lambda: nn.EmbeddingBag(3, 2)(nnlib.tensor([1])), ValueError),
    (lambda: nn.EmbeddingBag(3, 2, mode="most")(nnlib.tensor([[1]])), ValueError),
    (lambda: nn.LSTM(3, 0), ValueError),
    (lambda: nn.LSTM(3, 4, dropout=2), ValueError),
    (lambda: nn.LSTM(3, 4, proj_size=4), ValueError),
    (lambda: nn.GRU(3, 4, proj_size=2), ValueError),
    (lambda: nn.RNN(3, 4, nonlinearity="gelu"), ValueError),
    (lambda: nn.LSTM(3, 4)(nnlib.ones(2, 2, 5)), RuntimeError),
    (lambda: nn.GRU(3, 4)(nnlib.ones(2, 2, 3), nnlib.ones(1, 9, 4)), RuntimeError),
    (lambda: nn.GRUCell(3, 4)(nnlib.ones(2, 2, 3)), ValueError),
    (lambda: nn.MultiheadAttention(5, 2), AssertionError),
    (lambda: nn.MultiheadAttention(0, 2), ValueError),
    (lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh"), RuntimeError),
    (lambda: nn.MSELoss(reduction="most")(nnlib.ones(1), nnlib.ones(1)), ValueError),
    (lambda: nn.BCELoss()(nnlib.ones(2), nnlib.ones(3)), ValueError),
    (lambda: nn.MultiMarginLoss(p=3), ValueError),
    (lambda: nn.TripletMarginLoss(margin=0), ValueError),
    (lambda: nn.HuberLoss(delta="1"), TypeError),
    (lambda: nn.CrossEntropyLoss()(nnlib.ones(2, 3), nnlib.tensor([0, 9])), IndexError),
    (lambda: nn.Unflatten(1, 3), TypeError),
    (lambda: nn.Softmax2d()(nnlib.ones(2)), ValueError),
    (lambda: nn.CircularPad2d(1)(nnlib.ones(2)), ValueError),
    (lambda: nn.Upsample(scale_factor=2, mode="linear")(nnlib.ones(1, 1, 2, 2)), NotImplementedError),
    (lambda: nn.Upsample()(nnlib.ones(1, 1, 2, 2)), ValueError),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 5, [5]), ValueError),
    (lambda: nn.Hardtanh(1, 0), ValueError),
]


@pytest.mark.parametrize(("action", "error"), ERRORS, ids=range(len(ERRORS)))
def test_errors(action, error):
    with pytest.raises(error) as caught:
        action()
    assert str(caught.value)


def test_every_module_is_pickled_by_a_name_that_leads_to_it():
    import importlib

    for name in nn.modules.__all__:
        cls = getattr(nn, name)
        assert getattr(importlib.import_module(cls.__module__), cls.__name__) is cls, name
