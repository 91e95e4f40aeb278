"""Modules that find the shapes of their parameters at their first call."""

from nnlib.autograd import no_grad

from ..parameter import is_lazy

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin:
    """Put before a module class, it lets that module's parameters be uninitialized until the first call.

    A subclass creates `UninitializedParameter` or `UninitializedBuffer` attributes and overrides
    `initialize_parameters`, which gets forward's arguments and gives them shapes with `materialize`. After
    that call the module becomes an instance of `cls_to_become`, if that is set.

    Example::

        >>> import nnlib
        >>> lazy = nnlib.nn.LazyLinear(3)
        >>> _ = lazy(nnlib.zeros(2, 5))
        >>> lazy
        Linear(in_features=5, out_features=3, bias=True)
    """

    cls_to_become = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, value in self._persistent_state():
            # A tensor without a shape cannot be detached; it is saved as it is.
            destination[prefix + name] = value if keep_vars or is_lazy(value) else value.detach()

    def _lazy_load_hook(self, state_dict, prefix, *_):
        for name, value in self._persistent_state():
            saved = state_dict.get(prefix + name)
            if is_lazy(value) and saved is not None and not is_lazy(saved):
                with no_grad():
                    value.materialize(saved.shape)

    def initialize_parameters(self, *args, **kwargs):
        """Give every uninitialized parameter its shape and values; gets what forward gets."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self):
        """Whether a parameter or buffer of this module itself has no shape yet."""
        return any(is_lazy(value) for value in (*self._parameters.values(), *self._buffers.values()))

    def _infer_parameters(self, module, args, kwargs=None):
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _replicate_for_data_parallel(self):
        raise RuntimeError(
            "Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy forward "
            "pass to correctly initialize the modules"
        )
