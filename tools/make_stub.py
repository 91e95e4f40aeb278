"""Write nnlib/_C.pyi, the types of the native module, from the signatures of its operators.

Run it after adding an operator: ``python tools/make_stub.py``; ``--check`` only says whether the file is up to date.
"""

from __future__ import annotations

import inspect
import keyword
import pathlib
import re
import sys

import nnlib
from nnlib import _C

TARGET = pathlib.Path(__file__).resolve().parent.parent / "nnlib" / "_C.pyi"

TYPES = {
    "Tensor": "Tensor", "Operand": "Tensor | Number", "Scalar": "Number", "int": "int", "float": "float",
    "bool": "_bool", "str": "str", "int[]": "Sequence[int]", "float[]": "Sequence[float]",
    "Tensor[]": "Sequence[Tensor]", "dtype": "dtype", "Generator": "Generator", "memory_format": "memory_format",
    "Padding": "int | Sequence[int] | str", "device": "device | str", "object": "object",
}  # fmt: skip

HEADER = '''"""The native module. Written by tools/make_stub.py from the operators' signatures."""

from collections.abc import Sequence
from typing import Any, overload

Number = int | float | bool
_bool = bool

class dtype: ...
class layout: ...
class memory_format: ...
class device: ...
class Generator: ...
class NodeBase: ...
class _FunctionBase: ...
'''


def parameter(text: str) -> str:
    """One parameter of a signature as Python writes it."""
    if text == "*":
        return text
    head, _, default = text.partition("=")
    kind, name = head.strip().rsplit(" ", 1)
    optional = kind.endswith("?")
    kind = kind.rstrip("?")
    sized = re.fullmatch(r"(int|float|Padding)\[(\d+)\]", kind)
    if sized:
        kind = sized[1] if sized[1] == "Padding" else sized[1] + "[]"
    hint = TYPES[kind]
    if sized and sized[1] != "Padding":
        hint = f"{sized[1]} | {hint}"
    if optional:
        hint += " | None"
    if keyword.iskeyword(name):
        name += "_"
    return f"{name}: {hint}" + (" = ..." if default else "")


def stub(name: str, op, indent: str = "", method: bool = False) -> list[str]:
    """The lines of one operator: one per overload."""
    signatures = op._signature.split("\n")
    lines = []
    for signature in signatures:
        parts = [parameter(p) for p in re.split(r", (?![^(]*\))", signature) if p]
        if method and parts:
            parts[0] = "self"
        if len(signatures) > 1:
            lines.append(f"{indent}@overload")
        lines.append(f"{indent}def {name}({', '.join(parts)}) -> Any: ...")
    return lines


def build() -> str:
    """The whole text of the stub."""
    lines = [HEADER]
    lines += [f"{n}: {type(getattr(_C, n)).__name__}" for n in sorted(dir(_C)) if type(getattr(_C, n)).__name__ in (
        "dtype", "layout", "memory_format")]  # fmt: skip
    lines.append("\nclass TensorBase:")
    for name in sorted(vars(_C.TensorBase)):
        member = inspect.getattr_static(_C.TensorBase, name)
        if keyword.iskeyword(name):
            continue
        if type(member).__name__ == "OpMethod":
            lines += stub(name, member, "    ", method=True)
        elif type(member).__name__ in ("OpProperty", "getset_descriptor"):
            lines.append(f"    {name}: Any")
        elif callable(member) and not name.startswith("__"):
            lines.append(f"    def {name}(self, *args: Any, **kwargs: Any) -> Any: ...")
    lines.append("\nTensor = TensorBase\n")
    for name in sorted(dir(_C)):
        member = getattr(_C, name)
        if type(member).__name__ == "OpFunction" and not keyword.iskeyword(name):
            lines += stub(name, member)
        elif inspect.isbuiltin(member) or type(member).__name__ == "builtin_function_or_method":
            lines.append(f"def {name}(*args: Any, **kwargs: Any) -> Any: ...")
    return "\n".join(lines) + "\n"


def main() -> int:
    text = build()
    if "--check" in sys.argv[1:]:
        same = TARGET.exists() and TARGET.read_text() == text
        print(f"nnlib {nnlib.__version__}: {TARGET.name} is {'up to date' if same else 'out of date'}")
        return 0 if same else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
