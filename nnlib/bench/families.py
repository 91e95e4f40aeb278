"""Makers of operator cases: the shapes go in, a case with its work comes out.

Work is what no implementation of the plain definition could do without: the multiplications and additions of a
product, each operand read once and each result written once. A train way computes the result and the gradients of
everything that has one.
"""

from __future__ import annotations

from math import prod

from .case import Case, Ready, Work, array, integers, module_case, values

FLOAT = 4  # bytes


def linear(rows, inputs, outputs):
    """``nn.Linear`` on a batch of rows."""

    def build(lib, dtype="float32"):
        x = values(lib, (rows, inputs), dtype, grad=True)
        flop = 2 * rows * inputs * outputs
        moved = FLOAT * (rows * inputs + inputs * outputs + rows * outputs)
        work = {"forward": Work(flop, moved), "train": Work(3 * flop, 3 * moved)}
        return module_case(lib, lib.nn.Linear(inputs, outputs), (x,), work, dtype)

    return Case(f"linear {rows}x{inputs}->{outputs}", "linear", build)


def conv(batch, channels, size, filters, kernel, stride=1, padding=0, groups=1, dilation=1):
    """``nn.Conv2d`` on square images."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    kind = "depthwise " if groups == channels > 1 else f"{groups} groups " if groups > 1 else ""
    kind += f"dilated {dilation} " if dilation > 1 else ""
    step = f" stride {stride}" if stride > 1 else ""

    def build(lib, dtype="float32"):
        x = values(lib, (batch, channels, size, size), dtype, grad=True)
        module = lib.nn.Conv2d(
            channels, filters, kernel, stride=stride, padding=padding, groups=groups, dilation=dilation
        )
        flop = 2 * batch * filters * out * out * channels // groups * kernel * kernel
        weights = filters * channels // groups * kernel * kernel
        moved = FLOAT * (batch * (channels * size * size + filters * out * out) + weights)
        work = {"forward": Work(flop, moved), "train": Work(3 * flop, 3 * moved)}
        return module_case(lib, module, (x,), work, dtype)

    name = f"conv {kind}{kernel}x{kernel}{step} {batch}x{channels}x{size}x{size}->{filters}"
    return Case(name, "conv", build)


def embedding(rows, width, shape, **options):
    """``nn.Embedding``; a dense gradient has to be written whole, a sparse one only where it is not zero."""
    count = prod(shape)

    def build(lib, dtype="float32"):
        module = lib.nn.Embedding(rows, width, **options)
        table = 0 if options.get("sparse") else rows * width
        work = {
            "forward": Work(bytes=2 * FLOAT * count * width),
            "train": Work(bytes=FLOAT * (4 * count * width + table)),
        }
        return module_case(lib, module, (integers(lib, rows, shape),), work, dtype)

    said = " ".join(key if value is True else f"{key}={value}" for key, value in options.items())
    return Case(f"embedding {rows}x{width} of {count} {said}".strip(), "embedding", build)


def cross_entropy(shape, classes, **options):
    """``nn.CrossEntropyLoss`` with a target of ``shape``; the classes are dimension 1 of the input."""

    def build(lib, dtype="float32"):
        loss = lib.nn.CrossEntropyLoss(**options)
        x = values(lib, (shape[0], classes, *shape[1:]), dtype, grad=True)
        target = integers(lib, classes, shape)

        def forward():
            with lib.no_grad():
                return loss(x, target)

        def train():
            x.grad = None
            loss(x, target).backward()

        def results():
            train()
            return [array(forward()), array(x.grad)]

        n = FLOAT * prod(shape) * classes
        work = {"forward": Work(bytes=n), "train": Work(bytes=2 * n)}
        return Ready({"forward": forward, "train": train}, results, work)

    size = "x".join(map(str, (shape[0], classes, *shape[1:])))
    said = " ".join(f"{key}={value}" for key, value in options.items())
    return Case(f"cross-entropy {size} {said}".strip(), "cross-entropy", build)


def layer(name, make, shape, passes=(2, 5), random=False):
    """A layer that computes nothing to speak of; ``passes``: arrays that forward and train read and write."""

    def build(lib, dtype="float32"):
        x = values(lib, shape, dtype, grad=True)
        n = FLOAT * prod(shape)
        work = {"forward": Work(bytes=passes[0] * n), "train": Work(bytes=passes[1] * n)}
        return module_case(lib, make(lib), (x,), work, dtype)

    return Case(f"{name} {'x'.join(map(str, shape))}", "layers", build, random)


def attention(batch, heads, tokens, width, causal):
    """``scaled_dot_product_attention``; the causal one has half of the products."""

    def build(lib, dtype="float32"):
        qkv = [values(lib, (batch, heads, tokens, width), dtype, grad=True, seed=s) for s in range(3)]

        class Attention(lib.nn.Module):
            def forward(self, q, k, v):
                return lib.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

        flop = 4 * batch * heads * tokens * tokens * width / (2 if causal else 1)
        n = FLOAT * batch * heads * tokens * width
        work = {"forward": Work(flop, 4 * n), "train": Work(3.5 * flop, 12 * n)}
        return module_case(lib, Attention(), tuple(qkv), work, dtype)

    return Case(
        f"attention{' causal' if causal else ''} {batch}x{heads}x{tokens}x{width}", "attention", build
    )


def optimizer(name, make, passes):
    """A step over four matrices and sixteen vectors; ``passes``: arrays read and written for each value."""

    def build(lib, dtype="float32"):
        shapes = [(1024, 1024)] * 4 + [(1024,)] * 16
        parameters = [lib.nn.Parameter(values(lib, shape, dtype)) for shape in shapes]
        for p in parameters:
            p.grad = values(lib, tuple(p.shape), dtype, seed=2)
        step = make(lib.optim, parameters).step

        def results():
            step()
            return [array(p) for p in parameters]

        work = {"step": Work(bytes=passes * FLOAT * sum(map(prod, shapes)))}
        return Ready({"step": step}, results, work)

    return Case(f"{name} step of 4M", "optim", build)


def call(name, make):
    """What a call costs on so few numbers that nothing else does: ``make(lib, dtype)`` gives the call."""
    repeats = 100

    def build(lib, dtype="float32"):
        once = make(lib, dtype)

        def many():
            for _ in range(repeats):
                once()

        return Ready({"call": many}, lambda: [array(once())], repeats=repeats)

    return Case(name, "call", build)
