"""Transformers: encoder and decoder layers, stacks of them, and the whole."""

import copy
import math

from nnlib import _C

from .. import functional as F
from .. import init
from ..functional._attention import _additive_mask
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

_SOURCE = 'Source: Vaswani and others, "Attention is all you need" (2017).'
_LAYER_ARGS = """d_model (int): size of every vector.
        nhead (int): number of attention heads; it divides `d_model`.
        dim_feedforward (int): inner size of the feed-forward network. Default: 2048.
        dropout (float): Default: 0.1.
        activation (str or callable): ``'relu'``, ``'gelu'``, or a function. Default: relu.
        layer_norm_eps (float): eps of the layer norms. Default: 1e-5.
        batch_first (bool): the batch is the first dimension, not the second. Default: ``False``.
        norm_first (bool): normalise before each part, not after. Default: ``False``.
        bias (bool): biases in the linear layers and layer norms. Default: ``True``.
        device, dtype: of the parameters."""


def _documented(cls):
    cls.__doc__ = cls.__doc__.replace("{layer_args}", _LAYER_ARGS).replace("{source}", _SOURCE)
    return cls


def _causal_mask(size, device=None, dtype=None):
    return _C.full((size, size), -math.inf, dtype=dtype, device=device).triu(1)


def _is_causal(mask, is_causal, size):
    """Whether to treat `mask` as the causal one: as told, or by looking at it if told None."""
    if is_causal is not None or mask is None:
        return is_causal is True
    if tuple(mask.shape) != (size, size):
        return False
    expected = _causal_mask(size)
    if mask.dtype == _C.bool:
        expected = expected < 0
    return bool((mask == expected).all())


def _length(x, batch_first):
    return x.size(0) if x.dim() == 2 else x.size(1 if batch_first else 0)


def _activation_function(activation):
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return F.relu if activation == "relu" else F.gelu


def _clones(layer, n):
    return ModuleList([copy.deepcopy(layer) for _ in range(n)])


class _Layer(Module):
    """What encoder and decoder layers share: the feed-forward network and the attention blocks."""

    __constants__ = ["norm_first"]
    _attentions = ()

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation=F.relu,
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        for name in self._attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **factory
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **factory)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **factory)
        self.norm_first = norm_first
        parts = range(1, len(self._attentions) + 2)
        for i in parts:
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **factory))
        for i in parts:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation_function(activation)

    def __setstate__(self, state):
        super().__setstate__({"activation": F.relu, **state})

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        return self.dropout1(self._attend(self.self_attn, x, x, attn_mask, key_padding_mask, is_causal))

    @staticmethod
    def _attend(attention, query, memory, attn_mask, key_padding_mask, is_causal):
        return attention(
            query,
            memory,
            memory,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            need_weights=False,
            is_causal=is_causal,
        )[0]

    def _ff_block(self, x):
        last = self.dropout3 if len(self._attentions) == 2 else self.dropout2
        return last(self.linear2(self.dropout(self.activation(self.linear1(x)))))


@_documented
class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward network, each with a residual connection and a layer norm.

    Args:
        {layer_args}

    Shape:
        src (S, N, E), or (N, S, E) if `batch_first`, or (S, E); the output is the same.

    {source}

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.TransformerEncoderLayer(8, 2, 16)
        >>> layer(nnlib.zeros(5, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    _attentions = ("self_attn",)

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        """Encode; `src_mask` (S, S) and `src_key_padding_mask` (N, S) as in `MultiheadAttention`."""
        dtype = src.dtype
        padding = _additive_mask(src_key_padding_mask, "src_key_padding_mask", dtype, src_mask, "src_mask")
        mask = _additive_mask(src_mask, "src_mask", dtype)
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), mask, padding, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, mask, padding, is_causal))
        return self.norm2(x + self._ff_block(x))


@_documented
class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to a memory, and a feed-forward network, each with a residual connection and
    a layer norm.

    Args:
        {layer_args}

    Shape:
        tgt (T, N, E) and memory (S, N, E), or with N first if `batch_first`, or without N; output as tgt.

    {source}

    Example::

        >>> import nnlib
        >>> layer = nnlib.nn.TransformerDecoderLayer(8, 2, 16)
        >>> layer(nnlib.zeros(5, 3, 8), nnlib.zeros(4, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    _attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=False,
        memory_is_causal=False,
    ):
        """Decode; the masks are those of the two attentions, as in `MultiheadAttention`."""
        own = (tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        other = (memory_mask, memory_key_padding_mask, memory_is_causal)
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), *own)
            x = x + self._mha_block(self.norm2(x), memory, *other)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, *own))
        x = self.norm2(x + self._mha_block(x, memory, *other))
        return self.norm3(x + self._ff_block(x))

    def _mha_block(self, x, memory, attn_mask, key_padding_mask, is_causal=False):
        attended = self._attend(self.multihead_attn, x, memory, attn_mask, key_padding_mask, is_causal)
        return self.dropout2(attended)


