"""Module, the base class of every layer and of every model."""

import warnings
from collections import OrderedDict

from nnlib._C import Tensor

from ..parameter import Buffer, Parameter
from . import _hooks
from ._conversion import ModuleConversion
from ._hooks import (
    ModuleHooks,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from ._lookup import ModuleLookup
from ._state import ModuleState

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

_HOOK_DICTS = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _typename(value):
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Module(ModuleLookup, ModuleHooks, ModuleState, ModuleConversion):
    """Base class of all neural-network modules.

    A model is a subclass that assigns its parts to attributes in ``__init__``, after ``super().__init__()``,
    and computes in ``forward``. Whatever is a `Module`, a `Parameter` or a `Buffer` is registered by the
    assignment: it then appears in `parameters`, in `state_dict`, and is converted by `to`.

    Attributes:
        training (bool): whether the module is in training mode; `train` and `eval` set it.

    Example::

        >>> import nnlib
        >>> class Model(nnlib.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layer = nnlib.nn.Linear(4, 2)
        ...     def forward(self, x):
        ...         return self.layer(x).relu()
        >>> Model()
        Model(
          (layer): Linear(in_features=4, out_features=2, bias=True)
        )
        >>> Model()(nnlib.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    dump_patches = False
    call_super_init = False

    def __init__(self, *args, **kwargs):
        if not self.call_super_init:
            if kwargs:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                    f"'{next(iter(kwargs))}'"
                )
            if args:
                raise TypeError(
                    f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were "
                    "given"
                )
        state = self.__dict__  # straight into the dictionary: __setattr__ would look for parameters
        state["training"] = True
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_modules"] = {}
        state["_non_persistent_buffers_set"] = set()
        state["_is_full_backward_hook"] = None
        for name in _HOOK_DICTS:
            state[name] = OrderedDict()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def forward(self, *args, **kwargs):
        """What the module computes; every subclass overrides it. Call the module itself, so that its hooks
        run.
        """
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args, **kwargs):
        state = self.__dict__
        if "_forward_hooks" not in state:
            raise AttributeError(
                f"'{type(self).__name__}' object cannot be called: its __init__ did not call super().__init__()"
            )
        if not (
            state["_forward_hooks"]
            or state["_forward_pre_hooks"]
            or state["_backward_hooks"]
            or state["_backward_pre_hooks"]
            or _hooks.forward_hooks
            or _hooks.forward_pre_hooks
            or _hooks.backward_hooks
            or _hooks.backward_pre_hooks
        ):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    # -- registration

    def _check_name(self, kind, name, held):
        if held not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_typename(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[held]:
            raise KeyError(f"attribute '{name}' already exists")

    @staticmethod
    def _run_registration_hooks(hooks, module, name, value):
        for hook in hooks.values():
            new = hook(module, name, value)
            if new is not None:
                value = new
        return value

    def register_buffer(self, name, tensor, persistent=True):
        """Add a buffer: a tensor that belongs to the module's state but is not trained.

        Args:
            name (str): the attribute under which it can be reached.
            tensor (Tensor or None): None leaves the name free of a value, and out of the state dict.
            persistent (bool): whether it is part of the state dict. Default: ``True``.

        Raises:
            AttributeError: ``Module.__init__`` has not run. TypeError: not a string, not a tensor.
            KeyError: the name is empty, holds a dot, or is an attribute of another kind.
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_typename(tensor)}' object to buffer '{name}' (torch Tensor or None "
                "required)"
            )
        self._buffers[name] = self._run_registration_hooks(
            _hooks.buffer_registration_hooks, self, name, tensor
        )
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Add a parameter.

        Args:
            name (str): the attribute under which it can be reached.
            param (Parameter or None): None leaves the name free of a value, and out of the state dict.

        Raises:
            AttributeError: ``Module.__init__`` has not run. TypeError: not a string, not a `Parameter`.
            KeyError: the name is empty, holds a dot, or is an attribute of another kind.
            ValueError: the parameter is the result of an operation.
        """
        self._check_name("parameter", name, "_parameters")
        if param is None:
            self._parameters[name] = None
            return
        if not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                f"explicitly. To express '{name}' as a function of another Tensor, compute the value in the "
                "forward() method."
            )
        hooks = _hooks.parameter_registration_hooks
        self._parameters[name] = self._run_registration_hooks(hooks, self, name, param)

    def add_module(self, name, module):
        """Add a submodule under `name`.

        Raises:
            TypeError: not a module, or the name is not a string.
            KeyError: the name is empty, holds a dot, or is an attribute of another kind.
        """
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{_typename(module)} is not a Module subclass")
        self._check_name("module", name, "_modules")
        self._modules[name] = self._run_registration_hooks(
            _hooks.module_registration_hooks, self, name, module
        )

    def register_module(self, name, module):
        """The same as `add_module`."""
        self.add_module(name, module)

    # -- attributes

    def __getattr__(self, name):
        # Called for every use of a parameter: the common case is one lookup, without loops or calls.
        state = self.__dict__
        try:
            return state["_parameters"][name]
        except KeyError:
            pass
        for members in ("_modules", "_buffers"):
            if members in state and name in state[members]:
                return state[members][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def _weight_and_bias(self):
        """`weight` and `bias`, without the failing attribute lookup that comes before `__getattr__`."""
        own = self._parameters
        if "weight" in own and "bias" in own:
            return own["weight"], own["bias"]
        return self.weight, self.bias  # parametrised, or a replica

    def _forget(self, name, *members):
        state = self.__dict__
        state.pop(name, None)
        for held in members:
            state[held].pop(name, None)
        state["_non_persistent_buffers_set"].discard(name)

    def __setattr__(self, name, value):
        state = self.__dict__
        params = state.get("_parameters")
        if isinstance(value, Parameter):
            if params is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, "_buffers", "_modules")
            self.register_parameter(name, value)
        elif params is not None and name in params:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as parameter '{name}' (torch.nn.Parameter or None "
                    "expected)"
                )
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if params is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, "_parameters", "_buffers")
            self._set_module(name, value)
        elif params is not None and name in state["_modules"]:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as child module '{name}' (torch.nn.Module or None "
                    "expected)"
                )
            self._set_module(name, value)
        elif params is not None and (name in state["_buffers"] or isinstance(value, Buffer)):
            self._set_buffer(name, value)
        else:
            super().__setattr__(name, value)

    def _set_module(self, name, value):
        # Not add_module: an assignment may replace a class attribute of the same name.
        self._modules[name] = self._run_registration_hooks(
            _hooks.module_registration_hooks, self, name, value
        )

    def _set_buffer(self, name, value):
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{_typename(value)}' as buffer '{name}' "
                "(torch.nn.Buffer, torch.Tensor or None expected)"
            )
        if isinstance(value, Buffer):
            persistent = value.persistent
        else:
            persistent = name not in self._non_persistent_buffers_set
        if name not in self._buffers:
            self._forget(name, "_modules")
        self.register_buffer(name, value, persistent)

    def __delattr__(self, name):
        for members in (self._parameters, self._buffers, self._modules):
            if name in members:
                del members[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in _HOOK_DICTS:  # a pickle of an older release may lack some
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    # -- modes and gradients

    def apply(self, fn):
        """Call ``fn(module)`` for every module below this one and then for this one; returns self.

        Example::

            >>> import nnlib
            >>> def zero_bias(module):
            ...     if isinstance(module, nnlib.nn.Linear):
            ...         nnlib.nn.init.zeros_(module.bias)
            >>> net = nnlib.nn.Sequential(nnlib.nn.Linear(2, 2)).apply(zero_bias)
            >>> net[0].bias.tolist()
            [0.0, 0.0]
        """
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode=True):
        """Set training mode, or evaluation mode if `mode` is False, here and in all modules below; returns
        self.

        Only some modules behave differently: dropout, batch normalisation, ...

        Raises:
            ValueError: `mode` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Set evaluation mode: the same as ``train(False)``. Returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Say of every parameter whether it is to get a gradient; returns self."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Clear the gradients of all parameters.

        Args:
            set_to_none (bool): ``grad`` becomes None; otherwise it is filled with zeros. Default: ``True``.
        """
        if getattr(self, "_is_replica", False):
            warnings.warn(
                "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. The "
                "parameters are copied (in a differentiable manner) from the original module, so they are "
                "not leaf nodes in autograd and don't accumulate gradients. If you need gradients in your "
                "forward method, consider using autograd.grad instead.",
                stacklevel=2,
            )
        for param in self.parameters():
            if param.grad is None:
                continue
            if set_to_none:
                param.grad = None
            else:
                if param.grad.grad_fn is not None:
                    param.grad.detach_()
                else:
                    param.grad.requires_grad_(False)
                param.grad.zero_()

    # -- how it looks

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """What stands between the parentheses of the module's own `repr`; a subclass overrides it."""
        return ""

    def __repr__(self):
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        children = [f"({name}): {_indent(repr(module))}" for name, module in self._modules.items()]
        if not children and len(extra) <= 1:
            return f"{self._get_name()}({''.join(extra)})"
        return self._get_name() + "(\n  " + "\n  ".join(extra + children) + "\n)"

    def __dir__(self):
        names = [*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers]
        return sorted({name for name in names if not name[0].isdigit()})

    def _replicate_for_data_parallel(self):
        replica = type(self).__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        # A replica's parameters are results of a broadcast, not leaves: plain attributes, put in by
        # replicate().
        replica.__dict__["_parameters"] = {}
        replica.__dict__["_buffers"] = self._buffers.copy()
        replica.__dict__["_modules"] = self._modules.copy()
        replica.__dict__["_is_replica"] = True
        return replica


def _indent(text):
    first, *rest = text.split("\n")
    return "\n".join([first, *("  " + line if line.strip() else "" for line in rest)])
