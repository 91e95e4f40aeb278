"""Connectionist temporal classification: the loss over every way in which a target can be spread over time.

Source: Graves, Fernandez, Gomez and Schmidhuber, "Connectionist temporal classification" (2006). Names follow
    the
paper: alpha and beta are the log-probabilities of the beginnings and ends of a path through the target with
blanks between its labels.
"""

import math

from nnlib import _C
from nnlib._autocast import in_float32
from nnlib._C import Tensor
from nnlib.autograd import Function
from nnlib.autograd.function import once_differentiable

from ._reduction import check, reduce_loss

_INF = math.inf


def _log_sum_exp(*terms):
    """log(sum(exp(terms))), -inf where every term is."""
    top = terms[0]
    for term in terms[1:]:
        top = _C.maximum(top, term)
    top = top.masked_fill(top == -_INF, 0.0)
    return sum((term - top).exp() for term in terms).log() + top


def _shift(values, by):
    """The last dimension moved by `by` places (to the right if positive), -inf where nothing comes from."""
    gap = _C.full((values.size(0), abs(by)), -_INF, dtype=values.dtype)
    return _C.cat([gap, values[:, :-by]] if by > 0 else [values[:, -by:], gap], 1)


class _Paths:
    """The target with blanks in between, and the two recursions over time."""

    def __init__(self, log_probs, targets, input_lengths, target_lengths, blank):
        self.steps, self.batch, self.classes = log_probs.shape
        self.input_lengths, self.target_lengths = input_lengths, target_lengths
        self.labels = self._with_blanks(targets, blank)
        self.size = self.labels.size(1)
        position = _C.arange(self.size).unsqueeze(0)
        # From two places before only between different labels: otherwise the blank between them is needed.
        two_before = _C.cat(
            [_C.full((self.batch, min(2, self.size)), blank, dtype=_C.int64), self.labels[:, :-2]], 1
        )
        self.no_skip = (self.labels == blank) | (self.labels == two_before[:, : self.size]) | (position < 2)
        self.last = (2 * target_lengths).unsqueeze(1)
        self.outside = position > self.last
        # The log-probability of each place's label at each time.
        self.emit = log_probs.gather(2, self.labels.unsqueeze(0).expand(self.steps, -1, -1))

    def _with_blanks(self, targets, blank):
        rows = targets.size(0)
        blanks = _C.full((rows, targets.size(1) + 1), blank, dtype=_C.int64)
        pairs = _C.stack([blanks[:, :-1], targets], 2).reshape(rows, -1)
        return _C.cat([pairs, blanks[:, :1]], 1)

    def forward(self):
        """alpha for every time: shape (T, N, L)."""
        position = _C.arange(self.size).unsqueeze(0)
        alpha = self.emit[0].masked_fill((position > 1) | self.outside, -_INF)
        alphas = [alpha]
        for t in range(1, self.steps):
            skip = _shift(alpha, 2).masked_fill(self.no_skip, -_INF) if self.size > 2 else alpha - _INF
            new = _log_sum_exp(alpha, _shift(alpha, 1), skip) + self.emit[t]
            alpha = new.masked_fill(self.outside, -_INF)
            alphas.append(alpha)
        return _C.stack(alphas)

    def backward(self):
        """beta for every time: shape (T, N, L); -inf after the end of an input."""
        position = _C.arange(self.size).unsqueeze(0)
        is_end = (position == self.last) | (position == self.last - 1)
        # Whether the place two further on may be reached from here.
        closed = _C.cat([self.no_skip[:, 2:], _C.ones((self.batch, min(2, self.size)), dtype=_C.bool)], 1)
        beta = _C.full((self.batch, self.size), -_INF, dtype=self.emit.dtype)
        betas = [None] * self.steps
        for t in reversed(range(self.steps)):
            skip = _shift(beta, -2).masked_fill(closed, -_INF) if self.size > 2 else beta - _INF
            new = _log_sum_exp(beta, _shift(beta, -1), skip) + self.emit[t]
            first = self.emit[t].masked_fill(is_end.logical_not(), -_INF)
            ends_here = (self.input_lengths == t + 1).unsqueeze(1)
            beta = _C.where(ends_here, first, new).masked_fill(self.outside, -_INF)
            betas[t] = beta
        return _C.stack(betas)

    def loss(self, alphas):
        """Minus the log-probability of each target."""
        time = (self.input_lengths - 1).clamp_min(0).view(1, -1, 1).expand(1, -1, self.size)
        final = alphas.gather(0, time).squeeze(0)
        at_blank = final.gather(1, self.last)
        at_label = final.gather(1, (self.last - 1).clamp_min(0)).masked_fill(self.last == 0, -_INF)
        loss = -_log_sum_exp(at_blank, at_label).squeeze(1)
        empty = self.input_lengths == 0
        nothing = _C.where(self.target_lengths == 0, _C.zeros_like(loss), _C.full_like(loss, _INF))
        return _C.where(empty, nothing, loss)


