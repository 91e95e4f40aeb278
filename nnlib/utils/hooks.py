"""Handles that take a hook away again, and the machinery behind a module's backward hooks."""

import warnings
import weakref
from collections import OrderedDict

from nnlib._C import Tensor, is_grad_enabled
from nnlib.autograd import Function

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook away, and so does leaving a `with` block.

    Args:
        hooks_dict: the ordered dictionary that holds the hook under this handle's `id`. Only a weak
            reference is kept, so a handle does not keep a module alive.
        extra_dict: a dictionary, or a list of them, in which the same id is deleted as well.

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.Linear(2, 2)
        >>> handle = layer.register_forward_hook(lambda module, args, output: print("called"))
        >>> _ = layer(nnlib.zeros(1, 2))
        called
        >>> handle.remove()
        >>> _ = layer(nnlib.zeros(1, 2))
    """

    next_id = 0

    def __init__(self, hooks_dict, *, extra_dict=None):
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extra = [extra_dict] if isinstance(extra_dict, dict) else extra_dict or ()
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extra)

    def remove(self):
        """Take the hook away; a second call does nothing."""
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self):
        return self.hooks_dict_ref(), self.id, tuple(ref() for ref in self.extra_dict_ref)

    def __setstate__(self, state):
        hooks, self.id, *extra = state
        # A handle whose dictionary is gone still unpickles: it then has nothing left to remove.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)
        self.extra_dict_ref = tuple(
            weakref.ref(d) for d in (extra[0] if extra else None) or () if d is not None
        )

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.remove()


def unserializable_hook(function):
    """Mark a tensor hook as one that need not be saved: `warn_if_has_hooks` is then silent about it."""
    function.__torch_unserializable__ = True
    return function


def warn_if_has_hooks(tensor):
    """Warn about each hook of `tensor` that saving it would lose."""
    for hook in (getattr(tensor, "_backward_hooks", None) or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized. If this is expected, decorate the "
                "function with @nnlib.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=2,
            )


class _Tap(Function):
    """The identity; its backward hands the gradients to a callable, which may replace them."""

    @staticmethod
    def forward(ctx, tap, materialize, *tensors):
        ctx.tap = tap
        ctx.set_materialize_grads(materialize)
        return tuple(t.detach() for t in tensors)

    @staticmethod
    def backward(ctx, *grads):
        return (None, None, *ctx.tap(grads))


def _tap_tensors(tap, materialize, values):
    """Send those of `values` that require a gradient through a tap; returns (values, their positions or
    None).
    """
    values = list(values)
    index = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not index or not is_grad_enabled():
        return values, None
    for i, tensor in zip(index, _Tap.apply(tap, materialize, *[values[i] for i in index]), strict=True):
        values[i] = tensor
    return values, index


def _spread(index, values, size):
    spread = [None] * size
    for i, value in zip(index, values, strict=True):
        spread[i] = value
    return tuple(spread)


class BackwardHook:
    """Runs a module's full backward hooks: one tap on the module's inputs, one on its outputs.

    The tap on the outputs sees the gradients first: it runs the pre-hooks and keeps their result; the tap on
    the inputs then has both sides and runs the hooks. If no input requires a gradient, the outputs' tap runs
    them.
    """

    def __init__(self, module, user_hooks, user_pre_hooks):
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.grad_outputs = self.input_index = self.output_index = None
        self.n_inputs = self.n_outputs = 0

    def setup_input_hook(self, args):
        """Tap the positional arguments; returns the tuple to call forward with."""
        self.n_inputs = len(args)
        values, self.input_index = _tap_tensors(self._on_grad_input, True, args)
        return tuple(values)

    def setup_output_hook(self, result):
        """Tap the output (a tensor or a tuple of them); returns what the module is to return."""
        values = result if isinstance(result, tuple) else (result,)
        self.n_outputs = len(values)
        tapped, self.output_index = _tap_tensors(self._on_grad_output, False, values)
        if not isinstance(result, tuple):
            return tapped[0]
        return type(result)(*tapped) if hasattr(result, "_fields") else tuple(tapped)

    def _on_grad_output(self, grads):
        self.grad_outputs = _spread(self.output_index, grads, self.n_outputs)
        for hook in self.user_pre_hooks:
            new = hook(self.module, self.grad_outputs)
            if new is not None:
                new = new if isinstance(new, tuple) else (new,)
                self._check_count("Backward pre hook", "grad_output", new, self.n_outputs)
                self.grad_outputs = new
        grads = [self.grad_outputs[i] for i in self.output_index]
        if self.input_index is None:
            self._run_without_grad_input()
        return grads

    def _run_without_grad_input(self):
        if self.user_hooks:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs "
                "since no inputs require gradients: grad_input is None for every input.",
                stacklevel=5,
            )
        for hook in self.user_hooks:
            new = hook(self.module, (None,) * self.n_inputs, self.grad_outputs)
            if new is not None and any(value is not None for value in new):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or "
                    "None for all gradients."
                )
        self.grad_outputs = None

    def _on_grad_input(self, grads):
        if self.grad_outputs is None:  # the outputs were never reached: a second path into the inputs
            return grads
        result = _spread(self.input_index, grads, self.n_inputs)
        for hook in self.user_hooks:
            new = hook(self.module, result, self.grad_outputs)
            if new is not None:
                new = new if isinstance(new, tuple) else (new,)
                self._check_count("Backward hook", "grad_input", new, self.n_inputs)
                result = new
        self.grad_outputs = None
        return [result[i] for i in self.input_index]

    @staticmethod
    def _check_count(what, name, values, expected):
        if len(values) != expected:
            raise RuntimeError(
                f"{what} returned an invalid number of {name}, got {len(values)}, but expected {expected}"
            )
