"""How tensors print. The layout follows PyTorch's, so that expected outputs of programs stay true.

https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import _C


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}


def set_printoptions(
    precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None
) -> None:
    """Set how tensors print.

    Args:
        precision: digits after the point (4).
        threshold: elements above which the middle is left out (1000).
        edgeitems: elements shown at each end of a dimension then (3).
        linewidth: characters in a line (80).
        profile: ``"default"``, ``"short"`` or ``"full"``: a set of the above.
        sci_mode: scientific notation always (True), never (False) or as the values need (None).

    >>> nnlib.set_printoptions(precision=2)
    >>> nnlib.tensor([1 / 3])
    tensor([0.33])
    >>> nnlib.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"profile must be one of {', '.join(_PROFILES)}, got {profile!r}")
        for name, value in vars(_PROFILES[profile]).items():
            if name != "sci_mode":
                setattr(_options, name, value)
    for name, value in (
        ("precision", precision), ("threshold", threshold), ("edgeitems", edgeitems), ("linewidth", linewidth),
    ):  # fmt: skip
        if value is not None:
            setattr(_options, name, value)
    _options.sci_mode = sci_mode


class _Formatter:
    """Decides one common format for all the values shown."""

    def __init__(self, values: list, floating: bool):
        self.floating, self.int_mode, self.sci = floating, True, False
        if not floating:
            self.width = max((len(str(v)) for v in values), default=1)
            return
        self.width = 1
        finite = [v for v in values if math.isfinite(v) and v != 0]
        if not finite:
            return
        self.int_mode = all(v == math.ceil(v) for v in finite)
        magnitudes = [abs(v) for v in finite]
        low, high = min(magnitudes), max(magnitudes)
        if self.int_mode:
            self.sci = high / low > 1000.0 or high > 1.0e8
        else:
            self.sci = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        if _options.sci_mode is not None:
            self.sci = _options.sci_mode
        if self.int_mode and not self.sci:
            self.width = max(len(f"{v:.0f}") for v in finite) + 1
        else:
            self.width = max(len(self.format(v, pad=False)) for v in finite)

    def format(self, v, pad: bool = True) -> str:
        if not self.floating:
            text = str(v)
        elif not math.isfinite(v):
            text = f"{v}"
        elif self.sci:
            text = f"{v:.{_options.precision}e}"
        elif self.int_mode:
            text = f"{v:.0f}."
        else:
            text = f"{v:.{_options.precision}f}"
        return text.rjust(self.width) if pad else text


def _summarized(t):
    """The corner values that will be shown of a large tensor."""
    if t.dim() == 0:
        return t
    edge = _options.edgeitems
    if t.size(0) > 2 * edge:
        t = _C.cat([t.narrow(0, 0, edge), t.narrow(0, t.size(0) - edge, edge)])
    if t.dim() == 1:
        return t
    rows = [_summarized(t.select(0, i)) for i in range(t.size(0))]
    return _C.stack(rows) if rows else t


