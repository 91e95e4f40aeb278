"""Tensors as the contiguous bytes that a transport moves."""

from .. import _C
from ._moves import Moves
from ._request import DTYPES, INLINE

_NUMBERS = {name: i for i, name in enumerate(DTYPES)}


def dtype_number(tensor):
    """The number under which the tensor's dtype travels."""
    return _NUMBERS[str(tensor.dtype).rpartition(".")[2]]


def check_tensor(tensor, name):
    """Raises TypeError unless it is a tensor, and ValueError when it is sparse."""
    if not isinstance(tensor, _C.Tensor):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` to be a Tensor, but got "
            f"{type(tensor).__name__}"
        )
    if tensor.is_sparse:
        raise ValueError(f"expected parameter `{name}` to be a dense tensor, but got a sparse one")


def check_list(tensors, name, length=None, like=None):
    """Raises unless it is a list of that many tensors, with the dtype and number of values of `like`."""
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` to be a list of Tensors, but got "
            f"{type(tensors).__name__}"
        )
    for i, tensor in enumerate(tensors):
        check_tensor(tensor, f"{name}[{i}]")
    if length is not None and len(tensors) != length:
        raise ValueError(
            f"expected `{name}` to hold one tensor for each of the {length} ranks, but got {len(tensors)}"
        )
    for tensor in tensors if like is not None else ():
        check_same(tensor, like, name)


def check_same(tensor, like, name):
    """Raises unless both tensors have the same dtype and number of values."""
    if tensor.dtype != like.dtype:
        raise TypeError(f"expected the tensors of `{name}` to be {like.dtype}, but got {tensor.dtype}")
    if tensor.numel() != like.numel():
        raise ValueError(
            f"expected {like.numel()} values in each tensor of `{name}`, but got {tensor.numel()}"
        )


class Source:
    """A tensor whose values are sent: itself where it is contiguous, a copy otherwise."""

    def __init__(self, tensor):
        self.tensor = tensor.detach().contiguous()
        self.size = self.tensor.numel() * self.tensor.element_size()
        self.address = self.tensor.data_ptr() if self.size else 0
        self.dtype = dtype_number(tensor)
        self.count = self.tensor.numel()

    def bytes(self):
        """The values as an array of bytes."""
        return Moves.view(self.address, self.size)

    def inline(self):
        """What a request's payload is for a tensor of this size."""
        return (self.address, self.size) if self.size <= INLINE else None


class Target(Source):
    """A tensor that is filled, through contiguous memory beside it where it is strided."""

    def __init__(self, tensor):
        super().__init__(tensor)
        self.original = tensor.detach()

    def commit(self):
        """Puts what has come into the tensor itself."""
        if self.original.data_ptr() != self.address and self.size:
            self.original.copy_(self.tensor)


def commit_all(targets):
    """A request's `finish` for these targets."""

    def finish():
        for target in targets:
            target.commit()

    return finish
