"""Converting a module's parameters and buffers: dtype, device, memory format."""

from nnlib import _C
from nnlib._C import Tensor
from nnlib.autograd import no_grad


def _parse_to(device=None, dtype=None, non_blocking=False, copy=False, *, tensor=None, memory_format=None):
    """The arguments of `to` in its three forms: (device, dtype, ...), (dtype, ...), (tensor, ...)."""
    if isinstance(device, Tensor):
        tensor, device, dtype, non_blocking = device, None, None, dtype or False
    elif isinstance(device, _C.dtype):
        device, dtype, non_blocking = None, device, dtype or False
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    if device is not None and not isinstance(device, _C.device):
        device = _C.device(device)
    return device, dtype, non_blocking, memory_format


class ModuleConversion:
    """The part of `Module` that converts what it holds."""

    def _apply(self, fn, recurse=True):
        """Replace each parameter, gradient and buffer by ``fn`` of it; a parameter stays the same object."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for param in self._parameters.values():
            if param is None:
                continue
            grad = param.grad
            with no_grad():
                new, new_grad = fn(param), None if grad is None else fn(grad)
            if grad is not None:
                param.grad = None  # a gradient must have its parameter's dtype, also in between
            param.data = new
            if grad is not None:
                grad.data = new_grad  # the same object, as the parameter is
                param.grad = grad
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def _cast(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def to(self, *args, **kwargs):
        """Move and convert parameters and buffers in place: ``to(device, dtype)``, ``to(dtype)``,
        ``to(tensor)``.

        Args:
            device (device): where they go.
            dtype (dtype): a floating-point dtype; integer parameters and buffers keep theirs.
            tensor (Tensor): take device and dtype from it.
            memory_format (memory_format): layout of parameters and buffers with 4 or 5 dimensions (keyword
                only).

        Returns:
            Module: self.

        Raises:
            TypeError: `dtype` is not a floating-point one.
        """
        device, dtype, non_blocking, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None and not dtype.is_floating_point:
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(t):
            to = {"dtype": dtype if dtype is not None and t.is_floating_point() else t.dtype}
            if device is not None:
                to["device"] = device
            if memory_format is not None and t.dim() in (4, 5):
                to["memory_format"] = memory_format
            return t.to(non_blocking=non_blocking, **to)

        return self._apply(convert)

    def to_empty(self, *, device, recurse=True):
        """Move to `device` without copying: the values are arbitrary afterwards. Returns self."""
        return self._apply(lambda t: _C.empty_like(t, device=device), recurse=recurse)

    def cpu(self):
        """Move parameters and buffers to the CPU; returns self."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        """Raises what `Tensor.cuda` raises: there is no GPU here."""
        return self._apply(lambda t: t.cuda(device))

    def type(self, dst_type):
        """Convert every parameter and buffer to the dtype `dst_type`, integer ones included; returns self."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self):
        """Convert floating-point parameters and buffers to float32; returns self."""
        return self._cast(_C.float32)

    def double(self):
        """Convert floating-point parameters and buffers to float64; returns self."""
        return self._cast(_C.float64)

    def half(self):
        """Convert floating-point parameters and buffers to float16; returns self."""
        return self._cast(_C.float16)

    def bfloat16(self):
        """Convert floating-point parameters and buffers to bfloat16; returns self."""
        return self._cast(_C.bfloat16)

    def share_memory(self):
        """Move parameters and buffers to shared memory; returns self."""
        return self._apply(lambda t: t.share_memory_())
