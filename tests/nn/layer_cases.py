"""The table of layers: how to build each, what to call it with, and the shape that comes out.

A row is (class, constructor arguments, inputs, shape of the output). An input is a shape, which stands for
normal numbers, or one of the helpers below. Constructor arguments are a tuple, ending in a dictionary of
keyword arguments if there are any. Every row is checked for its shape, and against PyTorch where that is
installed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ints:
    """Integers from low to high - 1."""

    shape: tuple
    high: int
    low: int = 0


@dataclass(frozen=True)
class Unit:
    """Numbers from 0 to 1, the bounds left out."""

    shape: tuple


@dataclass(frozen=True)
class Signs:
    """1 and -1."""

    shape: tuple


X = (4, 6)
IMAGE = (2, 4, 9, 8)
N, C = 4, 5

ACTIVATIONS = [
    (name, args, [X], X)
    for name, *options in (
        ("CELU", (), (0.5,)),
        ("ELU", (), (0.5,)),
        ("GELU", (), ({"approximate": "tanh"},)),
        ("Hardshrink", (), (0.2,)),
        ("Hardsigmoid", ()),
        ("Hardswish", ()),
        ("Hardtanh", (), (-0.5, 0.25)),
        ("Identity", ()),
        ("LeakyReLU", (), (0.2,)),
        ("LogSigmoid", ()),
        ("LogSoftmax", (1,)),
        ("Mish", ()),
        ("PReLU", (), (6,)),
        ("ReLU", ()),
        ("ReLU6", ()),
        ("SELU", ()),
        ("SiLU", ()),
        ("Sigmoid", ()),
        ("Softmax", (0,)),
        ("Softmin", (1,)),
        ("Softplus", (), (2.0, 1.0)),
        ("Softshrink", (), (0.2,)),
        ("Softsign", ()),
        ("Tanh", ()),
        ("Tanhshrink", ()),
        ("Threshold", (0.1, 20.0)),
    )
    for args in options
]

LINEAR = [
    ("GLU", (), [X], (4, 3)),
    ("GLU", (0,), [X], (2, 6)),
    ("Softmax2d", (), [IMAGE], IMAGE),
    ("Linear", (6, 3), [X], (4, 3)),
    ("Linear", (6, 3, {"bias": False}), [(2, 4, 6)], (2, 4, 3)),
    ("Linear", (6, 3), [(6,)], (3,)),
    ("Bilinear", (3, 4, 5), [(2, 3), (2, 4)], (2, 5)),
    ("Bilinear", (3, 4, 5, {"bias": False}), [(6, 2, 3), (6, 2, 4)], (6, 2, 5)),
    ("Embedding", (9, 3), [Ints((4, 2), 9)], (4, 2, 3)),
    ("Embedding", (9, 3, {"padding_idx": -1, "max_norm": 0.5}), [Ints((7,), 9)], (7, 3)),
    ("Embedding", (9, 3, {"scale_grad_by_freq": True}), [Ints((20,), 9)], (20, 3)),
    ("EmbeddingBag", (9, 3), [Ints((4, 2), 9)], (4, 3)),
    ("EmbeddingBag", (9, 3, {"mode": "sum", "padding_idx": 0}), [Ints((4, 5), 9)], (4, 3)),
    ("EmbeddingBag", (9, 3, {"mode": "max"}), [Ints((4, 5), 9)], (4, 3)),
    ("Flatten", (), [IMAGE], (2, 288)),
    ("Unflatten", (1, (2, 3)), [X], (4, 2, 3)),
    ("CosineSimilarity", (), [X, X], (4,)),
    ("PairwiseDistance", (1.0, {"keepdim": True}), [X, X], (4, 1)),
]

CONVOLUTIONS = [
    ("Conv1d", (4, 6, 3), [(2, 4, 9)], (2, 6, 7)),
    ("Conv1d", (4, 6, 3, {"padding": "same", "dilation": 2}), [(4, 9)], (6, 9)),
    ("Conv2d", (4, 6, 3), [IMAGE], (2, 6, 7, 6)),
    ("Conv2d", (4, 6, (3, 2), {"stride": (2, 1), "padding": (1, 0), "bias": False}), [IMAGE], (2, 6, 5, 7)),
    ("Conv2d", (4, 8, 3, {"groups": 2, "dilation": 2}), [IMAGE], (2, 8, 5, 4)),
    ("Conv2d", (4, 8, 3, {"groups": 4, "padding": 1}), [IMAGE], (2, 8, 9, 8)),
    ("Conv2d", (4, 6, 3, {"padding": 1, "padding_mode": "reflect"}), [IMAGE], (2, 6, 9, 8)),
    ("Conv2d", (4, 6, 3, {"padding": 1, "padding_mode": "circular"}), [IMAGE], (2, 6, 9, 8)),
    ("Conv2d", (4, 6, 3, {"padding": "same", "padding_mode": "replicate"}), [IMAGE], (2, 6, 9, 8)),
    ("Conv2d", (4, 6, 1), [(4, 9, 8)], (6, 9, 8)),
    ("Conv3d", (2, 3, 2), [(1, 2, 4, 5, 4)], (1, 3, 3, 4, 3)),
    ("ConvTranspose1d", (4, 6, 3, {"stride": 2}), [(2, 4, 5)], (2, 6, 11)),
    ("ConvTranspose2d", (4, 6, 3, {"stride": 2, "padding": 1, "output_padding": 1}), [IMAGE], (2, 6, 18, 16)),
    ("ConvTranspose2d", (4, 6, 3, {"groups": 2, "dilation": 2}), [IMAGE], (2, 6, 13, 12)),
    ("ConvTranspose3d", (2, 3, 2), [(1, 2, 3, 3, 3)], (1, 3, 4, 4, 4)),
    ("Unfold", ((2, 3), {"padding": 1}), [IMAGE], (2, 24, 80)),
    ("Fold", ((4, 5), 2), [(2, 8, 12)], (2, 2, 4, 5)),
]

NORMS = [
    ("BatchNorm1d", (6,), [X], X),
    ("BatchNorm1d", (4, {"affine": False}), [(3, 4, 5)], (3, 4, 5)),
    ("BatchNorm2d", (4, {"momentum": None}), [IMAGE], IMAGE),
    ("BatchNorm2d", (4, {"track_running_stats": False, "bias": False}), [IMAGE], IMAGE),
    ("BatchNorm3d", (2,), [(2, 2, 3, 3, 3)], (2, 2, 3, 3, 3)),
    ("SyncBatchNorm", (4,), [IMAGE], IMAGE),
    ("GroupNorm", (2, 4), [IMAGE], IMAGE),
    ("InstanceNorm1d", (4,), [(4, 6)], (4, 6)),
    ("InstanceNorm2d", (4, {"affine": True, "track_running_stats": True}), [IMAGE], IMAGE),
    ("InstanceNorm3d", (2,), [(2, 2, 3, 3, 3)], (2, 2, 3, 3, 3)),
    ("LayerNorm", (6,), [X], X),
    ("LayerNorm", ((9, 8), {"elementwise_affine": False}), [IMAGE], IMAGE),
    ("RMSNorm", (6,), [X], X),
    ("LocalResponseNorm", (3,), [IMAGE], IMAGE),
]

POOLING = [
    ("MaxPool1d", (3,), [(2, 4, 9)], (2, 4, 3)),
    ("MaxPool2d", (2,), [IMAGE], (2, 4, 4, 4)),
    ("MaxPool2d", (3, 2, 1, {"ceil_mode": True}), [IMAGE], (2, 4, 5, 5)),
    ("MaxPool2d", (2, {"dilation": 2, "stride": 1}), [(4, 9, 8)], (4, 7, 6)),
    ("MaxPool3d", (2,), [(1, 2, 4, 4, 4)], (1, 2, 2, 2, 2)),
    ("AvgPool1d", (3, 2), [(2, 4, 9)], (2, 4, 4)),
    ("AvgPool2d", (3, 2, 1, {"count_include_pad": False}), [IMAGE], (2, 4, 5, 4)),
    ("AvgPool2d", (2, {"divisor_override": 3}), [IMAGE], (2, 4, 4, 4)),
    ("AvgPool3d", (2,), [(1, 2, 4, 4, 4)], (1, 2, 2, 2, 2)),
    ("LPPool1d", (2, 3), [(2, 4, 9)], (2, 4, 3)),
    ("LPPool2d", (2, 2), [IMAGE], (2, 4, 4, 4)),
    ("AdaptiveAvgPool1d", (4,), [(2, 4, 9)], (2, 4, 4)),
    ("AdaptiveAvgPool2d", ((None, 3),), [IMAGE], (2, 4, 9, 3)),
    ("AdaptiveAvgPool3d", (2,), [(1, 2, 4, 5, 4)], (1, 2, 2, 2, 2)),
    ("AdaptiveMaxPool1d", (4,), [(2, 4, 9)], (2, 4, 4)),
    ("AdaptiveMaxPool2d", ((4, None),), [IMAGE], (2, 4, 4, 8)),
    ("AdaptiveMaxPool3d", (2,), [(1, 2, 4, 5, 4)], (1, 2, 2, 2, 2)),
]

PADDING = [
    (f"{kind}Pad{n}d", (1, 2.5) if kind == "Constant" else (1,), [(2, 3, *[4] * n)], (2, 3, *[6] * n))
    for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
    for n in (1, 2, 3)
] + [
    ("ZeroPad2d", ((1, -1, 2, 0),), [IMAGE], (2, 4, 11, 8)),
    ("CircularPad2d", ((-1, 1, -2, 1),), [IMAGE], (2, 4, 8, 8)),
]

SPACE = [
    ("PixelShuffle", (2,), [IMAGE], (2, 1, 18, 16)),
    ("PixelUnshuffle", (2,), [(1, 2, 4, 6)], (1, 8, 2, 3)),
    ("ChannelShuffle", (2,), [IMAGE], IMAGE),
    ("Upsample", ({"scale_factor": 2},), [IMAGE], (2, 4, 18, 16)),
    ("Upsample", ({"size": (5, 7), "mode": "bilinear"},), [IMAGE], (2, 4, 5, 7)),
    ("Upsample", ({"scale_factor": 1.5, "mode": "linear"},), [(2, 3, 6)], (2, 3, 9)),
    (
        "Upsample",
        ({"size": 5, "mode": "trilinear", "align_corners": True},),
        [(1, 2, 3, 3, 3)],
        (1, 2, 5, 5, 5),
    ),
    ("Upsample", ({"size": 6, "mode": "bicubic"},), [(1, 2, 4, 4)], (1, 2, 6, 6)),
    ("UpsamplingNearest2d", (3,), [(1, 2, 5, 5)], (1, 2, 3, 3)),
    ("UpsamplingBilinear2d", ({"scale_factor": 2},), [(1, 2, 3, 3)], (1, 2, 6, 6)),
]

LOSSES = [
    ("L1Loss", (), [X, X], ()),
    ("MSELoss", ({"reduction": "sum"},), [X, X], ()),
    ("SmoothL1Loss", ({"beta": 0.5},), [X, X], ()),
    ("HuberLoss", ({"delta": 0.7, "reduction": "none"},), [X, X], X),
    ("BCELoss", (), [Unit(X), Unit(X)], ()),
    ("BCEWithLogitsLoss", (), [X, Unit(X)], ()),
    ("KLDivLoss", ({"reduction": "batchmean"},), [X, Unit(X)], ()),
    ("PoissonNLLLoss", ({"full": True},), [X, Ints(X, 5)], ()),
    ("GaussianNLLLoss", (), [X, X, Unit(X)], ()),
    ("CrossEntropyLoss", (), [(N, C), Ints((N,), C)], ()),
    (
        "CrossEntropyLoss",
        ({"reduction": "none", "label_smoothing": 0.1},),
        [(N, C, 3), Ints((N, 3), C)],
        (N, 3),
    ),
    ("CrossEntropyLoss", ({"ignore_index": 2},), [(N, C, 3), Ints((N, 3), C)], ()),
    ("CrossEntropyLoss", (), [(N, C), Unit((N, C))], ()),
    ("CrossEntropyLoss", (), [(C,), Ints((), C)], ()),
    ("LinearCrossEntropyLoss", (6, 5, {"bias": True}), [X, Ints((N,), C)], ()),
    ("LinearCrossEntropyLoss", (6, 5, {"label_smoothing": 0.1}), [X, Ints((N,), C)], ()),
    ("LinearCrossEntropyLoss", (6, 5, {"out_features": (3,)}), [X, Ints((N, 3), C)], ()),
    ("NLLLoss", ({"reduction": "sum"},), [(N, C), Ints((N,), C)], ()),
    ("HingeEmbeddingLoss", (), [X, Signs(X)], ()),
    ("MarginRankingLoss", ({"margin": 0.5},), [(4,), (4,), Signs((4,))], ()),
    ("SoftMarginLoss", (), [X, Signs(X)], ()),
    ("CosineEmbeddingLoss", ({"margin": 0.1},), [X, X, Signs((4,))], ()),
    ("MultiMarginLoss", ({"p": 2},), [(N, C), Ints((N,), C)], ()),
    ("MultiLabelMarginLoss", (), [(N, C), Ints((N, C), C)], ()),
    ("MultiLabelSoftMarginLoss", (), [(N, C), Ints((N, C), 2)], ()),
    ("TripletMarginLoss", ({"swap": True},), [X, X, X], ()),
    ("TripletMarginWithDistanceLoss", (), [X, X, X], ()),
    ("CTCLoss", (), [(6, 2, 5), Ints((2, 3), 5, 1), (6, 5), (3, 2)], ()),
]

RECURRENT = [
    ("RNN", (3, 5, 2), [(4, 2, 3)], (4, 2, 5)),
    ("RNN", (3, 5, {"nonlinearity": "relu", "bidirectional": True}), [(4, 2, 3)], (4, 2, 10)),
    ("GRU", (3, 5, {"batch_first": True, "bidirectional": True}), [(2, 4, 3), (2, 2, 5)], (2, 4, 10)),
    ("LSTM", (3, 5, 2, {"bidirectional": True}), [(4, 2, 3)], (4, 2, 10)),
    ("LSTM", (3, 5, {"proj_size": 2, "bias": False}), [(4, 3)], (4, 2)),
    ("RNNCell", (3, 5), [(2, 3), (2, 5)], (2, 5)),
    ("GRUCell", (3, 5), [(3,)], (5,)),
    ("LSTMCell", (3, 5), [(2, 3)], (2, 5)),
    ("MultiheadAttention", (6, 2), [(4, 2, 6), (3, 2, 6), (3, 2, 6)], (4, 2, 6)),
    ("MultiheadAttention", (6, 2, {"kdim": 4, "vdim": 5, "batch_first": True}),
     [(2, 4, 6), (2, 3, 4), (2, 3, 5)], (2, 4, 6)),
    ("MultiheadAttention", (6, 3, {"add_bias_kv": True, "add_zero_attn": True}), [(4, 6)] * 3, (4, 6)),
    ("TransformerEncoderLayer", (6, 2, 8, 0.0), [(4, 2, 6)], (4, 2, 6)),
    ("TransformerEncoderLayer", (6, 2, 8, 0.0, {"norm_first": True, "activation": "gelu"}), [(4, 6)], (4, 6)),
    ("TransformerDecoderLayer", (6, 2, 8, 0.0), [(4, 2, 6), (3, 2, 6)], (4, 2, 6)),
    ("Transformer", (6, 2, 1, 1, 8, 0.0), [(4, 2, 6), (3, 2, 6)], (3, 2, 6)),
    ("AdaptiveLogSoftmaxWithLoss", (16, 20, [5, 10]), [(6, 16), Ints((6,), 20)], (6,)),
]  # fmt: skip

CASES = [
    *ACTIVATIONS, *LINEAR, *CONVOLUTIONS, *NORMS, *POOLING, *PADDING, *SPACE, *LOSSES, *RECURRENT,
]  # fmt: skip
