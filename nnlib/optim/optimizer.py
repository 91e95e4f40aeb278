"""The base class of all optimizers: parameter groups, state, hooks, saving and loading."""

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain

import nnlib
from nnlib.utils.hooks import RemovableHandle

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

_global_step_pre_hooks = OrderedDict()
_global_step_post_hooks = OrderedDict()

# Hook tables of an instance; each is rebuilt empty when an optimizer is unpickled.
_HOOK_TABLES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class _RequiredParameter:
    """Marks an option that every parameter group has to give itself."""

    def __repr__(self):
        return "<required parameter>"


required = _RequiredParameter()


def _register(table, hook, prepend=False):
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook):
    """Registers ``hook(optimizer, args, kwargs)`` to run before every step of every optimizer.

    The hook returns ``None``, or a pair ``(args, kwargs)`` that replaces the arguments of the step.
    Returns a handle whose ``remove()`` takes the hook away.

    Example:
        >>> import nnlib as torch
        >>> from nnlib.optim.optimizer import register_optimizer_step_pre_hook
        >>> handle = register_optimizer_step_pre_hook(lambda opt, args, kwargs: print("step"))
        >>> torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()
        step
        >>> handle.remove()
    """
    return _register(_global_step_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """Registers ``hook(optimizer, args, kwargs)`` to run after every step of every optimizer.

    Returns a handle whose ``remove()`` takes the hook away.

    Example:
        >>> import nnlib as torch
        >>> from nnlib.optim.optimizer import register_optimizer_step_post_hook
        >>> handle = register_optimizer_step_post_hook(lambda opt, args, kwargs: print("done"))
        >>> torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()
        done
        >>> handle.remove()
    """
    return _register(_global_step_post_hooks, hook)


def _typename(value):
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


class Optimizer:
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
        for table in _HOOK_TABLES:
            setattr(self, table, OrderedDict())
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
        for table in _HOOK_TABLES:
            self.__dict__.setdefault(table, OrderedDict())
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    @staticmethod
    def profile_hook_step(func):
        """Wraps a ``step`` method so that the registered step hooks run around it."""

        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            self = args[0]
            for hook in chain(_global_step_pre_hooks.values(), self._optimizer_step_pre_hooks.values()):
                result = hook(self, args, kwargs)
                if result is None:
                    continue
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{func} must return None or a tuple of (new_args, new_kwargs), but got {result}."
                    )
                args, kwargs = result
            out = func(*args, **kwargs)
            for hook in chain(self._optimizer_step_post_hooks.values(), _global_step_post_hooks.values()):
                hook(self, args, kwargs)
            return out

        return wrapper

    def _patch_step_function(self):
        # The class is patched when it is first used, so a step that a subclass defines is seen too.
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)
            cls.step.hooked = True

    def register_step_pre_hook(self, hook):
        """Registers ``hook(optimizer, args, kwargs)`` to run before each step of this optimizer.

        It returns ``None`` or new ``(args, kwargs)``. Returns a handle with ``remove()``.
        """
        return _register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """Registers ``hook(optimizer, args, kwargs)`` to run after each step of this optimizer.

        Returns a handle with ``remove()``.
        """
        return _register(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """Registers ``hook(optimizer)`` to run before :meth:`state_dict`; returns a handle.

        With ``prepend`` it runs before the hooks registered so far.
        """
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """Registers ``hook(optimizer, state_dict)`` to run after :meth:`state_dict`; returns a handle.

        The hook may change the dict in place or return another one.
        """
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """Registers ``hook(optimizer, state_dict)`` to run before :meth:`load_state_dict`; returns a handle.

        The hook gets a shallow copy of the dict and may return another one to load instead.
        """
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """Registers ``hook(optimizer)`` to run after :meth:`load_state_dict`; returns a handle."""
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)

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
                state[param] = _cast_state(param, value, saved)
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
        params, names = _split_names(param_group["params"])
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


def _split_names(params):
    """Splits parameters given as tensors, or as pairs of name and tensor, into two lists."""
    if isinstance(params, nnlib.Tensor):
        return [params], []
    if isinstance(params, set):
        raise TypeError(
            "optimizer parameters need to be organized in ordered collections, but the ordering of "
            "tensors in sets will change between runs. Please use a list instead."
        )
    params = list(params)
    names = [p[0] for p in params if isinstance(p, tuple)]
    if names and len(names) != len(params):
        raise ValueError("all optimizer params should be with/without names. Some param names are missing")
    return [p[1] if isinstance(p, tuple) else p for p in params], names


def _cast_state(param, value, group, key=None):
    """A copy of one state value with its tensors in the dtype and on the device of the parameter."""
    if isinstance(value, nnlib.Tensor):
        if key == "step":
            # A step is a count: a half-precision parameter must not round it.
            if group.get("fused") or group.get("capturable"):
                return value.to(dtype=nnlib.float32, device=param.device)
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)
    if isinstance(value, dict):
        return {k: _cast_state(param, v, group, k) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return type(value)(_cast_state(param, v, group) for v in value)
    return value
