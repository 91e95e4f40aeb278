"""copy.deepcopy and pickle of tensors."""

import copy
import pickle

import pytest

import nnlib


def test_deepcopy_keeps_what_shares_memory_together():
    base = nnlib.arange(6.0)
    a, b = copy.deepcopy([base, base.view(2, 3).t()])
    a[1] = -1.0
    assert b[1, 0].item() == -1 and base[1].item() == 1 and b.stride() == (1, 3)


def test_deepcopy_keeps_class_gradient_and_attributes():
    p = nnlib.nn.Parameter(nnlib.ones(2))
    (p * 2).sum().backward()
    tagged = nnlib.ones(2, requires_grad=True)
    tagged.tag = [1]
    q = copy.deepcopy(p)
    assert type(q) is nnlib.nn.Parameter and q.requires_grad and q is not p
    r = copy.deepcopy(tagged)
    assert r.tag == [1] and r.tag is not tagged.tag and r.requires_grad
    leaf = nnlib.ones(2, requires_grad=True)
    (leaf * 3).sum().backward()
    assert copy.deepcopy(leaf).grad.tolist() == [3, 3]


def test_deepcopy_of_a_result_is_refused():
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(nnlib.ones(2, requires_grad=True) * 2)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    tensors = [
        nnlib.arange(6).view(2, 3)[:, 1:],
        nnlib.ones(2, dtype=nnlib.bfloat16),
        nnlib.nn.Parameter(nnlib.zeros(2)),
        nnlib.tensor(1.5, requires_grad=True),
    ]
    for t in tensors:
        back = pickle.loads(pickle.dumps(t, protocol))
        assert type(back) is type(t) and back.dtype == t.dtype and back.requires_grad == t.requires_grad
        assert back.tolist() == t.tolist() and back.stride() == t.stride()


def test_pickle_of_sparse_tensors():
    t = nnlib.sparse_coo_tensor(nnlib.tensor([[0, 2]]), nnlib.tensor([1.0, 3.0]), (4,))
    assert pickle.loads(pickle.dumps(t)).to_dense().tolist() == [1, 0, 3, 0]
    assert copy.deepcopy(t).to_dense().tolist() == [1, 0, 3, 0]
