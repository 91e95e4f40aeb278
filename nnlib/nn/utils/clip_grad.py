"""Keeping gradients within bounds."""

import math
import warnings

from nnlib import _C
from nnlib._C import Tensor
from nnlib.autograd import no_grad

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm"]


def _list(tensors):
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _grads(parameters):
    return [p.grad for p in _list(parameters) if p.grad is not None]


def _values(grad):
    """The numbers in a gradient: a sparse one's are those of its rows, added up where a row is there
    twice.
    """
    return grad.coalesce().values() if grad.is_sparse else grad


@no_grad()
def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all tensors together, as if they were one vector.

    Args:
        tensors (Tensor or iterable of Tensor): usually gradients.
        norm_type (float): p of the norm; infinity gives the largest absolute value. Default: 2.
        error_if_nonfinite (bool): raise if the norm is not finite. Default: ``False``.
        foreach (bool, optional): how PyTorch computes it; the result is the same.

    Returns:
        Tensor: a scalar.

    Raises:
        RuntimeError: the norm is not finite, and `error_if_nonfinite` is set.

    Example::

        >>> import nnlib
        >>> nnlib.nn.utils.get_total_norm([nnlib.tensor([3.0]), nnlib.tensor([4.0])])
        tensor(5.)
    """
    tensors = _list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return _C.tensor(0.0)
    norms = [_C.norm(_values(t), norm_type) for t in tensors]
    total = _C.norm(_C.stack([norm.to(norms[0]) for norm in norms]), norm_type)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it "
            "cannot be clipped. To disable this error and scale the gradients by the non-finite norm anyway, "
            "set `error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Multiply the gradients by max_norm / total_norm if that is below 1, in place.

    Args:
        parameters (Tensor or iterable of Tensor): whose gradients are scaled.
        max_norm (float): the bound.
        total_norm (Tensor): what `get_total_norm` returned.
        foreach (bool, optional): how PyTorch computes it; the result is the same.
    """
    factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    for grad in _grads(parameters):
        if grad.is_sparse:
            grad.mul_(float(factor))
        else:
            grad.mul_(factor.to(grad))


@no_grad()
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scale the gradients, in place, so that their norm together is at most `max_norm`.

    Args:
        parameters (Tensor or iterable of Tensor): whose gradients are scaled; those without one are left out.
        max_norm (float): the bound.
        norm_type (float): p of the norm. Default: 2.
        error_if_nonfinite (bool): raise if the norm is not finite. Default: ``False``.
        foreach (bool, optional): how PyTorch computes it; the result is the same.

    Returns:
        Tensor: the norm before scaling, a scalar.

    Raises:
        RuntimeError: the norm is not finite, and `error_if_nonfinite` is set.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks" (2013).

    Example::

        >>> import nnlib
        >>> w = nnlib.nn.Parameter(nnlib.zeros(2))
        >>> w.grad = nnlib.tensor([3.0, 4.0])
        >>> nnlib.nn.utils.clip_grad_norm_(w, 1.0)
        tensor(5.)
        >>> w.grad
        tensor([0.6000, 0.8000])
    """
    parameters = _list(parameters)
    total = get_total_norm(_grads(parameters), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_norm(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The older name of `clip_grad_norm_`."""
    warnings.warn(
        "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(parameters, clip_value, foreach=None):
    """Clip every element of the gradients to [-clip_value, clip_value], in place.

    Args:
        parameters (Tensor or iterable of Tensor): whose gradients are clipped; those without one are left
            out.
        clip_value (float): the bound.
        foreach (bool, optional): how PyTorch computes it; the result is the same.
    """
    bound = float(clip_value)
    for parameter in _list(parameters):
        grad = parameter.grad
        if grad is None:
            continue
        if grad.is_sparse:  # the sums of rows that are there twice are what is clipped
            grad = parameter.grad = grad.coalesce()
        _values(grad).clamp_(-bound, bound)
