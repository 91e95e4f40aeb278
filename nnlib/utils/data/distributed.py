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

    For checkpoints within an epoch call :meth:`advance` after each step: then ``state_dict`` knows the position,
    and after ``load_state_dict`` the next iteration goes on from there, on any number of ranks: what is left of
    the epoch's order is dealt out to the ranks that there are, so that no sample is left out or comes twice
    (but for the few that fill up the last round).

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
        self.num_samples = self._share(len(dataset))
        self.total_size = self.num_samples * num_replicas
        self._start = 0  # of the next iteration: how many indices of the epoch's order are done
        self._done = 0

    def _share(self, count):
        """How many of so many indices each rank gets."""
        if self.drop_last and count % self.num_replicas != 0:
            count -= self.num_replicas
        return max(math.ceil(count / self.num_replicas), 0)

    def __iter__(self):
        count = len(self.dataset)
        if self.shuffle:
            generator = nnlib.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = nnlib.randperm(count, generator=generator).tolist()
        else:
            indices = list(range(count))
        # As many as divide evenly: the tail is cut off, or the indices start over.
        start, total = self._start, len(self) * self.num_replicas
        indices = list(itertools.islice(itertools.cycle(indices), start, start + total))
        self._done, self._start = start, 0
        return iter(indices[self.rank : total : self.num_replicas])

    def __len__(self):
        return self._share(len(self.dataset) - self._start) if self._start else self.num_samples

    def set_epoch(self, epoch):
        """Sets the epoch, which together with the seed decides the order. A new one starts at its beginning."""
        if epoch != self.epoch:
            self._start = self._done = 0
        self.epoch = epoch

    def advance(self, count):
        """Says that this rank is done with `count` more indices of the epoch, as all others are with theirs.

        Workers of a DataLoader fetch ahead: what was taken from the sampler is not yet what was trained with.
        """
        self._done += count * self.num_replicas

    def state_dict(self):
        """The position as plain data: the epoch, and how many indices of its order are done on all ranks."""
        return {"epoch": self.epoch, "done": self._done, "seed": self.seed, "length": len(self.dataset)}

    def load_state_dict(self, state_dict):
        """Goes on from a position; the number of ranks may be another one than it was.

        Raises:
            ValueError: seed or length of the data set are others, and with them the order.
        """
        for name, mine in (("seed", self.seed), ("length", len(self.dataset))):
            if state_dict[name] != mine:
                raise ValueError(
                    f"the position belongs to a sampler with {name} {state_dict[name]}, but this one has {mine}"
                )
        self.epoch, self._start = state_dict["epoch"], state_dict["done"]
        self._done = self._start
