"""Training on uneven inputs: ranks without data left answer the collectives of those that have some."""

import warnings
from abc import ABC, abstractmethod
from typing import NamedTuple

from ... import ones, zeros
from ..collectives import all_reduce
from ..process_group import get_rank

__all__ = ["Join", "JoinHook", "Joinable"]

SKEW_WARNING = 1000  # steps with fewer inputs than others after which a rank is told


class JoinHook:
    """What a joined rank does in place of an iteration, and once at the end. Both do nothing by default.

    Example::

        >>> class Answer(JoinHook):  # doctest: +SKIP
        ...     def main_hook(self):
        ...         dist.all_reduce(torch.zeros(1))  # what the others call in each iteration
    """

    def main_hook(self):
        """Called while there are ranks that have not joined: answers one iteration's collectives."""

    def post_hook(self, is_last_joiner):
        """Called once when all ranks have joined; `is_last_joiner` on those that came last."""


class _JoinConfig(NamedTuple):
    enable: bool = False
    throw_on_early_termination: bool = False
    is_first_joinable: bool = False


class Joinable(ABC):
    """Something with collectives in each iteration that can be joined, such as DistributedDataParallel.

    Example::

        >>> class Counter(Joinable):  # doctest: +SKIP
        ...     join_device, join_process_group = torch.device("cpu"), dist.group.WORLD
        ...     def __call__(self):
        ...         Join.notify_join_context(self)
        ...         dist.all_reduce(torch.ones(1))
        ...     def join_hook(self, **kwargs):
        ...         return Answer()
    """

    _join_config = _JoinConfig()

    @abstractmethod
    def join_hook(self, **kwargs):
        """The JoinHook for this object; keyword arguments are those given to :class:`Join`."""

    @property
    @abstractmethod
    def join_device(self):
        """The device of the collectives' tensors."""

    @property
    @abstractmethod
    def join_process_group(self):
        """The process group of the collectives."""


class Join:
    """A context in which ranks may run different numbers of iterations.

    A rank that leaves it early keeps answering the others' collectives until all have left.

    Args:
        joinables (list of Joinable): what communicates in each iteration, in the order in which it does.
        enable (bool): False makes the context do nothing.
        throw_on_early_termination (bool): raise on all ranks as soon as one has run out of inputs.
        kwargs: passed to the joinables' ``join_hook``.

    Example::

        >>> with Join([net]):  # doctest: +SKIP
        ...     for x in inputs:  # not equally many on all ranks
        ...         net(x).sum().backward()
    """

    def __init__(self, joinables, enable=True, throw_on_early_termination=False, **kwargs):
        if len(joinables) == 0:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable, self._throw = list(joinables), enable, throw_on_early_termination
        self._group = joinables[0].join_process_group
        if any(joinable.join_process_group is not self._group for joinable in joinables):
            raise ValueError("Using join context manager with multiple process groups")
        self._hooks = [joinable.join_hook(**kwargs) for joinable in self._joinables]

    def __enter__(self):
        for i, joinable in enumerate(self._joinables):
            joinable._join_config = _JoinConfig(self._enable, self._throw, i == 0)
        return self

    def __exit__(self, kind, value, trace):
        try:
            if self._enable and kind is None:
                self._answer_until_all_have_joined()
        finally:
            for joinable in self._joinables:
                joinable._join_config = _JoinConfig()

    def _answer_until_all_have_joined(self):
        steps = 0
        while self._count_active() > 0:
            if self._throw:
                all_reduce(ones(1), group=self._group)
                raise RuntimeError(f"Rank {get_rank(self._group)} exhausted all inputs.")
            for hook in self._hooks:
                hook.main_hook()
            steps += 1
            if steps == SKEW_WARNING:
                warnings.warn(
                    f"rank {get_rank(self._group)} has at least {SKEW_WARNING} fewer inputs than others",
                    stacklevel=3,
                )
        for hook in self._hooks:
            hook.post_hook(steps == 0)

    def _count_active(self):
        active = zeros(1)
        all_reduce(active, group=self._group)
        return int(active.item())

    @staticmethod
    def notify_join_context(joinable):
        """To be called by a joinable at the beginning of an iteration: says that this rank has not joined.

        Only the first joinable of a context does anything. Returns the Work handle of the message, or None.
        """
        config = joinable._join_config
        if not config.is_first_joinable or not config.enable:
            return None
        work = all_reduce(ones(1), group=joinable.join_process_group, async_op=True)
        if config.throw_on_early_termination:
            exhausted = zeros(1)
            all_reduce(exhausted, group=joinable.join_process_group)
            if exhausted.item():
                raise RuntimeError(
                    "Detected at least one rank that exhausted inputs. Throwing across all ranks."
                )
        return work
