"""Hooks of optimizers: around a step, and around saving and loading."""

import functools
from collections import OrderedDict
from itertools import chain

from nnlib.utils.hooks import RemovableHandle

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


class Hooks:
    """The part of an optimizer that keeps hooks and runs those around a step."""

    def _make_hook_tables(self):
        for table in _HOOK_TABLES:
            self.__dict__.setdefault(table, OrderedDict())

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
