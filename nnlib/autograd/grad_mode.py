"""Switches of gradient recording: context managers that are decorators too."""

from __future__ import annotations

import functools
import inspect

from .. import _C


class _Switch:
    """A context manager that also decorates functions, methods and generators."""

    def __call__(self, func):
        if inspect.isgeneratorfunction(func):
            return self._wrap_generator(func)

        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            with self.clone():
                return func(*args, **kwargs)

        return wrapper

    def _wrap_generator(self, func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            generator = func(*args, **kwargs)
            value, error = None, None
            try:
                while True:
                    # The mode holds while the generator's own code runs, not while its consumer's does.
                    with self.clone():
                        try:
                            item = generator.send(value) if error is None else generator.throw(error)
                        except StopIteration as stop:
                            return stop.value
                    value, error = None, None
                    try:
                        value = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as e:
                        error = e
            finally:
                generator.close()

        return wrapper

    def clone(self):
        return type(self)()


class _GradSwitch(_Switch):
    mode: bool

    def __new__(cls, orig_func=None):
        # @no_grad without parentheses.
        if orig_func is None:
            return super().__new__(cls)
        return cls()(orig_func)

    def __enter__(self) -> None:
        self._before = _C.is_grad_enabled()
        _C._set_grad_enabled(self.mode)

    def __exit__(self, *exc) -> None:
        _C._set_grad_enabled(self._before)


class no_grad(_GradSwitch):
    """Operators inside record no gradients.

    >>> x = nnlib.ones(2, requires_grad=True)
    >>> with nnlib.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    mode = False


class enable_grad(_GradSwitch):
    """Operators inside record gradients, also within :class:`no_grad`."""

    mode = True


class set_grad_enabled(_Switch):
    """Sets recording at once, and back when used as a context manager; also a decorator.

    >>> _ = nnlib.set_grad_enabled(False)
    >>> nnlib.is_grad_enabled()
    False
    >>> _ = nnlib.set_grad_enabled(True)
    """

    def __init__(self, mode: bool):
        self.mode = mode
        self._before = _C.is_grad_enabled()
        _C._set_grad_enabled(mode)

    def __call__(self, func):
        _C._set_grad_enabled(self._before)
        return super().__call__(func)

    def clone(self):
        return type(self)(self.mode)

    def __enter__(self) -> None:
        _C._set_grad_enabled(self.mode)

    def __exit__(self, *exc) -> None:
        _C._set_grad_enabled(self._before)


class inference_mode(_Switch):
    """Like :class:`no_grad`; tensors made inside count no versions and can never take part in autograd."""

    def __new__(cls, mode=True):
        if isinstance(mode, bool):
            return super().__new__(cls)
        return cls()(mode)

    def __init__(self, mode: bool = True):
        self.mode = mode

    def clone(self):
        return type(self)(self.mode)

    def __enter__(self) -> None:
        self._before = (_C.is_inference_mode_enabled(), _C.is_grad_enabled())
        _C._set_inference_mode(self.mode)
        if self.mode:
            _C._set_grad_enabled(False)
        elif self._before[0]:
            _C._set_grad_enabled(True)

    def __exit__(self, *exc) -> None:
        _C._set_inference_mode(self._before[0])
        _C._set_grad_enabled(self._before[1])
