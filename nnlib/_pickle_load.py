"""Reads pickles: a machine of our own for files from anywhere, and Python's for those one trusts.

The restricted machine knows the operations that build data. It calls nothing but the functions of
`_pickle_names` and what the user has declared safe, and sets no attributes but of those. Python's own
unpickler is not used for this: what an operation may do there is spread over the interpreter.
Reference for the operations: the comments of Python's ``pickletools``.
"""

import pickle
import struct
from pickle import UnpicklingError

from nnlib import _pickle_names

MARK = object()


class RestrictedUnpickler:
    """Builds the data that a pickle describes and refuses everything else.

    Args:
        file: has ``read`` and ``readline``.
        persistent_load: called with the identifier of a storage.
        safe (dict): further objects by name, such as ``"mypackage.Config"``.
        encoding (str): of strings that Python 2 wrote; ``"bytes"`` leaves them as is.
    """

    def __init__(self, file, persistent_load, safe=None, encoding="utf-8"):
        self.file = file
        self.persistent_load = persistent_load
        self.safe = safe or {}
        self.encoding = encoding
        called = [*_pickle_names.CALLABLES.values(), *self.safe.values()]
        self.callables = {id(function) for function in called}
        self.safe_ids = {id(value) for value in self.safe.values()}

    def load(self):
        """The object of the next pickle in the file; UnpicklingError for a broken or forbidden one."""
        self.stack, self.memo = [], {}
        try:
            while True:
                code = self.read(1)
                if code == b".":
                    return self.stack.pop()
                step = STEPS.get(code)
                if step is None:
                    raise UnpicklingError(f"Unsupported operand {code[0]}")
                step(self)
        except (
            IndexError,
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            struct.error,
        ) as error:
            raise UnpicklingError(f"the pickle is broken or does not hold data: {error}") from error

    def read(self, count):
        data = self.file.read(count) if count else b""
        if len(data) != count:
            raise EOFError(f"Ran out of input: expected {count} more bytes, got {len(data)}")
        return data

    def unpack(self, layout):
        return struct.unpack(layout, self.read(struct.calcsize(layout)))[0]

    def line(self):
        return self.file.readline()[:-1].decode("utf-8")

    def pop_mark(self):
        stack = self.stack
        position = len(stack) - 1
        while stack[position] is not MARK:
            position -= 1
            if position < 0:
                raise UnpicklingError("the pickle closes a group that it did not open")
        items = stack[position + 1 :]
        del stack[position:]
        return items

    def push_string(self, data):
        self.stack.append(data if self.encoding == "bytes" else data.decode(self.encoding))

    def find(self, module, name):
        full = f"{module}.{name}"
        for table in (_pickle_names.CALLABLES, _pickle_names.VALUES, self.safe):
            if full in table:
                self.stack.append(table[full])
                return
        if module == "torch" and name.endswith("Storage"):
            raise UnpicklingError(f"Unsupported storage: nnlib has no dtype for torch.{name}")
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {full} was not an allowed global by default. Please use "
            f"`nnlib.serialization.add_safe_globals([{name}])` or the "
            f"`nnlib.serialization.safe_globals([{name}])` context manager to allowlist this "
            "global if you trust this class/function."
        )

    def stack_global(self):
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise UnpicklingError("expected the name of a global as text")
        self.find(module, name)

    def reduce(self):
        args, function = self.stack.pop(), self.stack.pop()
        if id(function) not in self.callables:
            raise UnpicklingError(f"Trying to call reduce for unrecognized function {function!r}")
        if function is _pickle_names.CALLABLES["torch._tensor._rebuild_from_type_v2"]:
            self.check_rebuild(args)
        self.stack.append(function(*args))

    def check_rebuild(self, args):
        """What `_rebuild_from_type_v2` is to call has to be allowed itself."""
        known = {id(value) for value in _pickle_names.VALUES.values()} | self.safe_ids
        if id(args[0]) not in self.callables or id(args[1]) not in known:
            raise UnpicklingError(f"Trying to rebuild a tensor by {args[0]!r} as {args[1]!r}")

    def new_object(self, args, keywords):
        cls = self.stack.pop()
        if id(cls) in self.safe_ids and isinstance(cls, type):
            self.stack.append(cls.__new__(cls, *args, **keywords))
        elif id(cls) in self.callables and not keywords:
            self.stack.append(cls(*args))
        else:
            raise UnpicklingError(
                f"Can only create new object for classes allowlisted via `add_safe_globals` but got {cls!r}"
            )

    def new_object_ex(self):
        keywords, args = self.stack.pop(), self.stack.pop()
        self.new_object(args, keywords)

    def build(self):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _pickle_names.OrderedDict) and type(target) is _pickle_names.OrderedDict:
            if type(state) is not dict:
                raise UnpicklingError(
                    f"expected a dict as attributes of an OrderedDict, got {type(state).__name__}"
                )
            target.__dict__.update(state)
        elif id(type(target)) not in self.safe_ids:
            raise UnpicklingError(
                "Can only build OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{type(target).__name__}"
            )
        elif hasattr(target, "__setstate__"):
            target.__setstate__(state)
        else:
            attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
            target.__dict__.update(attributes or {})
            for name, value in (slots or {}).items():
                setattr(target, name, value)

    def set_items(self, pairs):
        target = self.stack[-1]
        if type(target) not in (dict, _pickle_names.OrderedDict, _pickle_names.Counter):
            raise UnpicklingError(f"Can only set items of a dict, but got {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            _pickle_names.check_key(key)
            target[key] = value

    def set_item(self):
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def extend(self, items):
        if type(self.stack[-1]) is not list:
            raise UnpicklingError(f"Can only append to lists, but got {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def add_items(self):
        items, target = self.pop_mark(), self.stack[-1]
        if type(target) is not set:
            raise UnpicklingError(f"Can only add to sets, but got {type(target).__name__}")
        target.update(_pickle_names.CALLABLES["builtins.set"](items))

    def dict(self):
        pairs = self.pop_mark()
        self.stack.append({})
        self.set_items(pairs)

    def tuple(self, count):
        items = tuple(self.stack[-count:])
        if len(items) != count:
            raise UnpicklingError("the pickle takes more from its stack than it put there")
        self.stack[-count:] = [items]

    def persistent(self):
        identifier = self.stack.pop()
        if type(identifier) is not tuple or not identifier or identifier[0] not in ("storage", b"storage"):
            raise UnpicklingError(f"Only persistent_load of storage is allowed, but got {identifier!r:.80}")
        self.stack.append(self.persistent_load(identifier))

    def integer(self):
        text = self.line()
        self.stack.append({"00": False, "01": True}[text] if text in ("00", "01") else int(text))


def _push(make):
    return lambda machine: machine.stack.append(make(machine))


def _memoize(index):
    def step(machine):
        machine.memo[index(machine)] = machine.stack[-1]

    return step


def _sized(layout):
    return lambda m: m.read(m.unpack(layout))


def _text(data):
    return lambda m: data(m).decode("utf-8", "surrogatepass")


def _long(data):
    return lambda m: int.from_bytes(data(m), "little", signed=True)


STEPS = {
    pickle.PROTO: lambda m: m.read(1),
    pickle.FRAME: lambda m: m.read(8),
    pickle.MARK: _push(lambda m: MARK),
    pickle.POP: lambda m: m.stack.pop(),
    pickle.POP_MARK: lambda m: m.pop_mark(),
    pickle.DUP: _push(lambda m: m.stack[-1]),
    pickle.NONE: _push(lambda m: None),
    pickle.NEWTRUE: _push(lambda m: True),
    pickle.NEWFALSE: _push(lambda m: False),
    pickle.INT: lambda m: m.integer(),
    pickle.LONG: _push(lambda m: int(m.line().rstrip("L"))),
    pickle.FLOAT: _push(lambda m: float(m.line())),
    pickle.BININT: _push(lambda m: m.unpack("<i")),
    pickle.BININT1: _push(lambda m: m.unpack("<B")),
    pickle.BININT2: _push(lambda m: m.unpack("<H")),
    pickle.LONG1: _push(_long(_sized("<B"))),
    pickle.LONG4: _push(_long(_sized("<I"))),
    pickle.BINFLOAT: _push(lambda m: m.unpack(">d")),
    pickle.BINSTRING: lambda m: m.push_string(m.read(m.unpack("<I"))),
    pickle.SHORT_BINSTRING: lambda m: m.push_string(m.read(m.unpack("<B"))),
    pickle.SHORT_BINUNICODE: _push(_text(_sized("<B"))),
    pickle.BINUNICODE: _push(_text(_sized("<I"))),
    pickle.BINUNICODE8: _push(_text(_sized("<Q"))),
    pickle.SHORT_BINBYTES: _push(_sized("<B")),
    pickle.BINBYTES: _push(_sized("<I")),
    pickle.BINBYTES8: _push(_sized("<Q")),
    pickle.BYTEARRAY8: _push(lambda m: bytearray(m.read(m.unpack("<Q")))),
    pickle.EMPTY_TUPLE: _push(lambda m: ()),
    pickle.EMPTY_LIST: _push(lambda m: []),
    pickle.EMPTY_DICT: _push(lambda m: {}),
    pickle.EMPTY_SET: _push(lambda m: set()),
    pickle.TUPLE1: lambda m: m.tuple(1),
    pickle.TUPLE2: lambda m: m.tuple(2),
    pickle.TUPLE3: lambda m: m.tuple(3),
    pickle.TUPLE: _push(lambda m: tuple(m.pop_mark())),
    pickle.LIST: _push(lambda m: m.pop_mark()),
    pickle.DICT: lambda m: m.dict(),
    pickle.APPEND: lambda m: m.extend([m.stack.pop()]),
    pickle.APPENDS: lambda m: m.extend(m.pop_mark()),
    pickle.SETITEM: lambda m: m.set_item(),
    pickle.SETITEMS: lambda m: m.set_items(m.pop_mark()),
    pickle.ADDITEMS: lambda m: m.add_items(),
    pickle.GET: _push(lambda m: m.memo[int(m.line())]),
    pickle.BINGET: _push(lambda m: m.memo[m.unpack("<B")]),
    pickle.LONG_BINGET: _push(lambda m: m.memo[m.unpack("<I")]),
    pickle.PUT: _memoize(lambda m: int(m.line())),
    pickle.BINPUT: _memoize(lambda m: m.unpack("<B")),
    pickle.LONG_BINPUT: _memoize(lambda m: m.unpack("<I")),
    pickle.MEMOIZE: _memoize(lambda m: len(m.memo)),
    pickle.GLOBAL: lambda m: m.find(m.line(), m.line()),
    pickle.STACK_GLOBAL: lambda m: m.stack_global(),
    pickle.REDUCE: lambda m: m.reduce(),
    pickle.NEWOBJ: lambda m: m.new_object(m.stack.pop(), {}),
    pickle.NEWOBJ_EX: lambda m: m.new_object_ex(),
    pickle.BUILD: lambda m: m.build(),
    pickle.BINPERSID: lambda m: m.persistent(),
}


class TrustedUnpickler(pickle.Unpickler):
    """Python's unpickler: runs whatever the file names. PyTorch's names mean nnlib's counterparts."""

    def __init__(self, file, persistent_load, safe=None, encoding="utf-8"):
        super().__init__(file, encoding=encoding)
        self.load_storage = persistent_load

    def persistent_load(self, identifier):
        return self.load_storage(identifier)

    def find_class(self, module, name):
        full = f"{module}.{name}"
        if full in _pickle_names.VALUES:
            return _pickle_names.VALUES[full]
        if module.split(".")[0] != "torch":
            return super().find_class(module, name)
        if full in _pickle_names.CALLABLES:
            return _pickle_names.CALLABLES[full]
        return super().find_class("nnlib" + module.removeprefix("torch"), name)
