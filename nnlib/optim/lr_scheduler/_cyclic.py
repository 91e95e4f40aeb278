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


def _start_momentum(scheduler, optimizer, base_momentum, max_momentum, last_epoch):
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
            self.base_momentums, self.max_momentums = _start_momentum(
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


class OneCycleLR(LRScheduler):
    """Lets the learning rate rise once and then fall far below its start, step by step.

    Args:
        optimizer (Optimizer): whose groups are changed.
        max_lr (float or list): upper bound, or one for each group.
        total_steps (int, optional): the number of steps; without it the two that follow are needed.
        epochs (int, optional): the number of epochs.
        steps_per_epoch (int, optional): the number of steps in each.
        pct_start (float, optional): share of the steps in which it rises (default: 0.3)
        anneal_strategy (str, optional): "cos" or "linear" (default: "cos")
        cycle_momentum (bool, optional): let the momentum, or beta1, go the other way (default: True)
        base_momentum (float or list, optional): its lower bound (default: 0.85)
        max_momentum (float or list, optional): its upper bound (default: 0.95)
        div_factor (float, optional): the start is ``max_lr / div_factor`` (default: 25)
        final_div_factor (float, optional): the end is the start divided by this (default: 1e4)
        three_phase (bool, optional): fall back to the start in as many steps as it rose, then to the end
            (default: False)
        last_epoch (int, optional): the step to resume after (default: -1)

    Raises:
        ValueError: for missing or wrong options, an optimizer without momentum while ``cycle_momentum`` is
            on, and in a step beyond ``total_steps``.

    Example:
        >>> import nnlib as torch
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
        >>> schedule = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=10)
        >>> round(schedule.get_last_lr()[0], 6)
        0.04

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates", 2018.
    """

    def __init__(
        self,
        optimizer,
        max_lr,
        total_steps=None,
        epochs=None,
        steps_per_epoch=None,
        pct_start=0.3,
        anneal_strategy="cos",
        cycle_momentum=True,
        base_momentum=0.85,
        max_momentum=0.95,
        div_factor=25.0,
        final_div_factor=1e4,
        three_phase=False,
        last_epoch=-1,
    ):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _count_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or pct_start < 0 or pct_start > 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        max_lrs = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for top, group in zip(max_lrs, optimizer.param_groups, strict=True):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            _start_momentum(self, optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """The learning rates of the current step; sets the momentum too."""
        self._warn_outside_step()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}"
            )
        start = 0.0
        for phase in self._schedule_phases:
            if step <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            start = self._schedule_phases[-2]["end_step"]
        share = (step - start) / (phase["end_step"] - start)
        lrs = []
        for group in self.optimizer.param_groups:
            lrs.append(self._between(group, phase, "lr", share))
            if self.cycle_momentum:
                write_momentum(group, self._between(group, phase, "momentum", share), self.use_beta1)
        return lrs

    def _between(self, group, phase, what, share):
        start, end = group[phase["start_" + what]], group[phase["end_" + what]]
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (1 + math.cos(math.pi * share))
        return (end - start) * share + start


def _count_steps(total_steps, epochs, steps_per_epoch):
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    if total_steps is not None:
        values = {"total_steps": total_steps}
    else:
        values = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in values.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(values.values())


def _phases(total_steps, pct_start, three_phase):
    """The phases as PyTorch's saved schedulers hold them: where each ends, and between what it goes."""

    def phase(end_step, lrs, momenta):
        return {
            "end_step": end_step,
            "start_lr": lrs[0],
            "end_lr": lrs[1],
            "start_momentum": momenta[0],
            "end_momentum": momenta[1],
        }

    rise = phase(
        float(pct_start * total_steps) - 1, ("initial_lr", "max_lr"), ("max_momentum", "base_momentum")
    )
    if not three_phase:
        return [rise, phase(total_steps - 1, ("max_lr", "min_lr"), ("base_momentum", "max_momentum"))]
    return [
        rise,
        phase(
            float(2 * pct_start * total_steps) - 2,
            ("max_lr", "initial_lr"),
            ("base_momentum", "max_momentum"),
        ),
        phase(total_steps - 1, ("initial_lr", "min_lr"), ("max_momentum", "max_momentum")),
    ]
