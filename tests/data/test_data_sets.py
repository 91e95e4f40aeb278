"""Data sets, samplers and collation."""

import collections

import numpy as np
import pytest

import nnlib
from nnlib.utils import data


class Count(data.IterableDataset):
    def __init__(self, *numbers):
        self.numbers = numbers

    def __iter__(self):
        return iter(self.numbers)

    def __len__(self):
        return len(self.numbers)


def generator(seed=0):
    return nnlib.Generator().manual_seed(seed)


def test_tensor_dataset():
    d = data.TensorDataset(nnlib.arange(6).reshape(3, 2), nnlib.arange(3))
    assert len(d) == 3
    assert [t.tolist() for t in d[1]] == [[2, 3], 1]
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        data.TensorDataset(nnlib.zeros(2), nnlib.zeros(3))
    with pytest.raises(NotImplementedError, match="should implement __getitem__"):
        data.Dataset()[0]


def test_concat():
    d = data.ConcatDataset([[0, 1], [2], []]) + data.Subset([7, 8, 9], [2])
    assert len(d) == 4 and [d[i] for i in range(4)] == [0, 1, 2, 9]
    assert d[-1] == 9 and d[-4] == 0
    with pytest.raises(ValueError, match="absolute value of index"):
        d[-5]
    with pytest.raises(IndexError, match="index 4 is out of range"):
        d[4]
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        data.ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        data.ConcatDataset([Count(1)])


def test_chain():
    d = Count(1, 2) + Count(3)
    assert list(d) == [1, 2, 3] and len(d) == 3
    with pytest.raises(AssertionError, match="ChainDataset only supports IterableDataset, but got list"):
        list(data.ChainDataset([[1]]))


def test_stack():
    named = data.StackDataset(a=[1, 2], b=data.TensorDataset(nnlib.arange(2)))
    assert len(named) == 2 and named[1]["a"] == 2
    assert [s["a"] for s in named.__getitems__([1, 0])] == [2, 1]
    plain = data.StackDataset([1, 2], data.Subset([5, 6, 7], [2, 1]))
    assert plain.__getitems__([0, 1]) == [(1, 7), (2, 6)]
    with pytest.raises(ValueError, match="Size mismatch between datasets"):
        data.StackDataset([1], [1, 2])
    with pytest.raises(ValueError, match="At least one dataset"):
        data.StackDataset()
    with pytest.raises(ValueError, match="both types are given"):
        data.StackDataset([1], a=[1])


def test_subset():
    d = data.Subset(np.arange(10), [3, 5, 7])
    assert len(d) == 3 and d[1] == 5 and d[[0, 2]].tolist() == [3, 7]

    class Half(data.Subset):
        def __getitem__(self, i):
            return super().__getitem__(i) / 2

    with pytest.raises(NotImplementedError, match="overrides __getitem__ but not __getitems__"):
        Half([1], [0])


def test_random_split():
    parts = data.random_split(range(10), [0.55, 0.25, 0.2], generator())
    assert [len(p) for p in parts] == [6, 2, 2]
    assert sorted(i for p in parts for i in p) == list(range(10))
    with pytest.raises(ValueError, match="Sum of input lengths does not equal"):
        data.random_split(range(10), [3, 3])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        data.random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        data.random_split(range(1), [0.9, 0.1])


def test_samplers():
    source = "abcdefg"
    assert list(data.SequentialSampler(source)) == list(range(7))
    assert sorted(data.RandomSampler(source)) == list(range(7))
    twice = list(data.RandomSampler(source, num_samples=17))
    assert len(twice) == 17 and sorted(twice[:7]) == list(range(7)) == sorted(twice[7:14])
    drawn = list(data.RandomSampler(source, replacement=True, num_samples=70))
    assert len(drawn) == 70 and set(drawn) <= set(range(7))
    assert sorted(data.SubsetRandomSampler([4, 9], generator())) == [4, 9]
    assert list(data.WeightedRandomSampler([0, 2.0, 0], 5)) == [1] * 5
    assert sorted(data.WeightedRandomSampler([1, 1, 0.1], 3, replacement=False)) == [0, 1, 2]
    assert len(data.WeightedRandomSampler([1], 4)) == 4


def test_batch_sampler():
    for drop_last, want in ((False, [[0, 1, 2], [3, 4, 5], [6]]), (True, [[0, 1, 2], [3, 4, 5]])):
        batches = data.BatchSampler(range(7), 3, drop_last)
        assert list(batches) == want and len(batches) == len(want)


def test_sampler_errors():
    with pytest.raises(TypeError, match="replacement should be a boolean value, but got replacement=1"):
        data.RandomSampler("ab", replacement=1)
    with pytest.raises(
        ValueError, match="num_samples should be a positive integer value, but got num_samples=0"
    ):
        data.RandomSampler("ab", num_samples=0)
    with pytest.raises(ValueError, match="num_samples should be a positive integer"):
        data.RandomSampler("")
    with pytest.raises(ValueError, match="weights should be a 1d sequence"):
        data.WeightedRandomSampler([[1.0]], 1)
    with pytest.raises(
        ValueError, match="batch_size should be a positive integer value, but got batch_size=True"
    ):
        data.BatchSampler([1], True, False)
    with pytest.raises(ValueError, match="drop_last should be a boolean value"):
        data.BatchSampler([1], 1, 1)
    with pytest.raises(NotImplementedError):
        iter(data.Sampler())


