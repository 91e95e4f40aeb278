"""A sampler that gives each rank its share."""

import itertools
import math

import nnlib

from .sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler):
    """Gives each rank of a job its share of the indices, the same number on every rank.

    The data set has to be the same, in the same order, on all ranks. Call :meth:`set_epoch` before each
    epoch, or every epoch has the same order.

    Args:
        dataset (Dataset): the data set, of which only the length is used.
        num_replicas (int, optional): number of ranks (default: of the process group)
        rank (int, optional): this rank (default: of the process group)
        shuffle (bool, optional): permute the indices (default: True)
        seed (int, optional): of the permutation, the same on all ranks (default: 0)
        drop_last (bool, optional): leave out the tail that does not divide; otherwise the first indices
            come again to fill up (default: False)

    Raises:
        ValueError: for a rank outside [0, num_replicas - 1].

    Example:
        >>> from nnlib.utils.data import DistributedSampler
        >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
        [1, 3, 0]
    """

    def __init__(self, dataset, num_replicas=None, rank=None, shuffle=True, seed=0, drop_last=False):
        if num_replicas is None or rank is None:
            import nnlib.distributed as dist

            if not dist.is_available():
                raise RuntimeError("Requires distributed package to be available")
            num_replicas = dist.get_world_size() if num_replicas is None else num_replicas
            rank = dist.get_rank() if rank is None else rank
        if rank >= num_replicas or rank < 0:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        length = len(dataset)
        if drop_last and length % num_replicas != 0:
            length -= num_replicas
        self.num_samples = math.ceil(length / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self):
        count = len(self.dataset)
        if self.shuffle:
            generator = nnlib.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = nnlib.randperm(count, generator=generator).tolist()
        else:
            indices = list(range(count))
        # As many as divide evenly: the tail is cut off, or the indices start over.
        indices = list(itertools.islice(itertools.cycle(indices), self.total_size))
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch):
        """Sets the epoch, which together with the seed decides the order."""
        self.epoch = epoch
