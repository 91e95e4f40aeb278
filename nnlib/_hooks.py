"""The handle of a hook on a tensor."""

from __future__ import annotations


class TensorHookHandle:
    """Takes a tensor's hook away: ``remove()``, or leaving a ``with`` block."""

    def __init__(self, tensor, hook_id: int, remove):
        self._tensor, self.id, self._remove = tensor, hook_id, remove

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        if self._tensor is not None:
            self._remove(self._tensor, self.id)
            self._tensor = None

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.remove()
