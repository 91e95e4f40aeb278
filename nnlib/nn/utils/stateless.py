"""Calling a module with other tensors in the place of its own."""

from contextlib import contextmanager

__all__ = ["functional_call"]


def _holder(module, path):
    """The module that holds the tensor with the dotted name `path`, the dictionary it is in, and its own
    name.
    """
    owner, _, name = path.rpartition(".")
    module = module.get_submodule(owner)
    for members in (module._parameters, module._buffers):
        if name in members:
            return module, members, name
    raise AttributeError(f"{type(module).__name__} has no parameter or buffer named {path!r}")


def _ties(module):
    """Every name of a tensor to all names that the same tensor has."""
    names = {}
    for name, tensor in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        names.setdefault(id(tensor), []).append(name)
    return {name: group for group in names.values() for name in group}


@contextmanager
def _replaced(module, tensors):
    before = []
    try:
        for path, tensor in tensors.items():
            _, members, name = _holder(module, path)
            before.append((members, name, members[name]))
            members[name] = tensor
        yield
    finally:
        for members, name, tensor in reversed(before):
            members[name] = tensor


def functional_call(
    module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True, strict=False
):
    """Call `module` with other tensors in the place of some of its parameters and buffers.

    Args:
        module (Module): what to call.
        parameters_and_buffers (dict): dotted names to tensors; differentiable with respect to them.
        args (tuple or value): positional arguments.
        kwargs (dict, optional): keyword arguments.
        tie_weights (bool): where one tensor has several names, replace it under all. Default: ``True``.
        strict (bool): the names have to be all there are. Default: ``False``.

    Raises:
        RuntimeError: strict, and names are missing or unknown. AttributeError: an unknown name.

    Example::

        >>> import nnlib
        >>> from nnlib.nn.utils.stateless import functional_call
        >>> layer = nnlib.nn.Linear(2, 1)
        >>> functional_call(layer, {"weight": nnlib.ones(1, 2), "bias": nnlib.zeros(1)}, nnlib.ones(2))
        tensor([2.])
    """
    ties = _ties(module)
    if strict:
        missing = [n for n, group in ties.items() if not set(group) & parameters_and_buffers.keys()]
        unexpected = [name for name in parameters_and_buffers if name not in ties]
        if missing or unexpected:
            raise RuntimeError(
                "Error(s) in the names of the tensors: "
                f"missing: {', '.join(missing) or 'none'}; unexpected: {', '.join(unexpected) or 'none'}."
            )
    tensors = dict(parameters_and_buffers)
    if tie_weights:
        for name, tensor in parameters_and_buffers.items():
            for other in ties.get(name, ()):
                tensors.setdefault(other, tensor)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, tensors):
        return module(*args, **(kwargs or {}))
