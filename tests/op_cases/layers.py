"""Cases of normalisation, pooling, losses, attention, recurrent layers, resampling and distances."""

from __future__ import annotations

import numpy as np

from .case import Case, functional, positive, uniform


def distinct(*shape):
    """Values that lie well apart, so that a small step changes no maximum."""
    return lambda rng: rng.permutation(np.linspace(-2, 2, int(np.prod(shape)))).reshape(shape)


def case(name, function, inputs, reference=None, *args, **options):
    """A case that calls nn.functional.<function> on the inputs, then args and options."""
    settings = {k: options.pop(k) for k in ("grad", "grad2", "half") if k in options}
    return Case(
        f"{function} {name}".strip(),
        lambda lib, *x: getattr(functional(lib), function)(*x, *args, **options),
        inputs,
        reference,
        **settings,
    )


# ---- normalisation
def normalised(x, axes, weight=1.0, bias=0.0, eps=1e-5, center=True):
    """The definition: less the mean, divided by the standard deviation, scaled and shifted."""
    mean = x.mean(axes, keepdims=True) if center else 0
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps) * weight + bias


def per_channel(v, x):
    return v.reshape(1, -1, *[1] * (x.ndim - 2))


def batch_reference(x, w, b):
    return normalised(x, (0, *range(2, x.ndim)), per_channel(w, x), per_channel(b, x))


def group_reference(groups):
    def reference(x, w, b):
        y = normalised(x.reshape(x.shape[0], groups, -1), 2).reshape(x.shape)
        return y * per_channel(w, x) + per_channel(b, x)

    return reference


def _batch_norm(training, channels_last=False):
    def call(lib, x, w, b):
        if channels_last:
            x = x.contiguous(memory_format=lib.channels_last)
        mean = lib.tensor([0.3, -0.2, 0.1, 0.4], dtype=x.dtype)
        return functional(lib).batch_norm(x, mean, mean.abs() + 0.5, w, b, training)

    return call


NORMS = [
    *(
        Case(f"batch_norm {shape}", _batch_norm(True), (shape, (4,), (4,)), batch_reference, half=True)
        for shape in [(5, 4), (3, 4, 7), (2, 4, 3, 5), (2, 4, 3, 2, 3), (2, 4, 70, 3)]
    ),
    Case("batch_norm of running statistics", _batch_norm(False), ((3, 4, 5), (4,), (4,))),
    Case("batch_norm channels last", _batch_norm(True, True), ((2, 4, 3, 5), (4,), (4,)), batch_reference),
    Case("batch_norm running, channels last", _batch_norm(False, True), ((2, 4, 3, 5), (4,), (4,))),
    *(
        Case(
            f"layer_norm {shape} over {last}",
            lambda lib, x, w, b, last=last: functional(lib).layer_norm(x, last, w, b),
            (shape, last, last),
            lambda x, w, b, last=last: normalised(x, tuple(range(-len(last), 0)), w, b),
            half=True,
        )
        for shape, last in [((5, 7), (7,)), ((2, 3, 4), (3, 4)), ((3, 67), (67,)), ((70, 33), (33,))]
    ),
    Case(
        "layer_norm alone",
        lambda lib, x: functional(lib).layer_norm(x, (6,)),
        ((4, 6),),
        lambda x: normalised(x, (-1,)),
    ),
    Case(
        "rms_norm",
        lambda lib, x, w: functional(lib).rms_norm(x, (7,), w, 1e-5),
        ((3, 7), (7,)),
        lambda x, w: normalised(x, (-1,), w, center=False),
        half=True,
    ),
    *(
        Case(
            f"group_norm {shape} {groups}",
            lambda lib, x, w, b, groups=groups: functional(lib).group_norm(x, groups, w, b),
            (shape, (6,), (6,)),
            group_reference(groups),
            half=True,
        )
        for shape, groups in [((2, 6, 5), 3), ((3, 6), 2), ((2, 6, 3, 4), 1)]
    ),
    Case(
        "instance_norm",
        lambda lib, x, w, b: functional(lib).instance_norm(x, weight=w, bias=b),
        ((2, 3, 4, 5), (3,), (3,)),
        group_reference(3),
    ),
    case("", "local_response_norm", ((2, 5, 3, 2),), None, 3, alpha=0.3, beta=0.6, k=1.2),
    *(case(f"p={p}", "normalize", ((3, 4, 2),), None, p=p) for p in (1.0, 2.0, 3.0)),
]

