"""Modules that hold modules or parameters: in a chain, a list or a dictionary."""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import chain, islice

from ._pairs import pairs_of, position_of
from ._parameter_containers import ParameterDict, ParameterList
from .module import Module, _indent

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _ModuleSequence(Module):
    """What Sequential and ModuleList share: modules under the names "0", "1", ..."""

    def _key(self, index):
        return next(islice(self._modules, position_of(index, len(self), type(self).__name__), None))

    def _refill(self, modules):
        self._modules = {str(i): module for i, module in enumerate(modules)}

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._slice(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def __setitem__(self, index, module):
        setattr(self, self._key(index), module)

    def __delitem__(self, index):
        keys = list(self._modules)
        for key in keys[index] if isinstance(index, slice) else [self._key(index)]:
            delattr(self, key)
        self._refill(self._modules.values())

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, module):
        """Add a module at the end; returns self."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index, module):
        """Put a module before position `index`, as `list.insert` does."""
        modules = list(self)
        modules.insert(index, module)
        self._refill(modules)

    def extend(self, modules):
        """Add each module of an iterable at the end; returns self."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend should be called with an iterable, but got "
                f"{type(modules).__name__}"
            )
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index=-1):
        """Take out the module at `index` (default: the last) and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_ModuleSequence):
    """Modules in a chain: the output of each is the input of the next.

    Args:
        *args: the modules in order, or one ordered dictionary of name to module.

    Example::

        >>> import nnlib
        >>> net = nnlib.nn.Sequential(nnlib.nn.Linear(4, 3), nnlib.nn.ReLU())
        >>> net(nnlib.zeros(2, 4)).shape
        torch.Size([2, 3])
        >>> net[1]
        ReLU()
    """

    def __init__(self, *args):
        super().__init__()
        named = isinstance(args[0], OrderedDict) if len(args) == 1 else False
        for name, module in args[0].items() if named else enumerate(args):
            self.add_module(name if named else str(name), module)

    def _slice(self, items):
        return type(self)(OrderedDict(items))

    def forward(self, input):
        for module in self._modules.values():
            input = module(input)
        return input

    def insert(self, index, module):
        """Put a module before position `index`; returns self."""
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}")
        size = len(self)
        if not -size <= index <= size:
            raise IndexError(f"Index out of range: {index}")
        super().insert(index, module)
        return self

    def __add__(self, other):
        self._check_other("add", other)
        return Sequential(*self, *other)

    def __iadd__(self, other):
        self._check_other("add", other)
        return self.extend(list(other))

    def __mul__(self, other):
        self._check_times(other)
        return Sequential(*(module for _ in range(other) for module in self))

    __rmul__ = __mul__

    def __imul__(self, other):
        self._check_times(other)
        return self.extend([module for _ in range(other - 1) for module in self])

    def _check_other(self, verb, other):
        if not isinstance(other, Sequential):
            raise ValueError(
                f"{verb} operator supports only objects of Sequential class, but {type(other)} is given."
            )

    def _check_times(self, other):
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")


class ModuleList(_ModuleSequence):
    """A list of modules, each of them registered.

    Args:
        modules (iterable, optional): to start with.

    Example::

        >>> import nnlib
        >>> layers = nnlib.nn.ModuleList([nnlib.nn.Linear(2, 2) for _ in range(3)])
        >>> len(layers), len(list(layers.parameters()))
        (3, 6)
    """

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _slice(self, items):
        return type(self)(module for _, module in items)

    def __iadd__(self, modules):
        return self.extend(modules)

    def __add__(self, other):
        return ModuleList(chain(self, other))

    def __repr__(self):
        """Equal neighbours are written once, with how many there are."""
        groups = []  # [first, last, repr]
        for i, module in enumerate(self):
            text = repr(module)
            if groups and groups[-1][2] == text:
                groups[-1][1] = i
            else:
                groups.append([i, i, text])
        if not groups:
            return self._get_name() + "()"
        lines = [
            f"({first}): {_indent(text)}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {_indent(text)}"
            for first, last, text in groups
        ]
        return self._get_name() + "(\n  " + "\n  ".join(lines) + "\n)"

    forward = Module.forward


class ModuleDict(Module):
    """A dictionary of modules, each of them registered; it keeps the order of insertion.

    Args:
        modules (mapping or iterable of pairs, optional): to start with.

    Example::

        >>> import nnlib
        >>> heads = nnlib.nn.ModuleDict({"a": nnlib.nn.Linear(2, 1), "b": nnlib.nn.Identity()})
        >>> list(heads)
        ['a', 'b']
    """

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key):
        return self._modules[key]

    def __setitem__(self, key, module):
        self.add_module(key, module)

    def __delitem__(self, key):
        del self._modules[key]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, key):
        return key in self._modules

    def clear(self):
        """Take out every module."""
        self._modules.clear()

    def pop(self, key):
        """Take out the module under `key` and return it."""
        return self._modules.pop(key)

    def keys(self):
        """The keys."""
        return self._modules.keys()

    def items(self):
        """The pairs of key and module."""
        return self._modules.items()

    def values(self):
        """The modules."""
        return self._modules.values()

    def update(self, modules):
        """Add modules of a mapping or of an iterable of pairs; a key that is there already gets the new
        module.
        """
        for key, module in pairs_of(modules, "ModuleDict", "module"):
            self[key] = module


# Pickles name the module in which PyTorch has these classes.
for _class in (ParameterDict, ParameterList):
    _class.__module__ = __name__
