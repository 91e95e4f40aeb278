"""The table of operator cases that value tests, gradient tests and benchmarks share.

A case is an operator with its arguments. Each module of this package holds a family of operators: append in
yours, one or two lines a case. `CASES` is all of them.
"""

from .activations import ACTIVATIONS
from .case import Case
from .elementwise import ELEMENTWISE
from .factorisations import FACTORISATIONS
from .layers import LAYERS
from .products import CONVOLUTIONS, EMBEDDINGS_AND_LOSSES, PRODUCTS
from .reductions import REDUCTIONS
from .shapes import SHAPES

CASES = [
    *ELEMENTWISE,
    *ACTIVATIONS,
    *REDUCTIONS,
    *SHAPES,
    *PRODUCTS,
    *FACTORISATIONS,
    *CONVOLUTIONS,
    *EMBEDDINGS_AND_LOSSES,
    *LAYERS,
]

__all__ = ["CASES", "Case"]
