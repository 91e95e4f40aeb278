"""What the activation modules share."""

from .module import Module


class Activation(Module):
    """An activation: `_fields` are the attributes that its repr shows; `inplace` is shown where it is
    True.
    """

    _fields = ()

    def extra_repr(self):
        parts = [f"{name}={getattr(self, name)!r}" for name in self._fields]
        if getattr(self, "inplace", False):
            parts.append("inplace=True")
        return ", ".join(parts)


class InplaceActivation(Activation):
    """An activation whose only argument is whether it overwrites its input."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace
