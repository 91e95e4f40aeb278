"""Recurrent networks over whole sequences; the cells for a single step are in `rnn_cells`."""

import math
import numbers
import warnings

from nnlib import _C

from .. import init
from ..utils.rnn import PackedSequence
from .module import Module
from .rnn_cells import GRUCell, LSTMCell, RNNCell, RNNCellBase
from .utils import new_parameter

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _check_sizes(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size):
    if isinstance(dropout, bool) or not isinstance(dropout, numbers.Number) or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being "
            f"zeroed, got {dropout}"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
            f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,
        )
    for name, value, kind in (
        ("bias", bias, bool),
        ("batch_first", batch_first, bool),
        ("input_size", input_size, int),
        ("hidden_size", hidden_size, int),
    ):
        if not isinstance(value, kind):
            raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero, got {value}")
    if proj_size < 0:
        raise ValueError(
            f"proj_size should be a positive integer or zero to disable projections, got {proj_size}"
        )
    if proj_size >= hidden_size:
        raise ValueError(f"proj_size has to be smaller than hidden_size, got {proj_size} and {hidden_size}")


class RNNBase(Module):
    """Base class of `RNN`, `LSTM` and `GRU`.

    Args:
        mode (str): ``'LSTM'``, ``'GRU'``, ``'RNN_TANH'`` or ``'RNN_RELU'``.
        input_size, hidden_size, ...: as in those classes.
    """

    __constants__ = [
        "mode",
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
        "proj_size",
    ]

    def __init__(
        self,
        mode,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        _check_sizes(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        self.mode = mode
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._all_weights = []  # the names of each layer's and direction's parameters
        directions = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            size = input_size if layer == 0 else (proj_size or hidden_size) * len(directions)
            for suffix in directions:
                self._add_layer(f"l{layer}{suffix}", size, {"device": device, "dtype": dtype})
        self._flat_weights_names = [name for names in self._all_weights for name in names]
        self.reset_parameters()

    def _add_layer(self, suffix, input_size, factory):
        gates = _GATES[self.mode] * self.hidden_size
        shapes = {"weight_ih": (gates, input_size), "weight_hh": (gates, self.proj_size or self.hidden_size)}
        if self.bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = []
        for name, shape in shapes.items():
            names.append(f"{name}_{suffix}")
            setattr(self, names[-1], new_parameter(shape, **factory))
        self._all_weights.append(names)

    @property
    def _flat_weights(self):
        # Looked up by name each time: a parametrisation or an assignment may have replaced a weight.
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self):
        """The parameters, a list for each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self):
        """Does nothing: it exists for code that prepares weights for a GPU."""

    def reset_parameters(self):
        """Draw new values for the parameters, from U(-1 / sqrt(hidden_size), 1 / sqrt(hidden_size))."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def check_input(self, input, batch_sizes):
        """Raise unless dtype, number of dimensions and last size of the input are right."""
        dtype = getattr(self, self._flat_weights_names[0]).dtype
        if input.dtype != dtype and not _C.is_autocast_enabled("cpu"):
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). Convert input: "
                f"input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.size(-1)}"
            )

    def _hidden_sizes(self, batch):
        """The shapes of the parts of the hidden state."""
        return [(self.num_layers * (1 + self.bidirectional), batch, self.hidden_size)]

    def _check_hidden(self, hidden, shapes):
        for i, (part, shape) in enumerate(zip(hidden, shapes, strict=True)):
            if tuple(part.shape) != shape:
                name = "hidden size" if len(shapes) == 1 else f"hidden[{i}] size"
                raise RuntimeError(f"Expected {name} {shape}, got {list(part.shape)}")

    def _native(self, input, batch_sizes, hidden):
        """Call the operator; returns (output, hidden)."""
        hx = hidden if self.mode == "LSTM" else hidden[0]
        operator = getattr(_C, self.mode.lower())
        rest = (
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
        )
        if batch_sizes is None:
            output, *hidden = operator(input, hx, *rest, self.batch_first)
        else:
            output, *hidden = operator(input, batch_sizes, hx, *rest)
        return output, tuple(hidden)

    def forward(self, input, hx=None):
        """Run over a sequence.

        Args:
            input (Tensor or PackedSequence): see the class.
            hx (optional): the state to start from. Default: zeros.

        Returns:
            (output, hidden): the outputs of the last layer at every step, and the state after the last.
        """
        hidden = None if hx is None else tuple(hx) if self.mode == "LSTM" else (hx,)
        if isinstance(input, PackedSequence):
            output, hidden = self._forward_packed(input, hidden)
        else:
            output, hidden = self._forward_padded(input, hidden)
        return output, hidden if self.mode == "LSTM" else hidden[0]

    def _start(self, input, hidden, batch):
        shapes = self._hidden_sizes(batch)
        if hidden is None:
            return tuple(_C.zeros(shape, dtype=input.dtype) for shape in shapes)
        self._check_hidden(hidden, shapes)
        return hidden

    def _forward_packed(self, packed, hidden):
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        self.check_input(data, batch_sizes)
        if hidden is not None and sorted_indices is not None:
            hidden = tuple(part.index_select(1, sorted_indices) for part in hidden)
        hidden = self._start(data, hidden, int(batch_sizes[0]))
        output, hidden = self._native(data, batch_sizes, hidden)
        if unsorted_indices is not None:
            hidden = tuple(part.index_select(1, unsorted_indices) for part in hidden)
        return PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices), hidden

    def _forward_padded(self, input, hidden):
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        batched = input.dim() == 3
        batch_dim = 0 if self.batch_first else 1
        if hidden is not None and any(part.dim() != input.dim() for part in hidden):
            kind = "batched 3-D" if batched else "unbatched 2-D"
            names = "hx" if len(hidden) == 1 else "hx and cx"
            found = ", ".join(f"{part.dim()}-D" for part in hidden)
            found = f"{found} tensor" if len(hidden) == 1 else f"({found}) tensors"
            raise RuntimeError(f"For {kind} input, {names} should also be {input.dim()}-D but got {found}")
        if not batched:
            input = input.unsqueeze(batch_dim)
            hidden = None if hidden is None else tuple(part.unsqueeze(1) for part in hidden)
        self.check_input(input, None)
        hidden = self._start(input, hidden, input.size(batch_dim))
        output, hidden = self._native(input, None, hidden)
        if not batched:
            output, hidden = output.squeeze(batch_dim), tuple(part.squeeze(1) for part in hidden)
        return output, hidden

    def extra_repr(self):
        parts = [f"{self.input_size}, {self.hidden_size}"]
        for name, usual in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != usual:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)

    def __setstate__(self, state):
        super().__setstate__({"proj_size": 0, **state})


