"""nn.utils: gradient clipping, vectors, norms of weights, parametrisations, fusion, sequences, functional
calls.
"""

import copy
import math
import pickle

import pytest

import nnlib
from nnlib import nn
from nnlib.nn import utils
from nnlib.nn.utils import parametrizations, parametrize, rnn
from nnlib.nn.utils.stateless import functional_call


def with_grads(*grads):
    params = []
    for grad in grads:
        p = nn.Parameter(nnlib.zeros(len(grad)))
        p.grad = nnlib.tensor(grad)
        params.append(p)
    return params


# -- gradients


@pytest.mark.parametrize(
    ("norm_type", "total"), [(2.0, 13.0), (1.0, 19.0), (math.inf, 12.0), (3.0, (27 + 64 + 1728) ** (1 / 3))]
)
def test_clip_grad_norm(norm_type, total):
    params = [*with_grads([3.0, 4.0], [12.0]), nn.Parameter(nnlib.zeros(1))]
    assert utils.get_total_norm([p.grad for p in params[:2]], norm_type).item() == pytest.approx(total)
    assert utils.clip_grad_norm_(params, 2.0, norm_type).item() == pytest.approx(total)
    assert utils.get_total_norm([p.grad for p in params[:2]], norm_type).item() == pytest.approx(
        2.0, rel=1e-4
    )
    before = params[0].grad.tolist()
    utils.clip_grad_norm_(params, 100.0, norm_type)
    assert params[0].grad.tolist() == before


def test_clip_grad_value_and_edges():
    (p,) = with_grads([-5.0, 0.5, 5.0])
    utils.clip_grad_value_(p, 1.0)
    assert p.grad.tolist() == [-1, 0.5, 1]
    assert utils.clip_grad_norm_([nn.Parameter(nnlib.zeros(1))], 1.0).item() == 0
    (bad,) = with_grads([math.inf])
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(bad, 1.0, error_if_nonfinite=True)
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        utils.clip_grad_norm(p, 1.0)


def test_clipping_sparse_gradients():
    table = nn.Embedding(5, 2, sparse=True)
    (table(nnlib.tensor([1, 1, 3])) * 3.0).sum().backward()
    total = math.sqrt(2 * 36 + 2 * 9)
    assert utils.clip_grad_norm_(table.parameters(), 1.0).item() == pytest.approx(total)
    assert table.weight.grad.is_sparse
    dense = table.weight.grad.to_dense()
    assert dense.pow(2).sum().sqrt().item() == pytest.approx(1.0, rel=1e-4)
    utils.clip_grad_value_(table.parameters(), 0.1)
    assert table.weight.grad.to_dense()[1].tolist() == pytest.approx([0.1, 0.1])


def test_parameters_to_vector_and_back():
    layer = nn.Linear(3, 2)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (8,)
    utils.vector_to_parameters(nnlib.arange(8.0), layer.parameters())
    assert layer.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and layer.bias.tolist() == [6, 7]
    with pytest.raises(TypeError, match="expected torch.Tensor"):
        utils.vector_to_parameters([1.0], layer.parameters())


# -- norms of weights


