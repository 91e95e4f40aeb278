"""Products, convolutions, embeddings and classification losses: errors, options and threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nnlib
import nnlib.nn.functional as F


def zeros(*shape, dtype=nnlib.float32):
    return nnlib.zeros(shape, dtype=dtype)


def classes(*values, dtype=nnlib.int64):
    return nnlib.tensor(values, dtype=dtype)


ERRORS = {
    "mm sizes": (
        lambda: nnlib.mm(zeros(2, 3), zeros(4, 5)),
        RuntimeError,
        r"cannot be multiplied \(2x3 and 4x5\)",
    ),
    "mm dtypes": (
        lambda: nnlib.mm(zeros(2, 3), zeros(3, 4, dtype=nnlib.float64)),
        RuntimeError,
        "expected m1 and m2 to have the same dtype",
    ),
    "mm bool": (
        lambda: nnlib.mm(zeros(2, 3, dtype=nnlib.bool), zeros(3, 4, dtype=nnlib.bool)),
        NotImplementedError,
        "not implemented for 'Bool'",
    ),
    "bmm": (
        lambda: nnlib.bmm(zeros(2, 3, 4), zeros(2, 5, 4)),
        RuntimeError,
        r"to be: \[2, 4\] but got: \[2, 5\]",
    ),
    "dot": (lambda: nnlib.dot(zeros(2), zeros(3)), RuntimeError, "inconsistent tensor size"),
    "matmul of a number": (lambda: nnlib.matmul(zeros(), zeros(3)), RuntimeError, "at least 1D"),
    "einsum size": (
        lambda: nnlib.einsum("ij,jk->ik", zeros(2, 3), zeros(4, 5)),
        RuntimeError,
        "subscript j has size 4 for operand 1 which does not broadcast with previously seen size 3",
    ),
    "einsum subscript": (
        lambda: nnlib.einsum("i1->i", zeros(2, 3)),
        RuntimeError,
        "invalid subscript given at index 1",
    ),
    "einsum output": (
        lambda: nnlib.einsum("ij->iz", zeros(2, 3)),
        RuntimeError,
        "output subscript z does not appear",
    ),
    "tensordot": (
        lambda: nnlib.tensordot(zeros(2, 3), zeros(4, 5), dims=1),
        RuntimeError,
        "contracted dimensions need to match",
    ),
    "tensordot of a number": (
        lambda: nnlib.tensordot(nnlib.tensor(2.0), zeros(2, 1, 2), dims=[[0, 1], [2, 0]]),
        IndexError,
        "tensor has no dimensions",
    ),
    "linear": (lambda: F.linear(zeros(2, 3), zeros(4, 5)), RuntimeError, r"\(2x3 and 5x4\)"),
    "conv channels": (
        lambda: F.conv2d(zeros(1, 4, 5, 5), zeros(2, 3, 2, 2)),
        RuntimeError,
        r"expected input\[1, 4, 5, 5\] to have 3 channels, but got 4 channels instead",
    ),
    "conv kernel": (
        lambda: F.conv2d(zeros(1, 3, 2, 2), zeros(2, 3, 3, 3)),
        RuntimeError,
        r"Calculated padded input size per channel: \(2 x 2\). Kernel size: \(3 x 3\)",
    ),
    "conv dimensions": (
        lambda: F.conv2d(zeros(3, 3), zeros(2, 3, 2, 2)),
        RuntimeError,
        r"Expected 3D \(unbatched\) or 4D",
    ),
    "conv stride": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 3, 3), stride=0),
        RuntimeError,
        "non-positive stride is not supported",
    ),
    "conv groups": (
        lambda: F.conv2d(zeros(1, 4, 5, 5), zeros(3, 2, 3, 3), groups=2),
        RuntimeError,
        "expected weight to be divisible by 2 at dimension 0",
    ),
    "conv same": (
        lambda: F.conv2d(zeros(1, 3, 5, 5), zeros(2, 3, 3, 3), padding="same", stride=2),
        RuntimeError,
        "padding='same' is not supported for strided convolutions",
    ),
    "conv_transpose padding": (
        lambda: F.conv_transpose2d(zeros(1, 3, 5, 5), zeros(3, 2, 3, 3), output_padding=2),
        RuntimeError,
        "output padding must be smaller than either stride or dilation",
    ),
    "embedding index": (
        lambda: F.embedding(classes(5), zeros(4, 3)),
        IndexError,
        "index out of range in self",
    ),
    "embedding dtype": (
        lambda: F.embedding(zeros(1), zeros(4, 3)),
        RuntimeError,
        "Long, Int; but got torch.FloatTensor",
    ),
    "bag offsets": (
        lambda: F.embedding_bag(classes(1), zeros(4, 3), classes(1)),
        RuntimeError,
        r"offsets\[0\] has to be 0",
    ),
    "cross_entropy batch": (
        lambda: F.cross_entropy(zeros(3, 5), classes(0, 1)),
        ValueError,
        r"batch_size \(3\)",
    ),
    "cross_entropy class": (
        lambda: F.cross_entropy(zeros(2, 5), classes(0, 7)),
        IndexError,
        "Target 7 is out of bounds",
    ),
    "cross_entropy target": (
        lambda: F.cross_entropy(zeros(2, 5), classes(0, 1, dtype=nnlib.int32)),
        RuntimeError,
        "expected target dtype to be Long or Byte, but got Int",
    ),
    "cross_entropy weight": (
        lambda: F.cross_entropy(zeros(2, 5), classes(0, 1), weight=zeros(4)),
        RuntimeError,
        r"got weight tensor of shape: \[4\]",
    ),
    "cross_entropy smoothing": (
        lambda: F.cross_entropy(zeros(2, 5), classes(0, 1), label_smoothing=2.0),
        RuntimeError,
        "label_smoothing must be between 0.0 and 1.0. Got: 2",
    ),
    "inverse": (lambda: nnlib.linalg.inv(zeros(2, 2)), RuntimeError, "the input matrix is singular"),
    "cholesky": (lambda: nnlib.linalg.cholesky(-nnlib.eye(2)), RuntimeError, "not positive-definite"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_was_expected(name):
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        call()


def random(*shape, seed=0):
    return nnlib.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def train_step():
    """Gradients of a small network whose parts are large enough to be shared among threads."""
    x, filters, weight = random(8, 16, 20, 20), random(40, 16, 3, 3, seed=1), random(70, 4000, seed=2)
    table = random(50, 64, seed=3)
    leaves = [x, filters, weight, table]
    for leaf in leaves:
        leaf.requires_grad_()
    hidden = F.conv2d(x, filters, stride=2, padding=1).reshape(8, -1)
    logits = F.linear(hidden, weight) * 0.01
    rows = F.embedding(nnlib.arange(4000) % 37, table)
    loss = F.cross_entropy(logits, nnlib.arange(8)) + (rows * rows).mean()
    loss.backward()
    return [loss.detach().numpy(), *(leaf.grad.numpy() for leaf in leaves)]


def test_threads_do_not_change_a_bit():
    threads = nnlib.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3):
            nnlib.set_num_threads(n)
            results.append(train_step())
    finally:
        nnlib.set_num_threads(threads)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert np.array_equal(a, b)


def test_operands_may_be_strided_anyhow():
    a, b = random(6, 8)[::2, 1::3], random(5, 9, seed=1).t()[::3, :]
    assert np.allclose((a @ b).numpy(), a.numpy() @ b.numpy(), atol=1e-6)
    x, w = random(2, 5, 6, 3).permute(0, 3, 1, 2), random(3, 3, 4, 3, seed=1).permute(2, 0, 1, 3)
    assert nnlib.equal(F.conv2d(x, w), F.conv2d(x.contiguous(), w.contiguous()))


def test_convolution_keeps_channels_last():
    x, w = random(2, 3, 6, 5), random(4, 3, 3, 3, seed=1)
    plain = F.conv2d(x, w)
    turned = F.conv2d(x.to(memory_format=nnlib.channels_last), w)
    assert plain.is_contiguous() and turned.is_contiguous(memory_format=nnlib.channels_last)
    assert nnlib.equal(plain, turned)


CONVOLUTIONS = {
    "3x3": (dict(padding=1), (2, 5, 9, 7), (6, 5, 3, 3)),
    "3x3 stride": (dict(stride=2, padding=1), (2, 5, 9, 8), (6, 5, 3, 3)),
    "1x1": ({}, (2, 20, 5, 7), (9, 20, 1, 1)),
    "1x1 stride": (dict(stride=2), (2, 20, 6, 7), (9, 20, 1, 1)),
    "depthwise": (dict(padding=1, groups=19), (2, 19, 9, 7), (19, 1, 3, 3)),
    "depthwise stride": (dict(stride=2, padding=2, groups=19), (2, 19, 9, 8), (19, 1, 5, 5)),
    "groups": (dict(padding=1, groups=3), (2, 12, 9, 7), (6, 4, 3, 3)),
    "3d": (dict(padding=1), (2, 5, 4, 5, 6), (6, 5, 3, 3, 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.bfloat16, nnlib.float16])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolution_of_any_layout_and_type(name, dtype, transposed):
    """Results and gradients are those of float64; 16-bit floats are rounded once, at the end."""
    options, x_size, w_size = CONVOLUTIONS[name]
    if transposed:  # x has the sizes that the convolution's output had
        x_size = tuple(getattr(F, f"conv{len(x_size) - 2}d")(zeros(*x_size), zeros(*w_size), **options).shape)
    call = getattr(F, f"conv{'_transpose' if transposed else ''}{len(x_size) - 2}d")
    x, w = random(*x_size).to(dtype), random(*w_size, seed=1).to(dtype)
    bias = random(w_size[1] * options.get("groups", 1) if transposed else w_size[0], seed=2).to(dtype)
    last = nnlib.channels_last if len(x_size) == 4 else nnlib.channels_last_3d

    def run(dtype, x_last, w_last):
        leaves = [t.detach().to(dtype).requires_grad_() for t in (x, w, bias)]
        inputs = list(leaves)
        if x_last:
            inputs[0] = inputs[0].contiguous(memory_format=last)
        if w_last:
            inputs[1] = inputs[1].contiguous(memory_format=last)
        y = call(*inputs, **options)
        y.backward(random(*y.shape, seed=3).to(x.dtype).to(dtype))
        return [t.detach().double().numpy() for t in (y, *(leaf.grad for leaf in leaves))]

    exact = run(nnlib.float64, False, False)
    rounding = {nnlib.float32: 2e-6, nnlib.bfloat16: 2**-8, nnlib.float16: 2**-11}[dtype]
    for layout in ((False, False), (True, False), (True, True), (False, True)):
        for got, want in zip(run(dtype, *layout), exact, strict=True):
            np.testing.assert_allclose(got, want, rtol=rounding * 1.01, atol=3e-5)


def test_convolutions_of_two_python_threads_do_not_mix():
    """A thread of the pool may serve the loops of several callers in turn."""

    def run(seed, groups, size):
        x = random(4, 32, size, size, seed=seed).requires_grad_()
        w = random(32, 32 // groups, 3, 3, seed=seed + 1).requires_grad_()
        y = F.conv2d(x, w, stride=2, padding=1, groups=groups)
        y.backward(random(*y.shape, seed=seed + 2))
        return [t.detach().numpy().tobytes() for t in (y, x.grad, w.grad)]

    jobs = [(0, 1, 23), (10, 32, 40), (20, 8, 19), (30, 1, 40)]
    alone = [run(*job) for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        for got, want in zip(pool.map(lambda i: run(*jobs[i % 4]), range(80)), alone * 20, strict=True):
            assert got == want


def test_sparse_gradient_of_an_embedding_is_the_dense_one():
    indices = classes(3, 1, 3, 0)
    grads = []
    for sparse in (False, True):
        weight = random(5, 4).requires_grad_()
        F.embedding(indices, weight, padding_idx=1, sparse=sparse).pow(2).sum().backward()
        assert weight.grad.is_sparse == sparse
        grads.append(weight.grad.to_dense() if sparse else weight.grad)
    assert nnlib.allclose(*grads)
    assert np.all(grads[0].numpy()[1] == 0)


def test_max_norm_scales_rows_that_are_looked_up_in_place():
    weight = nnlib.tensor([[3.0, 4.0], [30.0, 40.0], [0.3, 0.4]])
    out = F.embedding(classes(0, 2), weight, max_norm=1.0)
    expected = [[0.6, 0.8], [30.0, 40.0], [0.3, 0.4]]
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(out.numpy(), [expected[0], expected[2]], rtol=1e-6)


def test_all_targets_ignored():
    x = random(3, 5).requires_grad_()
    target = classes(-100, -100, -100)
    assert np.isnan(F.cross_entropy(x, target).item())
    total = F.cross_entropy(x, target, reduction="sum")
    total.backward()
    assert total.item() == 0
    assert np.all(x.grad.numpy() == 0)


def test_cross_entropy_of_large_logits():
    x = nnlib.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, classes(1))
    loss.backward()
    assert loss.item() == 2e4
    np.testing.assert_array_equal(x.grad.numpy(), [[1.0, -1.0, 0.0]])


@pytest.mark.parametrize("dtype", [nnlib.float32, nnlib.float64], ids=str)
@pytest.mark.parametrize(
    "channels, outputs, side", [(37, 1, 47), (18, 3, 33), (16, 6, 9), (1, 2, 37), (40, 5, 8)]
)
def test_1x1_of_few_output_channels(channels, outputs, side, dtype):
    x, w, b = (
        random(2, channels, side, side),
        random(outputs, channels, 1, 1, seed=1),
        random(outputs, seed=2),
    )
    expected = np.einsum("nchw,oc->nohw", x.double().numpy(), w.double().numpy()[:, :, 0, 0])
    for bias in (None, b):
        y = F.conv2d(x.to(dtype), w.to(dtype), bias if bias is None else bias.to(dtype)).double().numpy()
        shift = 0 if bias is None else bias.double().numpy().reshape(1, -1, 1, 1)
        np.testing.assert_allclose(
            y, expected + shift, rtol=0, atol=1e-4 if dtype == nnlib.float32 else 1e-12
        )
    # The input gradient of as many input channels.
    y = (
        F.conv_transpose2d(x.to(dtype), w.transpose(0, 1).contiguous().to(dtype), b.to(dtype))
        .double()
        .numpy()
    )
    np.testing.assert_allclose(y, expected + shift, rtol=0, atol=1e-4 if dtype == nnlib.float32 else 1e-12)


def test_sums_of_nothing_are_the_bias():
    bias = nnlib.tensor([1.0, 2.0, 3.0])
    assert F.linear(zeros(2, 0), zeros(3, 0), bias).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert (zeros(2, 0) @ zeros(0, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]
    y = F.conv2d(zeros(1, 0, 3, 3), zeros(3, 0, 2, 2), bias)
    assert y[0, :, 1, 1].tolist() == [1, 2, 3]


def test_integers_multiply_exactly():
    a = nnlib.tensor([[2**40, 3], [-5, 7]])
    assert (a @ a).tolist() == (a.numpy() @ a.numpy()).tolist()
    x, w = nnlib.arange(16).reshape(1, 1, 4, 4), nnlib.tensor([[[[1, -1], [2, 0]]]])
    assert F.conv2d(x, w).tolist() == F.conv2d(x.double(), w.double()).long().tolist()


def test_einsum_with_numbered_dimensions():
    a, b = random(2, 3), random(4, 3, seed=1)
    assert nnlib.equal(nnlib.einsum(a, [0, 1], b, [2, 1], [0, 2]), nnlib.einsum("ij,kj->ik", a, b))