# ---- pooling
_SPACE = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}
_POOL_OPTIONS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
]


def _pool_cases():
    for n, space in _SPACE.items():
        for o in _POOL_OPTIONS:
            yield case(f"{o}", f"max_pool{n}d", (distinct(2, 3, *space),), half=True, **o)
            yield case(f"{o}", f"avg_pool{n}d", ((2, 3, *space),), half=True, **o)
        yield case("of one sample", f"max_pool{n}d", (distinct(3, *space),), None, 2)
        yield case("dilated", f"max_pool{n}d", (distinct(2, 2, *space),), None, 2, dilation=2)
        padding = {"padding": 1, "count_include_pad": False}
        yield case("without the padding", f"avg_pool{n}d", ((2, 2, *space),), None, 3, **padding)
        for size in (1, 3):
            yield case(f"to {size}", f"adaptive_avg_pool{n}d", ((2, 2, *space),), None, size, half=True)
            yield case(f"to {size}", f"adaptive_max_pool{n}d", (distinct(2, 2, *space),), None, size)
    yield case("divisor", "avg_pool2d", ((2, 3, 6, 6),), None, 2, divisor_override=3)


POOLS = [
    *_pool_cases(),
    case(
        "2x2 rows of 40",
        "max_pool2d",
        (distinct(2, 3, 6, 41),),
        lambda x: x[..., :40].reshape(2, 3, 3, 2, 20, 2).max((3, 5)),
        2,
    ),
]

# ---- losses
_PAIR = ((4, 5), (4, 5))
_POINTWISE = {
    "mse_loss": (_PAIR, lambda x, t: (x - t) ** 2, {}),
    "l1_loss": (_PAIR, lambda x, t: np.abs(x - t), {}),
    "smooth_l1_loss": (
        _PAIR,
        lambda x, t: np.where(np.abs(x - t) < 0.7, (x - t) ** 2 / 1.4, np.abs(x - t) - 0.35),
        {"beta": 0.7},
    ),
    "huber_loss": (
        _PAIR,
        lambda x, t: np.where(np.abs(x - t) < 0.7, (x - t) ** 2 / 2, 0.7 * (np.abs(x - t) - 0.35)),
        {"delta": 0.7},
    ),
    "binary_cross_entropy": (
        (uniform(0.1, 0.9, 4, 5), uniform(0.1, 0.9, 4, 5)),
        lambda x, t: -t * np.log(x) - (1 - t) * np.log1p(-x),
        {},
    ),
    "binary_cross_entropy_with_logits": (
        ((4, 5), uniform(0.1, 0.9, 4, 5)),
        lambda x, t: np.log1p(np.exp(x)) - t * x,
        {},
    ),
    "kl_div": (((4, 5), positive(4, 5)), lambda x, t: t * (np.log(t) - x), {}),
}
_REDUCE = {"none": lambda x: x, "mean": np.mean, "sum": np.sum}


def _loss_cases():
    for function, (inputs, value, options) in _POINTWISE.items():
        for reduction, reduced in _REDUCE.items():
            if (function, reduction) == ("kl_div", "mean"):
                continue  # warns that it is seldom what is wanted
            yield case(
                reduction,
                function,
                inputs,
                lambda x, t, value=value, reduced=reduced: reduced(value(x, t)),
                reduction=reduction,
                **options,
            )


def _weighted(lib, x, t):
    w = lib.tensor([0.5, 1.0, 2.0], dtype=x.dtype)
    return functional(lib).binary_cross_entropy_with_logits(x, t, weight=w, pos_weight=w + 1)