def test_weight_norm_parametrization():
    layer = nn.Linear(4, 3)
    weight = layer.weight.detach().clone()
    parametrizations.weight_norm(layer)
    assert list(layer.state_dict()) == [
        "bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]  # fmt: skip
    assert nnlib.allclose(layer.weight, weight, atol=1e-6)
    layer.parametrizations.weight.original0.data.fill_(2.0)
    assert layer.weight.detach().pow(2).sum(1).tolist() == pytest.approx([4.0] * 3, rel=1e-5)
    layer(nnlib.ones(1, 4)).sum().backward()
    assert layer.parametrizations.weight.original1.grad is not None
    twin = copy.deepcopy(layer)
    assert nnlib.equal(twin.weight, layer.weight)
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(layer)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
    assert nnlib.equal(layer.weight, twin.weight)


def test_older_weight_norm():
    layer = nn.Linear(4, 3)
    weight = layer.weight.detach().clone()
    with pytest.warns(FutureWarning, match="parametrizations.weight_norm"):
        utils.weight_norm(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight_g", "weight_v"] and layer.weight_g.shape == (3, 1)
    layer(nnlib.ones(1, 4)).sum().backward()
    assert layer.weight_g.grad is not None and nnlib.allclose(layer.weight, weight, atol=1e-6)
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError, match="two weight_norm hooks"):
        utils.weight_norm(layer)
    new = parametrizations.weight_norm(nn.Linear(4, 3))
    new.load_state_dict(layer.state_dict())
    assert nnlib.allclose(new.weight, weight, atol=1e-6)
    utils.remove_weight_norm(layer)
    assert nnlib.allclose(layer.weight, weight, atol=1e-6) and not layer._forward_pre_hooks
    with pytest.raises(ValueError, match="not found"):
        utils.remove_weight_norm(layer)


def largest_singular_value(weight):
    v = nnlib.ones(weight.size(1))
    for _ in range(200):
        v = weight.t() @ (weight @ v)
        v = v / v.pow(2).sum().sqrt()
    return (weight @ v).pow(2).sum().sqrt().item()


@pytest.mark.parametrize("apply", [utils.spectral_norm, parametrizations.spectral_norm])
def test_spectral_norm(apply):
    nnlib.manual_seed(0)
    layer = apply(nn.Linear(5, 4))
    for _ in range(100):
        layer(nnlib.ones(1, 5))
    assert largest_singular_value(layer.weight.detach()) == pytest.approx(1, abs=1e-3)
    layer(nnlib.ones(1, 5)).sum().backward()
    layer.eval()
    assert nnlib.equal(layer(nnlib.ones(1, 5)), layer(nnlib.ones(1, 5)))
    if apply is utils.spectral_norm:
        assert layer.weight_orig.grad is not None
        utils.remove_spectral_norm(layer)
    else:
        assert layer.parametrizations.weight.original.grad is not None
        parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, nn.Parameter)
    with pytest.raises(ValueError, match="positive"):
        apply(nn.Linear(2, 2), n_power_iterations=0)


class Double(nn.Module):
    calls = 0

    def forward(self, x):
        Double.calls += 1
        return x * 2

    def right_inverse(self, x):
        return x / 2


def test_parametrize():
    layer = nn.Linear(2, 2)
    value = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Double())
    assert nnlib.equal(layer.weight, value) and parametrize.is_parametrized(layer, "weight")
    parametrize.register_parametrization(layer, "weight", Double())
    assert nnlib.equal(layer.weight, value * 2) and len(layer.parametrizations.weight) == 2
    layer.weight = nnlib.ones(2, 2)
    assert layer.weight.tolist() == [[1, 1], [1, 1]]
    Double.calls = 0
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert Double.calls == 2
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert layer.weight.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(layer, "nothing", Double())
    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(layer, "weight", nn.Flatten(0))


# -- fusion, calls with other tensors


@pytest.mark.parametrize("bias", [True, False])
def test_fusion_with_batch_norm(bias):
    nnlib.manual_seed(0)
    cases = [
        (nn.Conv2d(2, 3, 3, bias=bias), nn.BatchNorm2d(3), (4, 2, 5, 5), utils.fuse_conv_bn_eval, {}),
        (nn.ConvTranspose1d(2, 3, 3, bias=bias), nn.BatchNorm1d(3), (4, 2, 5), utils.fuse_conv_bn_eval,
         {"transpose": True}),
        (nn.Linear(2, 3, bias=bias), nn.BatchNorm1d(3), (4, 2), utils.fuse_linear_bn_eval, {}),
    ]  # fmt: skip
    for layer, bn, shape, fuse, kwargs in cases:
        with pytest.raises(AssertionError, match="only for eval"):
            fuse(layer, bn)
        for _ in range(3):
            bn(layer(nnlib.randn(shape)))
        bn.weight.data.uniform_(0.5, 2)
        x = nnlib.randn(shape)
        expected = bn.eval()(layer.eval()(x))
        fused = fuse(layer, bn, **kwargs)
        assert nnlib.allclose(fused(x), expected, atol=1e-5) and fused is not layer