def _vector(values: list, indent: int, summarize: bool, formatter: _Formatter) -> str:
    per_line = max(1, math.floor((_options.linewidth - indent) / (formatter.width + 2)))
    edge = _options.edgeitems
    if summarize and not edge:
        shown = ["..."]
    elif summarize and len(values) > 2 * edge:
        shown = [formatter.format(v) for v in values[:edge]] + [" ..."]
        shown += [formatter.format(v) for v in values[-edge:]]
    else:
        shown = [formatter.format(v) for v in values]
    lines = [", ".join(shown[i : i + per_line]) for i in range(0, len(shown), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(values, dim: int, indent: int, summarize: bool, formatter: _Formatter) -> str:
    if dim == 0:
        return formatter.format(values)
    if dim == 1:
        return _vector(values, indent, summarize, formatter)
    edge = _options.edgeitems

    def inner(v):
        return _nested(v, dim - 1, indent + 1, summarize, formatter)

    if summarize and len(values) > 2 * edge:
        parts = [inner(v) for v in values[:edge]] + ["..."] + [inner(v) for v in values[-edge:]]
    else:
        parts = [inner(v) for v in values]
    return "[" + ("," + "\n" * (dim - 1) + " " * (indent + 1)).join(parts) + "]"


def _flat(nested) -> list:
    if not isinstance(nested, list):
        return [nested]
    return [v for item in nested for v in _flat(item)]


def _contents(t, indent: int) -> str:
    t = t.detach()
    floating = t.is_floating_point()
    if t.dtype in (_C.float16, _C.bfloat16):
        t = t.to(_C.float32)
    summarize = t.numel() > _options.threshold
    shown = _flat((_summarized(t) if summarize else t).tolist())
    formatter = _Formatter(shown, floating)
    if not summarize:
        return _nested(t.tolist(), t.dim(), indent, False, formatter)
    return _summarized_nested(t, indent, formatter)


def _summarized_nested(t, indent: int, formatter: _Formatter) -> str:
    """Like _nested, without turning what is not shown into Python numbers."""
    edge = _options.edgeitems
    if t.dim() == 1:
        if t.size(0) <= 2 * edge:
            return _vector(t.tolist(), indent, False, formatter)
        ends = t.narrow(0, 0, edge).tolist() + [0] + t.narrow(0, t.size(0) - edge, edge).tolist()
        return _vector(ends, indent, True, formatter)
    n = t.size(0)
    picks = range(n) if n <= 2 * edge else [*range(edge), None, *range(n - edge, n)]
    parts = ["..." if i is None else _summarized_nested(t.select(0, i), indent + 1, formatter) for i in picks]
    return "[" + ("," + "\n" * (t.dim() - 1) + " " * (indent + 1)).join(parts) + "]"


def _with_suffixes(text: str, suffixes: list[str], indent: int, new_line: bool = False) -> str:
    """Add ``, dtype=...`` and the like, on a new line where the last one is full or one is wanted."""
    parts, width = [text], len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if new_line or width + len(suffix) + 2 > _options.linewidth:
            parts.append(",\n" + " " * indent + suffix)
            width, new_line = indent + len(suffix), False
        else:
            parts.append(", " + suffix)
            width += len(suffix) + 2
    return "".join(parts) + ")"


def tensor_str(t, contents: str | None = None) -> str:
    """The text that ``repr`` gives."""
    prefix = "Parameter(" if type(t).__name__ == "Parameter" and contents else "tensor("
    indent = len(prefix)
    suffixes = []
    if t.device.index is not None:
        suffixes.append(f"device='{t.device}'")
    usual = (_C.get_default_dtype(), _C.int64, _C.bool)
    if t.is_sparse:
        parts = []
        for name, part in (("indices", t._indices()), ("values", t._values())):
            head = f"{name}=tensor("
            size = "" if part.numel() else f", size={tuple(part.shape)}"
            parts.append(head + (_contents(part, indent + len(head)) if part.numel() else "[]") + size + ")")
        text = f",\n{' ' * indent}".join(parts)
        suffixes += [f"size={tuple(t.shape)}", f"nnz={t._nnz()}"]
        if t.dtype not in usual:
            suffixes.append(f"dtype={t.dtype}")
        suffixes.append("layout=torch.sparse_coo")
    elif t.numel() == 0:
        text = "[]"
        if t.dim() != 1:
            suffixes.append(f"size={tuple(t.shape)}")
        if t.dtype != _C.get_default_dtype():
            suffixes.append(f"dtype={t.dtype}")
    else:
        text = contents if contents is not None else _contents(t, indent)
        if t.dtype not in usual:
            suffixes.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        suffixes.append(f"grad_fn=<{t.grad_fn.name()}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes(prefix + text, suffixes, indent, new_line=t.is_sparse)
