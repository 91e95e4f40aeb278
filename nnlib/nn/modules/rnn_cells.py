"""Single steps of recurrent networks."""

import math

from nnlib import _C

from .. import init
from .module import Module
from .utils import new_parameter

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase"]


class RNNCellBase(Module):
    """Base class of the cells.

    Args:
        input_size, hidden_size (int): sizes of input and state.
        bias (bool): learn the two biases.
        num_chunks (int): how many maps are stacked in the weights.
        device, dtype: of the parameters.
    """

    __constants__ = ["input_size", "hidden_size", "bias"]

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        factory = {"device": device, "dtype": dtype}
        self.weight_ih = new_parameter((rows, input_size), **factory)
        self.weight_hh = new_parameter((rows, hidden_size), **factory)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, new_parameter((rows,), **factory) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw new values for the parameters, from U(-1 / sqrt(hidden_size), 1 / sqrt(hidden_size))."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self):
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            parts.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(parts)

    def _step(self, operator, input, hidden, names):
        """Run the operator on one step; an input without a batch gets one of size 1."""
        cell = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{cell}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
        if hidden is None:
            hidden = tuple(_C.zeros((input.size(0), self.hidden_size), dtype=input.dtype) for _ in names)
        else:
            for name, part in zip(names, hidden, strict=True):
                if part.dim() not in (1, 2):
                    raise ValueError(f"{cell}: Expected {name} to be 1D or 2D, got {part.dim()}D instead")
            hidden = hidden if batched else tuple(part.unsqueeze(0) for part in hidden)
        hx = hidden if len(names) == 2 else hidden[0]
        result = operator(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if batched:
            return result
        return tuple(part.squeeze(0) for part in result) if len(names) == 2 else result.squeeze(0)


_DOC = """One step of {what}.

    Args:
        input_size, hidden_size (int): sizes of input and state.
        bias (bool): learn the two biases. Default: ``True``.{nonlinearity}
        device, dtype: of the parameters.

    Shape:
        input (N, input_size) or (input_size); {state}

    Example::

        >>> import nnlib
        >>> cell = nnlib.nn.{name}(10, 20)
        >>> cell(nnlib.zeros(3, 10)){first}.shape
        torch.Size([3, 20])
    """
_STATE = "state and output (N, hidden_size) or (hidden_size)."


class RNNCell(RNNCellBase):
    __doc__ = _DOC.format(
        what="an `RNN`",
        nonlinearity="\n        nonlinearity (str): ``'tanh'`` or ``'relu'``. Default: ``'tanh'``.",
        state=_STATE,
        name="RNNCell",
        first="",
    )

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        operators = {"tanh": _C.rnn_tanh_cell, "relu": _C.rnn_relu_cell}
        if self.nonlinearity not in operators:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(operators[self.nonlinearity], input, None if hx is None else (hx,), ("hidden",))


class GRUCell(RNNCellBase):
    __doc__ = _DOC.format(what="a `GRU`", nonlinearity="", state=_STATE, name="GRUCell", first="")

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input, hx=None):
        return self._step(_C.gru_cell, input, None if hx is None else (hx,), ("hidden",))


class LSTMCell(RNNCellBase):
    __doc__ = _DOC.format(
        what="an `LSTM`",
        nonlinearity="",
        state="state and output: a pair (h, c), each (N, hidden_size) or (hidden_size).",
        name="LSTMCell",
        first="[0]",
    )

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input, hx=None):
        return self._step(_C.lstm_cell, input, None if hx is None else tuple(hx), ("hx[0]", "hx[1]"))
