"""The base class of all optimizers: parameter groups, state, hooks, saving and loading."""

import warnings
from collections import defaultdict
from copy import deepcopy

import nnlib

from ._hooks import Hooks, register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from ._state import cast_state, split_names

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]


class _RequiredParameter:
    """Marks an option that every parameter group has to give itself."""

    def __repr__(self):
        return "<required parameter>"


required = _RequiredParameter()


def _typename(value):
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


class Optimizer(Hooks):
    """Base class of all optimizers.

    An optimizer holds parameters in groups, each a dict with its own options, and per parameter a
    dict of state. A subclass hands its default options to ``__init__`` and implements :meth:`step`.

    Args:
        params (iterable): tensors, or pairs of name and tensor (as ``named_parameters()`` gives
            them), or dicts with the key ``"params"`` and options of that group. The order has to be
            the same in every run, or a saved state would meet the wrong parameters.
        defaults (dict): options of groups that do not give their own.

    Raises:
        TypeError: for a bare tensor, a set, or something that is no tensor among the parameters.
        ValueError: for an empty list, a tensor that is no leaf, or a parameter in two groups.

    Example:
        >>> import nnlib as torch
        >>> class SignSGD(torch.optim.Optimizer):
        ...     def __init__(self, params, lr=0.1):
        ...         super().__init__(params, {"lr": lr})
        ...     @torch.no_grad()
        ...     def step(self, closure=None):
        ...         for group in self.param_groups:
        ...             for p in group["params"]:
        ...                 p.add_(p.grad.sign(), alpha=-group["lr"])
        >>> w = torch.ones(2, requires_grad=True)
        >>> (w * w).sum().backward()
        >>> SignSGD([w]).step()
        >>> w.tolist() == [0.8999999761581421] * 2
        True
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        self._make_hook_tables()
        self._patch_step_function()
        if isinstance(params, nnlib.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {_typename(params)}"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._make_hook_tables()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def state_dict(self):
        """Returns ``{"state": ..., "param_groups": ...}`` with parameters replaced by numbers.

        The numbers count the parameters over all groups in order; ``state`` maps a number to that
        parameter's state. Tensors are not copied.

        Example:
            >>> import nnlib as torch
            >>> opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
            >>> opt.state_dict()["param_groups"][0]["params"]
            [0]
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers = {}
        groups = []
        start = 0
        for group in self.param_groups:
            for i, p in enumerate(group["params"], start):
                numbers.setdefault(id(p), i)
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            start += len(packed["params"])
            groups.append(packed)
        state = {(numbers[id(k)] if isinstance(k, nnlib.Tensor) else k): v for k, v in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict):
        """Takes over a state that :meth:`state_dict` returned, PyTorch's included.

        State tensors are copied to the parameter's dtype (``step`` keeps its own). Schedulers change
        learning rates when they are made, so load the optimizer after making them.

        Raises:
            ValueError: when the number of groups, or of parameters in a group, differs.
        """
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups = self.param_groups
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups "
                f"(expected {len(groups)}, got {len(saved_groups)})"
            )
        for i, (group, saved) in enumerate(zip(groups, saved_groups, strict=True)):
            if len(group["params"]) != len(saved["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group (group {i}: expected {len(group['params'])} parameters, "
                    f"got {len(saved['params'])})"
                )
        owner = {}
        for group, saved in zip(groups, saved_groups, strict=True):
            for p, number in zip(group["params"], saved["params"], strict=True):
                owner[number] = (p, saved)
        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in owner:
                param, saved = owner[key]
                state[param] = cast_state(param, value, saved)
            else:
                state[key] = value
        for group, saved in zip(groups, saved_groups, strict=True):
            saved["params"] = group["params"]
            if "param_names" in group:
                saved.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": saved_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def zero_grad(self, set_to_none=True):
        """Drops the gradients of all parameters, or fills them with zeros when ``set_to_none=False``.

        A parameter whose gradient is ``None`` is skipped by :meth:`step`; one with zeros is not.
        """
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                    continue
                if p.grad.grad_fn is not None:
                    p.grad.detach_()
                else:
                    p.grad.requires_grad_(False)
                p.grad.zero_()

    def step(self, closure=None):
        """Updates the parameters from their gradients; subclasses implement it.

        Args:
            closure (callable, optional): computes the loss and its gradients anew and returns it.
        """
        raise NotImplementedError

    def add_param_group(self, param_group):
        """Adds a group of parameters, for example layers that are unfrozen later.

        Args:
            param_group (dict): ``"params"`` and the options in which the group differs.

        Raises:
            TypeError: when it is no dict, or the parameters are a set or no tensors.
            ValueError: for a tensor that is no leaf, a missing required option, names on some
                parameters only, or a parameter that another group has.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params, names = split_names(param_group["params"])
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for p in params:
            if not isinstance(p, nnlib.Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {_typename(p)}"
                )
            if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter " + name
                )
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will "
                "cause an error; see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        taken = set()
        for group in self.param_groups:
            taken.update(group["params"])
            if ("param_names" in param_group) != ("param_names" in group):
                kind = "with" if "param_names" in param_group else "without"
                raise ValueError(
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {kind} names to the optimizer"
                )
        if not taken.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)
