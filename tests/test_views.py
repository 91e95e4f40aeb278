"""Views share memory: changes and gradients go through them."""

import pytest

import nnlib

VIEWS = {
    "view": lambda x: x.view(6, 2),
    "t": lambda x: x.t(),
    "permute": lambda x: x.permute(1, 0),
    "select": lambda x: x[1],
    "slice": lambda x: x[1:, ::2],
    "unsqueeze": lambda x: x.unsqueeze(0),
    "diagonal": lambda x: x.diagonal(),
    "as_strided": lambda x: x.as_strided((2, 2), (5, 1), 1),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "squeeze": lambda x: x[:1].squeeze(0),
    "flatten": lambda x: x.flatten(),
    "detach": lambda x: x.detach(),
    "view_dtype": lambda x: x.view(nnlib.int32),
}


@pytest.mark.parametrize("name", VIEWS)
def test_memory_is_shared(name):
    x = nnlib.zeros(3, 4)
    v = VIEWS[name](x)
    v.fill_(1)
    assert (x != 0).sum() == v.numel()
    assert x._version == v._version == 1


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("detach", "view_dtype")])
def test_gradient_of_a_change_through_a_view(name):
    leaf = nnlib.arange(12.0).view(3, 4).requires_grad_()
    x = leaf * 1
    VIEWS[name](x).mul_(3)
    (x * x).sum().backward()
    # d/dl (f l)^2 = 2 f^2 l with f = 3 inside of the view and 1 outside.
    inside = nnlib.zeros(3, 4)
    VIEWS[name](inside).fill_(1)
    want = 2 * (1 + 8 * inside) * leaf.detach()
    assert leaf.grad.tolist() == want.tolist()


def test_a_view_sees_later_changes_of_its_base():
    leaf = nnlib.ones(4, requires_grad=True)
    x = leaf * 2
    v = x[:2]
    x.mul_(5)
    v.sum().backward()
    assert leaf.grad.tolist() == [10, 10, 0, 0]


def test_overlapping_views_add_up():
    x = nnlib.arange(5.0, requires_grad=True)
    x.unfold(0, 3, 1).sum().backward()
    assert x.grad.tolist() == [1, 2, 3, 2, 1]
    x.grad = None
    x.as_strided((2, 3), (0, 1)).sum().backward()
    assert x.grad.tolist() == [2, 2, 2, 0, 0]


def test_parts_of_one_split_are_not_changed_in_place():
    x = nnlib.ones(4, requires_grad=True) * 1
    a, b = x.split(2)
    with pytest.raises(RuntimeError, match="multiple"):
        a.mul_(2)
    assert b.grad_fn.name() == "SplitBackward0"


def test_leaf_views_are_guarded():
    x = nnlib.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        x[0] = 1
    with pytest.raises(RuntimeError, match="more than one element"):
        nnlib.ones(1).expand(3).mul_(2)


def test_reshape_copies_only_where_it_must():
    x = nnlib.zeros(2, 3)
    assert x.reshape(3, 2).data_ptr() == x.data_ptr()
    assert x.t().reshape(6).data_ptr() != x.data_ptr()
    with pytest.raises(RuntimeError, match="not compatible"):
        x.t().view(6)
    with pytest.raises(RuntimeError, match="invalid for input of size 6"):
        x.view(4)


def test_in_place_shape_changes():
    leaf = nnlib.arange(6.0).view(2, 3).requires_grad_()
    x = leaf * 1
    assert x.t_() is x and x.shape == (3, 2)
    (x * nnlib.arange(6.0).view(3, 2)).sum().backward()
    assert leaf.grad.tolist() == [[0, 2, 4], [1, 3, 5]]
    y = nnlib.zeros(1, 2)
    assert (
        y.squeeze_().shape == (2,) and y.unsqueeze_(1).shape == (2, 1) and y.transpose_(0, 1).shape == (1, 2)
    )
    y.resize_(2, 4)
    assert y.shape == (2, 4) and y.is_contiguous()


def test_channels_last():
    x = nnlib.arange(24.0).view(1, 2, 3, 4)
    y = x.contiguous(memory_format=nnlib.channels_last)
    assert y.stride() == (24, 1, 8, 2) and y.equal(x)
    assert y.is_contiguous(memory_format=nnlib.channels_last) and not y.is_contiguous()
    assert y.clone().stride() == y.stride()
    assert nnlib.cat([y, y]).is_contiguous(memory_format=nnlib.channels_last)
    assert y.contiguous().stride() == x.stride()


