"""Custom operators: forward and backward written in Python.

https://docs.pytorch.org/docs/stable/notes/extending.html
"""

from __future__ import annotations

import functools

from .. import _C
from .grad_mode import no_grad


class FunctionCtx(_C._FunctionBase):
    """What ``forward`` leaves for ``backward``. Attributes may be set freely."""

    to_save = None
    non_differentiable = None
    dirty_tensors = None
    materialize_grads = True
    needs_input_grad: tuple = ()

    def save_for_backward(self, *tensors) -> None:
        """Keep tensors for backward, where they are ``ctx.saved_tensors``; changes in place are noticed."""
        self.to_save = tensors

    def mark_dirty(self, *args) -> None:
        """Say that these inputs were changed in place; they must be outputs too."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args) -> None:
        """Say that these outputs have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that did not arrive come as zeros (default) or as None."""
        self.materialize_grads = value

    def register_hook(self, hook):
        """Node hooks belong to built-in nodes; use ``Tensor.register_hook`` on an input or output."""
        raise NotImplementedError("register_hook on the node of a custom Function: use Tensor.register_hook")


class _FunctionMeta(type):
    """Gives each Function the class of its contexts, named after it."""

    def __init__(cls, name, bases, attrs):
        super().__init__(name, bases, attrs)
        cls._backward_cls = type(
            name + "Backward",
            (FunctionCtx,),
            {
                "_forward_cls": cls,
                "_backward_function": staticmethod(cls._call_backward),
                "__module__": cls.__module__,
            },
        )


class Function(metaclass=_FunctionMeta):
    """Base of custom operators: define static ``forward`` and ``backward``, call ``apply``.

    ``forward(ctx, *args)`` computes on tensors without history. ``backward(ctx, *grad_outputs)`` returns one
    gradient (or None) per argument of forward. With a static ``setup_context(ctx, inputs, output)``,
    ``forward(*args)`` takes no context.

    >>> class Cube(nnlib.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x * x * grad
    >>> x = nnlib.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    def __init__(self, *args, **kwargs):
        raise RuntimeError(
            f"{type(self).__name__} should not be instantiated. Methods on autograd functions are all static, so you "
            "should invoke them on the class itself: call apply()."
        )

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @classmethod
    def _call_backward(cls, ctx, *grads):
        if cls.backward is Function.backward:
            return cls.vjp(ctx, *grads)
        return cls.backward(ctx, *grads)

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run forward on the arguments and record the backward step."""
        if kwargs:
            raise TypeError(f"{cls.__name__}.apply() takes no keyword arguments, got {', '.join(kwargs)}")
        setup = None if cls.setup_context is Function.setup_context else cls.setup_context
        return _C._function_apply(cls._backward_cls, cls.forward, setup, args)


class InplaceFunction(Function):
    """An old name of :class:`Function`: ``ctx.mark_dirty`` says what was changed in place."""


def once_differentiable(func):
    """Decorates a ``backward`` whose own steps cannot be differentiated: a second derivative is an error."""

    @functools.wraps(func)
    def wrapper(ctx, *args):
        with no_grad():
            outputs = func(ctx, *args)
        if not _C.is_grad_enabled():
            return outputs
        if not any(isinstance(a, _C.TensorBase) and a.requires_grad for a in args):
            return outputs
        as_tuple = outputs if isinstance(outputs, tuple) else (outputs,)
        blocked = tuple(_Once.apply(o, *args) if isinstance(o, _C.TensorBase) else o for o in as_tuple)
        return blocked if isinstance(outputs, tuple) else blocked[0]

    return wrapper


class _Once(Function):
    """Identity whose backward is the error that once_differentiable promises."""

    @staticmethod
    def forward(ctx, value, *args):
        return value.detach()

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
