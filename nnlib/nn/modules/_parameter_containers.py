"""Modules that hold parameters in a list or in a dictionary."""

from collections import OrderedDict
from collections.abc import Iterable

from nnlib._C import Tensor

from ..parameter import Parameter
from ._pairs import pairs_of, position_of
from .module import Module


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
        return getattr(self, str(position_of(index, len(self), "ParameterList")))

    def __setitem__(self, index, value):
        setattr(self, str(position_of(index, len(self), "ParameterList")), _as_parameter(value))

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
        for key, value in pairs_of(parameters, "ParameterDict", "parameter"):
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
