"""The optimizers, the arguments they are tested with, and their formulas in NumPy and float64.

Each formula is written from the optimizer's paper: ``step(p, g, s, t, **options)`` returns the new parameter;
``s`` is a dict of state, empty before step ``t = 1``.
"""

import numpy as np


def _grad(p, g, o):
    g = -g if o.get("maximize") else g
    decoupled = o.get("decoupled", False)
    return g if decoupled else g + o.get("weight_decay", 0) * p


def sgd(p, g, s, t, lr=1e-3, momentum=0, dampening=0, nesterov=False, **o):
    g = _grad(p, g, o)
    if momentum:
        s["b"] = momentum * s["b"] + (1 - dampening) * g if s else g
        g = g + momentum * s["b"] if nesterov else s["b"]
    return p - lr * g


def adam(p, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, **o):
    if o.get("decoupled"):
        p = p - lr * o["weight_decay"] * p
    g = _grad(p, g, o)
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    v = s["x"] = np.maximum(s.get("x", 0), s["v"]) if amsgrad else s["v"]
    return p - lr * s["m"] / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def adamw(p, g, s, t, weight_decay=1e-2, **o):
    return adam(p, g, s, t, weight_decay=weight_decay, decoupled=True, **o)


def adamax(p, g, s, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, **o):
    g = _grad(p, g, o)
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["u"] = np.maximum(betas[1] * s.get("u", 0), np.abs(g) + eps)
    return p - lr / (1 - betas[0] ** t) * s["m"] / s["u"]


def nadam(p, g, s, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, **o):
    if o.pop("decoupled_weight_decay", False):
        p = p * (1 - lr * o.pop("weight_decay"))
    g = _grad(p, g, o)
    mu, nxt = (betas[0] * (1 - 0.5 * 0.96 ** ((t + i) * momentum_decay)) for i in (0, 1))
    s["mu"] = s.get("mu", 1) * mu
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    m = nxt * s["m"] / (1 - s["mu"] * nxt) + (1 - mu) * g / (1 - s["mu"])
    return p - lr * m / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


def radam(p, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, **o):
    if o.pop("decoupled_weight_decay", False):
        p = p * (1 - lr * o.pop("weight_decay"))
    g = _grad(p, g, o)
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    m = s["m"] / (1 - betas[0] ** t)
    inf = 2 / (1 - betas[1]) - 1
    rho = inf - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if rho <= 5:
        return p - lr * m
    r = np.sqrt((rho - 4) * (rho - 2) * inf / ((inf - 4) * (inf - 2) * rho))
    return p - lr * m * r * np.sqrt(1 - betas[1] ** t) / (np.sqrt(s["v"]) + eps)


def adagrad(p, g, s, t, lr=1e-2, lr_decay=0, eps=1e-10, initial_accumulator_value=0, **o):
    g = _grad(p, g, o)
    s["s"] = s.get("s", initial_accumulator_value) + g * g
    return p - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["s"]) + eps)


def adadelta(p, g, s, t, lr=1.0, rho=0.9, eps=1e-6, **o):
    g = _grad(p, g, o)
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g * g
    delta = np.sqrt(s.get("u", 0) + eps) / np.sqrt(s["v"] + eps) * g
    s["u"] = rho * s.get("u", 0) + (1 - rho) * delta * delta
    return p - lr * delta


def rmsprop(p, g, s, t, lr=1e-2, alpha=0.99, eps=1e-8, momentum=0, centered=False, **o):
    g = _grad(p, g, o)
    v = s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g * g
    if centered:
        s["a"] = alpha * s.get("a", 0) + (1 - alpha) * g
        v = v - s["a"] ** 2
    step = g / (np.sqrt(v) + eps)
    if momentum:
        step = s["b"] = momentum * s.get("b", 0) + step
    return p - lr * step


def rprop(p, g, s, t, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), **o):
    g = _grad(p, g, o)
    sign = np.sign(g * s.get("prev", 0))
    factor = np.where(sign > 0, etas[1], np.where(sign < 0, etas[0], 1))
    s["size"] = np.clip(s.get("size", np.full_like(p, lr)) * factor, *step_sizes)
    s["prev"] = np.where(sign < 0, 0, g)
    return p - np.sign(s["prev"]) * s["size"]


def asgd(p, g, s, t, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, **o):
    g = _grad(p, g, o)
    eta = s.get("eta", lr)
    s["eta"] = lr / (1 + lambd * lr * t) ** alpha
    return p * (1 - lambd * eta) - eta * g


# (name, formula, options): every option of every optimizer appears.
CASES = [
    ("SGD", sgd, dict(lr=0.1)),
    ("SGD", sgd, dict(lr=0.1, momentum=0.9, weight_decay=0.1)),
    ("SGD", sgd, dict(lr=0.1, momentum=0.9, dampening=0.5, maximize=True)),
    ("SGD", sgd, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    ("Adam", adam, dict(lr=0.1)),
    ("Adam", adam, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, amsgrad=True, maximize=True)),
    ("AdamW", adamw, dict(lr=0.1)),
    ("AdamW", adamw, dict(lr=0.1, weight_decay=0.3, amsgrad=True, maximize=True)),
    ("Adamax", adamax, dict(lr=0.1)),
    ("Adamax", adamax, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-2, weight_decay=0.1, maximize=True)),
    ("NAdam", nadam, dict(lr=0.1, weight_decay=0.1)),
    ("NAdam", nadam, dict(lr=0.1, momentum_decay=0.3, weight_decay=0.1, decoupled_weight_decay=True)),
    ("RAdam", radam, dict(lr=0.1, weight_decay=0.1, maximize=True)),
    ("RAdam", radam, dict(lr=0.1, betas=(0.5, 0.9), weight_decay=0.1, decoupled_weight_decay=True)),
    ("Adagrad", adagrad, dict(lr=0.1)),
    (
        "Adagrad",
        adagrad,
        dict(lr=0.1, lr_decay=0.5, weight_decay=0.1, initial_accumulator_value=0.2, eps=1e-3),
    ),
    ("Adadelta", adadelta, dict()),
    ("Adadelta", adadelta, dict(lr=0.5, rho=0.5, eps=1e-2, weight_decay=0.1, maximize=True)),
    ("RMSprop", rmsprop, dict(lr=0.1, weight_decay=0.1)),
    ("RMSprop", rmsprop, dict(lr=0.1, alpha=0.8, eps=1e-3, momentum=0.9, centered=True, maximize=True)),
    ("Rprop", rprop, dict(lr=0.1)),
    ("Rprop", rprop, dict(lr=0.1, etas=(0.3, 3.0), step_sizes=(0.05, 0.2), maximize=True)),
    ("ASGD", asgd, dict(lr=0.1)),
    ("ASGD", asgd, dict(lr=0.1, lambd=0.5, alpha=0.3, t0=2, weight_decay=0.1, maximize=True)),
]
IDS = [f"{name}-{','.join(map(str, options)) or 'default'}" for name, _, options in CASES]


def values(shape, seed):
    """Numbers without exact zeros, so that signs are safe."""
    return np.random.RandomState(seed).standard_normal(shape) + 0.01
