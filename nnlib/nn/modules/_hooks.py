"""The hooks of modules: registration, the registries that hold for every module, and the call that runs
them.
"""

import functools
import warnings
import weakref
from collections import OrderedDict

from nnlib._C import Tensor
from nnlib.utils.hooks import BackwardHook, RemovableHandle

# Hooks of all modules, run before a module's own.
forward_pre_hooks = OrderedDict()
forward_hooks = OrderedDict()
forward_hooks_with_kwargs = OrderedDict()
forward_hooks_always_called = OrderedDict()
backward_pre_hooks = OrderedDict()
backward_hooks = OrderedDict()
buffer_registration_hooks = OrderedDict()
module_registration_hooks = OrderedDict()
parameter_registration_hooks = OrderedDict()
_full_backward = {}  # {"is": True or False} once a global backward hook has said which kind it is


def register(hooks, hook, *, prepend=False, marks=(), extra=()):
    """Put `hook` into `hooks`; its id goes into each dictionary of `marks` too. Returns the handle."""
    handle = RemovableHandle(hooks, extra_dict=[*marks, *extra])
    hooks[handle.id] = hook
    for mark in marks:
        mark[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_module_buffer_registration_hook(hook):
    """Call ``hook(module, name, buffer)`` at every `register_buffer`; a result other than None replaces the
    buffer.
    """
    return register(buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook):
    """Call ``hook(module, name, submodule)`` whenever a submodule is registered; a result other than None
    replaces it.
    """
    return register(module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook):
    """Call ``hook(module, name, parameter)`` at every `register_parameter`; a result other than None replaces
    it.
    """
    return register(parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook):
    """Call ``hook(module, args)`` before the forward of every module; a result other than None replaces
    args.
    """
    return register(forward_pre_hooks, hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """Call ``hook(module, args, output)`` after the forward of every module.

    Args:
        hook: a result other than None replaces the output.
        with_kwargs (bool): call ``hook(module, args, kwargs, output)`` instead.
        always_call (bool): call it also when forward raised.
    """
    marks = [forward_hooks_with_kwargs] * with_kwargs + [forward_hooks_always_called] * always_call
    return register(forward_hooks, hook, marks=marks)


def _set_backward_kind(kinds, full, where):
    if kinds.get("is", full) is not full:
        raise RuntimeError(
            f"Cannot use both regular backward hooks and full backward hooks {where}. Please use only one of "
            "them."
        )
    kinds["is"] = full


def register_module_backward_hook(hook):
    """The older form of `register_module_full_backward_hook`: it sees the gradients of the output's last
    operation.
    """
    _set_backward_kind(_full_backward, False, "as a global Module hook")
    return register(backward_hooks, hook)


def register_module_full_backward_pre_hook(hook):
    """Call ``hook(module, grad_output)`` before the backward of every module; a result replaces
    grad_output.
    """
    return register(backward_pre_hooks, hook)


def register_module_full_backward_hook(hook):
    """Call ``hook(module, grad_input, grad_output)`` after the backward of every module; a result replaces
    grad_input.
    """
    _set_backward_kind(_full_backward, True, "as a global Module hook")
    return register(backward_hooks, hook)


class WrappedHook:
    """A hook that gets its module as first argument; the module is held weakly, and by value in a pickle."""

    def __init__(self, hook, module=None):
        self.hook = hook
        functools.update_wrapper(self, hook)
        self.with_module = module is not None
        if self.with_module:
            self.module = weakref.ref(module)

    def __call__(self, *args, **kwargs):
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self):
        state = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state):
        self.hook, self.with_module = state["hook"], state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


