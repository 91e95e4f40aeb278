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
    Case(
        "linalg.qr Q of a wide one",
        lambda lib, a: lib.linalg.qr(a)[0],
        ((2, 2, 5),),
        lambda a: np.linalg.qr(a)[0],
    ),
    Case(
        "linalg.qr R of a wide one",
        lambda lib, a: lib.linalg.qr(a)[1],
        ((3, 5),),
        lambda a: np.linalg.qr(a)[1],
    ),
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
        for o in ("fro", 1, -1, np.inf, -np.inf, 2, -2, "nuc")
    ),
    Case("linalg.eigh values", lambda lib, a: lib.linalg.eigh(a + a.mT)[0], ((2, 3, 3),), grad2=False),
    Case("linalg.eigh vectors", lambda lib, a: lib.linalg.eigh(a + a.mT)[1] ** 2, ((3, 3),), grad2=False),
    Case("linalg.svdvals", lambda lib, a: lib.linalg.svdvals(a), ((2, 4, 3),), grad2=False),
    Case("linalg.svd U", lambda lib, a: lib.linalg.svd(a, False)[0] ** 2, ((4, 3),), grad2=False),
    Case("linalg.svd Vh", lambda lib, a: lib.linalg.svd(a, False)[2] ** 2, ((3, 4),), grad2=False),
    Case(
        "linalg.svd product",
        lambda lib, a: (lambda u, s, v: u[..., :3] @ lib.diag_embed(s) @ v)(*lib.linalg.svd(a.detach())),
        ((2, 5, 3),),
        lambda a: a,
        grad=False,
    ),
    Case("logdet", lambda lib, a: lib.logdet(_definite(lib, a)), ((2, 3, 3),)),
    Case("linalg.cross", lambda lib, a, b: lib.linalg.cross(a, b), ((4, 3), (1, 3)), np.cross),
    Case("cross", lambda lib, a, b: lib.cross(a, b), ((3, 4), (3, 4)), lambda a, b: np.cross(a, b, axis=0)),
    Case("linalg.norm", lambda lib, a: lib.linalg.norm(a), ((2, 3, 4),), np.linalg.norm),
    Case(
        "linalg.vecdot",
        lambda lib, a, b: lib.linalg.vecdot(a, b),
        ((2, 3, 4), (4,)),
        lambda a, b: (a * b).sum(-1),
    ),
]
