"""Parameter and Buffer, the tensors that a module registers by assignment, and their shapeless lazy forms."""

from collections import OrderedDict

from nnlib import _C
from nnlib._C import Tensor

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]


def _rebuild_parameter(data, requires_grad, backward_hooks):
    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    parameter = Parameter(data, requires_grad)
    parameter.__dict__.update(state)
    return parameter


class Parameter(Tensor):
    """A tensor that a module registers as a parameter when it is assigned to an attribute.

    Args:
        data (Tensor, optional): the values, shared and not copied. Default: an empty tensor.
        requires_grad (bool): whether the parameter takes part in differentiation, whatever grad mode
            rules at the time. Default: ``True``.

    Example::

        >>> import nnlib
        >>> nnlib.nn.Parameter(nnlib.zeros(2))
        Parameter containing:
        tensor([0., 0.], requires_grad=True)
    """

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = _C.empty(0)
        elif not isinstance(data, Tensor):
            raise TypeError(f"Parameter data should be a Tensor or None, got {type(data).__name__}")
        return Tensor._make_subclass(cls, data, requires_grad)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __repr__(self):
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, protocol):
        state = getattr(self, "__dict__", None)
        if not state:
            return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())
        return _rebuild_parameter_with_state, (self.data, self.requires_grad, OrderedDict(), dict(state))


class _BufferMeta(type(Tensor)):
    """Makes `isinstance(tensor, Buffer)` true of every tensor that was marked as a buffer."""

    def __instancecheck__(cls, instance):
        if cls is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False):
            return True
        return super().__instancecheck__(instance)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that a module registers as a buffer when it is assigned to an attribute.

    Args:
        data (Tensor, optional): the values, shared and not copied. Default: an empty tensor.
        persistent (bool): whether the buffer is part of the module's `state_dict`. Default: ``True``.

    Example::

        >>> import nnlib
        >>> module = nnlib.nn.Module()
        >>> module.steps = nnlib.nn.Buffer(nnlib.zeros(1))
        >>> [name for name, _ in module.named_buffers()]
        ['steps']
    """

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = _C.empty(0)
        buffer = Tensor._make_subclass(cls, data.detach(), data.requires_grad)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer


class UninitializedTensorMixin:
    """A tensor without a shape yet: `materialize` gives it one and turns it into `cls_to_become`."""

    cls_to_become = Buffer

    def materialize(self, shape, device=None, dtype=None):
        """Allocate memory for `shape` (values arbitrary) and become an ordinary parameter or buffer, in
        place.
        """
        data = self.data
        self.data = _C.empty(shape, device=device or data.device, dtype=dtype or data.dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        """Raises RuntimeError: there is no shape yet."""
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call "
            "`forward` to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self):
        """Raises RuntimeError: there is no memory yet."""
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the "
            "parameters before calling `module.share_memory()`."
        )

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol):
        return type(self), (self.requires_grad,)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            data = self.data
            memo[id(self)] = type(self)(self.requires_grad, data.device, data.dtype)
        return memo[id(self)]

    def _refuse(self, *args, **kwargs):
        raise ValueError(
            f"Attempted to use an {type(self).__name__} before it has a shape. This error happens when you "
            "are using a `LazyModule`: call `forward` with a dummy batch to initialize the parameters first."
        )

    # What a user would most likely reach for; other operators see an empty tensor and refuse its shape.
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __matmul__ = _refuse
    __getitem__ = __setitem__ = view = reshape = sum = mean = uniform_ = normal_ = fill_ = zero_ = _refuse


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape a lazy module finds at its first call.

    Args:
        requires_grad (bool): Default: ``True``.
        device, dtype: of the memory allocated later.
    """

    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        return Tensor._make_subclass(cls, _C.empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape a lazy module finds at its first call.

    Args:
        requires_grad (bool): Default: ``False``.
        device, dtype: of the memory allocated later.
        persistent (bool): whether it is part of the `state_dict`. Default: ``True``.
    """

    # A Python class: an object cannot change its class to the C type Tensor.
    cls_to_become = Buffer

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        buffer = Tensor._make_subclass(cls, _C.empty(0, device=device, dtype=dtype), requires_grad)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer


def is_lazy(param):
    """Whether `param` is a parameter or buffer that has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)