class ModuleHooks:
    """The part of `Module` that registers hooks and runs them."""

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """Call ``hook(module, args)`` before each forward.

        Args:
            hook: returns None, or the new positional arguments (one value stands for a tuple of one).
            prepend (bool): run it before the hooks registered earlier.
            with_kwargs (bool): call ``hook(module, args, kwargs)``, which returns None or ``(args, kwargs)``.

        Returns:
            RemovableHandle: its `remove()` takes the hook away.
        """
        mark = self._forward_pre_hooks_with_kwargs
        return register(self._forward_pre_hooks, hook, prepend=prepend, marks=[mark] * with_kwargs)

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """Call ``hook(module, args, output)`` after each forward.

        Args:
            hook: a result other than None replaces the output. Changing `args` has no effect on forward.
            prepend (bool): run it before the hooks registered earlier.
            with_kwargs (bool): call ``hook(module, args, kwargs, output)`` instead.
            always_call (bool): call it also when forward raised (with output None); its own errors are
                warnings then.

        Returns:
            RemovableHandle: its `remove()` takes the hook away.

        Example::

            >>> import nnlib
            >>> double = nnlib.nn.Identity()
            >>> handle = double.register_forward_hook(lambda module, args, output: output * 2)
            >>> double(nnlib.ones(2))
            tensor([2., 2.])
        """
        marks = [self._forward_hooks_with_kwargs] * with_kwargs + [
            self._forward_hooks_always_called
        ] * always_call
        return register(self._forward_hooks, hook, prepend=prepend, marks=marks)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """Call ``hook(module, grad_output)`` when the gradients of the outputs are known; a result replaces
        them.
        """
        return register(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook, prepend=False):
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known.

        Args:
            hook: returns None or the new grad_input. Both gradients are tuples with None for whatever is not
                a tensor that requires a gradient; only positional arguments appear.
            prepend (bool): run it before the hooks registered earlier.

        Returns:
            RemovableHandle: its `remove()` takes the hook away.
        """
        self._set_backward_kind(True)
        return register(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook):
        """The older form of `register_full_backward_hook`: it sees the gradients of the output's last
        operation.
        """
        self._set_backward_kind(False)
        return register(self._backward_hooks, hook)

    def _set_backward_kind(self, full):
        kinds = {} if self._is_full_backward_hook is None else {"is": self._is_full_backward_hook}
        _set_backward_kind(kinds, full, "on a single Module")
        self._is_full_backward_hook = full

    def _get_backward_hooks(self):
        """The full and the older backward hooks, those of all modules first."""
        kinds = {True: [], False: []}
        if backward_hooks:
            kinds[_full_backward["is"]].extend(backward_hooks.values())
        if self._backward_hooks:
            kinds[self._is_full_backward_hook].extend(self._backward_hooks.values())
        return kinds[True], kinds[False]

    def _call_with_hooks(self, args, kwargs):
        """`__call__` of a module that has a hook."""
        run = _HookedCall(self, args, kwargs)
        try:
            return run()
        except Exception:
            run.call_the_always_called()
            raise


class _HookedCall:
    """One call of a module with its hooks; kept as an object so that the hooks after an error see how far it
    came.
    """

    def __init__(self, module, args, kwargs):
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result = None
        self.called = set()

    def __call__(self):
        module = self.module
        self._run_pre_hooks()
        full, older = module._get_backward_hooks()
        pre = [*backward_pre_hooks.values(), *module._backward_pre_hooks.values()]
        backward = BackwardHook(module, full, pre) if full or pre else None
        if backward is not None:
            self.args = backward.setup_input_hook(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        for hook_id, hook in self._hooks():
            self.called.add(hook_id)
            self._run_forward_hook(hook_id, hook)
        if backward is not None:
            if not isinstance(self.result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                    f"but received {type(self.result)}",
                    stacklevel=4,
                )
            self.result = backward.setup_output_hook(self.result)
        if older:
            _hook_last_operation(module, older, self.result)
        return self.result

    def _run_pre_hooks(self):
        module = self.module
        for hook_id, hook in (*forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
            if hook_id in module._forward_pre_hooks_with_kwargs:
                new = hook(module, self.args, self.kwargs)
                if new is not None:
                    if not (isinstance(new, tuple) and len(new) == 2):
                        raise RuntimeError(
                            "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but "
                            f"got {new}."
                        )
                    self.args, self.kwargs = new
            else:
                new = hook(module, self.args)
                if new is not None:
                    self.args = new if isinstance(new, tuple) else (new,)

    def _hooks(self):
        return (*forward_hooks.items(), *self.module._forward_hooks.items())

    def _run_forward_hook(self, hook_id, hook):
        module = self.module
        if hook_id in module._forward_hooks_with_kwargs or hook_id in forward_hooks_with_kwargs:
            new = hook(module, self.args, self.kwargs, self.result)
        else:
            new = hook(module, self.args, self.result)
        if new is not None:
            self.result = new

    def call_the_always_called(self):
        """After an error: the hooks registered with always_call that have not run; their errors are only
        warnings.
        """
        always = {**forward_hooks_always_called, **self.module._forward_hooks_always_called}
        for hook_id, hook in self._hooks():
            if hook_id not in always or hook_id in self.called:
                continue
            try:
                self._run_forward_hook(hook_id, hook)
            except Exception as error:
                which = "global module" if hook_id in forward_hooks else "module"
                warnings.warn(
                    f"{which} forward hook with ``always_call=True`` raised an exception that was silenced "
                    f"as another error was raised in forward: {error}",
                    stacklevel=5,
                )


def _hook_last_operation(module, hooks, result):
    """Attach the older backward hooks to the node that made the first tensor of `result`."""
    while not isinstance(result, Tensor):
        result = (
            next(v for v in result.values() if isinstance(v, Tensor))
            if isinstance(result, dict)
            else result[0]
        )
    if result.grad_fn is not None:
        for hook in hooks:
            result.grad_fn.register_hook(WrappedHook(hook, module))
