"""Reductions over dimensions, running values along one, and order."""

import numpy as np

from .case import Case, positive

_DIMS = [None, 0, 1, -1, (0, 2), (0, 1, 2)]


def _axes(reference):
    return lambda x, dim, keep: reference(x, axis=dim, keepdims=keep)


# name, reference, input
_OVER_DIMS = [
    ("sum", _axes(np.sum), (3, 4, 5)),
    ("mean", _axes(np.mean), (3, 4, 5)),
    ("nansum", _axes(np.nansum), (3, 4, 5)),
    ("var", lambda x, d, k: np.var(x, d, ddof=1, keepdims=k), (3, 4, 5)),
    ("std", lambda x, d, k: np.std(x, d, ddof=1, keepdims=k), (3, 4, 5)),
    ("amax", _axes(np.max), (3, 4, 5)),
    ("amin", _axes(np.min), (3, 4, 5)),
    ("logsumexp", lambda x, d, k: np.log(np.exp(x).sum(d, keepdims=k)), (3, 4, 5)),
]


def _over_dims_cases():
    for name, reference, made in _OVER_DIMS:
        for dim in _DIMS:
            for keepdim in (False, True):
                d = dim if dim is not None or name not in ("amax", "amin", "logsumexp") else (0, 1, 2)
                yield Case(
                    f"{name} {dim} {keepdim}",
                    lambda lib, x, n=name, d=d, k=keepdim: getattr(lib, n)(x, dim=d, keepdim=k),
                    (made,),
                    lambda x, r=reference, d=dim, k=keepdim: r(x, d, k),
                    half=dim == 1,
                )


def _norm_cases():
    for p in (0, 0.5, 1, 1.5, 2, 3, float("inf"), float("-inf")):
        for dim in (None, 1):
            yield Case(
                f"norm {p} {dim}",
                lambda lib, x, p=p, d=dim: lib.norm(x, p, d),
                ((4, 5),),
                lambda x, p=p, d=dim: np.linalg.norm(x.ravel() if d is None else x, p, 0 if d is None else d),
            )


_COUNTS = np.array([[1, 0, 2], [0, 0, 3]])
# name, call, reference: results that are bools or integers
_LOGIC = [
    ("argmax", lambda lib, x: lib.argmax(x), np.argmax),
    ("argmax 1", lambda lib, x: lib.argmax(x, 1), lambda x: np.argmax(x, 1)),
    ("argmin keepdim", lambda lib, x: lib.argmin(x, 0, True), lambda x: np.argmin(x, 0)[None]),
    ("any", lambda lib, x: lib.any(x > 1), lambda x: np.any(x > 1)),
    ("all 1", lambda lib, x: lib.all(x < 1, 1), lambda x: np.all(x < 1, 1)),
    ("count_nonzero", lambda lib, x: lib.count_nonzero(x > 0, 0), lambda x: np.count_nonzero(x > 0, 0)),
    ("argsort", lambda lib, x: lib.argsort(x, 0), lambda x: np.argsort(x, 0)),
    ("max indices", lambda lib, x: lib.max(x, 1).indices, lambda x: np.argmax(x, 1)),
]

