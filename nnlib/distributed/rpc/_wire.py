"""What a message is made of.

Note [Whom RPC trusts]
A worker runs any importable function that another worker names: that is what RPC is for. So the workers of a
job trust each other, as parts of one program that one launcher started. What keeps strangers out is the
transport: messages come from the ranks of this MPI world alone, on a communicator of RPC's own, and nothing
listens on a port of RPC's. A message holds data and names: no code, and nothing that only one process has.
The frame around a message is read by an unpickler that knows plain data only.
"""

import io
import pickle
import types
from dataclasses import dataclass, field

import numpy as np

from ... import _C, empty
from ...nn.parameter import Parameter
from .._buffers import dtype_number
from .._moves import Moves
from .._request import DTYPES
from ._names import find, name_of

INLINE_BYTES = 16 << 10  # tensors up to this size travel in the frame
_NAMED = (types.FunctionType, types.BuiltinFunctionType, type(_C.add))


@dataclass
class Message:
    """One message: a few plain facts for the transport's own use, and a body for a handler."""

    kind: str
    number: int = 0  # of the request that it is or answers
    facts: tuple = ()
    body: bytes | None = None
    tensors: list = field(default_factory=list)
    rrefs: list = field(default_factory=list)
    context: int | None = None  # of distributed.autograd
    tracked: tuple | None = None  # (number, indices of tensors) whose gradients go back to the sender


class _Pickler(pickle.Pickler):
    def __init__(self, file, message):
        super().__init__(file, protocol=5)
        self._message, self._places = message, {}

    def persistent_id(self, thing):
        from ._rref import RRef

        if isinstance(thing, _C.Tensor):
            return self._tensor(thing)
        if isinstance(thing, RRef):
            self._message.rrefs.append(thing)
            return "rref", len(self._message.rrefs) - 1
        if isinstance(thing, _NAMED) and (
            isinstance(getattr(thing, "__self__", None), (types.ModuleType, types.NoneType))
        ):
            return "name", name_of(thing)
        return None

    def _tensor(self, tensor):
        if tensor.is_sparse:
            tensor = tensor.coalesce()
            return "sparse", (tensor.indices(), tensor.values(), tuple(tensor.shape))
        place = self._places.setdefault(id(tensor), len(self._message.tensors))
        if place == len(self._message.tensors):
            self._message.tensors.append(tensor)
        return "tensor", place


class _Unpickler(pickle.Unpickler):
    def __init__(self, message):
        super().__init__(io.BytesIO(message.body))
        self._message = message

    def find_class(self, module, name):
        return find(module, name)

    def persistent_load(self, pid):
        kind, what = pid
        if kind == "tensor":
            return self._message.tensors[what]
        if kind == "rref":
            return self._message.rrefs[what]
        if kind == "name":
            return find(*what)
        if kind == "sparse":
            from ... import sparse_coo_tensor

            return sparse_coo_tensor(*what)
        raise pickle.UnpicklingError(f"a message holds something of the unknown kind {kind!r}")


class _FrameUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"a message's frame may not name {module}.{name}")


def put_body(message, value):
    """Makes `value` the message's body; its tensors and RRefs are then in the message."""
    file = io.BytesIO()
    try:
        _Pickler(file, message).dump(value)
    except (AttributeError, TypeError) as error:  # how pickle says that something has no name, or no state
        raise pickle.PicklingError(f"a call's arguments and result must be picklable: {error}") from error
    message.body = file.getvalue()


def get_body(message):
    """The value that is a message's body."""
    return _Unpickler(message).load()


def to_frame(message, rrefs):
    """(frame, arrays of large tensors' bytes) of a message; `rrefs` describe its RRefs."""
    described, arrays = [], []
    for tensor in message.tensors:
        dense = tensor.detach().contiguous()
        data = Moves.view(dense.data_ptr(), dense.numel() * dense.element_size())
        inline = data.size <= INLINE_BYTES
        if not inline:
            arrays.append(_Kept(data, dense))
        described.append(
            (dtype_number(tensor), tuple(tensor.shape), tensor.requires_grad, isinstance(tensor, Parameter),
             data.tobytes() if inline else None)
        )  # fmt: skip
    parts = (message.kind, message.number, message.facts, message.body, described, rrefs, message.context,
             message.tracked)  # fmt: skip
    frame = np.frombuffer(pickle.dumps(parts, protocol=5), np.uint8)
    if frame.size >= 1 << 31:
        raise ValueError(f"a message of {frame.size} bytes is too long: large data has to be in tensors")
    return frame, arrays


class _Kept(np.ndarray):
    """An array of bytes that keeps the tensor whose memory it is."""

    def __new__(cls, data, owner):
        array = data.view(cls)
        array.owner = owner
        return array

    def __array_finalize__(self, other):
        self.owner = getattr(other, "owner", None)


def from_frame(frame):
    """(message, arrays that its large tensors' bytes have to be put into). Its RRefs are described only."""
    parts = _FrameUnpickler(io.BytesIO(frame)).load()
    kind, number, facts, body, described, rrefs, context, tracked = parts
    message = Message(kind, number, facts, body, [], rrefs, context, tracked)
    arrays = []
    for dtype, shape, requires_grad, is_parameter, data in described:
        tensor = empty(shape, dtype=getattr(_C, DTYPES[dtype]))
        target = Moves.view(tensor.data_ptr(), tensor.numel() * tensor.element_size())
        if data is None:
            arrays.append(target)
        else:
            target[:] = np.frombuffer(data, np.uint8)
        message.tensors.append((tensor, requires_grad, is_parameter))
    return message, arrays


def settle_tensors(message):
    """Gives the tensors that have come their flags: those that are tracked stay without history."""
    tracked = set(message.tracked[1]) if message.tracked else ()
    for i, (tensor, requires_grad, is_parameter) in enumerate(message.tensors):
        if i not in tracked:
            if is_parameter:
                tensor = Parameter(tensor, requires_grad)
            else:
                tensor.requires_grad_(requires_grad)
        message.tensors[i] = tensor
