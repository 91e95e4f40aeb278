"""Saving a module's state in a dictionary, and loading it back."""

from collections import OrderedDict, namedtuple
from collections.abc import Mapping

from nnlib._C import Tensor
from nnlib.autograd import no_grad

from ..parameter import Parameter, is_lazy
from ._hooks import WrappedHook, register

_EXTRA_STATE_KEY = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class ModuleState:
    """The part of `Module` that deals with state dictionaries."""

    # Written into the state dict's metadata; a module whose state changes its form counts it up and converts
    # older states in `_load_from_state_dict`.
    _version = 1

    def get_extra_state(self):
        """Override together with `set_extra_state` to put more than tensors into the state dict.

        What it returns is stored under the key ``_extra_state`` and should be picklable.
        """
        raise RuntimeError(f"{type(self).__name__} overrides set_extra_state but not get_extra_state")

    def set_extra_state(self, state):
        """Override together with `get_extra_state`: takes back what that returned."""
        raise RuntimeError(f"{type(self).__name__} overrides get_extra_state but not set_extra_state")

    def _overrides(self, name):
        return getattr(type(self), name) is not getattr(ModuleState, name)

    def register_state_dict_pre_hook(self, hook):
        """Call ``hook(module, prefix, keep_vars)`` before the module's state is collected."""
        return register(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook):
        """Call ``hook(module, state_dict, prefix, local_metadata)`` afterwards; it changes the dict in
        place.
        """
        hook._from_public_api = True
        return register(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook):
        """As `register_state_dict_post_hook`, but a result replaces the dictionary."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously "
                "registered via register_state_dict_post_hook"
            )
        return register(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook):
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)`` before the module's own tensors are loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return register(self._load_state_dict_pre_hooks, WrappedHook(hook, self if with_module else None))

    def register_load_state_dict_post_hook(self, hook):
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the two lists of keys in
        place.
        """
        return register(self._load_state_dict_post_hooks, hook)

    def _persistent_state(self):
        for name, value in self._parameters.items():
            if value is not None:
                yield name, value
        for name, value in self._buffers.items():
            if value is not None and name not in self._non_persistent_buffers_set:
                yield name, value

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """Put this module's own tensors, not its children's, into `destination`."""
        for name, value in self._persistent_state():
            destination[prefix + name] = value if keep_vars else value.detach()
        if self._overrides("get_extra_state"):
            destination[prefix + _EXTRA_STATE_KEY] = self.get_extra_state()

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """The parameters and persistent buffers of this module and all below it, by their dotted names.

        Args:
            destination (dict, optional): filled and returned instead of a new ordered dictionary.
            prefix (str): put before every name. Default: ``""``.
            keep_vars (bool): keep the tensors attached to autograd. Default: ``False``, they are detached and
                share memory with the module's.

        Returns:
            dict: name to tensor, with the modules' versions in its attribute ``_metadata``.

        Example::

            >>> import nnlib
            >>> sorted(nnlib.nn.Linear(2, 1).state_dict().keys())
            ['bias', 'weight']
        """
        if args:  # the positional form of older releases
            destination, prefix, keep_vars = (*args, *(destination, prefix, keep_vars)[len(args) :])
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, local_metadata)
            if result is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = result
        return destination

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        """Load this module's own tensors; what is wrong goes into the three lists, nothing is raised."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        local_state = dict(self._persistent_state())
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, current in local_state.items():
            key = prefix + name
            if key in state_dict:
                error = self._load_one(name, key, current, state_dict[key], assign)
                if error:
                    error_msgs.append(error)
            elif strict:
                missing_keys.append(key)
        extra_key = prefix + _EXTRA_STATE_KEY
        if self._overrides("set_extra_state"):
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    name, _, rest = key[len(prefix) :].partition(".")
                    if name not in (self._modules if rest else local_state):
                        unexpected_keys.append(key)

    def _load_one(self, name, key, current, value, assign):
        """Copy or assign `value` to the tensor `name`; returns what is wrong, or None."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object '
                f"from checkpoint but received {type(value)}"
            )
        if not is_lazy(current):
            if current.dim() == 0 and tuple(value.shape) == (1,):
                value = value[0]  # releases before 0.4 saved scalars as vectors of one
            if value.shape != current.shape:
                return (
                    f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the "
                    f"shape in current model is {current.shape}."
                )
        try:
            with no_grad():
                if not assign:
                    current.copy_(value)
                elif not isinstance(current, Parameter):
                    setattr(self, name, value)
                elif isinstance(value, Parameter):
                    setattr(self, name, value.requires_grad_(current.requires_grad))
                else:
                    setattr(self, name, Parameter(value, requires_grad=current.requires_grad))
        except Exception as error:
            return (
                f'While copying the parameter named "{key}", whose dimensions in the model are '
                f"{current.size()} and whose dimensions in the checkpoint are {value.size()}, an exception "
                f"occurred : {error.args}."
            )
        return None

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copy a state dictionary into this module's parameters and buffers and those of all below it.

        Args:
            state_dict (Mapping): name to tensor, as `state_dict` returns it. It is not changed.
            strict (bool): raise unless the names are exactly those of this module. Default: ``True``.
            assign (bool): put the dictionary's tensors in the place of the module's, keeping their dtype and
                device, instead of copying the values. Default: ``False``.

        Returns:
            A named tuple of two lists of names, ``missing_keys`` and ``unexpected_keys``.

        Raises:
            TypeError: `state_dict` is not a mapping.
            RuntimeError: it lists every missing and unexpected name (if strict) and every wrong shape at
                once.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)
        if metadata is not None:
            state_dict._metadata = metadata  # hooks look at it
        keys, errors = _IncompatibleKeys([], []), []
        _load(self, state_dict, "", metadata or {}, assign, keys, errors)
        if strict:
            for title, names in (("Missing", keys.missing_keys), ("Unexpected", keys.unexpected_keys)):
                if names:
                    quoted = ", ".join(f'"{name}"' for name in names)
                    position = 0 if title == "Missing" else bool(keys.missing_keys)
                    errors.insert(position, f"{title} key(s) in state_dict: {quoted}. ")
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(
                    type(self).__name__, "\n\t".join(errors)
                )
            )
        return keys


def _load(module, state_dict, prefix, metadata, assign, keys, errors):
    local_metadata = dict(metadata.get(prefix[:-1], {}))
    if assign:
        local_metadata["assign_to_params_buffers"] = True
    module._load_from_state_dict(state_dict, prefix, local_metadata, True, *keys, errors)
    for name, child in module._modules.items():
        if child is not None:
            inner = prefix + name + "."
            # A copy with the child's names only: a hook may change the dictionary it is given.
            child_dict = {k: v for k, v in state_dict.items() if k.startswith(inner)}
            _load(child, child_dict, inner, metadata, assign, keys, errors)
    for hook in module._load_state_dict_post_hooks.values():
        if hook(module, keys) is not None:
            raise AssertionError(
                "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                "values, if incompatible_keys need to be modified, it should be done inplace."
            )
