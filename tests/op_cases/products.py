"""Matrix products, convolutions, embeddings and the losses of classification."""

import numpy as np

from .case import Case, probabilities
from .case import functional as _f

# ---- matrix products
_MATMUL_SHAPES = [
    ((4,), (4,)),
    ((3, 4), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((0, 4), (4, 5)),
    ((2, 0), (0, 3)),
    ((65, 70), (70, 33)),
]
_EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("...ij,...jk", (2, 1, 3, 4), (5, 4, 2)),
    ("ij,kj,lj->ikl", (2, 3), (4, 3), (5, 3)),
    ("bn,anm,bm->ba", (2, 3), (5, 3, 4), (2, 4)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("b h i d, b h j d -> b h i j", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("i...i->...", (3, 4, 3)),
]


def _einsum_case(equation, *shapes):
    return Case(
        f"einsum {equation}",
        lambda lib, *x: lib.einsum(equation, *x),
        shapes,
        lambda *x: np.einsum(equation, *x),
        grad2=len(shapes) < 3,
    )


PRODUCTS = [
    *(
        Case(
            f"matmul {a} {b}",
            lambda lib, x, y: lib.matmul(x, y),
            (a, b),
            np.matmul,
            grad=a != (65, 70),
            half=True,
        )
        for a, b in _MATMUL_SHAPES
    ),
    Case("mm transposed", lambda lib, a, b: lib.mm(a.t(), b.t()), ((4, 3), (5, 4)), lambda a, b: a.T @ b.T),
    Case("bmm", lambda lib, a, b: lib.bmm(a, b), ((2, 3, 4), (2, 4, 5)), np.matmul, half=True),
    Case("mv", lambda lib, a, b: lib.mv(a, b), ((3, 4), (4,)), np.matmul),
    Case("dot", lambda lib, a, b: lib.dot(a, b), ((7,), (7,)), np.dot),
    Case("outer", lambda lib, a, b: lib.outer(a, b), ((3,), (4,)), np.outer),
    Case("inner of vectors", lambda lib, a, b: lib.inner(a, b), ((5,), (5,)), np.inner),
    Case(
        "tensordot of all",
        lambda lib, a, b: lib.tensordot(a, b, dims=2),
        ((2, 3), (2, 3)),
        lambda a, b: np.tensordot(a, b, 2),
    ),
    Case("inner", lambda lib, a, b: lib.inner(a, b), ((2, 4), (3, 4)), np.inner),
    Case(
        "addmm scaled",
        lambda lib, c, a, b: lib.addmm(c, a, b, beta=0.5, alpha=2.0),
        ((3, 5), (3, 4), (4, 5)),
        lambda c, a, b: 0.5 * c + 2 * a @ b,
    ),
    Case(
        "addmm row",
        lambda lib, c, a, b: lib.addmm(c, a, b),
        ((5,), (3, 4), (4, 5)),
        lambda c, a, b: c + a @ b,
        half=True,
    ),
    Case(
        "addmm beta 0",
        lambda lib, c, a, b: lib.addmm(c, a, b, beta=0),
        (np.full((3, 5), np.nan), (3, 4), (4, 5)),
        lambda c, a, b: a @ b,
        grad=False,
    ),
    Case(
        "addmv",
        lambda lib, c, a, b: lib.addmv(c, a, b, beta=0.5, alpha=2.0),
        ((3,), (3, 4), (4,)),
        lambda c, a, b: 0.5 * c + 2 * a @ b,
    ),
    Case(
        "addr",
        lambda lib, c, a, b: lib.addr(c, a, b, beta=0.5, alpha=2.0),
        ((3, 4), (3,), (4,)),
        lambda c, a, b: 0.5 * c + 2 * np.outer(a, b),
    ),
    Case(
        "baddbmm",
        lambda lib, c, a, b: lib.baddbmm(c, a, b, beta=0.5, alpha=2.0),
        ((3, 5), (2, 3, 4), (2, 4, 5)),
        lambda c, a, b: 0.5 * c + 2 * a @ b,
    ),
    Case(
        "addbmm",
        lambda lib, c, a, b: lib.addbmm(c, a, b, beta=0.5, alpha=2.0),
        ((3, 5), (2, 3, 4), (2, 4, 5)),
        lambda c, a, b: 0.5 * c + 2 * (a @ b).sum(0),
    ),
    *(_einsum_case(*e) for e in _EINSUMS),
    Case(
        "tensordot",
        lambda lib, a, b: lib.tensordot(a, b, dims=([1, 2], [2, 0])),
        ((2, 3, 4), (4, 5, 3)),
        lambda a, b: np.tensordot(a, b, ([1, 2], [2, 0])),
    ),
    *(
        Case(
            f"linear {shape}",
            lambda lib, x, w, b: _f(lib).linear(x, w, b),
            (shape, (3, 4), (3,)),
            lambda x, w, b: x @ w.T + b,
            half=True,
        )
        for shape in [(5, 4), (4,), (2, 3, 4), (0, 4)]
    ),
    Case(
        "linear of views",
        lambda lib, x, w: _f(lib).linear(x.t(), w.t()),
        ((4, 5), (4, 3)),
        lambda x, w: x.T @ w,
    ),
    Case(
        "bilinear",
        lambda lib, x, y, w, b: _f(lib).bilinear(x, y, w, b),
        ((2, 5, 3), (2, 5, 4), (6, 3, 4), (6,)),
        lambda x, y, w, b: np.einsum("...i,oij,...j->...o", x, w, y) + b,
    ),
]


# ---- convolutions
def conv_reference(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    """The definition of a convolution, one output pixel at a time."""
    n = w.ndim - 2
    stride, padding, dilation = (np.broadcast_to(v, n) for v in (stride, padding, dilation))
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True)]
    out = [(s - r) // t + 1 for s, r, t in zip(x.shape[2:], reach, stride, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    ci, co = w.shape[1], w.shape[0] // groups
    for at in np.ndindex(*out):
        window = tuple(
            slice(i * t, i * t + r, d) for i, t, r, d in zip(at, stride, reach, dilation, strict=True)
        )
        for g in range(groups):
            part = x[(slice(None), slice(g * ci, (g + 1) * ci), *window)]
            filters = w[g * co : (g + 1) * co]
            y[(slice(None), slice(g * co, (g + 1) * co), *at)] = np.tensordot(
                part, filters, (list(range(1, n + 2)), list(range(1, n + 2)))
            )
    return y + b.reshape(1, -1, *[1] * n)


_CONV_OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"dilation": 2},
    {"groups": 2, "padding": 1},
    {"stride": 2, "padding": 2, "dilation": 2, "groups": 2},
]
_CONV_SIZES = {1: ([9], [3]), 2: ([7, 6], [3, 2]), 3: ([5, 4, 6], [2, 1, 3])}


