"""Schedules made of schedules."""

from bisect import bisect_right

from ._base import LRScheduler, read_groups, write_group
from ._plateau import ReduceLROnPlateau


class _Composite(LRScheduler):
    """Checks its parts, and saves and loads them."""

    def _check_parts(self, optimizer, schedulers, verb):
        name = type(self).__name__
        if len(schedulers) < 1:
            raise ValueError(f"{name} expects at least one scheduler{verb}, but got no scheduler.")
        optimizer = optimizer or schedulers[0].optimizer
        for i, part in enumerate(schedulers):
            if not hasattr(part, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(part, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional kwargs "
                    f"to be specified when calling `step`, but got one at index {i} in the given schedulers "
                    "sequence."
                )
            if optimizer != part.optimizer:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                    f"{type(part).__name__} at index {i} has {part.optimizer}, which is different from "
                    f"{type(optimizer).__name__}."
                )
        return optimizer

    def state_dict(self):
        """Returns the state, with those of the parts as a list under ``"_schedulers"``."""
        state = super().state_dict()
        state["_schedulers"] = [part.state_dict() for part in self._schedulers]
        return state

    def load_state_dict(self, state_dict):
        """Takes over a state that :meth:`state_dict` returned."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for part, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            part.load_state_dict(saved)


class SequentialLR(_Composite):
    """Runs one schedule after the other.

    Args:
        optimizer (Optimizer): whose groups are changed.
        schedulers (list of LRScheduler): the schedules, all of this optimizer.
        milestones (list of int): the epochs at which the next one takes over, one less than schedules.
        last_epoch (int, optional): the epoch to resume after (default: -1)

    Raises:
        ValueError: for a wrong number of milestones, or a schedule that does not fit.

    Example:
        >>> import nnlib as torch
        >>> from nnlib.optim.lr_scheduler import ConstantLR, ExponentialLR, SequentialLR
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> parts = [ConstantLR(opt, factor=0.5, total_iters=2), ExponentialLR(opt, gamma=0.5)]
        >>> schedule = SequentialLR(opt, parts, milestones=[1])
        >>> for epoch in range(2):
        ...     opt.step()
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        self._check_parts(optimizer, schedulers, "")
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number "
                f"of milestone points, but got number of schedulers {len(schedulers)} and the number of "
                f"milestones to be equal to {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.optimizer = optimizer
        # Each part did its first step when it was made: undo all of them, then do that of the first.
        for group in optimizer.param_groups:
            write_group(group, "lr", group["initial_lr"])
        self.recursive_undo()
        self._initial_step()
        self.last_epoch = last_epoch + 1

    def _initial_step(self):
        self.last_epoch = 0
        part = self._schedulers[bisect_right(self._milestones, 0)]
        part._initial_step()
        self._last_lr = part.get_last_lr()

    def _update_lr(self, epoch=None):
        # A SequentialLR around this one starts it over when its turn comes.
        self.last_epoch = epoch
        part = self._schedulers[bisect_right(self._milestones, epoch)]
        part._update_lr(epoch)
        self._last_lr = part.get_last_lr()

    def recursive_undo(self, sched=None):
        """Takes back the first step of every part, nested ones included."""
        sched = self if sched is None else sched
        if hasattr(sched, "_schedulers"):
            for part in sched._schedulers:
                self.recursive_undo(part)
        elif hasattr(sched, "last_epoch"):
            sched.last_epoch -= 1

    def step(self):
        """Goes to the next epoch of the schedule whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        part = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            part._update_lr(0)
        else:
            part.step()
        self._last_lr = part.get_last_lr()


class ChainedScheduler(_Composite):
    """Steps several schedules together, so that their factors multiply.

    Args:
        schedulers (sequence of LRScheduler): the schedules, all of one optimizer.
        optimizer (Optimizer, optional): that optimizer (default: the first schedule's)

    Raises:
        ValueError: for no schedule, or one that does not fit.

    Example:
        >>> import nnlib as torch
        >>> from nnlib.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = ChainedScheduler([ConstantLR(opt, factor=0.5), ExponentialLR(opt, gamma=0.5)])
        >>> opt.step(); schedule.step()
        >>> schedule.get_last_lr()
        [0.25]
    """

    def __init__(self, schedulers, optimizer=None):
        self.optimizer = self._check_parts(optimizer, schedulers, " to be chained")
        self._schedulers = schedulers
        self._last_lr = read_groups(self.optimizer, "lr")

    def step(self):
        """Goes to the next epoch of every schedule."""
        for part in self._schedulers:
            part.step()
        self._last_lr = read_groups(self.optimizer, "lr")
