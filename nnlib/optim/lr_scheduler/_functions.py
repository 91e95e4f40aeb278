"""Schedules that a function of the epoch gives."""

from ._base import LRScheduler, pack_callable


class _FunctionLR(LRScheduler):
    """A schedule given by a function of the epoch, or by one for each group."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        self.optimizer = optimizer
        count = len(optimizer.param_groups)
        if not isinstance(lr_lambda, list | tuple):
            lr_lambda = [lr_lambda] * count
        elif len(lr_lambda) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(lr_lambda)}")
        for fn in lr_lambda:
            if not callable(fn):
                raise TypeError(f"lr_lambda should be a function, but got {type(fn).__name__}")
        self.lr_lambdas = list(lr_lambda)
        super().__init__(optimizer, last_epoch)

    def state_dict(self):
        """Returns the state; of the functions only the attributes of callable objects are kept."""
        state = super().state_dict()
        state["lr_lambdas"] = [pack_callable(fn) for fn in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict):
        """Takes over a state; the functions themselves stay those of this scheduler."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for fn, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if saved is not None:
                fn.__dict__.update(saved)

    def _factors(self):
        return [fn(self.last_epoch) for fn in self.lr_lambdas]


class LambdaLR(_FunctionLR):
    """Sets the first learning rate times a function of the epoch.

    Args:
        optimizer (Optimizer): whose groups are changed.
        lr_lambda (callable or list): takes the epoch, returns the factor; or one such for each group.
        last_epoch (int, optional): the epoch to resume after (default: -1)

    Example:
        >>> import nnlib as torch
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda epoch: 0.5**epoch)
        >>> opt.step(); schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    def get_lr(self):
        """The learning rates of the current epoch."""
        self._warn_outside_step()
        return [lr * factor for lr, factor in zip(self.base_lrs, self._factors(), strict=True)]


class MultiplicativeLR(_FunctionLR):
    """Multiplies the learning rate by a function of the epoch.

    Args:
        optimizer (Optimizer): whose groups are changed.
        lr_lambda (callable or list): takes the epoch, returns the factor; or one such for each group.
        last_epoch (int, optional): the epoch to resume after (default: -1)

    Example:
        >>> import nnlib as torch
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = torch.optim.lr_scheduler.MultiplicativeLR(opt, lambda epoch: 0.5)
        >>> opt.step(); schedule.step()
        >>> schedule.get_last_lr()
        [0.5]
    """

    def get_lr(self):
        """The learning rates of the current epoch."""
        self._warn_outside_step()
        if self._is_initial:
            return self._current()
        return [lr * factor for lr, factor in zip(self._current(), self._factors(), strict=True)]
