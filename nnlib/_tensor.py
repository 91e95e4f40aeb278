"""``Tensor``: the native type with the methods that are written in Python."""

from __future__ import annotations

from collections.abc import Callable

from . import _C, _shared, _utils
from ._hooks import TensorHookHandle
from ._tensor_str import tensor_str


class Tensor(_C.TensorBase):
    """A strided array of one dtype with automatic differentiation.

    Made by :func:`nnlib.tensor`, :func:`nnlib.zeros`, :func:`nnlib.from_numpy` and the other factories;
    ``Tensor(2, 3)`` gives unset values of the default dtype.

    >>> x = nnlib.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __module__ = "nnlib"
    # NumPy leaves `array + tensor` to the tensor.
    __array_priority__ = 1000

    # ---- printing, conversion

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        return tensor_str(self, contents=tensor_contents)

    def __format__(self, spec: str) -> str:
        if self.dim() == 0:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __iter__(self):
        if self.dim() == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self):
        return self if self.dim() == 0 else self.flip(0)

    def __contains__(self, element) -> bool:
        if isinstance(element, (Tensor, int, float, bool)):
            return bool((self == element).any())
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
        )

    @property
    def real(self) -> Tensor:
        """The tensor itself: there are no complex numbers."""
        return self

    @property
    def imag(self) -> Tensor:
        """RuntimeError: real tensors have no imaginary part in memory."""
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")

    def __hash__(self) -> int:
        return id(self)

    def __dlpack__(self, stream=None, **_):
        return _C._to_dlpack(self)

    def __dlpack_device__(self):
        return (1, 0)

    def cpu(self, memory_format=_C.preserve_format) -> Tensor:
        """The tensor as one of no device in particular: itself, or a copy where it is on a share of the cores."""
        return self.to("cpu")

    def cuda(self, *args, **kwargs):
        """There is no CUDA here: RuntimeError."""
        raise RuntimeError("nnlib runs on CPUs only: it has no CUDA devices")

    def type(self, dtype=None, non_blocking: bool = False, **kwargs):
        """The name of the type ("torch.FloatTensor"), or the tensor converted to ``dtype``."""
        from ._legacy import dtype_of_type_name, type_name

        if dtype is None:
            return type_name(self.dtype)
        return self.to(dtype_of_type_name(dtype))

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype of ``other``."""
        return self.to(other.dtype)

    # ---- gradients

    def backward(self, gradient=None, retain_graph=None, create_graph: bool = False, inputs=None) -> None:
        """Accumulate the gradients of this tensor into the leaves' ``.grad``.

        Args:
            gradient: gradient of what is differentiated with respect to this tensor, of its shape; may be
                left out for a tensor of one element (then 1).
            retain_graph: keep what was saved for backward (default: ``create_graph``).
            create_graph: record the backward pass itself, for higher derivatives.
            inputs: tensors into whose ``.grad`` the gradients go; default: all leaves.

        Raises RuntimeError when the tensor does not require grad or shapes differ.
        """
        from .autograd import backward

        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> TensorHookHandle:
        """Call ``hook(grad)`` when this tensor's gradient is complete; what it returns replaces it.

        Returns a handle whose ``remove()`` takes the hook away.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        return TensorHookHandle(self, _C._register_hook(self, hook), _C._remove_hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> TensorHookHandle:
        """Call ``hook(self)`` after a gradient was added to this leaf's ``.grad``."""
        return TensorHookHandle(
            self, _C._register_post_accumulate_hook(self, hook), _C._remove_post_accumulate_hook
        )

    def where(self, condition: Tensor, other) -> Tensor:
        """This tensor where ``condition`` holds, ``other`` elsewhere."""
        return _C.where(condition, self, other)

    # ---- no-ops that programs for other devices call

    def pin_memory(self, device=None) -> Tensor:
        """The tensor itself: there is no device to pin memory for."""
        return self

    def is_pinned(self, device=None) -> bool:
        """Always False."""
        return False

    def is_shared(self) -> bool:
        """Whether the memory is shared with other processes through ``share_memory_``."""
        return _shared.memory_of(self) is not None

    def share_memory_(self) -> Tensor:
        """Move the values into memory that processes share; returns the tensor.

        Processes forked from this one share it, and so do those that get the tensor through a queue of
        ``nnlib.multiprocessing``. Views of the tensor keep the old memory. A second call changes nothing.
        """
        if not self.is_shared():
            whole = _shared.create(self.nbytes).tensor()
            shared = whole[: self.nbytes].view(self.dtype)
            shared = shared.as_strided(self.shape, self.detach().contiguous().stride())
            self.data = shared.copy_(self.detach())
        return self

    def get_device(self) -> int:
        """The number of its device; -1 for a tensor that is on no share of the cores in particular."""
        index = self.device.index
        return -1 if index is None else index

    def resolve_conj(self) -> Tensor:
        """The tensor itself: there are no complex numbers."""
        return self

    resolve_neg = resolve_conj

    # ---- memory, copies, pickles

    def untyped_storage(self):
        """The memory behind the tensor, which other tensors may share."""
        return _C._untyped_storage(self)

    def storage(self):
        """The memory behind the tensor as elements of its dtype."""
        return _utils.storage_of(self)

    def __deepcopy__(self, memo):
        return _utils.tensor_deepcopy(self, memo)

    def __reduce_ex__(self, protocol):
        return _utils.tensor_reduce_ex(self, protocol)


def _add_conversions() -> None:
    """``x.float()``, ``x.long()`` ...: one method per dtype."""
    names = {
        "float": _C.float32, "double": _C.float64, "half": _C.float16, "bfloat16": _C.bfloat16,
        "long": _C.int64, "int": _C.int32, "short": _C.int16, "char": _C.int8, "byte": _C.uint8, "bool": _C.bool,
    }  # fmt: skip

    def make(name, dtype):
        def convert(self, memory_format=_C.preserve_format):
            if memory_format is _C.preserve_format:
                return self.to(dtype)
            return self.to(dtype, memory_format=memory_format)

        convert.__name__ = convert.__qualname__ = name
        convert.__doc__ = f"The tensor in dtype {dtype}; itself where it has that type."
        return convert

    for name, dtype in names.items():
        setattr(Tensor, name, make(name, dtype))


_add_conversions()
_C._set_tensor_class(Tensor)
_C.Tensor = Tensor