def test_copy_converts_and_broadcasts():
    x = nnlib.zeros(2, 3, dtype=nnlib.int64)
    src = nnlib.tensor([1.9, -1.9, 3.0], requires_grad=True)
    assert x.copy_(src).tolist() == [[1, -1, 3]] * 2
    y = nnlib.zeros(2, 3)
    y.copy_(src).sum().backward()
    assert src.grad.tolist() == [2, 2, 2]
    z = nnlib.arange(6.0)
    z[1:].copy_(z[:-1])  # the two overlap
    assert z.tolist() == [0, 0, 1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        nnlib.zeros(3).copy_(nnlib.zeros(2, 3))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda x: x.transpose(0, 2), IndexError, "out of range"),
        (lambda x: x.select(0, 5), IndexError, "out of range"),
        (lambda x: x.narrow(0, 1, 5), RuntimeError, "exceeds dimension size"),
        (lambda x: x.permute(0, 0), RuntimeError, "duplicate dims"),
        (lambda x: x.expand(2, 4), RuntimeError, "must match the existing size"),
        (lambda x: x.unfold(1, 4, 1), RuntimeError, "maximum size"),
        (lambda x: x.as_strided((9,), (1,)), RuntimeError, "out of bounds"),
        (lambda x: x.split([1, 2]), RuntimeError, "sum exactly"),
        (lambda x: x.unflatten(1, (2, 2)), RuntimeError, "multiply up"),
        (lambda x: nnlib.cat([]), ValueError, "non-empty"),
        (lambda x: nnlib.cat([x, x[0]]), RuntimeError, "same number of dimensions"),
        (lambda x: nnlib.stack([x, x[0]]), RuntimeError, "equal size"),
        (
            lambda x: nnlib.nn.functional.pad(x, (3, 0), "reflect"),
            RuntimeError,
            "less than the corresponding",
        ),
        (lambda x: nnlib.nn.functional.pad(x[0], (1, 0), "reflect"), NotImplementedError, "2D, 3D, 4D, 5D"),
    ],
)
def test_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(nnlib.zeros(2, 3))


def test_the_largest_numbers():
    most, x = 2**63 - 1, nnlib.arange(6)
    assert x[::most].tolist() == [0] and x[2 :: 2**62].tolist() == [2] and x[::10].stride() == (10,)
    assert [part.tolist() for part in x.chunk(most)] == [[0], [1], [2], [3], [4], [5]]
    assert nnlib.zeros(0, 2**62, 3).shape == (0, 2**62, 3)
    with pytest.raises(RuntimeError, match="sum exactly"):
        x.split([most, most, 8])
    assert nnlib.combinations(x, 2**40).shape == (0, 2**40)
    assert nnlib.equal(nnlib.linalg.matrix_power(nnlib.eye(3), -most - 1), nnlib.eye(3))
    image, weight, f = nnlib.rand(1, 2, 9, 9), nnlib.rand(2, 2, 5, 5), nnlib.nn.functional
    for call in (
        lambda: f.conv2d(image, weight, dilation=2**62),
        lambda: f.conv2d(image, weight[:, :1], groups=2, dilation=2**62),
        lambda: f.conv_transpose2d(image, weight, dilation=2**62),
        lambda: f.conv_transpose2d(image, weight, stride=2**62),
        lambda: f.max_pool2d(image, 2**61 + 1, 1, 0, 8),
        lambda: f.avg_pool2d(image, 3, most),
        lambda: f.unfold(image, 5, dilation=2**62),
    ):
        with pytest.raises(RuntimeError, match="is out of range"):
            call()
    with pytest.raises(RuntimeError, match="larger than memory can be"):
        f.conv_transpose1d(nnlib.zeros(0, 1, 2**40), weight[:1, :1, 0], stride=2**30)


def test_combinations_of_too_few_keep_their_history():
    x = nnlib.ones(2, requires_grad=True)
    none = nnlib.combinations(x, 3)
    assert none.shape == (0, 3)
    none.sum().backward()
    assert x.grad.tolist() == [0, 0]