def test_functional_call():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    weight = nnlib.eye(2).requires_grad_()
    x = nnlib.tensor([[1.0, 2.0], [3.0, 5.0]])
    swapped = {"0.weight": weight, "0.bias": nnlib.zeros(2), "1.running_mean": nnlib.zeros(2)}
    functional_call(net, swapped, x).sum().backward()
    assert weight.grad is not None and net[0].weight.grad is None and swapped["1.running_mean"].any()
    assert nnlib.equal(net.state_dict()["0.weight"], before["0.weight"])
    assert not net[1].running_mean.any()
    for unknown in ("9.weight", "0.more"):
        with pytest.raises(AttributeError):
            functional_call(net, {unknown: weight}, x)
    with pytest.raises(RuntimeError, match="missing: 0.bias"):
        functional_call(net, {"0.weight": weight}, x, strict=True)
    assert nnlib.equal(net[0].weight, before["0.weight"])


def test_skip_init():
    nnlib.manual_seed(0)
    expected = nnlib.rand(1)
    nnlib.manual_seed(0)
    assert utils.skip_init(nn.Linear, 3, 2).weight.shape == (2, 3)
    assert nnlib.equal(nnlib.rand(1), expected)
    with pytest.raises(RuntimeError, match="device"):
        utils.skip_init(nn.ReLU)


# -- sequences


def test_pad_and_unpad():
    sequences = [nnlib.tensor([1, 2, 3]), nnlib.tensor([4])]
    assert rnn.pad_sequence(sequences, batch_first=True).tolist() == [[1, 2, 3], [4, 0, 0]]
    assert rnn.pad_sequence(sequences, padding_value=9).tolist() == [[1, 4], [2, 9], [3, 9]]
    assert rnn.pad_sequence(sequences, True, 0, "left").tolist() == [[1, 2, 3], [0, 0, 4]]
    padded = rnn.pad_sequence(sequences)
    assert [s.tolist() for s in rnn.unpad_sequence(padded, [3, 1])] == [[1, 2, 3], [4]]
    for wrong in (3, []):
        with pytest.raises(RuntimeError):
            rnn.pad_sequence(wrong)


def test_pack_and_unpack():
    x = nnlib.tensor([[1.0, 2, 3], [4, 5, 0], [6, 0, 0]], requires_grad=True)
    packed = rnn.pack_padded_sequence(x, [3, 2, 1], batch_first=True)
    assert packed.data.tolist() == [1, 4, 6, 2, 5, 3] and packed.batch_sizes.tolist() == [3, 2, 1]
    padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1, total_length=4)
    assert padded.tolist() == [[1, 2, 3, -1], [4, 5, -1, -1], [6, -1, -1, -1]] and lengths.tolist() == [
        3,
        2,
        1,
    ]
    padded.sum().backward()
    assert x.grad.tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert packed.double().data.dtype == nnlib.float64 and packed.to(nnlib.float32) is packed
    again = pickle.loads(pickle.dumps(packed.to(nnlib.float64)._replace(data=packed.data.detach())))
    assert isinstance(again, rnn.PackedSequence) and again.data.tolist() == packed.data.tolist()


def test_pack_sequences_in_any_order():
    sequences = [nnlib.arange(n) for n in (1, 3, 2)]
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    assert packed.sorted_indices.tolist() == [1, 2, 0] and packed.unsorted_indices.tolist() == [2, 0, 1]
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[0], [0, 1, 2], [0, 1]]
    assert rnn.invert_permutation(nnlib.tensor([2, 0, 1])).tolist() == [1, 2, 0]
    assert rnn.invert_permutation(None) is None


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([1, 2], "sorted in decreasing order"),
        ([2], "equal to batch_size"),
        ([2, 0], "greater than 0"),
        ([5, 1], "at most 3"),
    ],
)
def test_pack_errors(lengths, message):
    with pytest.raises(RuntimeError, match=message):
        rnn.pack_padded_sequence(nnlib.zeros(3, 2), lengths)


def test_pad_packed_error():
    packed = rnn.pack_sequence([nnlib.zeros(3)])
    with pytest.raises(ValueError, match="total_length=2 and max sequence length being 3"):
        rnn.pad_packed_sequence(packed, total_length=2)
