"""Connectionist temporal classification: the loss over every way in which a target can be spread over time.

Source: Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification" (2006).
"""

from nnlib import _C
from nnlib._autocast import in_float32
from nnlib._C import Tensor

from ._reduction import check, reduce_loss


def _lengths(lengths, name, batch):
    lengths = lengths if isinstance(lengths, Tensor) else _C.tensor(lengths, dtype=_C.int64)
    if lengths.is_floating_point():
        raise RuntimeError(f"{name} must be integral, got {lengths.dtype}")
    lengths = lengths.to(_C.int64).reshape(-1)
    if lengths.numel() != batch:
        raise RuntimeError(f"{name} must be of size batch_size: expected {batch}, got {lengths.numel()}")
    return lengths


def _padded_targets(targets, lengths, batch):
    """Targets as a matrix, from a matrix or from sequences put one after the other."""
    longest = int(lengths.max()) if batch else 0
    if targets.dim() == 2:
        if targets.size(0) != batch or targets.size(1) < longest:
            raise RuntimeError(
                f"Expected tensor to have size at least ({batch}, {longest}), but got size "
                f"{tuple(targets.shape)} for argument 'targets'"
            )
        return targets[:, :longest]
    total = int(lengths.sum())
    if targets.numel() != total:
        raise RuntimeError(f"Expected concatenated targets of size {total}, but got {targets.numel()}")
    if total == 0:
        return _C.zeros((batch, longest), dtype=_C.int64)
    start = lengths.cumsum(0) - lengths
    index = (start.unsqueeze(1) + _C.arange(longest).unsqueeze(0)).clamp(max=total - 1)
    return targets[index]


@in_float32
def ctc_loss(
    log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False
):
    """The connectionist temporal classification loss. See `nnlib.nn.CTCLoss`.

    Args:
        log_probs (Tensor): shape (T, N, C) or (T, C), the output of a log-softmax over C.
        targets (Tensor): shape (N, S), or the targets one after the other in one dimension.
        input_lengths, target_lengths (Tensor or tuple): how much of each input and target is used.
        blank (int): the class that stands for no label. Default: 0.
        reduction (str): ``'mean'`` divides each loss by its target's length and takes the mean. Default:
            ``'mean'``.
        zero_infinity (bool): an input too short for its target counts for nothing. Default: ``False``.

    Raises:
        RuntimeError: lengths, targets or blank that do not fit the shapes.
    """
    check(reduction)
    batched = log_probs.dim() == 3
    if not batched:
        log_probs, targets = log_probs.unsqueeze(1), targets.reshape(1, -1)
    batch = log_probs.size(1)
    input_lengths = _lengths(input_lengths, "input_lengths", batch)
    target_lengths = _lengths(target_lengths, "target_lengths", batch)
    if batch and int(target_lengths.min()) < 0:
        raise RuntimeError(f"Expected target_lengths to be at least 0, but got {target_lengths.tolist()}")
    targets = _padded_targets(targets.to(_C.int64), target_lengths, batch)
    # The operator checks blank, the lengths and the classes up to each target's end.
    loss = _C._ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity)
    if reduction == "mean":
        return (loss / target_lengths.clamp_min(1).to(loss.dtype)).mean()
    return reduce_loss(loss if batched else loss.squeeze(0), reduction)
