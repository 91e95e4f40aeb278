"""Sequences of different lengths: padded to a rectangle, or packed without padding."""

from collections import namedtuple
from collections.abc import Iterable

from nnlib import _C
from nnlib._C import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]

_Packed = namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_Packed):
    """A batch of sequences without padding: step by step, the elements of all sequences that are that long.

    Made by `pack_padded_sequence` and `pack_sequence`, not by hand.

    Attributes:
        data (Tensor): the elements, shape (sum of lengths, \\*).
        batch_sizes (Tensor): how many sequences there are at each step.
        sorted_indices, unsorted_indices (Tensor or None): the order by falling length, and the way back.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:  # the older form: one pair
            if not (isinstance(data, list | tuple) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """Convert the elements as `Tensor.to` does; self if nothing changes."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else type(self)(data, *self[1:])

    def _cast(self, dtype):
        return self.to(dtype=dtype)

    def double(self):
        """The elements as float64."""
        return self._cast(_C.float64)

    def float(self):
        """The elements as float32."""
        return self._cast(_C.float32)

    def half(self):
        """The elements as float16."""
        return self._cast(_C.float16)

    def long(self):
        """The elements as int64."""
        return self._cast(_C.int64)

    def int(self):
        """The elements as int32."""
        return self._cast(_C.int32)

    def short(self):
        """The elements as int16."""
        return self._cast(_C.int16)

    def char(self):
        """The elements as int8."""
        return self._cast(_C.int8)

    def byte(self):
        """The elements as uint8."""
        return self._cast(_C.uint8)

    def cpu(self, *args, **kwargs):
        """Move to the CPU, where all is."""
        return self.to(*args, **kwargs) if args or kwargs else self

    @property
    def is_cuda(self):
        """False: there is no GPU here."""
        return False

    def is_pinned(self):
        """False: memory is never pinned here."""
        return False


def invert_permutation(permutation):
    """The permutation that undoes `permutation`; None for None."""
    if permutation is None:
        return None
    positions = _C.arange(0, permutation.numel(), dtype=permutation.dtype)
    return _C.empty_like(permutation).scatter_(0, permutation, positions)


def _packed_positions(lengths):
    """(time, sequence) of every element of a packed batch, and how many sequences each step has."""
    steps = _C.arange(0, int(lengths[0]))
    inside = steps.unsqueeze(1) < lengths.unsqueeze(0)
    time, sequence = inside.nonzero().unbind(1)
    return time, sequence, inside.sum(1)


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Take the padding out of a batch.

    Args:
        input (Tensor): shape (T, B, \\*), or (B, T, \\*) if `batch_first`.
        lengths (Tensor or list): how long each sequence is, from 1 to T.
        batch_first (bool): Default: ``False``.
        enforce_sorted (bool): the lengths have to fall; without it the batch is sorted here. Default:
            ``True``.

    Raises:
        RuntimeError: lengths that do not fall, are not positive, or are not one for each sequence.

    Example::

        >>> import nnlib
        >>> from nnlib.nn.utils.rnn import pack_padded_sequence
        >>> packed = pack_padded_sequence(nnlib.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
        >>> packed.data, packed.batch_sizes
        (tensor([1, 3, 2]), tensor([2, 1]))
    """
    if not isinstance(lengths, Tensor):
        lengths = _C.tensor(lengths, dtype=_C.int64)
    lengths = lengths.to(_C.int64)
    batch_dim = 0 if batch_first else 1
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if lengths.dim() != 1 or lengths.size(0) != input.size(batch_dim):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {lengths.numel()} (batch_size="
            f"{input.size(batch_dim)})"
        )
    sorted_indices = None
    if not enforce_sorted:
        numbers = lengths.tolist()
        order = sorted(range(len(numbers)), key=lambda i: -numbers[i])
        sorted_indices = _C.tensor(order, dtype=_C.int64)
        lengths = lengths.index_select(0, sorted_indices)
        input = input.index_select(batch_dim, sorted_indices)
    elif bool((lengths[:-1] < lengths[1:]).any()):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
            "requirement."
        )
    if int(lengths[-1]) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if int(lengths[0]) > input.size(1 - batch_dim):
        raise RuntimeError(
            f"Expected lengths of at most {input.size(1 - batch_dim)}, the size of the input, but got "
            f"{int(lengths[0])}"
        )
    time, sequence, batch_sizes = _packed_positions(lengths)
    # One lookup in the input with its two leading dimensions made one.
    row = sequence * input.size(1) + time if batch_first else time * input.size(1) + sequence
    data = input.reshape(-1, *input.shape[2:]).index_select(0, row)
    return PackedSequence(data, batch_sizes, sorted_indices, None)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """Put the padding back into a packed batch.

    Args:
        sequence (PackedSequence): the batch.
        batch_first (bool): Default: ``False``.
        padding_value (float): what to pad with. Default: 0.
        total_length (int, optional): pad to this length instead of the longest sequence's.

    Returns:
        (Tensor, Tensor): the padded batch, and the length of each sequence.

    Raises:
        ValueError: `total_length` is shorter than the longest sequence.
    """
    data, batch_sizes, _, unsorted_indices = sequence
    steps, batch = batch_sizes.size(0), int(batch_sizes[0])
    total = steps if total_length is None else total_length
    if total < steps:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total} and max sequence length being {steps}"
        )
    lengths = (batch_sizes.unsqueeze(1) > _C.arange(0, batch).unsqueeze(0)).sum(0)
    time, row, _ = _packed_positions(lengths)
    shape = (batch, total) if batch_first else (total, batch)
    place = row * total + time if batch_first else time * batch + row
    flat = _C.full((batch * total, *data.shape[1:]), padding_value, dtype=data.dtype)
    padded = flat.index_copy(0, place, data).reshape(*shape, *data.shape[1:])
    if unsorted_indices is not None:
        return padded.index_select(0 if batch_first else 1, unsorted_indices), lengths[unsorted_indices]
    return padded, lengths


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Stack sequences of different lengths, padded to the longest.

    Args:
        sequences (iterable of Tensor): shapes (L, \\*), equal but for the first size.
        batch_first (bool): the batch is the first dimension, not the second. Default: ``False``.
        padding_value (float): what to pad with. Default: 0.
        padding_side (str): ``'right'`` or ``'left'``. Default: ``'right'``.

    Returns:
        Tensor: shape (T, B, \\*), or (B, T, \\*) if `batch_first`.

    Raises:
        RuntimeError: not an iterable, empty, shapes that do not fit, or an unknown side.
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(s.size(0) for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - s.size(0)
        if missing:
            gap = _C.full((missing, *s.shape[1:]), padding_value, dtype=s.dtype)
            s = _C.cat([s, gap] if padding_side == "right" else [gap, s])
        rows.append(s)
    return _C.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The list of sequences that `pad_sequence` padded on the right."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [row[: int(length)] for row, length in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences, enforce_sorted=True):
    """Pack a list of sequences; they have to be sorted by falling length unless `enforce_sorted` is False."""
    lengths = [s.size(0) for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The list of sequences that `pack_sequence` packed, in their first order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
