"""What the values of a checkpoint's dict may be, besides tensors and plain data."""

import random
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ... import get_rng_state, set_rng_state


@runtime_checkable
class Stateful(Protocol):
    """Anything with ``state_dict()`` and ``load_state_dict(state)``: modules, optimizers, schedulers, samplers.

    Example::

        >>> from nnlib.distributed.checkpoint import Stateful
        >>> isinstance(nnlib.nn.Linear(1, 1), Stateful)
        True
    """

    def state_dict(self) -> dict[str, Any]:
        """The state as plain data and tensors."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes such a state."""


class PerRank:
    """A Stateful whose state differs between ranks: all ranks' states are saved, each rank loads its own.

    A rank that the saved job did not have keeps the state that it has.

    Args:
        entry (Stateful): what is saved on each rank.

    Example::

        >>> from nnlib.distributed.checkpoint import PerRank
        >>> PerRank(meter)  # doctest: +SKIP
    """

    def __init__(self, entry):
        if not isinstance(entry, Stateful):
            raise TypeError(
                f"PerRank expects an object with state_dict and load_state_dict, but got {type(entry).__name__}"
            )
        self.entry = entry

    def state_dict(self):
        """This rank's state."""
        return self.entry.state_dict()

    def load_state_dict(self, state_dict):
        """Takes this rank's state."""
        self.entry.load_state_dict(state_dict)


class RandomState(PerRank):
    """The random states of each rank's process: nnlib's, Python's and NumPy's.

    Example::

        >>> from nnlib.distributed.checkpoint import RandomState
        >>> state = RandomState().state_dict()
        >>> sorted(state)
        ['nnlib', 'numpy', 'python']
    """

    def __init__(self):
        super().__init__(self)

    def state_dict(self):
        """The states as plain data."""
        version, numbers, gauss = random.getstate()
        state = np.random.get_state(legacy=False)
        inner = {"key": state["state"]["key"].tolist(), "pos": int(state["state"]["pos"])}
        return {
            "nnlib": get_rng_state(),
            "python": [version, list(numbers), gauss],
            "numpy": {**state, "state": inner, "gauss": float(state["gauss"])},
        }

    def load_state_dict(self, state_dict):
        """Goes on where the states were taken."""
        version, numbers, gauss = state_dict["python"]
        state = dict(state_dict["numpy"])
        state["state"] = {**state["state"], "key": np.array(state["state"]["key"], np.uint32)}
        random.setstate((version, tuple(numbers), gauss))
        np.random.set_state(state)
        set_rng_state(state_dict["nnlib"])
