"""Parametrisations: a parameter that is computed from others each time it is looked at."""

import copy
from collections.abc import Sequence
from contextlib import contextmanager, suppress

from nnlib._C import Tensor
from nnlib.autograd import no_grad

from ..modules.container import ModuleDict, ModuleList
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

_cache_depth = 0
_cache = {}


@contextmanager
def cached():
    """While open, every parametrised tensor is computed once and then reused.

    Example::

        >>> import nnlib
        >>> with nnlib.nn.utils.parametrize.cached():
        ...     pass
    """
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


def _register(module, name, value):
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


class ParametrizationList(ModuleList):
    """The parametrisations of one tensor, applied one after the other, and what they start from.

    Attributes:
        original: the tensor that is stored; ``original0``, ``original1``, ... if the first parametrisation
            takes several.
        is_tensor (bool): which of the two.
    """

    def __init__(self, modules, original, unsafe=False):
        modules = list(modules)
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = (original.shape, original.dtype)
        new = self._originals(original)
        if not unsafe and self.is_tensor and new.dtype != original.dtype:
            raise ValueError(
                "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
            )
        if self.is_tensor:
            with no_grad():
                original.data = new.detach()
            _register(self, "original", original)
        else:
            for i, value in enumerate(new):
                trained = Parameter(value.detach().clone(), original.requires_grad)
                _register(self, f"original{i}", trained if isinstance(original, Parameter) else value)
        if not unsafe:
            result = self()
            if not isinstance(result, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
            if (result.shape, result.dtype) != before:
                raise ValueError(
                    "Registering a parametrization may not change the shape or dtype of the tensor, unless "
                    f"`unsafe` flag is enabled.\nunparametrized: {before}\nparametrized: "
                    f"{(result.shape, result.dtype)}"
                )

    def _originals(self, value):
        """The value that the first parametrisation is to start from."""
        with no_grad():
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):  # one without an inverse starts from the value itself
                        value = module.right_inverse(value)
        if not isinstance(value, Tensor | Sequence):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                f"{type(value).__name__}"
            )
        self.is_tensor = isinstance(value, Tensor)
        self.ntensors = 1 if self.is_tensor else len(value)
        return value

    def right_inverse(self, value):
        """Set what is stored so that the parametrised tensor becomes `value`."""
        with no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                value = module.right_inverse(value)
            if self.is_tensor:
                self.original.data = value.detach()
                return
            if len(value) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a "
                    f"sequence of length {len(value)}."
                )
            for i, part in enumerate(value):
                getattr(self, f"original{i}").data = part.detach()

    def forward(self):
        first, *rest = self
        if self.is_tensor:
            value = first(self.original)
        else:
            value = first(*[getattr(self, f"original{i}") for i in range(self.ntensors)])
        for module in rest:
            value = module(value)
        return value


def _inject_new_class(module):
    """Give the module a class of its own, so that a property can stand on it."""
    cls = type(module)

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        # The copy gets a class of its own: parametrisations of one may be removed without the other's.
        own = type(self)
        body = {name: value for name, value in vars(own).items() if name not in ("__dict__", "__weakref__")}
        replica = own.__new__(type(own)(own.__name__, own.__bases__, body))
        memo[id(self)] = replica
        replica.__dict__ = copy.deepcopy(self.__dict__, memo)
        return replica

    def __getstate__(self):
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See "
            "nnlib.save for how to save a state dict."
        )

    body = {"__getstate__": __getstate__, "__module__": cls.__module__}
    if not hasattr(cls, "__deepcopy__"):
        body["__deepcopy__"] = __deepcopy__
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), body)


def _inject_property(module, name):
    def get(self):
        if not _cache_depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def put(self, value):
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


def register_parametrization(module, tensor_name, parametrization, *, unsafe=False):
    """Make a parameter or buffer the result of a module, applied each time the tensor is looked at.

    Args:
        module (Module): whose tensor it is.
        tensor_name (str): its name. What is stored is then ``parametrizations.<name>.original``.
        parametrization (Module): from the stored tensor to the one that is seen. With a method
            ``right_inverse``, which goes the other way, the tensor keeps its value and can be assigned to.
        unsafe (bool): skip the checks of shape and dtype. Default: ``False``.

    Returns:
        Module: `module`; its class is now one of its own.

    Raises:
        ValueError: no such tensor, or a parametrisation that changes its shape or dtype.

    Example::

        >>> import nnlib
        >>> class Symmetric(nnlib.nn.Module):
        ...     def forward(self, x):
        ...         return x.triu() + x.triu(1).transpose(-1, -2)
        >>> layer = nnlib.nn.Linear(3, 3)
        >>> _ = nnlib.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
        >>> bool((layer.weight == layer.weight.t()).all())
        True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_appended(module, tensor_name, parametrization)
        parametrizations = module.parametrizations[tensor_name]
        parametrizations.append(parametrization)
        parametrizations.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    parametrizations = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _inject_new_class(module)
        module.parametrizations = ModuleDict()
    _inject_property(module, tensor_name)
    module.parametrizations[tensor_name] = parametrizations
    return module


def _check_appended(module, tensor_name, parametrization):
    value = getattr(module, tensor_name)
    result = parametrization(value)
    if not isinstance(result, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
    if (result.shape, result.dtype) != (value.shape, value.dtype):
        raise ValueError(
            "Registering a parametrization may not change the shape or dtype of the tensor, unless the "
            f"`unsafe` flag is enabled.\nmodule.{tensor_name}: "
            f"{(value.shape, value.dtype)}\nparametrization(...): {(result.shape, result.dtype)}"
        )


def is_parametrized(module, tensor_name=None):
    """Whether `module` has a parametrised tensor, or one of that name."""
    parametrizations = getattr(module, "parametrizations", None)
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(module, tensor_name, leave_parametrized=True):
    """Make a parametrised tensor an ordinary one again.

    Args:
        module (Module): whose tensor it is.
        tensor_name (str): its name.
        leave_parametrized (bool): keep the value that is seen, not the one that is stored. Default: ``True``.

    Returns:
        Module: `module`.

    Raises:
        ValueError: the tensor is not parametrised, or consists of several and its stored value is asked for.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    parametrizations = module.parametrizations[tensor_name]
    if parametrizations.is_tensor:
        tensor = parametrizations.original
        if leave_parametrized:
            with no_grad():
                tensor.data = getattr(module, tensor_name).detach()
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        trained = any(original.requires_grad for original in parametrizations.parameters())
        tensor = Parameter(value.detach()) if trained else value.detach()
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms "
            "of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, tensor)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module):
    """The class that `module` had before it was parametrised."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
