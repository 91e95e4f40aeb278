"""Making sparse tensors in coordinate format."""

from . import _C


def sparse_coo_tensor(
    indices,
    values,
    size=None,
    *,
    dtype=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
    check_invariants=None,
    is_coalesced=None,
):
    """A sparse tensor with the given values at the given indices; values of one index add up.

    Args:
        indices (Tensor or list): integers of shape (sparse_dim, nnz).
        values (Tensor or list): of shape (nnz, dense sizes...).
        size (sequence of int, optional): of the tensor (default: the smallest that fits)
        dtype (dtype, optional): of the values (default: that which they have)
        device (device, optional): where the tensor is.
        pin_memory (bool, optional): has no effect on a CPU (default: False)
        requires_grad (bool, optional): record gradients (default: False)
        check_invariants (bool, optional): the indices are checked whatever it says (default: None)
        is_coalesced (bool, optional): return the tensor coalesced (default: False)

    Raises:
        RuntimeError: when the parts do not fit each other, or an index is out of range.

    Example:
        >>> import nnlib as torch
        >>> torch.sparse_coo_tensor([[0, 2]], [1.0, 5.0], (4,)).to_dense().tolist()
        [1.0, 0.0, 5.0, 0.0]
    """
    indices = _C.as_tensor(indices, device=device)
    if indices.numel() == 0:
        indices = indices.to(_C.int64)  # an empty list has no integers to tell the type
    values = _C.as_tensor(values, dtype=dtype, device=device)
    if values.dim() == 0:
        values = values.expand(indices.shape[1])
    result = _C._sparse_coo_tensor(indices, values, None if size is None else tuple(size), is_coalesced)
    return result.requires_grad_(True) if requires_grad else result
