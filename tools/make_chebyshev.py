"""Writes nnlib/special/_tables.py: Chebyshev coefficients of special functions, from their definitions.

    python tools/make_chebyshev.py        (needs mpmath)

Each table holds the coefficients of one smooth function g on [-1, 1], highest first, until they no longer matter
to a float64. Source of the method: Clenshaw, "Chebyshev series for mathematical functions" (1962).
"""

from pathlib import Path

import mpmath as mp

mp.mp.dps = 50
TABLES = {}


def table(name, g, count=60, digits=19):
    """The coefficients of g by the discrete cosine transform of its values at Chebyshev's points."""
    values = [g(mp.cos(mp.pi * (k + mp.mpf(1) / 2) / count)) for k in range(count)]
    c = [
        2 * mp.fsum(v * mp.cos(mp.pi * j * (k + mp.mpf(1) / 2) / count) for k, v in enumerate(values)) / count
        for j in range(count)
    ]
    c[0] /= 2
    largest = max(abs(x) for x in c)
    keep = max(j for j in range(count) if abs(c[j]) > largest * mp.mpf(10) ** -digits)
    assert keep < count - 3, f"{name}: the series is not finished"
    TABLES[name] = [float(x) for x in reversed(c[: keep + 1])]


def inner(f, width):
    """On 0 <= x <= width: x = width (t + 1) / 2."""
    return lambda t: f(width * (t + 1) / 2)


def inner_square(f, width):
    """On 0 <= x <= width, of x^2: x^2 = width^2 (t + 1) / 2."""
    return lambda t: f(width * mp.sqrt((t + 1) / 2))


def outer(f, start):
    """On x >= start, of 1 / x: x = 2 start / (t + 1)."""
    return lambda t: f(2 * start / (t + 1 if t > -1 else mp.mpf(10) ** -40))


def outer_square(f, start):
    """On x >= start, of 1 / x^2."""
    return lambda t: f(start / mp.sqrt((t + 1) / 2))


def modulus(order, kind):
    """P and Q of J = sqrt(2 / (pi x)) (P cos(x - a) - Q sin(x - a)), Y with sin and cos in their places."""

    def f(x):
        a = x - (2 * order + 1) * mp.pi / 4
        j, y = mp.besselj(order, x), mp.bessely(order, x)
        root = mp.sqrt(mp.pi * x / 2)
        c, s = mp.cos(a), mp.sin(a)
        return root * (j * c + y * s) if kind == "p" else root * (y * c - j * s) * x

    return f


def airy_phase(kind):
    """P and Q of Ai(-x), as of the Bessel functions, in zeta = 2/3 x^(3/2)."""

    def f(zeta):
        x = (mp.mpf(3) / 2 * zeta) ** (mp.mpf(2) / 3)
        a = zeta + mp.pi / 4
        ai, bi = mp.airyai(-x), mp.airybi(-x)
        root = mp.sqrt(mp.pi) * x ** (mp.mpf(1) / 4)
        s, c = mp.sin(a), mp.cos(a)
        return root * (ai * s + bi * c) if kind == "p" else root * (bi * s - ai * c) * zeta

    return f


def airy_scaled(zeta):
    x = (mp.mpf(3) / 2 * zeta) ** (mp.mpf(2) / 3)
    return mp.airyai(x) * 2 * mp.sqrt(mp.pi) * x ** (mp.mpf(1) / 4) * mp.exp(zeta)


def y_regular(order):
    """Y without its logarithm (and, of order 1, without its pole), over x^order."""

    def f(x):
        x = max(x, mp.mpf(10) ** -15)
        rest = mp.bessely(order, x) - 2 / mp.pi * mp.log(x) * mp.besselj(order, x)
        return rest if order == 0 else (rest + 2 / (mp.pi * x)) / x

    return f


def k_regular(order):
    """K without its logarithm (times x, of order 1)."""

    def f(x):
        x = max(x, mp.mpf(10) ** -15)
        if order == 0:
            return mp.besselk(0, x) + mp.log(x / 2) * mp.besseli(0, x)
        return x * (mp.besselk(1, x) - mp.log(x / 2) * mp.besseli(1, x))

    return f


def write():
    for order in (0, 1):
        i = lambda x, n=order: mp.exp(-x) * mp.besseli(n, x)  # noqa: E731
        i_over = lambda x, n=order, i=i: i(max(x, mp.mpf(10) ** -20)) / max(x, mp.mpf(10) ** -20) ** n  # noqa: E731
        k = lambda x, n=order: mp.exp(x) * mp.sqrt(x) * mp.besselk(n, x)  # noqa: E731
        j = lambda x, n=order: mp.besselj(n, max(x, mp.mpf(10) ** -20)) / max(x, mp.mpf(10) ** -20) ** n  # noqa: E731
        table(f"I{order}_INNER", inner(i_over, 8))
        table(f"I{order}_OUTER", outer(lambda x, i=i: i(x) * mp.sqrt(x), 8))
        table(f"K{order}_INNER", inner_square(k_regular(order), 2))
        table(f"K{order}_OUTER", outer(k, 2))
        table(f"J{order}_INNER", inner_square(j, 8))
        table(f"Y{order}_INNER", inner_square(y_regular(order), 8))
        table(f"P{order}_OUTER", outer_square(modulus(order, "p"), 8))
        table(f"Q{order}_OUTER", outer_square(modulus(order, "q"), 8))
    table("AIRY_INNER", lambda t: mp.airyai(5 * t), count=80)
    table("AIRY_SCALED", outer(airy_scaled, 4))
    table("AIRY_P", outer_square(airy_phase("p"), 7))
    table("AIRY_Q", outer_square(airy_phase("q"), 7))
    lines = [
        '"""Chebyshev coefficients, highest first: written by tools/make_chebyshev.py."""',
        "",
        "# fmt: off",
    ]
    for name, values in TABLES.items():
        texts = [f"{v!r}," for v in values]
        rows = [" ".join(texts[i : i + 4]) for i in range(0, len(texts), 4)]
        lines += [f"{name} = (", *(f"    {row}" for row in rows), ")"]
    path = Path(__file__).parents[1] / "nnlib" / "special" / "_tables.py"
    path.write_text("\n".join(lines) + "\n")
    print(f"{path}: {len(TABLES)} tables, {sum(map(len, TABLES.values()))} numbers")


if __name__ == "__main__":
    write()