# name, call, reference: of one float tensor (4, 5)
_VALUES = [
    ("max", lambda lib, x: lib.max(x), np.max),
    ("min", lambda lib, x: lib.min(x), np.min),
    ("max values", lambda lib, x: lib.max(x, 0).values, lambda x: x.max(0)),
    ("min values keepdim", lambda lib, x: lib.min(x, 1, True).values, lambda x: x.min(1, keepdims=True)),
    ("aminmax", lambda lib, x: lib.aminmax(x, dim=0).max, lambda x: x.max(0)),
    ("cumsum", lambda lib, x: lib.cumsum(x, 0), lambda x: np.cumsum(x, 0)),
    ("cumprod", lambda lib, x: lib.cumprod(x, 1), lambda x: np.cumprod(x, 1)),
    ("cummax", lambda lib, x: lib.cummax(x, 1).values, lambda x: np.maximum.accumulate(x, 1)),
    ("cummin", lambda lib, x: lib.cummin(x, 0).values, lambda x: np.minimum.accumulate(x, 0)),
    ("logcumsumexp", lambda lib, x: lib.logcumsumexp(x, 1), lambda x: np.log(np.cumsum(np.exp(x), 1))),
    ("sort", lambda lib, x: lib.sort(x, 0).values, lambda x: np.sort(x, 0)),
    ("sort descending", lambda lib, x: lib.sort(x, descending=True).values, lambda x: -np.sort(-x, 1)),
    ("topk", lambda lib, x: lib.topk(x, 2).values, lambda x: -np.sort(-x, 1)[:, :2]),
    ("kthvalue", lambda lib, x: lib.kthvalue(x, 2, 0).values, lambda x: np.sort(x, 0)[1]),
    ("median", lambda lib, x: lib.median(x), lambda x: np.sort(x.ravel())[9]),
    ("median 1", lambda lib, x: lib.median(x, 1).values, lambda x: np.median(x, 1)),
    ("quantile", lambda lib, x: lib.quantile(x, 0.3, dim=1), lambda x: np.quantile(x, 0.3, axis=1)),
    ("quantile of all", lambda lib, x: lib.quantile(x, 0.7), lambda x: np.quantile(x, 0.7)),
    ("diff", lambda lib, x: lib.diff(x, 2, 0), lambda x: np.diff(x, 2, 0)),
    ("trapezoid", lambda lib, x: lib.trapezoid(x, dx=0.5), lambda x: ((x[:, 1:] + x[:, :-1]) / 4).sum(1)),
    ("var correction", lambda lib, x: lib.var(x, 0, correction=0), lambda x: np.var(x, 0)),
    (
        "var_mean",
        lambda lib, x: lib.stack(lib.var_mean(x, 1)),
        lambda x: np.stack([np.var(x, 1, ddof=1), x.mean(1)]),
    ),
    (
        "std_mean",
        lambda lib, x: lib.stack(lib.std_mean(x)),
        lambda x: np.stack([np.std(x, ddof=1), x.mean()]),
    ),
    ("prod", lambda lib, x: lib.prod(x), np.prod),
    ("prod 1", lambda lib, x: lib.prod(x, 1, keepdim=True), lambda x: x.prod(1, keepdims=True)),
    ("sum of a view", lambda lib, x: x.t().sum(0), lambda x: x.sum(1)),
    (
        "sum of an expanded view",
        lambda lib, x: x[:1].expand(3, 5).sum(1),
        lambda x: np.repeat(x[:1].sum(1), 3),
    ),
    ("mean of a strided view", lambda lib, x: x[:, ::2].mean(0), lambda x: x[:, ::2].mean(0)),
]


def _with_zeros(rng):
    x = rng.standard_normal((3, 4))
    x[0, 1] = x[2, 0] = x[2, 3] = 0
    return x


REDUCTIONS = [
    *_over_dims_cases(),
    *_norm_cases(),
    *(Case(name, call, ((4, 5),), reference, grad=False, floating=False) for name, call, reference in _LOGIC),
    *(Case(name, call, ((4, 5),), ref, grad2=name != "logcumsumexp") for name, call, ref in _VALUES),
    Case("prod with zeros", lambda lib, x: lib.prod(x, 1), (_with_zeros,), lambda x: np.prod(x, 1)),
    Case("cumprod with zeros", lambda lib, x: lib.cumprod(x, 1), (_with_zeros,), lambda x: np.cumprod(x, 1)),
    Case(
        "sum of integers",
        lambda lib, x: lib.sum(x, 0),
        (_COUNTS,),
        lambda x: x.sum(0),
        grad=False,
        floating=False,
    ),
    Case("dist", lambda lib, x, y: lib.dist(x, y, 3), ((4,), (4,)), lambda x, y: np.linalg.norm(x - y, 3)),
    Case("sum of nothing", lambda lib, x: lib.sum(x, 0), ((0, 3),), lambda x: x.sum(0)),
    # Long enough to be cut into chunks, in each layout.
    Case("sum of many", lambda lib, x: x.sum(), ((300, 500),), np.sum, grad=False),
    Case("sum of long rows", lambda lib, x: x.sum(1), ((3, 70001),), lambda x: x.sum(1), grad=False),
    Case("sum of long columns", lambda lib, x: x.sum(0), ((20011, 9),), lambda x: x.sum(0), grad=False),
    Case(
        "sum of long channels",
        lambda lib, x: x.sum((0, 2)),
        ((40, 3, 900),),
        lambda x: x.sum((0, 2)),
        grad=False,
    ),
    Case("var of many", lambda lib, x: x.var(), (positive(300, 500),), lambda x: x.var(ddof=1), grad=False),
    Case("amax of many", lambda lib, x: x.amax(0), ((2000, 70),), lambda x: x.max(0), grad=False),
]
