"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from collections import OrderedDict

import pytest

import nnlib
from nnlib import nn


def linears(n):
    return [nn.Linear(1, i + 1) for i in range(n)]


def sizes(modules):
    return [m.out_features for m in modules]


def test_sequential_runs_in_order_and_slices():
    m = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.ReLU(), last=nn.Linear(3, 1)))
    assert m(nnlib.ones(4, 2)).shape == (4, 1) and len(m) == 3
    assert m.first is m[0] and m[-1] is m.last
    part = m[:2]
    assert isinstance(part, nn.Sequential) and list(part._modules) == ["first", "act"]
    m[1] = nn.Tanh()
    assert isinstance(m.act, nn.Tanh)
    del m[0]
    assert len(m) == 2
    with pytest.raises(IndexError, match="out of range"):
        m[5]
    assert len(nn.Sequential()) == 0 and nn.Sequential()(3) == 3


def test_sequential_changes():
    m = nn.Sequential(*linears(2))
    assert m.append(nn.Linear(1, 9)) is m and sizes(m) == [1, 2, 9]
    assert m.insert(0, nn.Linear(1, 7)) is m and sizes(m) == [7, 1, 2, 9]
    assert sizes([m.pop(0)]) == [7] and m.extend(linears(1)) is m and sizes(m) == [1, 2, 9, 1]
    assert list(m._modules) == ["0", "1", "2", "3"]
    assert sizes(m + nn.Sequential(nn.Linear(1, 5))) == [1, 2, 9, 1, 5]
    assert sizes(m[:1] * 3) == [1, 1, 1] == sizes(3 * m[:1])
    m *= 2
    assert len(m) == 8
    m += nn.Sequential(nn.Linear(1, 4))
    assert len(m) == 9
    for action, error in (
        (lambda: m * 0, ValueError),
        (lambda: m * 1.5, TypeError),
        (lambda: m + 3, ValueError),
        (lambda: m.insert(0, 3), AssertionError),
        (lambda: m.insert(99, nn.ReLU()), IndexError),
        (lambda: m.extend(3), TypeError),
    ):
        with pytest.raises(error):
            action()


def test_module_list():
    m = nn.ModuleList(linears(3))
    assert sizes(m) == [1, 2, 3] and len(list(m.parameters())) == 6
    assert isinstance(m[1:], nn.ModuleList) and sizes(m[::-1]) == [3, 2, 1]
    m.insert(1, nn.Linear(1, 8))
    m += linears(1)
    assert sizes(m) == [1, 8, 2, 3, 1] and sizes(m + linears(1)) == [1, 8, 2, 3, 1, 1]
    del m[1:3]
    assert sizes(m) == [1, 3, 1] and list(m._modules) == ["0", "1", "2"]
    assert sizes([m.pop()]) == [1] and sizes(m) == [1, 3]
    with pytest.raises(NotImplementedError):
        m(1)
    with pytest.raises(TypeError):
        m.extend(nn.ReLU())


def test_module_list_repr_groups_equal_neighbours():
    m = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()])
    line = "Linear(in_features=2, out_features=2, bias=True)"
    assert repr(m) == f"ModuleList(\n  (0-1): 2 x {line}\n  (2): ReLU()\n)"
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict():
    m = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ReLU()})
    assert list(m) == ["a", "b"] == list(m.keys()) and "a" in m and len(m) == 2
    m.update([("c", nn.Tanh()), ("a", nn.Sigmoid())])
    assert [type(v).__name__ for v in m.values()] == ["Sigmoid", "ReLU", "Tanh"]
    assert isinstance(m.pop("b"), nn.ReLU)
    del m["c"]
    assert [k for k, _ in m.items()] == ["a"]
    m.clear()
    assert not len(m)
    for wrong, error in ((3, TypeError), ([3], TypeError), ([("a", 1, 2)], ValueError)):
        with pytest.raises(error):
            m.update(wrong)


def test_parameter_list():
    m = nn.ParameterList([nnlib.zeros(2, 3), 5])
    assert isinstance(m[0], nn.Parameter) and m[1] == 5 and len(list(m.parameters())) == 1
    m.append(nn.Parameter(nnlib.ones(1)))
    m += [nnlib.ones(2)]
    assert len(m) == 4 and [tuple(p.shape) for p in m.parameters()] == [(2, 3), (1,), (2,)]
    m[0] = nnlib.ones(4)
    assert m[-4].shape == (4,) and len(m[1:]) == 3 and list(m.state_dict()) == ["0", "2", "3"]
    with pytest.raises(IndexError):
        m[9]
    with pytest.raises(RuntimeError, match="should not be called"):
        m()
    with pytest.raises(TypeError):
        m.extend(3)
    assert repr(nn.ParameterList([nnlib.zeros(2, 3), 5])) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [torch.float32 of size 2x3]\n"
        "    (1): Object of type: int\n"
        ")"
    )


def test_parameter_dict():
    m = nn.ParameterDict({"a": nnlib.zeros(2)})
    m["b"] = nnlib.ones(1)
    m.update({"c": nnlib.ones(3)})
    assert list(m) == ["a", "b", "c"] and isinstance(m["b"], nn.Parameter)
    assert list(m.state_dict()) == ["a", "b", "c"] and list(reversed(m)) == ["c", "b", "a"]
    assert m.get("x") is None and m.setdefault("d", nnlib.ones(1)).shape == (1,)
    assert m.popitem()[0] == "d" and m.pop("c").shape == (3,)
    assert list((m | {"z": nnlib.ones(1)}).keys()) == ["a", "b", "z"]
    m |= {"y": nnlib.ones(1)}
    assert [k for k, _ in m.items()] == ["a", "b", "y"] and len(list(m.values())) == 3
    assert list(nn.ParameterDict.fromkeys(["p", "q"])) == ["p", "q"]
    with pytest.raises(TypeError, match="not a string"):
        m[3] = nnlib.ones(1)
    m.clear()
    assert not len(m) and not list(m.parameters())