LOSSES = [
    *_loss_cases(),
    Case("binary_cross_entropy_with_logits weighted", _weighted, ((4, 3), uniform(0.1, 0.9, 4, 3))),
    case("of logarithms", "kl_div", _PAIR, None, reduction="batchmean", log_target=True),
]


# ---- attention and recurrent layers
def attention_reference(q, k, v, mask=0.0):
    scores = q @ np.swapaxes(k, -2, -1) / np.sqrt(q.shape[-1]) + mask
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) @ v


def causal(rows, columns):
    return np.where(np.tril(np.ones((rows, columns), bool)), 0.0, -np.inf)


def _attend(**options):
    return lambda lib, *x: functional(lib).scaled_dot_product_attention(*x, **options)


def _padded_attention(lib, q, k, v):
    keep = lib.tensor([[True, True, False, True, True, False]])
    return functional(lib).scaled_dot_product_attention(q, k, v, attn_mask=keep)


_QKV = ((2, 2, 5, 4), (2, 2, 6, 4), (2, 2, 6, 3))
_LONG = ((1, 2, 70, 8), (1, 2, 300, 8), (1, 2, 300, 5))


ATTENTION = [
    Case("attention", _attend(), _QKV, attention_reference, half=True),
    Case("attention of one head", _attend(), tuple(s[1:] for s in _QKV), attention_reference),
    Case(
        "attention causal",
        _attend(is_causal=True),
        _QKV,
        lambda q, k, v: attention_reference(q, k, v, causal(5, 6)),
    ),
    Case("attention in blocks", _attend(), _LONG, attention_reference, grad2=False),
    Case(
        "attention in blocks, causal",
        _attend(is_causal=True),
        _LONG,
        lambda q, k, v: attention_reference(q, k, v, causal(70, 300)),
        grad2=False,
    ),
    Case("attention mask", _attend(), (*_QKV, (5, 6)), attention_reference),
    Case("attention padded", _padded_attention, _QKV),
    Case("attention scale", _attend(scale=0.3), _QKV),
    Case("attention shared heads", _attend(enable_gqa=True), ((2, 4, 5, 4), (2, 2, 6, 4), (2, 2, 6, 3))),
]


def _cell(kind, states):
    def call(lib, x, *rest):
        h = rest[:states]
        out = getattr(lib, f"{kind}_cell")(x, h if states == 2 else h[0], *rest[states:])
        return lib.cat(out) if states == 2 else out

    return call


_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1}


def _layer(kind, layers, both, batch_first, packed):
    """torch.<kind> on a padded or packed sequence, with all its results in one vector."""

    def call(lib, x, *rest):
        states = 2 if kind == "lstm" else 1
        h, weights = list(rest[:states]), list(rest[states:])
        hx = h if states == 2 else h[0]
        tail = (True, layers, 0.0, False, both)
        if packed:
            sizes = lib.tensor([3, 2, 2, 1])
            out = getattr(lib, kind)(x, sizes, hx, weights, *tail)
        else:
            out = getattr(lib, kind)(x, hx, weights, *tail, batch_first)
        return lib.cat([o.reshape(-1) for o in out])

    return call


def _layer_inputs(kind, layers, both, x):
    directions = 2 if both else 1
    states = [(layers * directions, 3, 4)] * (2 if kind == "lstm" else 1)
    weights = []
    for layer in range(layers):
        width = 5 if layer == 0 else 4 * directions
        for _ in range(directions):
            g = _GATES[kind] * 4
            weights += [(g, width), (g, 4), (g,), (g,)]
    return (x, *states, *weights)


