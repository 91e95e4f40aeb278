"""Comparisons and random inputs for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .. import _C
from .._tensor import Tensor
from ._creation import make_tensor

__all__ = ["assert_close", "make_tensor"]

# PyTorch's tolerances by dtype: (relative, absolute).
# https://docs.pytorch.org/docs/stable/testing.html#torch.testing.assert_close
_TOLERANCES = {
    _C.float16: (1e-3, 1e-5),
    _C.bfloat16: (1.6e-2, 1e-5),
    _C.float32: (1.3e-6, 1e-5),
    _C.float64: (1e-7, 1e-7),
}


def assert_close(
    actual,
    expected,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg=None,
) -> None:
    """AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere.

    Args:
        actual, expected: tensors, numbers, or sequences and mappings of them.
        rtol, atol: both or none; by default they follow from the dtype.
        equal_nan: NaN equals NaN.
        check_device, check_dtype, check_layout, check_stride: compare these too.
        allow_subclasses: take subclasses of Tensor; otherwise both must be of one class.
        msg: the error's text, or a function of the text that would be given.

    >>> nnlib.testing.assert_close(nnlib.tensor([1.0]), nnlib.tensor([1.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"rtol and atol must both be specified or both be unspecified, got {rtol=}, {atol=}")

    def fail(text: str):
        raise AssertionError(msg(text) if callable(msg) else msg or text)

    def compare(a, b, where: str) -> None:
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if set(a) != set(b):
                fail(
                    f"The keys of the mappings do not match{where}: {sorted(a, key=str)} and {sorted(b, key=str)}"
                )
            for key in a:
                compare(a[key], b[key], f"{where} at [{key!r}]")
            return
        if _is_sequence(a) and _is_sequence(b):
            if len(a) != len(b):
                fail(f"The length of the sequences mismatch{where}: {len(a)} != {len(b)}")
            for i, (x, y) in enumerate(zip(a, b, strict=True)):
                compare(x, y, f"{where} at [{i}]")
            return
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            _compare_tensors(a, b, where)
        elif isinstance(a, (int, float)) and isinstance(b, (int, float)):
            _compare_numbers(a, b, where)
        elif a is not b and a != b:
            raise TypeError(
                f"No comparison pair was able to handle inputs of type {type(a)} and {type(b)}{where}."
            )

    def _compare_tensors(a: Tensor, b: Tensor, where: str) -> None:
        if not allow_subclasses and type(a) is not type(b):
            raise TypeError(f"the classes differ{where}: {type(a)} and {type(b)}")
        for name, on, x, y in (
            ("shape", True, a.shape, b.shape),
            ("dtype", check_dtype, a.dtype, b.dtype),
            ("device", check_device, a.device, b.device),
            ("layout", check_layout, a.layout, b.layout),
        ):
            if on and x != y:
                fail(f"The values for attribute '{name}' do not match{where}: {x} != {y}.")
        if check_stride and a.stride() != b.stride():
            fail(f"The values for attribute 'stride()' do not match{where}: {a.stride()} != {b.stride()}.")
        a, b = (t.detach().to_dense() if t.is_sparse else t.detach() for t in (a, b))
        relative, absolute = _tolerances(a.dtype, b.dtype)
        x, y = (
            (t.to(_C.float64) for t in (a, b)) if a.is_floating_point() or b.is_floating_point() else (a, b)
        )
        close = _C.isclose(x, y, rtol=relative, atol=absolute, equal_nan=equal_nan)
        if not bool(close.all()):
            wrong = int((~close).sum())
            worst = float((x - y).abs().max())
            fail(
                f"Tensor-likes are not close{where}!\n\nMismatched elements: {wrong} / {a.numel()} "
                f"({100 * wrong / a.numel():.1f}%)\nGreatest absolute difference: {worst} (up to {absolute} allowed, "
                f"relative {relative})"
            )

    def _compare_numbers(a, b, where: str) -> None:
        relative, absolute = _tolerances(
            _C.float64 if isinstance(a, float) else _C.int64, _C.float64 if isinstance(b, float) else _C.int64
        )
        same = (
            a == b
            or (equal_nan and math.isnan(a) and math.isnan(b))
            or abs(a - b) <= absolute + relative * abs(b)
        )
        if not same:
            fail(f"Scalars are not close{where}!\n\nExpected {b} but got {a}.")

    def _tolerances(*dtypes):
        if rtol is not None:
            return rtol, atol
        rows = [_TOLERANCES.get(d, (0.0, 0.0)) for d in dtypes]
        return max(r for r, _ in rows), max(a for _, a in rows)

    compare(actual, expected, "")


def _is_sequence(value) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
