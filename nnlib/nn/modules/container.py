"""Modules that hold modules or parameters: in a chain, a list or a dictionary."""

import operator
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import chain, islice

from nnlib._C import Tensor

from ..parameter import Parameter
from .module import Module, _indent

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


def _position(index, size, where):
    """`index` as a position counted from the front; IndexError when out of range."""
    index = operator.index(index)
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of range for {where} of length {size}")
    return index % size if size else 0


class _ModuleSequence(Module):
    """What Sequential and ModuleList share: modules under the names "0", "1", ..."""

    def _key(self, index):
        return next(islice(self._modules, _position(index, len(self), type(self).__name__), None))

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
        for key, module in _pairs(modules, "ModuleDict", "module"):
            self[key] = module


def _pairs(values, owner, kind):
    """(key, value) pairs of a mapping or of an iterable of pairs, checked."""
    if not isinstance(values, Iterable):
        raise TypeError(
            f"{owner}.update should be called with an iterable of key/value pairs, but got "
            f"{type(values).__name__}"
        )
    if isinstance(values, Mapping | ModuleDict | ParameterDict):
        return values.items()
    pairs = list(values)
    for i, pair in enumerate(pairs):
        if not isinstance(pair, Iterable):
            raise TypeError(
                f"{owner} update sequence element #{i} should be Iterable; is {type(pair).__name__}"
            )
        if len(pair) != 2:
            raise ValueError(f"{owner} update sequence element #{i} has length {len(pair)}; 2 is required")
    return pairs


def _describe(value, name_of):
    """How a value of a parameter container appears in its repr; `name_of` says what its elements are."""
    if not isinstance(value, Tensor):
        return f"Object of type: {type(value).__name__}"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(str(n) for n in value.shape)
    return f"{kind} containing: [{name_of(value)} of size {size}]"


def _as_parameter(value):
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


class ParameterList(Module):
    """A list of parameters, each of them registered; a plain tensor becomes a parameter, other values stay.

    Args:
        values (iterable, optional): to start with.

    Example::

        >>> import nnlib
        >>> weights = nnlib.nn.ParameterList([nnlib.zeros(2), nnlib.zeros(3)])
        >>> [tuple(p.shape) for p in weights.parameters()]
        [(2,), (3,)]
    """

    def __init__(self, values=None):
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(getattr(self, str(i)) for i in range(*index.indices(len(self))))
        return getattr(self, str(_position(index, len(self), "ParameterList")))

    def __setitem__(self, index, value):
        setattr(self, str(_position(index, len(self), "ParameterList")), _as_parameter(value))

    def __len__(self):
        return self._size

    def __iter__(self):
        return (getattr(self, str(i)) for i in range(self._size))

    def __iadd__(self, values):
        return self.extend(values)

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, value):
        """Add a value at the end; returns self."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values):
        """Add each value of an iterable at the end; returns self."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}"
            )
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self):
        return "\n".join(f"  ({i}): {_describe(value, lambda t: t.dtype)}" for i, value in enumerate(self))

    def __call__(self, *args, **kwargs):
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """A dictionary of parameters, each of them registered; a plain tensor becomes a parameter, other values
    stay.

    Args:
        parameters (mapping or iterable of pairs, optional): to start with.

    Example::

        >>> import nnlib
        >>> params = nnlib.nn.ParameterDict({"left": nnlib.zeros(2)})
        >>> "left" in params
        True
    """

    def __init__(self, parameters=None):
        super().__init__()
        self._keys = {}  # ordered, and also holds the keys whose values are not parameters
        if parameters is not None:
            self.update(parameters)

    @staticmethod
    def _attribute(key):
        if not isinstance(key, str):
            raise TypeError(
                "Index given to ParameterDict cannot be used as a key as it is not a string (type is "
                f"'{type(key)}'). Open an issue on github if you need non-string keys."
            )
        return key

    def __getitem__(self, key):
        return getattr(self, self._attribute(key))

    def __setitem__(self, key, value):
        name = self._attribute(key)
        self._keys[key] = None
        setattr(self, name, _as_parameter(value))

    def __delitem__(self, key):
        del self._keys[key]
        delattr(self, self._attribute(key))

    def __len__(self):
        return len(self._keys)

    def __iter__(self):
        return iter(self._keys)

    def __reversed__(self):
        return reversed(self._keys)

    def __contains__(self, key):
        return key in self._keys

    def copy(self):
        """A new dictionary with the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def setdefault(self, key, default=None):
        """The value under `key`, which is set to `default` first if it is not there."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def clear(self):
        """Take out everything."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key):
        """Take out the value under `key` and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self):
        """Take out the pair that was put in last and return it."""
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def get(self, key, default=None):
        """The value under `key`, or `default`."""
        return self[key] if key in self._keys else default

    @classmethod
    def fromkeys(cls, keys, default=None):
        """A new dictionary with `default` under each of `keys`."""
        return cls((key, default) for key in keys)

    def keys(self):
        """The keys."""
        return self._keys.keys()

    def items(self):
        """The pairs of key and value."""
        return ((key, self[key]) for key in self._keys)

    def values(self):
        """The values."""
        return (self[key] for key in self._keys)

    def update(self, parameters):
        """Add the values of a mapping or of an iterable of pairs; a plain mapping's keys in its own order."""
        for key, value in _pairs(parameters, "ParameterDict", "parameter"):
            self[key] = value

    def extra_repr(self):
        return "\n".join(f"  ({key}): {_describe(value, Tensor.type)}" for key, value in self.items())

    def __call__(self, input):
        raise RuntimeError("ParameterDict should not be called.")

    def __or__(self, other):
        result = self.copy()
        result.update(other)
        return result

    def __ror__(self, other):
        result = ParameterDict(other)
        result.update(self)
        return result

    def __ior__(self, other):
        self.update(other)
        return self