RECURRENT = [
    *(
        Case(
            f"{kind} layers={layers} both={both}",
            _layer(kind, layers, both, layers == 2, False),
            _layer_inputs(kind, layers, both, (3, 6, 5) if layers == 2 else (6, 3, 5)),
            grad2=layers == 1,
        )
        for kind in _GATES
        for layers, both in [(1, False), (2, True)]
    ),
    *(
        Case(f"{kind} packed", _layer(kind, 1, True, False, True), _layer_inputs(kind, 1, True, (8, 5)))
        for kind in _GATES
    ),
    *(
        Case(
            f"{kind}_cell",
            _cell(kind, 2 if kind == "lstm" else 1),
            ((3, 5), *[(3, 4)] * (2 if kind == "lstm" else 1), (g * 4, 5), (g * 4, 4), (g * 4,), (g * 4,)),
        )
        for kind, g in _GATES.items()
    ),
]

# ---- resampling
_SMOOTH = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _interpolate_cases():
    for n, space in _SPACE.items():
        for mode in ("nearest", "nearest-exact", _SMOOTH[n], *(["bicubic"] if n == 2 else [])):
            corners = {} if "nearest" in mode else {"align_corners": True}
            shape = (2, 3, *space)
            yield case(f"{mode} {n}d size", "interpolate", (shape,), size=[8] * n, mode=mode, half=True)
            yield case(f"{mode} {n}d scale", "interpolate", (shape,), scale_factor=0.7, mode=mode, **corners)
    for mode in ("bilinear", "bicubic"):
        yield case(
            f"{mode} antialias", "interpolate", ((1, 2, 9, 11),), size=(4, 13), mode=mode, antialias=True
        )


RESAMPLING = [
    *_interpolate_cases(),
    *(
        case(
            f"{mode} {border} {corners}",
            "grid_sample",
            ((2, 3, 4, 5), uniform(-1.3, 1.3, 2, 3, 4, 2)),
            mode=mode,
            padding_mode=border,
            align_corners=corners,
            grad2=False,
        )
        for mode in ("bilinear", "nearest", "bicubic")
        for border in ("zeros", "border", "reflection")
        for corners in (False, True)
    ),
    *(
        case(
            f"3d {mode}",
            "grid_sample",
            ((2, 2, 3, 4, 5), uniform(-1.2, 1.2, 2, 2, 3, 2, 3)),
            mode=mode,
            align_corners=False,
            grad2=False,
        )
        for mode in ("bilinear", "nearest")
    ),
    case("2d", "affine_grid", ((2, 2, 3),), None, (2, 3, 4, 5), align_corners=False),
    case("3d", "affine_grid", ((2, 3, 4),), None, (2, 3, 2, 4, 5), align_corners=True),
    case("", "unfold", ((2, 3, 5, 6),), None, (2, 3), dilation=2, padding=1, stride=2),
    case("of one sample", "unfold", ((3, 5, 6),), None, 3),
    case("", "fold", ((2, 12, 12),), None, (4, 5), (2, 2), half=True),
]

# ---- distances
DISTANCES = [
    Case(
        "cosine_similarity",
        lambda lib, x, y: functional(lib).cosine_similarity(x, y, dim=1),
        ((3, 4), (3, 4)),
        lambda x, y: (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1),
    ),
    case("broadcast", "cosine_similarity", ((3, 1, 4), (2, 4)), None, dim=-1),
    case(
        "",
        "pairwise_distance",
        ((3, 4), (3, 4)),
        lambda x, y: np.linalg.norm(x - y + 1e-6, axis=-1),
    ),
    *(
        Case(
            f"cdist {p}",
            lambda lib, x, y, p=p: lib.cdist(x, y, p=p),
            ((2, 3, 4), (2, 5, 4)),
            lambda x, y, p=p: np.linalg.norm(x[:, :, None] - y[:, None], ord=p, axis=-1),
            grad2=p == 2.0,
        )
        for p in (1.0, 2.0, 3.0, np.inf)
    ),
    *(case(f"{p}", "pdist", ((4, 3),), None, p, grad2=p == 2.0) for p in (1.0, 2.0, 3.0)),
]

LAYERS = [*NORMS, *POOLS, *LOSSES, *ATTENTION, *RECURRENT, *RESAMPLING, *DISTANCES]
