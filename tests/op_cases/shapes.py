"""Views, joining and splitting, rearranging, padding, and reading and writing by index."""

import numpy as np

from .case import Case

_ROWS = np.array([2, 0, 2])
_PLACES = np.array([[0, 2, 1, 0], [1, 1, 0, 2]])
_MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, False]])

# name, call, input shapes (or arrays), reference
_VIEWS = [
    ("view", lambda lib, x: x.view(4, -1), [(2, 3, 4)], lambda x: x.reshape(4, -1)),
    ("reshape of a transposed", lambda lib, x: x.t().reshape(2, 6), [(3, 4)], lambda x: x.T.reshape(2, 6)),
    ("flatten", lambda lib, x: x.flatten(1), [(2, 3, 4)], lambda x: x.reshape(2, 12)),
    ("unflatten", lambda lib, x: x.unflatten(1, (2, -1)), [(2, 6)], lambda x: x.reshape(2, 2, 3)),
    ("transpose", lambda lib, x: x.transpose(0, 2), [(2, 3, 4)], lambda x: x.transpose(2, 1, 0)),
    ("permute", lambda lib, x: x.permute(2, 0, 1), [(2, 3, 4)], lambda x: x.transpose(2, 0, 1)),
    ("movedim", lambda lib, x: x.movedim(0, -1), [(2, 3, 4)], lambda x: np.moveaxis(x, 0, -1)),
    ("squeeze", lambda lib, x: x.squeeze(1), [(2, 1, 3)], lambda x: x[:, 0]),
    ("unsqueeze", lambda lib, x: x.unsqueeze(-1), [(2, 3)], lambda x: x[..., None]),
    ("expand", lambda lib, x: x.expand(4, -1, 3), [(2, 1)], lambda x: np.broadcast_to(x, (4, 2, 3))),
    ("select", lambda lib, x: x.select(1, -1), [(2, 3)], lambda x: x[:, -1]),
    ("narrow", lambda lib, x: x.narrow(1, 1, 2), [(2, 4)], lambda x: x[:, 1:3]),
    ("slice", lambda lib, x: x[1:, ::2], [(3, 5)], lambda x: x[1:, ::2]),
    ("diagonal", lambda lib, x: x.diagonal(1, 0, 2), [(3, 2, 4)], lambda x: np.diagonal(x, 1, 0, 2)),
    (
        "unfold",
        lambda lib, x: x.unfold(1, 3, 2),
        [(2, 7)],
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 3, 1)[:, ::2],
    ),
    (
        "as_strided",
        lambda lib, x: x.as_strided((3, 2), (1, 2), 1),
        [(6,)],
        lambda x: np.array([[x[1 + i + 2 * j] for j in range(2)] for i in range(3)]),
    ),
    ("unbind", lambda lib, x: x.unbind(1)[1], [(2, 3)], lambda x: x[:, 1]),
    ("split", lambda lib, x: x.split(2, 1)[1], [(2, 5)], lambda x: x[:, 2:4]),
    ("split sizes", lambda lib, x: x.split([1, 3], 0)[1], [(4, 2)], lambda x: x[1:]),
    ("chunk", lambda lib, x: x.chunk(2)[0], [(5,)], lambda x: x[:3]),
    ("tensor_split", lambda lib, x: x.tensor_split(3)[0], [(7,)], lambda x: np.array_split(x, 3)[0]),
]
_REARRANGED = [
    ("cat", lambda lib, x, y: lib.cat([x, y], 1), [(2, 3), (2, 1)], lambda x, y: np.concatenate([x, y], 1)),
    ("stack", lambda lib, x, y: lib.stack([x, y], -1), [(2, 3), (2, 3)], lambda x, y: np.stack([x, y], -1)),
    ("hstack", lambda lib, x, y: lib.hstack([x, y]), [(2,), (3,)], lambda x, y: np.hstack([x, y])),
    ("repeat", lambda lib, x: x.repeat(2, 1, 3), [(2, 3)], lambda x: np.tile(x, (2, 1, 3))),
    ("repeat_interleave", lambda lib, x: x.repeat_interleave(2, 1), [(2, 3)], lambda x: np.repeat(x, 2, 1)),
    ("flip", lambda lib, x: x.flip(0, 2), [(2, 3, 4)], lambda x: np.flip(x, (0, 2))),
    ("rot90", lambda lib, x: lib.rot90(x, 3), [(2, 3)], lambda x: np.rot90(x, 3)),
    ("roll", lambda lib, x: x.roll((1, -2), (0, 1)), [(3, 4)], lambda x: np.roll(x, (1, -2), (0, 1))),
    ("roll all", lambda lib, x: x.roll(2), [(3, 4)], lambda x: np.roll(x, 2)),
    ("tril", lambda lib, x: x.tril(1), [(2, 3, 4)], lambda x: np.tril(x, 1)),
    ("triu", lambda lib, x: x.triu(-1), [(4, 3)], lambda x: np.triu(x, -1)),
    ("diag of a vector", lambda lib, x: lib.diag(x, 1), [(3,)], lambda x: np.diag(x, 1)),
    ("diag of a matrix", lambda lib, x: lib.diag(x, -1), [(3, 4)], lambda x: np.diag(x, -1)),
    ("trace", lambda lib, x: x.trace(), [(3, 4)], np.trace),
    ("block_diag", lambda lib, x, y: lib.block_diag(x, y)[:2, :3], [(2, 3), (4,)], lambda x, y: x),
    (
        "pixel_shuffle",
        lambda lib, x: lib.pixel_shuffle(x, 2),
        [(1, 8, 2, 3)],
        lambda x: x.reshape(1, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(1, 2, 4, 6),
    ),
]
_COMPOSED = [
    ("kron", lambda lib, x, y: lib.kron(x, y), [(2, 3), (4,)], np.kron),
    ("cov", lambda lib, x: lib.cov(x), [(3, 5)], np.cov),
    (
        "cov weighted",
        lambda lib, x: lib.cov(x, correction=0, fweights=lib.tensor([1, 2, 1, 3, 1])),
        [(3, 5)],
        lambda x: np.cov(x, ddof=0, fweights=[1, 2, 1, 3, 1]),
    ),
    ("corrcoef", lambda lib, x: lib.corrcoef(x), [(3, 5)], np.corrcoef),
    ("gradient", lambda lib, x: lib.gradient(x, spacing=0.5)[1], [(3, 5)], lambda x: np.gradient(x, 0.5)[1]),
    (
        "gradient of second order",
        lambda lib, x: lib.gradient(x, spacing=[lib.tensor([0.0, 1, 3, 4], dtype=x.dtype)], edge_order=2)[0],
        [(4,)],
        lambda x: np.gradient(x, [0, 1, 3, 4], edge_order=2),
    ),
    (
        "renorm",
        lambda lib, x: lib.renorm(x, 2, 0, 1.0),
        [(3, 4)],
        lambda x: x * np.minimum(1, 1 / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-7)),
    ),
]
_INDEXED = [
    ("index", lambda lib, x: x[lib.tensor(_ROWS)], [(3, 4)], lambda x: x[_ROWS]),
    (
        "index two apart",
        lambda lib, x: x[lib.tensor(_ROWS), :, lib.tensor([0, 1, 1])],
        [(3, 2, 4)],
        lambda x: x[_ROWS, :, [0, 1, 1]],
    ),
    ("index mask", lambda lib, x: x[lib.tensor(_MASK)], [(3, 4)], lambda x: x[_MASK]),
    ("index_select", lambda lib, x: x.index_select(1, lib.tensor(_ROWS)), [(2, 3)], lambda x: x[:, _ROWS]),
    (
        "gather",
        lambda lib, x: x.gather(0, lib.tensor(_PLACES)),
        [(3, 4)],
        lambda x: np.take_along_axis(x, _PLACES, 0),
    ),
    (
        "take",
        lambda lib, x: x.take(lib.tensor([[5, -1], [0, 5]])),
        [(3, 4)],
        lambda x: x.ravel()[[[5, -1], [0, 5]]],
    ),
    ("masked_select", lambda lib, x: x.masked_select(lib.tensor(_MASK)), [(3, 4)], lambda x: x[_MASK]),
    ("sort", lambda lib, x: x.sort(1).values, [(2, 5)], lambda x: np.sort(x, 1)),
]