_DOC = """{what}

    Args:
        input_size (int): size of the input at each step.
        hidden_size (int): size of the hidden state.
        num_layers (int): layers, each taking the outputs of the one before. Default: 1.{nonlinearity}
        bias (bool): learn the two biases. Default: ``True``.
        batch_first (bool): the batch is the first dimension, not the second. Default: ``False``.
        dropout (float): of the outputs of each layer but the last, in training. Default: 0.
        bidirectional (bool): a second network runs backwards over the sequence. Default:
            ``False``.{projection}
        device, dtype: of the parameters.

    Shape:
        input (L, N, input_size), (N, L, input_size) if `batch_first`, (L, input_size), or a `PackedSequence`;
        output with D out in the last place, D being 2 if bidirectional, else 1; {hidden}

    Attributes:
        weight_ih_l[k], weight_hh_l[k], bias_ih_l[k], bias_hh_l[k]: of layer k, with ``_reverse`` for the
        backward
            direction; drawn from U(-s, s), s = 1 / sqrt(hidden_size).

    Raises:
        ValueError, TypeError: sizes that make no sense. RuntimeError: an input or a state of another shape.

    {source}

    Example::

        >>> import nnlib
        >>> net = nnlib.nn.{name}(10, 20, 2)
        >>> output, hidden = net(nnlib.zeros(5, 3, 10))
        >>> output.shape
        torch.Size([5, 3, 20])
    """
_ONE_STATE = "the state h (D num_layers, N, hidden_size)."


class RNN(RNNBase):
    __doc__ = _DOC.format(
        what="A plain recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).",
        nonlinearity="\n        nonlinearity (str): ``'tanh'`` or ``'relu'``. Default: ``'tanh'``.",
        projection="",
        hidden=_ONE_STATE,
        source='Source: Elman, "Finding structure in time" (1990).',
        name="RNN",
    )

    def __init__(self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity


class GRU(RNNBase):
    __doc__ = _DOC.format(
        what="A network of gated recurrent units: r and z are sigmoids of affine maps of x and h,\n"
        "    n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h.",
        nonlinearity="",
        projection="",
        hidden=_ONE_STATE,
        source='Source: Cho and others, "Learning phrase representations using RNN encoder-decoder" (2014).',
        name="GRU",
    )

    def __init__(self, *args, **kwargs):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class LSTM(RNNBase):
    __doc__ = _DOC.format(
        what="A long short-term memory: i, f and o are sigmoids of affine maps of x and h, g a tanh of one,\n"
        "    c' = f c + i g, h' = o tanh(c').",
        nonlinearity="",
        projection="\n        proj_size (int): project h to this size; 0 does not. Default: 0.",
        hidden="the state (h, c), h of\n        (D num_layers, N, proj_size or hidden_size) and c of "
        "(D num_layers, N, hidden_size).",
        source='Source: Hochreiter and Schmidhuber, "Long short-term memory" (1997).',
        name="LSTM",
    )

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def _hidden_sizes(self, batch):
        layers = self.num_layers * (1 + self.bidirectional)
        return [(layers, batch, self.proj_size or self.hidden_size), (layers, batch, self.hidden_size)]


# Pickles name the module in which PyTorch has these classes.
for _class in (GRUCell, LSTMCell, RNNCell, RNNCellBase):
    _class.__module__ = __name__
