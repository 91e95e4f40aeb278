"""A schedule that rises once and then falls far below its start."""

import math

from ._base import LRScheduler, check_optimizer, per_group, write_momentum
from ._cyclic import start_momentum


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
            start_momentum(self, optimizer, base_momentum, max_momentum, last_epoch)
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
