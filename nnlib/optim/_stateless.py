"""An optimizer's step on other parameters and another state than its own."""

import contextlib
from collections import defaultdict

__all__ = ["swap_in_optimizer_params_and_state"]

_NAME = "swap_in_optimizer_params_and_state"


def _check_groups(groups, swapin):
    if not isinstance(swapin, dict) or not isinstance(swapin.get("state"), dict):
        raise RuntimeError(f"{_NAME} requires a state dict with 'state' and 'param_groups'.")
    swapin_groups = swapin.get("param_groups")
    if not isinstance(swapin_groups, list) or len(swapin_groups) != len(groups):
        raise RuntimeError(f"{_NAME} requires {len(groups)} param_groups, as the optimizer has.")
    for i, (group, other) in enumerate(zip(groups, swapin_groups, strict=True)):
        if group.keys() != other.keys():
            extra, missing = sorted(other.keys() - group.keys()), sorted(group.keys() - other.keys())
            raise RuntimeError(
                f"{_NAME} requires the keys of param group {i} to be those of the optimizer: "
                f"{extra} are too many, {missing} are missing."
            )
        if len(group["params"]) != len(other["params"]):
            raise RuntimeError(
                f"{_NAME} requires {len(group['params'])} params in param group {i}, but got "
                f"{len(other['params'])}."
            )
    return swapin_groups


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(optimizer, swapin_parameters, swapin_optim_state):
    """Lets an optimizer work on other parameters and state inside a ``with`` block, then restores its own.

    Args:
        optimizer (Optimizer): with its state initialized.
        swapin_parameters (dict): the parameters to use, in the order of the optimizer's.
        swapin_optim_state (dict): what ``optimizer.state_dict()`` would return for them. Changes in place of
            its tensors stay; everything else is forgotten at the end.

    Raises:
        RuntimeError: when the optimizer has no state yet, or the groups do not match its own.

    Example:
        >>> import copy
        >>> import nnlib as torch
        >>> w, other = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
        >>> opt = torch.optim.Adam([w], lr=0.5)
        >>> w.grad, other.grad = torch.ones(1), torch.ones(1)
        >>> opt.step()
        >>> state = copy.deepcopy(opt.state_dict())
        >>> with torch.optim.swap_in_optimizer_params_and_state(opt, {"w": other}, state):
        ...     opt.step()
        >>> round(w.item(), 4), round(other.item(), 4)
        (0.5, -0.5)
    """
    if not optimizer.state:
        raise RuntimeError(f"{_NAME} requires initialized optimizer state.")
    swapin_groups = _check_groups(optimizer.param_groups, swapin_optim_state)
    numbers = [number for group in swapin_groups for number in group["params"]]
    parameters = list(swapin_parameters.values())
    if len(parameters) != len(numbers):
        raise RuntimeError(f"{_NAME} requires {len(numbers)} parameters, but got {len(parameters)}.")
    extra = [key for key in swapin_optim_state["state"] if key not in numbers]
    if extra:
        raise RuntimeError(
            f"{_NAME} requires state of the params in param_groups only, but got keys {extra!r}."
        )
    own_state, own_groups = optimizer.state, [dict(group) for group in optimizer.param_groups]
    state, rest = defaultdict(dict), iter(parameters)
    try:
        for group, other in zip(optimizer.param_groups, swapin_groups, strict=True):
            group.update(other)
            group["params"] = [next(rest) for _ in other["params"]]
            for p, number in zip(group["params"], other["params"], strict=True):
                state[p] = dict(swapin_optim_state["state"].get(number, {}))
        optimizer.state = state
        yield
    finally:
        for group, own in zip(optimizer.param_groups, own_groups, strict=True):
            group.clear()
            group.update(own)
        optimizer.state = own_state
