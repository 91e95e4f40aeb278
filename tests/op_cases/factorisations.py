"""Factorisations of small matrices, and their norms."""

import numpy as np

from .case import Case


def _definite(lib, a):
    return a @ a.mT + lib.eye(3, dtype=a.dtype)


FACTORISATIONS = [
    Case("linalg.inv", lambda lib, a: lib.linalg.inv(a), ((2, 3, 3),), np.linalg.inv),
    Case("linalg.solve", lambda lib, a, b: lib.linalg.solve(a, b), ((3, 3), (2, 3, 2)), np.linalg.solve),
    Case("linalg.solve right", lambda lib, a, b: lib.linalg.solve(a, b, left=False), ((3, 3), (2, 3))),
    Case("linalg.det", lambda lib, a: lib.linalg.det(a), ((2, 3, 3),), np.linalg.det),
    Case(
        "linalg.slogdet",
        lambda lib, a: lib.linalg.slogdet(a)[1],
        ((2, 3, 3),),
        lambda a: np.linalg.slogdet(a)[1],
    ),
    Case("linalg.qr Q", lambda lib, a: lib.linalg.qr(a)[0], ((4, 3),), lambda a: np.linalg.qr(a)[0]),
    Case("linalg.qr R", lambda lib, a: lib.linalg.qr(a)[1], ((2, 3, 3),), lambda a: np.linalg.qr(a)[1]),
    Case(
        "linalg.qr complete",
        lambda lib, a: lib.linalg.qr(a.detach(), mode="complete")[0],
        ((4, 2),),
        lambda a: np.linalg.qr(a, mode="complete")[0],
        grad=False,
    ),
    Case("linalg.cholesky", lambda lib, a: lib.linalg.cholesky(_definite(lib, a)), ((2, 3, 3),)),
    Case("linalg.matrix_power", lambda lib, a: lib.linalg.matrix_power(a, 5), ((3, 3),)),
    Case(
        "linalg.matrix_power negative",
        lambda lib, a: lib.linalg.matrix_power(_definite(lib, a), -2),
        ((3, 3),),
        grad2=False,
    ),
    Case("linalg.multi_dot", lambda lib, *m: lib.linalg.multi_dot(m), ((2, 3), (3, 4), (4,))),
    *(
        Case(
            f"linalg.matrix_norm {o}",
            lambda lib, a, o=o: lib.linalg.matrix_norm(a, o),
            ((2, 3, 4),),
            grad2=o == "fro",
        )
        for o in ("fro", 1, -1, np.inf, -np.inf)
    ),
    Case("linalg.norm", lambda lib, a: lib.linalg.norm(a), ((2, 3, 4),), np.linalg.norm),
    Case(
        "linalg.vecdot",
        lambda lib, a, b: lib.linalg.vecdot(a, b),
        ((2, 3, 4), (4,)),
        lambda a, b: (a * b).sum(-1),
    ),
]