@_documented
class TransformerEncoder(Module):
    """A stack of encoder layers.

    Args:
        encoder_layer (TransformerEncoderLayer): copied for each place in the stack.
        num_layers (int): how many.
        norm (Module, optional): applied to the result.
        enable_nested_tensor, mask_check (bool): of a PyTorch optimisation for padded batches, kept as
            attributes: padded positions are always computed here.

    {source}

    Example::

        >>> import nnlib
        >>> encoder = nnlib.nn.TransformerEncoder(nnlib.nn.TransformerEncoderLayer(8, 2, 16), 2)
        >>> encoder(nnlib.zeros(5, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    __constants__ = ["norm"]

    def __init__(self, encoder_layer, num_layers, norm=None, enable_nested_tensor=True, mask_check=True):
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=None):
        """Encode; masks as in `MultiheadAttention`. With `is_causal` None the mask is looked at."""
        dtype = src.dtype
        padding = _additive_mask(src_key_padding_mask, "src_key_padding_mask", dtype, mask, "mask")
        mask = _additive_mask(mask, "mask", dtype)
        size = _length(src, self.layers[0].self_attn.batch_first)
        is_causal = _is_causal(mask, is_causal, size)
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=mask, is_causal=is_causal, src_key_padding_mask=padding)
        return output if self.norm is None else self.norm(output)


@_documented
class TransformerDecoder(Module):
    """A stack of decoder layers.

    Args:
        decoder_layer (TransformerDecoderLayer): copied for each place in the stack.
        num_layers (int): how many.
        norm (Module, optional): applied to the result.

    {source}

    Example::

        >>> import nnlib
        >>> decoder = nnlib.nn.TransformerDecoder(nnlib.nn.TransformerDecoderLayer(8, 2, 16), 2)
        >>> decoder(nnlib.zeros(5, 3, 8), nnlib.zeros(4, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    __constants__ = ["norm"]

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=None,
        memory_is_causal=False,
    ):
        """Decode; masks as in `MultiheadAttention`. With `tgt_is_causal` None the mask is looked at."""
        size = _length(tgt, self.layers[0].self_attn.batch_first)
        tgt_is_causal = _is_causal(tgt_mask, tgt_is_causal, size)
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=tgt_is_causal,
                memory_is_causal=memory_is_causal,
            )
        return output if self.norm is None else self.norm(output)


@_documented
class Transformer(Module):
    """An encoder and a decoder that attends to its result.

    Args:
        d_model (int): size of every vector. Default: 512.
        nhead (int): number of attention heads. Default: 8.
        num_encoder_layers, num_decoder_layers (int): Default: 6.
        dim_feedforward (int): inner size of the feed-forward networks. Default: 2048.
        dropout (float): Default: 0.1.
        activation (str or callable): ``'relu'``, ``'gelu'``, or a function. Default: relu.
        custom_encoder, custom_decoder (Module, optional): in the place of the stacks.
        layer_norm_eps, batch_first, norm_first, bias, device, dtype: as in `TransformerEncoderLayer`.

    Shape:
        src (S, N, E) and tgt (T, N, E), or with N first if `batch_first`, or without N; output as tgt.

    Raises:
        RuntimeError: batches or sizes of src and tgt that do not fit.

    {source}

    Example::

        >>> import nnlib
        >>> model = nnlib.nn.Transformer(8, 2, 1, 1, 16)
        >>> model(nnlib.zeros(4, 3, 8), nnlib.zeros(5, 3, 8)).shape
        torch.Size([5, 3, 8])
    """

    def __init__(
        self,
        d_model=512,
        nhead=8,
        num_encoder_layers=6,
        num_decoder_layers=6,
        dim_feedforward=2048,
        dropout=0.1,
        activation=F.relu,
        custom_encoder=None,
        custom_decoder=None,
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        args = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
        )
        factory = {"device": device, "dtype": dtype}

        def stack(kind, layer, n):
            norm = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **factory)
            return kind(layer, n, norm)

        if custom_encoder is None:
            layer = TransformerEncoderLayer(*args, **factory)
            custom_encoder = stack(TransformerEncoder, layer, num_encoder_layers)
        self.encoder = custom_encoder
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*args, **factory)
            custom_decoder = stack(TransformerDecoder, layer, num_decoder_layers)
        self.decoder = custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self):
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src,
        tgt,
        src_mask=None,
        tgt_mask=None,
        memory_mask=None,
        src_key_padding_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        src_is_causal=None,
        tgt_is_causal=None,
        memory_is_causal=False,
    ):
        """Encode `src`, then decode `tgt`; masks as in the two stacks."""
        batch = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(batch) != tgt.size(batch):
            raise RuntimeError(
                f"the batch number of src and tgt must be equal, got {src.size(batch)} and {tgt.size(batch)}"
            )
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError(
                f"the feature number of src and tgt must be equal to d_model, got {src.size(-1)} and "
                f"{tgt.size(-1)} for {self.d_model}"
            )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz, device=None, dtype=None):
        """The causal mask: -inf above the diagonal, 0 elsewhere; shape (sz, sz)."""
        return _causal_mask(sz, device, dtype)
