"""Averages of a model's weights over training: stochastic weight averaging and moving averages."""

import itertools
import math
from copy import deepcopy

import nnlib
from nnlib.nn import Module

from .lr_scheduler._base import LRScheduler, per_group

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay):
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _each(update):
    """An update of a list of tensors, in place, from one that computes a new tensor."""

    def update_all(averaged, current, num_averaged):
        with nnlib.no_grad():
            for old, new in zip(averaged, current, strict=True):
                old.copy_(update(old, new, num_averaged))

    return update_all


def get_ema_avg_fn(decay=0.999):
    """Returns ``f(averaged, current, num_averaged)``: ``decay * averaged + (1 - decay) * current``.

    Raises:
        ValueError: for a decay outside [0, 1].

    Example:
        >>> import nnlib as torch
        >>> from nnlib.optim.swa_utils import get_ema_avg_fn
        >>> get_ema_avg_fn(0.5)(torch.zeros(1), torch.ones(1), 1).item()
        0.5
    """
    _check_decay(decay)

    def ema_update(averaged, current, num_averaged):
        with nnlib.no_grad():
            return decay * averaged + (1 - decay) * current

    return ema_update


def get_swa_avg_fn():
    """Returns ``f(averaged, current, num_averaged)``: the mean of all parameters so far.

    Example:
        >>> import nnlib as torch
        >>> from nnlib.optim.swa_utils import get_swa_avg_fn
        >>> get_swa_avg_fn()(torch.zeros(1), torch.ones(1), 3).item()
        0.25
    """

    def swa_update(averaged, current, num_averaged):
        with nnlib.no_grad():
            return averaged + (current - averaged) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay=0.999):
    """As :func:`get_ema_avg_fn`, for lists of tensors and in place."""
    return _each(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn():
    """As :func:`get_swa_avg_fn`, for lists of tensors and in place."""
    return _each(get_swa_avg_fn())


class AveragedModel(Module):
    """Holds a copy of a model whose parameters are an average over training.

    Args:
        model (Module): the model to average.
        device (device, optional): where the copy is kept.
        avg_fn (callable, optional): ``f(averaged, current, num_averaged)`` returns the new average of one
            parameter (default: the mean of all)
        multi_avg_fn (callable, optional): the same for lists of tensors, in place.
        use_buffers (bool, optional): average buffers too, instead of copying the newest (default: False)

    Raises:
        AssertionError: when both functions are given.

    Example:
        >>> import nnlib as torch
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> average = torch.optim.swa_utils.AveragedModel(model)
        >>> for value in (1.0, 3.0):
        ...     _ = torch.nn.init.constant_(model.weight, value)
        ...     average.update_parameters(model)
        >>> average.module.weight.item()
        2.0

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", nnlib.tensor(0, dtype=nnlib.int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """Runs the averaged model."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model):
        """Takes the model's present parameters into the average."""

        def tensors(module):
            buffers = module.buffers() if self.use_buffers else ()
            return [t.detach() for t in itertools.chain(module.parameters(), buffers)]

        averaged, current = tensors(self.module), tensors(model)
        if self.n_averaged.item() == 0:
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
        elif self.avg_fn is not None:
            _each(self.avg_fn)(averaged, current, self.n_averaged)
        else:
            update = self.multi_avg_fn or get_swa_multi_avg_fn()
            update(averaged, current, self.n_averaged)
        if not self.use_buffers:
            # The average of running statistics says nothing; update_bn computes them anew.
            for old, new in zip(self.module.buffers(), model.buffers(), strict=True):
                old.detach().copy_(new.detach())
        self.n_averaged += 1


def update_bn(loader, model, device=None):
    """Computes the running statistics of a model's batch norms anew, in one pass over data.

    Args:
        loader (iterable): batches; of a tuple or list the first entry is the input.
        model (Module): the model, whose training mode is restored afterwards.
        device (device, optional): where the inputs are moved first.

    Example:
        >>> import nnlib as torch
        >>> model = torch.nn.BatchNorm1d(1)
        >>> torch.optim.swa_utils.update_bn([torch.tensor([[1.0], [3.0]])], model)
        >>> model.running_mean.item()
        2.0
    """
    momenta = {}
    for module in model.modules():
        if isinstance(module, nnlib.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            momenta[module] = module.momentum
    if not momenta:
        return
    was_training = model.training
    model.train()
    for module in momenta:
        module.momentum = None  # a plain mean over all batches
    with nnlib.no_grad():
        for batch in loader:
            if isinstance(batch, list | tuple):
                batch = batch[0]
            model(batch if device is None else batch.to(device))
    for module, momentum in momenta.items():
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Brings the learning rate to a constant in the given number of epochs, for weight averaging.

    Args:
        optimizer (Optimizer): whose groups are changed.
        swa_lr (float or list): the learning rate to reach, or one for each group.
        anneal_epochs (int, optional): epochs until then (default: 10)
        anneal_strategy (str, optional): "cos" or "linear" (default: "cos")
        last_epoch (int, optional): the epoch to resume after (default: -1)

    Raises:
        ValueError: for another strategy or a negative number of epochs.

    Example:
        >>> import nnlib as torch
        >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = torch.optim.swa_utils.SWALR(opt, 0.5, anneal_epochs=2, anneal_strategy="linear")
        >>> opt.step(); schedule.step()
        >>> schedule.get_last_lr()
        [0.75]
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for lr, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step):
        """How far the learning rate has come at a step, from 0 to 1."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self):
        """The learning rates of the current epoch."""
        self._warn_outside_step()
        # As in PyTorch `_step_count` starts at 1.
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        lrs = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            lrs.append(target * now + start * (1 - now))
        return lrs
