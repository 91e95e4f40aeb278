"""The table of benchmark cases."""

from __future__ import annotations

from .case import same_weights, values
from .families import attention, call, conv, cross_entropy, embedding, layer, linear, optimizer
from .models import gpt, images, lenet, mlp, model, resnet18, tokens


def sgd(optim, parameters):
    return optim.SGD(parameters, lr=0.01, momentum=0.9)


def adamw(optim, parameters):
    return optim.AdamW(parameters, lr=1e-3)


def add(lib, dtype):
    a, b = values(lib, (8,), dtype), values(lib, (8,), dtype, seed=1)
    return lambda: a + b


def tiny_step(lib, dtype):
    module = lib.nn.Linear(2, 2).to(getattr(lib, dtype))
    same_weights(lib, module, dtype)
    x = values(lib, (1, 2), dtype)

    def step():
        module.weight.grad = module.bias.grad = None
        module(x).sum().backward()
        return module.weight.grad

    return step


CASES = [
    linear(1, 4096, 4096),
    linear(8, 1024, 1024),
    linear(32, 256, 10),
    linear(64, 784, 512),
    linear(128, 1024, 1024),
    linear(512, 768, 3072),
    linear(1000, 333, 777),
    linear(1024, 1024, 1024),
    linear(2048, 384, 1536),
    linear(1024, 768, 50257),
    conv(8, 64, 56, 64, 3, padding=1),
    conv(8, 128, 28, 128, 3, padding=1),
    conv(8, 256, 14, 256, 3, padding=1),
    conv(8, 512, 7, 512, 3, padding=1),
    conv(1, 64, 56, 64, 3, padding=1),
    conv(3, 48, 61, 80, 3, padding=1),
    conv(8, 128, 56, 128, 3, stride=2, padding=1),
    conv(4, 3, 224, 64, 7, stride=2, padding=3),
    conv(8, 64, 56, 256, 1),
    conv(8, 256, 56, 512, 1, stride=2),
    conv(64, 1, 28, 32, 3),
    conv(64, 6, 14, 16, 5),
    conv(8, 128, 56, 128, 3, padding=1, groups=128),
    conv(8, 96, 112, 96, 3, stride=2, padding=1, groups=96),
    conv(8, 128, 56, 128, 3, padding=1, groups=32),
    conv(8, 128, 28, 128, 3, padding=2, dilation=2),
    embedding(50257, 768, (8, 1024)),
    embedding(50257, 768, (8, 1024), sparse=True),
    embedding(1000000, 64, (64, 128), sparse=True),
    embedding(10000, 128, (32, 64), padding_idx=0),
    embedding(10000, 128, (32, 64), max_norm=1.0),
    cross_entropy((64,), 10),
    cross_entropy((8192,), 1000),
    cross_entropy((8192,), 1000, label_smoothing=0.1),
    cross_entropy((1024,), 50257),
    cross_entropy((4, 256, 256), 21),
    layer("relu", lambda lib: lib.nn.ReLU(), (8, 64, 56, 56)),
    layer("gelu", lambda lib: lib.nn.GELU(), (2048, 1536)),
    layer("layer norm", lambda lib: lib.nn.LayerNorm(768), (2048, 768)),
    layer("batch norm", lambda lib: lib.nn.BatchNorm2d(64), (8, 64, 56, 56), passes=(2, 6)),
    layer("softmax", lambda lib: lib.nn.Softmax(dim=-1), (2048, 1024)),
    layer("max pool 2x2", lambda lib: lib.nn.MaxPool2d(2), (8, 64, 56, 56), passes=(1.25, 2.5)),
    layer("dropout", lambda lib: lib.nn.Dropout(0.1), (2048, 768), passes=(2, 4), random=True),
    attention(8, 4, 128, 64, causal=True),
    attention(2, 12, 1024, 64, causal=True),
    attention(2, 12, 1024, 64, causal=False),
    optimizer("SGD", lambda optim, p: optim.SGD(p, lr=1e-3), passes=3),
    optimizer("SGD momentum", lambda optim, p: optim.SGD(p, lr=1e-3, momentum=0.9), passes=5),
    optimizer("AdamW", adamw, passes=7),
    call("add of 8", add),
    call("linear 2->2 forward and backward", tiny_step),
    model("mlp", mlp, images(64, 1, 28), sgd),
    model("lenet", lenet, images(64, 1, 28), sgd),
    model("resnet18", resnet18, images(16, 3, 32), sgd),
    model("gpt 4x256", gpt, tokens(8, 128, 256), adamw),
]

GROUPS = list(dict.fromkeys(case.group for case in CASES))


def choose(groups=(), match=None):
    """The cases of these groups (all when empty) whose name holds ``match``."""
    return [
        case
        for case in CASES
        if (not groups or case.group in groups) and (match is None or match in case.name)
    ]
