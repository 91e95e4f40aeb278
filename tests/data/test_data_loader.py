"""The DataLoader without workers, and the checks of its arguments."""

import pytest
from test_data_sets import Count

import nnlib
from nnlib.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset


def lists(loader):
    return [batch.tolist() for batch in loader]


def test_batches():
    data = range(5)
    assert lists(DataLoader(data, batch_size=2)) == [[0, 1], [2, 3], [4]]
    assert lists(DataLoader(data, batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert lists(DataLoader(data, sampler=[4, 1, 0], batch_size=2)) == [[4, 1], [0]]
    assert lists(DataLoader(data, batch_sampler=[[1, 2], [0]])) == [[1, 2], [0]]
    assert list(DataLoader(data, batch_size=None)) == list(range(5))
    assert DataLoader(data, batch_size=3, collate_fn=sum).__len__() == 2
    assert list(DataLoader(data, batch_size=3, collate_fn=sum)) == [3, 7]
    assert [len(DataLoader(data, n)) for n in (1, 2, 5, 9)] == [5, 3, 1, 1]


def test_shuffle_depends_on_the_seed():
    loader = DataLoader(range(20), batch_size=20, shuffle=True)
    nnlib.manual_seed(3)
    one, two = lists(loader), lists(loader)
    nnlib.manual_seed(3)
    assert lists(loader) == one and one != two
    gen = nnlib.Generator().manual_seed(9)
    own = DataLoader(range(20), batch_size=20, shuffle=True, generator=gen)
    first = lists(own)
    gen.manual_seed(9)
    assert lists(own) == first


def test_rows_are_read_at_once_where_possible():
    class Rows(TensorDataset):
        def __getitems__(self, indices):
            return [("row", i) for i in indices]

    assert list(DataLoader(Rows(nnlib.arange(3)), batch_size=3, collate_fn=list)) == [
        [("row", 0), ("row", 1), ("row", 2)]
    ]


def test_iterable():
    loader = DataLoader(Count(*range(5)), batch_size=2)
    assert lists(loader) == [[0, 1], [2, 3], [4]] and len(loader) == 3
    assert lists(DataLoader(Count(*range(5)), batch_size=2, drop_last=True)) == [[0, 1], [2, 3]]
    assert list(DataLoader(Count(1, 2), batch_size=None)) == [1, 2]
    assert len(DataLoader(Count(1, 2), batch_size=None)) == 2


def test_iterable_that_is_longer_than_it_says():
    class Liar(Count):
        def __len__(self):
            return 1

    loader = DataLoader(Liar(1, 2))
    assert len(loader) == 1
    with pytest.warns(UserWarning, match="was reported to be 1.*but 2 samples have been fetched"):
        list(loader)


def test_endless_data():
    class Endless(IterableDataset):
        def __iter__(self):
            n = 0
            while True:
                yield n
                n += 1

    loader = iter(DataLoader(Endless(), batch_size=2))
    assert [next(loader).tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(TypeError):
        len(DataLoader(Endless()))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (dict(num_workers=-1), ValueError, "num_workers option should be non-negative"),
        (dict(timeout=-1), ValueError, "timeout option should be non-negative"),
        (
            dict(prefetch_factor=2),
            ValueError,
            "prefetch_factor option could only be specified in multiprocessing",
        ),
        (
            dict(num_workers=1, prefetch_factor=-2),
            ValueError,
            "prefetch_factor option should be non-negative",
        ),
        (dict(persistent_workers=True), ValueError, "persistent_workers option needs num_workers > 0"),
        (dict(sampler=[0], shuffle=True), ValueError, "sampler option is mutually exclusive with shuffle"),
        (dict(batch_sampler=[[0]], batch_size=2), ValueError, "batch_sampler option is mutually exclusive"),
        (dict(batch_sampler=[[0]], drop_last=True), ValueError, "batch_sampler option is mutually exclusive"),
        (dict(batch_size=None, drop_last=True), ValueError, "batch_size=None option disables auto-batching"),
        (
            dict(batch_size=0),
            ValueError,
            "batch_size should be a positive integer value, but got batch_size=0",
        ),
        (dict(multiprocessing_context="fork"), ValueError, "can only be used with multi-process loading"),
        (
            dict(num_workers=1, multiprocessing_context="thread"),
            ValueError,
            "should specify a valid start method",
        ),
        (dict(num_workers=1, multiprocessing_context=3), TypeError, "should be a valid context object"),
    ],
)
def test_errors(options, error, text):
    with pytest.raises(error) as e:
        DataLoader(range(5), **options)
    assert text in str(e.value)


@pytest.mark.parametrize(
    "options", [dict(shuffle=True), dict(sampler=[0]), dict(batch_sampler=BatchSampler([0], 1, False))]
)
def test_iterable_takes_no_order(options):
    with pytest.raises(ValueError, match="DataLoader with IterableDataset: expected unspecified"):
        DataLoader(Count(1), **options)


def test_attributes():
    loader = DataLoader(range(4), batch_size=2)
    assert isinstance(loader.sampler, SequentialSampler) and loader.batch_size == 2
    for name in ("batch_size", "sampler", "drop_last", "dataset", "batch_sampler", "persistent_workers"):
        with pytest.raises(
            ValueError, match=f"{name} attribute should not be set after DataLoader is initialized"
        ):
            setattr(loader, name, 1)
    loader.timeout = 3
    with pytest.raises(AssertionError, match="timeout needs num_workers > 0"):
        iter(loader)
    with pytest.raises(NotImplementedError, match="cannot be pickled"):
        iter(DataLoader(range(4))).__getstate__()


def test_pin_memory_warns():
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
        assert lists(DataLoader(range(2), batch_size=2, pin_memory=True)) == [[0, 1]]


def test_too_many_workers_warn():
    with pytest.warns(UserWarning, match="This DataLoader will create 4000 worker processes"):
        DataLoader(range(2), num_workers=4000)


def test_exception_of_the_dataset():
    class Bad:
        def __len__(self):
            return 2

        def __getitem__(self, i):
            raise KeyError("no such sample")

    with pytest.raises(KeyError, match="no such sample"):
        list(DataLoader(Bad()))
