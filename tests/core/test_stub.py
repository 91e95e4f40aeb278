"""The stub of the native module names what is there (tools/make_stub.py writes it)."""

import pathlib

from nnlib import _C

STUB = pathlib.Path(_C.__file__).with_name("_C.pyi").read_text()


def test_every_operator_is_in_the_stub():
    operators = [n for n in dir(_C) if isinstance(getattr(_C, n), _C.OpFunction)]
    missing = [n for n in operators if f"\ndef {n}(" not in STUB]
    assert len(operators) > 300 and not missing, f"run tools/make_stub.py: the stub lacks {missing}"