def test_distributed_sampler():
    for length in (7, 8, 3, 1):
        for drop_last in (False, True):
            shares = [
                list(data.DistributedSampler(range(length), 4, rank, seed=3, drop_last=drop_last))
                for rank in range(4)
            ]
            assert len({len(s) for s in shares}) == 1
            seen = [i for s in shares for i in s]
            if drop_last:
                assert len(seen) == len(set(seen)) == length // 4 * 4
            else:
                assert set(seen) == set(range(length))
    sampler = data.DistributedSampler(range(50), 2, 0)
    first = list(sampler)
    assert list(sampler) == first and len(sampler) == 25
    sampler.set_epoch(1)
    assert list(sampler) != first
    with pytest.raises(ValueError, match=r"Invalid rank 2, rank should be in the interval \[0, 1\]"):
        data.DistributedSampler(range(5), 2, 2)


def test_orders_are_torchs():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity check")
    orders = []
    for lib in (nnlib, torch):
        d = lib.utils.data
        lib.manual_seed(5)
        gen = lib.Generator()
        gen.manual_seed(11)
        source = range(40)
        orders.append(
            [
                list(d.RandomSampler(source)),
                list(d.RandomSampler(source, num_samples=100, generator=gen)),
                list(d.RandomSampler(source, replacement=True, num_samples=70, generator=gen)),
                list(d.SubsetRandomSampler(source, generator=gen)),
                list(d.DistributedSampler(source, 3, 1, seed=7)),
                list(d.random_split(source, [30, 10], generator=gen)[1]),
                [b.tolist() for b in d.DataLoader(source, 7, shuffle=True)],
                [b.tolist() for b in d.DataLoader(source, 7, shuffle=True, generator=gen, drop_last=True)],
                list(d.RandomSampler(source)),
            ]
        )
    assert orders[0] == orders[1]


Point = collections.namedtuple("Point", "x y")


def test_collate():
    batch = [
        {
            "t": nnlib.tensor([1.0, 2.0]),
            "n": 1,
            "f": 0.5,
            "s": "a",
            "p": Point(1, [2, 3]),
            "b": b"x",
            "t2": (1, 2),
        },
        {
            "t": nnlib.tensor([3.0, 4.0]),
            "n": 2,
            "f": 1.5,
            "s": "b",
            "p": Point(4, [5, 6]),
            "b": b"y",
            "t2": (3, 4),
        },
    ]
    got = data.default_collate(batch)
    assert got["t"].tolist() == [[1, 2], [3, 4]]
    assert got["n"].dtype == nnlib.int64 and got["n"].tolist() == [1, 2]
    assert got["f"].dtype == nnlib.float64
    assert got["s"] == ["a", "b"] and got["b"] == [b"x", b"y"]
    assert type(got["p"]) is Point and got["p"].x.tolist() == [1, 4]
    assert [t.tolist() for t in got["p"].y] == [[2, 5], [3, 6]]
    assert type(got["t2"]) is list and got["t2"][1].tolist() == [2, 4]


def test_collate_numpy():
    got = data.default_collate([np.array([1, 2], dtype=np.int16), np.array([3, 4], dtype=np.int16)])
    assert got.dtype == nnlib.int16 and got.tolist() == [[1, 2], [3, 4]]
    got = data.default_collate([np.float32(1.5), np.float32(2.5)])
    assert got.dtype == nnlib.float32 and got.tolist() == [1.5, 2.5]
    assert data.default_collate([np.bool_(True), np.bool_(False)]).tolist() == [True, False]


def test_collate_keeps_container_types():
    ordered = collections.OrderedDict(a=1)
    assert type(data.default_collate([ordered, ordered])) is collections.OrderedDict
    default = collections.defaultdict(list, a=1)
    got = data.default_collate([default, default])
    assert got.default_factory is list and got["a"].tolist() == [1, 1]


def test_collate_errors():
    with pytest.raises(TypeError, match="batch must contain tensors, numpy arrays, numbers, dicts or lists"):
        data.default_collate([object()])
    with pytest.raises(TypeError, match="batch must contain"):
        data.default_collate([np.array(["a"])])
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(RuntimeError):
        data.default_collate([nnlib.zeros(2), nnlib.zeros(3)])


def test_convert():
    got = data.default_convert(
        {"a": np.array([1]), "s": "x", "t": (np.float64(2.0), 3), "p": Point(np.ones(1), "y")}
    )
    assert got["a"].tolist() == [1] and got["s"] == "x"
    assert isinstance(got["t"], list) and got["t"][0].item() == 2.0 and got["t"][1] == 3
    assert type(got["p"]) is Point and got["p"].y == "y"
    text = np.array(["a", "b"])
    assert data.default_convert(text) is text