def _written(write):
    """A reference that writes into a copy."""

    def reference(x, *rest):
        y = x.copy()
        write(y, *rest)
        return y

    return reference


_WRITTEN = [
    (
        "index_put accumulate",
        lambda lib, x, v: x.index_put((lib.tensor(_ROWS),), v, accumulate=True),
        [(3, 4), (3, 4)],
        _written(lambda y, v: np.add.at(y, _ROWS, v)),
    ),
    (
        "index_put",
        lambda lib, x, v: x.index_put((lib.tensor([2, 0]),), v),
        [(3, 4), (4,)],
        _written(lambda y, v: y.__setitem__([2, 0], v)),
    ),
    (
        "index_add",
        lambda lib, x, v: x.index_add(0, lib.tensor(_ROWS), v, alpha=2),
        [(3, 4), (3, 4)],
        _written(lambda y, v: np.add.at(y, _ROWS, 2 * v)),
    ),
    (
        "index_copy",
        lambda lib, x, v: x.index_copy(0, lib.tensor([2, 0]), v),
        [(3, 4), (2, 4)],
        _written(lambda y, v: y.__setitem__([2, 0], v)),
    ),
    (
        "index_fill",
        lambda lib, x: x.index_fill(1, lib.tensor([0, -1]), 2.0),
        [(3, 4)],
        _written(lambda y: y.__setitem__((slice(None), [0, -1]), 2.0)),
    ),
    (
        "scatter",
        lambda lib, x, v: x.scatter(0, lib.tensor(_PLACES[:1]), v),
        [(3, 4), (1, 4)],
        _written(lambda y, v: np.put_along_axis(y, _PLACES[:1], v, 0)),
    ),
    (
        "scatter_add",
        lambda lib, x, v: x.scatter_add(0, lib.tensor(_PLACES), v),
        [(3, 4), (2, 4)],
        _written(lambda y, v: np.add.at(y, (_PLACES, np.arange(4)), v)),
    ),
    (
        "scatter_reduce amax",
        lambda lib, x, v: x.scatter_reduce(0, lib.tensor(_PLACES), v, "amax"),
        [(3, 4), (2, 4)],
        _written(lambda y, v: np.maximum.at(y, (_PLACES, np.arange(4)), v)),
    ),
    (
        "scatter_reduce prod",
        lambda lib, x, v: x.scatter_reduce(0, lib.tensor(_PLACES), v, "prod"),
        [(3, 4), (2, 4)],
        _written(lambda y, v: np.multiply.at(y, (_PLACES, np.arange(4)), v)),
    ),
    (
        "masked_scatter",
        lambda lib, x, v: x.masked_scatter(lib.tensor(_MASK), v),
        [(3, 4), (7,)],
        _written(lambda y, v: y.__setitem__(_MASK, v[: _MASK.sum()])),
    ),
    (
        "put",
        lambda lib, x, v: x.put(lib.tensor([1, -1]), v),
        [(3, 4), (2,)],
        _written(lambda y, v: np.put(y, [1, -1], v)),
    ),
]
_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _pad_cases():
    for mode, numpy_mode in _PAD_MODES.items():
        for k in (1, 2, 3):
            pad = [1, 2, 2, 0, 1, 1][: 2 * k]
            widths = [(0, 0)] * 2 + [(pad[2 * i], pad[2 * i + 1]) for i in reversed(range(k))]
            yield Case(
                f"pad {mode} {k}",
                lambda lib, x, p=pad, m=mode: lib.nn.functional.pad(x, p, m),
                ((1, 2, 4, 3, 4)[: k + 2],),
                lambda x, w=widths, m=numpy_mode: np.pad(x, w, m),
                half=k == 1,
            )
    yield Case(
        "pad negative",
        lambda lib, x: lib.nn.functional.pad(x, (-1, 2, 1, -2), value=3.0),
        ((4, 5),),
        lambda x: np.pad(x[:-2, 1:], ((1, 0), (0, 2)), constant_values=3.0),
    )
    yield Case(  # nothing but the last column is left to repeat
        "pad replicate past the input",
        lambda lib, x: lib.nn.functional.pad(x, (-4, 5), "replicate"),
        ((2, 3, 4),),
        lambda x: np.repeat(x[..., -1:], 5, -1),
    )


SHAPES = [
    *(
        Case(name, call, tuple(inputs), reference)
        for name, call, inputs, reference in _VIEWS + _REARRANGED + _COMPOSED
    ),
    *(Case(name, call, tuple(inputs), reference) for name, call, inputs, reference in _INDEXED + _WRITTEN),
    *_pad_cases(),
]
