"""Schedules that rise and fall."""

import math

from ._base import (
    LRScheduler,
    check_optimizer,
    pack_callable,
    per_group,
    write_group,
    write_momentum,
)


def start_momentum(scheduler, optimizer, base_momentum, max_momentum, last_epoch):
    """Sets up the cycling of the momentum; returns the two lists of values."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
    scheduler.use_beta1 = "betas" in optimizer.defaults
    base = per_group("base_momentum", optimizer, base_momentum)
    top = per_group("max_momentum", optimizer, max_momentum)
    if last_epoch == -1:
        for high, low, group in zip(top, base, optimizer.param_groups, strict=True):
            write_momentum(group, high, scheduler.use_beta1)
            group["max_momentum"] = high
            group["base_momentum"] = low
    return base, top


class CyclicLR(LRScheduler):
    """Lets the learning rate go up and down between two bounds, step by step.

    Args:
        optimizer (Optimizer): whose groups are changed.
        base_lr (float or list): lower bound, or one for each group.
        max_lr (float or list): upper bound, or one for each group.
        step_size_up (int, optional): steps of the rising half (default: 2000)
        step_size_down (int, optional): steps of the falling half (default: ``step_size_up``)
        mode (str, optional): "triangular" keeps the height, "triangular2" halves it each cycle, "exp_range"
            scales it by ``gamma**step`` (default: "triangular")
        gamma (float, optional): of "exp_range" (default: 1.0)
        scale_fn (callable, optional): takes the cycle or the step and returns the factor of the height;
            then ``mode`` does not matter (default: None)
        scale_mode (str, optional): what ``scale_fn`` takes, "cycle" or "iterations" (default: "cycle")
        cycle_momentum (bool, optional): let the momentum, or beta1, go the other way (default: True)
        base_momentum (float or list, optional): its lower bound (default: 0.8)
        max_momentum (float or list, optional): its upper bound (default: 0.9)
        last_epoch (int, optional): the step to resume after (default: -1)

    Raises:
        ValueError: for an unknown mode, a list of the wrong length, or an optimizer without momentum while
            ``cycle_momentum`` is on.

    Example:
        >>> import nnlib as torch
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
        >>> schedule = torch.optim.lr_scheduler.CyclicLR(opt, base_lr=0.0, max_lr=1.0, step_size_up=2)
        >>> opt.step(); schedule.step()
        >>> schedule.get_last_lr()
        [0.5]

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.
    """

    def __init__(
        self,
        optimizer,
        base_lr,
        max_lr,
        step_size_up=2000,
        step_size_down=None,
        mode="triangular",
        gamma=1.0,
        scale_fn=None,
        scale_mode="cycle",
        cycle_momentum=True,
        base_momentum=0.8,
        max_momentum=0.9,
        last_epoch=-1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups, strict=True):
                write_group(group, "lr", lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = start_momentum(
                self, optimizer, base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x):
        """The factor of the height in a cycle, or at a step."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return {"triangular": 1.0, "triangular2": 0.5 ** (x - 1), "exp_range": self.gamma**x}[self.mode]

    def get_lr(self):
        """The learning rates of the current step; sets the momentum too."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        rising = x <= self.step_ratio
        height = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.base_momentums, self.max_momentums, self.optimizer.param_groups, strict=True)
            for low, high, group in bounds:
                write_momentum(group, high - (high - low) * height, self.use_beta1)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self):
        """Returns the state; of ``scale_fn`` only the attributes of a callable object are kept."""
        state = super().state_dict()
        state["_scale_fn_custom"] = pack_callable(self._scale_fn_custom)
        return state

    def load_state_dict(self, state_dict):
        """Takes over a state; ``scale_fn`` itself stays that of this scheduler."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"] is not None:
            self._scale_fn_custom.__dict__.update(state_dict["_scale_fn_custom"])


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""Lets the learning rate fall along a cosine, again and again.

    :math:`\eta = \eta_{min} + \frac12 (\eta_0 - \eta_{min}) (1 + \cos(\pi T_{cur} / T_i))`, where
    :math:`T_{cur}` counts the epochs since the last restart and :math:`T_i` is the length of the run,
    multiplied by ``T_mult`` each time.

    Args:
        optimizer (Optimizer): whose groups are changed.
        T_0 (int): epochs of the first run.
        T_mult (int, optional): factor of the length (default: 1)
        eta_min (float, optional): the minimum (default: 0)
        last_epoch (int, optional): the epoch to resume after (default: -1)

    Raises:
        ValueError: for a ``T_0`` or ``T_mult`` that is no positive integer.

    Example:
        >>> import nnlib as torch
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=2)
        >>> for epoch in range(2):
        ...     opt.step()
        ...     schedule.step()
        >>> schedule.get_last_lr()
        [1.0]

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
    """

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, float | int):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The learning rates of the current epoch."""
        self._warn_outside_step()
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (lr - self.eta_min) * height for lr in self.base_lrs]

    def step(self, epoch=None):
        """Goes to the next epoch, or to a given one, which may be a fraction such as ``epoch + i / n``.

        Raises:
            ValueError: for a negative epoch.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            self._locate(epoch)
        self.last_epoch = math.floor(epoch)
        self._set_lr(self._within_step(self.get_lr))

    def _locate(self, epoch):
        """Finds the run that an epoch falls into."""
        if epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
