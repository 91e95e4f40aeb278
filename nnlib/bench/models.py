"""Whole models, as training and inference steps."""

from __future__ import annotations

from .case import Case, Ready, Work, array, integers, same_weights, values


def mlp(lib):
    """784-512-256-10 with ReLU."""
    nn = lib.nn
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)
    )


def lenet(lib):
    """LeNet-5 on 28x28 images."""
    nn = lib.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def resnet18(lib):
    """ResNet-18 with a first layer for small images (He et al., 2016)."""
    nn, relu = lib.nn, lib.nn.functional.relu

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.short = nn.Sequential()
            if stride != 1 or inputs != outputs:
                self.short = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
            return relu(y + self.short(x))

    layers = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for stage in (64, 128, 256, 512):
        layers += [Block(width, stage, 1 if stage == 64 else 2), Block(stage, stage, 1)]
        width = stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def gpt(lib, vocabulary=256, width=256, heads=4, depth=4, context=128):
    """A small GPT-2 (Radford et al., 2019)."""
    nn, functional = lib.nn, lib.nn.functional

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            n, t, c = x.size()
            parts = self.qkv(self.norm1(x)).split(c, dim=2)
            q, k, v = (z.view(n, t, heads, c // heads).transpose(1, 2) for z in parts)
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).contiguous().view(n, t, c))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.layers = nn.Sequential(*[Layer() for _ in range(depth)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

        def forward(self, tokens):
            x = self.token(tokens) + self.place(lib.arange(tokens.size(1)))
            return self.head(self.norm(self.layers(x)))

    return GPT()


def multiplications(lib, model, x):
    """Operations of a forward pass in the linear and the convolutional layers, by watching them."""
    flop = 0

    def watch(module, inputs, output):
        nonlocal flop
        flop += 2 * output.numel() * (module.weight.numel() // module.weight.shape[0])

    layers = (lib.nn.Linear, lib.nn.Conv2d)
    handles = [m.register_forward_hook(watch) for m in model.modules() if isinstance(m, layers)]
    with lib.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return flop


def model(name, make, batch, make_optimizer):
    """Training steps (gradients cleared, forward, loss, backward, step) and inference."""

    def build(lib, dtype="float32"):
        lib.manual_seed(0)
        net = make(lib).to(getattr(lib, dtype))
        same_weights(lib, net, dtype)
        x, target = batch(lib, dtype)
        optimizer, loss = make_optimizer(lib.optim, net.parameters()), lib.nn.CrossEntropyLoss()

        def train():
            optimizer.zero_grad()
            out = net(x)
            loss(out.view(-1, out.size(-1)), target.view(-1)).backward()
            optimizer.step()

        def infer():
            with lib.no_grad():
                return net(x)

        def results():
            before = array(infer()).copy()
            train()
            return [before, array(infer())]

        flop = multiplications(lib, net, x)
        work = {"train": Work(3 * flop), "infer": Work(flop)}
        return Ready({"train": train, "infer": infer}, results, work)

    return Case(name, "model", build)


def images(batch, channels, size, classes=10):
    """Batches of square images with their classes."""

    def make(lib, dtype):
        return values(lib, (batch, channels, size, size), dtype), integers(lib, classes, (batch,))

    return make


def tokens(batch, length, vocabulary):
    """Batches of texts, and what to predict."""

    def make(lib, dtype):
        shape = (batch, length)
        return integers(lib, vocabulary, shape), integers(lib, vocabulary, shape, seed=2)

    return make