class _CTC(Function):
    """The loss of each sequence; its backward gives the gradient as it passes through a log-softmax."""

    @staticmethod
    def forward(ctx, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
        paths = _Paths(log_probs, targets, input_lengths, target_lengths, blank)
        alphas = paths.forward()
        loss = paths.loss(alphas)
        ctx.paths, ctx.zero_infinity = paths, zero_infinity
        ctx.save_for_backward(log_probs, alphas, loss)
        return loss.masked_fill(loss == _INF, 0.0) if zero_infinity else loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        log_probs, alphas, loss = ctx.saved_tensors
        paths = ctx.paths
        through = alphas + paths.backward()
        top = through.amax(2, keepdim=True)
        top = top.masked_fill(top == -_INF, 0.0)
        labels = paths.labels.unsqueeze(0).expand(paths.steps, -1, -1)
        share = _C.zeros_like(log_probs).scatter_add(2, labels, (through - top).exp()).log() + top
        result = log_probs.exp() - (share + loss.view(1, -1, 1) - log_probs).exp()
        result = result * grad.view(1, -1, 1)
        after = _C.arange(paths.steps).view(-1, 1, 1) >= paths.input_lengths.view(1, -1, 1)
        result = result.masked_fill(after, 0.0)
        if ctx.zero_infinity:
            result = result.masked_fill((loss == _INF).view(1, -1, 1), 0.0)
        return result, None, None, None, None, None


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
    steps, batch, classes = log_probs.shape
    input_lengths = _lengths(input_lengths, "input_lengths", batch)
    target_lengths = _lengths(target_lengths, "target_lengths", batch)
    if not 0 <= blank < classes:
        raise RuntimeError(f"blank must be in label range: got {blank} for {classes} classes")
    if batch and (int(input_lengths.max()) > steps or int(input_lengths.min()) < 0):
        raise RuntimeError(
            f"Expected input_lengths to have values between 0 and {steps}, but got {input_lengths.tolist()}"
        )
    if batch and int(target_lengths.min()) < 0:
        raise RuntimeError(f"Expected target_lengths to be at least 0, but got {target_lengths.tolist()}")
    targets = _padded_targets(targets.to(_C.int64), target_lengths, batch)
    # What lies after a target's end may be any number; it is never used, but it must be a class to look up.
    beyond = _C.arange(targets.size(1)).unsqueeze(0) >= target_lengths.unsqueeze(1)
    targets = targets.masked_fill(beyond, blank)
    if targets.numel() and (int(targets.min()) < 0 or int(targets.max()) >= classes):
        raise RuntimeError(f"Expected targets to be classes between 0 and {classes - 1}")
    loss = _CTC.apply(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity)
    if reduction == "mean":
        return (loss / target_lengths.clamp_min(1).to(loss.dtype)).mean()
    return reduce_loss(loss if batched else loss.squeeze(0), reduction)
