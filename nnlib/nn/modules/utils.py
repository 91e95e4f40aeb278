"""Small helpers that the modules share."""

from nnlib import _C

from .._tuples import to_ntuple
from ..parameter import Parameter


def _single(value):
    return to_ntuple(value, 1)


def _pair(value):
    return to_ntuple(value, 2)


def _triple(value):
    return to_ntuple(value, 3)


def _quadruple(value):
    return to_ntuple(value, 4)


def new_parameter(shape, device=None, dtype=None):
    """A parameter with memory for `shape`, its values still arbitrary."""
    return Parameter(_C.empty(shape, device=device, dtype=dtype))


def consume_prefix_in_state_dict_if_present(state_dict, prefix):
    """Cut `prefix` off the keys of a state dict, in place: for one saved from a DataParallel or DDP wrapper.

    Example::

        >>> from nnlib.nn.modules.utils import consume_prefix_in_state_dict_if_present
        >>> state = {"module.weight": 1}
        >>> consume_prefix_in_state_dict_if_present(state, "module.")
        >>> state
        {'weight': 1}
    """
    for key in list(state_dict):
        if key.startswith(prefix):
            state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    for key in list(metadata or ()):
        if key and key.startswith(prefix.rstrip(".")):
            metadata[key[len(prefix) :]] = metadata.pop(key)
