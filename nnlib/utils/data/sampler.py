"""Samplers: in which order, and in which batches, indices are drawn."""

import itertools
from typing import Generic, TypeVar

import nnlib

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

_T_co = TypeVar("_T_co", covariant=True)


def _check_bool(name, value, error=ValueError):
    if not isinstance(value, bool):
        raise error(f"{name} should be a boolean value, but got {name}={value}")


def _check_positive(name, value):
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


class Sampler(Generic[_T_co]):
    """Base class of samplers: a subclass implements ``__iter__``, over indices or lists of them.

    Example:
        >>> from nnlib.utils.data import Sampler
        >>> class Backwards(Sampler):
        ...     def __init__(self, data):
        ...         self.data = data
        ...     def __iter__(self):
        ...         return iter(reversed(range(len(self.data))))
        >>> list(Backwards("abc"))
        [2, 1, 0]
    """

    def __iter__(self):
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """Gives all indices in order.

    Args:
        data_source (Dataset): the data set, of which only the length is used.

    Example:
        >>> from nnlib.utils.data import SequentialSampler
        >>> list(SequentialSampler("abc"))
        [0, 1, 2]
    """

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Draws indices at random; for the same seed the ones that PyTorch draws.

    Args:
        data_source (Dataset): the data set, of which only the length is used.
        replacement (bool, optional): an index may come again (default: False)
        num_samples (int, optional): how many to draw (default: the length)
        generator (Generator, optional): where random numbers come from; without one each iteration seeds
            its own from the global one (default: None)

    Raises:
        TypeError: when ``replacement`` is no bool.
        ValueError: when ``num_samples``, or the length, is no positive integer.

    Example:
        >>> from nnlib.utils.data import RandomSampler
        >>> sorted(RandomSampler("abc"))
        [0, 1, 2]
    """

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _check_bool("replacement", replacement, TypeError)
        _check_positive("num_samples", self.num_samples)

    @property
    def num_samples(self):
        """How many indices an iteration gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self):
        n, total, generator = len(self.data_source), self.num_samples, self.generator
        if generator is None:
            generator = nnlib.Generator()
            generator.manual_seed(draw_seed())
        if self.replacement:
            for start in range(0, total, 32):
                count = min(32, total - start)
                yield from nnlib.randint(n, (count,), dtype=nnlib.int64, generator=generator).tolist()
        else:
            for _ in range(total // n):
                yield from nnlib.randperm(n, generator=generator).tolist()
            # Drawn even when nothing is left, so that the generator ends where PyTorch's does.
            yield from nnlib.randperm(n, generator=generator).tolist()[: total % n]

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Gives the listed indices in random order.

    Args:
        indices (sequence): the indices.
        generator (Generator, optional): where random numbers come from.

    Example:
        >>> from nnlib.utils.data import SubsetRandomSampler
        >>> sorted(SubsetRandomSampler([7, 3, 5]))
        [3, 5, 7]
    """

    def __init__(self, indices, generator=None):
        self.indices = indices
        self.generator = generator

    def __iter__(self):
        for i in nnlib.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Draws indices with the given weights.

    Args:
        weights (sequence of float): one weight for each index; they need not add up to 1.
        num_samples (int): how many to draw.
        replacement (bool, optional): an index may come again (default: True)
        generator (Generator, optional): where random numbers come from.

    Raises:
        ValueError: for a wrong count, or weights that are no vector.

    Example:
        >>> from nnlib.utils.data import WeightedRandomSampler
        >>> list(WeightedRandomSampler([0.0, 1.0], 3))
        [1, 1, 1]
    """

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        _check_positive("num_samples", num_samples)
        _check_bool("replacement", replacement)
        self.weights = nnlib.as_tensor(weights, dtype=nnlib.float64)
        if self.weights.dim() != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self):
        drawn = nnlib.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        return iter(drawn.tolist())

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups the indices of another sampler into lists.

    Args:
        sampler (iterable): gives the indices.
        batch_size (int): how many make a batch.
        drop_last (bool): leave out a last batch that is not full.

    Raises:
        ValueError: for a wrong size or flag.

    Example:
        >>> from nnlib.utils.data import BatchSampler
        >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler, batch_size, drop_last):
        _check_positive("batch_size", batch_size)
        _check_bool("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self):
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self):
        rest = 0 if self.drop_last else self.batch_size - 1
        return (len(self.sampler) + rest) // self.batch_size


def draw_seed(generator=None):
    """A seed drawn as PyTorch draws one."""
    return int(nnlib.empty((), dtype=nnlib.int64).random_(generator=generator).item())
