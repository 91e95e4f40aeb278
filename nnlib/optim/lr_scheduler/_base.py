"""The base class of the schedulers and helpers that read and write parameter groups."""

import functools
import types
import warnings
import weakref

import nnlib

from ..optimizer import Optimizer

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
    "Please use `scheduler.step()` to step the scheduler. During the deprecation, if epoch is different "
    "from None, the closed form is used instead of the new chainable form, where available."
)


def check_optimizer(optimizer):
    """Demands an Optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def per_group(name, optimizer, value):
    """A list with one value for each parameter group, from one value or from such a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        value = [value] * count
    elif len(value) != count:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, "
            f"param_groups has {count}."
        )
    return [v.clone() if isinstance(v, nnlib.Tensor) else v for v in value]


def read_groups(optimizer, key):
    """The option of every group, copied where it is a tensor."""
    values = [group[key] for group in optimizer.param_groups]
    return [v.clone() if isinstance(v, nnlib.Tensor) else v for v in values]


def write_group(group, key, value):
    """Sets an option, in place where it is a tensor."""
    if isinstance(group[key], nnlib.Tensor):
        group[key].fill_(value.item() if isinstance(value, nnlib.Tensor) else value)
    else:
        group[key] = value


def write_momentum(group, value, use_beta1):
    """Sets the momentum, which Adam and its kin call beta1."""
    if use_beta1:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def pack_callable(fn):
    """What a state dict keeps of a callable: the attributes of an object, nothing of a function."""
    return None if fn is None or isinstance(fn, types.FunctionType) else fn.__dict__.copy()


class LRScheduler:
    """Base class of the schedulers.

    A subclass implements :meth:`get_lr`, the learning rates of the epoch ``self.last_epoch`` from those
    that the groups have now; a method ``_get_closed_form_lr``, if there is one, computes them from the
    first ones, and serves calls of ``step`` with an epoch.

    Args:
        optimizer (Optimizer): whose groups are changed.
        last_epoch (int, optional): the epoch to resume after; -1 starts anew and keeps each group's
            learning rate as its ``initial_lr`` (default: -1)

    Raises:
        TypeError: when ``optimizer`` is none.
        KeyError: when resuming and a group has no ``initial_lr``.

    Example:
        >>> import nnlib as torch
        >>> class Halve(torch.optim.lr_scheduler.LRScheduler):
        ...     def get_lr(self):
        ...         return [lr / 2**self.last_epoch for lr in self.base_lrs]
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = Halve(opt)
        >>> opt.step()
        >>> schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer, last_epoch=-1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, nnlib.Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with "
                    "last_epoch >= 0. Expected the groups of a loaded optimizer state, or last_epoch=-1 for "
                    "a fresh run"
                )
        self.base_lrs = read_groups(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self):
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self):
        """Returns everything the scheduler keeps, but for the optimizer, as a dict."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict):
        """Takes over a state that :meth:`state_dict` returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self):
        """The learning rates that the last step set, one for each group."""
        return self._last_lr

    def get_lr(self):
        """Computes the learning rates of the current epoch; subclasses implement it."""
        raise NotImplementedError

    def step(self, epoch=None):
        """Goes to the next epoch and sets its learning rates.

        Args:
            epoch (int, optional): go to this epoch instead; deprecated.
        """
        if self._step_count == 1:
            self._warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _warn_of_order(self):
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            text = (
                "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                "initialization. Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`."
            )
        elif not getattr(self.optimizer, "_opt_called", False):
            text = (
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in the opposite "
                "order: `optimizer.step()` before `lr_scheduler.step()`. Otherwise the first value of the "
                "learning rate schedule is skipped."
            )
        else:
            return
        warnings.warn(text, UserWarning, stacklevel=3)

    def _update_lr(self, epoch=None):
        if epoch is None:
            self.last_epoch += 1
            values = self._within_step(self.get_lr)
        else:
            self.last_epoch = epoch
            values = self._within_step(getattr(self, "_get_closed_form_lr", self.get_lr))
        self._set_lr(values)

    def _within_step(self, compute):
        self._get_lr_called_within_step = True
        try:
            return compute()
        finally:
            self._get_lr_called_within_step = False

    def _set_lr(self, values):
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            write_group(group, "lr", lr)
        self._last_lr = read_groups(self.optimizer, "lr")

    def _warn_outside_step(self):
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _current(self, factor=None):
        """The groups' learning rates as they are, or times a factor."""
        if factor is None:
            return read_groups(self.optimizer, "lr")
        return [group["lr"] * factor for group in self.optimizer.param_groups]


def _watch_steps(optimizer):
    """Lets the optimizer remember that it was stepped, for the warning about the wrong order."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    func, owner = optimizer.step.__func__, weakref.ref(optimizer)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        opt = owner()
        opt._opt_called = True
        return func.__get__(opt, type(opt))(*args, **kwargs)

    wrapper._wrapped_by_lr_sched = True
    optimizer.step = wrapper