def _conv_cases():
    for n, (size, kernel) in _CONV_SIZES.items():
        for options in _CONV_OPTIONS:
            groups = options.get("groups", 1)
            yield Case(
                f"conv{n}d {options}",
                lambda lib, x, w, b, n=n, options=options: getattr(_f(lib), f"conv{n}d")(x, w, b, **options),
                ((2, 4, *size), (6, 4 // groups, *kernel), (6,)),
                lambda x, w, b, options=options: conv_reference(x, w, b, **options),
                half=not options,
            )
            transposed = {**options, "output_padding": options.get("stride", 1) - 1}
            yield Case(
                f"conv_transpose{n}d {transposed}",
                lambda lib, x, w, b, n=n, o=transposed: getattr(_f(lib), f"conv_transpose{n}d")(x, w, b, **o),
                ((2, 4, *size), (4, 3, *kernel), (3 * groups,)),
                grad2=n < 3,
            )


CONVOLUTIONS = [
    *_conv_cases(),
    *(
        Case(
            f"conv2d padding={mode}",
            lambda lib, x, w, mode=mode: _f(lib).conv2d(x, w, padding=mode, dilation=(1, 2)),
            ((3, 7, 6), (2, 3, 3, 2)),
        )
        for mode in ("same", "valid")
    ),
    Case(
        "conv2d depthwise",
        lambda lib, x, w, b: _f(lib).conv2d(x, w, b, padding=1, groups=3),
        ((2, 3, 6, 17), (6, 1, 3, 3), (6,)),
        lambda x, w, b: conv_reference(x, w, b, padding=1, groups=3),
    ),
    Case(
        "conv2d depthwise, channels last",
        lambda lib, x, w, b: _f(lib).conv2d(
            x.contiguous(memory_format=lib.channels_last), w, b, stride=2, padding=1, groups=17
        ),
        ((1, 17, 6, 5), (17, 1, 3, 3), (17,)),
        lambda x, w, b: conv_reference(x, w, b, stride=2, padding=1, groups=17),
    ),
    Case(
        "conv2d empty batch",
        lambda lib, x, w: _f(lib).conv2d(x, w),
        ((0, 3, 5, 5), (2, 3, 3, 3)),
        grad=False,
    ),
]

# ---- embeddings and losses of classification
_INDICES = np.array([[1, 2, 1], [0, 4, 1]])
_BAG = np.array([1, 2, 4, 1, 0, 0, 2])
_OFFSETS = np.array([0, 2, 2, 5])
_CLASSES = {
    (5,): np.array(3),
    (6, 5): np.array([0, 4, -100, 2, 2, 1]),
    (2, 5, 3): np.array([[0, 4, -100], [1, 1, 2]]),
}


def _class_weights(lib, x):
    return lib.tensor([0.3, 1.2, 0.7, 2.0, 0.5], dtype=x.dtype)


def _loss_cases():
    for shape, target in _CLASSES.items():
        for reduction in ("none", "mean", "sum"):
            for smoothing in (0.0, 0.2):
                yield Case(
                    f"cross_entropy {shape} {reduction} {smoothing}",
                    lambda lib, x, t, r=reduction, s=smoothing: _f(lib).cross_entropy(
                        x, t, _class_weights(lib, x), reduction=r, label_smoothing=s
                    ),
                    (shape, target),
                    half=smoothing == 0,
                )
            yield Case(
                f"nll_loss {shape} {reduction}",
                lambda lib, x, t, r=reduction: _f(lib).nll_loss(x, t, reduction=r),
                (shape, target),
                grad2=False,
            )
    for reduction in ("none", "mean", "sum"):
        yield Case(
            f"cross_entropy of probabilities {reduction}",
            lambda lib, x, p, r=reduction: _f(lib).cross_entropy(x, p, reduction=r, label_smoothing=0.1),
            ((3, 5, 2), probabilities(3, 5, 2)),
        )


EMBEDDINGS_AND_LOSSES = [
    *(
        Case(
            f"embedding {options}",
            lambda lib, i, w, o=options: _f(lib).embedding(i, w, **o),
            (_INDICES, (5, 3)),
            lambda i, w: w[i],
            grad=not options,  # padding and scaling change the gradient on purpose
            half=True,
        )
        for options in ({}, {"padding_idx": 1}, {"scale_grad_by_freq": True})
    ),
    *(
        Case(
            f"embedding_bag {mode}",
            lambda lib, i, w, o, mode=mode: _f(lib).embedding_bag(i, w, o, mode=mode),
            (_BAG, (5, 3), _OFFSETS),
            grad2=mode != "max",
        )
        for mode in ("sum", "mean", "max")
    ),
    Case(
        "embedding_bag weighted",
        lambda lib, i, w, o, p: _f(lib).embedding_bag(i, w, o, mode="sum", per_sample_weights=p),
        (_BAG, (5, 3), _OFFSETS, (7,)),
    ),
    *_loss_cases(),
]
